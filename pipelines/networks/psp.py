"""Encoders from a photograph to the W+ codes of StyleGAN: pSp and e4e.

Sources: Richardson et al., "Encoding in Style" (pSp), CVPR 2021, Sec. 3 and Fig. 2: a feature
pyramid over IR-SE50 and one map2style block a style; Tov et al., "Designing an Encoder for StyleGAN
Image Manipulation" (e4e), SIGGRAPH 2021, Sec. 4.1: one code w for all layers plus offsets Delta_i,
learned one after another. Layer names are those of the published checkpoints.

Symbols: w_mean, the average latent code the published code adds outside of its encoder; here it is
the buffer `latent_avg`, part of the network. c1, c2, c3: features of IR-SE50 at 1/4, 1/8 and 1/16
of the resolution; p2, p1: the same two with the coarser ones added.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.networks.irse import DEPTHS, WIDTHS, body, stem
from pipelines.networks.layers import EqualisedLinear

COARSE, MIDDLE = 3, 7  # first style that reads p2, and first that reads p1


class GradualStyleBlock(nn.Module):
    """map2style: stride-2 convolutions down to one pixel, then an equalised linear layer.

    side: of the largest map it reads [px]; log2(side) convolutions.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(side.bit_length() - 1):
            layers.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
            layers.append(nn.LeakyReLU())  # slope 0.01, torch's default, not StyleGAN's 0.2
        self.convs = nn.Sequential(*layers)
        self.linear = EqualisedLinear(channels, channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        return self.linear(self.convs(x).flatten(1))


class StylePyramid(nn.Module, PyTorchModelHubMixin):
    """What both encoders are made of: IR-SE50, two lateral layers, one block a style.

    styles: codes of the generator, 2 log2(its resolution) - 2: 18 for 1024 px, 16 for 512, 14 for
    256. in_channels: 3 for pictures; pSp also reads label maps, one channel a class.
    resolution: longest side of the input [px], a power of two. widths, depths: of IR-SE50.
    The length of a code is the last of `widths`.
    """

    def __init__(
        self,
        styles: int = 18,
        in_channels: int = 3,
        resolution: int = 256,
        widths: Sequence[int] = WIDTHS,
        depths: Sequence[int] = DEPTHS,
    ) -> None:
        super().__init__()
        if resolution < 32 or resolution & (resolution - 1):
            raise ValueError(
                f"resolution must be a power of two from 32; got {resolution}. Published: 256."
            )
        self.resolution, self.in_channels = resolution, in_channels
        self.input_layer = stem(in_channels, widths[0])
        self.body = body(widths, depths)
        self._stage_ends = [end - 1 for end in itertools.accumulate(depths)][-3:]
        fine, middle, coarse = widths[-3:]
        sides = [self._side(style) for style in range(styles)]
        self.styles = nn.ModuleList(GradualStyleBlock(coarse, side) for side in sides)
        self.latlayer1 = nn.Conv2d(middle, coarse, 1)
        self.latlayer2 = nn.Conv2d(fine, coarse, 1)
        self.register_buffer("latent_avg", torch.zeros(styles, coarse))

    def _side(self, style: int) -> int:
        """Side of the features that a style reads, for an input of `resolution` [px]."""
        return self.resolution // (16 if style < COARSE else 8 if style < MIDDLE else 4)

    def _pyramid(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c3, p2 and p1, what coarse, middle and fine styles read."""
        most = self.resolution
        if x.ndim != 4 or x.shape[1] != self.in_channels or max(x.shape[-2:]) > most:
            raise ValueError(
                f"x must be (b, {self.in_channels}, h, w) with sides up to {most}; "
                f"got {tuple(x.shape)}. Resize faces to 256 x 256, cars to 192 x 256."
            )
        x, kept = self.input_layer(x), []
        for index, unit in enumerate(self.body):
            x = unit(x)
            if index in self._stage_ends:
                kept.append(x)
        c1, c2, c3 = kept
        p2 = _raised(c3, self.latlayer1(c2))
        return c3, p2, _raised(p2, self.latlayer2(c1))

    def _codes(self, x: Tensor, count: int) -> list[Tensor]:
        """Outputs of the first `count` style blocks, without the mean."""
        coarse, middle, fine = self._pyramid(x)
        levels = (coarse if i < COARSE else middle if i < MIDDLE else fine for i in range(count))
        return [style(level) for style, level in zip(self.styles, levels, strict=False)]


class GradualStyleEncoder(StylePyramid):
    """pSp: every code from its own style block, ws_i = latent_avg_i + style_i(features)."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b styles dim"]:
        """Codes in W+ of pictures, RGB in [-1, 1] at 256 x 256, or of one-hot label maps."""
        return self.latent_avg + torch.stack(self._codes(x, len(self.styles)), dim=1)


class Encoder4Editing(StylePyramid):
    """e4e: one code for all layers and an offset a layer, ws_i = latent_avg_i + w_0 + Delta_i.

    Sec. 4.1: few and small offsets keep the codes close to W, where edits work.
    """

    def forward(
        self, x: Float[Tensor, "b c h w"], deltas: int | None = None
    ) -> Float[Tensor, "b styles dim"]:
        """Codes in W+ of pictures, RGB in [-1, 1]: aligned faces at 256 x 256, cars at 192 x 256.

        deltas: how many offsets are added, from the coarsest on; all by default. Training raises
        it step by step (the published "progressive stage"), 0 gives a code in W.
        """
        most = len(self.styles) - 1
        if deltas is None:
            deltas = most
        if not 0 <= deltas <= most:
            raise ValueError(f"deltas must be from 0 to {most}; got {deltas}. None means all.")
        first, *offsets = self._codes(x, 1 + deltas)
        offsets = [torch.zeros_like(first), *offsets]
        offsets += [offsets[0]] * (most - deltas)
        return self.latent_avg + first[:, None] + torch.stack(offsets, dim=1)


class AtItsSize(nn.Module):
    """An encoder that is handed pictures of any larger size, averaged to its own first."""

    def __init__(self, encoder: nn.Module, resolution: int = 256) -> None:
        super().__init__()
        self.encoder, self.resolution = encoder, resolution

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b styles dim"]:
        """Codes in W+ of square pictures, RGB in [-1, 1]."""
        if x.shape[-1] > self.resolution:
            x = F.adaptive_avg_pool2d(x, self.resolution)
        return self.encoder(x)


def _raised(
    coarse: Float[Tensor, "b c h w"], lateral: Float[Tensor, "b c h2 w2"]
) -> Float[Tensor, "b c h2 w2"]:
    """Coarse features stretched corner to corner over finer ones, and added."""
    size = lateral.shape[-2:]
    return F.interpolate(coarse, size=size, mode="bilinear", align_corners=True) + lateral
