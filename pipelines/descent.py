"""Optimisation of codes by Adam, with a callback that can stop it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.images import as_images
from pipelines.runtime import OnStep, Step

Report = Callable[[int, int, float, Tensor, Tensor], bool | None]
"""Called after each step with index, total, the loss and pictures before it, the codes after it;
True stops."""


def descend(
    loss: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Float[Tensor, "b layers dim"],
    steps: int,
    rate: float,
    report: Report | None,
    anneal: bool = False,
) -> tuple[Float[Tensor, "b layers dim"], tuple[float, ...]]:
    """Adam on codes from `start`; loss: codes -> (one number a picture, pictures).

    anneal: let the rate fall to zero along half a cosine over the last quarter.
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
