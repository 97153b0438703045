"""Random changes that keep labels true, so that judges also understand generated pictures.

Nothing is mirrored: left and right brows, eyes and ears are different classes, and the sign of
yaw, gaze and light would change. Pictures are (b, 3, h, w) in [-1, 1]; torch's global generator
draws. Outputs stay in [-1, 1].
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

Pictures = Float[Tensor, "b 3 h w"]


def shift(
    images: Pictures, masks: Int[Tensor, "b h w"] | None = None, most: int = 4
) -> tuple[Pictures, Int[Tensor, "b h w"] | None]:
    """Move each picture, and its mask along, by up to `most` pixels; edges repeat."""
    batch, _, height, width = images.shape
    moves = torch.randint(-most, most + 1, (2, batch, 1), device=images.device)
    rows = (torch.arange(height, device=images.device) + moves[0]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + moves[1]).clamp(0, width - 1)
    which = torch.arange(batch, device=images.device)[:, None, None]
    index = which, rows[:, :, None], columns[:, None, :]
    moved = images.permute(0, 2, 3, 1)[index].permute(0, 3, 1, 2)
    return moved, None if masks is None else masks[index]


def recolour(images: Pictures, strength: float = 0.15) -> Pictures:
    """Change contrast, brightness and each channel's gain by about `strength`."""
    shape = (len(images), 1, 1, 1)
    contrast = 1 + strength * _spread(shape, images)
    gain = 1 + 0.5 * strength * _spread((len(images), 3, 1, 1), images)
    return (images * contrast * gain + strength * _spread(shape, images)).clamp(-1, 1)


def degrade(images: Pictures, blur: float = 0.8, noise: float = 0.06) -> Pictures:
    """Blur a quarter of the pictures by up to `blur` of a quarter's resolution, add noise of up to
    `noise` standard deviation to another quarter; which ones is drawn anew each time.
    """
    quarter = (len(images) + 3) // 4
    order = torch.randperm(len(images), device=images.device)
    soft, rough = images[order[:quarter]], images[order[quarter : 2 * quarter]]
    # Not a convolution: a pyramid step costs a tenth of it on a CPU.
    coarse = F.interpolate(F.avg_pool2d(soft, 4), soft.shape[-2:], mode="bilinear")
    soft = soft.lerp(coarse, blur * torch.rand((len(soft), 1, 1, 1), device=images.device))
    grain = noise * torch.rand((len(rough), 1, 1, 1), device=images.device)
    rough = (rough + grain * torch.randn_like(rough)).clamp(-1, 1)
    changed = images.index_copy(0, order[: len(soft) + len(rough)], torch.cat([soft, rough]))
    return changed.contiguous(memory_format=torch.channels_last)


def _spread(shape: tuple[int, ...], like: Tensor) -> Tensor:
    return 2 * torch.rand(shape, device=like.device) - 1
