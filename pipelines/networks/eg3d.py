"""EG3D: a generator of heads that can be seen from any side.

Source: Chan et al., "Efficient Geometry-aware 3D Generative Adversarial Networks" (CVPR 2022). A
StyleGAN2 network paints three feature planes (Sec. 3), a renderer looks at them through a camera
(Sec. 4.1), super-resolution makes the image (Sec. 4.2). Defaults are those of the published
ffhqrebalanced512-128, and parameters carry its names (`backbone.synthesis.b4.const`, ...,
`decoder.net.0.weight`, `superresolution.block0.conv0.weight`, ...).

    ws = generator.backbone.mapping(z, cameras.camera())     # once a head
    planes = generator.backbone.synthesis(ws)                # once a head
    for c in cameras.orbit(60).split(1):
        view = generator.render(planes, ws, c)               # once a camera

Symbols: z, w, ws as in stylegan2; c camera, 25 numbers (see cameras). Mapping sees a camera too:
in photographs, expression and pose go together (Sec. 4.4).
"""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from typing import NamedTuple

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.networks import cameras
from pipelines.networks.layers import EqualisedLinear
from pipelines.networks.rendering import AXES, Decoder, Renderer
from pipelines.networks.stylegan2 import Mapping, Noise, Synthesis, level_channels
from pipelines.networks.superresolution import Superresolution


class View(NamedTuple):
    """What one camera sees; RGB in about [-1, 1], depth along the rays in box sides."""

    image: Float[Tensor, "b 3 h w"]
    raw: Float[Tensor, "b 3 side side"]
    depth: Float[Tensor, "b 1 side side"]


def unit(x: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Each row scaled to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class CameraMapping(Mapping):
    """z and a camera -> w: the camera, embedded linearly, enters beside z.

    c_scale: factor on the camera; 0 for networks trained without this conditioning.
    """

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        num_ws: int,
        layers: int = 2,
        lr_multiplier: int | float = 0.01,
        c_scale: int | float = 1.0,
    ) -> None:
        super().__init__(z_dim + w_dim, w_dim, num_ws, layers, lr_multiplier)
        self.z_dim = z_dim
        self.c_scale = c_scale
        self.embed = EqualisedLinear(cameras.NUMBERS, w_dim)

    def forward(
        self,
        z: Float[Tensor, "b z"],
        c: Float[Tensor, "n 25"],
        truncation: int | float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Float[Tensor, "b layers w"]:
        """Map latents to one w per layer, as `Mapping` does; one camera serves all latents.

        Raises ValueError unless z is (b, z_dim) and c (b, 25) or (1, 25).
        """
        cameras.check(c)
        if z.ndim != 2 or z.shape[1] != self.z_dim or len(c) not in (1, len(z)):
            raise ValueError(
                f"z must be (batch, {self.z_dim}) with 1 or batch cameras; got {tuple(z.shape)} "
                f"with {len(c)}. Give each latent one camera, or all the same."
            )
        with torch.autocast(z.device.type, enabled=False):
            c = c.to(z.device, torch.float32) * self.c_scale
            seen = unit(self.embed(c)).expand(len(z), -1)
            w = torch.cat([unit(z.float()), seen], dim=1)
            for index in range(self.num_layers):
                w = getattr(self, f"fc{index}")(w)
        return self.truncate(w[:, None].repeat(1, self.num_ws, 1), truncation, truncation_cutoff)


class PlaneSynthesis(Synthesis):
    """ws -> three feature planes: a StyleGAN2 image of 96 channels."""

    def __init__(self, levels: Dictionary[int, int], w_dim: int, plane_channels: int) -> None:
        super().__init__(levels, w_dim, 3 * plane_channels)

    def forward(
        self, ws: Float[Tensor, "b layers d"], noise: Noise = "const"
    ) -> Float[Tensor, "b 3 c h w"]:
        """Planes of each code; `noise` and errors as `Synthesis`."""
        return super().forward(ws, noise).unflatten(1, (3, -1))


class Backbone(nn.Module):
    """Everything that no camera position changes. Its two parts are modules: call them as such."""

    def __init__(self, mapping: CameraMapping, synthesis: PlaneSynthesis) -> None:
        super().__init__()
        self.mapping, self.synthesis = mapping, synthesis

    def forward(
        self, z: Float[Tensor, "b z"], c: Float[Tensor, "n 25"], noise: Noise = "const"
    ) -> Float[Tensor, "b 3 c h w"]:
        """Planes of each latent."""
        return self.synthesis(self.mapping(z, c), noise)


class TriPlaneGenerator(nn.Module, PyTorchModelHubMixin):
    """z and a camera -> image, through `backbone.mapping`, `backbone.synthesis`, `renderer` with
    `decoder`, and `superresolution`: all modules, called as such.

    Offload hooks belong on these, but not on `renderer`: it has no weights, which accelerate's
    hooks need, and works where the planes are.
    """

    def __init__(
        self,
        resolution: int = 512,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 2,
        mapping_lr_multiplier: int | float = 0.01,
        c_scale: int | float = 1.0,
        plane_resolution: int = 256,
        plane_channels: int = 32,
        channels: dict | None = None,
        channel_multiplier: int | float = 2,
        rendering_resolution: int = 128,
        samples: int = 48,
        importance_samples: int = 48,
        ray_start: int | float = 2.25,
        ray_end: int | float = 3.3,
        box_warp: int | float = 1.0,
        plane_axes: Sequence[str] = AXES,
        decoder_channels: int = 64,
        decoder_lr_multiplier: int | float = 1.0,
        superresolution_channels: Sequence[int] = (256, 128),
        superresolution_limit: int | float | None = 256,
    ) -> None:
        """Build the network with random weights.

        resolution: side of the image, four times what super-resolution expects.
        rendering_resolution: side of the rendered picture; resized if it is not a quarter of that.
        channels, channel_multiplier: of the planes' network, as in `Generator`. Other arguments:
        see `CameraMapping`, `Renderer`, `Decoder`, `Superresolution`.
        """
        super().__init__()
        if plane_channels < 3 or resolution < 8 or resolution % 4:
            raise ValueError(
                "expected at least 3 plane_channels and a resolution divisible by 4, 8 or more; "
                f"got {plane_channels} and {resolution}. The published model has 32 and 512."
            )
        levels = level_channels(plane_resolution, channels, channel_multiplier)
        synthesis = PlaneSynthesis(levels, w_dim, plane_channels)
        mapping = CameraMapping(
            z_dim, w_dim, synthesis.num_ws, mapping_layers, mapping_lr_multiplier, c_scale
        )
        self.resolution, self.rendering_resolution = resolution, rendering_resolution
        self.z_dim, self.w_dim, self.num_ws = z_dim, w_dim, synthesis.num_ws
        self.backbone = Backbone(mapping, synthesis)
        self.renderer = Renderer(
            samples, importance_samples, ray_start, ray_end, box_warp, plane_axes
        )
        self.decoder = Decoder(plane_channels, decoder_channels, decoder_lr_multiplier)
        self.superresolution = Superresolution(
            plane_channels, superresolution_channels, w_dim, resolution, superresolution_limit
        )

    def forward(
        self,
        z: Float[Tensor, "b z"],
        c: Float[Tensor, "n 25"],
        conditioning: Float[Tensor, "m 25"] | None = None,
        truncation: int | float = 1.0,
        truncation_cutoff: int | None = None,
        noise: Noise = "const",
        jitter: bool = False,
    ) -> View:
        """Each latent seen by its camera, or one latent by many.

        conditioning: the camera that mapping sees, `c` by default; a fixed one keeps the person the
        same while `c` moves. The published code defaults to noise "random" and always jitters.
        """
        conditioning = c if conditioning is None else conditioning
        ws = self.backbone.mapping(z, conditioning, truncation, truncation_cutoff)
        return self.render(self.backbone.synthesis(ws, noise), ws, c, jitter=jitter)

    def render(
        self,
        planes: Float[Tensor, "p 3 k h w"],
        ws: Float[Tensor, "p layers d"],
        c: Float[Tensor, "n 25"],
        *,
        jitter: bool = False,
        generator: torch.Generator | None = None,
        rays_at_once: int | None = None,
    ) -> View:
        """Planes seen by cameras: those of one code by any number, else one camera a code.

        jitter, generator, rays_at_once: as `Renderer`. Without jitter equal arguments give equal
        views. Differentiable in planes, ws and c.
        """
        side = self.rendering_resolution
        features, depth = self.renderer(
            planes, self.decoder, c, side, jitter, generator, rays_at_once
        )
        raw = features[:, :3]
        image = self.superresolution(raw, features, ws.float().expand(len(raw), -1, -1))
        return View(image, raw, depth)
