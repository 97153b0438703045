"""Contact sheets: what a network draws, tiled into one picture to look at.

python -m pipelines.training.sheet --out FILE
"""

from __future__ import annotations

import argparse
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


def main() -> None:
    """Write 64 uncurated samples of a generator, from one fixed seed."""
    import torch

    import weights
    from pipelines.networks.stylegan2 import Generator

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--generator", default="clay-heads/generator", help="name of its weights")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="picture file")
    options = parser.parse_args()
    generator = weights.load(Generator, options.generator)
    random = torch.Generator().manual_seed(options.seed)
    with torch.no_grad():
        images = generator(torch.randn(options.count, generator.z_dim, generator=random))
    save_sheet(options.out, images)


if __name__ == "__main__":
    main()
