"""The StyleGAN generator of 2019, as in-domain inversion uses it: codes in W+, image out of AdaIN.

Source: Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks"
(2019), Fig. 1b, Eq. 1 and Appendix B; equalised learning rates from Karras et al., "Progressive
Growing of GANs" (2018), Sec. 4.1. Parameters are those of the published PyTorch state dicts
(`mapping.dense0.weight`, `synthesis.layer0.style.weight`, ...), so that a converter is a renaming
table. Of the colour layers that growing used at each resolution, only the last one is kept.

Symbols: z latent ~ N(0, I); w intermediate latent; ws one w per layer (W+), 14 x 512 at 256 px;
x features; y = (y_s, y_b) style, affine in w. Eq. 1: AdaIN(x, y) = (1 + y_s) (x - mean) / deviation
+ y_b for every channel, where the published affine map leaves the 1 out of its bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as Dictionary
from typing import Literal

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.networks.layers import GAIN, SLOPE, EqualisedLinear, filter2d, low_pass
from pipelines.networks.stylegan2 import level_channels

Noise = Literal["const", "random", "none"]
EPSILON = 1e-8  # of both normalisations
FUSED_FROM = 128  # the published layers apply upsampling and convolution as one from here [px]


def convolve_up(
    x: Float[Tensor, "b c h w"], weight: Float[Tensor, "o c 3 3"]
) -> Float[Tensor, "b o h2 w2"]:
    """Double the resolution: the weight, spread over 2 x 2 places, transposed with stride 2.

    With the weight flipped, this equals nearest upsampling and then the convolution, at 4/9 of its
    multiplications.
    """
    spread = F.avg_pool2d(weight, 2, stride=1, padding=1, divisor_override=1)
    return F.conv_transpose2d(x, spread.transpose(0, 1), stride=2, padding=1)


class MappingLayer(EqualisedLinear):
    """Fully connected layer, leaky ReLU; the gain sqrt(2) multiplies the weight, not the bias."""

    def __init__(self, inputs: int, outputs: int, lr_multiplier: int | float) -> None:
        super().__init__(inputs, outputs, lr_multiplier=lr_multiplier)
        self.weight_gain *= GAIN

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        return F.leaky_relu(super().forward(x), SLOPE)


class Mapping(nn.Module):
    """z -> ws: eight fully connected layers.

    layerwise: the last layer makes one w for each layer of the synthesis network, as in the
    generators of in-domain inversion; otherwise they all share one. normalise: scale z to unit mean
    square first. The average w is (w_dim,), or (num_ws, w_dim) where layer-wise.
    """

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        num_ws: int,
        *,
        layers: int = 8,
        hidden: int = 512,
        lr_multiplier: int | float = 0.01,
        layerwise: bool = False,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        self.z_dim, self.w_dim, self.num_ws, self.num_layers = z_dim, w_dim, num_ws, layers
        self.layerwise, self.normalise = layerwise, normalise
        last = w_dim * num_ws if layerwise else w_dim
        widths = [z_dim, *[hidden] * (layers - 1), last]
        for index in range(layers):
            layer = MappingLayer(widths[index], widths[index + 1], lr_multiplier)
            setattr(self, f"dense{index}", layer)
        self.register_buffer("w_avg", torch.zeros((num_ws, w_dim) if layerwise else w_dim))

    def forward(
        self,
        z: Float[Tensor, "b z"],
        truncation: int | float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Float[Tensor, "b layers w"]:
        """Map latents to one w per layer.

        truncation: 1 leaves w, 0 gives the average w. truncation_cutoff: number of first layers
        that are truncated, all by default (published sampling: 0.7 and 8). Raises ValueError unless
        z is (b, z_dim).
        """
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z must be (batch, {self.z_dim}); got {tuple(z.shape)}.")
        with torch.autocast(z.device.type, enabled=False):
            w = z.float()
            if self.normalise:
                w = w * (w.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()
            for index in range(self.num_layers):
                w = getattr(self, f"dense{index}")(w)
        w = w.unflatten(1, (-1, self.w_dim)).expand(-1, self.num_ws, -1)
        return self.truncate(w, truncation, truncation_cutoff)

    def truncate(
        self, ws: Float[Tensor, "b layers w"], truncation: int | float, cutoff: int | None = None
    ) -> Float[Tensor, "b layers w"]:
        """Pull the first `cutoff` layers (all by default) towards the average w (Appendix B)."""
        if truncation == 1:
            return ws
        average = self.w_avg.expand(self.num_ws, -1)
        near = average[:cutoff].lerp(ws[:, :cutoff], truncation)
        return near if cutoff is None else torch.cat([near, ws[:, cutoff:]], dim=1)


class StyledLayer(nn.Module):
    """What ends every layer: noise, bias, leaky ReLU, then AdaIN with the style of w (Eq. 1)."""

    def __init__(self, channels: int, w_dim: int, resolution: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.noise_strength = nn.Parameter(torch.zeros(channels))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.style = EqualisedLinear(w_dim, 2 * channels)

    def finish(
        self, x: Float[Tensor, "b c h w"], w: Float[Tensor, "b d"], noise: Noise
    ) -> Float[Tensor, "b c h w"]:
        """From the output of the convolution to that of the layer, in float32."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float() + self.bias[:, None, None]
            if noise != "none":
                x = x + self.noise_strength[:, None, None] * self.noise_field(noise, len(x))
            x = F.instance_norm(F.leaky_relu(x, SLOPE), eps=EPSILON)
            scale, shift = self.style(w).unflatten(1, (2, -1, 1, 1)).unbind(1)
            return torch.addcmul(shift, x, 1 + scale)

    def noise_field(self, noise: Noise, batch: int) -> Float[Tensor, "n 1 h w"]:
        """The stored field of the layer, or a new one for every sample."""
        if noise == "const":
            return self.noise_const[None, None]
        return torch.randn(batch, 1, *self.noise_const.shape, device=self.noise_const.device)


class ConstantLayer(StyledLayer):
    """The layer that begins the network: a learned constant in place of a convolution."""

    def __init__(self, channels: int, w_dim: int, resolution: int = 4) -> None:
        super().__init__(channels, w_dim, resolution)
        self.const = nn.Parameter(torch.ones(channels, resolution, resolution))

    def forward(self, w: Float[Tensor, "b d"], noise: Noise) -> Float[Tensor, "b c h w"]:
        return self.finish(self.const.expand(len(w), -1, -1, -1), w, noise)


class ConvolutionLayer(StyledLayer):
    """3 x 3 convolution, then what ends every layer.

    up: double the resolution on the way and blur with [1, 2, 1]. fused: what the published code
    calls upsampling and convolution in one; its weight is stored the other way round.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        *,
        up: bool = False,
        fused: bool = False,
    ) -> None:
        super().__init__(out_channels, w_dim, resolution)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.weight_gain = GAIN / math.sqrt(9 * in_channels)
        self.up, self.fused = up, fused
        self.register_buffer("blur", low_pass((1.0, 2.0, 1.0)), persistent=False)

    def forward(
        self, x: Float[Tensor, "b c h w"], w: Float[Tensor, "b d"], noise: Noise
    ) -> Float[Tensor, "b c2 h2 w2"]:
        weight = self.weight * self.weight_gain
        if self.up:
            x = convolve_up(x, weight if self.fused else weight.flip(2, 3))
            x = filter2d(x, self.blur, padding=1)
        else:
            x = F.conv2d(x, weight, padding=1)
        return self.finish(x, w, noise)


class ToRGB(nn.Module):
    """1 x 1 convolution to colour, without style."""

    def __init__(self, in_channels: int, img_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b rgb h w"]:
        """Colour of every pixel, in float32."""
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x.float(), self.weight * self.weight_gain, self.bias)


class Synthesis(nn.Module):
    """ws -> image: two layers a resolution, colour after the last one."""

    def __init__(
        self,
        channels: Dictionary[int, int],
        w_dim: int = 512,
        img_channels: int = 3,
        *,
        fused_from: int = FUSED_FROM,
        tanh: bool = False,
    ) -> None:
        super().__init__()
        self.w_dim, self.tanh = w_dim, tanh
        self.layer0 = ConstantLayer(channels[4], w_dim)
        index = 1
        for level, count in channels.items():
            if level > 4:
                fused = level >= fused_from
                layer = ConvolutionLayer(
                    channels[level // 2], count, w_dim, level, up=True, fused=fused
                )
                setattr(self, f"layer{index}", layer)
                index += 1
            setattr(self, f"layer{index}", ConvolutionLayer(count, count, w_dim, level))
            index += 1
        self.num_ws = index
        self.torgb = ToRGB(count, img_channels)

    def forward(
        self, ws: Float[Tensor, "b layers d"], noise: Noise = "const"
    ) -> Float[Tensor, "b rgb h w"]:
        """Image in about [-1, 1]; inside it with `tanh`.

        noise: the stored "const" fields, new "random" ones, or "none". Raises ValueError for wrong
        shapes and names.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(
                f"ws must be (batch, {self.num_ws}, {self.w_dim}); got {tuple(ws.shape)}. "
                "Repeat a single w with w[:, None].repeat(1, num_ws, 1)."
            )
        if noise not in ("const", "random", "none"):
            raise ValueError(f'noise must be "const", "random" or "none"; got {noise!r}.')
        ws = ws.float()
        x = self.layer0(ws[:, 0], noise)
        for index in range(1, self.num_ws):
            x = getattr(self, f"layer{index}")(x, ws[:, index], noise)
        image = self.torgb(x)
        return image.tanh() if self.tanh else image


class Generator(nn.Module, PyTorchModelHubMixin):
    """z -> ws -> image. `mapping` and `synthesis` are modules: call them as such."""

    def __init__(
        self,
        resolution: int = 256,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        mapping_dim: int = 512,
        mapping_lr_multiplier: int | float = 0.01,
        layerwise_mapping: bool = False,
        normalise_z: bool = True,
        channels: dict | None = None,
        fused_from: int = FUSED_FROM,
        tanh: bool = False,
        img_channels: int = 3,
    ) -> None:
        """Build the network with random weights.

        resolution: side of the image in pixels, a power of two from 8 to 1024. channels:
        resolution -> channels from 4 px up, min(512, 16384 / resolution) by default. The published
        pairs of in-domain inversion have a layer-wise mapping and end in tanh.
        """
        super().__init__()
        levels = level_channels(resolution, channels, 1)
        self.resolution, self.z_dim, self.w_dim = resolution, z_dim, w_dim
        self.synthesis = Synthesis(levels, w_dim, img_channels, fused_from=fused_from, tanh=tanh)
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(
            z_dim,
            w_dim,
            self.num_ws,
            layers=mapping_layers,
            hidden=mapping_dim,
            lr_multiplier=mapping_lr_multiplier,
            layerwise=layerwise_mapping,
            normalise=normalise_z,
        )

    def forward(
        self,
        z: Float[Tensor, "b z"],
        truncation: int | float = 1.0,
        truncation_cutoff: int | None = None,
        noise: Noise = "const",
    ) -> Float[Tensor, "b rgb h w"]:
        """Image in about [-1, 1] of each latent."""
        return self.synthesis(self.mapping(z, truncation, truncation_cutoff), noise)
