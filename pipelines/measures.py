"""How good a result is: for all papers, benchmarks and pages alike.

Of two pictures: how near in pixels (PSNR, or the blur that is as far), in perceptual features
(LPIPS), as the same person (identity). Of one: whether it is inside a domain. Of two sets: the
Frechet distance (Heusel et al., NeurIPS 2017, Eq. 6) and the kernel distance (Binkowski et al.,
ICLR 2018, Eq. 4) of pooled features of the perceptual network; their scale is not that of
Inception features; and CMMD (Jayasumana et al., CVPR 2024) of joint embeddings. Of a picture beside
a condition: how many of its edges are a sketch's.

Conventions: tensors hold RGB in [-1, 1], (batch, 3, height, width). Symbols: mu, C: mean and
covariance of a set's features; k(x, y) = (x.y / d + 1)^3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn import functional as F

from examples.clay.parameters import CHOICES
from pipelines.images import as_images, as_tensor
from pipelines.networks.irse import FaceJudge
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.runtime import Placed, stage

WIDEST = 0.125  # blur that `equal_blur` looks up to
WORDS = {"faithful": 0.01, "close": 0.025}  # up to this blur, a fraction of the side; else "loose"
INSIDE = 0.99  # of validation pictures
SCALES, WINDOW = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), 11  # of MS-SSIM


@dataclass(frozen=True)
class Measures:
    """How alike two pictures are: all numbers of a result beside the picture it is to be.

    psnr [dB], infinite for equal pictures; lpips, 0 or more; identity, a cosine in [-1, 1], None
    without a judge, and while the judge cannot tell people apart. inside: whether the picture is
    inside the domain, None where nothing says so.
    """

    psnr: float
    lpips: float
    identity: float | None
    inside: bool | None = None


@dataclass(frozen=True)
class Fidelity:
    """How faithful a result is, in words, and whether its picture is inside the domain.

    blur: of the picture, as far from it as the result is (`equal_blur`). inside: as in `Measures`.
    """

    blur: float
    words: str
    inside: bool | None


class Result(Protocol):
    """What a paper makes of a picture: its own picture, and how alike the two are."""

    image: Image.Image
    measures: Measures | None


class Measured(Placed):
    """A pipeline that says how good its results are, by its perceptual network and its judge.

    size: of its pictures [px]; calibration: ascending LPIPS distances of pictures of the domain
    from what its encoder makes of them.
    """

    size: int
    perceptual: PerceptualDistance
    judge: PortraitJudge | FaceJudge | None
    calibration: Float[Tensor, " n"] | None = None

    @stage
    def measure(self, a: Image.Image, b: Image.Image) -> Measures:
        """How alike two pictures are: in pixels, in perceptual features, as the same person."""
        return self.compare(*(as_tensor(p, self.size).to(self.device) for p in (a, b)))[0]

    @stage
    def measure_within(
        self, a: Image.Image, b: Image.Image, box: tuple[float, float, float, float]
    ) -> tuple[Measures, Measures]:
        """`measure` of what lies in a box, enlarged to the whole, and of the whole.

        box: left, top, right, bottom as fractions.
        """
        size = a.size
        part = [round(v * side) for v, side in zip(box, size * 2, strict=True)]
        pairs = [(p.resize(size).crop(part).resize(size), p) for p in (a, b)]
        sides = (torch.cat([as_tensor(p, self.size) for p in pair]) for pair in pairs)
        within, whole = self.compare(*(x.to(self.device) for x in sides))
        return within, whole

    def compare(
        self,
        x: Float[Tensor, "b 3 h w"],
        y: Float[Tensor, "b 3 h w"],
        encoded: Float[Tensor, "b 3 h w"] | None = None,
    ) -> list[Measures]:
        """`measure` of pictures on the device, those of y clipped.

        encoded: what the domain's encoder makes of x, where it is known; it says what is inside.
        """
        y = y.clamp(-1, 1)
        known = self.judge is not None and self.judge.verifies
        people = identity(self.judge, x, y).tolist() if known else [None] * len(x)
        told = [None] * len(x) if encoded is None else self.told_inside(x, encoded)
        numbers = psnr(x, y).tolist(), self.perceptual(x, y).tolist(), people, told
        return [Measures(*row) for row in zip(*numbers, strict=True)]

    def told_inside(
        self, x: Float[Tensor, "b 3 h w"], encoded: Float[Tensor, "b 3 h w"]
    ) -> list[bool | None]:
        """Whether pictures are inside the domain, by what its encoder makes of them."""
        if self.calibration is None:
            return [None] * len(x)
        return inside(self.perceptual(x, encoded.clamp(-1, 1)), self.calibration).tolist()

    @stage
    def seen(self, image: Image.Image) -> dict[str, str]:
        """What the judge sees in a picture, in words, by attribute; nothing where nobody judges."""
        if self.judge is None:
            return {}
        choices = self.judge(as_tensor(image, self.size).to(self.device)).choices
        return named(choices, 0) if choices else {}

    def fidelity(self, image: Image.Image, result: Result) -> Fidelity:
        """How faithful a result is to its picture, measured by blurs of the picture.

        Not by LPIPS, which the optimisation descends: a distance that is optimised flatters. No
        network runs where the result comes with its measures.
        """
        measures = result.measures or self.measure(image, result.image)
        blur = equal_blur(as_images(as_tensor(image, self.size))[0], measures.psnr)
        words = next((word for word, widest in WORDS.items() if blur <= widest), "loose")
        return Fidelity(blur, words, measures.inside)


# ---- of pictures -----------------------------------------------------------------------------


def psnr(
    x: Float[Tensor, "b 3 h w"],
    y: Float[Tensor, "b 3 h w"],
    share: Float[Tensor, "#b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB, infinite for equal pictures; share: where it counts."""
    error = (x - y).square().mean(1, keepdim=True)
    if share is None:
        return 10 * torch.log10(4 / error.mean((1, 2, 3)))
    return 10 * torch.log10(4 * share.sum((1, 2, 3)) / (error * share).sum((1, 2, 3)))


def ms_ssim(x: Float[Tensor, "b 3 h w"], y: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Multi-scale structural similarity (Wang et al., Asilomar 2003, Eq. 7) of pictures in [-1, 1].

    1 for equal pictures. Of the five scales those count at which the window of 11 pixels fits, with
    their published weights made to sum to 1: four at 128 px.
    """
    scales = [w for i, w in enumerate(SCALES) if min(x.shape[-2:]) >> i >= WINDOW]
    if not scales:
        raise ValueError(f"pictures must have {WINDOW} px on each side; got {tuple(x.shape)}.")
    found = torch.ones(len(x), device=x.device)
    for i, weight in enumerate(scales):
        luminance, structure = _similar(x, y)
        term = luminance * structure if i == len(scales) - 1 else structure
        found = found * term.mean((1, 2, 3)).clamp(min=0) ** (weight / sum(scales))
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return found


def _similar(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast with structure, at every place of a Gaussian window (Eqs. 1 to 3)."""
    line = torch.exp(-((torch.arange(WINDOW, device=x.device) - WINDOW // 2) ** 2) / (2 * 1.5**2))
    kernel = torch.outer(line, line).div(line.sum() ** 2).expand(x.shape[1], 1, -1, -1)
    mean = [F.conv2d(z, kernel, groups=x.shape[1]) for z in (x, y, x * x, y * y, x * y)]
    variances = mean[2] - mean[0] ** 2 + mean[3] - mean[1] ** 2
    covariance = mean[4] - mean[0] * mean[1]
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # of a range of 2
    luminance = (2 * mean[0] * mean[1] + c1) / (mean[0] ** 2 + mean[1] ** 2 + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


def identity(
    judge: PortraitJudge | FaceJudge, x: Float[Tensor, "b 3 h w"], y: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, " b"]:
    """How much two portraits look like one person: the cosine of the judge's embeddings."""
    a, b = judge(torch.cat([x, y])).embedding.chunk(2)
    return F.cosine_similarity(a, b)


def inside(distances: Float[Tensor, " b"], calibration: Float[Tensor, " n"]) -> Bool[Tensor, " b"]:
    """Whether the encoder alone rebuilds pictures no worse, in LPIPS, than INSIDE of validation
    pictures; optimisation rebuilds pictures from outside the domain too."""
    return distances.cpu() <= torch.quantile(calibration, INSIDE)


def equal_blur(image: Image.Image, psnr: float) -> float:
    """The blur of an RGB square that is as far from it as another picture is, in squared error.

    psnr: of the other picture [dB]. Standard deviation of the Gaussian as a fraction of the side,
    from 0 (equal) to WIDEST (as far, or farther).
    """
    pixels = np.asarray(image, np.float32)

    def error(blur: float) -> float:
        seen = image.filter(ImageFilter.GaussianBlur(blur * image.width))
        return float(np.square(pixels - np.asarray(seen, np.float32)).mean())

    target, low, high = 255**2 * 10 ** (-psnr / 10), 0.0, WIDEST
    for _ in range(12):  # to a four-thousandth of WIDEST
        middle = (low + high) / 2
        low, high = (middle, high) if error(middle) < target else (low, middle)
    return high if target else 0.0


def named(choices: Mapping[str, Float[Tensor, "b options"]], row: int) -> dict[str, str]:
    """The judge's likeliest options of one picture by name, where the renderer names as many."""
    names = {name: CHOICES.get(name, ()) for name in choices}
    return {
        name: names[name][best]
        for name, logits in choices.items()
        if (best := int(logits[row].argmax())) < len(names[name])
    }


def edge_f1(
    found: Bool[Tensor, "b h w"], wanted: Bool[Tensor, "b h w"], reach: int = 1
) -> Float[Tensor, " b"]:
    """F1 of edges beside a sketch's lines; an edge counts within `reach` pixels of a line."""

    def near(lines: Tensor) -> Tensor:
        return F.max_pool2d(lines[:, None].float(), 2 * reach + 1, 1, reach)[:, 0]

    found, wanted = found.float(), wanted.float()
    precise = (found * near(wanted)).sum((1, 2)) / found.sum((1, 2)).clamp(min=1)
    recalled = (wanted * near(found)).sum((1, 2)) / wanted.sum((1, 2)).clamp(min=1)
    return 2 * precise * recalled / (precise + recalled).clamp(min=1e-9)


# ---- of sets of pictures ---------------------------------------------------------------------


def frechet_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), in float64; 0 for equal sets."""
    a, b = _check_sets(a, b)
    cov_a, cov_b = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(b.shape[1], -1)
    # tr (C_a C_b)^(1/2) = tr (R C_b R)^(1/2) with R = C_a^(1/2): symmetric, hence real.
    values, vectors = torch.linalg.eigh(cov_a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    means = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    return max(0.0, (means + cov_a.trace() + cov_b.trace() - 2 * cross).item())


def kernel_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """Unbiased squared maximum mean discrepancy under k; about 0, even below, for alike sets."""
    a, b = _check_sets(a, b)
    kernel_aa, kernel_bb, kernel_ab = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    within_a = (kernel_aa.sum() - kernel_aa.trace()) / (len(a) * (len(a) - 1))
    within_b = (kernel_bb.sum() - kernel_bb.trace()) / (len(b) * (len(b) - 1))
    return (within_a + within_b - 2 * kernel_ab.mean()).item()


def cmmd(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], sigma: float = 10.0) -> float:
    """1000 times the squared maximum mean discrepancy of unit embeddings under a Gaussian kernel,
    as published; 0 for equal sets."""
    a, b = _check_sets(a, b)

    def mean(x: Tensor, y: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(x, y).square() / (2 * sigma**2)).mean()

    return 1000 * (mean(a, a) + mean(b, b) - 2 * mean(a, b)).item()


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _check_sets(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            "feature sets must be (n, d) and (m, d) with two rows or more; "
            f"got {tuple(a.shape)} and {tuple(b.shape)}."
        )
    return a.detach().double().cpu(), b.detach().double().cpu()
