"""A load test in figures, as a table, and as a picture of memory and queue over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from tests.benchmarks.figure import draw_curves
from tests.load.judge import (
    Findings,
    freed,
    growth,
    latencies,
    next_starts,
    percentile,
    running,
)
from tests.load.records import SAMPLE, Book

SHOWN = 5  # broken rules' cases that the table names
Figures = dict[str, Any]


def figures(book: Book, found: Findings, visitors: int, browsers: int, minutes: float) -> Figures:
    """Everything that is to be said, as JSON has it."""
    samples = [beat for beat in book.beats if beat.what == SAMPLE]
    grown = growth(b for b in book.beats if b.t >= book.begun)
    memory = [round(s.bytes / 1e6) for s in samples[:: max(1, len(samples) // 10)]]
    places = [place for call in book.calls for place in call.places or ()]
    return {
        "visitors": visitors, "browsers": browsers, "minutes": minutes,
        "calls": dict(Counter(call.outcome for call in book.calls)),
        "hostile": sum(call.hostile for call in book.calls),
        "seconds": {n: _rounded(row) for n, row in latencies(book.calls).items()},
        "seconds of the run alone": {n: _rounded(row) for n, row in _long(book)},
        "pictures and codes looked at": len(book.shown),
        "compared with all portraits": sum(bool(s.nearest) for s in book.shown),
        "place in the queue, the last": max(places, default=0) + bool(places),
        "waiting at once, most": max((s.waiting for s in samples), default=0),
        "private memory, without mapped files, MB": memory,
        "private memory, growth after the warm-up": None if grown is None else round(grown, 4),
        "seconds until free": {how: _spread(s) for how, s in freed(book.calls, book.beats).items()},
        "seconds until the next starts": _spread(next_starts(book.calls, book.beats)),
        "promised downloads": len(book.promised), "lost by a restart": len(book.lost),
        "findings": found,
    }  # fmt: skip


def _long(book: Book) -> Iterator[tuple[str, tuple[int, float, float]]]:
    """What ran in the one place, by function."""
    first = {beat.function for beat in book.beats if beat.first}
    return ((name, row) for name, row in running(book.beats).items() if name in first)


def _rounded(row: Sequence[float]) -> list[float]:
    return [round(value, 2) for value in row]


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {"count": 0}
    named = {"median": percentile(seconds, 0.5), "most": max(seconds)}
    return {"count": len(seconds), **{name: round(value, 2) for name, value in named.items()}}


def table(told: Figures) -> str:
    """Seconds by function, the other figures, and the rules with what breaks them."""
    lines = [f"{'':42}{'calls':>7}{'median, s':>11}{'p95, s':>9}"]
    for name, (count, middle, high) in told["seconds"].items():
        lines.append(f"{name:42}{count:>7.0f}{middle:>11.2f}{high:>9.2f}")
    lines.append("")
    left_out = ("seconds", "seconds of the run alone", "findings")
    lines += (f"{name:42}{_plain(told[name])}" for name in told if name not in left_out)
    lines.append("")
    for rule, cases in told["findings"].items():
        lines.append(f"{rule:42}{f'BROKEN, {len(cases)} times' if cases else 'holds'}")
        lines += (f"    {case}" for case in cases[:SHOWN])
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)


def plot(book: Book) -> Image.Image:
    """Private memory above, the queue below, over the minutes."""
    samples = [beat for beat in book.beats if beat.what == SAMPLE]
    minutes = [(beat.t - book.begun) / 60 for beat in samples] or [0.0]
    memory = [beat.bytes / 1e6 for beat in samples] or [0.0]
    waiting = [float(beat.waiting) for beat in samples] or [0.0]
    charts = [
        draw_curves({"private": list(zip(minutes, memory, strict=True))}, "minutes", "memory, MB"),
        draw_curves(
            {"waiting": list(zip(minutes, waiting, strict=True))}, "minutes", "in the queue"
        ),
    ]
    sheet = Image.new("RGB", (charts[0].width, sum(chart.height for chart in charts)), "white")
    sheet.paste(charts[0], (0, 0))
    sheet.paste(charts[1], (0, charts[0].height))
    return sheet
