"""Operations on part masks: whole numbers a pixel, never colours, so that labels cannot blend.

A mask is uint8 (H, W), each pixel the index of a part in a palette of RGB colours (n, 3). Every
operation returns a new mask; masks hold no state and know nothing of the page.
"""

from __future__ import annotations

import numpy as np
import scipy  # `scipy.ndimage` is imported at its first use, after the page is up

SURE = 24.0  # RGB distance up to which a colour is taken for a palette colour
MOST_UNSURE = 0.15  # share of pixels between palette colours that still counts as soft edges


def snapped(colours: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Labels of an RGB picture uint8 (H, W, 3) painted in palette colours.

    A pixel within SURE of a palette colour gets that label. One in between, as on an edge that a
    program has softened, gets the label of the nearest sure pixel: the colour half way between
    hair and neck may be the colour of an ear. Raises ValueError when there are too many of those.
    """
    distances, labels = _nearest_colours(colours, palette)
    unsure = distances > SURE
    if unsure.mean() > MOST_UNSURE:
        raise ValueError(
            f"The colours of a mask must be those of the legend; {unsure.mean():.0%} of its pixels "
            "have other colours. Start from a downloaded mask, and paint with its colours."
        )
    return labels if not unsure.any() else _spread(labels, unsure)


def _nearest_colours(colours: np.ndarray, palette: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to and index of the nearest palette colour; each different colour is asked once."""
    packed = colours.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    unique, places = np.unique(packed, return_inverse=True)
    found = np.stack([unique >> 16, unique >> 8 & 255, unique & 255], -1).astype(np.float32)
    nearest = np.zeros(len(found), np.uint8)
    least = np.full(len(found), np.inf, np.float32)
    for label, colour in enumerate(palette.astype(np.float32)):
        distance = np.linalg.norm(found - colour, axis=-1)
        closer = distance < least
        nearest[closer], least[closer] = label, distance[closer]
    shape = colours.shape[:2]
    return least[places].reshape(shape), nearest[places].reshape(shape)


def _spread(labels: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """The mask with each hole pixel given the label of the nearest pixel outside the holes."""
    rows, columns = scipy.ndimage.distance_transform_edt(
        holes, return_distances=False, return_indices=True
    )
    return labels[rows, columns]


def coloured(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The mask as an RGB picture, uint8 (H, W, 3)."""
    return palette[labels]


def enlarged(labels: np.ndarray, times: int) -> np.ndarray:
    """Each pixel as a square of `times` pixels a side."""
    return labels.repeat(times, 0).repeat(times, 1)


def reduced(labels: np.ndarray, side: int) -> np.ndarray:
    """The mask at `side` x `side`: each pixel gets the label that most of its square has.

    Raises ValueError unless the mask is square and a whole multiple of `side`.
    """
    height, width = labels.shape
    if height != width or height % side or not height:
        raise ValueError(
            f"A mask must measure {side} x {side} pixels or a whole multiple, such as "
            f"{4 * side} x {4 * side}; got {width} x {height}. Enlarge it without smoothing."
        )
    times = height // side
    blocks = labels.reshape(side, times, side, times).swapaxes(1, 2).reshape(side, side, -1)
    counts = np.stack([(blocks == label).sum(-1) for label in range(int(labels.max()) + 1)])
    return counts.argmax(0).astype(np.uint8)


def grown(labels: np.ndarray, part: int, pixels: int = 1) -> np.ndarray:
    """The part made larger on all sides."""
    return np.where(
        _disc(labels == part, pixels, scipy.ndimage.binary_dilation), part, labels
    ).astype(np.uint8)


def shrunk(labels: np.ndarray, part: int, pixels: int = 1) -> np.ndarray:
    """The part made smaller on all sides; what it leaves goes to the parts around it.

    A part thinner than twice the pixels vanishes. A mask of this part alone stays as it is.
    """
    inside = labels == part
    kept = _disc(inside, pixels, scipy.ndimage.binary_erosion, border_value=1)
    return _given_up(labels, inside, inside & ~kept)


def moved(labels: np.ndarray, part: int, right: int, down: int) -> np.ndarray:
    """The part shifted by whole pixels, cut at the border; what it leaves goes to those around."""
    inside = labels == part
    there = scipy.ndimage.shift(inside.astype(np.uint8), (down, right), order=0) > 0
    left = _given_up(labels, inside, inside & ~there)
    return np.where(there, part, left).astype(np.uint8)


def filled(labels: np.ndarray, part: int) -> np.ndarray:
    """The part with everything that it encloses: draw an outline, then fill it."""
    return np.where(scipy.ndimage.binary_fill_holes(labels == part), part, labels).astype(np.uint8)


def _disc(inside: np.ndarray, pixels: int, change, **options) -> np.ndarray:
    """Dilate or erode by a round element of radius `pixels`."""
    reach = np.arange(-pixels, pixels + 1)
    disc = reach[:, None] ** 2 + reach**2 <= (pixels + 0.5) ** 2
    return change(inside, structure=disc, **options)


def _given_up(labels: np.ndarray, inside: np.ndarray, gone: np.ndarray) -> np.ndarray:
    if inside.all():
        return labels.copy()
    return np.where(gone, _spread(labels, inside), labels).astype(np.uint8)


def carried(painted: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """What was painted over the mask `before`, laid over the mask `after` instead."""
    return np.where(painted != before, painted, after).astype(np.uint8)


def agreement(asked: np.ndarray, got: np.ndarray, region: np.ndarray) -> float:
    """Share of the region's pixels that became what was asked; 1 for an empty region."""
    return float((asked == got)[region].mean()) if region.any() else 1.0
