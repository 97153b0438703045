"""Least squares where they say what a training would take long to find: where a network starts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

NEGLIGIBLE = 1e-6  # of the largest eigenvalue


class Reduced(NamedTuple):
    """y ~ outward (inward x) + offset; what lies between has variance 1, or says nothing."""

    inward: Float[Tensor, "rank p"]
    outward: Float[Tensor, "q rank"]
    offset: Float[Tensor, " q"]


@torch.no_grad()
def reduced_rank(
    x: Float[Tensor, "n p"], y: Float[Tensor, "n q"], rank: int, ridge: float
) -> Reduced:
    """Ridge regression of y on x, in the directions in which its predictions vary most.

    rank: how many of them, min(n, p, q) at most. ridge: the penalty of a slope, as a share of the
    inputs' mean variance, a sample.
    """
    count, most = len(x), min(*x.shape, y.shape[1])
    if not 1 <= rank <= most:
        raise ValueError(
            f"rank must lie in 1..{most} for {count} samples of {x.shape[1]} inputs and "
            f"{y.shape[1]} outputs; got {rank}. Give more samples, or ask for less."
        )
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x, y - mean_y
    penalty = ridge * count * x.square().mean()
    # Of two equal solutions the one that inverts the smaller matrix.
    if count >= x.shape[1]:
        slope = torch.linalg.solve(x.T @ x + penalty * torch.eye(x.shape[1]), x.T @ y)
    else:
        slope = x.T @ torch.linalg.solve(x @ x.T + penalty * torch.eye(count), y)
    # Directions of the predictions, the strongest last, again by the smaller matrix.
    found = x @ slope
    if count >= y.shape[1]:
        directions = torch.linalg.eigh(found.T @ found)[1][:, -rank:]
    else:
        sizes, across = (part[..., -rank:] for part in torch.linalg.eigh(found @ found.T))
        # What data do not vary in is rounding, which may point along other directions: silence.
        known = sizes > NEGLIGIBLE * sizes[-1]
        directions = found.T @ across * torch.where(known, sizes.clamp(min=0).rsqrt(), 0.0)
    inward = slope @ directions
    length = (x @ inward).square().mean(0).sqrt().clamp(min=1e-6)
    inward, outward = (inward / length).T, directions * length
    return Reduced(inward, outward, mean_y - outward @ (inward @ mean_x))
