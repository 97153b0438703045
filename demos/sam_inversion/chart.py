"""PSNR against seconds, as it grows: a line an optimisation, a point an encoder (Fig. 4.1)."""

from __future__ import annotations

import html
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image

from demos.kit.imaging import psnr
from demos.kit.words import decibels

Points = Sequence[tuple[float, float]]  # seconds, PSNR [dB]

LINES = ("var(--accent)", "#c8702f", "#6b7fd0", "#b8557f", "#9a8a2f", "#3f8fb0", "#868c88")


class Trail:
    """PSNR of the pictures that a stage reports, beside the seconds since it was begun."""

    def __init__(self, picture: Image.Image) -> None:
        self._picture = picture
        self.points: list[tuple[float, float]] = []

    def watching(self, work: Callable[[Callable], Any]) -> Callable[[Callable], Any]:
        """The stage, whose pictures are measured in its own thread as they come."""

        def watched(on_step: Callable) -> Any:
            begun = time.perf_counter()

            def seen(step: Any) -> Any:
                if step.images:
                    now = time.perf_counter() - begun
                    self.points.append((now, psnr(step.images[0], self._picture)))
                return on_step(step)

            return work(seen)

        return watched


def figure(curves: Mapping[str, Points]) -> str:
    """The curves by name as a figure, described in words for those who cannot see it."""
    drawn = {name: [p for p in points if math.isfinite(p[1])] for name, points in curves.items()}
    drawn = {name: points for name, points in drawn.items() if points}
    if not drawn:
        return ""
    every = [point for points in drawn.values() for point in points]
    right = _ceiling(max(seconds for seconds, _ in every))
    low = math.floor(min(level for _, level in every) - 0.5)
    high = max(math.ceil(max(level for _, level in every) + 0.5), low + 4)
    marks = range(low, high + 1, max(1, round((high - low) / 5)))
    grid = "".join(_level(mark, (mark - low) / (high - low)) for mark in marks)
    colours = dict(zip(drawn, LINES * len(drawn), strict=False))

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return 100 * point[0] / right, 100 - 100 * (point[1] - low) / (high - low)

    lines = "".join(_line([place(p) for p in drawn[name]], colours[name]) for name in drawn)
    dots = "".join(_dot(place(drawn[name][-1]), colours[name]) for name in drawn)
    words = "; ".join(f"{n} {decibels(p[-1][1])} after {p[-1][0]:.1f} s" for n, p in drawn.items())
    legend = "".join(_entry(name, points[-1], colours[name]) for name, points in drawn.items())
    return f"""<figure class="race"><p class="axis">PSNR, dB</p><div class="plot" role="img"
aria-label="{html.escape(f"PSNR against seconds: {words}")}">{grid}<svg viewBox="0 0 100 100"
preserveAspectRatio="none">{lines}</svg>{dots}</div>
<p class="axis ends"><span>0</span><span>seconds</span><span>{right:g}</span></p>
<ul>{legend}</ul></figure>"""


def _ceiling(seconds: float) -> float:
    """A round number of seconds that is not less."""
    power = 10.0 ** math.floor(math.log10(max(seconds, 0.1)))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= seconds)


def _level(mark: int, share: float) -> str:
    return f'<i style="bottom:{100 * share:.2f}%"><span>{mark}</span></i>'


def _line(points: Points, colour: str) -> str:
    path = " L".join(f"{x:.2f} {y:.2f}" for x, y in points)
    return f'<path d="M{path}" style="stroke:{colour}"/>'


def _dot(point: tuple[float, float], colour: str) -> str:
    x, y = point
    return f'<b style="left:{x:.2f}%;top:{y:.2f}%;background:{colour}"></b>'


def _entry(name: str, last: tuple[float, float], colour: str) -> str:
    seconds, level = last
    return (
        f'<li><i style="background:{colour}"></i>{html.escape(name)}'
        f"<span>{decibels(level)}, {seconds:.1f} s</span></li>"
    )
