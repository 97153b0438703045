"""Inversions in each latent alone: their errors are what SAM's invertibility network learns.

By Eq. 3.1. Finished batches are kept on disk, and a stopped run goes on after them.

# Departs from paper: F_k starts from what W+ reached, codes up to layer k stay there, and each step
# runs the layers after k alone, in bfloat16 where that saves time: a third of the seconds. Of 8
# validation portraits, 100 steps: mean errors W+ 0.304, then 0.134, 0.061, 0.033, 0.023; with all
# codes free from the encoder's 0.300, 0.149, 0.074, 0.041, 0.032; maps correlate by 0.86 to 0.99.

Symbols: x, a picture; x^_l, its inversion in latent l; w, layer-wise codes; F_k, features after
layer k; e_l = LPIPS(x, x^_l) at every pixel.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from pipelines.descent import descend, joined, parted, rebuilding
from pipelines.invertibility import level_of
from pipelines.latents import read
from pipelines.networks.stylegan2 import Synthesis
from pipelines.sam_inversion import SAMInversion
from pipelines.training.hard_portraits import hard_portraits
from pipelines.training.loop import autocast, to_tensor

HELD_OUT = 8  # one picture in so many is not trained on


@dataclass(frozen=True, eq=False)
class Inverted:
    """Pictures with the error that inversion in each latent alone leaves at each pixel."""

    images: UInt8[np.ndarray, "n h w 3"]
    errors: Float[Tensor, "n latents h w"]
    psnr: Float[Tensor, "n latents"]  # [dB]

    def rows(self, held_out: bool) -> np.ndarray:
        """Numbers of the pictures that are held out, or of the others."""
        # By pairs: of each, one picture is plain and one is hard.
        index = np.arange(len(self.images))
        return index[(index // 2 % HELD_OUT == HELD_OUT - 1) == held_out]


@torch.no_grad()
def single_latents(
    pipeline: SAMInversion, x: Float[Tensor, "b 3 h w"], steps: int
) -> tuple[Float[Tensor, "b latents h w"], Float[Tensor, "b latents"]]:
    """Eq. 3.1 of pictures in [-1, 1] for each latent, and the PSNR of its inversion in dB."""
    errors, decibels = [], []
    w = pipeline.encoder(x).float()
    for name in pipeline.latents:  # W+ is the first
        with autocast(pipeline.device):
            codes, rebuilt = in_latent(pipeline, x, w, name, steps)
        w = w if name in pipeline.blocks else codes
        rebuilt = rebuilt.float().clamp(-1, 1)
        errors.append(pipeline.perceptual(rebuilt, x, spatial=True))
        decibels.append(-10 * torch.log10((x - rebuilt).square().mean((1, 2, 3)) / 4))
    return torch.cat(errors, dim=1), torch.stack(decibels, dim=1)


@torch.no_grad()
def in_latent(
    pipeline: SAMInversion,
    x: Float[Tensor, "b 3 h w"],
    w: Float[Tensor, "b layers dim"],
    name: str,
    steps: int,
) -> tuple[Float[Tensor, "b layers dim"], Float[Tensor, "b 3 h w"]]:
    """Pictures rebuilt in one latent alone, from the codes w, by the losses of Eqs. 3.5 to 3.7.

    Codes, and pictures of about [-1, 1].
    """
    synthesis, tuning = pipeline.generator.synthesis, pipeline.tuning
    distance = rebuilding(pipeline.perceptual, x, tuning.perceptual)
    after = level_of(pipeline.blocks[name]) if name in pipeline.blocks else 0
    features, rgb = _until(synthesis, w, after)
    first = [w] if features is None else [w, torch.zeros_like(features, dtype=torch.float32)]
    shapes = [part.shape[1:] for part in first]

    def rebuild(row: Tensor) -> tuple[Tensor, Tensor]:
        codes, *changes = parted(row, shapes)
        x_k = features + changes[0].to(features.dtype) if changes else features
        return codes, _after(synthesis, codes, after, x_k, rgb)

    def loss(row: Tensor) -> tuple[Tensor, Tensor]:
        codes, rebuilt = rebuild(row)
        each = distance(rebuilt)  # Eq. 3.5
        each = each + tuning.variation * (codes - codes[:, :1]).square().mean((1, 2))  # Eq. 3.6
        each = each + tuning.prior * pipeline.space.prior(codes)
        for delta in parted(row, shapes)[1:]:  # Eq. 3.7
            each = each + tuning.feature * delta.square().mean((1, 2, 3))
        return each, rebuilt

    row, _ = descend(loss, joined(first), steps, tuning.rate, report=None, anneal=True)
    return rebuild(row)


def _until(synthesis: Synthesis, w: Tensor, level: int) -> tuple[Tensor | None, Tensor | None]:
    """Features and picture of the block of `level` px; None of level 0, before the first."""
    x = rgb = None
    for block, block_ws in synthesis.per_block(w):
        if level_of(block.name) <= level:
            x, rgb, _ = block(x, rgb, block_ws)
    return x, rgb


def _after(
    synthesis: Synthesis, w: Tensor, level: int, x: Tensor | None, rgb: Tensor | None
) -> Float[Tensor, "b 3 h w"]:
    """The picture of features and picture after the block of `level` px."""
    for block, block_ws in synthesis.per_block(w):
        if level_of(block.name) > level:
            x, rgb, _ = block(x, rgb, block_ws)
    return rgb


def invert_all(pipeline: SAMInversion, folder: Path, count: int, batch: int, steps: int) -> None:
    """Invert the first `count` portraits; batches whose file is there are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"generator": pipeline.fingerprint, "steps": steps, "latents": pipeline.latents}
    for start in tqdm(range(0, count, batch), unit=f"{batch} portraits"):
        path = folder / f"{start:05d}-{min(start + batch, count):05d}.safetensors"
        if path.exists():
            continue
        images = hard_portraits("train", range(start, min(start + batch, count)), pipeline.size)
        x = to_tensor(images.images, pipeline.device)
        errors, decibels = single_latents(pipeline, x, steps)
        tensors = {
            "images": torch.from_numpy(images.images), "errors": errors.half().cpu(),
            "psnr": decibels.cpu(),
        }  # fmt: skip
        partial = path.with_suffix(".partial")
        metadata = {"format": "pt", "config": json.dumps(config)}
        save_file({k: v.contiguous() for k, v in tensors.items()}, partial, metadata)
        partial.replace(path)  # appears last and whole


def read_all(pipeline: SAMInversion, folder: Path, steps: int) -> Inverted:
    """What `invert_all` made; ValueError for inversions by another generator or other steps."""
    made = {"generator": pipeline.fingerprint, "steps": steps, "latents": list(pipeline.latents)}
    found = []
    for path in sorted(folder.glob("*.safetensors")):
        tensors, config = read(path, "inversions")
        if config != made:
            raise ValueError(
                f"{path} must be of this generator in {steps} steps; got others. Delete the folder "
                "or choose another --out."
            )
        found.append(tensors)
    images, errors, decibels = (torch.cat([t[k] for t in found]) for k in ("images", "errors",
                                                                            "psnr"))  # fmt: skip
    return Inverted(images.numpy(), errors.float(), decibels)
