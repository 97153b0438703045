"""Views of pictures that a synthesis network draws: whole and smaller, or a crop of the finest one.

`draw` stops at a smaller resolution, whose picture the skip architecture holds anyway; `draw_crop`
goes on from there on a part of the picture alone. `multiscale_l1` is how far a view is from what it
should be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from pipelines.networks.stylegan2 import Synthesis

CROP = 0.5  # side of what the finest resolution is drawn on, in sides of the picture
MARGIN = 2  # pixels of the resolution before, drawn and thrown away: how far its layers reach
FACE = 0.6  # share of the crops that lie on the face, which the renderer centres


@dataclass(frozen=True)
class View:
    """What is drawn of a batch, beside what should be: a whole picture or a crop of it."""

    fake: Float[Tensor, "b 3 h w"]
    real: Float[Tensor, "b 3 h w"]
    weight: Float[Tensor, "b 1 h w"]  # of a pixel in the L1
    features: dict[int, Tensor]  # resolution of the whole picture -> (b, c, h, w)
    parts: dict[int, Tensor]  # the same -> (b, h, w)


def draw(
    synthesis: Synthesis, ws: Float[Tensor, "b layers d"], size: int
) -> tuple[Float[Tensor, "b 3 size size"], dict[int, Tensor]]:
    """The image that the skip architecture holds after its block of `size` pixels, no noise.

    Also returned: the features of every block by its resolution.
    """
    x = rgb = None
    features = {}
    for block, block_ws in synthesis.per_block(ws):
        x, rgb, _ = block(x, rgb, block_ws, "none")
        features[rgb.shape[-1]] = x
        if rgb.shape[-1] == size:
            return rgb, features
    raise ValueError(f"size must be one of {synthesis.resolutions}; got {size}.")


def draw_crop(
    synthesis: Synthesis, ws: Float[Tensor, "b layers d"], half: View, rows: slice, columns: slice
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b c h w"]]:
    """A crop of the finest resolution, no noise, and its features.

    half: the view of the resolution before; rows, columns: the crop in its pixels. Equal to the
    crop of the whole picture: `MARGIN` pixels more are drawn on sides that are not the picture's.
    """
    size = half.fake.shape[-1]
    tall = slice(max(rows.start - MARGIN, 0), min(rows.stop + MARGIN, size))
    wide = slice(max(columns.start - MARGIN, 0), min(columns.stop + MARGIN, size))
    *_, (block, block_ws) = synthesis.per_block(ws)
    x, rgb = half.features[size][..., tall, wide], half.fake[..., tall, wide]
    x, rgb, _ = block(x, rgb, block_ws, "none")
    top, left = 2 * (rows.start - tall.start), 2 * (columns.start - wide.start)
    height, width = 2 * (rows.stop - rows.start), 2 * (columns.stop - columns.start)
    own = (..., slice(top, top + height), slice(left, left + width))
    return rgb[own], x[own]


def window(random: np.random.Generator, size: int) -> slice:
    """One side of a crop, in `size` pixels: round the middle, or anywhere, borders as often."""
    length = round(CROP * size)
    room = size - length
    if random.random() < FACE**0.5:
        start = room / 2 + random.uniform(-0.2, 0.2) * room
    else:
        start = random.uniform(-0.3, 1.3) * room
    start = int(np.clip(round(start), 0, room))
    return slice(start, start + length)


def thinned(parts: Int[Tensor, "b h w"], size: int) -> Int[Tensor, "b size size"]:
    """The part at the middle of every pixel of a smaller picture."""
    factor = parts.shape[-1] // size
    return parts[:, factor // 2 :: factor, factor // 2 :: factor]


def multiscale_l1(
    fake: Float[Tensor, "b 3 h w"], real: Float[Tensor, "b 3 h w"], weight: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Weighted mean absolute difference at full, half and quarter resolution."""
    total = fake.new_zeros(())
    difference = fake.float() - real
    weight = weight / weight.mean()
    for _ in range(3):
        total = total + (difference.abs() * weight).mean()
        difference, weight = F.avg_pool2d(difference, 2), F.avg_pool2d(weight, 2)
    return total
