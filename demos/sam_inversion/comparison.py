"""SAM inversion in the comparison: each place in its latent, and edits of the codes below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PIL import Image

from demos.comparison.method import CHANGES, STEPS, Method, Way


def _invert(pipeline: Any, picture: Image.Image, on_step: Callable | None) -> Any:
    return pipeline.invert(picture, steps=STEPS, on_step=on_step)


def _edit(pipeline: Any, inversion: Any, asked: tuple[str, float]) -> Image.Image:
    direction, strength = asked
    return pipeline.edit(inversion, direction, strength)


METHOD = Method(
    how=f"A map of latents, then {STEPS} steps",
    invert=_invert,
    edit=_edit,
    ways={
        name: Way("A direction of the codes; later latents see less of it",
                  (change.edit, change.amount))
        for name, change in CHANGES.items()
    },
)  # fmt: skip
