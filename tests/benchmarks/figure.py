"""Lines in a plane as a picture, drawn with Pillow alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE, MARGIN = (760, 520), (70, 36, 200, 52)  # pixels; margins left, top, right, bottom
COLOURS = ("#d1495b", "#00798c", "#3a6ea5", "#7a5195", "#2f2f2f", "#e39802")
Curve = Sequence[tuple[float, float]]


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

    for share in np.linspace(0, 1, 6):
        x, y = low + share * (high - low)
        column, row = place(x, y)
        pen.line([(column, box[1]), (column, box[3])], "#e6e6e6")
        pen.line([(box[0], row), (box[2], row)], "#e6e6e6")
        pen.text((column, box[3] + 6), f"{x:.2f}", "#333333", font, anchor="ma")
        pen.text((box[0] - 8, row), f"{y:.2f}", "#333333", font, anchor="rm")
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
