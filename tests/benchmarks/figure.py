"""Lines in a plane as a picture, drawn with Pillow alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE, MARGIN = (760, 520), (70, 36, 200, 52)  # pixels; margins left, top, right, bottom
COLOURS = ("#d1495b", "#00798c", "#3a6ea5", "#7a5195", "#2f2f2f", "#e39802")
Curve = Sequence[tuple[float, float]]
Drawn = tuple[Mapping[str, Curve], str, str]  # curves by name, and the names of both axes


def draw_curves(curves: Mapping[str, Curve], x_name: str, y_name: str) -> Image.Image:
    """Named curves of (x, y) with a mark at every point; the axes span what is there."""
    points = np.array([point for curve in curves.values() for point in curve], float)
    low, high = points.min(0), points.max(0)
    gap = np.maximum(high - low, 1e-3) * 0.05
    low, high = low - gap, high + gap
    image = Image.new("RGB", SIZE, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    left, top, right, bottom = MARGIN
    box = (left, top, SIZE[0] - right, SIZE[1] - bottom)

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (np.array([x, y]) - low) / (high - low)
        return box[0] + across * (box[2] - box[0]), box[3] - up * (box[3] - box[1])

    for x in ticks(low[0], high[0]):
        column, _ = place(x, low[1])
        pen.line([(column, box[1]), (column, box[3])], "#e6e6e6")
        pen.text((column, box[3] + 6), f"{x:g}", "#333333", font, anchor="ma")
    for y in ticks(low[1], high[1]):
        _, row = place(low[0], y)
        pen.line([(box[0], row), (box[2], row)], "#e6e6e6")
        pen.text((box[0] - 8, row), f"{y:g}", "#333333", font, anchor="rm")
    pen.rectangle(box, outline="#777777")
    pen.text(((box[0] + box[2]) / 2, SIZE[1] - 8), x_name, "black", font, anchor="md")
    pen.text((8, 4), y_name, "black", font)
    for index, (name, curve) in enumerate(curves.items()):
        colour, dots = COLOURS[index % len(COLOURS)], [place(*point) for point in curve]
        pen.line(dots, colour, 2)
        for x, y in dots:
            pen.ellipse([x - 4, y - 4, x + 4, y + 4], fill=colour)
        row = box[1] + 10 + 24 * index
        pen.line([(box[2] + 14, row), (box[2] + 38, row)], colour, 3)
        pen.text((box[2] + 46, row), name, "black", font, anchor="lm")
    return image


def mean_curve(curves: Sequence[Curve]) -> list[tuple[float, ...]]:
    """The mean of curves of equally many points, point by point."""
    return [tuple(np.mean(points, axis=0).tolist()) for points in zip(*curves, strict=True)]


def points(table: Mapping[str, Mapping[str, float]], x: str, y: str) -> dict[str, Curve]:
    """Each row of a table as a curve of one point, where it has both figures."""
    return {name: [(row[x], row[y])] for name, row in table.items() if x in row and y in row}


def ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round numbers from low to high, at most so many: multiples of 1, 2 or 5 tenths and so on."""
    step = next(s for s in _steps((high - low) / most) if (high - low) / s <= most)
    return [round(i * step, 6) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _steps(least: float) -> Iterator[float]:
    """1, 2 and 5 times the powers of ten, from below `least` up."""
    power = 10.0 ** math.floor(math.log10(least))
    return (power * factor for factor in (1, 2, 5, 10))
