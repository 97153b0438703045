"""Portraits that no network was trained on, and the true answers to edits of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool
from PIL import Image

from examples.clay.edits import EDITS
from examples.clay.parameters import SEEDS, draw, latent
from examples.clay.parts import CLASSES

if TYPE_CHECKING:
    from examples.clay import Portrait

TEST = SEEDS["test"]
UNSEEN = (TEST, SEEDS["validation"])  # the examples of the pages are chosen from validation


def unseen(seed: int) -> bool:
    """Whether no network was trained on the portrait of a seed."""
    return any(seed in split for split in UNSEEN)


def rendered(seed: int, changes: Mapping[str, float] | None = None) -> Image.Image:
    """The picture of `truth`."""
    return Image.fromarray(truth(seed, changes).image)


def truth(seed: int, changes: Mapping[str, float] | None = None) -> Portrait:
    """The portrait of a seed; with `changes` (edit name to change), the true answer to them."""
    from examples.clay import portrait  # numba is imported here: where something is rendered

    original = portrait(seed)
    overrides: dict[str, object] = {}
    for name, change in (changes or {}).items():
        if change:
            overrides |= EDITS[name].apply(original.parameters, change)
    return portrait(seed, **overrides) if overrides else original


def room(
    seed: int, edit: str, change: float, overrides: Mapping[str, object] | None = None
) -> float:
    """By how much the portrait of a seed changes with one of EDITS, in the edit's own unit.

    overrides: what else is set of it. Nothing is rendered.
    """
    z, given = latent(seed), dict(overrides or {})
    own = draw(z, given)
    after = draw(z, given | EDITS[edit].apply(own, change))
    return float(EDITS[edit].value(after) - EDITS[edit].value(own))


@functools.lru_cache(maxsize=8)  # candidates of an example are of the same few portraits
def changed(seed: int, **overrides: object) -> Portrait:
    """The portrait of a seed with any of its parameters set: choices by name, numbers as such."""
    from examples.clay import portrait

    return portrait(seed, **overrides)


def hair(seed: int) -> Bool[np.ndarray, "h w"]:
    """Where the portrait of a seed has hair."""
    from examples.clay import portrait

    return portrait(seed).mask == CLASSES.index("hair")


def hairy(seed: int) -> bool:
    """Whether a portrait's hair covers a twentieth of it: enough to compare colours."""
    return bool(hair(seed).mean() >= 0.05)
