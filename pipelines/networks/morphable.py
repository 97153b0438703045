"""From a picture to the numbers of a 3D morphable model (3DMM), as DECA is to MM2Latent.

A thin residual network (He et al., CVPR 2016) over aligned portraits, which reads its last 4 x 4
map without averaging over places, and one linear layer. Which numbers, and in which order, says its
`names` (`pipelines.morphable` has the layouts).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.networks.judge import ResidualBlock
from pipelines.networks.parser import convolution


class MorphableNet(nn.Module, PyTorchModelHubMixin):
    """Numbers of a morphable model, each in its own unit.

    names: of the numbers, in order. channels: of the two strided stem convolutions, then of each
    residual block.
    """

    def __init__(
        self, names: Sequence[str], channels: Sequence[int] = (16, 48, 64, 128, 256)
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        first, second, *rest = channels
        self.stem = nn.Sequential(
            convolution(3, first, stride=2), convolution(first, second, stride=2)
        )
        widths = [second, *rest]
        self.blocks = nn.Sequential(*map(ResidualBlock, widths[:-1], widths[1:]))
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(16 * channels[-1], len(self.names))
        self.register_buffer("mean", torch.zeros(len(self.names)))
        self.register_buffer("sd", torch.ones(len(self.names)))

    @torch.no_grad()
    def set_scale(self, values: Float[Tensor, "n names"]) -> None:
        """Take mean and standard deviation of each number from samples."""
        self.mean.copy_(values.mean(dim=0))
        self.sd.copy_(values.std(dim=0).clamp(min=1e-4))

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b names"]:
        """The numbers of RGB pictures in [-1, 1]; trained at 128 x 128, larger ones are pooled."""
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(
                f"x must be RGB pictures (b, 3, h, w); got {tuple(x.shape)}. Add a batch axis?"
            )
        maps = F.adaptive_avg_pool2d(self.blocks(self.stem(x)), 4)
        return self.head(self.dropout(maps.flatten(1))).float() * self.sd + self.mean
