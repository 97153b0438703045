"""Hair: a cap grown from the skull, a curtain that falls around it, a bun, and their strands.

All styles are points of one continuous family (length, volume, curl, wave, fringe, bun), so hair
can be grown or cut without steps. Strand coordinates: `turn`, the angle about the crown, constant
along a combed strand.
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
    noise1,
    noise2,
    rise,
    wave,
)


@device
def strand_turn(x, y, z, f):
    """Angle about the crown, bent by combing and waves, in turns."""
    comb = 0.05 * f.sweep * rise(0.2, 0.9, y) * rise(0.9, 0.3, f.hair_curl)
    bend = f.hair_wave * (0.018 * wave(y * 1.7 + f.phase) + 0.008 * wave(y * 3.1 + 2.0 * x))
    return angle(x - 0.26 * f.part * rise(0.5, 1.0, y), z + 0.12) + comb * (1.0 - y) + bend


@device
def strands(x, y, z, f, fine):
    """Relief of locks and strands, about [-1, 1], without unit."""
    t = strand_turn(x, y, z, f)
    seed = int(f.phase)
    calm = rise(0.02, 0.25, length2(x - 0.26 * f.part, z + 0.12))
    t += 0.006 * noise1(y * 3.0 + 5.0 * t, seed + 3)
    h = 0.55 * noise1(t * 15.0, seed) + 0.40 * noise1(t * 37.0 + y * 0.6, seed + 1)
    h += 0.22 * noise1(t * 80.0 + y, seed + 4)
    if fine > 0.0:
        h += 0.26 * noise1(t * 150.0 + y, seed + 2)
    h *= calm * (1.0 - 0.8 * f.hair_curl)
    if f.hair_curl > 0.02:
        k = 3.3 + 1.7 * f.hair_afro
        px = x * k + 0.22 * wave(y * 2.1 + f.phase)
        py = y * k + 0.22 * wave(z * 2.3)
        pz = z * k + 0.22 * wave(x * 1.9)
        coil = wave(px) * wave(py + 0.25) + wave(py) * wave(pz + 0.25) + wave(pz) * wave(px + 0.25)
        h += f.hair_curl * (
            (0.62 - 0.22 * f.hair_afro) * coil + 0.25 * fine * noise2(px * 3.0 + pz, py * 3.0, seed)
        )
    return h


@device
def hairline(x, y, z, f):
    """Distance-like depth behind the hairline: positive where hair grows."""
    ax = abs(x)
    lock = 0.6 * noise1(x * 9.0 - 3.0 * f.sweep * y, int(f.phase) + 5)
    lock += 0.5 * noise1(x * 23.0 - 5.0 * f.sweep * y, int(f.phase) + 6)
    jag = 0.035 * lock * f.hair_has
    away = x - 0.26 * f.part
    free = 1.0 - f.hair_fringe
    line = (
        f.hairline + free * (0.05 + 0.09 * bump(away / 0.16)) - mix(0.2, 0.45, free) * away * away
    )
    if f.hair_fringe > 0.02:
        jag += 0.045 * lock * f.hair_fringe
        side = rise(-0.5, 0.5, x * f.sweep - 0.15)
        amount = mix(f.hair_fringe * side * 1.5, f.hair_fringe, rise(0.5, 0.9, f.hair_fringe))
        line -= min(amount, 1.05) * 0.31 * rise(0.90, 0.55, ax)
    front = y - line + jag
    temple = 0.34 - 0.12 * rise(0.5, 0.0, y) - z
    low = mix(-0.16, -0.58, rise(0.02, -0.22, z)) + 0.10 * rise(0.5, 0.2, f.hair_length) * rise(
        0.0, -0.3, z
    )
    side = join(temple, y - low, 0.16)
    return -join(-front, -side, 0.22 * (1.0 - 0.8 * f.hair_fringe))


@device
def cap(x, y, z, f, base):
    """Distance to the hair that hugs the skull, whose distance is `base`."""
    depth = hairline(x, y, z, f)
    if depth <= 0.0:
        return base + 0.012 - 0.8 * depth
    edge = 0.15 + 0.25 * max(0.8 * f.hair_afro, rise(0.0, 0.4, z) * (1.0 - f.hair_fringe))
    mask = min(depth / edge, 1.0)
    mask *= mix(mask * (3.0 - 2.0 * mask), 2.0 - mask, f.hair_fringe)
    top = rise(-0.2, 0.8, y)
    thick = f.hair_thick * mix(0.45 + 0.35 * rise(0.3, 0.5, f.hair_length), 1.0, top)
    thick = mix(thick, f.hair_thick, f.hair_afro)
    parting = 0.35 * bump((x - 0.26 * f.part) / 0.06) * rise(0.5, 0.8, y) * rise(-0.2, 0.2, z)
    parting *= rise(0.6, 0.2, f.hair_curl) * rise(0.22, 0.32, f.hair_length)
    thick *= 1.0 - parting
    thick = mix(thick, min(thick, 0.045), rise(f.hat_line - 0.14, f.hat_line - 0.02, y))
    thick = (0.012 + thick) * mask
    return base + 0.012 - thick


@device
def curtain(x, y, z, f):
    """Distance to the hair that falls past the ears, hollow around face and neck."""
    ax = abs(x)
    down = clamp(0.3 - y, 0.0, 1.8)
    curl_in = 0.10 * rise(f.hair_end + 0.35, f.hair_end, y)
    flare = 0.07 * down + 0.04 * f.hair_wave * wave(y * 1.15 + 0.1 * f.phase) * min(down, 1.0)
    a = f.hair_x + 0.055 + flare * (0.6 + 0.6 * f.hair_volume) - curl_in * 0.5
    b = 0.80 + 0.06 * f.hair_volume + 0.02 * down
    qz = z + 0.16
    shell = (length2(x / a, qz / b) - 1.0) * a
    inner = (length2(x / (a - 0.19), (qz - 0.05) / (b - 0.22)) - 1.0) * (a - 0.19)
    d = meet(shell, -inner, 0.10)
    lock = noise1(ax * 11.0 + 5.0 * z + f.phase, 3)
    # locks in front of a shoulder on the sides that the strand phase chooses
    pick = f.phase * 0.37 + (0.45 if x > 0.0 else 0.0)
    forward = 0.22 * rise(-0.55, -1.15, y) * (wave(pick) * 0.5 + 0.5)
    front = 0.22 + 0.05 * lock + 0.10 * rise(0.1, 0.45, y) - 0.10 * bump((y + 0.15) / 0.5) + forward
    d = meet(d, z - front, 0.16)
    tip = f.hair_end + 0.10 * lock + 0.12 * rise(0.1, 0.5, z)
    d = meet(d, tip - y, 0.10)
    return meet(d, y - 0.42, 0.2)


@device
def hair(x, y, z, f, fine):
    """Distance to all hair."""
    if f.hair_has <= 0.0:
        return 9.0
    far = min(length3(x, y - 0.25, z + 0.1), length3(x, y + 0.6, z + 0.1)) - 1.16 - f.hair_thick
    if f.hair_end < -1.0:
        far = min(far, length3(x, y + 1.2, z + 0.1) - 1.05)
    if f.bun > 0.0:
        far = min(far, length3(x, y - 1.02, z + 0.30) - 0.42)
    if far > 0.3:
        return far
    d = cap(x, y, z, f, skull(x, y, z, f))
    fall = 9.0
    if f.hair_fall > 0.0:
        fall = curtain(x, y, z, f) + 0.35 * (1.0 - f.hair_fall)
        d = join(d, fall, 0.18)
    ball = 9.0
    if f.bun > 0.0:
        ball = length3(x, y - 1.00 - 0.5 * f.hair_thick, z + 0.30) - 0.27 * f.bun
        d = join(d, ball, 0.06)
    if d < 0.14:
        amount = 0.026 + 0.012 * f.hair_volume + 0.034 * f.hair_curl
        amount *= min(f.hair_thick * 7.0, 1.0) * rise(f.hat_line + 0.06, f.hat_line - 0.12, y)
        if f.hair_fringe > 0.5 and z > 0.3:
            amount *= 0.75
        amount *= rise(-0.02, 0.14, max(hairline(x, y, z, f), max(0.1 - ball, 0.14 - fall)))
        d -= amount * strands(x, y, z, f, fine)
    return d * (0.85 - 0.2 * f.hair_curl)
