"""A face parser: the class of each pixel of a portrait.

A small U-Net (Ronneberger et al., MICCAI 2015) with added instead of concatenated skips, over the
19 classes of the BiSeNet face parser (background, skin, brows, eyes, ..., hat). Pixels enter and
leave as 2 x 2 blocks of channels (Shi et al., CVPR 2016), so that what is one pixel wide, such as
the frames of glasses, survives without feature maps at full resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Up(nn.Module):
    """Project, double the resolution, add the skip, refine."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(inputs, outputs, 1)
        self.refine = convolution(outputs, outputs)

    def forward(
        self, x: Float[Tensor, "b c h w"], skip: Float[Tensor, "b d h2 w2"]
    ) -> Float[Tensor, "b d h2 w2"]:
        raised = F.interpolate(self.project(x), size=skip.shape[-2:], mode="nearest")
        return self.refine(raised + skip)


class FaceParser(nn.Module, PyTorchModelHubMixin):
    """Logits of the classes at every pixel; 1.2 M weights, under 300 M multiplications at 128.

    classes: how many; channels: at half, quarter, eighth, ... resolution.
    """

    def __init__(self, classes: int = 19, channels: Sequence[int] = (40, 56, 112, 224)) -> None:
        super().__init__()
        self.stem = convolution(12, channels[0])
        steps = list(zip(channels[:-1], channels[1:], strict=True))
        self.down = nn.ModuleList(
            nn.Sequential(convolution(fine, coarse, stride=2), convolution(coarse, coarse))
            for fine, coarse in steps
        )
        self.up = nn.ModuleList(Up(coarse, fine) for fine, coarse in reversed(steps))
        self.classify = nn.Conv2d(channels[0], 4 * classes, 1)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes h w"]:
        """Logits for RGB pictures in [-1, 1]; height and width even, from 16 on."""
        height, width = x.shape[-2:]
        if x.ndim != 4 or x.shape[1] != 3 or min(height, width) < 16 or height % 2 or width % 2:
            raise ValueError(
                "x must be RGB pictures (b, 3, h, w) of even size, 16 pixels or more; "
                f"got {tuple(x.shape)}. Resize to 128 x 128."
            )
        skips = [self.stem(F.pixel_unshuffle(x, 2))]
        for stage in self.down:
            skips.append(stage(skips[-1]))
        y = skips.pop()
        for stage in self.up:
            y = stage(y, skips.pop())
        return F.pixel_shuffle(self.classify(y), 2).float()

    def parse(self, x: Float[Tensor, "b 3 h w"]) -> Int[Tensor, "b h w"]:
        """The most likely class of each pixel."""
        return self(x).argmax(dim=1)
