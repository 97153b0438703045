"""The invertibility network of SAM inversion: where each latent space can reproduce a photograph.

Source: Parmar et al., "Spatially-Adaptive Multilayer Selection for GAN Inversion and Editing"
(CVPR 2022), Sec. 3.2. SAM is no abbreviation of Segment Anything. A DeepLabv3+ (Chen et al., ECCV
2018, Sec. 3) with a dilated ResNet-101 gives 8 features a pixel; a head a latent turns them into
the LPIPS error that inversion in this latent alone would leave there. Layer names inside `base` are
those of the published DeepLab.

Latents in the paper's order: W+, then F4, F6, F8, F10, the features at 16, 32, 64 and 128 px.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

LATENTS = ("W+", "F4", "F6", "F8", "F10")
FEATURES = 8  # channels between the base and its heads
RATES = (6, 12, 18)  # dilations of atrous pyramid pooling at output stride 16
GRID = (2, 4, 8)  # dilations of the last stage: multi-grid (1, 2, 4) at rate 2


class Bottleneck(nn.Module):
    """ResNet's block of 1 x 1, 3 x 3 and 1 x 1 convolutions; the middle one strides or dilates."""

    def __init__(self, inputs: int, middle: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        outputs = 4 * middle
        self.conv1 = nn.Conv2d(inputs, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class DilatedResNet(nn.Module):
    """ResNet whose last stage dilates instead of striding: 1/16 of the resolution, not 1/32."""

    def __init__(self, width: int, depths: Sequence[int]) -> None:
        super().__init__()
        first, second, third = depths
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, stride=1, dilations=[1] * first)
        self.layer2 = _stage(4 * width, 2 * width, stride=2, dilations=[1] * second)
        self.layer3 = _stage(8 * width, 4 * width, stride=2, dilations=[1] * third)
        self.layer4 = _stage(16 * width, 8 * width, stride=1, dilations=GRID)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor]:
        """Deep features at 1/16 and shallow ones at 1/4 of the resolution."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        shallow = self.layer1(x)
        return self.layer4(self.layer3(self.layer2(shallow))), shallow


class AtrousConvolution(nn.Module):
    """One branch of atrous pyramid pooling: 1 x 1 at rate 1, dilated 3 x 3 otherwise."""

    def __init__(self, inputs: int, outputs: int, rate: int) -> None:
        super().__init__()
        kernel, padding = (1, 0) if rate == 1 else (3, rate)
        self.atrous_conv = nn.Conv2d(
            inputs, outputs, kernel, padding=padding, dilation=rate, bias=False
        )
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return F.relu(self.bn(self.atrous_conv(x)))


class AtrousPyramidPooling(nn.Module):
    """Four rates of context and the global mean, concatenated and mixed."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.aspp1 = AtrousConvolution(inputs, outputs, 1)
        self.aspp2, self.aspp3, self.aspp4 = (
            AtrousConvolution(inputs, outputs, rate) for rate in RATES
        )
        self.global_avg_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )
        self.conv1 = nn.Conv2d(5 * outputs, outputs, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        branches = [self.aspp1(x), self.aspp2(x), self.aspp3(x), self.aspp4(x)]
        branches.append(self.global_avg_pool(x).expand_as(branches[0]))
        return self.dropout(F.relu(self.bn1(self.conv1(torch.cat(branches, dim=1)))))


class Decoder(nn.Module):
    """Deep features raised to the shallow ones, concatenated with them and refined."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        shallow, deep = width * 3 // 4, 4 * width
        self.conv1 = nn.Conv2d(4 * width, shallow, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(shallow)
        self.last_conv = nn.Sequential(
            nn.Conv2d(deep + shallow, deep, 3, padding=1, bias=False),
            nn.BatchNorm2d(deep),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(deep, deep, 3, padding=1, bias=False),
            nn.BatchNorm2d(deep),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(deep, outputs, 1),
        )

    def forward(
        self, deep: Float[Tensor, "b c h w"], shallow: Float[Tensor, "b c h2 w2"]
    ) -> Float[Tensor, "b outputs h2 w2"]:
        shallow = F.relu(self.bn1(self.conv1(shallow)))
        return self.last_conv(torch.cat([_stretch(deep, shallow), shallow], dim=1))


class DeepLab(nn.Module):
    """DeepLabv3+ with `outputs` channels at the resolution of the picture."""

    def __init__(self, width: int, depths: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.backbone = DilatedResNet(width, depths)
        self.aspp = AtrousPyramidPooling(32 * width, 4 * width)
        self.decoder = Decoder(width, outputs)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b outputs h w"]:
        deep, shallow = self.backbone(x)
        return _stretch(self.decoder(self.aspp(deep), shallow), x)


class InvertibilityNet(nn.Module, PyTorchModelHubMixin):
    """Predicted LPIPS error of every latent at every pixel, from the photograph alone.

    latents: names in the order of selection. width: channels of ResNet's stem (64 as published);
    depths: blocks of its first three stages (ResNet-101's), the fourth has one a dilation of GRID.
    """

    def __init__(
        self,
        latents: Sequence[str] = LATENTS,
        width: int = 64,
        depths: Sequence[int] = (3, 4, 23),
    ) -> None:
        super().__init__()
        self.base = DeepLab(width, depths, FEATURES)
        self.heads = nn.ModuleDict({name: _head() for name in latents})

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b 1 h w"]]:
        """Errors (0 and up, by latent) of RGB pictures in [-1, 1]; trained with sides of 256 px.

        The published code gives it [-1, 1] although its ResNet started from ImageNet's statistics.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(
                f"x must be RGB pictures (b, 3, h, w); got {tuple(x.shape)}. Add a batch axis?"
            )
        features = self.base(x)
        return {name: head(features).float() for name, head in self.heads.items()}


def _head() -> nn.Sequential:
    """The published head; its convolutions are transposed ones, so weights are (in, out, 3, 3)."""
    return nn.Sequential(
        nn.ConvTranspose2d(FEATURES, FEATURES // 2, 3, padding=1),
        nn.BatchNorm2d(FEATURES // 2),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(FEATURES // 2, 1, 1),
        nn.ReLU(),
    )


def _stage(inputs: int, middle: int, stride: int, dilations: Sequence[int]) -> nn.Sequential:
    """Bottlenecks with 4 * middle channels; the first may stride."""
    first, *rest = dilations
    blocks = [Bottleneck(inputs, middle, stride, first)]
    blocks += [Bottleneck(4 * middle, middle, dilation=dilation) for dilation in rest]
    return nn.Sequential(*blocks)


def _stretch(x: Float[Tensor, "b c h w"], to: Float[Tensor, "b d h2 w2"]) -> Tensor:
    """Bilinear resizing to the size of another map, corner to corner."""
    return F.interpolate(x, size=to.shape[-2:], mode="bilinear", align_corners=True)
