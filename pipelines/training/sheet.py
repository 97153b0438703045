"""Contact sheets: what a network draws, tiled into one picture to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor


def sheet(images: Float[Tensor, "n 3 h w"], columns: int = 8) -> Image.Image:
    """Images in [-1, 1] as rows of `columns` tiles; the last row is filled with black."""
    tiles = images.detach().float().cpu().clamp(-1, 1).add(1).mul(127.5).round().byte()
    tiles = tiles.permute(0, 2, 3, 1).numpy()
    rows = -(-len(tiles) // columns)
    missing = np.zeros((rows * columns - len(tiles), *tiles.shape[1:]), np.uint8)
    grid = np.concatenate([tiles, missing]).reshape(rows, columns, *tiles.shape[1:])
    height, width = tiles.shape[1:3]
    return Image.fromarray(grid.swapaxes(1, 2).reshape(rows * height, columns * width, 3))


def save_sheet(path: str | Path, images: Float[Tensor, "n 3 h w"], columns: int = 8) -> None:
    """Write `sheet` as a picture file."""
    sheet(images, columns).save(path)
