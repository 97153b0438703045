"""A caption across the picture: a stroke font of capitals, a few phrases, and how they are set.

Letters are polylines on a grid 4 wide and 6 tall, so that their distance field gives strokes and
outlines of any width. Compiled functions of numbers only, as in `shapes`.
"""

from __future__ import annotations

import math

import numpy as np

from examples.clay.compiled import device
from examples.clay.patterns import hsv
from examples.clay.shapes import clamp, length2

# A letter is polylines "x y, x y; ..." with y up.
_GLYPHS = {
    "A": "0 0, 2 6, 4 0; .7 2, 3.3 2",
    "B": "0 0, 0 6, 2.6 6, 3.6 5, 3.6 4, 2.6 3.2, 0 3.2; 2.6 3.2, 4 2.2, 4 1, 3 0, 0 0",
    "C": "4 5, 3 6, 1 6, 0 5, 0 1, 1 0, 3 0, 4 1",
    "D": "0 0, 0 6, 2.4 6, 4 4.4, 4 1.6, 2.4 0, 0 0",
    "E": "4 0, 0 0, 0 6, 4 6; 0 3.1, 3.2 3.1",
    "F": "0 0, 0 6, 4 6; 0 3.1, 3.2 3.1",
    "G": "4 5, 3 6, 1 6, 0 5, 0 1, 1 0, 3 0, 4 1, 4 2.8, 2.3 2.8",
    "H": "0 0, 0 6; 4 0, 4 6; 0 3.1, 4 3.1",
    "I": "2 0, 2 6; .8 0, 3.2 0; .8 6, 3.2 6",
    "K": "0 0, 0 6; 4 6, 0 2.6; 1.3 3.7, 4 0",
    "L": "0 6, 0 0, 4 0",
    "M": "0 0, 0 6, 2 2.6, 4 6, 4 0",
    "N": "0 0, 0 6, 4 0, 4 6",
    "O": "1 0, 0 1, 0 5, 1 6, 3 6, 4 5, 4 1, 3 0, 1 0",
    "P": "0 0, 0 6, 3 6, 4 5, 4 3.7, 3 2.7, 0 2.7",
    "R": "0 0, 0 6, 3 6, 4 5, 4 3.9, 3 3, 0 3; 2 3, 4 0",
    "S": "4 5.1, 3 6, 1 6, 0 5.1, 0 4, 1 3.2, 3 2.8, 4 2, 4 .9, 3 0, 1 0, 0 .9",
    "T": "2 0, 2 6; 0 6, 4 6",
    "U": "0 6, 0 1, 1 0, 3 0, 4 1, 4 6",
    "V": "0 6, 2 0, 4 6",
    "W": "0 6, .9 0, 2 4, 3.1 0, 4 6",
    "Y": "0 6, 2 3, 4 6; 2 3, 2 0",
}
_PHRASES = ("BREAKING NEWS", "SAY CHEESE", "LATE SHOW", "MONDAY AGAIN", "HELLO WORLD", "LIVE")
_BLANK = len(_GLYPHS)


def _segments(polylines: str) -> list[tuple[float, ...]]:
    found = []
    for line in polylines.split(";"):
        points = [tuple(float(n) for n in point.split()) for point in line.split(",")]
        found += [(*a, *b) for a, b in zip(points[:-1], points[1:], strict=True)]
    return found


def _strokes() -> tuple[np.ndarray, np.ndarray]:
    """Segments (letters, most, 4) as x0, y0, x1, y1, and how many each letter has."""
    letters = [_segments(lines) for lines in _GLYPHS.values()]
    table = np.zeros((len(letters), max(map(len, letters)), 4))
    for i, segments in enumerate(letters):
        table[i, : len(segments)] = segments
    return table, np.array([len(segments) for segments in letters])


def _codes() -> np.ndarray:
    """Letters of every phrase, (phrases, longest), padded with blanks."""
    order = {letter: i for i, letter in enumerate(_GLYPHS)} | {" ": _BLANK}
    longest = max(map(len, _PHRASES))
    return np.array([[order[c] for c in phrase.ljust(longest)] for phrase in _PHRASES])


_STROKES, _COUNTS = _strokes()
_CODES = _codes()
_LENGTHS = np.array([len(phrase) for phrase in _PHRASES])
_ADVANCE = 5.7  # from one letter to the next; leaves room for strokes and outlines
_TALLEST = 0.25 / 6  # picture units a grid unit


@device
def _letter(u, v, code):
    """Distance in grid units from a point to the middle of a letter's strokes."""
    best = 9.0
    for k in range(_COUNTS[code]):
        ax, ay = _STROKES[code, k, 0], _STROKES[code, k, 1]
        bx, by = _STROKES[code, k, 2] - ax, _STROKES[code, k, 3] - ay
        t = clamp(((u - ax) * bx + (v - ay) * by) / (bx * bx + by * by), 0.0, 1.0)
        best = min(best, length2(u - ax - t * bx, v - ay - t * by))
    return best


@device
def lettering(px, py, phrase):
    """Distance in grid units to the strokes of a phrase centred at the origin; y down."""
    n = _LENGTHS[phrase]
    scale = min(1.80 / (_ADVANCE * n - 1.7), _TALLEST)
    u = px / scale + 0.5 * (_ADVANCE * n - 1.7)
    v = 3.0 - py / scale
    cell = int(math.floor((u + 0.85) / _ADVANCE))
    if cell < 0 or cell >= n or abs(v - 3.0) > 4.5 or _CODES[phrase, cell] == _BLANK:
        return 9.0
    return _letter(u - cell * _ADVANCE, v, _CODES[phrase, cell])


@device
def caption(px, py, f):
    """(seen, r, g, b) of the caption at a picture point: linear light.

    prop_look chooses a dark band, outlined letters or a bright tape, then the phrase and hue;
    prop_shift moves it from the eyes (-1) down to the neck (1).
    """
    style = int(min(3.0 * f.prop_look, 2.99))
    t = 3.0 * f.prop_look - style
    y = py - 0.36 - 0.30 * f.prop_shift
    if style == 2:
        y += 0.10 * px
    if abs(y) > 0.24:
        return False, 0.0, 0.0, 0.0
    d = lettering(px, y, int(min(len(_PHRASES) * t, len(_PHRASES) - 0.01)))
    if style == 1:
        r, g, b = hsv(0.13, 0.9 * (1.0 if t > 0.5 else 0.0), 1.0)
        k = 1.6 if d < 0.62 else 0.015
        return d < 1.05, r * k, g * k, b * k
    if style == 0:
        r, g, b = hsv(0.55 + 0.5 * t, 0.75, 0.42)
        if abs(abs(y) - 0.185) < 0.012 or d < 0.58:
            r, g, b = 1.4, 1.4, 1.4
        return abs(y) < 0.22, r, g, b
    r, g, b = hsv(0.10 + t, 0.65, 0.95)
    k = 0.03 if d < 0.58 else 1.1
    return abs(y) < 0.19, r * k, g * k, b * k
