"""Signed distances, smooth set operations and integer-hash noise as scalar numba functions.

Every function takes and returns numbers only, so that numba compiles it for the CPU and, called
from a kernel, for CUDA. Distances are negative inside; lengths are in head units (chin to crown
is about 2).
"""

from __future__ import annotations

import math

from examples.clay.compiled import device


@device
def clamp(x, low, high):
    """x limited to [low, high]."""
    return min(max(x, low), high)


@device
def mix(a, b, t):
    """a at t = 0, b at t = 1."""
    return a + (b - a) * t


@device
def rise(low, high, x):
    """Smooth 0 to 1 as x goes from `low` to `high`."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@device
def bump(x):
    """Smooth hill: 1 at x = 0, 0 from |x| = 1 on."""
    h = max(1.0 - x * x, 0.0)
    return h * h


@device
def join(a, b, k):
    """Union of two distances, rounded over length k (polynomial smooth minimum)."""
    h = max(k - abs(a - b), 0.0)
    return min(a, b) - h * h * 0.25 / k


@device
def meet(a, b, k):
    """Intersection of two distances, rounded over length k."""
    h = max(k - abs(a - b), 0.0)
    return max(a, b) + h * h * 0.25 / k


@device
def length2(x, y):
    """Euclidean length of (x, y)."""
    return math.sqrt(x * x + y * y)


@device
def length3(x, y, z):
    """Euclidean length of (x, y, z)."""
    return math.sqrt(x * x + y * y + z * z)


@device
def ellipsoid(x, y, z, rx, ry, rz):
    """Distance to an ellipsoid at the origin, exact to first order at the surface."""
    ux = x / rx
    uy = y / ry
    uz = z / rz
    k0 = math.sqrt(ux * ux + uy * uy + uz * uz)
    vx = ux / rx
    vy = uy / ry
    vz = uz / rz
    k1 = math.sqrt(vx * vx + vy * vy + vz * vz)
    return k0 * (k0 - 1.0) / (k1 + 1e-6)


@device
def cone(x, y, z, ax, ay, az, bx, by, bz, ra, rb):
    """Distance to a capsule from a (radius ra) to b (radius rb)."""
    dx = bx - ax
    dy = by - ay
    dz = bz - az
    t = ((x - ax) * dx + (y - ay) * dy + (z - az) * dz) / (dx * dx + dy * dy + dz * dz)
    t = min(max(t, 0.0), 1.0)
    return length3(x - ax - t * dx, y - ay - t * dy, z - az - t * dz) - ra - (rb - ra) * t


@device
def rounded_box(x, y, hx, hy, r):
    """Distance in the plane to a box of half sizes hx, hy with corners of radius r."""
    qx = abs(x) - hx + r
    qy = abs(y) - hy + r
    return length2(max(qx, 0.0), max(qy, 0.0)) + min(max(qx, qy), 0.0) - r


@device
def wave(t):
    """A sine of t turns, by parabolas (error below 0.06)."""
    t = t - math.floor(t)
    return 16.0 * t * (0.5 - t) if t < 0.5 else -16.0 * (t - 0.5) * (1.0 - t)


@device
def angle(x, z):
    """Turn of (x, z) from +z, in (-0.5, 0.5] turns, positive towards +x (error 0.0007)."""
    ax = abs(x)
    az = abs(z)
    small = min(ax, az) / (max(ax, az) + 1e-9)
    t = small * (0.1591 * (0.9724 - 0.1919 * small * small) + 0.0008 * small)
    if ax > az:
        t = 0.25 - t
    if z < 0.0:
        t = 0.5 - t
    return t if x >= 0.0 else -t


@device
def hash2(i, j):
    """A number in [0, 1) from two integers."""
    h = (i * 374761393 + j * 668265263 + 144665) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFFFF) / 16777216.0


@device
def noise1(t, seed):
    """Smooth value noise on a line, in [-1, 1]."""
    i = int(math.floor(t))
    s = t - i
    s = s * s * (3.0 - 2.0 * s)
    a = hash2(i, seed)
    return 2.0 * (a + (hash2(i + 1, seed) - a) * s) - 1.0


@device
def noise2(x, y, seed):
    """Smooth value noise in the plane, in [-1, 1]."""
    i = int(math.floor(x))
    j = int(math.floor(y))
    u = x - i
    v = y - j
    u = u * u * (3.0 - 2.0 * u)
    v = v * v * (3.0 - 2.0 * v)
    k = i + 57 * seed
    a = hash2(k, j)
    b = hash2(k, j + 1)
    a = a + (hash2(k + 1, j) - a) * u
    b = b + (hash2(k + 1, j + 1) - b) * u
    return 2.0 * (a + (b - a) * v) - 1.0
