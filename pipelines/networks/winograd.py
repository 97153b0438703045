"""3 x 3 convolution by Winograd's minimal filtering, for float32 on a processor.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), Sec. 4.3,
F(4 x 4, 3 x 3). With a picture x cut into overlapping tiles of 6 x 6, every output tile of 4 x 4 is

    y = A^T [sum over channels of (G w G^T) * (B^T x B)] A,

36 products a channel pair instead of 144. All three transforms are linear maps of a tile, so that
each is one matrix, kron(T, T): the one to B^T x B runs as a convolution with stride 4, the sums as
36 matrix products, the one from them as a matrix product. Rounding grows by about ten times, to
1e-5 of the largest output.

Symbols: x (b, c, h, w) features, w (o, c, 3, 3) weight, A, B, G the transforms of the paper.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

TILE = 4  # side of an output tile; inputs overlap by 2
POSITIONS = (TILE + 2) ** 2
ALL_ONES = 7  # the position that A^T and A carry to every pixel of a tile with factor 1
STRIP = 2_500_000  # numbers of transformed features at a time: more falls out of the cache


def squared(rows: list[list[float]]) -> Float[Tensor, "m n"]:
    """The matrix of t -> T t T^T on flattened tiles, for a transform T."""
    transform = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(transform, transform).float()


INPUT = squared([
    [4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1],
]).view(POSITIONS, 1, TILE + 2, TILE + 2)  # fmt: skip
WEIGHT = squared([
    [1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1],
])  # fmt: skip
OUTPUT = squared([
    [1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1],
])  # fmt: skip


def pays(x: Float[Tensor, "b c h w"], weight: Float[Tensor, "o c 3 3"]) -> bool:
    """Whether `convolve` takes these and is faster than the direct convolution.

    A direct output costs c o; ours costs a third of that, the two transforms about 40 direct
    products a channel, and the transform of the weights 700 for each pair of channels.
    """
    batch, channels, height, width = x.shape
    if x.device.type != "cpu" or x.dtype != torch.float32 or height % TILE or width % TILE:
        return False
    return 40 / channels + 40 / len(weight) + 700 / (batch * height * width) < 1


def convolve(
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "o c 3 3"],
    bias: Float[Tensor, " o"] | None = None,
) -> Float[Tensor, "b o h w"]:
    """`F.conv2d(x, weight, bias, padding=1)` of float32 features; sides are multiples of 4.

    Strips of rows go through all three transforms one after the other, to stay in the cache.
    """
    batch, channels, height, width = x.shape
    factors = (WEIGHT @ weight.reshape(-1, 9).t()).view(POSITIONS, len(weight), channels)
    columns = width // TILE
    y = x.new_empty(batch, len(weight), height // TILE, TILE, columns, TILE)
    rows = max(1, STRIP // (batch * channels * POSITIONS * columns))
    for first in range(0, height // TILE, rows):
        last = min(first + rows, height // TILE)
        tiles = transformed(x, first * TILE, last * TILE)
        products = torch.matmul(factors, tiles.transpose(1, 2))
        if bias is not None:
            products[:, ALL_ONES] += bias[:, None]
        pixels = torch.matmul(OUTPUT, products.transpose(1, 2))
        pixels = pixels.view(batch, len(weight), TILE, TILE, last - first, columns)
        y[:, :, first:last].copy_(pixels.permute(0, 1, 4, 2, 5, 3))
    return y.view(batch, len(weight), height, width)


def transformed(
    x: Float[Tensor, "b c h w"], top: int, bottom: int
) -> Float[Tensor, "b c {POSITIONS} tiles"]:
    """B^T x B of every tile whose output lies in rows `top` to `bottom`."""
    height = x.shape[2]
    edges = (1, 1, int(top == 0), int(bottom == height))
    strip = F.pad(x[:, :, max(0, top - 1) : bottom + 1], edges)
    tiles = F.conv2d(strip.flatten(0, 1)[:, None], INPUT, stride=TILE)
    return tiles.view(*x.shape[:2], POSITIONS, -1)
