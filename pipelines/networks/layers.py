"""Layers that the StyleGAN2 generator and discriminator share.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), Sec. 2.2 and
Appendix B; equalised learning rates from Karras et al., "Progressive Growing of GANs" (2018),
Sec. 4.1. Weights are stored with unit variance and multiplied at run time by a gain
1 / sqrt(fan-in), so that Adam moves every layer at the same relative speed.

Symbols: `kernel` is the low-pass filter outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64 (4 x 4, sum 1).
Channels, height and width are `c h w`; activations are (batch, channels, height, width).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SLOPE = 0.2
GAIN = math.sqrt(2)  # keeps the variance of unit normal inputs through the leaky ReLU


def low_pass(taps: tuple[float, ...] = (1, 3, 3, 1)) -> Float[Tensor, "k k"]:
    """Separable low-pass kernel with sum 1 from its one-dimensional taps."""
    line = torch.tensor(taps, dtype=torch.float32)
    return torch.outer(line, line) / line.sum().square()


def filter2d(
    x: Float[Tensor, "b c h w"],
    kernel: Float[Tensor, "k k"],
    *,
    padding: int,
    stride: int = 1,
    bias: Float[Tensor, " c"] | None = None,
) -> Float[Tensor, "b c h2 w2"]:
    """Filter every channel on its own with one symmetric kernel; optionally add a bias."""
    channels = x.shape[1]
    weight = kernel.to(x.dtype).expand(channels, 1, *kernel.shape)
    return F.conv2d(x, weight, bias, stride=stride, padding=padding, groups=channels)


def upsample2d(
    x: Float[Tensor, "b c h w"], kernel: Float[Tensor, "k k"]
) -> Float[Tensor, "b c h2 w2"]:
    """Double the resolution: zero insertion, then the low-pass filter with gain 4."""
    channels = x.shape[1]
    weight = (4 * kernel).to(x.dtype).expand(channels, 1, *kernel.shape)
    return F.conv_transpose2d(x, weight, stride=2, padding=1, groups=channels)


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU (slope 0.2) with gain sqrt(2)."""
    return F.leaky_relu(x * GAIN, SLOPE)


class EqualisedLinear(nn.Module):
    """Fully connected layer with equalised learning rate.

    lr_multiplier: factor on the effective learning rate (0.01 in the mapping network).
    bias_init: initial bias (1 where styles are made). activation: leaky ReLU with gain or none.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        lr_multiplier: int | float = 1.0,
        bias_init: int | float = 0.0,
        activation: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier
        self.activation = activation

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        """Map (b, in_features) to (b, out_features)."""
        x = F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        return leaky_relu(x) if self.activation else x


class EqualisedConvolution(nn.Module):
    """Convolution with equalised learning rate, optional low-pass and stride-2 downsampling.

    down: filter and halve the resolution. bias: also says whether the leaky ReLU follows, as every
    biased convolution of the discriminator is activated and its residual skip is neither.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        down: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", low_pass())
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.padding = kernel_size // 2
        self.down = down

    def forward(
        self, x: Float[Tensor, "b c h w"], gain: int | float = 1.0
    ) -> Float[Tensor, "b c2 h2 w2"]:
        """Convolve; `gain` scales the output (the residual blocks use sqrt(1/2))."""
        # The leaky ReLU is positively homogeneous: its gain moves into weight and bias for free.
        gain = gain * GAIN if self.bias is not None else gain
        weight = self.weight * (self.weight_gain * gain)
        bias = None if self.bias is None else self.bias * gain
        if not self.down:
            x = F.conv2d(x, weight, bias, padding=self.padding)
        elif self.padding == 0:
            x = filter2d(x, self.resample_filter, padding=1, stride=2)
            x = F.conv2d(x, weight, bias)
        else:
            x = filter2d(x, self.resample_filter, padding=2)
            x = F.conv2d(x, weight, bias, stride=2)
        return x if self.bias is None else F.leaky_relu(x, SLOPE)
