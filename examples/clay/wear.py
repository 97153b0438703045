"""Neck, body, clothes, glasses, hats, earrings and necklaces, and the whole scene's distance.

`f` is a record of `figure.FIGURE`; lengths are in head units. A line worn on a surface (a collar's
rib, a necklace) is the set near both the surface and a cutting plane, so that it always fits.
"""

from __future__ import annotations

import math

from examples.clay.compiled import device
from examples.clay.hair import hair, hairline, relief
from examples.clay.head import BEARD, NECK, SKIN, cranium, face, face_part, skull
from examples.clay.parts import PARTS, PROP
from examples.clay.props import CAPTION, STICKER, prop, sticker
from examples.clay.shapes import (
    angle,
    bump,
    cone,
    ellipsoid,
    join,
    length2,
    length3,
    meet,
    rise,
    rounded_box,
    wave,
)

HAIR, CLOTH = PARTS.index("hair"), PARTS.index("clothing")
FRAME, LENS = PARTS.index("glasses frame"), PARTS.index("glasses lens")
HAT, EARRING, NECKLACE = PARTS.index("hat"), PARTS.index("earring"), PARTS.index("necklace")
GLASSES_Z = 0.735


@device
def body(x, y, z, f):
    """Distance to neck, shoulders and chest."""
    ax = abs(x)
    d = cone(x, y, z, 0.0, -0.55, -0.16, 0.0, -1.40, -0.24, f.neck_r, f.neck_r * 1.06)
    d = join(d, cone(ax, y, z, 0.10, -1.30, -0.30, 0.86, -1.72, -0.30, 0.24, 0.27), 0.26)
    d = join(d, ellipsoid(x, y + 2.05, z + 0.20, 0.95, 0.75, 0.52), 0.16)
    if z > 0.0 and ax < 0.3:
        # collar bones meet in a notch
        d += 0.018 * bump(x / 0.09) * bump((y + 1.31) / 0.09)
    return d


@device
def neckline(x, y, z, f):
    """Height above the edge of the clothes, on a plane that falls to the front."""
    h = 0.30 * (z + 0.2)
    if f.clothes < 0.5:
        return y + 1.255 + 0.8 * h
    if f.clothes < 1.5:
        return y + 1.235 + h + max(0.30 - 1.05 * abs(x), 0.0) * rise(-0.1, 0.15, z)
    if f.clothes < 2.5:
        return y + 1.215 + h + max(0.13 - 0.9 * abs(x), 0.0) * rise(-0.1, 0.15, z)
    return y + 0.985 + h


@device
def clothes(x, y, z, d, f, fine):
    """Distance to the clothes on a body at distance d."""
    if d > 0.3:
        return d - 0.12
    h = neckline(x, y, z, f)
    folds = 0.010 * wave(0.9 * x + 1.3 * y + 0.2 * wave(1.5 * y)) * rise(0.0, -0.2, h)
    s = meet(d - 0.032 + folds, h, 0.02)
    rim = 0.045 if f.clothes > 2.5 else 0.028
    s = min(s, length2(d - 0.026, h) - rim)
    if f.clothes > 2.5:
        s = join(s, length2(d - 0.04, h + 0.09) - 0.055, 0.03)
        s += 0.004 * wave(angle(x, z + 0.2) * 70.0) * rise(-0.25, -0.15, h) * fine
    elif f.clothes > 1.5:
        ax = abs(x)
        tall = 0.12 + 0.12 * bump((ax - 0.24) / 0.14) * rise(-0.1, 0.1, z)
        top = h - 0.075
        leaf = meet(meet(abs(d - 0.06 + 0.12 * min(h, 0.0)) - 0.014, top, 0.015), -h - tall, 0.015)
        gap = (0.05 + 0.55 * (-h + 0.05) - ax) if z > 0.0 else -1.0
        s = min(s, meet(leaf, gap, 0.01) if gap > -0.9 else leaf)
    return s


@device
def lens_outline(x, y, f):
    """Distance in the picture plane to the outline of a spectacle glass, for either side."""
    px = abs(x) - max(f.eye_x, 0.29) - 0.012
    py = y + 0.012
    if f.glasses < 1.5:
        return length2(px, py) - 0.205
    if f.glasses < 2.5:
        return rounded_box(px, py, 0.222, 0.165, 0.06)
    if f.glasses < 3.5:
        lift = py - 0.22 * px
        return rounded_box(px, lift - 0.012, 0.225 + 0.10 * lift, 0.145, 0.10)
    return rounded_box(px + 0.12 * min(py, 0.0), py + 0.015, 0.235, 0.178, 0.12)


@device
def lens_depth(x, f):
    """z of the surface that carries the glasses: bent back towards the temples."""
    return GLASSES_Z + 0.028 * f.nose_bridge - 0.16 * x * x - 0.05 * rise(0.32, 0.56, abs(x))


@device
def glasses(x, y, z, f):
    """Distance to the frame: rims, bridge and temples."""
    far = max(max(abs(y + 0.02) - 0.30, z - 0.90), -z - 0.30)
    if far > 0.15:
        return far
    ax = abs(x)
    dz = z - lens_depth(x, f)
    thick = 0.019 if f.glasses < 1.5 else (0.025 if f.glasses < 3.5 else 0.022)
    d = length2(lens_outline(x, y, f), dz) - thick
    arch = length2(y - 0.055 + 1.6 * x * x, dz) - 0.017
    d = min(d, max(arch, ax - max(f.eye_x, 0.29) + 0.17))
    hinge = max(f.eye_x, 0.29) + 0.225
    side = max(f.face_x, f.cran_x - 0.06) + 0.04
    arm = cone(ax, y, z, hinge, 0.055, lens_depth(hinge, f), side, 0.06, 0.10, 0.018, 0.018)
    arm = min(arm, cone(ax, y, z, side, 0.06, 0.10, side - 0.02, 0.03, -0.22, 0.018, 0.016))
    return min(d, arm) * 0.85


@device
def hat(x, y, z, f, fine):
    """Distance to a beanie, cap or brimmed hat."""
    far = length3(x, y - 0.6, z + 0.05) - 1.35
    if far > 0.25:
        return far
    tilt = y - 0.16 * z
    c = cranium(x, y, z, f)
    if f.hat < 1.5:
        rib = wave(angle(x, z + 0.1) * 34.0)
        s = meet(
            c - 0.10 - 0.05 * rise(0.5, 1.1, y) + 0.009 * rib * rise(1.05, 0.8, y),
            0.36 - tilt,
            0.03,
        )
        fold = meet(meet(c - 0.135 + 0.010 * rib, 0.30 - tilt, 0.04), tilt - 0.50, 0.04)
        return min(s, fold) * 0.8
    if f.hat < 2.5:
        seam = 0.006 * bump((abs(angle(x, z + 0.1)) % 0.1667 - 0.083) / 0.006) * fine
        s = meet(c - 0.085 - 0.03 * rise(0.4, 1.0, y) + seam, 0.34 - tilt, 0.03)
        s = min(s, length3(x, y - 1.15 - f.cran_y + 0.77, z + 0.1) - 0.035)
        sag = y - 0.42 + 0.42 * x * x + 0.40 * (z - 0.72)
        visor = meet(ellipsoid(x, 0.0, z - 0.66, 0.60 * f.wide, 1.0, 0.56), abs(sag) - 0.016, 0.02)
        return join(s, meet(visor, -c, 0.02), 0.03) * 0.75
    crown = ellipsoid(x, y - 0.42, z + 0.10, f.cran_x + 0.07, 0.90, 0.92)
    crown = meet(crown, tilt - 1.22 + 0.10 * bump(x / 0.35), 0.14)
    crown = meet(crown, 0.36 - tilt, 0.02)
    brim = length2(x / 1.06, (z + 0.08) / 1.22)
    wing = y - 0.40 - 0.16 * z - 0.10 * (x * x) * 0.9 + 0.06 * z * z * rise(0.0, 0.8, z)
    flat = meet(abs(wing) - 0.018, (brim - 1.0), 0.03)
    return join(crown, flat, 0.05) * 0.7


@device
def earrings(x, y, z, f):
    """Distance to studs or hoops on the ear lobes."""
    px = abs(x) - f.ear_x - 0.055
    py = y + 0.07 + 0.195 * f.ear_s
    pz = z + 0.005
    if f.earrings < 1.5:
        return length3(px, py, pz) - 0.034
    py += 0.105
    return length2(length2(0.94 * pz - 0.34 * px, py) - 0.095, px * 0.94 + 0.34 * pz) - 0.014


@device
def necklace(x, y, z, d, f):
    """Distance to beads or a chain lying on what is at distance d (skin or clothes)."""
    drop = 0.06 if f.necklace < 1.5 else 0.13
    h = y + 1.15 + drop + (0.42 + drop) * (z + 0.12) - 0.25 * x * x
    if f.clothes > 2.5:
        h += 0.12
    if f.necklace > 1.5:
        h += max(0.10 - 0.5 * abs(x), 0.0)
        links = wave(angle(x, z + 0.2) * 90.0)
        s = length2(d - 0.010, h * 0.9) - 0.017 - 0.004 * links
        return min(s, length3(x, h * 0.9 + 0.045, d - 0.02) - 0.045) * 0.8
    t = angle(x, z + 0.2) * 44.0
    cell = (t - math.floor(t + 0.5)) * length2(x, z + 0.2) * 0.1428
    return (length3(d - 0.022, h * 0.9, cell) - 0.031) * 0.8


@device
def torso(x, y, z, f, fine):
    """Distance to neck, body, clothes and necklace together."""
    d = body(x, y, z, f)
    if d > 0.25:
        return d - 0.11
    s = min(d, clothes(x, y, z, d, f, fine))
    if f.necklace > 0.5:
        s = min(s, necklace(x, y, z, s, f))
    return s


@device
def scene(x, y, z, f, fine):
    """Distance from a point to the whole portrait."""
    d = face(x, y, z, f, fine)
    if y < -0.45 + d:
        d = join(d, torso(x, y, z, f, fine), 0.05)
    if f.hair_has > 0.0:
        d = min(d, hair(x, y, z, f, fine))
    if f.glasses > 0.5:
        d = min(d, glasses(x, y, z, f))
    if f.hat > 0.5:
        d = min(d, hat(x, y, z, f, fine))
    if f.earrings > 0.5 and abs(y + 0.3) < 0.3 + d:
        d = min(d, earrings(x, y, z, f))
    if f.prop > 0.5:
        d = min(d, prop(x, y, z, f, fine))
    return d


@device
def scene_part(x, y, z, f):
    """Which part a surface point belongs to: an index into PARTS or PROP, never background."""
    best = face(x, y, z, f, 0.0)
    part = -1
    if f.hair_has > 0.0:
        d = hair(x, y, z, f, 0.0)
        if d < best:
            best, part = d, HAIR
    if f.glasses > 0.5:
        d = glasses(x, y, z, f)
        if d < best:
            best, part = d, FRAME
    if f.hat > 0.5:
        d = hat(x, y, z, f, 0.0)
        if d < best:
            best, part = d, HAT
    if f.earrings > 0.5:
        d = earrings(x, y, z, f)
        if d < best:
            best, part = d, EARRING
    if y < -0.3:
        d = body(x, y, z, f)
        c = clothes(x, y, z, d, f, 0.0)
        if d < best:
            best, part = d, NECK
        if c < best:
            best, part = c, CLOTH
        if f.necklace > 0.5 and necklace(x, y, z, min(d, c), f) < best:
            best, part = min(best, c), NECKLACE
    if f.prop > 0.5 and prop(x, y, z, f, 0.0) < best:
        return PROP
    if part >= 0:
        return part
    if f.prop > STICKER - 0.5 and f.prop < CAPTION - 0.5 and sticker(x, y, z, f) < 0.0:
        return PROP
    part = face_part(x, y, z, f)
    if (part == SKIN or part == BEARD) and stubbled(x, y, z, f) > 0.5:
        return HAIR
    return part


@device
def stubbled(x, y, z, f):
    """Cover of the scalp by painted hair: a buzz cut, or the roots at a hairline."""
    if f.hair_buzz <= 0.0 or (f.hat > 0.5 and y > 0.6):
        return 0.0
    depth = hairline(x, y, z, relief(x, y, z, f), f)
    return f.hair_buzz * rise(-0.04, 0.07, depth) * rise(0.06, 0.0, skull(x, y, z, f))
