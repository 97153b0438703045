"""The StyleGAN2 generator, config F: mapping network and skip-architecture synthesis network.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), Sec. 2.2,
Eqs. 1-3 (modulation and demodulation), Fig. 7 (skip connections); truncation from Karras et al.,
"A Style-Based Generator Architecture" (2019), Appendix B. Parameters and buffers carry the names
of the published PyTorch state dict (`mapping.fc0.weight`, `synthesis.b4.const`, ...), so that a
converter is a renaming table.

Symbols: z latent ~ N(0, I); w intermediate latent; ws one w per layer (W+); s style, the scale of a
layer's input channels; d demodulation factor of its output channels; x features; rgb the image so
far. Eq. 1 scales weights; as a convolution is linear, we scale its input by s and its output by d
instead, which leaves one convolution shared by the whole batch and no weight to differentiate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Mapping as Dictionary
from typing import Literal

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.networks.layers import (
    GAIN,
    EqualisedLinear,
    low_pass,
    upsample2d,
)
from pipelines.networks.modulation import demodulation, modulated_layer

Noise = Literal["const", "random", "none"]
Tensors = Dictionary[str, Tensor]
RESOLUTIONS = (8, 16, 32, 64, 128, 256, 512, 1024)


def published_channels(resolution: int, multiplier: int | float = 2) -> dict[int, int]:
    """Channels of every resolution in config F: min(512, 16384 multiplier / resolution)."""
    levels = range(2, resolution.bit_length())
    return {2**level: min(512, int(16384 * multiplier) // 2**level) for level in levels}


def level_channels(
    resolution: int, channels: Dictionary | None, multiplier: int | float
) -> dict[int, int]:
    """Checked channels of each resolution from 4 up; JSON configurations hold keys as strings."""
    if resolution not in RESOLUTIONS:
        raise ValueError(f"resolution must be one of {RESOLUTIONS}; got {resolution}.")
    published = published_channels(resolution, multiplier)
    if channels is None:
        return published
    given = {int(level): int(count) for level, count in channels.items()}
    if missing := sorted(set(published) - set(given)):
        raise ValueError(
            f"channels must name every resolution {sorted(published)}; {missing} missing. Add them."
        )
    return {level: given[level] for level in published}


class Mapping(nn.Module):
    """z -> w: eight fully connected layers on the latent, broadcast to every layer.

    normalize_z: bring the latent to unit mean square first, as published.
    """

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        num_ws: int,
        layers: int = 8,
        lr_multiplier: int | float = 0.01,
        normalize_z: bool = True,
    ) -> None:
        super().__init__()
        self.normalize_z = normalize_z
        self.z_dim, self.w_dim, self.num_ws, self.num_layers = z_dim, w_dim, num_ws, layers
        for index in range(layers):
            inputs = z_dim if index == 0 else w_dim
            layer = EqualisedLinear(inputs, w_dim, lr_multiplier=lr_multiplier, activation=True)
            setattr(self, f"fc{index}", layer)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Float[Tensor, "b z"],
        truncation: int | float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Float[Tensor, "b layers w"]:
        """Map latents to one w per layer.

        truncation: 1 leaves w, 0 gives the average w. truncation_cutoff: number of first layers
        that are truncated, all by default. Raises ValueError unless z is (b, z_dim).
        """
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z must be (batch, {self.z_dim}); got {tuple(z.shape)}.")
        with torch.autocast(z.device.type, enabled=False):
            w = z.float()
            if self.normalize_z:
                w = w * (w.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
            for index in range(self.num_layers):
                w = getattr(self, f"fc{index}")(w)
        return self.truncate(w[:, None].repeat(1, self.num_ws, 1), truncation, truncation_cutoff)

    def truncate(
        self, ws: Float[Tensor, "b layers w"], truncation: int | float, cutoff: int | None = None
    ) -> Float[Tensor, "b layers w"]:
        """Pull the first `cutoff` layers (all by default) towards the average w."""
        if truncation == 1:
            return ws
        near = self.w_avg.lerp(ws[:, :cutoff], truncation)
        return near if cutoff is None else torch.cat([near, ws[:, cutoff:]], dim=1)

    @torch.no_grad()
    def update_average(self, ws: Float[Tensor, "b layers w"], beta: float = 0.995) -> None:
        """Move the average w towards a training batch: w_avg <- beta w_avg + (1 - beta) mean."""
        self.w_avg.copy_(ws[:, 0].float().mean(dim=0).lerp(self.w_avg, beta))


class SynthesisLayer(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias, leaky ReLU; doubles the resolution if `up`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        up: bool = False,
        clamp: int | float | None = None,
    ) -> None:
        super().__init__()
        self.up, self.clamp = up, clamp
        self.affine = EqualisedLinear(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", low_pass())

    def forward(
        self, x: Float[Tensor, "b c h w"], w: Float[Tensor, "b d"], noise: Noise = "const"
    ) -> Float[Tensor, "b c2 h2 w2"]:
        """One layer: the style comes from w."""
        with torch.autocast(x.device.type, enabled=False):
            style = self.affine(w)
            scale = demodulation(self.weight, style) * GAIN
        kernel = self.resample_filter if self.up else None
        x = modulated_layer(
            x, style, scale, self.weight, self.bias * GAIN, self.noise_field(noise, len(x)), kernel
        )
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def noise_field(self, noise: Noise, batch: int) -> Float[Tensor, "n 1 h w"] | None:
        """What is added before the activation, with the activation's gain; None for no noise."""
        if noise == "none":
            return None
        field = self.noise_const[None, None]
        if noise == "random":
            field = torch.randn(batch, *field.shape[1:], device=field.device)
        return field * (self.noise_strength * GAIN)


class ToRGB(nn.Module):
    """Modulated 1 x 1 convolution to colour, without demodulation."""

    def __init__(
        self, in_channels: int, w_dim: int, img_channels: int = 3, clamp: int | float | None = None
    ) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = EqualisedLinear(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))
        self.gain = 1 / math.sqrt(in_channels)

    def forward(
        self, x: Float[Tensor, "b c h w"], w: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b rgb h w"]:
        """Colour of every pixel, in float32."""
        with torch.autocast(x.device.type, enabled=False):
            style = self.affine(w) * self.gain
            weight = self.weight[None, :, :, 0, 0] * style[:, None]
        # Three output channels: weights per sample are smaller than a scaled copy of x.
        rgb = torch.bmm(weight.to(x.dtype), x.flatten(2)).float() + self.bias[:, None]
        rgb = rgb.unflatten(2, x.shape[2:])
        return rgb if self.clamp is None else rgb.clamp(-self.clamp, self.clamp)


class SynthesisBlock(nn.Module):
    """One resolution: conv0 (doubles the resolution; absent at 4 px), conv1, and colour."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        img_channels: int,
        clamp: int | float | None = None,
    ) -> None:
        super().__init__()
        self.name = f"b{resolution}"
        self.layer_names = ("conv1",) if resolution == 4 else ("conv0", "conv1")
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(out_channels, 4, 4))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, w_dim, resolution, True, clamp)
        self.conv1 = SynthesisLayer(out_channels, out_channels, w_dim, resolution, clamp=clamp)
        self.torgb = ToRGB(out_channels, w_dim, img_channels, clamp)
        self.register_buffer("resample_filter", low_pass())

    def forward(
        self,
        x: Float[Tensor, "b c h w"] | None,
        rgb: Float[Tensor, "b rgb h w"] | None,
        ws: Float[Tensor, "b layers d"],
        noise: Noise = "const",
    ) -> tuple[Float[Tensor, "b c2 h2 w2"], Float[Tensor, "b rgb h2 w2"], dict[str, Tensor]]:
        """Features and image of this resolution, and every layer's output by its full name."""
        if x is None:
            x = self.const.expand(len(ws), -1, -1, -1)
        outputs = {}
        for index, name in enumerate(self.layer_names):
            x = getattr(self, name)(x, ws[:, index], noise)
            outputs[f"{self.name}.{name}"] = x
        colour = self.torgb(x, ws[:, -1])
        return x, colour if rgb is None else upsample2d(rgb, self.resample_filter) + colour, outputs


class Synthesis(nn.Module):
    """ws -> image, through one block a resolution."""

    def __init__(
        self,
        channels: Dictionary[int, int],
        w_dim: int = 512,
        img_channels: int = 3,
        clamp: int | float | None = None,
    ) -> None:
        super().__init__()
        self.w_dim = w_dim
        self.resolutions = tuple(channels)
        for level in self.resolutions:
            block = SynthesisBlock(
                channels.get(level // 2, 0), channels[level], w_dim, level, img_channels, clamp
            )
            setattr(self, f"b{level}", block)
        self.num_ws = 2 * len(self.resolutions)

    @property
    def blocks(self) -> list[SynthesisBlock]:
        """The blocks from 4 px up."""
        return [getattr(self, f"b{level}") for level in self.resolutions]

    def per_block(self, ws: Float[Tensor, "b layers d"]) -> Iterator[tuple[SynthesisBlock, Tensor]]:
        """Each block with its w: colour shares its w with the first layer of the next block."""
        start = 0
        for block in self.blocks:
            count = len(block.layer_names)
            yield block, ws[:, start : start + count + 1]
            start += count

    def forward(
        self,
        ws: Float[Tensor, "b layers d"],
        noise: Noise = "const",
        features: bool = False,
        deltas: Tensors | None = None,
        masks: Tensors | None = None,
        edited: Float[Tensor, "b layers d"] | None = None,
    ) -> Float[Tensor, "b rgb h w"] | tuple[Float[Tensor, "b rgb h w"], dict[str, Tensor]]:
        """Image in about [-1, 1].

        noise: the stored "const" fields, new "random" ones, or "none". deltas: block output name
        ("b16.conv1") -> (b, c, h, w), added after that block, times masks[name] (b, 1, h, w) where
        given. features: also return every layer's output by name ("b4.conv1", "b8.conv0", ...),
        deltas included. edited: other ws, whose image is returned instead: everywhere but where a
        mask is 1, which follows `ws` up to that block, its colour included, and `edited` after it.
        Raises ValueError for wrong shapes and names.
        """
        self.check(ws, noise, deltas or {}, masks or {})
        if edited is not None:
            if features or noise == "random":
                raise ValueError(
                    "edited ws need the same noise twice and give no features; "
                    f"got {noise!r} noise, features={features}. Leave both out."
                )
            self.check(edited, noise, {}, {})
            return self._edited(ws, edited, noise, deltas or {}, masks or {})
        deltas, masks, seen = deltas or {}, masks or {}, {}
        x = rgb = None
        for block, block_ws in self.per_block(ws.float()):
            x, rgb, outputs = block(x, rgb, block_ws, noise)
            x = outputs[f"{block.name}.conv1"] = _shifted(block, x, deltas, masks)
            if features:
                seen.update(outputs)
        return (rgb, seen) if features else rgb

    def _edited(
        self, ws: Tensor, edited: Tensor, noise: Noise, deltas: Tensors, masks: Tensors
    ) -> Float[Tensor, "b rgb h w"]:
        """Both images side by side; where a mask is, the second goes on from the first."""
        x = rgb = changed = changed_rgb = None
        pairs = zip(self.per_block(ws.float()), self.per_block(edited.float()), strict=True)
        for (block, block_ws), (_, other_ws) in pairs:
            x, rgb, _ = block(x, rgb, block_ws, noise)
            changed, changed_rgb, _ = block(changed, changed_rgb, other_ws, noise)
            if f"{block.name}.conv1" in deltas:
                mask = masks.get(f"{block.name}.conv1", rgb.new_ones(()))
                changed = changed.lerp(x, mask.to(x.dtype))
                changed_rgb = changed_rgb.lerp(rgb, mask)
            x, changed = (_shifted(block, f, deltas, masks) for f in (x, changed))
        return changed_rgb

    def check(self, ws: Tensor, noise: str, deltas: Tensors, masks: Tensors) -> None:
        """Raise ValueError for what `forward` cannot use."""
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(
                f"ws must be (batch, {self.num_ws}, {self.w_dim}); got {tuple(ws.shape)}. "
                "Repeat a single w with w[:, None].repeat(1, num_ws, 1)."
            )
        if noise not in ("const", "random", "none"):
            raise ValueError(f'noise must be "const", "random" or "none"; got {noise!r}.')
        # A delta after the last block would reach no pixel.
        known = [f"b{level}.conv1" for level in self.resolutions[:-1]]
        if unknown := sorted(set(deltas) - set(known)):
            raise ValueError(f"deltas must be named among {known}; got {unknown}.")
        if unused := sorted(set(masks) - set(deltas)):
            raise ValueError(f"masks must be named as the deltas are; got {unused} without delta.")
        for name, delta in deltas.items():
            level = int(name[1:].split(".")[0])
            expected = (len(ws), len(getattr(self, f"b{level}").conv1.bias), level, level)
            if tuple(delta.shape) != expected:
                raise ValueError(f"{name}: delta must be {expected}; got {tuple(delta.shape)}.")
            mask = masks.get(name)
            if mask is not None and tuple(mask.shape) != (len(ws), 1, level, level):
                raise ValueError(
                    f"{name}: mask must be {(len(ws), 1, level, level)}; got {tuple(mask.shape)}. "
                    "Resize it to the block's resolution."
                )


def _shifted(block: SynthesisBlock, x: Tensor, deltas: Tensors, masks: Tensors) -> Tensor:
    """A block's output with its delta, if it has one, times its mask, if it has one."""
    name = f"{block.name}.conv1"
    if name not in deltas:
        return x
    return x + (masks[name] * deltas[name] if name in masks else deltas[name])


class Generator(nn.Module, PyTorchModelHubMixin):
    """z -> w -> image. `mapping` and `synthesis` are modules: call them as such."""

    def __init__(
        self,
        resolution: int = 128,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        channels: dict | None = None,
        channel_multiplier: int | float = 2,
        mapping_lr_multiplier: int | float = 0.01,
        img_channels: int = 3,
        normalize_z: bool = True,
        conv_clamp: int | float | None = None,
    ) -> None:
        """Build the network with random weights.

        resolution: side of the image in pixels, a power of two from 8 to 1024. channels:
        resolution -> channels from 4 px up; config F times `channel_multiplier` / 2 by default.
        mapping_lr_multiplier: 0.01 for adversarial training as published. conv_clamp: limit of
        every layer's output, 256 where the network was trained in half precision.
        """
        super().__init__()
        levels = level_channels(resolution, channels, channel_multiplier)
        self.resolution, self.z_dim, self.w_dim = resolution, z_dim, w_dim
        self.synthesis = Synthesis(levels, w_dim, img_channels, conv_clamp)
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(
            z_dim, w_dim, self.num_ws, mapping_layers, mapping_lr_multiplier, normalize_z
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
