"""Which latent rebuilds which place of a picture: predicted errors, segments, and maps of latents.

Source: Parmar et al., "Spatially-Adaptive Multilayer Selection for GAN Inversion and Editing"
(CVPR 2022), Secs. 3.1 and 3.2: the predicted error is averaged over each segment of a picture, and
each segment takes the earliest latent whose error is under the threshold tau, else the last one.

Latents: W+, then features F_k, the output of the k-th layer: F4, F6, F8, F10 at 16 to 128 px where
pictures have 256 px or more. Smaller generators end sooner: theirs are the four finest before the
last block, F2 to F8 at 8 to 64 px for pictures of 128 px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from skimage.segmentation import slic
from torch import Tensor
from torch.nn import functional as F

W_PLUS = "W+"
FINEST, FEATURE_LAYERS = 128, 4  # the finest of the paper's feature layers [px], and how many
SIDE = 256  # of the pictures that maps are made of, at most [px]
SUPERPIXELS, COMPACTNESS = 64, 10.0  # of a whole picture


def feature_layers(resolution: int) -> dict[str, str]:
    """Name of each feature latent -> the block output that it is, for pictures of so many px."""
    finest = min(FINEST, resolution // 2)
    levels = [finest >> shift for shift in range(FEATURE_LAYERS - 1, -1, -1)]
    return {f"F{2 * v.bit_length() - 6}": f"b{v}.conv1" for v in levels if v >= 4}


def level_of(block: str) -> int:
    """Side of a block's output by its name [px]: 16 of "b16.conv1"."""
    return int(block[1:].split(".")[0])


@dataclass(frozen=True, eq=False)
class InvertibilityMaps:
    """How badly each latent alone would rebuild each place of a picture, as predicted.

    latents: in the order of selection. errors: S_l(x), LPIPS a pixel. segments: number of the
    segment of each pixel, 0 to n - 1; means: the error of each latent averaged over each segment.
    """

    latents: tuple[str, ...]
    errors: Float[np.ndarray, "latents h w"]
    segments: Int[np.ndarray, "h w"]
    means: Float[np.ndarray, "latents n"]

    @classmethod
    def refined(
        cls, errors: Mapping[str, Float[np.ndarray, "h w"]], segments: Int[np.ndarray, "h w"]
    ) -> InvertibilityMaps:
        """Predicted errors by latent, averaged over segments (Fig. 3.1, right)."""
        stacked = np.stack(list(errors.values()))
        if segments.shape != stacked.shape[1:]:
            raise ValueError(
                f"segments must be {stacked.shape[1:]}, a label a pixel; got {segments.shape}. "
                "Resize them, nearest pixel first."
            )
        _, numbers = np.unique(segments, return_inverse=True)
        numbers = numbers.reshape(segments.shape)
        sums = [np.bincount(numbers.ravel(), error.ravel()) for error in stacked]
        means = np.stack(sums) / np.bincount(numbers.ravel())
        return cls(tuple(errors), stacked, numbers, means.astype(np.float32))

    @property
    def refined_errors(self) -> Float[np.ndarray, "latents h w"]:
        """The error of each latent at each pixel, one number a segment."""
        return self.means[:, self.segments]

    @property
    def brightest(self) -> float:
        """The error that is drawn brightest: one pixel in a hundred exceeds it in W+."""
        return max(float(np.quantile(self.errors[0], 0.99)), 1e-6)

    def latent_map(
        self, tau: float, forced: Mapping[int, str] | None = None
    ) -> UInt8[np.ndarray, "h w"]:
        """The latent of each pixel, as `latent_map` chooses, for pages: they import no torch."""
        return latent_map(self, tau, forced)


def latent_map(
    maps: InvertibilityMaps, tau: float, forced: Mapping[int, str] | None = None
) -> UInt8[np.ndarray, "h w"]:
    """The latent of each pixel, an index into `maps.latents` (Sec. 3.2).

    Each segment takes the earliest latent whose error is under tau (0: the last one everywhere;
    infinity: W+ everywhere). forced: segments by number that take a latent by name instead.
    """
    if not tau >= 0:  # NaN fails this too
        raise ValueError(f"tau must be 0 or more; got {tau!r}. 0 gives all to the last latent.")
    under = maps.means < tau
    chosen = np.where(under.any(0), under.argmax(0), len(maps.latents) - 1).astype(np.uint8)
    for segment, name in (forced or {}).items():
        if name not in maps.latents or not 0 <= segment < len(chosen):
            raise ValueError(
                f"forced must map segments 0 to {len(chosen) - 1} to one of "
                f"{', '.join(maps.latents)}; got {segment!r} to {name!r}. Correct it."
            )
        chosen[segment] = maps.latents.index(name)
    return chosen[maps.segments]


def segments_of(
    x: Float[Tensor, "3 h w"], parts: Int[np.ndarray, "h w"] | None = None
) -> Int[np.ndarray, "h w"]:
    """Segments of a picture in [-1, 1]: what a parser names, and superpixels elsewhere.

    parts: class of each pixel, 0 where the parser sees background, which is also what it makes of
    a thing before a face; without parts, superpixels alone (Achanta et al., TPAMI 2012).
    """
    pixels = ((x.clamp(-1, 1) + 1) / 2).permute(1, 2, 0).cpu().numpy().astype(np.float64)
    labels = slic(pixels, SUPERPIXELS, COMPACTNESS, start_label=0)
    if parts is not None:
        labels = np.where(parts > 0, labels.max() + parts, labels)
    return labels


def every_pixel(height: int, width: int) -> Int[np.ndarray, "h w"]:
    """Segments of one pixel each: no refinement."""
    return np.arange(height * width).reshape(height, width)


def resized(labels: np.ndarray, side: int) -> Int[np.ndarray, "side side"]:
    """A square of labels at another size, nearest pixel first; ValueError for another shape."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.shape[0] != labels.shape[1]:
        raise ValueError(f"segments must be a square of labels; got {labels.shape}. Crop it.")
    index = ((np.arange(side) + 0.5) * len(labels) / side).astype(int)
    return labels[index][:, index]


def checked(chosen: np.ndarray, latents: Sequence[str]) -> UInt8[np.ndarray, "h w"]:
    """A map of latents that somebody made, as bytes; ValueError for one that cannot be used."""
    chosen = np.asarray(chosen)
    square = chosen.ndim == 2 and chosen.shape[0] == chosen.shape[1] > 0
    if not square or chosen.dtype.kind not in "ui":
        raise ValueError(
            f"chosen must be a square of whole numbers; got {chosen.shape} {chosen.dtype}. "
            "Give an index of a latent a pixel."
        )
    if chosen.min() < 0 or chosen.max() >= len(latents):
        raise ValueError(
            f"chosen must hold 0 to {len(latents) - 1} for {', '.join(latents)}; "
            f"got {chosen.min()} to {chosen.max()}. Use indices of latents."
        )
    return chosen.astype(np.uint8)


def masks_of(
    chosen: Int[Tensor, "b h w"], blocks: Sequence[str]
) -> dict[str, Float[Tensor, "b 1 h2 w2"]]:
    """m of Eq. 3.3 for each feature layer: where its latent is chosen, at its own resolution.

    chosen: latents by index, 0 for W+ and 1 for the first of `blocks`. Layers that are chosen
    nowhere are left out.
    """
    masks = {}
    for index, block in enumerate(blocks, start=1):
        mask = (chosen == index).float()[:, None]
        if mask.any():
            side = level_of(block)
            # Averaged, not sampled: a segment thinner than a cell still counts in its cells.
            masks[block] = F.interpolate(mask, (side, side), mode="bilinear", antialias=True)
    return masks
