"""EG3D's super-resolution: a rendered picture of features -> the image, four times its side.

Source: Chan et al., "Efficient Geometry-aware 3D Generative Adversarial Networks" (CVPR 2022),
Sec. 4.2; of the published variants the one for 512 pixels (256 and 128 channels). Two blocks of
StyleGAN2 without noise, both driven by the last w. Layer names are the published ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.networks.layers import upsample2d
from pipelines.networks.stylegan2 import SynthesisBlock


class ClampedBlock(SynthesisBlock):
    """A block without noise, under one w, whose every output stays within +-`limit`.

    limit: published networks that may run in half precision clamp at 256 in any precision; None
    leaves values as they are.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        limit: int | float | None = 256,
    ) -> None:
        super().__init__(in_channels, out_channels, w_dim, resolution, img_channels=3)
        self.limit = limit

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        rgb: Float[Tensor, "b 3 h w"],
        w: Float[Tensor, "b d"],
    ) -> tuple[Float[Tensor, "b c2 h2 w2"], Float[Tensor, "b 3 h2 w2"]]:
        """Features and image of twice the resolution."""
        for name in self.layer_names:
            x = self.within(getattr(self, name)(x, w, "none"))
        return x, upsample2d(rgb, self.resample_filter) + self.within(self.torgb(x, w))

    def within(self, x: Tensor) -> Tensor:
        """Values clamped to the limit."""
        return x if self.limit is None else x.clamp(-self.limit, self.limit)


class Superresolution(nn.Module):
    """Features and their first three channels -> RGB in about [-1, 1].

    in_channels: of the features. channels: of the two blocks. resolution: side of the image; the
    features enter at a quarter of it.
    """

    def __init__(
        self,
        in_channels: int = 32,
        channels: Sequence[int] = (256, 128),
        w_dim: int = 512,
        resolution: int = 512,
        limit: int | float | None = 256,
    ) -> None:
        super().__init__()
        self.side = resolution // 4
        first, second = channels
        self.block0 = ClampedBlock(in_channels, first, w_dim, resolution // 2, limit)
        self.block1 = ClampedBlock(first, second, w_dim, resolution, limit)

    def forward(
        self,
        rgb: Float[Tensor, "b 3 h w"],
        features: Float[Tensor, "b c h w"],
        ws: Float[Tensor, "b layers d"],
    ) -> Float[Tensor, "b 3 h2 w2"]:
        """The image; features of another side than expected are resized first."""
        if features.shape[-1] != self.side:
            features, rgb = self.resized(features), self.resized(rgb)
        w = ws[:, -1]
        features, rgb = self.block0(features, rgb, w)
        return self.block1(features, rgb, w)[1]

    def resized(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c side side"]:
        """Bilinear, antialiased where it shrinks."""
        size = (self.side, self.side)
        return F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
