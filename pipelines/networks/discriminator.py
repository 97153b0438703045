"""The StyleGAN2 discriminator: residual blocks, minibatch standard deviation, one score.

Beside it a discriminator of a trained network's features, which learns in minutes what textures
are drawn and what rendered.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), Fig. 7 and
Appendix B (config F); minibatch standard deviation from Karras et al., "Progressive Growing of
GANs" (2018), Sec. 3. Parameters and buffers carry the names of the published PyTorch state dict
(`b128.fromrgb.weight`, `b4.conv.weight`, `b4.out.weight`). Every operation can be differentiated
twice, as the R1 penalty needs.

Symbols: x features; y the residual skip; G the size of the groups whose deviation is measured.
"""

from __future__ import annotations

import math

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.networks.layers import EqualisedConvolution, EqualisedLinear, low_pass
from pipelines.networks.stylegan2 import level_channels


def minibatch_deviation(
    x: Float[Tensor, "b c h w"], group_size: int = 4, features: int = 1
) -> Float[Tensor, "b c2 h w"]:
    """Append the standard deviation over groups of pictures, averaged over channels and pixels.

    Raises ValueError unless the batch divides into groups of min(group_size, batch).
    """
    batch, channels, height, width = x.shape
    group = min(group_size, batch)
    if batch % group:
        raise ValueError(f"batch must be a multiple of {group}; got {batch}. Drop the remainder.")
    y = x.float().reshape(group, -1, features, channels // features, height, width)
    deviation = ((y - y.mean(dim=0)).square().mean(dim=0) + 1e-8).sqrt()
    statistic = deviation.mean(dim=(2, 3, 4)).repeat(group, 1)[:, :, None, None]
    return torch.cat([x, statistic.to(x.dtype).expand(-1, -1, height, width)], dim=1)


class DiscriminatorBlock(nn.Module):
    """Residual block that halves the resolution; the first one also reads colour."""

    def __init__(self, channels: int, out_channels: int, img_channels: int | None) -> None:
        super().__init__()
        self.fromrgb = EqualisedConvolution(img_channels, channels, 1) if img_channels else None
        self.conv0 = EqualisedConvolution(channels, channels, 3)
        self.conv1 = EqualisedConvolution(channels, out_channels, 3, down=True)
        self.skip = EqualisedConvolution(channels, out_channels, 1, down=True, bias=False)
        self.register_buffer("resample_filter", low_pass())

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """Features at half the resolution, from the image in the first block."""
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        y = self.skip(x, gain=math.sqrt(0.5))
        return y + self.conv1(self.conv0(x), gain=math.sqrt(0.5))


class Epilogue(nn.Module):
    """Last block, at 4 px: minibatch deviation, a convolution, two fully connected layers."""

    def __init__(self, channels: int, group_size: int, features: int) -> None:
        super().__init__()
        self.group_size, self.features = group_size, features
        self.conv = EqualisedConvolution(channels + features, channels, 3)
        self.fc = EqualisedLinear(channels * 16, channels, activation=True)
        self.out = EqualisedLinear(channels, 1)

    def forward(self, x: Float[Tensor, "b c 4 4"]) -> Float[Tensor, "b 1"]:
        """Score of each picture."""
        if self.features:
            x = minibatch_deviation(x, self.group_size, self.features)
        return self.out(self.fc(self.conv(x).flatten(1)))


class Discriminator(nn.Module, PyTorchModelHubMixin):
    """Image -> score, higher for pictures that look real."""

    def __init__(
        self,
        resolution: int = 128,
        channels: dict | None = None,
        channel_multiplier: int | float = 2,
        num_channels: int = 3,
        group_size: int = 4,
        deviation_channels: int = 1,
    ) -> None:
        """Build the network with random weights.

        resolution: side of the image in pixels, a power of two from 8 to 1024. channels:
        resolution -> channels from 4 px up; config F by default. num_channels: of the image.
        group_size, deviation_channels: of the minibatch deviation; 0 channels switch it off.
        """
        super().__init__()
        levels = level_channels(resolution, channels, channel_multiplier)
        self.resolution, self.num_channels = resolution, num_channels
        self.resolutions = tuple(level for level in reversed(levels) if level > 4)
        for level in self.resolutions:
            colours = num_channels if level == resolution else None
            block = DiscriminatorBlock(levels[level], levels[level // 2], colours)
            setattr(self, f"b{level}", block)
        self.b4 = Epilogue(levels[4], group_size, deviation_channels)

    def forward(
        self, image: Float[Tensor, "b c h w"], features: bool = False
    ) -> Float[Tensor, "b 1"] | tuple[Float[Tensor, "b 1"], dict[str, Tensor]]:
        """Score (b, 1) of images in [-1, 1].

        features: also return the output of each block by name ("b128", ..., "b8"), for feature
        matching. Raises ValueError unless image is (b, num_channels, resolution, resolution).
        """
        expected = (self.num_channels, self.resolution, self.resolution)
        if image.ndim != 4 or tuple(image.shape[1:]) != expected:
            raise ValueError(
                f"image must be (batch, {', '.join(map(str, expected))}); got "
                f"{tuple(image.shape)}. Resize it to the resolution of the discriminator."
            )
        x, seen = image, {}
        for level in self.resolutions:
            x = getattr(self, f"b{level}")(x)
            seen[f"b{level}"] = x
        score = self.b4(x).float()
        return (score, seen) if features else score


class FeatureDiscriminator(nn.Module, PyTorchModelHubMixin):
    """Features of a frozen trunk -> a score for every place of every stage.

    One small head a stage (Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021, Eq. 4,
    here without their random mixing of channels and scales). What the trunk knows of textures need
    not be learned from scores.

    channels: of the stages' features, finest first; those beyond them are left out. A head is half
    as wide, and its score sees five places of its stage across.
    """

    def __init__(self, channels: tuple[int, ...] = (64, 128, 256, 384)) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(wide, wide // 2, 3, padding=1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(wide // 2, wide // 2, 3, padding=1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(wide // 2, 1, 1),
            )
            for wide in channels
        )

    def forward(self, stages: tuple[Tensor, ...]) -> tuple[Float[Tensor, "b 1 h w"], ...]:
        """Scores, float32, of the stages' features, each of unit length at every place.

        Raises ValueError where there are fewer stages than heads.
        """
        if len(stages) < len(self.heads):
            raise ValueError(
                f"stages must be {len(self.heads)} tensors or more; got {len(stages)}. Give what "
                "PerceptualDistance.stages returns."
            )
        # Numbers of unit variance, as the heads' initial weights expect.
        pairs = zip(self.heads, stages, strict=False)
        return tuple(head(stage * stage.shape[1] ** 0.5).float() for head, stage in pairs)
