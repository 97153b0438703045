"""What a generator learns from the renderer's part maps: an auxiliary head, thrown away after it.

A 1 x 1 convolution from the features of the three finest resolutions names the part of every pixel.
Its cross-entropy, beside the distance of pictures, tells features where an eye or a lock of hair
ends before their colours do. Weighted by rarity, as most of a picture is skin, hair and background.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from examples.clay.dataset import ClaySet
from examples.clay.parts import PARTS
from pipelines.networks.stylegan2 import Synthesis

SCALES = 3  # resolutions, the finest ones
RAREST = 10.0  # largest weight of a part; 1 for one that covers its share of the picture


class PartHead(nn.Module):
    """Parts of every pixel from a synthesis network's features.

    rarity: weight of each part in the cross-entropy.
    """

    def __init__(self, synthesis: Synthesis, rarity: Float[Tensor, " parts"]) -> None:
        super().__init__()
        self.names = {level: f"b{level}" for level in synthesis.resolutions[-SCALES:]}
        for name in self.names.values():
            channels = len(getattr(synthesis, name).conv1.bias)
            setattr(self, name, nn.Conv2d(channels, len(rarity), 1))
        self.register_buffer("rarity", rarity)

    def loss(
        self, x: Float[Tensor, "b c h w"], parts: Int[Tensor, "b h w"], level: int
    ) -> Float[Tensor, ""]:
        """Cross-entropy of the features at one resolution; parts of the same size; 0 if unread."""
        if level not in self.names:
            return x.new_zeros(())
        named = getattr(self, self.names[level])(x)
        return F.cross_entropy(named.float(), parts, self.rarity)


def rarity(data: ClaySet, count: int = 512) -> Float[Tensor, " parts"]:
    """Weight of each part: the root of how much rarer it is than an average one, at most RAREST."""
    index = np.linspace(0, len(data) - 1, min(count, len(data))).astype(int)
    pixels = np.bincount(data.parts[index].ravel(), minlength=len(PARTS)) + 1.0
    return torch.from_numpy(np.sqrt(pixels.mean() / pixels)).float().clamp(max=RAREST)
