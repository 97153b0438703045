"""Things before the face that no generator has seen: the distances of the props.

A mug, a microphone, an open hand, a phone, headphones and a scarf are solid; a sticker is painted
on the cheek. The caption is in `lettering`, colours are in `prop_paints`. `f.prop_look` in [0, 1]
is three kinds by colour: the kind is int(3 look), the hue follows the rest. `f.prop_shift` in
[-1, 1] moves a thing to the left or right, and its sign says which hand holds it. Lengths are in
head units; local coordinates of a held thing are mirrored so that its hand is at +x.
"""

from __future__ import annotations

import math

from examples.clay.compiled import device
from examples.clay.head import cranium
from examples.clay.parameters import PROPS
from examples.clay.shapes import (
    angle,
    clamp,
    cone,
    ellipsoid,
    join,
    length2,
    length3,
    meet,
    mix,
    rise,
    rounded_box,
    wave,
)

MUG, MICROPHONE, HAND = PROPS.index("mug"), PROPS.index("microphone"), PROPS.index("hand")
PHONE, HEADPHONES = PROPS.index("phone"), PROPS.index("headphones")
SCARF, STICKER, CAPTION = PROPS.index("scarf"), PROPS.index("sticker"), PROPS.index("caption")

OWN, BARE, SLEEVE = 0, 1, 2  # what a point of a prop is: the thing, the hand's skin, a sleeve
MUG_R, MUG_H = 0.33, 0.36
MIC_R, MIC_SCALE = 0.20, 1.2
STICKER_R = 0.31
PHONE_X, PHONE_Y = 0.26, 0.52


@device
def kind(f):
    """Which of three kinds a thing is."""
    return int(min(3.0 * f.prop_look, 2.99))


@device
def side(f):
    """-1 when the thing is held to the left of the picture, 1 to the right."""
    return -1.0 if f.prop_shift < 0.0 else 1.0


# hands


@device
def fist(x, y, z, half, front, thumb):
    """Distance to fingers closed round a bar along y, `half` wide and `front` deep, from +x."""
    d = ellipsoid(x - half - 0.16, y, z - front + 0.10, 0.15, 0.27, 0.13)
    k = clamp(math.floor(y / 0.132 + 2.0), 0.0, 3.0)
    q = y - (k - 1.5) * 0.132
    tip = -0.85 * half - 0.05 + 0.03 * abs(k - 2.0)
    knuckle = half + 0.14
    finger = cone(x, q, z, knuckle, 0.0, front - 0.01, 0.3 * half, 0.0, front + 0.06, 0.072, 0.068)
    finger = join(
        finger,
        cone(x, q, z, 0.3 * half, 0.0, front + 0.06, tip, 0.0, front + 0.035, 0.066, 0.058),
        0.02,
    )
    d = join(d, finger, 0.035)
    if thumb > 0.0:
        d = join(
            d,
            cone(x, y, z, half + 0.14, 0.20, front, -0.3 * half, 0.315, front + 0.05, 0.08, 0.06),
            0.04,
        )
    return join(d, forearm(x - half - 0.2, y + 0.1, z - front + 0.12), 0.10)


@device
def forearm(x, y, z):
    """Distance to a bare forearm that leaves the picture downwards on the side."""
    return cone(x, y, z, 0.0, 0.0, 0.0, 0.50, -1.4, -0.1, 0.14, 0.21)


@device
def cuff(x, y, z):
    """Distance to the sleeve on that forearm."""
    return cone(x, y, z, 0.16, -0.45, -0.03, 0.52, -1.45, -0.1, 0.205, 0.25)


@device
def grip_sleeve(x, y, z, half, front):
    """Distance to the sleeve behind a `fist`."""
    return cuff(x - half - 0.2, y + 0.1, z - front + 0.12)


@device
def hand_frame(x, y, z, f):
    """(u along the fingers, v towards the thumb, w off the hand to the viewer) of a point."""
    s = side(f)
    shift = abs(f.prop_shift)
    if kind(f) == 0:  # across the mouth, bent round the face
        turn_c, turn_s = 0.56, 0.83
        px, py = s * x - 0.16 - 0.10 * shift, y - f.mouth_y + 0.16
        w = z - 0.80 + 0.42 * x * x
    else:  # raised before one half of the face
        turn_c, turn_s = 0.985, 0.17
        px, py = s * x - 0.26 - 0.30 * shift, y + 0.42
        w = z - 1.02
    return turn_c * py - turn_s * px, -turn_s * py - turn_c * px, w


@device
def open_hand(u, v, w, sort):
    """Distance to a flat hand with four fingers and a thumb; sort 2 makes the V sign."""
    far = max(abs(u - 0.2) - 0.85, abs(v - 0.05) - 0.62)
    if far > 0.3:
        return far
    box = length3(max(abs(u + 0.02) - 0.20, 0.0), max(abs(v) - 0.165, 0.0), w * 0.9) - 0.10
    d = join(box, ellipsoid(u + 0.12, v - 0.15, w - 0.03, 0.20, 0.13, 0.12), 0.08)
    for k in range(4):
        at = 0.205 - 0.136 * k
        long = 0.50 - 0.055 * (k - 1.1) * (k - 1.1) * 0.9
        fan = (0.12 - 0.085 * k) * (1.0 if sort > 0 else 0.35)
        if sort == 2 and k < 2:
            fan = 0.20 - 0.36 * k
        reach = 0.5 * long
        mid_u, mid_v = 0.20 + reach, at + fan * reach
        tip_u, tip_v, tip_w = mid_u + 0.92 * reach, mid_v + fan * reach, -0.05
        if sort == 2 and k > 1:  # folded down onto the palm
            mid_u, mid_v = 0.33, at
            tip_u, tip_v, tip_w = 0.10, at, 0.15
        mid_w = 0.10 if sort == 2 and k > 1 else 0.015
        finger = cone(u, v, w, 0.16, at * 0.97, 0.0, mid_u, mid_v, mid_w, 0.072, 0.070)
        finger = join(
            finger, cone(u, v, w, mid_u, mid_v, mid_w, tip_u, tip_v, tip_w, 0.069, 0.057), 0.02
        )
        d = join(d, finger, 0.03)
    return join(d, hand_thumb(u, v, w, sort), 0.05)


@device
def hand_thumb(u, v, w, sort):
    """Distance to the thumb of an open hand: spread, or folded over the ring finger."""
    if sort == 2:
        d = cone(u, v, w, -0.16, 0.20, 0.05, 0.02, 0.16, 0.17, 0.09, 0.075)
        return join(d, cone(u, v, w, 0.02, 0.16, 0.17, 0.10, -0.04, 0.21, 0.075, 0.06), 0.02)
    d = cone(u, v, w, -0.18, 0.18, 0.02, 0.00, 0.37, 0.04, 0.095, 0.078)
    return join(d, cone(u, v, w, 0.00, 0.37, 0.04, 0.22, 0.43, 0.02, 0.076, 0.058), 0.02)


@device
def wrist(u, v, w):
    """Distance to the forearm below an open hand."""
    return cone(u, v, w, -0.20, 0.0, -0.01, -1.8, 0.0, -0.05, 0.155, 0.21)


@device
def hand_sleeve(u, v, w):
    """Distance to the sleeve below an open hand."""
    return max(cone(u, v, w, -0.6, 0.0, -0.02, -2.0, 0.0, -0.06, 0.215, 0.25), u + 0.66)


# things


@device
def mug_frame(x, y, z, f):
    """Coordinates of a mug at the mouth, leaning to the face: its handle at +x, its axis y."""
    px = side(f) * (x - 0.22 * f.prop_shift)
    py, pz = y - f.mouth_y + 0.22, z - 1.06
    return px, 0.99 * py - 0.13 * pz, 0.99 * pz + 0.13 * py


@device
def mug(x, y, z, f):
    """Distance to the mug alone: wall, coffee and handle."""
    rho = length2(x, z)
    r = MUG_R
    if kind(f) == 1:
        r += 0.10 * y
    elif kind(f) == 2:
        r += 0.03 - 0.25 * y * y
    body = meet(rho - r, abs(y) - MUG_H, 0.03)
    body = meet(body, -max(rho - r + 0.035, MUG_H - 0.13 - y), 0.015)
    ring = length2(length2(x - r, y * 0.86) - 0.19, z) - 0.042
    return min(body, meet(ring, r - 0.02 - rho, 0.01))


@device
def microphone_frame(x, y, z, f):
    """Coordinates, in units of `MIC_SCALE`, of a microphone below the mouth, its head at 0."""
    px = side(f) * (x - 0.30 * f.prop_shift) / MIC_SCALE
    py, pz = (y - f.mouth_y + 0.22) / MIC_SCALE, (z - 1.0) / MIC_SCALE
    return px + 0.26 * py, py, pz + 0.10 * py


@device
def microphone(x, y, z, f):
    """Distance to the microphone alone: ball or foam, collar, handle, a reporter's cube."""
    rho = length2(x, z)
    d = cone(x, y, z, 0.0, -0.18, 0.0, 0.0, -1.4, 0.0, 0.115, 0.075)
    if kind(f) == 1:
        head = cone(x, y, z, 0.0, 0.06, 0.0, 0.0, -0.10, 0.0, MIC_R + 0.01, MIC_R - 0.02)
        cube = length2(max(rounded_box(x, z, 0.17, 0.17, 0.03), 0.0), max(abs(y + 0.36) - 0.13, 0))
        return min(min(d, head), cube - 0.015)
    head = length3(x, y, z) - MIC_R
    d = min(d, length2(rho - MIC_R + 0.01, y + 0.02) - 0.022)
    return min(min(d, head), meet(rho - 0.145, abs(y + 0.19) - 0.035, 0.02))


@device
def phone_frame(x, y, z, f):
    """Coordinates of a phone whose back faces the viewer, its hand at +x."""
    s = side(f)
    px, py = s * x - 0.14 - 0.32 * abs(f.prop_shift), y + 0.18
    return 0.99 * px + 0.12 * py, 0.99 * py - 0.12 * px, z - 1.03


@device
def phone(x, y, z, f):
    """Distance to the phone alone: a rounded slab with its camera's island."""
    outline = rounded_box(x, y, PHONE_X, PHONE_Y, 0.10)
    d = meet(outline, abs(z) - 0.042, 0.03)
    return min(d, meet(camera_island(x, y, f), abs(z - 0.04) - 0.035, 0.015))


@device
def camera_island(x, y, f):
    """Distance in the phone's plane to the plate that carries its lenses."""
    if kind(f) == 0:
        return rounded_box(x + 0.11, y - 0.36, 0.12, 0.13, 0.05)
    if kind(f) == 1:
        return length2(x, y - 0.27) - 0.165
    return rounded_box(x + 0.16, y - 0.31, 0.065, 0.17, 0.065)


@device
def camera_lens(x, y, f):
    """Distance in the phone's plane to the nearest lens's centre."""
    if kind(f) == 0:
        two = length2(x + 0.155, abs(y - 0.36) - 0.06)
        return min(two, length2(x + 0.06, y - 0.36))
    if kind(f) == 1:
        return length2(abs(x) - 0.075, abs(y - 0.27) - 0.045)
    return length2(x + 0.16, abs(y - 0.31) - 0.095)


@device
def crown_gap(f):
    """How far above the bare brain case a headband lies: over hair or hat."""
    hair = 0.05 + f.hair_has * (1.02 * f.hair_thick + 0.02 + 0.03 * f.hair_curl)
    if f.hat > 2.5:
        return 0.15
    if f.hat > 0.5:
        return 0.18 if f.hat < 1.5 else 0.14
    return hair


@device
def cup_x(f):
    """How far to the side a cup's middle is: over the ear and the hair on it."""
    over_curtain = (f.hair_x + 0.13) * f.hair_fall * f.hair_has
    over_cap = f.cran_x + 0.06 + 0.75 * f.hair_thick * f.hair_afro
    return max(max(f.ear_x + 0.15, over_cap), over_curtain)


@device
def headphones(x, y, z, f):
    """Distance to band, arms, cups and cushions; kind 2 has a cat's ears."""
    far = max(length3(x, y - 0.35, z + 0.04) - 1.5, abs(z + 0.04) - 0.36)
    if far > 0.3:
        return far
    ax, at = abs(x), cup_x(f)
    turned = length2(y + 0.07, z + 0.03)
    cup = meet(turned - 0.25, abs(ax - at - 0.02) - 0.10, 0.07)
    cup = join(cup, length2(turned - 0.185, ax - at + 0.075) - 0.075, 0.02)
    high = cranium(x, y, z, f) - crown_gap(f) - 0.03
    band = rounded_box(high, z + 0.03, 0.042, 0.115, 0.04)
    band = meet(band, 0.30 - y, 0.03)
    side_x = f.cran_x + crown_gap(f) + 0.01
    arm = cone(ax, y, z, side_x, 0.36, -0.03, at + 0.05, 0.05, -0.03, 0.05, 0.06)
    d = min(min(cup, band), arm)
    if kind(f) == 2:
        top = f.cran_y + 0.27 + crown_gap(f)
        ear = cone(ax, y, z, 0.40, top - 0.20, -0.03, 0.47, top + 0.10, -0.03, 0.15, 0.03)
        d = min(d, meet(ear, abs(z + 0.03) - 0.06, 0.04))
    return d * 0.85


@device
def loop(x, y, z, f, k):
    """(distance, turn round the neck, turn round the tube) of the k-th winding of a scarf."""
    lift = 0.22 if kind(f) == 2 else (0.08 if kind(f) == 1 else 0.0)
    high = f.chin_y + 0.09 + lift * (1.0 if k == 0 else 0.35) - 0.215 * k
    wide = (0.50 + 0.055 * k) * (0.5 + 0.5 * f.wide)
    deep = 0.60 - 0.01 * k
    t = angle(x, z)
    rho = length2(x / wide, (z - 0.02) / deep)
    across = (rho - 1.0) * 0.5 * (wide + deep)
    up = y - high - 0.05 * wave(t + 0.3 * k) - (0.10 - 0.08 * k) * f.prop_shift * x
    up -= 0.06 * rise(0.1, -0.4, z)
    round_ = angle(up, across)
    thick = 0.165 + 0.012 * k + 0.014 * wave(3.0 * t + 0.37 * k + 12.0 * f.prop_look)
    return length2(across, up * 0.92) - thick, t, round_


@device
def knit(t, round_):
    """Relief of a scarf, about [-1, 1]: folds along its winding and rows of stitches."""
    fold = wave(3.0 * round_ + 1.3 * wave(1.7 * t))
    return 0.75 * fold + 0.25 * wave(14.0 * round_)


@device
def scarf(x, y, z, f, fine):
    """Distance to three windings and a hanging end, with folds; `fine` adds stitches."""
    far = max(length3(x, (y + 1.1) * 1.1, z) - 1.05, y - f.chin_y - 0.62)
    if far > 0.3:
        return far
    d = 9.0
    for k in range(3):
        ring, t, round_ = loop(x, y, z, f, k)
        if ring < 0.15:
            ring -= 0.020 * knit(t, round_)
            ring -= 0.006 * fine * wave(46.0 * t + 7.0 * round_) * wave(9.0 * round_)
        d = join(d, ring, 0.03) if k > 0 else ring
    px = x - side(f) * 0.22 - 0.16 * f.prop_shift
    fold = 0.025 * wave(5.0 * px)
    end = rounded_box(px, z - 0.79 - fold, 0.20, 0.065, 0.06)
    return join(d, max(end, y - f.chin_y + 0.17), 0.05) * 0.8


@device
def held(x, y, z, f):
    """(distance, OWN / BARE / SLEEVE) of a mug, a microphone, a hand or a phone."""
    if f.prop < MUG + 0.5:
        px, py, pz = mug_frame(x, y, z, f)
        own = mug(px, py, pz, f)
        px -= MUG_R + 0.21
        half, front, thumb = 0.04, 0.05, 1.0
    elif f.prop < MICROPHONE + 0.5:
        px, py, pz = microphone_frame(x, y, z, f)
        own = microphone(px, py, pz, f)
        py += 0.60 if kind(f) == 1 else 0.54
        half, front, thumb = 0.09, 0.095, 1.0
    elif f.prop < HAND + 0.5:
        u, v, w = hand_frame(x, y, z, f)
        bare = join(open_hand(u, v, w, kind(f)), wrist(u, v, w), 0.12)
        sleeve = hand_sleeve(u, v, w)
        return (sleeve, SLEEVE) if sleeve < bare else (bare, BARE)
    else:
        px, py, pz = phone_frame(x, y, z, f)
        own = phone(px, py, pz, f)
        py += 0.24
        half, front, thumb = PHONE_X, 0.05, 0.0
    bare = fist(px, py, pz, half, front, thumb)
    sleeve = grip_sleeve(px, py, pz, half, front)
    if own < min(bare, sleeve):
        return own, OWN
    return (sleeve, SLEEVE) if sleeve < bare else (bare, BARE)


@device
def prop(x, y, z, f, fine):
    """Distance to a solid prop; what is painted has none."""
    if f.prop < PHONE + 0.5:
        far = max(0.35 - z, y - 0.75)
        if far > 0.3:
            return far
        d, what = held(x, y, z, f)
        return d * 0.88
    if f.prop < HEADPHONES + 0.5:
        return headphones(x, y, z, f)
    if f.prop < SCARF + 0.5:
        return scarf(x, y, z, f, fine)
    return 9.0


# painted


@device
def sticker_frame(x, y, z, f):
    """Coordinates on the cheek that a sticker is on, in its own radius."""
    far = abs(f.prop_shift)
    px = side(f) * x - f.cheek_x + 0.04 - 0.05 * far
    u = 0.84 * px - 0.54 * (z - 0.56)
    return u / STICKER_R, (y - f.cheek_y + 0.14 - 0.06 * far) / STICKER_R


@device
def sticker(x, y, z, f):
    """Signed distance, in radii, to the edge of a star, a heart or a round face on the cheek."""
    if z < 0.12 or side(f) * x < 0.0:
        return 9.0
    u, v = sticker_frame(x, y, z, f)
    rho = length2(u, v)
    if kind(f) == 0:
        t = 5.0 * angle(u, v)
        return rho - mix(1.12, 0.62, 2.0 * abs(t - math.floor(t + 0.5)))
    if kind(f) == 1:
        return length2(u, 1.12 * v - 0.72 * math.sqrt(abs(u)) + 0.12) - 0.98
    return rho - 0.92
