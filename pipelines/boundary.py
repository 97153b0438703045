"""Linear separators of a generator's latent space, by which attributes are edited.

Source: Shen et al., "Interpreting the Latent Space of GANs for Semantic Face Editing" (CVPR 2020):
an attribute changes along the unit normal n of the hyperplane that separates it. Which layers move
is chosen for each attribute, so that little else changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Boundary:
    """A linear separator of W or W+: unit normal n, the layers to move, units per unit of n.

    accuracy: share of held-out samples on the right side, NaN where none is published; low, high:
    accepted changes.
    """

    normal: Float[Tensor, "*layers 512"]
    layers: Float[Tensor, " layers"]
    slope: float
    accuracy: float
    low: float
    high: float

    def move(self, change: float) -> Float[Tensor, "layers 512"]:
        """What to add to layer-wise codes for `change` in the attribute's own unit."""
        return change / self.slope * self.layers[:, None] * self.normal


def boundaries_from(tensors: Mapping[str, Tensor]) -> dict[str, Boundary]:
    """Boundaries by attribute name from the tensors `pipelines.training.boundaries` writes."""
    unknown = torch.tensor(math.nan)
    found = {}
    for name in dict.fromkeys(key.split(".")[0] for key in tensors):
        normal = tensors[f"{name}.normal"]
        found[name] = Boundary(
            normal / normal.norm(),
            tensors[f"{name}.layers"],
            tensors[f"{name}.slope"].item(),
            tensors.get(f"{name}.accuracy", unknown).item(),
            tensors[f"{name}.low"].item(),
            tensors[f"{name}.high"].item(),
        )
    return found
