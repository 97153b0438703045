"""The bookshelf of `clutter`: rows of books, piles, pots, plants, globes and pictures.

Symbols: x along a row, h the height above its board, room the height of the row, u in [0, 1] across
a place of a row; (k, row) a place; salt as in `patterns`.
"""

from __future__ import annotations

import math

from examples.clay.parameters import INDEX
from examples.clay.patterns import box, device, hsv, mix, noise, ramp, random, times

HUE, HUE2 = INDEX["bg_hue"], INDEX["bg_hue2"]
SATURATION, VALUE, SHIFT_X = INDEX["bg_saturation"], INDEX["bg_value"], INDEX["bg_x"]


@device
def _spine_color(i, j, salt, p):
    """Cloth and paper bindings: most near the two background hues, some in cream or dark."""
    pick, shade = random(i, j, salt), random(i, j, salt + 1)
    if pick < 0.22:
        return hsv(0.11, 0.12 + 0.15 * shade, 0.55 + 0.25 * shade)
    if pick < 0.38:
        return hsv(0.08 + 0.5 * shade, 0.25, 0.16 + 0.14 * shade)
    hue = p[HUE] if pick < 0.68 else p[HUE2]
    spread = 0.14 * (random(i, j, salt + 2) - 0.5)
    return hsv(hue + spread, 0.25 + 0.4 * random(i, j, salt + 3), 0.28 + 0.42 * shade)


@device
def _upright_books(c, x, h, row, room, salt, p, first, last):
    """Books `first` to `last` of a row standing at height 0; x in book widths."""
    i = int(math.floor(x))
    left = i + 0.55 * (random(i, row, salt) - 0.5)
    if x < left:
        i, right = i - 1, left
        left = i + 0.55 * (random(i, row, salt) - 0.5)
    else:
        right = i + 1 + 0.55 * (random(i + 1, row, salt) - 0.5)
        if x >= right:
            i, left = i + 1, right
            right = i + 1 + 0.55 * (random(i + 1, row, salt) - 0.5)
    if i < first or i > last:
        return c
    family = random(i // 4, row, salt + 1)  # neighbours are often one edition
    tall = room * (0.62 + 0.2 * family + 0.15 * (random(i, row, salt + 2) if family < 0.7 else 0.5))
    edition = i // 4 if family > 0.72 else i
    t = (x - left) / (right - left)
    color = times(_spine_color(edition, row, salt + 3, p), 0.45 + 0.75 * math.sin(3.0 * t + 0.1))
    band = random(edition, row, salt + 7)
    at = h / tall - (0.7 + 0.15 * band)
    title = ramp(0.10, 0.05, abs(at)) if band > 0.45 else ramp(0.035, 0.015, abs(at))
    if band > 0.2:
        color = mix(color, hsv(0.12, 0.3 * band, 0.75 if band < 0.8 else 0.2), 0.6 * title)
    return mix(c, color, ramp(tall + 0.014, tall - 0.014, h) * ramp(0.0, 0.10, min(t, 1.0 - t)))


@device
def _lying_books(c, x, h, k, row, salt, p):
    """A pile of four books in a place [0, 1] wide."""
    thick = 0.052
    i = int(math.floor(h / thick))
    if i < 0 or i > 2 + int(2.0 * random(k, row, salt)):
        return c
    half = 0.26 + 0.16 * random(k, row * 8 + i, salt + 1)
    off = x - 0.5 - 0.12 * (random(k, row * 8 + i, salt + 2) - 0.5)
    t = h / thick - i
    color = _spine_color(k, row * 8 + i, salt + 3, p)
    color = times(color, 0.55 + 0.6 * math.sin(2.7 * t + 0.2))
    color = mix(color, hsv(0.12, 0.2, 0.75), 0.5 * ramp(0.12, 0.08, abs(off + 0.55 * half)))
    return mix(
        c, color, ramp(half + 0.025, half - 0.025, abs(off)) * ramp(0.0, 0.2, min(t, 1.0 - t))
    )


@device
def _pottery(h, kind, tall):
    """Half width of a pot at height h: a bottle, a bowl or a jar; 0 above its rim."""
    t = h / tall
    if t > 1.0 or t < 0.0:
        return 0.0
    if kind < 0.35:
        return 0.075 + 0.13 * ramp(0.75, 0.35, t) - 0.05 * ramp(0.25, 0.0, t)
    if kind < 0.6:
        return 0.12 + 0.2 * math.sqrt(t)
    return 0.15 + 0.09 * math.sin(math.pi * min(t * 1.15, 1.0))


@device
def _picture(c, x, h, salt, room, color, p):
    """A framed landscape; x from the middle of its place."""
    high = 0.78 * room
    land = mix(
        color, hsv(p[HUE], 0.35, 0.6), ramp(0.4, 0.5, h / room + 0.3 * noise(6.0 * x, 0.0, salt))
    )
    c = mix(c, hsv(0.08, 0.45, 0.25), box(x, h, -0.30, 0.0, 0.30, high, 0.012))
    c = mix(c, hsv(0.11, 0.06, 0.80), box(x, h, -0.25, 0.03, 0.25, high - 0.03, 0.012))
    return mix(c, land, box(x, h, -0.17, 0.08, 0.17, high - 0.08, 0.012))


@device
def _globe(c, x, h, salt, room, p):
    """A globe on a stand; x from the middle of its place."""
    y = (h - 0.5 * room) / (0.34 * room)
    d = math.sqrt(x * x * 9.5 + y * y)
    land = ramp(0.48, 0.56, noise(7.0 * x + 3.0, 12.0 * h, salt))
    ball = mix(hsv(p[HUE], 0.3, 0.5), hsv(0.12, 0.35, 0.6), land)
    foot = box(x, h, -0.16, -0.1, 0.16, 0.03, 0.01)
    c = mix(c, hsv(0.09, 0.5, 0.3), max(foot, box(x, h, -0.03, 0.0, 0.03, 0.2 * room, 0.01)))
    return mix(c, times(ball, 0.95 - 0.5 * (2.2 * x - 0.25 * y)), ramp(1.06, 0.94, d))


@device
def _blades(c, x, y, shade, room):
    """A plant's blades, fanned from the rim of its pot at y = 0."""
    reach = math.sqrt(x * x * 0.33 + y * y) / (0.52 * room)
    fan = math.atan2(0.6 * x, y) * (3.2 + shade)
    blade = abs(math.sin(fan + 2.0 * reach * x))
    a = ramp(0.15, 0.45, blade * (1.15 - reach * reach)) * ramp(1.0, 0.8, reach)
    green = hsv(0.27 + 0.1 * shade, 0.5, 0.18 + 0.3 * reach + 0.15 * blade)
    return mix(c, green, a * ramp(-0.02, 0.03, y))


@device
def _object(c, u, h, k, row, room, salt, p):
    """A pot, a plant, a globe or a framed picture in a place."""
    kind, shade = random(k, row, salt), random(k, row, salt + 1)
    hue = p[HUE2] if shade < 0.5 else 0.07
    color = hsv(hue + 0.06 * shade, 0.18 + 0.3 * shade, 0.4 + 0.3 * shade)
    x = u - 0.5
    if kind > 0.8:
        return _picture(c, x, h, salt, room, color, p)
    if kind > 0.62:
        return _globe(c, x, h, salt + 2, room, p)
    tall = room * 0.72
    if kind > 0.3:
        tall = room * 0.36
        c = _blades(c, x, h - 0.8 * tall, shade, room)
    half = _pottery(h, random(k, row, salt + 3), tall)
    a = ramp(half + 0.03, half - 0.03, abs(x)) * ramp(0.0, 0.01, half)
    return mix(c, times(color, 0.8 - 0.45 * x / max(half, 0.05)), a)


@device
def _leaning(c, x, h, k, row, room, salt, p, n):
    """Half a place of upright books, and one that leans on them."""
    count = n // 2
    c = _upright_books(c, x + k * n, h, row, room, salt, p, k * n, k * n + count - 1)
    tilt = 0.22 + 0.1 * random(k, row, salt + 20)
    along = x - count - 0.08 - (0.8 * room - h) * tilt * n / 0.56 * 0.75
    t, tall = along / 0.9, 0.8 * room
    color = times(_spine_color(k, row, salt + 21, p), 0.5 + 0.6 * math.sin(3.0 * t))
    a = ramp(0.0, 0.18, min(t, 1.0 - t)) * ramp(tall + 0.012, tall - 0.012, h)
    return mix(c, color, a)


@device
def shelves(x, y, layout, p, first, second):
    height, board, place = 0.64, 0.06, 0.56
    salt = 1000 + 60 * layout
    row = int(math.floor(y / height))
    up = (row + 1) * height - y  # height above the bottom of this row
    h, room = up - board, height - board
    wood = hsv(0.075 + 0.03 * random(0, 0, salt), 0.3 + 0.2 * p[SATURATION], 0.24 + 0.4 * p[VALUE])
    grain = 0.9 + 0.2 * noise(2.0 * x, 26.0 * y, salt + 1)
    if h < 0.0:
        edge = 0.75 + 0.6 * ramp(-board, -0.1 * board, h)
        return times(wood, edge * grain)
    s = x / place + 3.7 * random(row, 1, salt)
    k = int(math.floor(s))
    u = s - k
    depth = 0.28 + 0.30 * ramp(room, 0.2 * room, h)  # the board above shades the back panel
    c = times(mix(wood, first, 0.35), depth * ramp(-0.03, 0.10, h) * 0.8 + 0.05)
    kind = random(k, row, salt + 2)
    n = 7 + int(2.0 * p[SHIFT_X] + 2.0)
    width = n * 1.0
    if kind < 0.62:
        c = _upright_books(c, s * width, h, row, room, salt + 3, p, k * n - 1, k * n + n)
    elif kind < 0.76:
        c = _leaning(c, s * width - k * n, h, k, row, room, salt + 3, p, n)
    elif kind < 0.87:
        c = _lying_books(c, u, h, k, row, salt + 15, p)
    else:
        c = _object(c, u, h, k, row, room, salt + 25, p)
    c = times(c, 0.62 + 0.38 * ramp(room, 0.72 * room, h))
    return times(c, 0.7 + 0.3 * ramp(0.0, 0.05, h))
