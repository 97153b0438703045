"""The backdrops behind a portrait lens: lamps, shelves, leaves and windows as large soft shapes.

A lens that has the face in focus spreads every far point over a disc. Nothing here is blurred by
sampling: each shape is drawn with edges that take `2 EDGE`, more than eight pixels at 128 px, and
nothing is finer than that. Four layouts a kind; hue, value, shift and scale move all smoothly.

Symbols: x, y picture coordinates after shift and scale (x right, y down); (i, j) a cell of a grid;
salt, an integer that tells one use of the hash from another; a, an opacity.
"""

from __future__ import annotations

import math

from examples.clay.parameters import INDEX
from examples.clay.patterns import device, hsv, mix, noise, ramp, random, times

VARIANT = INDEX["variant"]
HUE, SATURATION, VALUE = INDEX["bg_hue"], INDEX["bg_saturation"], INDEX["bg_value"]
HUE2, VALUE2 = INDEX["bg_hue2"], INDEX["bg_value2"]
SHIFT_X, SHIFT_Y, SCALE = INDEX["bg_x"], INDEX["bg_y"], INDEX["bg_scale"]
EDGE = 0.1  # half of an edge's width


@device
def _lamp(c, x, y, i, j, salt, p, size):
    """The disc that the lens makes of one far lamp; x, y in cells of `size`."""
    if random(i, j, salt) > 0.62:
        return c
    radius = 0.20 + 0.16 * random(i, j, salt + 1)
    dx = x - (i + 0.5 + 0.6 * (random(i, j, salt + 2) - 0.5))
    dy = y - (j + 0.5 + 0.6 * (random(i, j, salt + 3) - 0.5))
    d = math.sqrt(dx * dx + dy * dy)
    edge = EDGE / size
    if d > radius + edge:
        return c
    pick = random(i, j, salt + 4)
    hue = p[HUE] if pick < 0.35 else (p[HUE2] if pick < 0.65 else 0.09)
    glow = (0.08 + 0.34 * random(i, j, salt + 5) ** 2) * ramp(radius + edge, radius - edge, d)
    lamp = hsv(hue + 0.05 * (random(i, j, salt + 6) - 0.5), 0.2 + 0.45 * p[SATURATION], 1.0)
    return c[0] + lamp[0] * glow, c[1] + lamp[1] * glow, c[2] + lamp[2] * glow


@device
def _bokeh(x, y, variant, p, first, second):
    tall = ramp(-1.2, 1.2, y + 0.5 * (noise(0.9 * x, 0.9 * y, variant) - 0.5))
    c = times(mix(first, second, tall), 0.16 + 0.16 * noise(1.1 * x, 1.1 * y, variant + 50))
    for layer in range(2):
        size = 0.62 + 0.26 * layer
        u, v = x / size + 0.37 * layer, y / size + 0.61 * layer
        column, row = int(math.floor(u)), int(math.floor(v))
        for j in range(row - 1, row + 2):
            for i in range(column - 1, column + 2):
                c = _lamp(c, u, v, i, j, 100 + 40 * variant + 10 * layer, p, size)
    return c


@device
def _book(i, row, salt, p):
    """Colour of a run of books: most near the two background hues, some cream or dark."""
    pick, shade = random(i, row, salt), random(i, row, salt + 1)
    spread = 0.12 * (random(i, row, salt + 2) - 0.5)
    if pick < 0.2:
        return hsv(0.10, 0.15 + 0.15 * shade, 0.55 + 0.2 * shade)
    if pick < 0.34:
        return hsv(0.07 + spread, 0.3, 0.15 + 0.12 * shade)
    hue = p[HUE] if pick < 0.67 else p[HUE2]
    return hsv(hue + spread, 0.22 + 0.3 * p[SATURATION] + 0.15 * shade, 0.28 + 0.4 * shade)


@device
def _row_of_books(c, s, h, row, room, salt, p, edge):
    """Runs of books of several heights over c; s along the row in runs, edges `edge` of a run."""
    k = int(math.floor(s))
    books = _book(k - 1, row, salt, p)
    tall = random(k - 1, row, salt + 3)
    for i in range(k, k + 2):
        at = i + 0.4 * (random(i, row, salt + 4) - 0.5)
        past = ramp(at - edge, at + edge, s)
        if past > 0.0:
            books = mix(books, _book(i, row, salt, p), past)
            tall += (random(i, row, salt + 3) - tall) * past
    top = room * (0.62 + 0.17 * tall)
    return mix(c, books, ramp(top + 0.8 * EDGE, top - 0.8 * EDGE, h))


@device
def _plant(c, x, h, row, salt, p):
    """Here and there on a shelf a round plant, or a bright jar."""
    wide = 1.3
    s = x / wide + 2.3 * random(row, 2, salt)
    i = int(math.floor(s))
    if random(i, row, salt + 1) > 0.6:
        return c
    dx = (s - i - 0.35 - 0.3 * random(i, row, salt + 2)) * wide
    dy = h - 0.27
    shade = random(i, row, salt + 3)
    green = hsv(0.25 + 0.1 * shade, 0.45, 0.26 + 0.24 * shade)
    jar = hsv(p[HUE2], 0.15 + 0.2 * p[SATURATION], 0.74)
    d = math.sqrt(dx * dx + 0.8 * dy * dy)
    return mix(c, green if shade < 0.6 else jar, 0.95 * ramp(0.27, 0.07, d))


@device
def _shelves(x, y, variant, p, first):
    height, salt = 0.74, 1000 + 60 * variant
    run = 0.30 + 0.06 * random(variant, 0, 90)
    wood = hsv(0.075 + 0.03 * random(0, 0, salt), 0.3 + 0.2 * p[SATURATION], 0.26 + 0.4 * p[VALUE])
    level = y / height + random(variant, 1, 90)
    row = int(math.floor(level))
    h = (row + 1 - level) * height  # above the middle of this row's board
    back = times(mix(wood, first, 0.35), 0.26)
    c = _row_of_books(back, x / run, h, row, height, salt + 3, p, EDGE / run)
    c = _plant(c, x, h, row, salt + 20, p)
    c = times(c, 0.4 + 0.6 * ramp(height, 0.45 * height, h))  # the board above shades them
    post = abs((x / 1.7 + random(variant, 2, 90)) % 1.0 - 0.5) * 1.7
    c = mix(c, times(wood, 0.8), ramp(0.13, 0.0, post))
    return mix(c, wood, ramp(0.14, 0.0, min(h, height - h)))


@device
def _leaf(c, x, y, i, j, salt, layer, p, base, size):
    """One leaf of a cell over colour c; x, y in cells of `size`."""
    if random(i, j, salt) > 0.85 - 0.2 * layer:
        return c
    dx = x - (i + 0.5 + 0.7 * (random(i, j, salt + 1) - 0.5))
    dy = y - (j + 0.5 + 0.7 * (random(i, j, salt + 2) - 0.5))
    if dx * dx + dy * dy > 0.75:
        return c
    angle = 6.2832 * random(i, j, salt + 3)
    u, v = dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)
    slim = 1.5 + 0.5 * random(i, j, salt + 4)
    d = math.sqrt(u * u + slim * slim * v * v)
    edge = 1.3 * EDGE / size
    a = ramp(0.5 + edge, 0.5 - edge, d)
    lit = 0.4 + 0.9 * random(i, j, salt + 5)
    hue = base + 0.08 * (random(i, j, salt + 6) - 0.5)
    blade = hsv(hue, 0.34 + 0.3 * p[SATURATION], 0.38 + 0.13 * layer + 0.14 * p[VALUE])
    return mix(c, times(blade, lit), 0.9 * a)


@device
def _leaves(x, y, variant, p, second):
    base = 0.27 + 0.12 * (p[HUE] - 0.5)
    if variant == 3:  # autumn
        base = 0.06 + 0.07 * p[HUE]
    salt = 64 * (40 + variant)
    gap = mix(times(second, 0.5), hsv(base + 0.08, 0.3, 0.6), 0.6)
    c = times(gap, 0.14 + 0.9 * ramp(0.3, 0.9, noise(1.3 * x, 1.3 * y, salt)))
    for layer in range(2):
        size = 0.62 - 0.06 * layer
        u, v = x / size + 0.41 * layer, y / size + 0.23 * layer
        column, row = int(math.floor(u)), int(math.floor(v))
        for j in range(row - 1, row + 2):
            for i in range(column - 1, column + 2):
                c = _leaf(c, u, v, i, j, salt + 12 * layer, layer, p, base, size)
    return times(c, 0.5 + 0.75 * noise(1.1 * x + 0.4 * y, 1.1 * y, salt + 60))  # dappled light


@device
def _town(c, x, y, salt, p, haze):
    """One far rank of towers, run into one another by the lens."""
    s = x / 0.3
    k = int(math.floor(s))
    roof, shade = random(k - 1, 0, salt), random(k - 1, 1, salt)
    for i in range(k, k + 2):
        past = ramp(i - EDGE / 0.3, i + EDGE / 0.3, s)
        roof += (random(i, 0, salt) - roof) * past
        shade += (random(i, 1, salt) - shade) * past
    tone = mix(hsv(p[HUE2] + 0.05, 0.16, 0.30 + 0.2 * shade), haze, 0.25)
    top = 0.18 - 0.42 * roof
    return mix(c, tone, ramp(top - EDGE, top + EDGE, y))


@device
def _hills(c, x, y, salt, p, haze):
    """A far ridge and a near one."""
    for rank in range(2):
        ridge = 0.0 + 0.2 * rank - 0.3 * noise(1.1 * x + 5.0 * rank, 0.0, salt + rank)
        tone = hsv(0.30 + 0.06 * p[HUE2], 0.25 + 0.18 * rank, 0.48 - 0.1 * rank)
        c = mix(c, mix(tone, haze, 0.5 - 0.4 * rank), ramp(ridge - EDGE, ridge + EDGE, y))
    return c


@device
def _view(x, y, variant, p):
    """What is seen through the window: sky with clouds over a town or over hills."""
    salt = 5000 + 30 * variant
    dusk = ramp(0.75, 0.05, p[VALUE2])
    zenith = mix(hsv(0.58, 0.42, 0.76), hsv(0.66, 0.38, 0.45), dusk)
    haze = mix(hsv(0.56, 0.10, 0.92), hsv(0.06 + 0.04 * p[HUE2], 0.38, 0.86), dusk)
    c = mix(zenith, haze, ramp(-0.9, 0.15, y))
    cloud = noise(1.2 * x + 0.6 * y, 2.6 * y - 0.5 * x, salt)
    c = mix(c, hsv(0.08, 0.05 + 0.15 * dusk, 0.96), 0.6 * ramp(0.35, 0.9, cloud))
    if variant % 2 == 0:
        return _town(c, x, y - 0.1, salt + 5, p, haze)
    return _hills(c, x, y - 0.1, salt + 5, p, haze)


@device
def _curtain(c, x, y, edge, wide, salt, second):
    """A curtain hanging from x = edge inward by |wide|."""
    t = (x - edge) / wide + 0.08 * math.sin(2.0 * y + salt)
    fold = 0.5 + 0.5 * math.sin(7.5 * t + 1.5 * noise(1.2 * t, 0.5 * y, salt))
    soft_end = EDGE / abs(wide)
    return mix(c, times(second, 0.45 + 0.5 * fold), ramp(1.0 + soft_end, 1.0 - soft_end, t))


@device
def _window(x, y, variant, p, first, second):
    """Layouts: wide over a town; to the left over hills; arched over a town; to the right."""
    aside = -0.42 if variant == 1 else (0.42 if variant == 3 else 0.0)
    half = 0.86 if variant == 0 else 0.72
    top, bottom = -0.95, 0.6
    x -= aside
    side = abs(x)
    if variant == 2 and y < top + half:  # an arched top
        side = math.sqrt(x * x + (y - top - half) ** 2)
    inside = ramp(half + EDGE, half - EDGE, side) * ramp(bottom + EDGE, bottom - EDGE, y)
    inside *= ramp(top - EDGE, top + EDGE, y)
    # Bars: two upright ones beside the head, or one; one across.
    upright = abs(abs(x) - 0.36 * half) if variant % 2 == 0 else abs(x)
    across = abs(y + 0.42)
    bars = 1.0 - (1.0 - ramp(0.125, 0.0, upright)) * (1.0 - ramp(0.125, 0.0, across))
    rim = ramp(half - 0.16, half - 0.02, side)
    paint = hsv(0.07, 0.42, 0.36) if variant % 3 == 0 else hsv(0.1, 0.08, 0.62)
    scene = mix(_view(x, y, variant, p), paint, 1.0 - (1.0 - bars) * (1.0 - rim))
    wall = times(first, 0.7 + 0.3 * ramp(half + 0.8, half, side))  # lit by what comes in
    c = mix(wall, scene, inside)
    sill = ramp(0.13, 0.02, abs(y - bottom - 0.05)) * ramp(half + 0.2, half, abs(x))
    c = mix(c, times(paint, 1.1), sill)
    if variant != 2:
        c = _curtain(c, x, y, -half - 0.2, 0.44, variant, second)
        c = _curtain(c, x, y, half + 0.2, -0.44, variant + 3, second)
    return c


@device
def soft(px, py, kind, p, first, second):
    """Colour at a picture coordinate of kind 2 (bokeh) to 5 (window), out of focus."""
    variant = int(p[VARIANT])
    zoom = 1.2 - 0.35 * p[SCALE]
    if kind == 5:
        x, y = px * zoom + 0.3 * p[SHIFT_X], py * zoom + 0.15 * p[SHIFT_Y]
        return _window(x, y, variant, p, first, second)
    x, y = px * zoom + 0.5 * p[SHIFT_X], py * zoom + 0.3 * p[SHIFT_Y]
    if kind == 2:
        return _bokeh(x, y, variant, p, first, second)
    if kind == 3:
        return _shelves(x, y, variant, p, first)
    return _leaves(x, y, variant, p, second)
