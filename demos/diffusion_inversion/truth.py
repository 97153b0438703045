"""What the renderer knows of a never-seen portrait: mask, caption, its picture in a style."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from PIL import Image

from demos.kit.imaging import SIDE, refuse, squared
from examples.clay.styles import styled
from examples.portraits import truth, unseen

Crop = tuple[float, float, float]  # x, y and zoom of a portrait input


@functools.lru_cache(maxsize=32)  # one portrait goes to several handlers, one after another
def known(seed: int) -> Any:
    """The portrait of an unseen seed with all that is true of it."""
    if not unseen(seed):
        raise refuse(f"The seed must be of a portrait that no network has seen; got {seed}.")
    return truth(seed)


def picture_of(seed: int, crop: Crop, side: int = SIDE) -> Image.Image:
    """What the renderer draws."""
    return squared(Image.fromarray(known(seed).image), *crop, side)


def mask_of(seed: int, crop: Crop, side: int = SIDE) -> np.ndarray:
    """Its classes, uint8 (side, side): the nearest pixel's."""
    whole = Image.fromarray(known(seed).mask)
    return np.asarray(squared(whole, *crop, side, Image.Resampling.NEAREST))


def style_of(seed: int, style: str, crop: Crop, side: int = SIDE) -> Image.Image:
    """The same person, pose and light in a style."""
    return squared(Image.fromarray(_styled(seed, style)), *crop, side)


@functools.lru_cache(maxsize=32)
def _styled(seed: int, style: str) -> np.ndarray:
    return styled(known(seed).parameters[None], style)[0]
