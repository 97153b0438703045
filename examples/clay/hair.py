"""Hair: a cap grown from the skull, a curtain that falls around it, a bun, and their locks.

All styles are points of one continuous family (length, volume, curl, wave, fringe, bun), so hair
can be grown or cut without steps. Locks are broad (0.13 to 0.3 head units apart, 6 pixels or more
at 128) and their places are fixed on the head: they follow from the style and the parting alone, so
that a network can learn them. Lock coordinate: `turn`, the angle about the crown, constant along a
combed lock.
"""

from __future__ import annotations

from examples.clay.compiled import device
from examples.clay.head import skull
from examples.clay.shapes import (
    angle,
    bump,
    clamp,
    join,
    length2,
    length3,
    meet,
    mix,
    rise,
    wave,
)


@device
def locks(x, y, z, f):
    """Relief of combed locks, about [-1, 1]: rounded backs, narrow grooves, broad groups."""
    px = x - f.part_x * rise(0.5, 1.1, y)
    pz = z + 0.12 + 0.18 * f.bun
    t = angle(px, pz)
    # the front is combed away from the parting, on the swept side
    t += f.comb * rise(1.05, 0.5, y) * rise(0.0, 0.5, z) * rise(0.0, 0.5, px * f.sweep)
    t += 0.016 * f.hair_wave * wave(1.3 * y + 0.15 * wave(3.0 * t))
    # locks are narrow in front and broad at the sides, where they are seen foreshortened
    s = 23.0 * t + 0.9 * wave(2.0 * t) + 0.3 * wave(5.0 * t + 0.1) + 0.2 * wave(0.8 * y + 2.0 * t)
    q = wave(s)
    r = length2(px, pz)
    h = (0.46 + 0.16 * wave(5.0 * t + 0.35)) * (q - 0.18 * (2.0 * q * q - 1.0)) * rise(0.2, 0.6, r)
    h += 0.38 * wave(9.0 * t + 0.4) * rise(0.05, 0.4, r)
    return h + 0.4 * f.hair_wave * wave(1.5 * y + 0.25 * wave(4.0 * t)) * rise(0.1, 0.5, r)


@device
def curls(x, y, z, f):
    """Relief of rounded curls, about [-1, 1]: a gyroid that grows with the volume of the hair."""
    k = (3.4 + 0.5 * f.hair_afro) / (1.0 + 0.9 * f.hair_thick)
    px = k * x + 0.18 * wave(2.1 * y)
    py = k * y + 0.18 * wave(2.3 * z)
    pz = k * z + 0.18 * wave(1.9 * x)
    coil = wave(px) * wave(py + 0.25) + wave(py) * wave(pz + 0.25) + wave(pz) * wave(px + 0.25)
    return 0.55 * coil


@device
def relief(x, y, z, f):
    """Relief of the hair at a point, about [-1, 1], without unit."""
    h = 0.0
    if f.hair_has <= 0.0:
        return h
    if f.hair_curl < 0.98:
        h = locks(x, y, z, f) * (1.0 - f.hair_curl)
    if f.hair_curl > 0.02:
        h += f.hair_curl * curls(x, y, z, f)
    if f.bun > 0.0:
        coil = wave(3.0 * (y - f.bun_y) + angle(x, z + 0.30))
        h = mix(h, coil, f.bun * rise(0.06, -0.02, length3(x, y - f.bun_y, z + 0.30) - 0.32))
    return h


@device
def hairline(x, y, z, h, f):
    """Distance-like depth behind the hairline: positive where hair grows; h, the relief there."""
    ax = abs(x)
    away = x - f.part_x
    free = 1.0 - f.hair_fringe
    jag = (0.022 + 0.03 * f.hair_fringe + 0.03 * f.hair_curl) * f.hair_has * h
    line = (
        f.hairline + free * (0.05 + 0.09 * bump(away / 0.18)) - mix(0.2, 0.45, free) * away * away
    )
    if f.hair_fringe > 0.02:
        side = rise(-0.5, 0.5, x * f.sweep - 0.15)
        amount = mix(f.hair_fringe * side * 1.5, f.hair_fringe, rise(0.5, 0.9, f.hair_fringe))
        line -= min(amount, 1.05) * 0.31 * rise(0.90, 0.55, ax)
    front = y - line + jag
    temple = 0.34 - 0.12 * rise(0.5, 0.0, y) - z + 0.5 * jag
    low = mix(-0.16, -0.58, rise(0.02, -0.22, z)) + 0.10 * rise(0.5, 0.2, f.hair_length) * rise(
        0.0, -0.3, z
    )
    side = join(temple, y - low, 0.16)
    return -join(-front, -side, 0.22 * (1.0 - 0.8 * f.hair_fringe))


@device
def cap(x, y, z, depth, f, base):
    """Distance to the hair that hugs the skull, whose distance is `base`."""
    if depth <= 0.0:
        return base + 0.012 - 0.8 * depth
    slick = rise(0.0, 0.4, z) * (1.0 - f.hair_fringe) * (1.0 - 0.5 * f.quiff)
    edge = 0.15 + 0.25 * max(0.8 * f.hair_afro, slick)
    mask = min(depth / edge, 1.0)
    mask *= mix(mask * (3.0 - 2.0 * mask), 2.0 - mask, f.hair_fringe)
    top = rise(-0.2, 0.8, y)
    thick = f.hair_thick * mix(0.38 + 0.42 * rise(0.3, 0.5, f.hair_length), 1.0, top)
    thick = mix(thick, f.hair_thick, f.hair_afro)
    if f.quiff > 0.0 and y > 0.4 and z > 0.0:
        lean = rise(-0.45, 0.45, (x - f.part_x) * f.sweep)
        thick += 0.11 * f.quiff * rise(0.45, 0.85, y) * rise(0.0, 0.5, z) * (0.35 + 0.65 * lean)
    parting = 0.5 * bump((x - f.part_x) / 0.085) * rise(0.5, 0.8, y) * rise(-0.2, 0.2, z)
    parting *= rise(0.6, 0.2, f.hair_curl) * rise(0.22, 0.30, f.hair_length) * (1.0 - f.bun)
    thick *= 1.0 - parting * (1.0 - 0.6 * f.hair_fringe)
    thick = mix(thick, min(thick, 0.045), rise(f.hat_line - 0.14, f.hat_line - 0.02, y))
    return base + 0.012 - (0.012 + thick) * mask


@device
def curtain(x, y, z, h, f):
    """Distance to the hair that falls past the ears, hollow around face and neck."""
    down = clamp(0.3 - y, 0.0, 1.8)
    ends = rise(f.hair_end + 0.45, f.hair_end, y)
    # it draws in at the neck, lies out on the shoulders, and turns in at its ends
    flow = 0.05 * down - 0.05 * bump((y + 0.72) / 0.5) + 0.10 * rise(-0.95, -1.45, y)
    flow += 0.05 * f.hair_wave * wave(1.5 * y + 0.05) * min(down, 1.0)
    a = f.hair_x + 0.055 + flow * (0.6 + 0.6 * f.hair_volume) - 0.09 * ends
    b = 0.80 + 0.06 * f.hair_volume + 0.02 * down
    qz = z + 0.16
    shell = (length2(x / a, qz / b) - 1.0) * a
    inner = (length2(x / (a - 0.19), (qz - 0.05) / (b - 0.22)) - 1.0) * (a - 0.19)
    d = meet(shell, -inner, 0.10)
    front = 0.24 + 0.10 * rise(0.1, 0.45, y) - 0.12 * bump((y + 0.15) / 0.55)
    front += 0.08 * rise(-0.5, -1.05, y) + 0.05 * f.hair_wave * wave(1.5 * y + 0.3)
    d = meet(d, z - front, 0.17)
    d = meet(d, f.hair_end - 0.06 * h + 0.10 * rise(-0.1, 0.5, z) - y, 0.16)
    return meet(d, y - 0.42, 0.2)


@device
def hair_far(x, y, z, f):
    """A lower bound of the distance to all hair, from spheres."""
    far = min(length3(x, y - 0.25, z + 0.1), length3(x, y + 0.6, z + 0.1)) - 1.16 - f.hair_thick
    if f.hair_end < -1.0:
        far = min(far, length3(x, y + 1.2, z + 0.1) - 1.05)
    if f.bun > 0.0:
        far = min(far, length3(x, y - f.bun_y, z + 0.30) - 0.38)
    return far


@device
def hair(x, y, z, f, fine):
    """Distance to all hair."""
    if f.hair_has <= 0.0:
        return 9.0
    far = hair_far(x, y, z, f)
    if far > 0.3:
        return far
    h = relief(x, y, z, f)
    depth = hairline(x, y, z, h, f)
    d = cap(x, y, z, depth, f, skull(x, y, z, f))
    grown = depth
    if f.hair_fall > 0.0:
        fall = curtain(x, y, z, h, f) + 0.35 * (1.0 - f.hair_fall)
        d = join(d, fall, 0.18)
        grown = max(grown, 0.14 - fall)
    if f.bun > 0.0:
        ball = length3(x, 1.1 * (y - f.bun_y), z + 0.30) - 0.29 * f.bun
        d = join(d, ball, 0.05)
        grown = max(grown, 0.1 - ball)
    if d < 0.14:
        amount = 0.019 + 0.009 * f.hair_volume + 0.018 * f.hair_curl
        amount *= min(f.hair_thick * 7.0, 1.0) * rise(f.hat_line + 0.06, f.hat_line - 0.12, y)
        d -= amount * rise(-0.02, 0.14, grown) * h
    return d * (0.85 - 0.2 * f.hair_curl)
