"""Portraits that no network was trained on, and the true answers to edits of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from PIL import Image

from examples.clay.edits import EDITS
from examples.clay.parameters import SEEDS

if TYPE_CHECKING:
    from examples.clay import Portrait

TEST = SEEDS["test"]


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
