"""The segmentation branch of a generator: the part that each pixel of its picture belongs to.

Source: Ling et al., "EditGAN" (NeurIPS 2021), Sec. 3.1 and 3.2, after DatasetGAN (Zhang et al.,
CVPR 2021): an ensemble of small perceptrons reads, at every pixel, the generator's feature maps,
upsampled to the picture's size and concatenated; the members' logits are averaged. Parameters carry
the names of the published classifiers (`layers.0.weight`, ...), stacked over the members.

The first layer A is linear in the features and bilinear upsampling U is linear over places, so

    A concat_k(U_k f_k) = sum_k A_k U_k f_k = sum_k U_k (A_k f_k),

where A_k are the columns of A that read map k. The right-hand side applies each slice at its map's
own resolution: nothing as large as the concatenation (at 512 px and 6016 channels, 6.3 GB) is ever
made. What remains at full size is computed in tiles, and only inside the window that is asked for.

Symbols: f_k, feature maps; "level", the maps of one resolution; n, pixels; m, members.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

MEMBERS = 10
TILE = 32  # side of the tiles [px]: a tile's hidden layer stays in a core's cache
CONSTANT = "b4.const"  # the learnt input of the synthesis network, the first of the maps
Window = tuple[slice, slice]  # rows and columns


def published_widths(classes: int) -> tuple[int, int]:
    """Hidden widths of the published classifiers, which are narrower below 32 classes."""
    return (128, 32) if classes < 32 else (256, 128)


def feature_layout(channels: Mapping[int, int]) -> dict[str, tuple[int, int]]:
    """Resolution and channels of every map by name, coarse to fine, as `Synthesis` names them.

    Two maps a resolution: what enters and leaves at 4 px, the two layers' outputs from 8 px on.
    """
    layout = {}
    for level, count in sorted(channels.items()):
        first = CONSTANT if level == 4 else f"b{level}.conv0"
        layout |= {first: (level, count), f"b{level}.conv1": (level, count)}
    return layout


class MemberLinear(nn.Module):
    """One linear layer a member: (members, n, inputs) -> (members, n, outputs)."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(members, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, outputs).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "m n i"]) -> Float[Tensor, "m n o"]:
        return torch.baddbmm(self.bias[:, None], x, self.weight.mT)


class MemberNorm(nn.Module):
    """Batch normalisation of each member's features over the pixels of a batch."""

    def __init__(self, members: int, features: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, features))
        self.bias = nn.Parameter(torch.zeros(members, features))
        self.register_buffer("running_mean", torch.zeros(members, features))
        self.register_buffer("running_var", torch.ones(members, features))
        self.momentum = momentum

    def forward(self, x: Float[Tensor, "m n c"]) -> Float[Tensor, "m n c"]:
        flat = x.transpose(0, 1).flatten(1)  # (n, members * features): one norm for all
        buffers = self.running_mean.view(-1), self.running_var.view(-1)
        weights = self.weight.view(-1), self.bias.view(-1)
        y = F.batch_norm(flat, *buffers, *weights, self.training, self.momentum)
        return y.unflatten(1, self.weight.shape).transpose(0, 1)

    def affine(self) -> tuple[Float[Tensor, "m c"], Float[Tensor, "m c"]]:
        """Scale and shift of the running statistics."""
        scale = self.weight * (self.running_var + 1e-5).rsqrt()
        return scale, self.bias - self.running_mean * scale


class SegmentationBranch(nn.Module, PyTorchModelHubMixin):
    """Feature maps of a synthesis network to logits of the parts, averaged over the ensemble.

    channels: of every resolution of the generator, from 4 px up; parts, palette: names and sRGB
    colours of the labels, the first is the background; widths: hidden layers, `published_widths`
    by default. Frozen use only reads running statistics: `forward` refuses training mode.
    """

    def __init__(
        self,
        channels: dict,
        parts: Sequence[str],
        palette: Sequence[Sequence[int]],
        members: int = MEMBERS,
        widths: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if len(parts) != len(palette) or len(set(map(tuple, palette))) != len(parts):
            raise ValueError(
                f"palette must hold one colour of its own for each of {len(parts)} parts; got "
                f"{len(set(map(tuple, palette)))} colours. Change the repeated ones."
            )
        self.layout = feature_layout({int(level): int(n) for level, n in channels.items()})
        self.resolution = max(level for level, _ in self.layout.values())
        self.channels = sum(count for _, count in self.layout.values())
        self.parts, self.palette = tuple(parts), np.array(palette, np.uint8)
        self.members = members
        first, second = widths or published_widths(len(parts))
        self.layers = nn.ModuleList(
            [
                MemberLinear(members, self.channels, first), nn.ReLU(), MemberNorm(members, first),
                MemberLinear(members, first, second), nn.ReLU(), MemberNorm(members, second),
                MemberLinear(members, second, len(parts)),
            ]
        )  # fmt: skip

    def forward(
        self, features: Mapping[str, Tensor], window: Window | None = None
    ) -> Float[Tensor, "b classes h w"]:
        """Mean logits of every pixel, or of those in a window (rows, columns) of the picture.

        features: maps by the names of `layout`, (b or 1, channels, resolution, resolution).
        """
        if self.training:
            raise RuntimeError("forward reads running statistics; call eval() first.")
        whole = slice(0, self.resolution)
        rows, columns = window or (whole, whole)
        *coarse, finest = self._levels(features)
        hidden = [self._own_resolution(*level, (rows, columns)) for level in coarse]
        rest = self._folded()
        strips = []
        for top in range(rows.start, rows.stop, TILE):
            tile_rows = slice(top, min(top + TILE, rows.stop))
            tiles = []
            for left in range(columns.start, columns.stop, TILE):
                tile = tile_rows, slice(left, min(left + TILE, columns.stop))
                tiles.append(_rest(self._first(hidden, finest, tile), *rest))
            strips.append(torch.cat(tiles, dim=3))
        return torch.cat(strips, dim=2)

    def concatenated(self, features: Mapping[str, Tensor]) -> Float[Tensor, "b classes h w"]:
        """`forward` as it is published: upsample, concatenate, then every pixel on its own."""
        size = (self.resolution, self.resolution)
        batch, start = max(len(features[name]) for name in self.layout), 0
        x = features[CONSTANT].new_empty(batch, self.channels, *size)
        for name, (_, count) in self.layout.items():  # one by one: twice that memory is too much
            x[:, start : start + count] = F.interpolate(
                features[name], size, mode="bilinear", align_corners=False
            )
            start += count
        pixels = x.permute(0, 2, 3, 1).reshape(1, -1, self.channels)
        logits = torch.zeros(pixels.shape[1], len(self.parts), device=x.device)
        for member in range(self.members):
            logits += self.classify(pixels, slice(member, member + 1))[0]
        return (logits / self.members).reshape(batch, *size, -1).permute(0, 3, 1, 2)

    def classify(
        self, pixels: Float[Tensor, "m n channels"], members: slice = slice(None)
    ) -> Float[Tensor, "m n classes"]:
        """Each member's logits of its own pixels; in training mode by the batch's statistics."""
        if members == slice(None):
            for layer in self.layers:
                pixels = layer(pixels)
            return pixels
        for layer in self.layers:
            if isinstance(layer, MemberLinear):
                own = layer.weight[members], layer.bias[members]
                pixels = torch.baddbmm(own[1][:, None], pixels, own[0].mT)
            elif isinstance(layer, MemberNorm):
                scale, shift = layer.affine()
                pixels = pixels * scale[members, None] + shift[members, None]
            else:
                pixels = layer(pixels)
        return pixels

    def _levels(self, features: Mapping[str, Tensor]) -> list[tuple[int, Tensor, Tensor]]:
        """Each resolution with its columns of the first layer, members together, and its maps."""
        maps: dict[int, list[Tensor]] = {}
        for name, (level, count) in self.layout.items():
            x = features.get(name)
            if x is None or x.shape[1:] != (count, level, level):
                got = "none" if x is None else tuple(x.shape)
                raise ValueError(
                    f"{name} must be (b, {count}, {level}, {level}); got {got}. "
                    "Pass the features of the generator that the branch was trained on."
                )
            maps.setdefault(level, []).append(x)
        batch = max(len(x) for level in maps.values() for x in level)
        joined = [torch.cat([x.expand(batch, -1, -1, -1) for x in m], 1) for m in maps.values()]
        columns = self.layers[0].weight.flatten(0, 1).split([x.shape[1] for x in joined], dim=1)
        return list(zip(maps, columns, joined, strict=True))

    def _own_resolution(
        self, level: int, weight: Tensor, maps: Tensor, window: Window
    ) -> tuple[int, Window, Float[Tensor, "b hidden h w"]]:
        """A_k f_k, where a window reads it: resolution, rows and columns there, and values."""
        rows, columns = (
            _interpolation(level, self.resolution, side.start, side.stop)[1] for side in window
        )
        part = maps[:, :, rows, columns]
        return level, (rows, columns), (weight @ part.flatten(2)).unflatten(2, part.shape[2:])

    def _first(
        self,
        hidden: list[tuple[int, Window, Tensor]],
        finest: tuple[int, Tensor, Tensor],
        tile: Window,
    ) -> Float[Tensor, "b hidden h w"]:
        """The first layer of all members at the pixels of a tile, before its ReLU."""
        _, weight, maps = finest
        own = maps[:, :, tile[0], tile[1]]
        bias = self.layers[0].bias.reshape(-1, 1)
        weights = weight.expand(len(own), -1, -1)
        total = torch.baddbmm(bias, weights, own.flatten(2)).unflatten(2, own.shape[2:])
        raised, spread = [], []
        for level, origin, h in hidden:
            (down, rows), (across, columns) = (
                _interpolation(level, self.resolution, side.start, side.stop) for side in tile
            )
            part = h[:, :, _shifted(rows, origin[0]), _shifted(columns, origin[1])]
            raised.append(torch.matmul(down.to(part), part))
            spread.append(across.mT.to(part))
        if raised:  # sums over levels and over their columns are one product
            lines = torch.cat(raised, dim=3).flatten(0, 2)
            total = torch.addmm(total.flatten(0, 2), lines, torch.cat(spread)).view_as(total)
        return total

    def _folded(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Second and third layer with the normalisation before each, and the mean of members, in
        their weights: (m, o, i), (m, o, 1), (classes, m * i), (classes, 1)."""
        _, _, norm1, linear1, _, norm2, linear2 = self.layers
        scale1, shift1 = norm1.affine()
        scale2, shift2 = norm2.affine()
        bias1 = linear1.bias[:, :, None] + linear1.weight @ shift1[:, :, None]
        bias2 = linear2.bias[:, :, None] + linear2.weight @ shift2[:, :, None]
        last = (linear2.weight * scale2[:, None]).transpose(0, 1).flatten(1) / self.members
        return linear1.weight * scale1[:, None], bias1, last, bias2.mean(dim=0)


def _rest(
    hidden: Float[Tensor, "b mi h w"],
    weight1: Tensor,
    bias1: Tensor,
    weight2: Tensor,
    bias2: Tensor,
) -> Float[Tensor, "b classes h w"]:
    """From the first layer's sums to mean logits."""
    x = torch.relu_(hidden).flatten(2).unflatten(1, (len(weight1), -1))
    x = torch.relu_(weight1 @ x + bias1)
    return (weight2 @ x.flatten(1, 2) + bias2).unflatten(2, hidden.shape[2:])


@functools.lru_cache(maxsize=1024)
def _interpolation(source: int, size: int, start: int, stop: int) -> tuple[Tensor, slice]:
    """Bilinear weights of the pixels from start to stop, of `size`, and the places they read."""
    places, weights = _corners(torch.arange(start, stop), source, size)
    low, high = int(places.min()), int(places.max()) + 1
    matrix = torch.zeros(stop - start, high - low)
    return matrix.scatter_add_(1, places - low, weights), slice(low, high)


def _shifted(places: slice, origin: slice) -> slice:
    """Places as counted from where another slice starts."""
    return slice(places.start - origin.start, places.stop - origin.start)


def _corners(pixels: Int[Tensor, " n"], source: int, size: int) -> tuple[Tensor, Tensor]:
    """The two places of a line of `source` that each pixel of `size` lies between, and weights."""
    x = ((pixels + 0.5) * source / size - 0.5).clamp(min=0)
    low = x.floor().long().clamp(max=source - 1)
    high, share = (low + 1).clamp(max=source - 1), x - low
    return torch.stack([low, high], dim=1), torch.stack([1 - share, share], dim=1)


def features_at(
    maps: Sequence[Float[Tensor, "b c h w"]],
    picture: Int[Tensor, " n"],
    row: Int[Tensor, " n"],
    column: Int[Tensor, " n"],
    size: int,
) -> Float[Tensor, "n channels"]:
    """The concatenated, upsampled features of single pixels of a batch, for training."""
    columns = []
    for x in maps:
        channels_last, owner = x.permute(0, 2, 3, 1), picture.clamp(max=len(x) - 1)
        rows, down = _corners(row, x.shape[2], size)
        places, across = _corners(column, x.shape[3], size)
        total = 0
        for i in range(2):
            for j in range(2):
                weight = (down[:, i] * across[:, j])[:, None].to(x)
                total = total + weight * channels_last[owner, rows[:, i], places[:, j]]
        columns.append(total)
    return torch.cat(columns, dim=1)
