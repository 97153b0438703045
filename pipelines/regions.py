"""Part masks, one label a pixel, and what two of them say of an edit.

Source: Ling et al., "EditGAN: High-Precision Semantic Image Editing" (NeurIPS 2021), Eq. 1.

Symbols: y, y_edited, masks before and after; Q_edit (q_edit), parts relevant for the edit; r, the
region in which the picture may change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from scipy.ndimage import maximum_filter

# Pixels around the parts of Q_edit that may change too (Sec. 3.3), and the side of the pictures of
# which the paper says so: the car of its Fig. 3, whose regions are those of a square of 512 px.
# Departs from paper, which has five at every size from 256 to 1024 px: below 512 px it goes with
# the picture. On 8 validation portraits of 128 px made to smile, 30 steps, one pixel instead of
# five is as near to the true answer (22.24 and 22.27 dB, a difference of -0.03 +- 0.07) in a region
# of 1.7 instead of 4.4 % of the picture, and leaves more change outside it: 37.7 dB, not 40.2.
BUFFER, BUFFER_SIDE = 5, 512


def buffer_of(size: int) -> int:
    """The buffer for pictures of `size` px: the paper's from BUFFER_SIDE on, its faces of 1024 px
    among them; below in proportion, one pixel at least."""
    return max(1, round(BUFFER * min(size, BUFFER_SIDE) / BUFFER_SIDE))


@dataclass(frozen=True, eq=False)
class PartMasks:
    """What is known of a domain's masks: names of the labels, side in pixels."""

    parts: tuple[str, ...]
    size: int

    def check(self, mask: np.ndarray) -> UInt8[np.ndarray, "h w"]:
        """A mask as bytes; ValueError unless it is one of the picture's size and shows a part."""
        mask = np.asarray(mask)
        if mask.shape != (self.size, self.size):
            raise ValueError(
                f"mask must be {self.size} x {self.size} pixels with one label each; got shape "
                f"{mask.shape}. Paint on the mask of this picture."
            )
        if not np.issubdtype(mask.dtype, np.integer):
            raise ValueError(f"mask must hold whole numbers; got {mask.dtype}. Convert it.")
        if mask.min() < 0 or mask.max() >= len(self.parts):
            raise ValueError(
                f"mask must hold labels 0 to {len(self.parts) - 1}; got {mask.min()} to "
                f"{mask.max()}. Use the palette's colours alone."
            )
        if not mask.any():
            raise ValueError(f"mask must show a part; got {self.parts[0]} alone. Paint one.")
        return mask.astype(np.uint8)

    def labels(self, names: Sequence[str]) -> list[int]:
        """Labels of parts by name; ValueError for none and for unknown ones."""
        unknown = [name for name in names if name not in self.parts]
        if unknown or not names:
            raise ValueError(
                f"q_edit must name parts among {', '.join(self.parts)}; got "
                f"{', '.join(unknown) or 'none'}. Choose from the legend."
            )
        return [self.parts.index(name) for name in names]

    def changed(
        self, before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"]
    ) -> tuple[str, ...]:
        """Q_edit inferred: of what was painted and what was painted over, the smaller part.

        One of the two is enough for Eq. 1 to reach a painted pixel, and the smaller one (a lip, not
        the skin around it) leaves the rest of the picture alone.
        """
        both = np.stack([self.check(before), self.check(after)])
        area = np.bincount(both.ravel(), minlength=len(self.parts))
        pairs = np.unique(both[:, both[0] != both[1]], axis=1).T.tolist()
        chosen = {min(pair, key=lambda label: (area[label], label)) for pair in pairs}
        return tuple(self.parts[label] for label in sorted(chosen))

    def region(
        self,
        before: UInt8[np.ndarray, "h w"],
        after: UInt8[np.ndarray, "h w"],
        q_edit: Sequence[str],
        buffer: int | None = None,
    ) -> Bool[np.ndarray, "h w"]:
        """r of Eq. 1: where y or y_edited shows a part of Q_edit, and `buffer` pixels around;
        `buffer_of` the size by default."""
        buffer = buffer_of(self.size) if buffer is None else buffer
        if not 0 <= buffer <= self.size:
            raise ValueError(
                f"buffer must be 0 to {self.size} pixels; got {buffer}. Use {buffer_of(self.size)}."
            )
        both, labels = np.stack([self.check(before), self.check(after)]), self.labels(q_edit)
        return maximum_filter(np.isin(both, labels).any(0), 2 * buffer + 1, mode="constant")


def window_of(regions: Bool[np.ndarray, "b h w"]) -> tuple[slice, slice]:
    """The rows and columns that hold every region of a batch; one pixel where all are empty."""
    rows, columns = (np.flatnonzero(regions.any((0, axis))) for axis in (2, 1))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
