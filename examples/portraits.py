"""Portraits that no network was trained on, and the true answers to edits of them."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from examples.clay.edits import EDITS
from examples.clay.parameters import SEEDS

TEST = SEEDS["test"]


def rendered(seed: int, changes: Mapping[str, float] | None = None) -> Image.Image:
    """The portrait of a seed; with `changes` (edit name to change), the true answer to them."""
    from examples.clay import portrait  # numba is imported here: where something is rendered

    original = portrait(seed)
    overrides: dict[str, object] = {}
    for name, change in (changes or {}).items():
        if change:
            overrides |= EDITS[name].apply(original.parameters, change)
    shown = portrait(seed, **overrides) if overrides else original
    return Image.fromarray(shown.image)
