"""The published encoder of in-domain GAN inversion: a picture to layer-wise codes of StyleGAN.

Source: Zhu et al., "In-Domain GAN Inversion for Real Image Editing" (ECCV 2020), Sec. 3.1 and its
published PyTorch weights, whose layer names these are but for the wrappers around batch
normalisation and biases. A residual network on average-pooled features, down to 4 x 4 px; one fully
connected layer then gives all codes at once, batch-normalised like everything before it.

Symbols: x, a picture; ws = E(x), its codes, absolute: no average w is added.
"""

from __future__ import annotations

import math

from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.networks.layers import SLOPE
from pipelines.networks.stylegan2 import RESOLUTIONS


class FirstBlock(nn.Module):
    """3 x 3 convolution, batch normalisation, leaky ReLU at full resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return F.leaky_relu(self.bn(self.conv(x)), SLOPE)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is learned where the channels change.

    Both ways end in an activation of their own; none follows the sum.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        hidden = min(inputs, outputs)
        self.learned = inputs != outputs
        if self.learned:
            self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.bn = nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, outputs, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        short = F.leaky_relu(self.bn(self.conv(x)), SLOPE) if self.learned else x
        x = F.leaky_relu(self.bn1(self.conv1(x)), SLOPE)
        return F.leaky_relu(self.bn2(self.conv2(x)), SLOPE) + short


class LastBlock(nn.Module):
    """4 x 4 features to all codes in one vector: fully connected with a gain 1 / sqrt(fan-in)."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(16 * channels, outputs, bias=False)
        self.bn = nn.BatchNorm1d(outputs)
        self.gain = 1 / math.sqrt(16 * channels)

    def forward(self, x: Float[Tensor, "b c 4 4"]) -> Float[Tensor, "b n"]:
        return self.bn(self.fc(x.flatten(1)) * self.gain)


class InDomainEncoder(nn.Module, PyTorchModelHubMixin):
    """E: pictures to layer-wise codes; 14 x 512 of them at 256 px.

    resolution: side of the pictures [px], a power of two from 8 to 1024. width: channels after the
    first block, doubled by every following one up to `widest`. w_dim: length of one code.
    """

    def __init__(
        self, resolution: int = 256, w_dim: int = 512, width: int = 64, widest: int = 1024
    ) -> None:
        super().__init__()
        if resolution not in RESOLUTIONS:
            raise ValueError(f"resolution must be one of {RESOLUTIONS}; got {resolution}.")
        self.resolution, self.w_dim = resolution, w_dim
        self.num_blocks = resolution.bit_length() - 1
        self.num_ws = 2 * (self.num_blocks - 1)
        channels = [min(width * 2**i, widest) for i in range(self.num_blocks - 1)]
        self.block0 = FirstBlock(3, channels[0])
        for index in range(1, self.num_blocks - 1):
            setattr(self, f"block{index}", ResidualBlock(channels[index - 1], channels[index]))
        last = LastBlock(channels[-1], self.num_ws * w_dim)
        setattr(self, f"block{self.num_blocks - 1}", last)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b layers dim"]:
        """Codes ws (b, num_ws, w_dim) of RGB pictures in [-1, 1] of side `resolution`."""
        if x.shape[1:] != (3, self.resolution, self.resolution):
            side = self.resolution
            raise ValueError(
                f"picture must be (batch, 3, {side}, {side}); got {tuple(x.shape)}. Resize it."
            )
        x = self.block0(x)
        for index in range(1, self.num_blocks - 1):
            x = getattr(self, f"block{index}")(F.avg_pool2d(x, 2))
        codes = getattr(self, f"block{self.num_blocks - 1}")(x)
        return codes.unflatten(1, (self.num_ws, self.w_dim))
