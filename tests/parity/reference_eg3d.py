"""EG3D written a second time, ray by ray and sample by sample, to compare our networks with.

Source: Chan et al., "Efficient Geometry-aware 3D Generative Adversarial Networks" (CVPR 2022).
Nothing is imported from the networks under test: a state dict with the published names and a dict
of settings go in. Planes are given by their three axis vectors and a matrix inverse, bilinear
values by their four neighbours, light along a ray by a running product.
"""

from __future__ import annotations

import math

import torch

from tests.parity import reference_stylegan2 as stylegan2

# Axis vectors of the planes, one row each: along width, along height, normal.
AXES = torch.tensor(
    [
        [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
    ]
)


def normalised(x):
    """Each row divided by its root mean square."""
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def mapping(weights, z, c, num_ws, c_scale, truncation=1.0, cutoff=None):
    """z and camera -> ws."""
    weights = {k.removeprefix("backbone.mapping."): v for k, v in weights.items()}
    camera = stylegan2.dense(c * c_scale, weights, "embed")
    w = torch.cat([normalised(z), normalised(camera)], dim=1)
    layer = 0
    while f"fc{layer}.weight" in weights:
        w = stylegan2.activate(stylegan2.dense(w, weights, f"fc{layer}", 0.01))
        layer += 1
    ws = torch.stack([w] * num_ws, dim=1)
    cutoff = num_ws if cutoff is None else cutoff
    near = weights["w_avg"] + truncation * (ws[:, :cutoff] - weights["w_avg"])
    return torch.cat([near, ws[:, cutoff:]], dim=1)


def planes(weights, ws, resolution, noise=True):
    """ws -> (batch, 3, channels, h, w)."""
    own = {k.removeprefix("backbone."): v for k, v in weights.items() if k.startswith("backbone.")}
    image = stylegan2.synthesis(own, ws, resolution, noise)
    return image.reshape(len(ws), 3, image.shape[1] // 3, resolution, resolution)


def pixel_ray(c, row, column, side):
    """Origin and direction of one pixel of one camera (25 numbers)."""
    pose, lens = c[:16].reshape(4, 4), c[16:].reshape(3, 3)
    across, down = (column + 0.5) / side, (row + 0.5) / side
    fx, fy, cx, cy, skew = lens[0, 0], lens[1, 1], lens[0, 2], lens[1, 2], lens[0, 1]
    x = (across - cx + cy * skew / fy - skew * down / fy) / fx
    y = (down - cy) / fy
    point = pose @ torch.stack([x, y, torch.ones(()), torch.ones(())])
    direction = point[:3] - pose[:3, 3]
    return pose[:3, 3], direction / direction.norm()


def bilinear(plane, x, y):
    """Values of a plane (channels, h, w) at points in [-1, 1]; 0 beyond its pixels."""
    _, height, width = plane.shape
    x, y = ((x + 1) * width - 1) / 2, ((y + 1) * height - 1) / 2
    value = 0
    for dx in (0, 1):
        for dy in (0, 1):
            i, j = y.detach().floor().long() + dy, x.detach().floor().long() + dx
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            share = (1 - (x - j).abs()) * (1 - (y - i).abs()) * inside
            value = value + share * plane[:, i.clamp(0, height - 1), j.clamp(0, width - 1)]
    return value


def inspect(weights, code, points, settings):
    """Density (n,) and colour (n, k) at points (n, 3) of one code's planes."""
    mean = 0
    for plane, axes in zip(code, AXES, strict=True):
        local = (points * (2 / settings["box_warp"])) @ torch.linalg.inv(axes)
        mean = mean + bilinear(plane, local[:, 0], local[:, 1]).T / 3
    rate = settings.get("decoder_lr_mul", 1.0)
    hidden = torch.log(1 + torch.exp(stylegan2.dense(mean, weights, "decoder.net.0", rate)))
    out = stylegan2.dense(hidden, weights, "decoder.net.2", rate)
    return out[:, 0], 1.002 / (1 + torch.exp(-out[:, 1:])) - 0.001


def accumulate(depths, density, colour):
    """Colour in [-1, 1], expected depth and weights of one ray, from near to far."""
    light, total, along, shares = 1.0, 0.0, 0.0, []
    for i in range(len(depths) - 1):
        sigma = torch.log(1 + torch.exp((density[i] + density[i + 1]) / 2 - 1))
        alpha = 1 - torch.exp(-sigma * (depths[i + 1] - depths[i]))
        shares.append(alpha * light)
        total = total + shares[i] * (colour[i] + colour[i + 1]) / 2
        along = along + shares[i] * (depths[i] + depths[i + 1]) / 2
        light = light * (1 - alpha + 1e-10)
    return 2 * total - 1, along / sum(shares), torch.stack(shares)


def resample(depths, weights, u):
    """Depths of one ray's second pass: the inverse distribution function at each of u."""
    padded = [-math.inf, *weights.tolist(), -math.inf]
    peaks = [max(a, b) for a, b in zip(padded[:-1], padded[1:], strict=True)]
    mass = [(a + b) / 2 + 0.01 + 1e-5 for a, b in zip(peaks[:-1], peaks[1:], strict=True)][1:-1]
    edges = [sum(mass[:i]) / sum(mass) for i in range(len(mass) + 1)]
    middles = [(float(a) + float(b)) / 2 for a, b in zip(depths[:-1], depths[1:], strict=True)]
    found = []
    for value in u.tolist():
        i = max(j for j, edge in enumerate(edges) if edge <= value or j == 0)
        if i == len(mass):
            found.append(middles[i])
            continue
        share = (value - edges[i]) / (edges[i + 1] - edges[i])
        found.append(middles[i] + share * (middles[i + 1] - middles[i]))
    return torch.tensor(found)


def ray(weights, code, origin, direction, depths, u, settings):
    """Both passes along one ray."""
    density, colour = inspect(weights, code, origin + depths[:, None] * direction, settings)
    if len(u):
        _, _, shares = accumulate(depths, density, colour)
        fine = resample(depths, shares.detach(), u)
        more, tint = inspect(weights, code, origin + fine[:, None] * direction, settings)
        depths, order = torch.cat([depths, fine]).sort()
        density = torch.cat([density, more])[order]
        colour = torch.cat([colour, tint])[order]
    return accumulate(depths, density, colour)[:2]


def render(weights, codes, c, side, settings, jitter=False):
    """Features (b, k, side, side) and depth (b, 1, side, side)."""
    count, importance = settings["depth_resolution"], settings["depth_resolution_importance"]
    near, far = settings["ray_start"], settings["ray_end"]
    depths = torch.linspace(near, far, count).repeat(len(c), side**2, 1)
    u = torch.linspace(0, 1, importance).repeat(len(c), side**2, 1)
    if jitter:
        depths += torch.rand(len(c), side**2, count, 1)[..., 0] * (far - near) / (count - 1)
        u = torch.rand(len(c) * side**2, importance).reshape(len(c), side**2, importance)
    features, depth = [], []
    for b in range(len(c)):
        for pixel in range(side**2):
            origin, direction = pixel_ray(c[b], pixel // side, pixel % side, side)
            found = ray(
                weights, codes[b], origin, direction, depths[b, pixel], u[b, pixel], settings
            )
            features.append(found[0])
            depth.append(found[1])
    shape = (len(c), side, side, -1)
    depth = torch.stack(depth).clamp(depths.min(), depths.max())
    return (x.reshape(shape).permute(0, 3, 1, 2) for x in (torch.stack(features), depth))


def shrink(x, side):
    """Bilinear resize whose triangle grows with the step, as one matrix for both directions."""
    step = x.shape[-1] / side
    rows = []
    for i in range(side):
        offsets = (torch.arange(x.shape[-1]) + 0.5 - (i + 0.5) * step).abs() / max(step, 1)
        rows.append((1 - offsets).clamp_min(0) / (1 - offsets).clamp_min(0).sum())
    matrix = torch.stack(rows)
    return matrix @ x @ matrix.T


def superresolution(weights, features, ws, side, limit):
    """Features -> image of four times `side`."""
    x, w = features, ws[:, -1]
    if x.shape[-1] != side:
        x = shrink(x, side)
    image = x[:, :3]
    for name in ("superresolution.block0", "superresolution.block1"):
        for layer, up in (("conv0", True), ("conv1", False)):
            x = stylegan2.layer(weights, f"{name}.{layer}", x, w, up, noise=False)
            x = x.clamp(-limit, limit)
        image = stylegan2.upfirdn(image, weights[f"{name}.resample_filter"] * 4, 2, 2, 1)
        image = image + stylegan2.to_rgb(weights, f"{name}.torgb", x, w).clamp(-limit, limit)
    return image


def pose(yaw, pitch, pivot, radius):
    """Camera-to-world matrix by the published angles, both pi / 2 in front of the face."""
    theta, polar = math.pi / 2 + yaw, math.acos(1 - 2 * (math.pi / 2 + pitch) / math.pi)
    origin = torch.tensor(
        [
            radius * math.sin(polar) * math.cos(math.pi - theta),
            radius * math.cos(polar),
            radius * math.sin(polar) * math.sin(math.pi - theta),
        ]
    )
    forward = torch.tensor(pivot) - origin
    forward = forward / forward.norm()
    right = -torch.linalg.cross(torch.tensor([0.0, 1, 0]), forward)
    right = right / right.norm()
    down = torch.linalg.cross(forward, right)
    matrix = torch.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2], matrix[:3, 3] = right, down, forward, origin
    return matrix
