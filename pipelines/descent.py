"""Optimisation of codes by Adam, with a callback that can stop it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pipelines.images import as_images
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.runtime import OnStep, Step

SIDE = 256  # of the pictures that `rebuilding` compares, at most [px]

Report = Callable[[int, int, float, Tensor, Tensor], bool | None]
"""Called after each step with index, total, the loss and pictures before it, the codes after it;
True stops."""


def descend(
    loss: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Float[Tensor, "b *dims"],
    steps: int,
    rate: float,
    report: Report | None,
    anneal: bool = False,
) -> tuple[Float[Tensor, "b *dims"], tuple[float, ...]]:
    """Adam on codes from `start`; loss: codes -> (one number a picture, pictures).

    Codes are any numbers of a picture, such as a row that `joined` made. anneal: let the rate fall
    to zero along half a cosine over the last quarter.
    """
    if not (isinstance(steps, int) and 0 <= steps <= 1000):
        raise ValueError(f"steps must be a whole number from 0 to 1000; got {steps!r}.")
    losses: list[float] = []
    with torch.enable_grad():
        codes = start.detach().clone().requires_grad_(True)
        optimizer = torch.optim.Adam([codes], lr=rate)
        for index in range(steps):
            # The rate of this step.
            left = min(1.0, 4 * (1 - index / steps)) if anneal else 1.0
            optimizer.param_groups[0]["lr"] = rate * (0.5 - 0.5 * math.cos(math.pi * left))
            # One step down.
            each, pictures = loss(codes)
            optimizer.zero_grad()
            each.sum().backward()  # a sum: each picture's gradient is its own
            optimizer.step()
            # News for whoever listens; True stops.
            losses.append(each.mean().item())
            now = pictures.detach(), codes.detach()
            if report and report(index + 1, steps, losses[-1], *now):
                break
    return codes.detach(), tuple(losses)


def joined(parts: Sequence[Float[Tensor, "b *dims"]]) -> Float[Tensor, "b n"]:
    """Tensors of several shapes as one row of numbers a picture, to descend on all at once."""
    return torch.cat([part.reshape(len(part), -1) for part in parts], dim=1)


def parted(row: Float[Tensor, "b n"], shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Undo `joined`; shapes: of the parts without the batch."""
    pieces = row.split([shape.numel() for shape in shapes], dim=1)
    return [p.reshape(len(p), *shape) for p, shape in zip(pieces, shapes, strict=True)]


def rebuilding(
    perceptual: PerceptualDistance, x: Float[Tensor, "b 3 h w"], weight: float
) -> Callable[[Float[Tensor, "b 3 h w"]], Float[Tensor, " b"]]:
    """How far pictures are from x, ||x - y||^2 + weight d(x, y), both at SIDE px at most."""
    small = _small(x)
    features = perceptual.stages(small)

    def distance(y: Tensor) -> Tensor:
        y = _small(y)
        return (small - y).square().mean((1, 2, 3)) + weight * perceptual(y, features)

    return distance


def _small(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, SIDE) if x.shape[-1] > SIDE else x


def reporter(
    stage: str,
    on_step: OnStep | None,
    image_every: int,
    look: Callable[[int, Tensor], None] | None = None,
) -> Report | None:
    """A callback for `descend` that passes Steps of a stage on, with pictures every few of them.

    look: called with the index and the pictures of every step.
    """
    if image_every < 1:
        raise ValueError(f"image_every must be at least 1; got {image_every}.")
    if on_step is None and look is None:
        return None

    def report(index: int, total: int, loss: float, images: Tensor, _: Tensor) -> bool | None:
        if look is not None:
            look(index, images)
        if on_step is None:
            return None
        shown = as_images(images) if index % image_every == 0 or index == total else None
        return on_step(Step(stage, index, total, loss, shown))

    return report
