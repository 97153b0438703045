"""Encoders from a picture to layer-wise latent codes.

`LayerwiseEncoder` is the E of in-domain GAN inversion (Zhu et al., ECCV 2020): x -> w, one code of
512 numbers for each layer of the generator. The paper's E is a ResNet; this one is smaller and
reads several depths of its backbone: codes of coarse layers read its deepest features, codes of
fine layers shallower ones with the deeper ones added (a feature pyramid).

Symbols: x, a picture; w (ws), its layer-wise codes; E(x) = w_mean + heads(features of x).
"""

from __future__ import annotations

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 3  # coarse, middle and fine layers
GRID = 4  # cells along one side of what a level remembers of where things are
WIDEST = 16  # channels of the deepest block, in units of `width`


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions that halve the picture, added to a 1x1 shortcut."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv0 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.norm0 = nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        y = F.leaky_relu(self.norm0(self.conv0(x)), 0.2)
        y = self.norm1(self.conv1(y))
        return F.leaky_relu(y + self.skip(F.avg_pool2d(x, 2)), 0.2)


class Level(nn.Module):
    """Features of one depth as one vector that keeps a GRID x GRID layout."""

    def __init__(self, channels: int, reduced: int, size: int):
        super().__init__()
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.project = nn.Linear(reduced * GRID * GRID, size)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b size"]:
        cells = F.adaptive_avg_pool2d(F.leaky_relu(self.reduce(x), 0.2), GRID)
        return self.project(cells.flatten(1))


class LayerwiseEncoder(nn.Module, PyTorchModelHubMixin):
    """E: pictures to layer-wise codes, ws = w_mean + one linear head a layer.

    num_ws: layers of the generator. resolution: side of the pictures [px], a power of two from 32.
    width: channels after the first convolution; doubled with every halving, up to 16 * width.
    level_size: length of the vector a head reads. w_dim: length of one code.
    """

    def __init__(
        self,
        num_ws: int = 12,
        resolution: int = 128,
        width: int = 24,
        level_size: int = 384,
        w_dim: int = 512,
    ):
        super().__init__()
        if resolution < 32 or resolution & (resolution - 1):
            raise ValueError(
                f"resolution must be a power of two from 32; got {resolution}. "
                "Use the resolution of the generator."
            )
        if num_ws < LEVELS:
            raise ValueError(f"num_ws must be at least {LEVELS}; got {num_ws}.")
        self.num_ws, self.resolution, self.w_dim = num_ws, resolution, w_dim
        halvings = resolution.bit_length() - 4  # from the stem's resolution / 2 down to 4 px
        channels = [width * min(2**i, WIDEST) for i in range(halvings + 1)]
        self.stem = nn.Conv2d(12, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            ResidualBlock(a, b) for a, b in zip(channels[:-1], channels[1:], strict=True)
        )
        self.levels = nn.ModuleList(
            Level(c, 2 * width, level_size) for c in reversed(channels[-LEVELS:])
        )
        self.heads = nn.ModuleList(nn.Linear(level_size, w_dim) for _ in range(num_ws))
        self.register_buffer("w_mean", torch.zeros(w_dim))
        self._start_at_the_mean()

    def _start_at_the_mean(self) -> None:
        for head in self.heads:
            nn.init.normal_(head.weight, std=0.1 / head.in_features**0.5)
            nn.init.zeros_(head.bias)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b layers dim"]:
        """Codes ws (b, num_ws, w_dim) of RGB pictures in [-1, 1] of side `resolution`."""
        if x.shape[1:] != (3, self.resolution, self.resolution):
            side = self.resolution
            raise ValueError(
                f"picture must be (batch, 3, {side}, {side}); got {tuple(x.shape)}. Resize it."
            )
        return self._codes(F.pixel_unshuffle(x, 2))

    def _codes(self, cells: Float[Tensor, "b c h2 w2"]) -> Float[Tensor, "b layers dim"]:
        vectors = self._vectors(self._features(cells))
        ws = [head(vectors[layer * LEVELS // self.num_ws]) for layer, head in enumerate(self.heads)]
        return self.w_mean + torch.stack(ws, dim=1)

    def _features(self, cells: Tensor) -> list[Tensor]:
        """Features of every depth, deepest first, of 2 x 2 pixels a cell."""
        x = F.leaky_relu(self.stem(cells), 0.2)
        features = [x]
        for block in self.blocks:
            features.append(block(features[-1]))
        return features[::-1]

    def _vectors(self, features: list[Tensor]) -> list[Tensor]:
        """What the heads of coarse, middle and fine layers read; each adds the deeper ones."""
        total, vectors = 0, []
        for level, feature in zip(self.levels, features, strict=False):
            total = total + level(feature)
            vectors.append(F.leaky_relu(total, 0.2))
        return vectors


class OffsetEncoder(LayerwiseEncoder):
    """One code for all layers and an offset a layer, ws_i = w_mean + head_0 + head_i, head_0 alone
    at the first: few and small offsets keep codes near to W, where edits work."""

    def forward(
        self, x: Float[Tensor, "b 3 h w"], offsets: int | None = None
    ) -> Float[Tensor, "b layers dim"]:
        """Codes of RGB pictures in [-1, 1]; offsets: how many are added, from the coarsest on."""
        heads = super().forward(x) - self.w_mean
        first = heads[:, :1]
        count = self.num_ws - 1 if offsets is None else offsets
        if not 0 <= count <= self.num_ws - 1:
            raise ValueError(f"offsets must be 0 to {self.num_ws - 1}; got {count}. None: all.")
        kept = torch.arange(self.num_ws, device=x.device) <= count
        added = torch.cat([torch.zeros_like(first), heads[:, 1:]], dim=1) * kept[:, None]
        return self.w_mean + first + added


class GuidedEncoder(LayerwiseEncoder):
    """E of a picture and a guide of the same size; without `w_mean`: what is to be added to codes.

    guides: channels of the guide; the others as for `LayerwiseEncoder`.
    """

    def __init__(
        self,
        guides: int = 3,
        num_ws: int = 12,
        resolution: int = 128,
        width: int = 16,
        level_size: int = 192,
        w_dim: int = 512,
    ):
        super().__init__(num_ws, resolution, width, level_size, w_dim)
        self.guides = guides
        self.stem = nn.Conv2d(12 + 4 * guides, width, 3, padding=1)

    def forward(
        self, x: Float[Tensor, "b 3 h w"], guide: Float[Tensor, "b guides h w"]
    ) -> Float[Tensor, "b layers dim"]:
        """Changes of codes for RGB pictures in [-1, 1] of side `resolution`."""
        side = self.resolution
        expected = (len(x), 3, side, side), (len(x), self.guides, side, side)
        if (tuple(x.shape), tuple(guide.shape)) != expected:
            raise ValueError(
                f"picture and guide must be {expected[0]} and {expected[1]}; "
                f"got {tuple(x.shape)} and {tuple(guide.shape)}. Resize them."
            )
        return self._codes(F.pixel_unshuffle(torch.cat([x, guide], dim=1), 2)) - self.w_mean
