"""The cluttered backdrops in focus: lamps, shelves, leaves and windows, sharp at every depth.

Test inputs alone (`focus`): twelve layouts a kind. Every book, leaf and lamp comes from an integer
hash of its cell and of the layout number (`layout`). Edges are one or two pixels soft at 128 px.

Symbols: x, y picture coordinates after shift and scale (x right, y down); (i, j) a cell of a grid;
salt, an integer that tells one use of the hash from another; a, an opacity.
"""

from __future__ import annotations

import math

from examples.clay.parameters import BACKGROUND_VARIANTS, INDEX
from examples.clay.patterns import box, device, hsv, mix, noise, ramp, random, times
from examples.clay.shelves import shelves

VARIANT = INDEX["variant"]
HUE, SATURATION, VALUE = INDEX["bg_hue"], INDEX["bg_saturation"], INDEX["bg_value"]
HUE2, VALUE2 = INDEX["bg_hue2"], INDEX["bg_value2"]
SHIFT_X, SHIFT_Y, SCALE = INDEX["bg_x"], INDEX["bg_y"], INDEX["bg_scale"]


@device
def _bokeh_disc(c, x, y, i, j, salt, p, soft):
    if random(i, j, salt) > 0.62:
        return c
    radius = 0.20 + 0.26 * random(i, j, salt + 1)
    dx = x - (i + 0.5 + 0.5 * (random(i, j, salt + 2) - 0.5))
    dy = y - (j + 0.5 + 0.5 * (random(i, j, salt + 3) - 0.5))
    d = math.sqrt(dx * dx + dy * dy)
    if d > radius + soft:
        return c
    pick = random(i, j, salt + 4)
    hue = p[HUE] if pick < 0.4 else (p[HUE2] if pick < 0.75 else 0.1)
    glow = 0.10 + 0.26 * random(i, j, salt + 5) ** 2
    a = ramp(radius + soft, radius - soft, d) * (
        0.8 + 0.35 * (d / radius) ** 4
    )  # a lens's bright rim
    lamp = hsv(hue + 0.05 * (random(i, j, salt + 6) - 0.5), 0.2 + 0.45 * p[SATURATION], 1.0)
    return c[0] + lamp[0] * glow * a, c[1] + lamp[1] * glow * a, c[2] + lamp[2] * glow * a


@device
def _bokeh(x, y, layout, p, first, second):
    tall = ramp(-1.2, 1.2, y + 0.5 * (noise(1.1 * x, 1.1 * y, layout) - 0.5))
    c = times(mix(first, second, tall), 0.16 + 0.14 * noise(1.7 * x, 1.7 * y, layout + 50))
    for layer in range(3):
        size = 0.34 + 0.2 * layer
        u, v = x / size + 0.37 * layer, y / size + 0.61 * layer
        salt = 100 + 40 * layout + 10 * layer
        column, row = int(math.floor(u)), int(math.floor(v))
        for j in range(row - 1, row + 2):
            for i in range(column - 1, column + 2):
                c = _bokeh_disc(c, u, v, i, j, salt, p, 0.022 / size + 0.015 * layer)
    return c


@device
def _leaf(c, x, y, i, j, layer, salt, p, base):
    """One leaf of a cell over colour c; x, y in cells."""
    if random(i, j, salt) > 0.97 - 0.16 * layer:
        return c
    dx = x - (i + 0.5 + 0.7 * (random(i, j, salt + 1) - 0.5))
    dy = y - (j + 0.5 + 0.7 * (random(i, j, salt + 2) - 0.5))
    half = 0.72 + 0.3 * random(i, j, salt + 3)
    if dx * dx + dy * dy > half * half:
        return c
    sway = noise(0.35 * i, 0.35 * j, salt + 9)
    angle = 6.2832 * sway + 2.4 * (random(i, j, salt + 4) - 0.5)
    cosine, sine = math.cos(angle), math.sin(angle)
    u, v = (dx * cosine + dy * sine) / half, (dy * cosine - dx * sine) / half
    v += 0.35 * (random(i, j, salt + 5) - 0.5) * (u * u - 0.3)
    broad = 0.26 + 0.22 * random(0, 0, salt // 64) + 0.08 * random(i, j, salt + 6)
    t = 0.5 * (u + 1.0)
    outline = broad * 2.2 * math.sqrt(t) * (1.0 - t) * (1.0 + 0.35 * (1.0 - t))
    soft = 0.13 - 0.035 * layer
    a = ramp(soft, -0.25 * soft, abs(v) - outline)
    c = times(c, 1.0 - 0.45 * ramp(0.30, -0.05, abs(v - 0.1) - outline))  # its shadow
    if a <= 0.0:
        return c
    lit = 0.55 + 0.6 * random(i, j, salt + 7)
    side = 1.0 + (0.22 if v * cosine - u * 0.2 < 0.0 else -0.22) * ramp(0.0, 0.08, abs(v))
    vein = ramp(0.045, 0.01, abs(v)) + 0.3 * ramp(0.8, 1.0, math.sin(26.0 * (u - 1.2 * abs(v))))
    hue = base + 0.07 * (random(i, j, salt + 8) - 0.5)
    blade = hsv(hue, 0.34 + 0.3 * p[SATURATION], 0.30 + 0.13 * layer + 0.12 * p[VALUE])
    blade = times(blade, lit * side * (0.7 + 0.45 * t) * (1.0 + 0.35 * vein * (layer > 0)))
    return mix(c, blade, a)


@device
def _leaves(x, y, layout, p, first, second):
    base = 0.27 + 0.12 * (p[HUE] - 0.5)
    if layout % 4 == 3:  # autumn
        base = 0.06 + 0.07 * p[HUE]
    salt = 64 * (40 + layout)
    gap = mix(times(second, 0.5), hsv(base + 0.08, 0.3, 0.6), 0.6)
    c = times(gap, 0.12 + 0.75 * ramp(0.35, 0.9, noise(1.6 * x, 1.6 * y, salt)))
    for layer in range(3):
        size = 0.27 + 0.07 * layer
        u, v = x / size + 0.41 * layer, y / size + 0.23 * layer
        column, row = int(math.floor(u)), int(math.floor(v))
        for j in range(row - 1, row + 2):
            for i in range(column - 1, column + 2):
                c = _leaf(c, u, v, i, j, layer, salt + 12 * layer, p, base)
    return times(c, 0.5 + 0.75 * noise(1.3 * x + 0.5 * y, 1.3 * y, salt + 60))  # dappled light


@device
def _skyline(c, x, y, salt, p, haze):
    """Two ranks of buildings, the nearer with windows."""
    for rank in range(2):
        size = 0.17 + 0.08 * rank
        i = int(math.floor(x / size + 0.5 * rank))
        t = x / size + 0.5 * rank - i
        roof = 0.16 - 0.3 * random(i, rank, salt) + 0.12 * rank
        tone = hsv(p[HUE2] + 0.05, 0.14, 0.42 - 0.12 * rank + 0.1 * random(i, rank, salt + 1))
        panes = ramp(0.1, 0.6, math.sin(t * 25.0)) * ramp(0.1, 0.6, math.sin(y * 95.0))
        tone = mix(
            tone, hsv(0.12, 0.3, 0.75), 0.35 * rank * panes * ramp(0.2, 0.8, random(i, 7, salt + 2))
        )
        shape = ramp(-0.012, 0.012, y - roof) * (0.6 + 0.4 * ramp(0.0, 0.06, min(t, 1.0 - t)))
        c = mix(c, mix(tone, haze, 0.5 - 0.3 * rank), shape)
    return c


@device
def _hills(c, x, y, salt, p, haze):
    """Three ridges, the nearest one of tree crowns."""
    for rank in range(3):
        ridge = 0.02 + 0.13 * rank - 0.22 * noise(1.6 * x + 5.0 * rank, 0.0, salt + rank)
        if rank > 0:
            ridge -= 0.05 * abs(math.sin(17.0 * x + 9.0 * noise(4.0 * x, 1.0, salt + 5) + rank))
        leafy = 0.7 + 0.6 * noise(18.0 * x, 18.0 * y, salt + 7 + rank)
        tone = times(hsv(0.30 + 0.06 * p[HUE2], 0.2 + 0.14 * rank, 0.5 - 0.08 * rank), leafy)
        c = mix(c, mix(tone, haze, 0.62 - 0.27 * rank), ramp(-0.015, 0.02, y - ridge))
    return c


@device
def _view(x, y, layout, p):
    """What is seen through the window: sky with clouds over a town or over hills."""
    salt = 5000 + 30 * layout
    dusk = ramp(0.55, 0.15, p[VALUE2])
    zenith = mix(hsv(0.58, 0.42, 0.72), hsv(0.66, 0.38, 0.45), dusk)
    haze = mix(hsv(0.56, 0.10, 0.88), hsv(0.06 + 0.04 * p[HUE2], 0.38, 0.82), dusk)
    c = mix(zenith, haze, ramp(-0.9, 0.15, y))
    u, v = 1.5 * x + 0.8 * y, 4.5 * y - 0.9 * x  # slanted, so that the noise's grid stays unseen
    v += 0.8 * noise(1.7 * u, 1.3 * v, salt + 2)
    cloud = 0.5 * noise(u, v, salt) + 0.3 * noise(2.3 * u + v, 2.1 * v, salt + 1)
    cloud += 0.2 * noise(4.9 * u - v, 4.7 * v + u, salt + 3)
    c = mix(c, hsv(0.08, 0.05 + 0.15 * dusk, 0.95), 0.75 * ramp(0.42, 0.74, cloud))
    if layout % 2 == 0:
        return _skyline(c, x, y - 0.12, salt + 5, p, haze)
    return _hills(c, x, y - 0.12, salt + 5, p, haze)


@device
def _curtain(c, x, y, edge, wide, salt, second):
    """A curtain hanging from x = edge inward by |wide|."""
    t = (x - edge) / wide + 0.10 * math.sin(3.0 * y + salt) * ramp(-1.0, 1.0, y)
    fold = 0.5 + 0.5 * math.sin(17.0 * t + 2.0 * noise(2.5 * t, 0.5 * y, salt))
    sheer = 0.72 if salt % 3 == 0 else 1.0
    cloth = times(second, 0.42 + 0.6 * fold * (0.8 + 0.2 * fold))
    return mix(c, cloth, sheer * ramp(1.03, 0.95, t))


@device
def _window(x, y, layout, p, first, second):
    half_x, top, bottom = 0.74 + 0.2 * random(layout, 0, 77), -1.05, 0.62
    columns, rows = 2 + layout % 2, 2 + (layout // 2) % 2
    edge = half_x - abs(x)  # distance inside the opening
    if layout % 5 == 1 and y < top + half_x:  # an arched top
        edge = half_x - math.sqrt(x * x + (y - top - half_x) ** 2)
    inside = min(edge, bottom - y, y - top)
    wall = times(
        first, (0.75 + 0.25 * ramp(-0.8, 0.0, inside)) * (0.97 + 0.06 * noise(9 * x, 9 * y, 3))
    )
    paint = hsv(0.1, 0.08, 0.8) if layout % 3 else hsv(0.07, 0.42, 0.36)
    gx = abs((x / half_x + 1.0) * 0.5 * columns % 1.0 - 0.5) * 2.0 * half_x / columns
    gy = abs((y - top) / (bottom - top) * rows % 1.0 - 0.5) * (bottom - top) / rows
    pane = min(half_x / columns - gx, (bottom - top) / rows * 0.5 - gy, inside - 0.05)
    glow = 0.75 + 0.25 * ramp(0.0, 0.03, pane) + 0.25 * ramp(-0.05, -0.02, pane - 0.03)
    c = mix(times(paint, 0.72 * glow), _view(x, y, layout, p), ramp(0.018, 0.040, pane))
    c = mix(times(wall, 0.55 + 0.45 * ramp(0.0, 0.12, -inside)), c, ramp(-0.015, 0.01, inside))
    sill = box(x, y, -half_x - 0.1, bottom, half_x + 0.1, bottom + 0.09, 0.014)
    c = mix(c, times(paint, 0.95 - 4.0 * max(y - bottom - 0.03, 0.0)), sill)
    if layout % 4 != 2:
        wide = 0.34 + 0.2 * random(layout, 1, 78)
        c = _curtain(c, x, y, -half_x - 0.16, wide, layout, second)
        c = _curtain(c, x, y, half_x + 0.16, -wide, layout + 3, second)
    return c


@device
def sharp(px, py, kind, p, first, second):
    """Colour at a picture coordinate of kind 2 (bokeh) to 5 (window), in focus."""
    # A third of bg_scale apart, the same variant shows another of three layouts.
    layout = int(p[VARIANT]) + BACKGROUND_VARIANTS * min(int(3.0 * p[SCALE]), 2)
    zoom = 1.25 - 0.5 * p[SCALE]
    x, y = px * zoom + 0.9 * p[SHIFT_X], py * zoom + 0.6 * p[SHIFT_Y]
    if kind == 2:
        return _bokeh(x, y, layout, p, first, second)
    if kind == 3:
        return shelves(x, y, layout, p, first, second)
    if kind == 4:
        return _leaves(x, y, layout, p, first, second)
    x, y = px * zoom + 0.3 * p[SHIFT_X], py * zoom + 0.15 * p[SHIFT_Y]
    return _window(x, y, layout, p, first, second)
