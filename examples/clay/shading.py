"""Colour of a surface point in linear light: materials, lamps, occlusion, shadow, tone mapping.

Skin: wrapped diffuse with a red terminator, Blinn-Phong sheen; hair: Kajiya-Kay's strand
highlight, sqrt(1 - (T.H)^2)^n with T along the strand and H the half vector; the rest: wrapped
diffuse and Blinn-Phong. n, v, l: unit normal, direction to the viewer, direction to the lamp.
"""

from __future__ import annotations

import math

from examples.clay.compiled import device
from examples.clay.hair import relief
from examples.clay.head import (
    BEARD,
    BROW,
    EAR,
    LOWER_LID,
    LOWER_LIP,
    MOUTH,
    NOSTRILS,
    PUPIL,
    SCLERA,
    TEETH,
    UPPER_LID,
    UPPER_LIP,
    beard_clumps,
    beard_mask,
    brow_mask,
    eye_frame,
    gaze,
    mouth_frame,
)
from examples.clay.parts import PROP
from examples.clay.prop_paints import prop_gloss, prop_paint
from examples.clay.shapes import (
    angle,
    bump,
    clamp,
    hash2,
    length2,
    length3,
    mix,
    noise1,
    noise2,
    rise,
    wave,
)
from examples.clay.wear import CLOTH, EARRING, FRAME, HAIR, HAT, NECKLACE, scene, stubbled


@device
def normal(x, y, z, e, f):
    """Unit normal of the scene's distance, from a tetrahedron of four points e apart."""
    a = scene(x + e, y - e, z - e, f, 1.0)
    b = scene(x - e, y - e, z + e, f, 1.0)
    c = scene(x - e, y + e, z - e, f, 1.0)
    d = scene(x + e, y + e, z + e, f, 1.0)
    nx = a - b - c + d
    ny = c + d - a - b
    nz = b + d - a - c
    k = 1.0 / (length3(nx, ny, nz) + 1e-9)
    return nx * k, ny * k, nz * k


@device
def occlusion(x, y, z, nx, ny, nz, f):
    """Ambient light left at a point, 0 to 1, from three taps along the normal."""
    a = 0.05 - scene(x + 0.05 * nx, y + 0.05 * ny, z + 0.05 * nz, f, 0.0)
    b = 0.14 - scene(x + 0.14 * nx, y + 0.14 * ny, z + 0.14 * nz, f, 0.0)
    c = 0.32 - scene(x + 0.32 * nx, y + 0.32 * ny, z + 0.32 * nz, f, 0.0)
    return clamp(1.0 - 2.6 * max(a, 0.0) - 1.5 * max(b, 0.0) - 0.75 * max(c, 0.0), 0.12, 1.0)


@device
def shadow(x, y, z, f):
    """Share of the key light that arrives, 0 to 1, with a penumbra."""
    lit = 1.0
    t = 0.05
    for _ in range(10):
        d = scene(x + t * f.sun_x, y + t * f.sun_y, z + t * f.sun_z, f, 0.0)
        lit = min(lit, 0.5 + 0.5 * 6.0 * d / t)
        if lit < 0.02 or t > 1.7:
            break
        t += clamp(d, 0.045, 0.35)
    lit = clamp(lit, 0.0, 1.0)
    return lit * lit * (3.0 - 2.0 * lit)


@device
def freckle(x, y, f):
    """Cover of freckles at a front point, 0 to 1: a few round spots, one in a cell of a grid."""
    i, j = int(math.floor(x / 0.10)), int(math.floor(y / 0.10 + 0.31 * x))
    if hash2(i, 3 * j + 1) > 0.25 + 0.4 * f.freckles:
        return 0.0
    px = x / 0.10 - i - 0.28 - 0.44 * hash2(i, 3 * j + 2)
    py = y / 0.10 + 0.31 * x - j - 0.28 - 0.44 * hash2(j, 3 * i + 3)
    return rise(0.29, 0.14, length2(px, py)) * min(1.8 * f.freckles, 1.0)


@device
def skin_paint(x, y, z, part, f):
    """Albedo of skin with blush, freckles, stubble and the roots of hair."""
    r, g, b = f.skin_r, f.skin_g, f.skin_b
    ax = abs(x)
    rosy = (
        f.flush
        * bump(length2(ax - f.cheek_x - 0.02, y - f.cheek_y - 0.01) / 0.32)
        * (1.0 if z > 0.1 else 0.0)
    )
    across = 0.093 * x / f.ala_x
    rosy += 0.34 * bump(length3(across, y - f.nose_y, z - f.nose_z) / 0.2)
    if part == EAR or part == EAR + 1:
        rosy += 0.25
    r *= 1.0 + 0.05 * rosy
    g *= 1.0 - 0.52 * rosy
    b *= 1.0 - 0.46 * rosy
    if f.freckles > 0.02 and z > 0.25:
        spot = freckle(x, y, f) * bump(length2(ax - 0.22, y - f.cheek_y) / 0.42)
        r, g, b = r * (1.0 - 0.45 * spot), g * (1.0 - 0.62 * spot), b * (1.0 - 0.70 * spot)
    socket = (
        0.10 * bump(length2((ax - f.eye_x) / 0.26, (y - 0.02) / 0.20)) * (1.0 if z > 0.2 else 0.0)
    )
    r, g, b = r * (1.0 - 0.6 * socket), g * (1.0 - socket), b * (1.0 - 0.9 * socket)
    beard = f.beard_density * rise(0.0, 0.65, beard_mask(x, y, z, f))
    if beard > 0.0:
        full = rise(0.02, 0.12, f.beard_length)
        cover = clamp(beard * mix(0.72, 1.0, full), 0.0, 0.96)
        lift = 0.98 + 0.18 * full * beard_clumps(x, y, f)
        r, g, b = (
            mix(r, f.hair_r * lift * 0.8, cover),
            mix(g, f.hair_g * lift * 0.8, cover),
            mix(b, f.hair_b * lift * 0.8, cover),
        )
    root = stubbled(x, y, z, f)
    if root > 0.0:
        root *= 0.66
        r, g, b = (
            mix(r, f.hair_r * 0.8, root),
            mix(g, f.hair_g * 0.8, root),
            mix(b, f.hair_b * 0.8, root),
        )
    return r, g, b


@device
def brow_paint(x, y, z, f):
    """Albedo of a brow hair over the skin."""
    bushy = 0.5 + 0.8 * f.brow_thickness
    m = min(brow_mask(abs(x), y, f) * 1.1 * bushy, 1.0) * (
        0.92 + 0.08 * noise2(abs(x) * 40.0 - y * 24.0, y * 12.0, 4)
    )
    return mix(f.skin_r, f.brow_r, m), mix(f.skin_g, f.brow_g, m), mix(f.skin_b, f.brow_b, m)


@device
def eye_paint(x, y, z, part, f):
    """Albedo of lids with lashes, or of the ball with iris and pupil."""
    side = 1 if x > 0.0 else 0
    ax = abs(x)
    a, b, up, low, r = eye_frame(ax, y, z, f)
    if part == UPPER_LID + side or part == LOWER_LID + side:
        wide = 0.017 + 0.008 * max(a, 0.0)
        lash = bump((b - up - 0.004) / wide)
        if part == LOWER_LID + side:
            lash = max(lash, 0.45 * bump((low - b) / 0.010))
        lash *= rise(1.12, 0.95, abs(a))
        k = 1.0 - 0.93 * min(lash * 1.3, 1.0)
        return f.skin_r * 0.88 * k, f.skin_g * 0.78 * k, f.skin_b * 0.76 * k
    px, py = gaze(x, y, z, f)
    rho = length2(px, py) / f.iris
    # white, shaded by the upper lid and pinker in the corners
    dim = 0.78 * (1.0 - 0.42 * rise(0.05, 0.0, up - b)) * (1.0 - 0.25 * rise(0.5, 1.0, abs(a)))
    wr, wg, wb = dim, dim * (0.97 - 0.08 * abs(a)), dim * (0.95 - 0.10 * abs(a))
    ray = 0.85 + 0.3 * noise1(angle(px, py) * 26.0, 31)
    glow = (
        (0.55 + 0.9 * rise(0.3, -0.8, py / f.iris)) * ray * (1.0 - 0.25 * rise(0.05, 0.0, up - b))
    )
    ring = rise(1.02, 0.80, rho) * 0.75 + 0.25
    edge = rise(0.95, 1.05, rho)
    ir = mix(f.eyec_r * glow * ring, wr, edge)
    ig = mix(f.eyec_g * glow * ring, wg, edge)
    ib = mix(f.eyec_b * glow * ring, wb, edge)
    pupil = rise(0.52, 0.42, rho)
    return mix(ir, 0.006, pupil), mix(ig, 0.006, pupil), mix(ib, 0.007, pupil)


@device
def lip_paint(x, y, z, part, f):
    """Albedo of the lips, their meeting line, teeth and the inside of the mouth."""
    u, v, gap_up, gap_low, upper, lower = mouth_frame(x, y, f)
    if part == TEETH:
        line = x / 0.062
        gap = 1.0 - 0.10 * bump((line - math.floor(line + 0.5)) / 0.22)
        k = 0.80 * gap * rise(1.0, 0.6, abs(x) / f.gap_w) + 0.06
        return k, k * 0.965, k * 0.90
    if part == MOUTH:
        tongue = rise(0.0, 0.10, gap_up - v - 0.08) * rise(1.0, 0.4, abs(x) / f.gap_w)
        return 0.045 + 0.22 * tongue, 0.012 + 0.05 * tongue, 0.013 + 0.055 * tongue
    s = (v - gap_up) / upper if v > gap_up else (gap_low - v) / lower
    m = rise(1.02, 0.80, s) * rise(1.02, 0.88, abs(u)) * 0.92
    seam = 1.0 - 0.82 * bump(v / 0.018) * rise(0.03, 0.0, gap_up - gap_low) * rise(
        1.06, 0.9, abs(u)
    )
    if part == UPPER_LIP:
        seam *= 0.86
    r, g, b = mix(f.skin_r, f.lip_r, m), mix(f.skin_g, f.lip_g, m), mix(f.skin_b, f.lip_b, m)
    return r * seam, g * seam * (0.6 + 0.4 * seam), b * seam * (0.6 + 0.4 * seam)


@device
def wear_paint(x, y, z, part, f):
    """Albedo of clothes, hats, frames and jewels."""
    if part == CLOTH:
        k = 1.0
        if f.pattern > 0.5:
            s = wave(y * 4.4 + 0.5 * abs(x) + 0.12)
            k = mix(1.0, 0.38 if f.cloth_g > 0.25 else 2.4, rise(-0.08, 0.08, s))
        k *= 1.0 + 0.05 * noise2(x * 70.0, y * 70.0, 12)
        return min(f.cloth_r * k, 0.9), min(f.cloth_g * k, 0.9), min(f.cloth_b * k, 0.9)
    if part == HAT:
        k = 1.0
        tilt = y - 0.16 * z
        if f.hat > 2.5 and tilt > 0.42 and tilt < 0.56:
            k = 0.22
        return f.hatc_r * k, f.hatc_g * k, f.hatc_b * k
    if part == FRAME:
        return f.frame_r, f.frame_g, f.frame_b
    return f.jewel_r, f.jewel_g, f.jewel_b


@device
def albedo(x, y, z, part, f):
    """Albedo of a surface point of a part."""
    if part == PROP:
        return prop_paint(x, y, z, f)
    if part == HAIR:
        h = relief(x, y, z, f)
        k = (0.94 + 0.26 * h) * (0.82 + 0.18 * rise(-1.2, 0.6, y))
        return f.hair_r * k, f.hair_g * k, f.hair_b * k
    if part >= BROW and part <= BROW + 1:
        return brow_paint(x, y, z, f)
    if part >= UPPER_LID and part <= PUPIL + 1:
        return eye_paint(x, y, z, part, f)
    if part >= UPPER_LIP and part <= MOUTH:
        return lip_paint(x, y, z, part, f)
    if part >= CLOTH and part != BEARD:
        return wear_paint(x, y, z, part, f)
    r, g, b = skin_paint(x, y, z, part, f)
    if part == NOSTRILS:
        return r * 0.42, g * 0.30, b * 0.28
    return r, g, b


@device
def gloss(part):
    """(strength, exponent, wrap of the diffuse light, red of the terminator) of a part."""
    if part >= SCLERA and part <= PUPIL + 1:
        return 0.9, 160.0, 0.3, 0.0
    if part == UPPER_LIP or part == LOWER_LIP:
        return 0.16, 36.0, 0.35, 0.12
    if part == TEETH:
        return 0.35, 60.0, 0.4, 0.0
    if part == FRAME:
        return 0.45, 50.0, 0.2, 0.0
    if part == EARRING or part == NECKLACE:
        return 0.9, 40.0, 0.1, 0.0
    if part == CLOTH or part == HAT or part == BEARD:
        return 0.02, 10.0, 0.25, 0.0
    return 0.085, 16.0, 0.32, 0.16


@device
def shade(x, y, z, vx, vy, vz, part, f):
    """Linear light that leaves a surface point towards the viewer."""
    nx, ny, nz = normal(x, y, z, 0.006, f)
    r, g, b = albedo(x, y, z, part, f)
    ao = occlusion(x, y, z, nx, ny, nz, f)
    facing = nx * f.sun_x + ny * f.sun_y + nz * f.sun_z
    lit = shadow(x + 0.03 * nx, y + 0.03 * ny, z + 0.03 * nz, f) if facing > -0.35 else 0.0
    strong, power, wrap, red = gloss(part) if part != PROP else prop_gloss(x, y, z, f)
    diffuse = max((facing + wrap) / (1.0 + wrap), 0.0)
    lit_soft = 0.06 + 0.94 * lit
    edge = red * bump((facing - 0.05) / 0.5) + red * 1.2 * bump((lit - 0.5) / 0.5)
    kr = f.key_r * (diffuse * lit_soft + 0.6 * edge * (0.3 + 0.7 * lit))
    kg = f.key_g * diffuse * lit_soft
    kb = f.key_b * diffuse * lit_soft
    up = 0.5 + 0.5 * ny
    fill = 0.30 * max(nz * 0.8 - nx * 0.45 * (1.0 if f.sun_x > 0.0 else -1.0) + 0.2, 0.0)
    sky = f.ambient * ao
    r *= kr + sky * (mix(0.78, 1.02, up) + fill)
    g *= kg + sky * (mix(0.66, 1.05, up) + fill)
    b *= kb + sky * (mix(0.62, 1.14, up) + fill)
    hx, hy, hz = f.sun_x + vx, f.sun_y + vy, f.sun_z + vz
    k = 1.0 / (length3(hx, hy, hz) + 1e-6)
    hx, hy, hz = hx * k, hy * k, hz * k
    if part == HAIR:
        return strand_light(x, y, z, nx, ny, nz, hx, hy, hz, lit * diffuse, ao, r, g, b, f)
    nh = max(nx * hx + ny * hy + nz * hz, 0.0)
    shine = strong * nh**power * (lit * rise(-0.05, 0.2, facing))
    nv = clamp(nx * vx + ny * vy + nz * vz, 0.0, 1.0)
    rim = (1.0 - nv) ** 3 * ao * (0.05 + 0.12 * f.ambient) * (1.0 if strong > 0.03 else 0.5)
    shine = shine * f.key_g + rim
    if part >= SCLERA and part <= PUPIL + 1:
        return eye_light(nx, ny, nz, vx, vy, vz, r, g, b, shine)
    return r + shine, g + shine * 0.98, b + shine * 0.95


@device
def eye_light(nx, ny, nz, vx, vy, vz, r, g, b, shine):
    """An eye's colour with the key's glint and a window's catchlight, high on one side."""
    nv = nx * vx + ny * vy + nz * vz
    rx, ry, rz = 2.0 * nv * nx - vx, 2.0 * nv * ny - vy, 2.0 * nv * nz - vz
    spot = rise(0.955, 0.985, rx * -0.36 + ry * 0.46 + rz * 0.81)
    k = 0.85 * spot + min(shine, 0.6)
    return r + k, g + k, b + k


@device
def strand_light(x, y, z, nx, ny, nz, hx, hy, hz, lit, ao, r, g, b, f):
    """A hair's colour with its band of light across the strands."""
    tx, ty, tz = x, -0.9, z + 0.12
    k = tx * nx + ty * ny + tz * nz
    tx, ty, tz = tx - k * nx, ty - k * ny, tz - k * nz
    k = 1.0 / (length3(tx, ty, tz) + 1e-6)
    th = (tx * hx + ty * hy + tz * hz) * k
    # the band lies higher on a lock's back than in its groove
    h = relief(x, y, z, f)
    th += 0.10 * h + 0.12 * f.sheen
    across = max(1.0 - th * th, 0.0)
    soft = across**10
    band = (0.26 * soft + 0.30 * across**30) * lit * (1.0 - 0.6 * f.hair_curl) * (0.6 + 0.2 * h)
    amb = 0.05 * soft * ao * max(ny + 0.3, 0.0)
    k = 0.06
    return (
        r + (band + amb) * (k + 1.1 * f.hair_r),
        g + (band + amb) * (k + 1.1 * f.hair_g),
        b + (band + amb) * (k + 1.1 * f.hair_b),
    )


@device
def film(c):
    """A linear-light value as an sRGB value in [0, 1], highlights rolled off."""
    c = c * 1.05
    c = max(c * (1.0 + c * 0.18) / (1.0 + c * 0.62), 0.0)
    c = min(c, 1.0)
    return 12.92 * c if c < 0.0031308 else 1.055 * c ** (1.0 / 2.4) - 0.055
