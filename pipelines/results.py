"""What the stages of the pipelines return; codes are detached and on the CPU, safe in `gr.State`.

Symbols as in the pipelines: w, layer-wise codes; G, the generator's synthesis; E, the encoder; G~,
the synthesis network with its segmentation branch; r, the region where a picture may change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from pipelines.editing_vector import EditingVector


@dataclass(frozen=True)
class Inversion:
    """Result of `invert`: codes w, detached on CPU (safe inside gr.State), and G(w)."""

    w: Float[Tensor, "1 layers 512"]
    image: Image.Image
    method: str
    seconds: float
    losses: tuple[float, ...] = ()


@dataclass(frozen=True)
class Diffusion:
    """Result of `diffuse`; every list has one item a context.

    stitched: copy and paste; encoded: G(E(stitched)); images: after optimisation; intermediate:
    up to five pictures of the way each, none of a run stopped before the first.
    """

    stitched: list[Image.Image]
    encoded: list[Image.Image]
    images: list[Image.Image]
    intermediate: list[list[Image.Image]]
    inversions: list[Inversion]
    losses: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Measures:
    """psnr [dB], infinite for equal pictures; lpips, 0 or more; identity, a cosine in [-1, 1].

    identity is None without a judge, and while the judge cannot tell people apart.
    """

    psnr: float
    lpips: float
    identity: float | None


@dataclass(frozen=True)
class Fidelity:
    """How faithful an inversion is, in words, and whether its picture is inside the domain.

    blur: of the picture, as far from it as the inversion is (`equal_blur`). inside is None where no
    calibration says so.
    """

    blur: float
    words: str
    inside: bool | None


@dataclass(frozen=True, eq=False)
class Embedding:
    """Result of `embed`, detached and on the CPU (safe inside gr.State): G~(w) = (image, mask).

    source: the picture as it was embedded, centre-cropped; distance: LPIPS of image and source.
    """

    w: Float[Tensor, "1 layers dim"]
    image: Image.Image
    mask: UInt8[np.ndarray, "h w"]
    source: Image.Image
    losses: tuple[float, ...]
    seconds: float
    distance: float


@dataclass(frozen=True, eq=False)
class Edit:
    """Result of `edit`, `apply` and `refine`: G~(w) = (image, mask), w = embedding + vector.

    vector: the whole change, Q_edit included, unnamed: dataclasses.replace(vector, name=...) names
    it. region: r, where the picture was free to change.
    """

    vector: EditingVector
    w: Float[Tensor, "1 layers dim"]
    image: Image.Image
    mask: UInt8[np.ndarray, "h w"]
    region: Bool[np.ndarray, "h w"]
    losses: tuple[float, ...]
    seconds: float

    def go_on(self, embedding: Embedding) -> Embedding:
        """The edited picture as an embedding, to be edited further: the next vector is its own."""
        return replace(embedding, w=self.w, image=self.image, mask=self.mask)
