"""The face: skull, eyes with lids, nose, mouth, brows, ears, beard, and which part a point is.

Features are displacements of one smooth skull and regions painted on it, in coordinates that move
with the expression: (u, v) across and up the mouth, (a, b) along and up each eye, (t, s) along and
across a brow. `f` is a record of `figure.FIGURE`; lengths are in head units.
"""

from __future__ import annotations

import math

from examples.clay.compiled import device
from examples.clay.parts import PARTS
from examples.clay.shapes import (
    angle,
    bump,
    clamp,
    cone,
    ellipsoid,
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

SKIN, EAR = PARTS.index("skin"), PARTS.index("left ear")
BROW, SCLERA = PARTS.index("left brow"), PARTS.index("left sclera")
UPPER_LID, LOWER_LID = PARTS.index("left upper lid"), PARTS.index("left lower lid")
IRIS, PUPIL = PARTS.index("left iris"), PARTS.index("left pupil")
BRIDGE, TIP, NOSTRILS = PARTS.index("nose bridge"), PARTS.index("nose tip"), PARTS.index("nostrils")
UPPER_LIP, LOWER_LIP = PARTS.index("upper lip"), PARTS.index("lower lip")
TEETH, MOUTH = PARTS.index("teeth"), PARTS.index("mouth interior")
BEARD, NECK = PARTS.index("beard"), PARTS.index("neck")


@device
def cranium(x, y, z, f):
    """Distance to the bare brain case, what hair and hats are fitted to."""
    return ellipsoid(x, y - 0.27, z + 0.10, f.cran_x, f.cran_y, 0.84)


@device
def skull(x, y, z, f):
    """Distance to the head without features."""
    ax = abs(x)
    d = cranium(x, y, z, f)
    face_x = f.face_x * (1.0 + f.jaw_taper * rise(0.05, -0.65, y))
    d = join(d, ellipsoid(x, y - f.face_y, z - 0.08, face_x, f.face_ry, 0.61), 0.16)
    d = join(d, ellipsoid(x, y - f.jaw_y, z - 0.15, f.jaw_x, f.jaw_ry, 0.43), 0.14)
    d = join(d, ellipsoid(x, y - f.chin_y, z - f.chin_z, f.chin_r * 1.25, f.chin_r, f.chin_r), 0.16)
    d = join(d, length3(ax - f.cheek_x, y - f.cheek_y, z - f.cheek_z) - f.cheek_r, 0.16)
    if z > 0.0:
        d += f.hollow * bump((ax - 0.42 * f.wide) / 0.22) * bump((y - f.cheek_y + 0.25) / 0.24)
    return d


@device
def mouth_frame(x, y, f):
    """(u, v, upper gap edge, lower gap edge, upper lip height, lower lip height) at a point."""
    u = x / f.mouth_w
    uu = min(u * u, 1.8)
    v = y - f.mouth_y - f.mouth_curve * uu
    c = max(1.0 - uu, 0.0)
    g = x / f.gap_w
    gap = max(1.0 - g * g, 0.0)
    gap = mix(gap * (1.0 + 0.25 * g * g), math.sqrt(gap), 0.35 + 0.6 * f.mouth_round)
    full = mix(c, math.sqrt(c), 0.85 * f.mouth_round)
    upper = f.lip_up * full * (1.0 + 0.22 * uu - 0.24 * bump(u / 0.24)) + 1e-4
    lower = f.lip_low * full * (1.0 + 0.1 * uu) + 1e-4
    return u, v, f.gap_up * gap, -f.gap_low * gap, upper, lower


@device
def lip_relief(u, v, gap_up, gap_low, upper, lower):
    """How far the lips stand out of the face, with the crease between them."""
    fade = rise(1.05, 0.75, abs(u))
    s = (v - gap_up) / upper
    w = (gap_low - v) / lower
    h = 0.0
    if s > -0.4 and s < 1.6:
        q = (s - 0.45) / 0.95
        h = 0.030 * bump(q)
    if w > -0.4 and w < 1.7:
        q = (w - 0.50) / 1.0
        h = max(h, 0.040 * bump(q))
    crease = 0.014 * bump(v / 0.018) * rise(0.05, 0.0, gap_up - gap_low)
    return fade * (h - crease) - 0.016 * bump((v + lower + 0.035 - gap_low) / 0.05) * rise(
        0.9, 0.4, abs(u)
    )


@device
def eye_frame(ax, y, z, f):
    """(a, b, upper edge, lower edge, radius) of a point in its eye: a across, b up."""
    qx = ax - f.eye_x
    qz = z - f.eye_z
    r = length3(qx, y, qz) + 1e-6
    k = f.eye_r / r
    a = qx * k / f.eye_w
    b = y * k - f.tilt * qx * k
    c = max(1.0 - a * a, 0.0)
    # the upper lid peaks nearer the nose, the lower one nearer the temple
    up = f.eye_up * (math.sqrt(c) * 0.45 + 0.55 * c) * (1.0 - 0.18 * a)
    low = f.eye_low * c * (1.0 + 0.15 * a)
    return a, b, up - 0.045 * (1.0 - min(f.lid_open, 1.0)), -low, r


@device
def eyes(ax, y, z, f):
    """Distance to an eyeball wrapped in its lids."""
    a, b, up, low, r = eye_frame(ax, y, z, f)
    covered = max(rise(-0.004, 0.014, b - up), rise(0.004, -0.012, b - low))
    covered = max(covered, rise(0.96, 1.06, abs(a)))
    fold = 0.010 * bump((b - up - 0.038) / 0.016) * rise(1.15, 0.8, abs(a))
    bulge = 0.010 * bump((b - up - 0.010) / 0.020)
    return r - f.eye_r - 0.024 * covered - (bulge - fold) * rise(1.2, 0.7, abs(a))


@device
def brow_mask(ax, y, f):
    """Cover of a brow at a front point, 0 to 1."""
    t = (ax - f.brow_x) / (0.38 * f.wide)
    if t < -0.2 or t > 1.1:
        return 0.0
    slope = f.brow_slope * (2.0 * t - 1.0) - f.brow_drop * (1.0 - t) * (1.0 - t)
    line = f.brow_y + f.brow_bend * (1.0 - (t - 0.6) * (t - 0.6) * 3.2) - 0.03 + slope
    h = f.brow_h * (1.05 - 0.75 * max(t, 0.0) * max(t, 0.0))
    s = abs(y - line) / h
    return rise(1.1, 0.55, s) * rise(-0.1, 0.12, t) * rise(1.06, 0.85, t)


@device
def beard_mask(x, y, z, f):
    """Where a beard grows, 0 to 1, by its lip, chin and cheek shares."""
    if f.beard_density < 0.02 or y > 0.08 or z < -0.25:
        return 0.0
    ax = abs(x)
    u = ax / f.mouth_w
    down = y - f.mouth_y
    away = clamp((ax - 0.22) / 0.36, 0.0, 1.2)
    line = 0.03 + 0.52 * away * (0.5 + 0.5 * away) + 0.015 * wave(5.0 * ax)
    cheeks = f.beard_cheeks * rise(0.06, -0.08, down - line) * rise(0.20, 0.34, ax - 0.45 * down)
    ring = (
        bump((ax - f.mouth_w - 0.03 - 0.30 * min(down, 0.0)) / 0.085)
        * rise(0.07, 0.0, down)
        * f.beard_lip
    )
    patch = rise(-0.06, -0.15, down) * rise(
        1.0, 0.7, length2(ax / 0.25, (y - f.chin_y + 0.02) / 0.33)
    )
    chin = f.beard_chin * max(patch, ring * rise(0.6, 1.0, length2(ax / 0.22, down / 0.2)))
    centre = (
        f.gap_up
        + f.lip_up * rise(1.1, 0.5, u)
        + 0.044
        + f.mouth_curve * min(u * u, 1.4)
        - 0.025 * u * u
    )
    lip = (
        rise(0.048, 0.020, abs(down - centre)) * rise(1.42, 1.05, u) * (1.0 - 0.35 * bump(x / 0.03))
    )
    mask = max(max(cheeks, chin), f.beard_lip * lip) * rise(
        -0.10 + 0.12 * rise(-0.5, -0.2, y), 0.08, z
    )
    mask *= rise(0.02, -0.10, y) * rise(f.chin_y - 0.26, f.chin_y - 0.12, y)
    uu, v, gap_up, gap_low, upper, lower = mouth_frame(x, y, f)
    # a rim of bare skin keeps the lips clear
    inside = rise(1.10, 0.98, u) * rise(upper + 0.026, upper + 0.006, v - gap_up)
    return mask * (1.0 - inside * rise(-lower - 0.030, -lower - 0.008, v - gap_low))


@device
def beard_clumps(x, y, f):
    """Relief of a beard, about [-1, 1]: clumps that fall and fan out, as from the brow."""
    t = angle(x, f.mouth_y + 1.5 - y)
    q = wave(62.0 * t + 0.25 + 0.25 * wave(1.3 * y + 9.0 * t))
    return 0.72 * q + 0.28 * wave(1.9 * y + 0.3 * wave(22.0 * t))


@device
def wrinkles(x, y, f):
    """Depth of age lines and smile folds at a front point, 0 to about 1."""
    ax = abs(x)
    fold_x = mix(f.ala_x + 0.045, f.mouth_w + 0.055, clamp((f.nose_y + 0.02 - y) / 0.26, 0.0, 1.0))
    strength = 0.55 * max(f.smile, 0.0) + 0.9 * f.sag
    h = strength * bump((ax - fold_x) / 0.055) * rise(f.nose_y + 0.06, f.nose_y - 0.04, y)
    h *= rise(f.mouth_y - 0.08, f.mouth_y + 0.02, y)
    lines = f.sag + 0.7 * max(f.brow_raise - 0.3, 0.0)
    if y > 0.3 and lines > 0.01:
        s = (y - 0.45 - 0.02 * noise1(x * 4.0, 5)) / 0.115
        h += (
            0.7
            * lines
            * bump((s - math.floor(s + 0.5)) / 0.36)
            * bump(s / 1.5)
            * rise(0.42, 0.25, ax)
        )
    if f.brow_knit > 0.05:
        h += 1.2 * f.brow_knit * bump((ax - 0.045) / 0.036) * bump((y - f.brow_y + 0.03) / 0.12)
    qx = ax - f.eye_x - f.eye_w
    if qx > 0.0 and qx < 0.16:
        s = (y + 0.01) / (0.08 + 0.25 * qx)
        crow = bump((s - math.floor(s + 0.5)) / 0.4) * bump(s / 1.4) * bump((qx - 0.075) / 0.075)
        h += 0.5 * (f.sag + 0.4 * f.cheek_raise * f.age) * crow
    bag = y + 0.105 + 0.9 * (ax - f.eye_x) * (ax - f.eye_x)
    return h + 0.55 * f.sag * bump(bag / 0.036) * rise(0.17, 0.10, abs(ax - f.eye_x))


@device
def nostril(ax, y, z, f):
    """Distance to the hollow of a nostril."""
    below = y - f.nose_y + f.nose_r - 0.006
    return ellipsoid(
        ax - f.ala_x * 0.62, below, z - f.nose_z + 0.045, f.ala_r * 0.62, f.ala_r * 0.6, 0.05
    )


@device
def nose(x, y, z, d, f):
    """The face's distance d joined with the nose, nostrils cut."""
    ax = abs(x)
    ny = f.nose_y
    n = cone(x, y, z, 0.0, 0.07, f.root_z, 0.0, ny + 0.02, f.nose_z - 0.03, f.root_r, f.nose_mid)
    n = join(n, length3(x, y - ny, z - f.nose_z + 0.01) - f.nose_r, 0.06)
    ry, rz = f.ala_r * 1.03, f.ala_r * 1.47
    n = join(n, ellipsoid(ax - f.ala_x, y - ny + 0.028, z - f.nose_z + 0.11, f.ala_r, ry, rz), 0.05)
    d = join(d, n, 0.09)
    return meet(d, -nostril(ax, y, z, f), 0.025)


@device
def ears(ax, y, z, f):
    """Distance to an ear: a flared shell with helix, groove and concha."""
    s = f.ear_s
    px = ax - f.ear_x - 0.035
    py = y + 0.07
    pz = z + 0.07
    qy = 0.97 * py + 0.22 * pz
    qz = 0.97 * pz - 0.22 * py
    qx = f.ear_cos * px + f.ear_sin * qz
    qz = f.ear_cos * qz - f.ear_sin * px
    narrow = 0.125 + 0.12 * (qy + 0.1) * (0.4 if qy > -0.1 else 1.0)
    d = ellipsoid(qx / s, qy / s, qz / s, 0.062, 0.215, max(narrow, 0.07)) * s
    if abs(d) < 0.12:
        rho = length2(qy / (0.215 * s), qz / (max(narrow, 0.07) * s))
        out = rise(0.0, 0.04, qx)
        relief = 0.016 * bump((rho - 0.95) / 0.22) - 0.028 * bump((rho - 0.68) / 0.20) * rise(
            -0.12, 0.0, qy
        )
        concha = length2((qy + 0.01) / 0.085, (qz - 0.02) / 0.062)
        d -= out * (relief - 0.05 * bump(concha / 1.15))
    return d * 0.8


@device
def face(x, y, z, f, fine):
    """Distance to head, ears and face; `fine` adds what only normals need."""
    far = length3(x, y + 0.06, z - 0.03) - 1.25
    if far > 0.35:
        return far
    ax = abs(x)
    d = skull(x, y, z, f)
    if d < 0.35 and z > 0.1 and y < 0.75:
        d = join(d, cone(ax, y, z, 0.0, 0.20, 0.665, 0.40, 0.17, 0.49, f.brow_ridge, 0.05), 0.12)
        ex, ey = 0.07 + 0.89 * f.eye_w, 0.04 + 0.64 * f.eye_w
        d = meet(d, -ellipsoid(ax - f.eye_x - 0.01, y + 0.005, z - 0.70, ex, ey, 0.125), 0.14)
        if y < 0.25 and y > -0.65 and ax < 0.3:
            d = nose(x, y, z, d, f)
        if z > 0.3:
            d = front_relief(x, y, z, d, f, fine)
        if abs(y) < 0.33 and d < 0.2:
            d = join(d, eyes(ax, y, z, f), 0.035)
    if f.beard_density > 0.02 and d < 0.2 and y < 0.1:
        mask = beard_mask(x, y, z, f)
        if mask > 0.0:
            swell = 0.085 + 0.05 * rise(-0.5, -0.85, y) + 0.022 * beard_clumps(x, y, f)
            d -= f.beard_length * mask * mask * swell
    if ax > 0.4 and z > -0.4 and z < 0.3:
        d = join(d, ears(ax, y, z, f), 0.03)
    return d


@device
def front_relief(x, y, z, d, f, fine):
    """The distance d with lips, mouth cavity, brows and lines pressed into it."""
    ax = abs(x)
    if y < f.mouth_y + 0.3 and y > f.mouth_y - 0.4 and ax < 0.46:
        base = d
        u, v, gap_up, gap_low, upper, lower = mouth_frame(x, y, f)
        d -= lip_relief(u, v, gap_up, gap_low, upper, lower) * rise(0.3, 0.45, z)
        philtrum = (
            bump(x / 0.05)
            * rise(f.nose_y - 0.06, f.nose_y - 0.12, y)
            * rise(upper * 0.7, upper, v - gap_up)
        )
        d += 0.008 * philtrum
        if f.gap_low > 0.004 and ax < f.gap_w:
            cavity = meet(max(v - gap_up, gap_low - v), -base - 0.17, 0.02)
            d = meet(d, -cavity, 0.016)
            d = min(d, teeth(v, base, f))
    cover = brow_mask(ax, y, f) if y > 0.05 and y < 0.55 else 0.0
    d -= 0.020 * cover
    if fine > 0.0:
        d += 0.013 * wrinkles(x, y, f)
        if cover > 0.0:
            d -= 0.005 * cover * noise2(ax * 34.0 - y * 24.0, y * 10.0, 4)
    return d


@device
def teeth(v, base, f):
    """Distance to the upper row: a band of the face's own curve, set back behind the lips."""
    edge = f.gap_up - 0.062 + 0.035 * f.mouth_round
    return max(max(base + 0.045, -base - 0.14), max(edge - v, v - f.gap_up - 0.05))


@device
def eye_part(x, y, z, f):
    """Which part of an eye a point on its ball is: lids, sclera, iris or pupil."""
    side = 1 if x > 0.0 else 0
    a, b, up, low, r = eye_frame(abs(x), y, z, f)
    if b > up:
        return UPPER_LID + side
    if b < low:
        return LOWER_LID + side
    px, py = gaze(x, y, z, f)
    rho = length2(px, py)
    if rho < f.iris * 0.46:
        return PUPIL + side
    return IRIS + side if rho < f.iris else SCLERA + side


@device
def gaze(x, y, z, f):
    """Place of a point on an eyeball relative to the iris's centre, on the ball's own scale."""
    ax = f.eye_x if x > 0.0 else -f.eye_x
    k = f.eye_r / (length3(x - ax, y, z - f.eye_z) + 1e-6)
    toe = -0.012 if x > 0.0 else 0.012
    return (x - ax) * k - 0.062 * f.gaze_x - toe, y * k - 0.045 * f.gaze_y - 0.012


@device
def on_eye(ax, y, z, f):
    """Whether a surface point belongs to an eye rather than to the face around it."""
    if z < 0.3 or abs(y) > 0.3:
        return False
    a, b, up, low, r = eye_frame(ax, y, z, f)
    within = abs(a) < 1.12 and b < up + 0.036 and b > min(low, up) - 0.022
    return within and r < f.eye_r + 0.05


@device
def face_part(x, y, z, f):
    """Which part of the head a surface point is."""
    ax = abs(x)
    if on_eye(ax, y, z, f):
        return eye_part(x, y, z, f)
    if ax > 0.4 and z < 0.3 and z > -0.4 and ears(ax, y, z, f) < skull(x, y, z, f) - 0.004:
        return EAR + (1 if x > 0.0 else 0)
    if z > 0.3:
        part = mouth_part(x, y, z, f)
        if part != SKIN:
            return part
        part = nose_part(x, y, z, f)
        if part != SKIN:
            return part
        if y > 0.05 and y < 0.6 and brow_mask(ax, y, f) > 0.4:
            return BROW + (1 if x > 0.0 else 0)
    if beard_mask(x, y, z, f) * f.beard_density > 0.35:
        return BEARD
    return NECK if y < f.chin_y and z < 0.2 else SKIN


@device
def mouth_part(x, y, z, f):
    """Lips, teeth or mouth interior at a front point; SKIN elsewhere."""
    if abs(x) > f.mouth_w * 1.02 or abs(y - f.mouth_y) > 0.35:
        return SKIN
    u, v, gap_up, gap_low, upper, lower = mouth_frame(x, y, f)
    if f.gap_low > 0.004 and abs(x) < f.gap_w and v < gap_up and v > gap_low:
        base = skull(x, y, z, f)
        if base < -0.012:
            edge = f.gap_up - 0.062 + 0.035 * f.mouth_round
            return TEETH if v > edge - 0.006 and base > -0.08 else MOUTH
        return UPPER_LIP if v - gap_up > gap_low - v else LOWER_LIP
    if v >= gap_up and v - gap_up < upper:
        return UPPER_LIP
    if v <= gap_low and gap_low - v < lower:
        return LOWER_LIP
    if v < gap_up and v > gap_low:
        return LOWER_LIP
    return SKIN


@device
def nose_part(x, y, z, f):
    """Bridge, tip or nostrils at a front point; SKIN elsewhere."""
    ax = abs(x)
    ny = f.nose_y
    if y > 0.06 or y < ny - 0.12 or ax > f.ala_x + 0.09:
        return SKIN
    if nostril(ax, y, z, f) < 0.005:
        return NOSTRILS
    if length3(x, y - ny, z - f.nose_z + 0.01) < f.nose_r + 0.03:
        return TIP
    if length3(ax - f.ala_x, y - ny + 0.028, z - f.nose_z + 0.11) < f.ala_r * 1.46:
        return TIP
    n = cone(x, y, z, 0.0, 0.07, f.root_z, 0.0, ny, f.nose_z - 0.03, f.root_r, f.nose_mid)
    return BRIDGE if n < 0.028 else SKIN
