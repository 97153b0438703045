"""The rules of the load test find what they are for, in made-up records; nothing is started."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from PIL import Image

from demos import clay
from demos.kit.imaging import GONE
from demos.papers import PAPERS
from tests.load import judge, report
from tests.load.functions import ASKS, MOST, Own, hostile, own_of
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
    beats_of,
)
from tests.load.visitors import Portraits, seen_as

MB = 10**6
CALL = Call("visitor 1", "indomain_invert", 10.0, 14.0, DONE, event="a", places=(2, 1, 0))
SHOWN = Shown("visitor 1", "indomain_invert", "seed 1, 4 steps", "aa", "visitor 1")
TRACEBACK = 'Traceback (most recent call last):\n  File "app.py", line 3, in run\nKeyError: 3'


def memory(*megabytes: float) -> list[Beat]:
    """A sample every two seconds."""
    return [Beat(2.0 * i, SAMPLE, bytes=round(mb * MB)) for i, mb in enumerate(megabytes)]


def run(event: str, begin: float, end: float, rests: float | None = None) -> list[Beat]:
    """A run in the one place; its thread rests when it ends, or later."""
    about = {"event": event, "function": "indomain_invert", "first": True}
    beats = [Beat(begin, STARTS, **about), Beat(begin, WORKS, event=event)]
    rest = Beat(end if rests is None else rests, RESTS, event=event)
    return [*beats, Beat(end, ENDS, **about), rest]


def healthy() -> Book:
    """A short load test in which every rule holds."""
    stopped = replace(CALL, outcome=STOPPED, began=14.0, ended=18.0, event="b")
    left = replace(CALL, visitor="visitor 2", outcome=LEFT, ended=22.0, event="c", places=None)
    harm = replace(CALL, outcome=REFUSED, hostile=True, event="d", words=GONE)
    beats = [*run("a", 11, 14), *run("b", 15, 18.4, 18.9), *run("c", 19, 22.2), *run("d", 23, 23.1)]
    book = Book(0.0, [CALL, stopped, left, harm], [SHOWN], [*beats, *memory(*[900.0] * 15)])
    book.promised["http://127.0.0.1/a"] = "aa"
    return book


@pytest.mark.parametrize(
    "words",
    [
        TRACEBACK,
        "KeyError: 'code'",
        "httpx.ReadTimeout: timed out while reading",
        "Internal Server Error",
        "HTTP 500: something is wrong here",
        "<class 'numpy.ndarray'> was not expected here",
        "expected a picture, got <PIL.Image object at 0x7f00>",
        "{'error': None, 'visible': True}",
        "there is no file /tmp/gradio-1/abc.png on disk",
        "The upstream Gradio app has raised an exception but has not enabled verbose error "
        "reporting. To enable, set show_error=True in launch().",
        "",
    ],
)  # fmt: skip
def test_what_is_no_sentence_is_found(words):
    book = healthy()
    book.calls.append(replace(CALL, outcome=REFUSED, hostile=True, words=words))
    assert judge.fault_of(words)
    assert broken(book) == ["errors are sentences"]


@pytest.mark.parametrize(
    "words",
    [
        GONE,
        "steps must be a whole number from 1 to 300; got nan. Correct it and call again.",
        "picture must be a picture: a file, its address or a data URI; got {'path': 5}. Correct it "
        "and call again.",
        "This file is not a picture that can be opened. Use a PNG, JPEG or WebP file.",
    ],
)  # fmt: skip
def test_a_sentence_is_one(words):
    assert not judge.fault_of(words)


def test_a_traceback_in_the_log_is_found():
    book = healthy()
    book.log = f"* Running on local URL\n{TRACEBACK}\n"
    assert broken(book) == ["errors are sentences"]


def broken(book: Book) -> list[str]:
    found = judge.findings(book, ["indomain_invert"])
    assert judge.holds(found) == (not any(found.values()))
    return [rule for rule, cases in found.items() if cases]


def test_a_healthy_run_breaks_no_rule():
    assert broken(healthy()) == []


def test_a_refusal_of_a_good_call_and_a_function_that_nobody_reached_are_found():
    book = healthy()
    book.calls.append(replace(CALL, outcome=REFUSED, words=GONE))
    assert broken(book) == ["who asks well gets an answer"]
    assert judge.untried(["indomain_invert", "editgan_embed"], book.calls) == [
        "editgan_embed answered nobody"
    ]


@pytest.mark.parametrize(
    "other",
    [
        replace(SHOWN, digest="bb", nearest="visitor 2", asked="seed 1, 5 steps"),
        replace(SHOWN, digest="bb"),  # the same call, another result
        Shown("visitor 2", "indomain_invert", "seed 2, 4 steps", "aa", "visitor 2"),
    ],
)  # fmt: skip
def test_a_swapped_picture_is_found(other):
    book = healthy()
    book.shown.append(other)
    assert broken(book) == ["everyone sees their own"]


def test_what_is_nobodys_picture_may_be_the_same_for_all():
    same = replace(SHOWN, nearest="", own=False)
    assert not judge.swapped([same, replace(same, visitor="visitor 2", asked="seed 2")])


def test_portraits_tell_visitors_apart_and_a_blurred_one_is_its_owners():
    names = [f"visitor {i + 1}" for i in range(4)]
    portraits = Portraits(names)
    for i, name in enumerate(names):
        with Image.open(own_of(i).file) as file:
            assert portraits.nearest(file.resize((24, 24)).resize((128, 128))) == name


@pytest.mark.parametrize(
    ("megabytes", "leaks"),
    [
        ([700] * 10 + list(np.linspace(1000, 1060, 30)), False),  # 4.6 % between the quarters
        ([700] * 10 + list(np.linspace(1000, 1080, 30)), True),  # 6.1 %
        (list(np.linspace(400, 1000, 13)) + [1000] * 27, False),  # the warm-up
        ([1000] * 20 + [1500] + [1000] * 20, False),  # a peak
        ([1000] * 5, True),  # nobody can tell
    ],
)
def test_a_leak_is_found_and_a_peak_is_none(megabytes, leaks):
    assert bool(judge.leaks(memory(*megabytes))) == leaks


@pytest.mark.parametrize(
    ("outcome", "ends", "rests", "late"),
    [
        (STOPPED, 14.5, 15.0, False),
        (STOPPED, 14.1, 18.0, True),  # its event ended, its thread worked on
        (LEFT, 18.0, 18.0, True),
    ],
)
def test_a_run_that_goes_on_for_nobody_is_found(outcome, ends, rests, late):
    beats = run("a", 11, ends, rests)
    calls = [replace(CALL, outcome=outcome)]
    assert bool(judge.held(calls, beats)) == late
    assert judge.freed(calls, beats)[outcome] == pytest.approx([max(ends, rests) - 14.0])


def test_a_run_that_never_ends_and_a_late_next_one_are_found():
    left = [replace(CALL, outcome=LEFT)]
    assert judge.held(left, run("a", 11, 14.2)[:1]) == ["leaving freed the machine after inf s"]
    beats = [Beat(12, SAMPLE, waiting=3), *run("a", 11, 14.2), *run("b", 19, 20)]
    assert judge.held(left, beats) == ["the next in the queue started 5.0 s later"]
    nobody = [replace(beats[0], waiting=0), *beats[1:]]
    assert judge.held(left, nobody) == []


def test_an_end_whose_thread_never_rests_frees_nothing():
    stopped, beats = [replace(CALL, outcome=STOPPED)], run("a", 11, 14.2)
    assert judge.freed(stopped, beats[:-1])[STOPPED] == [math.inf]
    again = [Beat(14.1, WORKS, event="a"), Beat(14.2, ENDS, "a")]
    assert judge.freed(stopped, [*beats, *again])[STOPPED] == [math.inf]  # one of two rests
    unbegun = [beat for beat in beats if beat.what in (STARTS, ENDS)]
    assert judge.freed(stopped, unbegun)[STOPPED] == pytest.approx([0.2])  # no thread began


def test_memory_is_the_process_s_own_and_no_mapped_file(tmp_path):
    from tests.load.server import private

    (tmp_path / "weights").write_bytes(bytes(64 * MB))
    before = private()
    mapped = np.memmap(tmp_path / "weights", np.uint8, "r")
    assert not mapped.any() and private() - before < 8 * MB
    own = np.ones(64 * MB, np.uint8)
    assert private() - before > 60 * MB and own.all()


def test_a_page_s_run_is_the_last_of_its_events_to_start_before_it_was_stopped():
    beats = [*run("a", 11, 12), *run("b", 13, 14), *run("c", 15, 16)]
    page = replace(CALL, outcome=STOPPED, ended=14.5, event="c a x b", places=None)
    assert [call.event for call in judge.resolved([page, CALL], beats)] == ["b", "a"]
    assert judge.resolved([replace(page, event="x y")], beats)[0].event == ""


@pytest.mark.parametrize(
    "call",
    [
        replace(CALL, outcome=FULL, words="Queue is full! Please try again.", places=()),
        replace(CALL, places=(3, 2, 4, 1)),
        replace(CALL, places=(), event="c", began=10.0),  # waited 9 s, heard nothing
        replace(CALL, places=(), event="nobody", outcome=CUT),
    ],
)
def test_who_has_no_place_is_found(call):
    book = healthy()
    book.calls.append(call)
    assert broken(book) == ["everyone has a place"]


def test_who_did_not_wait_needs_no_place():
    assert not judge.placeless([replace(CALL, places=())], healthy().beats)


def test_a_complaint_of_a_page_and_a_lost_download_are_found():
    book = healthy()
    book.complaints.append(("browser 1", "HTTP 502: /gradio_api/queue/join"))
    book.lost.append("http://127.0.0.1/a")
    assert broken(book) == ["pages do not fail", "a restart loses no download"]


def test_the_95th_percentile_is_one_of_the_seconds():
    calls = [replace(CALL, ended=10.0 + i) for i in range(1, 101)]
    assert judge.latencies(calls) == {"indomain_invert": (100, 50.5, 95.0)}
    assert judge.percentile([3.0], 0.95) == 3.0


def test_records_are_kept_and_told(tmp_path):
    book = healthy()
    book.write(tmp_path / "records.json")
    assert len(json.loads((tmp_path / "records.json").read_text())["beats"]) == len(book.beats)
    found = judge.findings(book, ["indomain_invert", "editgan_embed"])
    told = report.figures(book, found, 2, 0, 0.5)
    assert json.loads(json.dumps(told))["seconds until free"]["stopped"] == {
        "count": 1, "median": 0.9, "most": 0.9,
    }  # fmt: skip
    words = report.table(told)
    assert "editgan_embed answered nobody" in words and "BROKEN, 1 times" in words
    assert np.asarray(report.plot(book)).std() > 0


def test_who_is_late_writes_nothing_into_the_book():
    book = healthy()
    before = len(book.calls), len(book.shown), len(book.promised)
    book.close()
    book.add(CALL)
    book.add(SHOWN)
    book.complain("visitor 1", "the server is gone")
    book.promise("http://127.0.0.1/b", "bb")
    assert (len(book.calls), len(book.shown), len(book.promised)) == before
    assert not book.complaints


def test_a_journal_is_read_to_its_last_whole_line(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"t": 1.5, "what": "starts", "event": "a"}\n{"t": 2.5, "wh')
    assert list(beats_of(path)) == [Beat(1.5, STARTS, "a")]
    assert list(beats_of(tmp_path / "none")) == []


def test_every_documented_function_is_asked_for():
    on = [paper for paper in PAPERS if paper.page]
    named = {f"{p.slug}_{f.__name__}" for p in on for f in p.functions(lambda: None)}
    named |= {f"clay_{function.__name__}" for function in clay.FUNCTIONS}
    off = tuple(paper.slug for paper in PAPERS if not paper.page)
    assert named == {name for name in ASKS if not name.startswith(off or "nothing")}


def test_visitors_have_portraits_of_their_own_and_draw_the_same_again():
    owns = [own_of(i) for i in range(MOST)]
    assert len({own.seed for own in owns}) == MOST and all(own.file.exists() for own in owns)
    own = Own(owns[3].seed, owns[3].file, {"mask": Image.new("RGB", (128, 128), "red")})
    for name, ask in ASKS.items():
        first, again = (ask.arguments(Random(5), own) for _ in range(2))
        assert first == again, name
    drawn = {hostile(Random(i), own)[0] for i in range(100)}
    assert len({name.split("_")[0] for name in drawn}) == 5  # clay and four papers


def test_a_picture_and_a_latent_are_known_by_what_is_in_them(tmp_path):
    from safetensors.numpy import save

    code = np.zeros((1, 12, 8), np.float32)
    one, two = (save({"code": code}, {"config": words}) for words in ("a", "b"))
    assert one != two and seen_as(one, None) == seen_as(two, None)
    assert seen_as(save({"code": code + 1}), None) != seen_as(one, None)
    black, white = (Image.new("RGB", (4, 4), colour) for colour in ("black", "white"))
    assert seen_as(b"x", black) == seen_as(b"y", black) != seen_as(b"x", white)
