"""Colours and gloss of the props of `props`: albedo in linear light, as in `shading`."""

from __future__ import annotations

import math

from examples.clay.compiled import device
from examples.clay.patterns import hsv
from examples.clay.props import (
    BARE,
    HAND,
    HEADPHONES,
    MICROPHONE,
    MUG,
    MUG_R,
    SCARF,
    SLEEVE,
    STICKER,
    camera_island,
    camera_lens,
    cup_x,
    hand_frame,
    held,
    kind,
    knit,
    loop,
    microphone_frame,
    mug_frame,
    phone_frame,
    sticker,
    sticker_frame,
)
from examples.clay.shapes import angle, bump, length2, mix, noise2, rise, wave


@device
def tint(f, turn, saturation, value):
    """The thing's own colour, `turn` further round the hues."""
    return hsv(3.0 * f.prop_look - kind(f) + turn, saturation, value)


@device
def sticker_paint(x, y, z, f):
    """Albedo of the sticker: a white rim, a colour, a face on the round one."""
    if sticker(x, y, z, f) > -0.13:
        return 0.82, 0.82, 0.82
    if kind(f) < 2:
        return tint(f, 0.12 if kind(f) == 0 else 0.95, 0.82, 0.92)
    u, v = sticker_frame(x, y, z, f)
    smile = abs(length2(u, v - 0.05) - 0.48) < 0.085 and v < -0.12
    if smile or length2((abs(u) - 0.27) / 0.75, v - 0.22) < 0.15:
        return 0.03, 0.02, 0.02
    return tint(f, 0.14, 0.80, 0.95)


@device
def bare_paint(x, y, z, f):
    """Albedo of a hand: the portrait's skin, with nails and the lines of palm and joints."""
    k = 1.0 + 0.03 * noise2(9.0 * x, 9.0 * y, 51)
    r, g, b = f.skin_r * k, f.skin_g * k, f.skin_b * k
    if f.prop < HAND - 0.5 or f.prop > HAND + 0.5:
        return r, g * 0.95, b * 0.94
    u, v, w = hand_frame(x, y, z, f)
    line = 0.0
    for k in range(4):
        long = 0.50 - 0.0495 * (k - 1.1) * (k - 1.1)
        at = 0.205 - 0.136 * k
        if kind(f) == 0:  # its back: nails
            fan = (0.12 - 0.085 * k) * 0.35
            pu, pv = u - 0.20 - 0.95 * long, v - at - fan * long * 0.97
            if w > -0.04 and length2(pu / 0.062, pv / 0.042) < 1.0:
                return mix(r, 0.85, 0.4), mix(g, 0.55, 0.4), mix(b, 0.52, 0.4)
            near = rise(0.10, 0.02, abs(v - at - fan * 0.5 * long))
            line += 0.7 * bump((u - 0.21 - 0.5 * long) / 0.022) * near
        elif kind(f) == 1:  # its palm: joints
            near = rise(0.09, 0.05, abs(v - at))
            line += bump((u - 0.25) / 0.016) * near + bump((u - 0.20 - 0.5 * long) / 0.014) * near
    if kind(f) == 1 and u < 0.2:
        line += bump((length2(u + 0.22, v - 0.22) - 0.22) / 0.014)
        line += rise(0.25, 0.1, abs(v)) * bump((u - 0.10 - 0.25 * v) / 0.014)
    line = 0.30 * min(line, 1.0)
    return r * (1.0 - 0.7 * line), g * 0.94 * (1.0 - line), b * 0.93 * (1.0 - line)


@device
def mug_paint(x, y, z, f):
    """Albedo of the mug: glaze with a stripe, dots or two colours; coffee inside."""
    x, y, z = mug_frame(x, y, z, f)
    rho = length2(x, z)
    if rho < MUG_R - 0.05 and y > 0.0:
        return 0.06, 0.025, 0.012
    if rho > MUG_R + 0.06:
        return tint(f, 0.0, 0.72, 0.70) if kind(f) == 0 else (0.80, 0.78, 0.74)
    if kind(f) == 0:
        inside = abs(y - 0.03) < 0.11 or abs(abs(y - 0.03) - 0.155) < 0.018
        return tint(f, 0.0, 0.72, 0.70) if inside else (0.80, 0.78, 0.74)
    if kind(f) == 1:
        row = math.floor(y / 0.17)
        t = 13.0 * angle(x, z) + 0.5 * (row % 2.0)
        dot = length2((t - math.floor(t) - 0.5) * 0.16, y - 0.17 * (row + 0.5))
        return tint(f, 0.5, 0.70, 0.75) if dot < 0.045 else (0.80, 0.78, 0.74)
    if y > 0.10 + 0.03 * wave(4.0 * angle(x, z)):
        return tint(f, 0.08, 0.25, 0.92)
    return tint(f, 0.0, 0.65, 0.50)


@device
def microphone_paint(x, y, z, f):
    """Albedo of the microphone: a mesh ball, or foam over a coloured cube; a dark handle."""
    x, y, z = microphone_frame(x, y, z, f)
    if kind(f) == 1:
        if y > -0.21:
            k = 0.75 + 0.45 * noise2(70.0 * angle(x, z), 42.0 * y, 53)
            r, g, b = tint(f, 0.0, 0.75, 0.50)
            return r * k, g * k, b * k
        if y > -0.51 and max(abs(x), abs(z)) > 0.13:
            frame = max(abs(x), abs(y + 0.36) * 1.25)
            return tint(f, 0.0, 0.80, 0.75) if frame < 0.115 else (0.85, 0.85, 0.85)
        return 0.03, 0.03, 0.035
    if y > -0.155:
        if abs(y + 0.02) < 0.028:
            return 0.30, 0.30, 0.31
        t = 34.0 * angle(x, z)
        rows = y / 0.030
        hole = max(abs(wave(t + 0.5 * rows)), abs(wave(t - 0.5 * rows)))
        k = mix(0.10, 0.62, rise(0.55, 0.95, hole)) * (1.0 if kind(f) == 2 else 0.55)
        return k, k, k * 1.03
    if kind(f) == 2:
        return tint(f, 0.0, 0.70, 0.55)
    return (0.03, 0.03, 0.035) if y < -0.235 else tint(f, 0.0, 0.75, 0.70)


@device
def phone_paint(x, y, z, f):
    """Albedo of the phone's back with its camera."""
    x, y, z = phone_frame(x, y, z, f)
    lens = camera_lens(x, y, f)
    if z > 0.03 and camera_island(x, y, f) < 0.0:
        if lens < 0.046:
            return (0.12, 0.14, 0.22) if lens < 0.014 else (0.008, 0.008, 0.012)
        if lens < 0.056:
            return 0.45, 0.45, 0.47
        return tint(f, 0.0, 0.55, 0.38)
    if z > 0.02 and length2(x, y + 0.02) < 0.045:
        return tint(f, 0.0, 0.25, 0.95)
    return tint(f, 0.0, 0.60, 0.62)


@device
def headphones_paint(x, y, z, f):
    """Albedo of the headphones: shells, dark cushions, a ring on each cup."""
    ax, at = abs(x), cup_x(f)
    turned = length2(y + 0.07, z + 0.03)
    if turned < 0.30 and ax < at - 0.055:
        return 0.025, 0.025, 0.028
    if turned < 0.17 and turned > 0.125 and ax > at:
        return 0.75, 0.75, 0.76
    if kind(f) == 1:
        return (0.04, 0.04, 0.045) if turned > 0.3 else tint(f, 0.0, 0.70, 0.70)
    return tint(f, 0.55 if kind(f) == 2 else 0.0, 0.60, 0.72)


@device
def scarf_paint(x, y, z, f):
    """Albedo of the scarf: stripes round each winding, darker in the folds."""
    best, turn, round_ = 9.0, 0.0, 0.0
    for k in range(3):
        d, t, r = loop(x, y, z, f, k)
        if d < best:
            best, turn, round_ = d, t + 0.31 * k, r
    if best > 0.06:  # the hanging end
        turn, round_ = 0.12 * y, 0.2
    shade = 0.86 + 0.16 * knit(turn, round_) + 0.05 * noise2(60.0 * x, 60.0 * y, 52)
    stripe = 12.0 * turn
    stripe = stripe - math.floor(stripe)
    if kind(f) == 0 and stripe < 0.35:
        r, g, b = 0.78 * shade, 0.74 * shade, 0.66 * shade
        return r, g, b
    if kind(f) == 2 and stripe < 0.5:
        r, g, b = tint(f, 0.5, 0.55, 0.75)
    else:
        r, g, b = tint(f, 0.0, 0.68, 0.68)
    return r * shade, g * shade, b * shade


@device
def prop_paint(x, y, z, f):
    """Albedo of a point of a solid prop or of the sticker."""
    if f.prop > STICKER - 0.5:
        return sticker_paint(x, y, z, f)
    if f.prop > SCARF - 0.5:
        return scarf_paint(x, y, z, f)
    if f.prop > HEADPHONES - 0.5:
        return headphones_paint(x, y, z, f)
    d, what = held(x, y, z, f)
    if what == BARE:
        return bare_paint(x, y, z, f)
    if what == SLEEVE:
        return min(f.cloth_r, 0.9), min(f.cloth_g, 0.9), min(f.cloth_b, 0.9)
    if f.prop < MUG + 0.5:
        return mug_paint(x, y, z, f)
    if f.prop < MICROPHONE + 0.5:
        return microphone_paint(x, y, z, f)
    return phone_paint(x, y, z, f)


@device
def prop_gloss(x, y, z, f):
    """(strength, exponent, wrap of the diffuse light, red of the terminator) of a prop's point."""
    if f.prop > STICKER - 0.5:
        return 0.22, 40.0, 0.3, 0.0
    if f.prop > SCARF - 0.5:
        return 0.02, 10.0, 0.3, 0.0
    if f.prop > HEADPHONES - 0.5:
        return 0.40, 40.0, 0.2, 0.0
    d, what = held(x, y, z, f)
    if what == BARE:
        return 0.085, 16.0, 0.32, 0.16
    if what == SLEEVE:
        return 0.02, 10.0, 0.25, 0.0
    if f.prop > MICROPHONE - 0.5 and f.prop < MICROPHONE + 0.5:
        return 0.35, 22.0, 0.2, 0.0
    return 0.60, 70.0, 0.25, 0.0
