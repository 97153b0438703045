"""BiSeNet: the face parser whose 19 classes the photo domains use.

Source: Yu et al., "BiSeNet: Bilateral Segmentation Network", ECCV 2018, Sec. 3, as the published
face parser builds it: the context path is a ResNet-18 (He et al., CVPR 2016), and its features at
1/8 of the resolution stand in for the spatial path. Layer names are those of the published
checkpoint: `cp` context path, `arm` attention refinement, `ffm` feature fusion.

`forward` is the published network; `parse` does what a pipeline needs around it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 512  # of the pictures it was trained on [px]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet, RGB in [0, 1]
# Two other orders of the same classes exist; `mouth` is the inside of the mouth.
CLASSES = (
    "bg", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "l_ear", "r_ear", "ear_r", "nose",
    "mouth", "u_lip", "l_lip", "neck", "neck_l", "cloth", "hair", "hat",
)  # fmt: skip


class FaceLogits(NamedTuple):
    """Logits of the classes at every pixel; the last two heads are for training only.

    out: from the fused features; out16, out32: from the context path at 1/8 and 1/16.
    """

    out: Float[Tensor, "b classes h w"]
    out16: Float[Tensor, "b classes h w"]
    out32: Float[Tensor, "b classes h w"]


class Convolution(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return F.relu(self.bn(self.conv(x)))


class BasicBlock(nn.Module):
    """ResNet's block of two 3 x 3 convolutions; the first may stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet18(nn.Module):
    """Features at 1/8, 1/16 and 1/32 of the resolution, with 2, 4 and 8 times `width` channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor, Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        at8 = self.layer2(self.layer1(x))
        at16 = self.layer3(at8)
        return at8, at16, self.layer4(at16)


class AttentionRefinement(nn.Module):
    """Features scaled by a gate in (0, 1) a channel, made from their means (Fig. 2 b)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = Convolution(inputs, outputs)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        x = self.conv(x)
        means = x.mean(dim=(2, 3), keepdim=True)
        return x * self.bn_atten(self.conv_atten(means)).sigmoid()


class ContextPath(nn.Module):
    """ResNet-18 whose deep features are refined, raised and added, with their global mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resnet = ResNet18(width)
        self.arm16 = AttentionRefinement(4 * width, 2 * width)
        self.arm32 = AttentionRefinement(8 * width, 2 * width)
        self.conv_head32 = Convolution(2 * width, 2 * width)
        self.conv_head16 = Convolution(2 * width, 2 * width)
        self.conv_avg = Convolution(8 * width, 2 * width, 1)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """ResNet features at 1/8, and context at 1/8 and 1/16."""
        at8, at16, at32 = self.resnet(x)
        mean = self.conv_avg(at32.mean(dim=(2, 3), keepdim=True))
        context16 = F.interpolate(self.arm32(at32) + mean, size=at16.shape[-2:])
        context16 = self.conv_head32(context16)
        context8 = F.interpolate(self.arm16(at16) + context16, size=at8.shape[-2:])
        return at8, self.conv_head16(context8), context16


class FeatureFusion(nn.Module):
    """Both paths concatenated and mixed, plus the mixture gated by its own means (Fig. 2 c)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convblk = Convolution(channels, channels, 1)
        self.conv1 = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1, bias=False)

    def forward(
        self, spatial: Float[Tensor, "b c h w"], context: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b d h w"]:
        x = self.convblk(torch.cat([spatial, context], dim=1))
        gate = self.conv2(F.relu(self.conv1(x.mean(dim=(2, 3), keepdim=True)))).sigmoid()
        return x * gate + x


class Head(nn.Module):
    """Logits at the resolution of the features."""

    def __init__(self, inputs: int, middle: int, classes: int) -> None:
        super().__init__()
        self.conv = Convolution(inputs, middle)
        self.conv_out = nn.Conv2d(middle, classes, 1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes h w"]:
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module, PyTorchModelHubMixin):
    """The published face parser, 13.3 M weights.

    classes: how many, named by CLASSES if 19. width: channels of ResNet-18's first stage; all
    others are multiples of it.
    """

    def __init__(self, classes: int = len(CLASSES), width: int = 64) -> None:
        super().__init__()
        self.cp = ContextPath(width)
        self.ffm = FeatureFusion(4 * width)
        self.conv_out = Head(4 * width, 4 * width, classes)
        self.conv_out16 = Head(2 * width, width, classes)
        self.conv_out32 = Head(2 * width, width, classes)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> FaceLogits:
        """Logits of all three heads for ImageNet-normalised RGB; 512 x 512 as trained."""
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(
                f"x must be normalised RGB pictures (b, 3, h, w); got {tuple(x.shape)}. "
                "Add a batch axis, or call parse for pictures in [-1, 1]."
            )
        spatial, context8, context16 = self.cp(x)
        logits = (
            self.conv_out(self.ffm(spatial, context8)),
            self.conv_out16(context8),
            self.conv_out32(context16),
        )
        size = x.shape[-2:]
        return FaceLogits(
            *(F.interpolate(y.float(), size, mode="bilinear", align_corners=True) for y in logits)
        )

    def parse(self, x: Float[Tensor, "b 3 h w"], side: int = SIDE) -> Int[Tensor, "b h w"]:
        """The most likely class of each pixel of RGB pictures in [-1, 1], any size.

        side: the pictures are resized to side x side for the network; 512 as trained.
        """
        resized = F.interpolate(
            x, (side, side), mode="bilinear", align_corners=False, antialias=True
        )
        mean, std = (x.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        classes = self(((resized + 1) / 2 - mean) / std).out.argmax(dim=1)
        if classes.shape[-2:] == x.shape[-2:]:
            return classes
        # Class numbers cannot be averaged: the nearest one stands for each pixel.
        nearest = F.interpolate(classes[:, None].float(), x.shape[-2:], mode="nearest-exact")
        return nearest[:, 0].long()


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Two basic blocks of ResNet-18; the first may stride."""
    return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1))
