"""Pictures and label maps of clay portraits by marching rays through a signed distance.

A cone is marched for every tile of 8 x 8 pixels first: it says where the tile's rays may start and
whether they meet anything. One ray a pixel follows, and four more where neighbours differ. The
same functions run on the CPU (one portrait a task) and on CUDA (one pixel a thread, always five
rays). Nothing is random: equal parameters give equal pictures.

Camera: EG3D's convention; cam2world in OpenCV axes (x right, y down, z forward), orbit radius 2.7,
focal length 4.2647 of the picture's width. A head unit is `UNIT` of the camera's world.
"""

from __future__ import annotations

import math

import numpy as np
from numba import cuda, prange

from examples.clay.backgrounds import background
from examples.clay.compiled import device, kernel, parallel
from examples.clay.figure import figures
from examples.clay.lettering import caption
from examples.clay.parameters import INDEX, NAMES
from examples.clay.parts import PARTS, PROP
from examples.clay.props import CAPTION
from examples.clay.shading import film, shade
from examples.clay.shapes import length3, mix, rise, wave
from examples.clay.styles import cover
from examples.clay.wear import LENS, lens_depth, lens_outline, scene, scene_part

RADIUS, FOCAL = 2.7, 4.2647
SPAN = 1.41  # half of the picture's height, in head units, at the orbit's centre
UNIT = RADIUS * 0.5 / FOCAL / SPAN
DISTANCE = RADIUS / UNIT
CENTRE_Y = -0.03
SLOPE = SPAN / DISTANCE
NEAR, FAR = DISTANCE - 1.75, DISTANCE + 1.4
TILE = 8
BACKGROUND = PARTS.index("background")


def camera(parameters: np.ndarray) -> np.ndarray:
    """The EG3D camera of one portrait: 16 numbers of cam2world, row-major, then 9 intrinsics."""
    yaw, pitch, roll = (math.radians(float(parameters[INDEX[n]])) for n in ("yaw", "pitch", "roll"))
    back = np.array(
        [math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)]
    )
    right = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
    up = np.cross(back, right)
    right, up = (
        math.cos(roll) * right + math.sin(roll) * up,
        math.cos(roll) * up - math.sin(roll) * right,
    )
    pose = np.eye(4)
    pose[:3] = np.stack([right, -up, -back, RADIUS * back], axis=1)
    intrinsics = [FOCAL, 0, 0.5, 0, FOCAL, 0.5, 0, 0, 1]
    return np.concatenate([pose.ravel(), intrinsics]).astype(np.float32)


@device
def ray(px, py, c):
    """Unit direction of the ray through picture point (px, py), y down; c a pose's 16 numbers."""
    sx = px * SLOPE
    sy = py * SLOPE
    dx = c[0] * sx + c[1] * sy + c[2]
    dy = c[4] * sx + c[5] * sy + c[6]
    dz = c[8] * sx + c[9] * sy + c[10]
    k = 1.0 / length3(dx, dy, dz)
    return dx * k, dy * k, dz * k


@device
def eye_point(c):
    """The camera's place in head units."""
    k = 1.0 / UNIT
    return c[3] * k, c[7] * k + CENTRE_Y, c[11] * k


@device
def cone_start(px, py, half, c, f):
    """How far all rays within `half` (picture units) of a point may skip; FAR when all miss."""
    ox, oy, oz = eye_point(c)
    dx, dy, dz = ray(px, py, c)
    t = NEAR
    for _ in range(32):
        d = scene(ox + t * dx, oy + t * dy, oz + t * dz, f, 0.0)
        r = half * SLOPE * t * 1.45 + 0.06
        if d < r:
            return t - r
        t += d - r * 0.7
        if t > FAR:
            return FAR
    return t - 0.2


@device
def march(ox, oy, oz, dx, dy, dz, t, f):
    """Distance along a ray to the surface, FAR + 1 when it misses; steps over-relaxed."""
    relax = 1.15
    last = 0.0
    step = 0.0
    near = 9.0
    near_t = t
    for _ in range(52):
        d = scene(ox + t * dx, oy + t * dy, oz + t * dz, f, 0.0)
        if relax > 1.0 and last + abs(d) < step:
            t -= step - last
            relax = 1.0
            step = 0.0
            continue
        if abs(d) < 0.0016:
            return t
        if d < 0.0:
            # bounds and displacements are not exact: a step that fell inside comes back
            t += d
            relax = 1.0
            last = step = 0.0
            near = 0.0
            near_t = t
            continue
        if d < near:
            near = d
            near_t = t
        last = d
        step = d * relax
        t += step
        if t > FAR:
            return FAR + 1.0
    return near_t if near < 0.012 else FAR + 1.0


@device
def lens(ox, oy, oz, dx, dy, dz, limit, f):
    """(hit, x, y) of a ray with a spectacle glass before `limit`."""
    t = (0.70 - oz) / dz
    for _ in range(3):
        x = ox + t * dx
        t = (lens_depth(x, f) - oz) / dz
    x, y = ox + t * dx, oy + t * dy
    return t < limit and lens_outline(x, y, f) < 0.0, x, y


@device
def through_lens(x, y, r, g, b, f):
    """Colour seen through a spectacle glass: nearly clear, or dark with a sky gradient."""
    streak = rise(0.09, 0.14, wave(0.5 * (x + 0.7 * y) + 0.30) - 0.78) * 0.06
    if f.glasses < 3.5:
        return r * 0.95 + 0.012 + streak, g * 0.96 + 0.013 + streak, b * 0.97 + 0.016 + streak
    fade = rise(-0.25, 0.2, y)
    k = mix(0.07, 0.025, fade)
    s = 0.018 + 0.07 * rise(0.02, 0.17, y) + 0.6 * streak
    return r * k + s * 0.8, g * k + s * 0.88, b * k + s


@device
def sample(px, py, start, c, f, p):
    """(red, green, blue, part) of the picture at a point: sRGB and an index into PARTS, or PROP."""
    if f.prop > CAPTION - 0.5:
        seen, r, g, b = caption(px, py, f)
        if seen:
            return film(r), film(g), film(b), PROP
    ox, oy, oz = eye_point(c)
    dx, dy, dz = ray(px, py, c)
    t = FAR + 1.0
    if start < FAR:
        t = march(ox, oy, oz, dx, dy, dz, start, f)
    if t < FAR:
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        part = scene_part(x, y, z, f)
        r, g, b = shade(x, y, z, -dx, -dy, -dz, part, f)
    else:
        part = BACKGROUND
        r, g, b = background(px, py, p)
    if f.glasses > 0.5 and start < FAR:
        seen, x, y = lens(ox, oy, oz, dx, dy, dz, t + 0.02, f)
        if seen:
            if part != PROP or f.glasses > 3.5:  # a sticker is seen through clear glass
                part = LENS
            r, g, b = through_lens(x, y, r, g, b, f)
    return film(r), film(g), film(b), part


@device
def unlike(image, parts, i, j, size):
    """Whether a pixel differs enough from a neighbour to need more rays."""
    for k in range(4):
        y = i + (1 if k == 0 else 0) - (1 if k == 1 else 0)
        x = j + (1 if k == 2 else 0) - (1 if k == 3 else 0)
        if x < 0 or y < 0 or x >= size or y >= size:
            continue
        if parts[i, j] != parts[y, x]:
            return True
        change = abs(image[i, j, 0] - image[y, x, 0]) + abs(image[i, j, 1] - image[y, x, 1])
        if change + abs(image[i, j, 2] - image[y, x, 2]) > 0.16 and parts[i, j] != 0:
            return True
    return False


@device
def finer(px, py, pixel, start, c, f, p, r, g, b):
    """Mean colour of a pixel by four more rays on a turned grid, the first one included."""
    q = 0.25 * pixel
    r1, g1, b1, part = sample(px + 0.5 * q, py + 1.5 * q, start, c, f, p)
    r2, g2, b2, part = sample(px - 1.5 * q, py + 0.5 * q, start, c, f, p)
    r3, g3, b3, part = sample(px - 0.5 * q, py - 1.5 * q, start, c, f, p)
    r4, g4, b4, part = sample(px + 1.5 * q, py - 0.5 * q, start, c, f, p)
    return (
        (r + r1 + r2 + r3 + r4) * 0.2,
        (g + g1 + g2 + g3 + g4) * 0.2,
        (b + b1 + b2 + b3 + b4) * 0.2,
    )


@device
def _portrait(f, c, p, size, image, parts):
    """Draw one portrait into float `image` (size, size, 3), sRGB in [0, 1], and `parts`."""
    tiles = (size + TILE - 1) // TILE
    starts = np.empty((tiles, tiles))
    pixel = 2.0 / size
    for i in range(tiles):
        for j in range(tiles):
            px = (j * TILE + 0.5 * TILE) * pixel - 1.0
            py = (i * TILE + 0.5 * TILE) * pixel - 1.0
            starts[i, j] = cone_start(px, py, 0.5 * TILE * pixel, c, f)
    for i in range(size):
        for j in range(size):
            px, py = (j + 0.5) * pixel - 1.0, (i + 0.5) * pixel - 1.0
            r, g, b, part = sample(px, py, starts[i // TILE, j // TILE], c, f, p)
            image[i, j, 0], image[i, j, 1], image[i, j, 2] = r, g, b
            parts[i, j] = part
    smooth = image.copy()
    for i in range(size):
        for j in range(size):
            if unlike(smooth, parts, i, j, size):
                px, py = (j + 0.5) * pixel - 1.0, (i + 0.5) * pixel - 1.0
                start = starts[i // TILE, j // TILE]
                r, g, b = smooth[i, j, 0], smooth[i, j, 1], smooth[i, j, 2]
                r, g, b = finer(px, py, pixel, start, c, f, p, r, g, b)
                image[i, j, 0], image[i, j, 1], image[i, j, 2] = r, g, b


@parallel
def _on_cpu(table, poses, parameters, size, images, parts):
    for n in prange(len(table)):
        image = np.empty((size, size, 3))
        _portrait(table[n], poses[n], parameters[n], size, image, parts[n])
        for i in range(size):
            for j in range(size):
                for k in range(3):
                    images[n, i, j, k] = np.uint8(image[i, j, k] * 255.0 + 0.5)


@kernel
def _on_cuda(table, poses, parameters, size, images, parts):
    index = cuda.grid(1)
    if index >= images.shape[0] * size * size:
        return
    n = index // (size * size)
    i = index // size % size
    j = index % size
    pixel = 2.0 / size
    px, py = (j + 0.5) * pixel - 1.0, (i + 0.5) * pixel - 1.0
    f, c, p = table[n], poses[n], parameters[n]
    start = cone_start(px, py, 0.5 * pixel, c, f)
    r, g, b, part = sample(px, py, start, c, f, p)
    parts[n, i, j] = part
    r, g, b = finer(px, py, pixel, start, c, f, p, r, g, b)
    images[n, i, j, 0] = int(r * 255.0 + 0.5)
    images[n, i, j, 1] = int(g * 255.0 + 0.5)
    images[n, i, j, 2] = int(b * 255.0 + 0.5)


def render(
    parameters: np.ndarray,
    size: int = 128,
    *,
    device: str = "auto",
    material: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, size, size, 3), uint8 sRGB, and parts (N, size, size), uint8, of portraits.

    parameters: (N, 97), float32, as `parameters.draw` gives them. device: "cpu", "cuda", or
    "auto": CUDA where there is one. material: one of `styles.MATERIALS`, of which all is made but
    the backdrop; None for a person. Where a prop is seen, and only where one was set by overrides,
    parts holds PROP, which is no index into PARTS.
    """
    parameters = np.ascontiguousarray(parameters, np.float32)
    if parameters.ndim != 2 or parameters.shape[1] != len(NAMES):
        raise ValueError(
            f"parameters must be (N, {len(NAMES)}); got {parameters.shape}. "
            "Draw them with examples.clay.parameters.draw, one row a portrait."
        )
    if not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"size must be a whole number of pixels, 1 or more; got {size!r}.")
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda'; got {device!r}.")
    table = figures(parameters) if material is None else cover(figures(parameters), material)
    poses = np.stack([camera(p)[:16] for p in parameters]).astype(np.float64)
    images = np.zeros((len(parameters), size, size, 3), np.uint8)
    parts = np.zeros((len(parameters), size, size), np.uint8)
    if device == "cuda" or (device == "auto" and cuda.is_available()):
        on_device = (cuda.to_device(images), cuda.to_device(parts))
        blocks = (parts.size + 127) // 128
        _on_cuda[blocks, 128](
            cuda.to_device(table),
            cuda.to_device(poses),
            cuda.to_device(parameters),
            size,
            *on_device,
        )
        return on_device[0].copy_to_host(), on_device[1].copy_to_host()
    _on_cpu(table, poses, parameters, size, images, parts)
    return images, parts
