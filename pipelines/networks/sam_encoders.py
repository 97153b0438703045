"""The encoders of SAM inversion: one a latent, from a picture and its map of latents.

Source: Parmar et al., "Spatially-Adaptive Multilayer Selection for GAN Inversion and Editing"
(CVPR 2022), Sec. 3.3: "we train a separate encoder for each latent space. Our encoder takes in
input image along with invertibility map". How they are built is left open; here W+ has a feature
pyramid and each F_k a small U-Net that stops at its own resolution.

Departs from paper: besides x and m all see x - y, what the codes that w+ starts from do not
rebuild. A feature change is then nearly a local function of what is seen, and minutes of training
do.

Symbols: x, a picture; y, what the generator makes of the codes that w+ starts from; m, the map of
latents, one channel a latent; Delta f, the change of a feature layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.networks.encoders import GuidedEncoder
from pipelines.networks.parser import Up, convolution

NAMES = {"b8.conv1": 256, "b16.conv1": 256, "b32.conv1": 192, "b64.conv1": 96}
CHANNELS = (24, 40, 80, 128)  # at 1/2, 1/4, ... of the picture's resolution


class FeatureEncoder(nn.Module):
    """Delta f of one feature layer; 0 before any training.

    inputs: channels of what it sees; outputs: of the layer; depth: halvings from the picture to
    the layer, 1 or more; channels: of the U-Net, finest first.
    """

    def __init__(self, inputs: int, outputs: int, depth: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.stem = convolution(4 * inputs, channels[0])
        steps = list(zip(channels[:-1], channels[1:], strict=True))
        self.down = nn.ModuleList(
            nn.Sequential(convolution(fine, coarse, stride=2), convolution(coarse, coarse))
            for fine, coarse in steps
        )
        self.up = nn.ModuleList(Up(coarse, fine) for fine, coarse in reversed(steps[depth - 1 :]))
        self.out = nn.Conv2d(channels[depth - 1], outputs, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        skips = [self.stem(F.pixel_unshuffle(x, 2))]
        for stage in self.down:
            skips.append(stage(skips[-1]))
        y = skips.pop()
        for stage in self.up:
            y = stage(y, skips.pop())
        return self.out(y).float()


class SAMEncoders(nn.Module, PyTorchModelHubMixin):
    """One encoder for W+ and one for each feature layer.

    features: block output name ("b16.conv1") -> channels of the layers that have one, in the order
    of the latents. num_ws, w_dim: of the generator; resolution: of its pictures [px]; width,
    level_size: of the encoder of W+; channels: of the others.
    """

    def __init__(
        self,
        features: dict | None = None,
        num_ws: int = 12,
        w_dim: int = 512,
        resolution: int = 128,
        width: int = 12,
        level_size: int = 128,
        channels: Sequence[int] = CHANNELS,
    ) -> None:
        super().__init__()
        features = dict(NAMES if features is None else features)
        self.names, self.latents = tuple(features), 1 + len(features)
        self.codes = GuidedEncoder(3 + self.latents, num_ws, resolution, width, level_size, w_dim)
        for head in self.codes.heads:  # begin at the codes that are given
            nn.init.zeros_(head.weight)
        self.features = nn.ModuleDict(
            {
                name.replace(".", "_"): FeatureEncoder(
                    6 + self.latents, count, _depth(name, resolution, len(channels)), channels
                )
                for name, count in features.items()
            }
        )

    def forward(
        self,
        x: Float[Tensor, "b 3 h w"],
        y: Float[Tensor, "b 3 h w"],
        m: Float[Tensor, "b latents h w"],
        names: Sequence[str] | None = None,
    ) -> tuple[Float[Tensor, "b layers dim"], Mapping[str, Tensor]]:
        """What to add to the codes of y, and Delta f by block output name.

        x, y: in [-1, 1]. m: 1 in the channel of a place's latent; W+ is the first. names: layers to
        encode, all by default.
        """
        beside = torch.cat([x - y, m], dim=1)
        seen = torch.cat([x, beside], dim=1)
        names = self.names if names is None else names
        deltas = {name: self.features[name.replace(".", "_")](seen) for name in names}
        return self.codes(x, beside), deltas


def _depth(name: str, resolution: int, levels: int) -> int:
    """Halvings from the picture to the block that is named; ValueError unless a U-Net has it."""
    level = int(name[1:].split(".")[0])
    depth = (resolution // level).bit_length() - 1
    if not 1 <= depth <= levels:
        raise ValueError(
            f"features must lie at 1/2 to 1/{2**levels} of {resolution} px, which the channels "
            f"reach; got {name}. Give more channels or fewer features."
        )
    return depth
