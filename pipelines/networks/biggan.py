"""BigGAN-deep: a class-conditional generator whose every block reads the latent and the class.

Source: Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (2019),
Fig. 16 (blocks), Tables 7-9 (widths), Appendix B and C.1 (standing statistics); self-attention from
Zhang et al., "Self-Attention Generative Adversarial Networks" (2019), Eqs. 1-3. Layer names are
those of the published PyTorch state dict; its spectral norms are divided into the weights when it
is converted, and of its colour layer only the three channels that are shown are kept.

Symbols: z latent, truncated N(0, I); c = (z, class embedding), the condition; latents, one c for
the first layer and one for each block (Z+ where their z differ); truncation, the scale of z, by
which the batch normalisation's statistics are chosen; F2, the features that SAM inversion moves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as Dictionary
from collections.abc import Sequence

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

# Channels between the stages of two blocks, in units of the channel width: 4 px up to the image.
WIDTHS = {
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
# SAM inversion's F2, read as StyleGAN2's F4 is: the output of block 2, counted from 0 (8 x 8 px).
# Its paper does not say more; the block before it has the same shape.
F2 = "layers.2"
Tensors = Dictionary[str, Tensor]


def truncated_normal(
    shape: Sequence[int], truncation: int | float, generator: torch.Generator | None = None
) -> Tensor:
    """Latents of N(0, I) cut at 2 deviations, times `truncation` (Sec. 3.1); on the CPU."""
    z = torch.empty(*shape)
    return nn.init.trunc_normal_(z, a=-2, b=2, generator=generator) * truncation


class StandingNorm(nn.Module):
    """Batch normalisation with statistics stored for truncations 0, 1 / (n - 1), ..., 1."""

    def __init__(self, channels: int, stats: int, eps: float) -> None:
        super().__init__()
        self.register_buffer("running_means", torch.zeros(stats, channels))
        self.register_buffer("running_vars", torch.ones(stats, channels))
        self.step, self.eps = 1 / (stats - 1), eps

    def statistics(
        self, truncation: int | float
    ) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
        """Mean and variance at a truncation in (0, 1]."""
        share, index = math.modf(truncation / self.step)
        index = int(index)
        if share == 0:
            return self.running_means[index], self.running_vars[index]
        # As published: between two entries, the nearer one gets the smaller share. Setting that
        # right would change the pictures that others make of the same latents.
        blend = [
            table[index] * share + table[index + 1] * (1 - share)
            for table in (self.running_means, self.running_vars)
        ]
        return blend[0], blend[1]

    def normalise(
        self,
        x: Float[Tensor, "b c h w"],
        weight: Float[Tensor, "n c"],
        bias: Float[Tensor, "n c"],
        truncation: int | float,
    ) -> Float[Tensor, "b c h w"]:
        """weight (x - mean) / sqrt(variance + eps) + bias, as one scale and one shift a channel."""
        mean, variance = self.statistics(truncation)
        scale = weight * (variance + self.eps).rsqrt()
        shift = bias - mean * scale
        return torch.addcmul(shift[..., None, None], x, scale[..., None, None])


class ConditionalNorm(StandingNorm):
    """Batch normalisation whose scale, 1 + a linear map, and shift, another one, come from c."""

    def __init__(self, channels: int, condition: int, stats: int, eps: float) -> None:
        super().__init__(channels, stats, eps)
        self.scale = nn.Linear(condition, channels, bias=False)
        self.offset = nn.Linear(condition, channels, bias=False)

    def forward(
        self, x: Float[Tensor, "b c h w"], c: Float[Tensor, "b d"], truncation: int | float
    ) -> Float[Tensor, "b c h w"]:
        return self.normalise(x, 1 + self.scale(c), self.offset(c), truncation)


class FinalNorm(StandingNorm):
    """Batch normalisation with a learned scale and shift."""

    def __init__(self, channels: int, stats: int, eps: float) -> None:
        super().__init__(channels, stats, eps)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(
        self, x: Float[Tensor, "b c h w"], truncation: int | float
    ) -> Float[Tensor, "b c h w"]:
        return self.normalise(x, self.weight[None], self.bias[None], truncation)


class Block(nn.Module):
    """Residual bottleneck (Fig. 16): 1 x 1, two 3 x 3, 1 x 1 convolutions at 1/4 of the channels.

    The shortcut keeps the first channels where there are fewer outputs. up: double the resolution.
    """

    def __init__(
        self, inputs: int, outputs: int, condition: int, stats: int, eps: float, up: bool
    ) -> None:
        super().__init__()
        middle = inputs // 4
        self.outputs, self.up = outputs, up
        for index, channels in enumerate((inputs, middle, middle, middle)):
            setattr(self, f"bn_{index}", ConditionalNorm(channels, condition, stats, eps))
        self.conv_0 = nn.Conv2d(inputs, middle, 1)
        self.conv_1 = nn.Conv2d(middle, middle, 3, padding=1)
        self.conv_2 = nn.Conv2d(middle, middle, 3, padding=1)
        self.conv_3 = nn.Conv2d(middle, outputs, 1)

    def forward(
        self, x: Float[Tensor, "b c h w"], c: Float[Tensor, "b d"], truncation: int | float
    ) -> Float[Tensor, "b c2 h2 w2"]:
        y = self.conv_0(F.relu(self.bn_0(x, c, truncation)))
        y = self.enlarge(F.relu(self.bn_1(y, c, truncation)))
        y = self.conv_2(F.relu(self.bn_2(self.conv_1(y), c, truncation)))
        y = self.conv_3(F.relu(self.bn_3(y, c, truncation)))
        return y + self.enlarge(x[:, : self.outputs])

    def enlarge(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        return F.interpolate(x, scale_factor=2.0, mode="nearest") if self.up else x


class Attention(nn.Module):
    """Self-attention with keys and values of half the resolution, added with a learned weight."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.phi = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.g = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.o_conv = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        query = self.theta(x).flatten(2).mT
        key, value = (F.max_pool2d(m(x), 2).flatten(2).mT for m in (self.phi, self.g))
        seen = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return x + self.gamma * self.o_conv(seen.mT.unflatten(2, x.shape[2:]))


class Mapping(nn.Module):
    """z and class -> latents: one condition c for every layer that reads one."""

    def __init__(self, z_dim: int, num_classes: int, num_latents: int) -> None:
        super().__init__()
        self.z_dim, self.num_classes, self.num_latents = z_dim, num_classes, num_latents
        self.embeddings = nn.Linear(num_classes, z_dim, bias=False)

    def embed(
        self, classes: Int[Tensor, " b"] | Float[Tensor, "b classes"]
    ) -> Float[Tensor, "b z"]:
        """Class embeddings of class indices, or of weights over all classes."""
        if classes.is_floating_point():
            return self.embeddings(classes)
        if classes.min() < 0 or classes.max() >= self.num_classes:
            raise ValueError(
                f"classes must lie in 0 to {self.num_classes - 1}; got {classes.tolist()}."
            )
        return self.embeddings.weight.t()[classes]

    def forward(
        self, z: Float[Tensor, "b *layers z"], embedding: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b layers c"]:
        """Latents of one z for all layers (b, z_dim), or of one for each (b, num_latents, z_dim).

        embedding: of the class, from `embed`, or moved by an edit.
        """
        wide = z[:, None] if z.ndim == 2 else z
        if wide.shape[1:] not in ((1, self.z_dim), (self.num_latents, self.z_dim)):
            raise ValueError(
                f"z must be (batch, {self.z_dim}) or (batch, {self.num_latents}, {self.z_dim}); "
                f"got {tuple(z.shape)}."
            )
        z = wide.expand(-1, self.num_latents, -1)
        return torch.cat([z, embedding[:, None].expand(-1, self.num_latents, -1)], dim=2)


class Synthesis(nn.Module):
    """latents -> image: a linear layer to 4 x 4 px, the blocks, colour.

    Even blocks keep resolution and channels; odd ones double the resolution and may halve the
    channels. Attention stands before block `attention`, and `layers` counts it too.
    """

    def __init__(
        self,
        widths: Sequence[int],
        channel_width: int,
        condition: int,
        attention: int,
        eps: float,
        stats: int,
    ) -> None:
        super().__init__()
        self.condition, self.start = condition, widths[0] * channel_width
        self.gen_z = nn.Linear(condition, 16 * self.start)
        layers, self.shapes, side = [], {}, 4
        for index in range(2 * (len(widths) - 1)):
            up = index % 2 == 1
            inputs = channel_width * widths[index // 2]
            outputs = channel_width * widths[index // 2 + up]
            if index == attention:
                self.shapes[f"layers.{len(layers)}"] = (inputs, side, side)
                layers.append(Attention(inputs))
            side *= 2 if up else 1
            self.shapes[f"layers.{len(layers)}"] = (outputs, side, side)
            layers.append(Block(inputs, outputs, condition, stats, eps, up))
        self.layers = nn.ModuleList(layers)
        self.num_latents = 1 + 2 * (len(widths) - 1)
        self.resolution = side
        self.bn = FinalNorm(outputs, stats, eps)
        self.conv_to_rgb = nn.Conv2d(outputs, 3, 3, padding=1)

    def forward(
        self,
        latents: Float[Tensor, "b layers c"],
        truncation: int | float = 1.0,
        deltas: Tensors | None = None,
        features: bool = False,
        masks: Tensors | None = None,
    ) -> Float[Tensor, "b rgb h w"] | tuple[Float[Tensor, "b rgb h w"], dict[str, Tensor]]:
        """Image in [-1, 1].

        truncation: the scale of z, in (0, 1]; it chooses the statistics only. deltas: layer name
        (`F2` is one) -> (b, c, h, w), added after that layer, times masks[name] (b, 1, h, w) where
        given. features: also return every layer's output by name ("layers.0", ...), deltas
        included. Raises ValueError for wrong shapes, names and truncations.
        """
        deltas, masks, seen = deltas or {}, masks or {}, {}
        self.check(latents, truncation, deltas, masks)
        conditions = iter(latents.unbind(1))
        x = self.gen_z(next(conditions)).unflatten(1, (4, 4, self.start)).permute(0, 3, 1, 2)
        for index, layer in enumerate(self.layers):
            name = f"layers.{index}"
            attends = isinstance(layer, Attention)
            x = layer(x) if attends else layer(x, next(conditions), truncation)
            if name in deltas:
                x = x + (masks[name] * deltas[name] if name in masks else deltas[name])
            if features:
                seen[name] = x
        image = self.conv_to_rgb(F.relu(self.bn(x, truncation))).tanh()
        return (image, seen) if features else image

    def check(
        self, latents: Tensor, truncation: int | float, deltas: Tensors, masks: Tensors
    ) -> None:
        """Raise ValueError for what `forward` cannot use."""
        if latents.ndim != 3 or latents.shape[1:] != (self.num_latents, self.condition):
            raise ValueError(
                f"latents must be (batch, {self.num_latents}, {self.condition}); "
                f"got {tuple(latents.shape)}. Make them with `mapping`."
            )
        if not 0 < truncation <= 1:
            raise ValueError(f"truncation must be over 0 and at most 1; got {truncation}.")
        if unknown := sorted(set(deltas) - set(self.shapes)):
            raise ValueError(f"deltas must be named among {list(self.shapes)}; got {unknown}.")
        if unused := sorted(set(masks) - set(deltas)):
            raise ValueError(f"masks must be named as the deltas are; got {unused} without delta.")
        for name, delta in deltas.items():
            channels, *place = self.shapes[name]
            expected = (len(latents), channels, *place)
            if tuple(delta.shape) != expected:
                raise ValueError(f"{name}: delta must be {expected}; got {tuple(delta.shape)}.")
            expected = (len(latents), 1, *place)
            if name in masks and tuple(masks[name].shape) != expected:
                raise ValueError(
                    f"{name}: mask must be {expected}; got {tuple(masks[name].shape)}. "
                    "Resize it to the layer's resolution."
                )


class BigGAN(nn.Module, PyTorchModelHubMixin):
    """(z, class) -> latents -> image. `mapping` and `synthesis` are modules: call them as such."""

    def __init__(
        self,
        resolution: int = 256,
        z_dim: int = 128,
        channel_width: int = 128,
        num_classes: int = 1000,
        widths: Sequence[int] | None = None,
        attention: int = 8,
        eps: float = 1e-4,
        stats: int = 51,
    ) -> None:
        """Build the network with random weights.

        resolution: side of the image, 128, 256 or 512, which choose the published widths; others
        need `widths` [channel_width], from 4 px up, each equal to the one before or half of it.
        attention: index of the block before which it stands. stats: truncations with statistics.
        """
        super().__init__()
        widths = tuple(WIDTHS.get(resolution, ()) if widths is None else widths)
        steps = zip(widths[:-1], widths[1:], strict=True) if widths else ()
        falls = all(b in (a, a / 2) for a, b in steps)
        if len(widths) < 2 or resolution != 4 * 2 ** (len(widths) - 1) or not falls:
            raise ValueError(
                f"widths must hold one number a doubling from 4 px to {resolution} px, each equal "
                f"to the one before or half of it; got {widths}. Leave them out at {list(WIDTHS)}."
            )
        self.resolution, self.z_dim = resolution, z_dim
        self.synthesis = Synthesis(widths, channel_width, 2 * z_dim, attention, eps, stats)
        self.mapping = Mapping(z_dim, num_classes, self.synthesis.num_latents)

    def forward(
        self,
        z: Float[Tensor, "b z"],
        classes: Int[Tensor, " b"] | Float[Tensor, "b classes"],
        truncation: int | float = 1.0,
    ) -> Float[Tensor, "b rgb h w"]:
        """Image in [-1, 1] of each latent and class; z comes from `truncated_normal`."""
        return self.synthesis(self.mapping(z, self.mapping.embed(classes)), truncation)
