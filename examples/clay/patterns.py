"""Small scalar building blocks of the backdrops: integer hash, noise, soft edges, colours.

Compiled functions of numbers only, so that they also run inside a GPU kernel. A colour is a tuple
of linear-light red, green and blue. Symbols: a, an opacity; (i, j) a cell; salt, an integer that
tells one use of the hash from another.
"""

from __future__ import annotations

import math

from examples.clay.compiled import device


@device
def random(i, j, salt):
    """A number in [0, 1) that depends on three integers alone."""
    h = (i * 374761393 + j * 668265263 + salt * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0x46AC68BD) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFFFF) / 16777216.0


@device
def ramp(low, high, x):
    """0 below `low`, 1 above `high`, smooth between; falls instead where low > high."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@device
def noise(x, y, salt):
    """Smooth value noise in [0, 1) with features one unit wide."""
    i, j = math.floor(x), math.floor(y)
    u, v = x - i, y - j
    u, v = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v)
    i, j = int(i), int(j)
    top = random(i, j, salt) * (1.0 - u) + random(i + 1, j, salt) * u
    low = random(i, j + 1, salt) * (1.0 - u) + random(i + 1, j + 1, salt) * u
    return top * (1.0 - v) + low * v


@device
def mix(c, d, a):
    """Colour c, with d over it at opacity a."""
    return c[0] + (d[0] - c[0]) * a, c[1] + (d[1] - c[1]) * a, c[2] + (d[2] - c[2]) * a


@device
def times(c, k):
    """Colour c, k times as bright."""
    return c[0] * k, c[1] * k, c[2] * k


@device
def _hue_channel(h, s, v, n):
    k = (n + 6.0 * h) % 6.0
    c = v - v * s * max(0.0, min(min(k, 4.0 - k), 1.0))
    return c * (c * (c * 0.305306011 + 0.682171111) + 0.012522878)  # sRGB to linear, a cubic fit


@device
def hsv(h, s, v):
    """Linear-light colour of hue (turns), saturation and display value."""
    h = h - math.floor(h)
    return _hue_channel(h, s, v, 5.0), _hue_channel(h, s, v, 3.0), _hue_channel(h, s, v, 1.0)


@device
def box(x, y, left, top, right, bottom, soft):
    """Opacity of a rectangle with soft edges."""
    across = ramp(left - soft, left + soft, x) * ramp(right + soft, right - soft, x)
    return across * ramp(top - soft, top + soft, y) * ramp(bottom + soft, bottom - soft, y)
