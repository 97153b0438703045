"""IR-SE50: the residual body of ArcFace, and the face recogniser made of it.

Source: Deng et al., "ArcFace", CVPR 2019, Sec. 3.1 (improved residual units: batch normalisation,
convolution, PReLU, convolution, batch normalisation) with the squeeze-and-excitation of Hu et al.,
CVPR 2018, Eqs. 2-4. The pSp and e4e encoders start from the same body. Layer names are those of the
published PyTorch checkpoints: `input_layer`, `body`, `output_layer`.

A picture is RGB in [-1, 1]. `depths` are the units of each stage, `widths` the channels of the stem
and then of each stage; the first unit of every stage halves the picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.networks.judge import JudgeOutput

DEPTHS = (3, 4, 14, 3)
WIDTHS = (64, 64, 128, 256, 512)
REDUCTION = 16  # of the channels inside squeeze-and-excitation
ALIGNED = 256  # side at which FACE is measured [px]
FACE = (slice(35, 223), slice(32, 220))  # rows and columns of the face in an FFHQ-aligned picture


class SqueezeExcitation(nn.Module):
    """Scale every channel by a gate in (0, 1) made from the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // REDUCTION, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // REDUCTION, channels, 1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        means = x.mean(dim=(2, 3), keepdim=True)
        return x * self.fc2(F.relu(self.fc1(means))).sigmoid()


class ResidualUnit(nn.Module):
    """Improved residual unit with squeeze-and-excitation; its second convolution may stride.

    The shortcut keeps every `stride`-th pixel, and is projected where the channels change.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        if inputs == outputs:
            self.shortcut_layer = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcitation(outputs),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        return self.res_layer(x) + self.shortcut_layer(x)


def stem(in_channels: int, width: int) -> nn.Sequential:
    """The published `input_layer`: one convolution at full resolution."""
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.PReLU(width),
    )


def body(widths: Sequence[int] = WIDTHS, depths: Sequence[int] = DEPTHS) -> nn.Sequential:
    """The published `body`: the residual units of all stages in one sequence."""
    if len(widths) != len(depths) + 1:
        raise ValueError(
            f"widths must be the stem's and one per stage, {len(depths) + 1} numbers for these "
            f"depths; got {len(widths)}. Add or remove a width."
        )
    units: list[nn.Module] = []
    for inputs, outputs, depth in zip(widths[:-1], widths[1:], depths, strict=True):
        units.append(ResidualUnit(inputs, outputs, stride=2))
        units += [ResidualUnit(outputs, outputs, stride=1) for _ in range(depth - 1)]
    return nn.Sequential(*units)


class FaceRecogniser(nn.Module, PyTorchModelHubMixin):
    """ArcFace embedding of a face: unit vectors whose dot product is the likeness of two people.

    widths, depths: of the body. embedding: length of the vector. resolution: side of the cropped
    face [px], a multiple of 16. affine: whether the last normalisation has weights (the published
    IR-SE50 does). dropout: share of features dropped in training.
    """

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        depths: Sequence[int] = DEPTHS,
        embedding: int = 512,
        resolution: int = 112,
        affine: bool = True,
        dropout: float = 0.4,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.input_layer = stem(3, widths[0])
        self.body = body(widths, depths)
        cells = (resolution // 2 ** len(depths)) ** 2
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(widths[-1]),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(widths[-1] * cells, embedding),
            nn.BatchNorm1d(embedding, affine=affine),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b embedding"]:
        """Embed cropped faces, RGB in [-1, 1], of side `resolution`; see `crop_face`."""
        if x.ndim != 4 or x.shape[1:] != (3, self.resolution, self.resolution):
            side = self.resolution
            raise ValueError(
                f"x must be cropped faces (b, 3, {side}, {side}); got {tuple(x.shape)}. "
                "Cut them out with crop_face."
            )
        features = self.output_layer(self.body(self.input_layer(x)))
        return F.normalize(features.float(), dim=1)


def crop_face(
    x: Float[Tensor, "b c h w"], resolution: int = 112
) -> Float[Tensor, "b c resolution resolution"]:
    """The face in an FFHQ-aligned picture, as the identity loss of pSp cuts it (their code).

    Richardson et al., "Encoding in Style", CVPR 2021, Eq. 4: the picture is averaged to 256 x 256,
    rows 35..222 and columns 32..219 are kept, and those are averaged to `resolution`.
    """
    aligned = F.adaptive_avg_pool2d(x, ALIGNED)
    return F.adaptive_avg_pool2d(aligned[:, :, FACE[0], FACE[1]], resolution)


class FaceJudge(nn.Module):
    """A recogniser in the place of `judge.PortraitJudge`: who is in an FFHQ-aligned picture.

    It was published as a verifier of people, so `verifies` holds; it knows no attributes.
    """

    verifies = True

    def __init__(self, recogniser: FaceRecogniser) -> None:
        super().__init__()
        self.recogniser = recogniser

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> JudgeOutput:
        """Embeddings of the faces in aligned pictures, RGB in [-1, 1], of any size."""
        faces = crop_face(x, self.recogniser.resolution)
        return JudgeOutput(self.recogniser(faces), {}, {})


def identity_loss(
    ours: Float[Tensor, "b embedding"], target: Float[Tensor, "b embedding"]
) -> Float[Tensor, " b"]:
    """1 - cosine of two embeddings, in [0, 2] (pSp, Eq. 4)."""
    return 1 - torch.linalg.vecdot(ours, target)
