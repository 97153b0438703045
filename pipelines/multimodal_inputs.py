"""What a visitor gives MM2Latent beside words: prompts, masks and sketches, checked and brought to
one form; and how a picture's own sketch is drawn.

A mask is an array of class numbers in the order of `examples.clay.parts.CLASSES` (that of
CelebAMask-HQ's parser); a sketch is True on its lines. Both are square, of the domain's size.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from examples.clay.parts import CLASSES, PALETTE
from pipelines.images import as_rgb

CANNY = (100, 200)  # thresholds of the gradient's L2 norm, as published
NEAR = 48.0  # a painted colour may differ so much from a class's, of 441
UNKNOWN = 0.05  # share of pixels that may be no class's colour, such as soft edges
DENSEST = 0.5  # share of a sketch that may be lines
INK = 96  # brightness, of 255, from which a pixel is a line on black


def as_prompt(prompt: str) -> str:
    """A prompt with single spaces; ValueError for one that says nothing."""
    if not isinstance(prompt, str):
        raise TypeError(f"prompt must be text; got {type(prompt).__name__}. Pass a str.")
    words = " ".join(prompt.split())
    if not words:
        raise ValueError(
            "prompt must say something; got an empty one. Describe a portrait, or leave the prompt "
            "out and give a condition alone."
        )
    return words


def as_mask(mask: Image.Image | np.ndarray, size: int) -> UInt8[np.ndarray, "size size"]:
    """Class numbers of a mask: numbers, numbers x 10 in grey, or the 19 colours of PALETTE.

    Any size; the centre is cropped to a square. ValueError for what is no mask, or an empty one.
    """
    classes = _numbers(mask) if isinstance(mask, np.ndarray) and mask.ndim == 2 else None
    if classes is None:
        classes = _classes_of(_picture(mask, "mask"))
    if not classes.any():
        raise ValueError(
            "mask must hold a face; got nothing but background. Paint at least the skin, or leave "
            "the mask out."
        )
    square = ImageOps.fit(Image.fromarray(classes), (size, size), Image.Resampling.NEAREST)
    return np.array(square)


def as_sketch(sketch: Image.Image | np.ndarray, size: int) -> Bool[np.ndarray, "size size"]:
    """Lines of a sketch, light on dark or dark on light; the more frequent is the paper.

    Any size; the centre is cropped to a square, and lines stay whole where it shrinks. ValueError
    for a sketch without lines, or of which more than DENSEST would be lines.
    """
    if isinstance(sketch, np.ndarray) and sketch.dtype == bool:
        sketch = sketch.astype(np.uint8) * 255
    grey = np.asarray(_picture(sketch, "sketch").convert("L"))
    if np.median(grey) > 127:
        grey = 255 - grey
    lines = grey > INK
    if not lines.any():
        raise ValueError(
            "sketch must have lines; got an empty sheet. Draw light on dark or dark on light, or "
            "leave the sketch out."
        )
    side = min(lines.shape)
    top, left = ((length - side) // 2 for length in lines.shape)
    square = torch.from_numpy(lines[top : top + side, left : left + side].copy())[None].float()
    if side > size:
        square = F.adaptive_max_pool2d(square, size)
    else:
        square = F.interpolate(square[None], size=(size, size), mode="nearest")[0]
    found = square[0].numpy() > 0
    if found.mean() > DENSEST or not found.any():
        raise ValueError(
            f"sketch must be thin lines within its square; got {found.mean():.0%} of it covered. "
            "Draw outlines, not surfaces."
        )
    return found


def sketch_of(x: Float[Tensor, "b 3 h w"]) -> Bool[Tensor, "b h w"]:
    """The sketch of pictures in [-1, 1]: Canny's edges, on the CPU."""
    pixels = ((x.detach().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu()
    edges = [cv2.Canny(np.ascontiguousarray(p), *CANNY, L2gradient=True) for p in pixels.numpy()]
    return torch.from_numpy(np.stack(edges) > 0)


def painted(mask: UInt8[np.ndarray, "h w"]) -> Image.Image:
    """A mask in the colours of PALETTE, as `as_mask` reads it."""
    return Image.fromarray(PALETTE[mask])


def _picture(given: Image.Image | np.ndarray, name: str) -> Image.Image:
    """A picture from whatever was given."""
    if isinstance(given, np.ndarray):
        if given.dtype != np.uint8 or given.ndim not in (2, 3) or given.shape[2:] not in (
            (), (3,), (4,),
        ):  # fmt: skip
            raise ValueError(
                f"{name} must be bytes (h, w), (h, w, 3) or (h, w, 4); got {given.dtype} "
                f"{given.shape}. Convert it."
            )
        given = Image.fromarray(given)
    if not isinstance(given, Image.Image):
        raise TypeError(
            f"{name} must be a PIL image or an array; got {type(given).__name__}. Use Image.open."
        )
    if name == "mask" and given.mode in ("L", "P"):
        return given  # what may hold class numbers is not converted before they are read
    return as_rgb(given)


def _numbers(mask: np.ndarray) -> UInt8[np.ndarray, "h w"] | None:
    """Class numbers that an array holds as they are; None where it holds greys."""
    if not mask.size or not np.issubdtype(mask.dtype, np.integer):
        raise ValueError(
            f"mask must hold whole numbers, one a pixel; got {mask.dtype} {mask.shape}. Give class "
            f"numbers 0 to {len(CLASSES) - 1}."
        )
    if mask.min() >= 0 and mask.max() < len(CLASSES):
        return np.ascontiguousarray(mask.astype(np.uint8))
    if mask.min() < 0 or mask.max() > 255:
        raise ValueError(
            f"mask must hold class numbers 0 to {len(CLASSES) - 1}; got {mask.min()} to "
            f"{mask.max()}. Correct them."
        )
    return _tens(mask.astype(np.uint8))


def _tens(grey: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"] | None:
    """Classes of the published form, class number x 10; None where there are other greys."""
    whole = (grey % 10 == 0).all() and grey.max() < 10 * len(CLASSES)
    return grey // 10 if whole else None


def _classes_of(picture: Image.Image) -> UInt8[np.ndarray, "h w"]:
    """Class numbers of a mask that was painted or saved as a picture."""
    if picture.mode == "L" or (picture.mode == "P" and _is_plain(picture)):
        found = _numbers(np.asarray(picture))
        if found is None:
            raise ValueError(
                f"mask must hold class numbers 0 to {len(CLASSES) - 1} where it is grey, or these "
                "x 10; got other greys. Paint it in the colours of the legend."
            )
        return found
    pixels = np.asarray(as_rgb(picture)).astype(np.float32)
    classes, worst = _nearest(pixels)
    unknown = float((worst > NEAR).mean())
    if unknown > UNKNOWN:
        raise ValueError(
            f"mask must be painted in the {len(CLASSES)} colours of its classes; got {unknown:.0%} "
            "of it in others. Take the colours of the legend, or give class numbers."
        )
    return classes


def _is_plain(picture: Image.Image) -> bool:
    """Whether a palette picture's numbers are classes rather than names of the legend's colours."""
    pixels = np.asarray(picture.convert("RGB")).astype(np.float32)
    return np.asarray(picture).max() < len(CLASSES) and (_nearest(pixels)[1] > NEAR).any()


def _nearest(pixels: Float[np.ndarray, "h w 3"]) -> tuple[np.ndarray, np.ndarray]:
    """The class of the nearest colour of each pixel, and how far that colour is."""
    colours, inverse = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    classes = np.zeros(len(colours), np.uint8)
    far = np.zeros(len(colours), np.float32)
    for start in range(0, len(colours), 4096):  # a photograph has a hundred thousand colours
        rows = slice(start, start + 4096)
        away = np.linalg.norm(colours[rows, None] - PALETTE[None].astype(np.float32), axis=2)
        classes[rows], far[rows] = away.argmin(1), away.min(1)
    shape = pixels.shape[:2]
    return classes[inverse].reshape(shape), far[inverse].reshape(shape)
