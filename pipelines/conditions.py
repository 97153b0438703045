"""Visual conditions of a picture to be: a mask of classes, or a scribble, checked and drawn.

A ControlNet reads a condition as a picture in [0, 1]: a mask by a colour a class, a scribble as
white strokes on black. Strokes are found in a picture by Canny's edges of its softened brightness,
thickened: what a hand would draw of it; or where a network says that edges are.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from pipelines.images import as_rgb

MASK, SCRIBBLE = "mask", "scribble"
SOFT = 1.0 / 128  # blur before edges are looked for, in sides
EDGES = (40, 110)  # thresholds of Canny's hysteresis on brightness of 0 to 255
SEEN = 512  # pixels a side of pictures whose edges a network looks for, as ControlNet's authors did


@dataclass(frozen=True, eq=False)
class Condition:
    """A mask or a scribble. pixels: RGB, square; task: MASK or SCRIBBLE."""

    task: str
    pixels: UInt8[np.ndarray, "side side 3"]

    @classmethod
    def of(
        cls,
        task: str,
        given: UInt8[np.ndarray, "h w"] | Image.Image,
        palette: UInt8[np.ndarray, "classes 3"] | None = None,
    ) -> Condition:
        """The condition of a task: class indices with their palette, or a drawing.

        Raises ValueError for an unknown task, and for a drawing without a stroke.
        """
        if task == MASK:
            return cls.mask(given, palette)
        if task != SCRIBBLE:
            raise ValueError(f"task must be {MASK} or {SCRIBBLE}; got {task!r}. Choose one.")
        drawn = cls.scribble(given)
        if not drawn.pixels.any():
            raise ValueError(
                "scribble must have strokes; got an empty one. Draw some, or take a picture's."
            )
        return drawn

    @classmethod
    def mask(
        cls, labels: UInt8[np.ndarray, "h w"], palette: UInt8[np.ndarray, "classes 3"]
    ) -> Condition:
        """A mask of class indices; palette: the colours by which ControlNet was told classes.

        Raises ValueError for labels that are not whole classes of the palette, or not square.
        """
        labels = np.asarray(labels)
        if labels.ndim != 2 or labels.shape[0] != labels.shape[1]:
            raise ValueError(
                f"mask must be a square of class indices; got {labels.shape}. Crop it to a square."
            )
        if not np.issubdtype(labels.dtype, np.integer) or not (
            labels.size and 0 <= labels.min() and labels.max() < len(palette)
        ):
            got = f"{labels.min()} to {labels.max()}" if labels.size else "no pixel"
            raise ValueError(
                f"mask must hold whole classes 0 to {len(palette) - 1}; got {got} of type "
                f"{labels.dtype}. Paint it with the classes of the page."
            )
        return cls(MASK, np.asarray(palette, np.uint8)[labels])

    @classmethod
    def scribble(cls, drawn: Image.Image) -> Condition:
        """A drawing: strokes of any colour on a paper of another, the paper being what is more."""
        grey = np.asarray(_square(drawn).convert("L"))
        paper = np.median(grey)
        strokes = (np.abs(grey.astype(int) - paper) > 48).astype(np.uint8) * 255
        return cls(SCRIBBLE, np.repeat(strokes[..., None], 3, -1))

    @classmethod
    def scribble_of(cls, picture: Image.Image, size: int = 128) -> Condition:
        """The scribble that a hand would draw of a picture."""
        square = _square(picture).resize((size, size), Image.Resampling.LANCZOS)
        return cls(SCRIBBLE, np.repeat(strokes(np.asarray(square))[..., None], 3, -1))

    def picture(self, size: int) -> Float[Tensor, "1 3 size size"]:
        """As a ControlNet reads it, in [0, 1]: classes stay whole, strokes are averaged."""
        shown = Image.fromarray(self.pixels)
        kind = Image.Resampling.NEAREST if self.task == MASK else Image.Resampling.BOX
        pixels = np.array(shown.resize((size, size), kind))
        return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def strokes(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """Edges of a picture's softened brightness, two pixels of 128 wide; 0 or 255."""
    side = pixels.shape[0]
    grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (0, 0), SOFT * side)
    edges = cv2.Canny(grey, *EDGES, L2gradient=True)
    width = max(2, round(side / 64))
    return cv2.dilate(edges, np.ones((width, width), np.uint8))


def strokes_of(edges: Float[np.ndarray, "h w"], side: int) -> UInt8[np.ndarray, "side side"]:
    """Strokes where edges, in [0, 1], are surest: as ControlNet's scribbles were drawn, thinned to
    ridges and thickened; 0 or 255. edges: at SEEN pixels a side, for which the widths are meant."""
    with warnings.catch_warnings(action="ignore"):  # of annotators that are not used here
        from controlnet_aux.util import nms
    ridges = nms(255 * edges.astype(np.float32), 127, 3.0)
    thick = (cv2.GaussianBlur(ridges, (0, 0), 3.0) > 4).astype(np.uint8) * 255
    smaller = Image.fromarray(thick).resize((side, side), Image.Resampling.BOX)
    return (np.asarray(smaller) > 127).astype(np.uint8) * 255


def _square(picture: Image.Image) -> Image.Image:
    picture = as_rgb(picture)
    return ImageOps.fit(picture, (min(picture.size),) * 2)
