"""From tri-planes to pictures of features: rays, samples, a small decoder, volume rendering.

Source: Chan et al., "Efficient Geometry-aware 3D Generative Adversarial Networks" (CVPR 2022),
Sec. 3 and 4.1; two-pass sampling from Mildenhall et al., "NeRF" (ECCV 2020), Sec. 5.2;
compositing of interval midpoints and the padded sigmoid from Barron et al., "Mip-NeRF" (ICCV 2021).
Every step follows the published renderer to rounding, its deviations from these papers included.

Symbols: t depth along a ray; sigma density; alpha opacity of an interval; T transmittance.
Shapes: b cameras, r rays, s samples of a ray, k features; planes are (batch, 3, channels, h, w).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.networks import cameras
from pipelines.networks.layers import EqualisedLinear

# Two of the published planes hold the same pair of coordinates. The authors meant "yz" in one of
# them, and kept this because every published weight was trained with it.
AXES = ("xy", "xz", "zx")
FEWEST = 4  # samples of a ray below which importance sampling has no interval left


def rays(
    c: Float[Tensor, "b 25"], side: int
) -> tuple[Float[Tensor, "b r 3"], Float[Tensor, "b r 3"]]:
    """Origins and unit directions in the world of the rays through the pixels' centres."""
    pose, lens = c[:, :16].unflatten(1, (4, 4)), c[:, 16:].unflatten(1, (3, 3))
    centres = torch.arange(side, device=c.device) * (1 / side) + 0.5 / side
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    y = (v.flatten() - lens[:, 1, 2, None]) / lens[:, 1, 1, None]
    x = (u.flatten() - lens[:, 0, 2, None] - lens[:, 0, 1, None] * y) / lens[:, 0, 0, None]
    seen = torch.stack([x, y, torch.ones_like(x)], dim=2)
    directions = F.normalize(seen @ pose[:, :3, :3].mT, dim=2)
    return pose[:, None, :3, 3].expand_as(directions), directions


def sample_planes(
    planes: Float[Tensor, "p 3 c h w"],
    points: Float[Tensor, "b n 3"],
    axes: Sequence[str] = AXES,
    box: int | float = 1.0,
) -> Float[Tensor, "b n c"]:
    """Mean over the planes of their bilinear values at points; 0 outside the box.

    axes: the coordinates along width and height of each plane. box: side of the box that the planes
    span. Planes of one code (p = 1) serve any number of cameras.
    """
    batch = len(points)
    # One code, many cameras: their points are one long list, no plane is copied.
    points = (2 / box * points).reshape(len(planes), -1, 3)
    total = 0
    for index, pair in enumerate(axes):
        places = points[:, None, :, ["xyz".index(axis) for axis in pair]]
        total = total + F.grid_sample(planes[:, index], places, align_corners=False)
    return (total / len(axes)).squeeze(2).mT.reshape(batch, -1, planes.shape[2])


def march(
    t: Float[Tensor, "b r s"], density: Float[Tensor, "b r s"], colour: Float[Tensor, "b r s k"]
) -> tuple[Float[Tensor, "b r k"], Float[Tensor, "b r"], Float[Tensor, "b r s2"]]:
    """Features in [-1, 1], expected depth, and the weight of each of the s - 1 intervals.

    An interval has the mean colour and density of its two ends. Depth is inf where nothing is hit.
    """
    sigma = F.softplus((density[..., :-1] + density[..., 1:]) / 2 - 1)
    alpha = 1 - torch.exp(-sigma * t.diff())
    passed = torch.cumprod(1 - alpha + 1e-10, dim=2)
    weights = alpha * torch.cat([torch.ones_like(passed[..., :1]), passed[..., :-1]], dim=2)
    middles = (colour[:, :, :-1] + colour[:, :, 1:]) / 2
    features = (weights[:, :, None] @ middles).squeeze(2)
    total = weights.sum(dim=2)
    hit = total > 0
    depth = (weights * (t[..., :-1] + t[..., 1:]) / 2).sum(dim=2) / torch.where(hit, total, 1)
    return 2 * features - 1, torch.where(hit, depth, torch.inf), weights


@torch.no_grad()
def important_depths(
    t: Float[Tensor, "b r s"], weights: Float[Tensor, "b r s2"], u: Float[Tensor, "b r f"]
) -> Float[Tensor, "b r f"]:
    """Depths drawn where the coarse pass found matter: its inverse distribution function at u.

    Weights are widened by a maximum and a mean over neighbours, and none is below 0.01. As
    published, the distribution of interval i + 1 is laid over the middles i and i + 1.
    """
    shape, t, weights, u = u.shape, t.flatten(0, 1), weights.flatten(0, 1), u.flatten(0, 1)
    wide = F.avg_pool1d(F.max_pool1d(weights[:, None], 2, 1, padding=1), 2, 1)[:, 0] + 0.01
    mass = wide[:, 1:-1] + 1e-5
    rising = F.pad(torch.cumsum(mass / mass.sum(dim=1, keepdim=True), dim=1), (1, 0))
    middles = (t[:, :-1] + t[:, 1:]) / 2
    above = torch.searchsorted(rising, u.contiguous(), right=True)
    below, above = (above - 1).clamp_min(0), above.clamp_max(mass.shape[1])
    low, high = rising.gather(1, below), rising.gather(1, above)
    share = torch.where(high - low < 1e-5, 1, high - low)
    start, end = middles.gather(1, below), middles.gather(1, above)
    return (start + (u - low) / share * (end - start)).view(shape)


class Decoder(nn.Module):
    """Features of a point -> density before activation, and colour features in about [0, 1]."""

    def __init__(
        self, channels: int = 32, hidden: int = 64, lr_multiplier: int | float = 1.0
    ) -> None:
        super().__init__()
        self.net = nn.Sequential(
            EqualisedLinear(channels, hidden, lr_multiplier=lr_multiplier),
            nn.Softplus(),
            EqualisedLinear(hidden, 1 + channels, lr_multiplier=lr_multiplier),
        )

    def forward(
        self, features: Float[Tensor, "b n c"]
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n c"]]:
        """Density and colour of every point; they do not depend on the viewing direction."""
        x = self.net(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        return x[..., 0], torch.sigmoid(x[..., 1:]) * (1 + 2 * 0.001) - 0.001


class Renderer(nn.Module):
    """Planes and cameras -> pictures of features, in two passes over every ray.

    samples, importance_samples: depths of the first and second pass. ray_start, ray_end: range of
    the first. box_warp: side of the box that the planes span. axes: as `sample_planes`.
    """

    def __init__(
        self,
        samples: int = 48,
        importance_samples: int = 48,
        ray_start: int | float = 2.25,
        ray_end: int | float = 3.3,
        box_warp: int | float = 1.0,
        axes: Sequence[str] = AXES,
    ) -> None:
        super().__init__()
        if samples < FEWEST or importance_samples < 0:
            raise ValueError(
                f"samples must be at least {FEWEST} and importance_samples 0; got {samples} and "
                f"{importance_samples}. The published model has 48 of each."
            )
        if not 0 <= ray_start < ray_end:
            raise ValueError(
                f"rays must start before they end; got {ray_start} to {ray_end}. The published "
                "model has 2.25 to 3.3."
            )
        self.samples, self.importance_samples = samples, importance_samples
        self.ray_start, self.ray_end = ray_start, ray_end
        self.box_warp, self.axes = box_warp, tuple(axes)

    def forward(
        self,
        planes: Float[Tensor, "p 3 c h w"],
        decoder: nn.Module,
        c: Float[Tensor, "b 25"],
        side: int = 128,
        jitter: bool = False,
        generator: torch.Generator | None = None,
        rays_at_once: int | None = None,
    ) -> tuple[Float[Tensor, "b c side side"], Float[Tensor, "b 1 side side"]]:
        """Features in [-1, 1], the first three of them colour, and depth along the rays.

        planes: of each camera, or of one code for all. jitter: draw depths at random as published
        (numbers in the published order from `generator`, on the planes' device, by default the
        global one), else evenly. rays_at_once: how many rays of a camera are held in memory, all by
        default; it changes nothing but that. Raises ValueError for other shapes.
        """
        self.check(planes, c)
        with torch.autocast(planes.device.type, enabled=False):
            origins, directions = rays(c.to(planes.device, torch.float32), side)
            t, u = self.places(origins, jitter, generator)
            pieces = (x.split(rays_at_once or side**2, dim=1) for x in (origins, directions, t, u))
            traced = [
                self.trace(planes.float(), decoder, *piece) for piece in zip(*pieces, strict=True)
            ]
        features, depth = (torch.cat(parts, dim=1) for parts in zip(*traced, strict=True))
        depth = depth.clamp(t.min(), t.max())[:, None].unflatten(2, (side, side))
        return features.mT.unflatten(2, (side, side)).contiguous(), depth

    def places(
        self, origins: Float[Tensor, "b r 3"], jitter: bool, generator: torch.Generator | None
    ) -> tuple[Float[Tensor, "b r s"], Float[Tensor, "b r f"]]:
        """Depths of the first pass, and where in [0, 1] of its distribution the second draws."""
        device, (batch, count, _) = origins.device, origins.shape
        t = torch.linspace(self.ray_start, self.ray_end, self.samples, device=device)
        t = t.expand(batch, count, -1)
        if not jitter:
            u = torch.linspace(0, 1, self.importance_samples, device=device)
            return t, u.expand(batch, count, -1)
        step = (self.ray_end - self.ray_start) / (self.samples - 1)
        t = t + step * torch.rand(t.shape, generator=generator, device=device)
        drawn = (batch * count, self.importance_samples)
        u = torch.rand(drawn, generator=generator, device=device)
        return t, u.unflatten(0, (batch, count))

    def trace(
        self,
        planes: Float[Tensor, "p 3 c h w"],
        decoder: nn.Module,
        origins: Float[Tensor, "b r 3"],
        directions: Float[Tensor, "b r 3"],
        t: Float[Tensor, "b r s"],
        u: Float[Tensor, "b r f"],
    ) -> tuple[Float[Tensor, "b r c"], Float[Tensor, "b r"]]:
        """Both passes along some rays."""

        def look(t: Tensor) -> tuple[Tensor, Tensor]:
            points = origins[:, :, None] + t[..., None] * directions[:, :, None]
            features = sample_planes(planes, points.flatten(1, 2), self.axes, self.box_warp)
            return tuple(x.unflatten(1, t.shape[1:]) for x in decoder(features))

        density, colour = look(t)
        if self.importance_samples:
            with torch.no_grad():
                weights = march(t, density, colour)[2]
            fine = important_depths(t, weights, u)
            more = look(fine)
            t, order = torch.cat([t, fine], dim=2).sort(dim=2)
            density = torch.cat([density, more[0]], dim=2).gather(2, order)
            colour = torch.cat([colour, more[1]], dim=2)
            colour = colour.gather(2, order[..., None].expand_as(colour))
        features, depth, _ = march(t, density, colour)
        return features, depth

    def check(self, planes: Tensor, c: Tensor) -> None:
        """Raise ValueError for what `forward` cannot use."""
        cameras.check(c)
        if planes.ndim != 5 or planes.shape[1] != len(self.axes) or len(planes) not in (1, len(c)):
            raise ValueError(
                f"planes must be (1 or {len(c)}, {len(self.axes)}, channels, height, width) for "
                f"{len(c)} cameras; got {tuple(planes.shape)}. Give one code, or one a camera."
            )
