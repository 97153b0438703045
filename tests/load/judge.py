"""What is wrong in what a load test kept; each rule is a function of the records alone."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from tests.load.records import (
    CUT,
    DONE,
    ENDS,
    FULL,
    LEFT,
    REFUSED,
    RESTS,
    SAMPLE,
    STARTS,
    STOPPED,
    WORKS,
    Beat,
    Book,
    Call,
    Shown,
)

FLAT = 0.05  # by which private memory may grow after the warm-up
WARM_UP = 1 / 3  # of the time
FREE_WITHIN = 3.0  # s from Stop or leaving until networks work for nobody who is gone
ANSWERED = 2.0  # s after which a call that waits must have been told its place
FEWEST_SAMPLES = 8
_NO_SENTENCE = {
    "a traceback": re.compile(r"Traceback|File \"[^\"]+\", line \d+"),
    "an exception's name": re.compile(r"^\s*(\w+\.)*[A-Z]\w*(Error|Exception|Timeout)\b"),
    "an object's repr": re.compile(r"<class |\bobject at 0x|^\s*[\[{(<]"),
    "a status": re.compile(
        r"Internal Server Error|\bHTTP ?5\d\d\b|^\s*5\d\d\b|status code '?5\d\d"
    ),
    "a path": re.compile(r"(?<![\w:/=])/([\w.-]+/){2,}"),
    "Gradio's apology": re.compile(r"has not enabled verbose error reporting"),
}
Findings = dict[str, list[str]]


def fault_of(words: str) -> str:
    """Why words are not a sentence for a visitor, "" where they are one."""
    if len(words.split()) < 3:
        return "no words"
    return next((name for name, found in _NO_SENTENCE.items() if found.search(words)), "")


def resolved(calls: Iterable[Call], beats: Iterable[Beat]) -> list[Call]:
    """The calls, those with several events as pages send them with the one that ran when it ended:
    the last to start before in the one place where networks run."""
    starts = {beat.event: beat.t for beat in beats if beat.what == STARTS and beat.first}
    found = []
    for call in calls:
        if " " in call.event:
            there = [e for e in call.event.split() if starts.get(e, math.inf) <= call.ended]
            call = replace(call, event=max(there, key=starts.__getitem__, default=""))
        found.append(call)
    return found


def unspoken(calls: Iterable[Call]) -> list[str]:
    """Errors that are no sentence."""
    found = ((call, fault_of(call.words)) for call in calls if call.outcome == REFUSED)
    return [f"{c.visitor}, {c.function}: {why}: {c.words[:300]!r}" for c, why in found if why]


def unasked_errors(calls: Iterable[Call]) -> list[str]:
    """Errors, sentences though they are, of visitors who asked for what can be done."""
    refused = (c for c in calls if c.outcome == REFUSED and not c.hostile)
    return [f"{c.visitor}, {c.function}: {c.words[:300]!r}" for c in refused]


def swapped(shown: Sequence[Shown]) -> list[str]:
    """Pictures and codes that are not their visitor's own.

    A reconstruction is nearest to its visitor's portrait; the same call has the same result; what
    is made of one visitor's picture is nobody else's.
    """
    found = [
        f"{s.visitor}, {s.function}: the picture is nearest to the portrait of {s.nearest}"
        for s in shown
        if s.nearest not in ("", s.visitor)
    ]
    results: dict[tuple[str, str], set[str]] = defaultdict(set)
    owners: dict[str, set[str]] = defaultdict(set)
    for s in shown:
        results[s.function, s.asked].add(s.digest)
        if s.own:
            owners[s.digest].add(s.visitor)
    found += [
        f"{name}: {len(digests)} different results of the same call, {asked}"
        for (name, asked), digests in results.items()
        if len(digests) > 1
    ]
    shared = (sorted(names) for names in owners.values() if len(names) > 1)
    return found + [f"{' and '.join(names)} got the same result" for names in shared]


def after_warm_up(beats: Iterable[Beat]) -> list[Beat]:
    """The samples of the server after the warm-up."""
    samples = [beat for beat in beats if beat.what == SAMPLE]
    if not samples:
        return []
    begin, end = samples[0].t, samples[-1].t
    return [beat for beat in samples if beat.t >= begin + WARM_UP * (end - begin)]


def growth(beats: Iterable[Beat]) -> float | None:
    """By what share private memory grows from the first to the last quarter after the warm-up;
    None with too few samples."""
    flat = after_warm_up(beats)
    if len(flat) < FEWEST_SAMPLES:
        return None
    quarter = len(flat) // 4
    first, last = (median(b.bytes for b in part) for part in (flat[:quarter], flat[-quarter:]))
    return last / first - 1


def leaks(beats: Iterable[Beat]) -> list[str]:
    grown = growth(beats)
    if grown is None:
        return ["memory was sampled too rarely to judge; let it run longer"]
    if grown <= FLAT:
        return []
    return [f"private memory, without mapped files, grew by {grown:.1%} after the warm-up"]


def freed(calls: Iterable[Call], beats: Sequence[Beat]) -> dict[str, list[float]]:
    """Seconds from Stop and from leaving until the machine was free of that run: its event ended
    and every thread that worked for it rests. Of runs that had started and had not ended by then;
    infinite where its event or one of its threads never did."""
    own: dict[str, list[Beat]] = defaultdict(list)
    for beat in beats:
        own[beat.event].append(beat)
    found: dict[str, list[float]] = {STOPPED: [], LEFT: []}
    for call in calls:
        if call.outcome not in found or not call.event:
            continue
        started = any(b.what == STARTS and b.t <= call.ended for b in own[call.event])
        free = _free(own[call.event])
        if started and free > call.ended:
            found[call.outcome].append(free - call.ended)
    return found


def _free(own: Sequence[Beat]) -> float:
    """When the machine was free of the event with these beats."""
    count = Counter(beat.what for beat in own)
    if not count[ENDS] or count[RESTS] < count[WORKS]:
        return math.inf
    return max(beat.t for beat in own if beat.what in (ENDS, RESTS))


def next_starts(calls: Iterable[Call], beats: Sequence[Beat]) -> list[float]:
    """Seconds from Stop or leaving of the run in the one place until the next one starts there,
    where somebody waited."""
    starts = [beat for beat in beats if beat.what == STARTS and beat.first]
    samples = [beat for beat in beats if beat.what == SAMPLE]
    found = []
    for call in calls:
        if call.outcome not in (STOPPED, LEFT) or not call.event:
            continue
        before = [b for b in starts if b.t <= call.ended]
        later = [b.t for b in starts if b.t > call.ended]
        waited = [b.waiting for b in samples if b.t <= call.ended][-1:]
        if before and before[-1].event == call.event and later and waited and waited[0]:
            found.append(later[0] - call.ended)
    return found


def held(calls: Sequence[Call], beats: Sequence[Beat]) -> list[str]:
    """Stops and leavings after which the machine was not free soon enough."""
    late = {STOPPED: "Stop", LEFT: "leaving"}
    found = [
        f"{late[how]} freed the machine after {seconds:.1f} s"
        for how, all_seconds in freed(calls, beats).items()
        for seconds in all_seconds
        if seconds > FREE_WITHIN
    ]
    late_starts = (s for s in next_starts(calls, beats) if s > FREE_WITHIN)
    return found + [f"the next in the queue started {s:.1f} s later" for s in late_starts]


def placeless(calls: Iterable[Call], beats: Iterable[Beat]) -> list[str]:
    """Calls that got no place in the queue, were not told it, or were overtaken."""
    started = {beat.event: beat.t for beat in beats if beat.what == STARTS}
    found = []
    for call in calls:
        who = f"{call.visitor}, {call.function}"
        if call.outcome == FULL:
            found.append(f"{who}: no place in the queue: {call.words[:100]!r}")
        elif call.places is None:
            continue
        elif list(call.places) != sorted(call.places, reverse=True):
            found.append(f"{who}: was overtaken, places {call.places}")
        elif call.event and not call.places and call.outcome in (DONE, STOPPED, CUT):
            waited = started.get(call.event, call.ended) - call.began
            if waited > ANSWERED:
                found.append(f"{who}: waited {waited:.1f} s and was told no place")
    return found


def latencies(calls: Iterable[Call]) -> dict[str, tuple[int, float, float]]:
    """How often each function answered, and in how many seconds: median and 95th percentile."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for call in calls:
        if call.outcome == DONE:
            seconds[call.function].append(call.seconds)
    return {n: (len(s), median(s), percentile(s, 0.95)) for n, s in sorted(seconds.items())}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least that share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def running(beats: Iterable[Beat]) -> dict[str, tuple[int, float, float]]:
    """As `latencies`, of the server's own seconds from a run's start to its end."""
    begun: dict[str, Beat] = {}
    seconds: dict[str, list[float]] = defaultdict(list)
    for beat in beats:
        if beat.what == STARTS:
            begun[beat.event] = beat
        if beat.what == ENDS and beat.event in begun:
            seconds[beat.function].append(beat.t - begun[beat.event].t)
    return {n: (len(s), median(s), percentile(s, 0.95)) for n, s in sorted(seconds.items())}


def untried(functions: Iterable[str], calls: Iterable[Call]) -> list[str]:
    """Functions that nobody called well to the end."""
    tried = {call.function for call in calls if call.outcome == DONE}
    return [f"{name} answered nobody" for name in functions if name not in tried]


def findings(book: Book, functions: Sequence[str]) -> Findings:
    """All that is wrong, by rule; an empty list is a rule that holds."""
    calls, beats = book.calls, book.beats
    log = "the server's log has a traceback" if "Traceback" in book.log else ""
    return {
        "errors are sentences": unspoken(calls) + ([log] if log else []),
        "who asks well gets an answer": unasked_errors(calls) + untried(functions, calls),
        "pages do not fail": [f"{who}: {words[:300]}" for who, words in book.complaints],
        "everyone sees their own": swapped(book.shown),
        "memory is flat": leaks(b for b in beats if b.t >= book.begun),
        "everyone has a place": placeless(calls, beats),
        "Stop and leaving free the machine": held(calls, beats),
        "a restart loses no download": [f"{address} is gone" for address in book.lost],
    }


def holds(found: Mapping[str, Sequence[str]]) -> bool:
    return not any(found.values())
