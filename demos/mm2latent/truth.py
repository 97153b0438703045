"""What the renderer draws of a never-seen portrait with what is asked: the true answer."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from demos.kit.words import said
from demos.mm2latent.chips import Wish
from demos.mm2latent.setting import HEAD, MASK
from examples.portraits import unseen


@dataclass(frozen=True, eq=False)
class Start:
    """The portrait that a condition was taken of; mask: the renderer's own classes, uint8 (H, W).

    seed is that of a never-seen portrait, None for an own picture, of which nobody knows a mask.
    """

    seed: int | None = None
    mask: np.ndarray | None = None


@functools.lru_cache(maxsize=32)  # an answer goes to several handlers, one after another
def _drawn(seed: int, overrides: tuple[tuple[str, Any], ...]) -> Any:
    from examples.clay import portrait  # numba is imported here, after the page is up

    return portrait(seed, **dict(overrides))


def drawn(seed: int, overrides: Mapping[str, Any] | None = None) -> Any:
    """The renderer's portrait of a seed with parameters set, and all that is known of it."""
    return _drawn(seed, tuple((overrides or {}).items()))


def true_mask(seed: int) -> np.ndarray:
    """The 19 classes of a portrait, uint8 (H, W)."""
    return drawn(seed).mask


def true_numbers(seed: int) -> np.ndarray:
    """The 3DMM numbers of a portrait, in the order of shape, expression, pose."""
    portrait = drawn(seed)
    return np.concatenate([portrait.shape, portrait.expression, portrait.pose])


def answer(start: Start | None, overrides: Mapping[str, Any]) -> Image.Image | None:
    """The very portrait with what is asked; None where the renderer does not know the person."""
    if start is None or start.seed is None or not unseen(start.seed):
        return None
    return Image.fromarray(drawn(start.seed, overrides).image)


def explained(
    start: Start, asked: tuple[Wish, ...], beyond: str, condition: Mapping[str, Any]
) -> str:
    """What of a request the true answer shows, and what it cannot, in HTML."""
    words = ", ".join(
        [*(w.words for w in asked), *(["these numbers"] if HEAD in condition else [])]
    )
    told = f"Portrait {start.seed} with {words}" if words else f"Portrait {start.seed} itself"
    notes = [f"{escape(told)}."]
    if MASK in condition and start.mask is not None:
        moved = float((condition[MASK] != start.mask).mean())
        if moved:
            notes.append(f"Its mask is its own: {moved:.1%} was painted over since.")
    if beyond:
        notes.append("The renderer knows the words of the chips alone.")
    return " ".join(notes)


def nothing_known(why: str) -> str:
    """Words in the place of a true answer."""
    return said(f'<span class="quiet">No true answer here: {escape(why)}</span>')
