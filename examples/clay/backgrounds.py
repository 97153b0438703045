"""What stands behind a clay portrait: six procedural backdrops, one scalar function per sample.

`background(px, py, p)` gives the linear-light colour at a picture coordinate. Nothing is drawn at
random: every shelf, leaf and lamp comes from an integer hash of its cell and of the layout number
(`variant`), so a pixel costs about a microsecond, needs no memory, and is the same on every
machine.

A portrait lens throws what is far behind a person out of focus, so that a generator need not learn
each book's spine: `focus` 0, all that is ever drawn, shows `defocus`'s soft shapes; 1 shows
`clutter`'s sharp ones; between, one over the other, as a soft-focus filter mixes them. Every
continuous parameter moves the soft picture smoothly.
"""

from __future__ import annotations

import math

import numpy as np

from examples.clay.clutter import sharp
from examples.clay.defocus import soft
from examples.clay.parameters import INDEX
from examples.clay.patterns import device, hsv, mix, ramp, times

KIND, VARIANT, FOCUS = INDEX["background"], INDEX["variant"], INDEX["focus"]
HUE, SATURATION, VALUE = INDEX["bg_hue"], INDEX["bg_saturation"], INDEX["bg_value"]
HUE2, VALUE2 = INDEX["bg_hue2"], INDEX["bg_value2"]
SHIFT_X, SHIFT_Y, SCALE = INDEX["bg_x"], INDEX["bg_y"], INDEX["bg_scale"]


@device
def _plain(px, py, first):
    far = (px + 0.25) ** 2 + (py + 0.35) ** 2
    return times(first, 1.06 - 0.09 * far)


@device
def _gradient(px, py, p, first, second):
    """A spot on a paper roll, or one colour running into the other in three directions."""
    variant = int(p[VARIANT])
    if variant == 0:
        x, y = px - 0.5 * p[SHIFT_X], py - 0.5 * p[SHIFT_Y]
        spot = math.exp(-(x * x + y * y) / (0.5 + 0.9 * p[SCALE]))
        second_lit = ramp(-0.3, 0.3, p[VALUE2] - p[VALUE])  # the spot is the brighter colour
        t = second_lit * spot + (1.0 - second_lit) * (1.0 - spot)
        return times(mix(first, mix(second, first, 0.3), t), 0.86 + 0.2 * spot)
    angle = 1.0472 * variant - 0.5236 + 0.4 * p[SHIFT_X]
    slant = px * math.cos(angle) + py * math.sin(angle)
    return mix(first, mix(second, first, 0.3), ramp(-1.1, 1.1, slant + 0.4 * p[SHIFT_Y]))


@device
def _things(px, py, kind, p, first, second):
    if p[FOCUS] <= 0.0:
        return soft(px, py, kind, p, first, second)
    c = sharp(px, py, kind, p, first, second)
    if p[FOCUS] < 1.0:
        c = mix(soft(px, py, kind, p, first, second), c, p[FOCUS])
    return c


@device
def background(px, py, p):
    """Linear-light red, green and blue, float32 in about [0, 1], behind a portrait.

    px, py: picture coordinates in [-1, 1], x to the right, y down. p: a parameter vector (97,).
    """
    kind = int(p[KIND])
    tint = 0.06 + 0.34 * p[SATURATION]
    first = hsv(p[HUE], tint, 0.34 + 0.48 * p[VALUE])
    second = hsv(p[HUE2], tint, 0.34 + 0.48 * p[VALUE2])
    if kind == 0:
        c = _plain(px, py, first)
    elif kind == 1:
        c = _gradient(px, py, p, first, second)
    else:
        c = _things(px, py, kind, p, first, second)
        grey = 0.25 * c[0] + 0.6 * c[1] + 0.15 * c[2]
        c = mix(times(c, 0.85), (grey, grey, grey), 0.18)  # so that the head stands out
    return np.float32(max(c[0], 0.0)), np.float32(max(c[1], 0.0)), np.float32(max(c[2], 0.0))
