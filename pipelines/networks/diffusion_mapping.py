"""From a diffusion model's features to codes of W+: mapping network M and AbSMNet T.

Source: Kim et al., "Diffusion-driven GAN Inversion for Multi-Modal Face Image Generation", CVPR
2024: M of Sec. 3.2 (Eq. 2); the attention-based style modulation network T of Sec. 3.3 (Fig. 4,
Eq. 3); the modulation of Eq. 4. Both end in a map2style block of pSp (Richardson et al., CVPR 2021,
Fig. 2): stride-2 convolutions down to one pixel, then a fully connected layer.

Symbols: h, f^n, a^n: `DiffusionFeatures`; F^n, A^n: the same at one size; F-hat^n = F^n A^n, the
refined features; F-bar, A-bar: their averages, one channel; w^m, w^gamma, w^beta: codes (L, 512).

Choices where the text leaves one open, besides those of the encoder:
- one map2style block gives the codes of all L layers, its fully connected layer being L times as
  wide: a block a layer would be larger than the U-Net at this size;
- w^m is w-bar plus what M gives, and w^gamma is one plus what T gives: both start as the identity;
- F and A are normalised a picture before F is refined, as their scale changes with t: F to mean 0
  and deviation 1, A to mean 1 and deviation 1/2, as a factor of mean 0 would wipe out what a whole
  map has in common, such as its colour;
- F-bar averages the depth-wise averages of the blocks, whose numbers of channels differ;
- beside the convolutions of w^beta lies a linear map of the refined features (`Line`), where one is
  asked for: least squares find it in seconds, and its rank of 64 says what convolutions of 64
  channels had to find by small steps;
- alpha is the logistic function of a learnt line in t: it is "learnable" and carries an index t.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
STEPS = 1000  # of the diffusion process
SWING = 0.5  # deviation of A from one
PLACES = 4  # a side, to which features are averaged before a linear map reads them
QUIET = 0.1  # gain of the last layer at the start: codes near w-bar are pictures


class Map2Style(nn.Module):
    """Codes of all layers from a square map: stride-2 convolutions to one pixel, then linear.

    channels: of the map; side: its side, a power of two; width: channels within; layers, dim: of
    the codes.
    """

    def __init__(self, channels: int, side: int, width: int, layers: int, dim: int) -> None:
        super().__init__()
        if side < 2 or side & (side - 1):
            raise ValueError(f"side must be a power of two from 2; got {side}. Resize the map.")
        steps: list[nn.Module] = [nn.Conv2d(channels, width, 1), nn.LeakyReLU(SLOPE)]
        for _ in range(side.bit_length() - 1):
            steps += [nn.Conv2d(width, width, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        self.convs = nn.Sequential(*steps)
        self.linear = nn.Linear(width, layers * dim)
        self.layers, self.dim = layers, dim
        with torch.no_grad():
            self.linear.weight.mul_(QUIET)
            self.linear.bias.zero_()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b layers dim"]:
        return self.linear(self.convs(x).flatten(1)).unflatten(1, (self.layers, self.dim))


class MappingNetwork(nn.Module, PyTorchModelHubMixin):
    """M of Eq. 2: w^m = w-bar + map2style(h).

    channels, side: of h; layers: style layers of the generator, any number of them.
    """

    def __init__(
        self, channels: int, side: int, layers: int = 12, dim: int = 512, width: int = 256
    ) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.map2style = Map2Style(channels, side, width, layers, dim)
        self.register_buffer("w_mean", torch.zeros(dim))

    def forward(self, h: Float[Tensor, "b c h w"]) -> Float[Tensor, "b layers dim"]:
        """w^m of the middle block's features."""
        return self.w_mean + self.map2style(self.norm(h))


class Line(nn.Module):
    """A linear map of low rank from a map, averaged over PLACES x PLACES, to codes of all layers.

    It is silent until it is solved or trained.
    """

    def __init__(self, channels: int, rank: int, layers: int, dim: int) -> None:
        super().__init__()
        self.inward = nn.Linear(channels * PLACES**2, rank)
        self.outward = nn.Linear(rank, layers * dim)
        self.layers, self.dim = layers, dim
        nn.init.zeros_(self.outward.weight)
        nn.init.zeros_(self.outward.bias)

    @property
    def silent(self) -> bool:
        """Whether it says nothing, as it was made."""
        return not self.outward.weight.any().item()

    def pooled(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n"]:
        """What is read of a map."""
        return F.adaptive_avg_pool2d(x, PLACES).flatten(1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b layers dim"]:
        codes = self.outward(self.inward(self.pooled(x)))
        return codes.unflatten(1, (self.layers, self.dim))


class ModulationMaps(nn.Module):
    """A scale or shift network of Fig. 4: local and global maps, mixed by alpha (Eq. 3).

    channels: of the concatenated refined features; width: of the maps.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.local = _convolutions(channels, width)
        self.whole = _convolutions(1, width)
        self.line = nn.Parameter(torch.zeros(2))  # alpha_t = sigmoid(line[0] + line[1] t / T)

    def alpha(self, t: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
        """The share of the local maps at steps t."""
        return torch.sigmoid(self.line[0] + self.line[1] * t / STEPS)

    def forward(
        self,
        refined: Float[Tensor, "b c h w"],
        averaged: Float[Tensor, "b 1 h w"],
        t: Float[Tensor, "b"],
    ) -> Float[Tensor, "b width h w"]:
        alpha = self.alpha(t)[:, None, None, None]
        return alpha * self.local(refined) + (1 - alpha) * self.whole(averaged)


class StyleModulation(nn.Module, PyTorchModelHubMixin):
    """T, the attention-based style modulation network: w^gamma and w^beta of refined features.

    channels: of f^n, one a decoder block; side: to which all are upsampled, that of the latents;
    attentive: whether A and A-bar refine the features (False: row (b) of Table 2); line: rank of
    the linear map beside the convolutions, 0 for none.
    """

    def __init__(
        self,
        channels: Sequence[int],
        side: int,
        layers: int = 12,
        dim: int = 512,
        width: int = 128,
        attentive: bool = True,
        line: int = 0,
    ) -> None:
        super().__init__()
        self.side, self.attentive = side, attentive
        self.scale = ModulationMaps(sum(channels), width)
        self.shift = ModulationMaps(sum(channels), width)
        self.to_gamma = Map2Style(width, side, width, layers, dim)
        self.to_beta = Map2Style(width, side, width, layers, dim)
        self.line = Line(sum(channels), line, layers, dim) if line else None

    def refine(
        self,
        f: Sequence[Tensor],
        a: Sequence[Tensor],
        words: Sequence[Tensor],
        spoken: Bool[Tensor, "b tokens"],
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
        """F-hat, the refined average, and A-bar.

        f, a, words: as `DiffusionFeatures` has them; spoken: which tokens are words of the prompt.
        """
        features = [_normalised(self._resized(x)) for x in f]
        average = torch.stack([x.mean(1, keepdim=True) for x in features]).mean(0)
        bar = torch.stack([_over_words(self._resized(x), spoken) for x in words]).mean(0)
        if not self.attentive:
            return torch.cat(features, 1), average, bar
        attended = [1 + SWING * _normalised(self._resized(x)) for x in a]
        refined = [x * y for x, y in zip(features, attended, strict=True)]
        peak = bar.amax((2, 3), keepdim=True).clamp(min=1e-6)
        return torch.cat(refined, 1), average * bar / peak, bar

    def forward(
        self,
        f: Sequence[Tensor],
        a: Sequence[Tensor],
        words: Sequence[Tensor],
        spoken: Bool[Tensor, "b tokens"],
        t: Float[Tensor, "b"],
    ) -> tuple[Float[Tensor, "b layers dim"], Float[Tensor, "b layers dim"]]:
        """w^gamma and w^beta at steps t."""
        refined, averaged, _ = self.refine(f, a, words, spoken)
        gamma = 1 + self.to_gamma(self.scale(refined, averaged, t))
        beta = self.to_beta(self.shift(refined, averaged, t))
        return gamma, beta if self.line is None else beta + self.line(refined)

    def _resized(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c side side"]:
        if x.shape[-1] == self.side:
            return x
        return F.interpolate(x, size=(self.side, self.side), mode="bilinear", align_corners=False)


def modulate(
    w: Float[Tensor, "b layers dim"],
    gamma: Float[Tensor, "b layers dim"],
    beta: Float[Tensor, "b layers dim"],
) -> Float[Tensor, "b layers dim"]:
    """Eq. 4: w = w^m * w^gamma + w^beta."""
    return w * gamma + beta


def _convolutions(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(SLOPE),
        nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(SLOPE),
    )  # fmt: skip


def _normalised(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Mean 0 and variance 1 over each picture."""
    return F.group_norm(x, 1)


def _over_words(
    words: Float[Tensor, "b tokens h w"], spoken: Bool[Tensor, "b tokens"]
) -> Float[Tensor, "b 1 h w"]:
    """The average map of the prompt's words; 0 where there is none."""
    share = spoken / spoken.sum(1, keepdim=True).clamp(min=1)
    return (words * share[:, :, None, None]).sum(1, keepdim=True)
