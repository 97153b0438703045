"""The conditions of MM2Latent as numbers: read off a picture, encoded, compared.

Symbols: f_cond, what the mapping network gets of a condition: the code of a mask or sketch (Eq. 3),
3DMM numbers as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.measures import edge_f1
from pipelines.morphable import Layout
from pipelines.multimodal_inputs import as_mask, as_sketch, sketch_of
from pipelines.networks.bisenet import BiSeNet
from pipelines.networks.condition_autoencoder import ConditionAutoencoder
from pipelines.networks.morphable import MorphableNet
from pipelines.networks.parser import FaceParser

CONDITIONS = ("mask", "sketch", "morphable")


@dataclass(frozen=True)
class ConditionCodes:
    """What reads and encodes conditions: ready modules on one device.

    autoencoders: of masks and sketches, by kind; morphable: reads 3DMM numbers in the order of
    layout, None where nothing does; size: of pictures, masks and sketches [px].
    """

    parser: FaceParser | BiSeNet
    autoencoders: Mapping[str, ConditionAutoencoder]
    morphable: MorphableNet | None
    layout: Layout
    size: int

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those of CONDITIONS that can be read and encoded."""
        return tuple(
            kind
            for kind in CONDITIONS
            if kind in self.autoencoders or (kind == "morphable" and self.morphable is not None)
        )

    @property
    def modules(self) -> tuple[nn.Module | None, ...]:
        """The networks that are called."""
        encoders = (net.encoder for net in self.autoencoders.values())
        return (self.parser, self.morphable, *encoders)

    def numbers(self, kind: str) -> int:
        """How many numbers f_cond of a kind has."""
        if kind == "morphable":
            return len(self.layout.names)
        return self.autoencoders[kind].size

    def checked(self, kind: str, value: Any, rest: np.ndarray) -> np.ndarray:
        """A condition that a visitor gave: classes, lines, or 3DMM numbers; rest: of the numbers
        that are not named."""
        if kind == "mask":
            return as_mask(value, self.size)
        if kind == "sketch":
            return as_sketch(value, self.size)
        return self.layout.vector(value, rest)

    def read(self, x: Float[Tensor, "b 3 h w"], kind: str) -> Tensor:
        """What pictures in [-1, 1] show of a kind: classes (b, h, w), lines (b, h, w), or 3DMM
        numbers (b, n)."""
        if kind == "mask":
            return self.parser.parse(x).to(torch.uint8)
        return sketch_of(x).to(x.device) if kind == "sketch" else self.morphable(x)

    def coded(self, given: Tensor, kind: str) -> Float[Tensor, "b n"]:
        """f_cond of conditions as `read` gives them."""
        return given.float() if kind == "morphable" else self.autoencoders[kind].encode(given)

    def agreement(
        self, x: Float[Tensor, "b 3 h w"], kind: str, given: Tensor
    ) -> Float[Tensor, " b"]:
        """`alike` of what pictures show and of conditions."""
        return self.alike(self.read(x, kind), kind, given)

    def alike(self, found: Tensor, kind: str, given: Tensor) -> Float[Tensor, " b"]:
        """How well what was read fits conditions, at most 1: the share of pixels in the mask's
        class; F1 of edges beside the sketch; 1 - mean error of 3DMM numbers as a share of their
        ranges."""
        if kind == "mask":
            return (found == given).float().mean((1, 2))
        if kind == "sketch":
            return edge_f1(found, given)
        spans = found.new_tensor([self.layout.span(name) for name in self.layout.names])
        return 1 - ((found - given).abs() / spans).mean(1)
