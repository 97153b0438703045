"""A judge of portraits: who it is, what can be seen, how much of it.

One thin residual network (He et al., "Deep Residual Learning", CVPR 2016) with two heads. The
identity head gives a unit vector trained with the additive angular margin of ArcFace (Deng et al.,
CVPR 2019, Eq. 3): theta_y is the angle to the true identity's centre, m the margin added to it,
s the scale of the cosines. The attribute head classifies what is one of several (glasses, hair
style) and regresses what is a quantity (age, yaw). Both read the last 4 x 4 map without averaging
over places, because portraits are aligned and a stud or a gaze is somewhere definite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class JudgeOutput:
    """What the judge says of a batch of portraits.

    embedding: unit vectors, cosine is the likeness of two people; choices: logits by name;
    values: regressions by name, in the quantity's own unit.
    """

    embedding: Float[Tensor, "b embedding"]
    choices: dict[str, Float[Tensor, "b options"]]
    values: dict[str, Float[Tensor, " b"]]


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions that halve the resolution, around an averaged shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        y = F.relu(self.bn1(self.conv1(x)))
        short = self.shortcut(F.avg_pool2d(x, 2, ceil_mode=True))
        return F.relu(self.bn2(self.conv2(y)) + short)


class PortraitJudge(nn.Module, PyTorchModelHubMixin):
    """Embedding and attributes of a portrait; 55 M multiplications at 128 x 128.

    choices: how many options each classified attribute has; values: names of the regressed ones;
    channels: of the two strided stem convolutions, then of each residual block;
    embedding: length of the identity vector; verifies: whether it tells people apart, by the
    recipe's held-out figures. Until it does, nobody should be told who is the same person.
    thresholds: cosines that one in a thousand, and one in a hundred, pairs of strangers exceed.
    """

    def __init__(
        self,
        choices: Mapping[str, int],
        values: Sequence[str],
        channels: Sequence[int] = (16, 48, 64, 128, 256),
        embedding: int = 256,
        verifies: bool = False,
        thresholds: Sequence[float] = (0.8, 0.5),
    ) -> None:
        super().__init__()
        self.verifies, self.thresholds = verifies, tuple(thresholds)
        self.choice_sizes, self.value_names = dict(choices), tuple(values)
        first, second, *rest = channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.ReLU(),
        )
        widths = [second, *rest]
        self.blocks = nn.Sequential(*map(ResidualBlock, widths[:-1], widths[1:]))
        features = 16 * channels[-1]
        self.dropout = nn.Dropout(0.1)
        self.identity = nn.Linear(features, embedding)
        self.identity_norm = nn.BatchNorm1d(embedding)
        self.attributes = nn.Linear(features, sum(self.choice_sizes.values()) + len(values))
        self.register_buffer("value_mean", torch.zeros(len(values)))
        self.register_buffer("value_sd", torch.ones(len(values)))

    @torch.no_grad()
    def set_scale(self, values: Float[Tensor, "n values"]) -> None:
        """Take the regressions' mean and standard deviation from samples in natural units."""
        self.value_mean.copy_(values.mean(dim=0))
        self.value_sd.copy_(values.std(dim=0).clamp(min=1e-4))

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> JudgeOutput:
        """Judge RGB pictures in [-1, 1]; trained at 128 x 128, larger ones are pooled."""
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(
                f"x must be RGB pictures (b, 3, h, w); got {tuple(x.shape)}. Add a batch axis?"
            )
        maps = F.adaptive_avg_pool2d(self.blocks(self.stem(x)), 4)
        features = self.dropout(maps.flatten(1))
        embedding = F.normalize(self.identity_norm(self.identity(features)).float(), dim=1)
        sizes = [*self.choice_sizes.values(), len(self.value_names)]
        *logits, scores = self.attributes(features).float().split(sizes, dim=1)
        values = scores * self.value_sd + self.value_mean
        return JudgeOutput(
            embedding,
            dict(zip(self.choice_sizes, logits, strict=True)),
            dict(zip(self.value_names, values.unbind(dim=1), strict=True)),
        )


class ArcFace(nn.Module):
    """Scaled cosines to all identities, the true one's angle enlarged by a margin (Eq. 3).

    margin: m, radians; scale: s. Smaller than the paper's 0.5 and 64, which suit deeper networks
    and millions of pictures. It has no weights and is used in training only.
    """

    def __init__(self, margin: float = 0.25, scale: float = 24.0) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale

    def forward(
        self,
        embedding: Float[Tensor, "b c"],
        centres: Float[Tensor, "identities c"],
        labels: Int[Tensor, " b"],
    ) -> Float[Tensor, "b identities"]:
        """Logits for a cross-entropy; both vectors are of unit length, labels index `centres`."""
        cosine = embedding @ centres.T
        true = cosine.gather(1, labels[:, None])
        sine = (1 - true.square()).clamp(min=1e-6).sqrt()
        shifted = true * math.cos(self.margin) - sine * math.sin(self.margin)
        # Beyond pi - m the cosine would rise again: there a line goes on falling (their code).
        beyond = true <= math.cos(math.pi - self.margin)
        shifted = torch.where(beyond, true - math.sin(self.margin) * self.margin, shifted)
        return self.scale * cosine.scatter(1, labels[:, None], shifted)
