"""In-domain inversion in the comparison: encoder, optimisation, boundaries of attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from demos.comparison.method import CHANGES, STEPS, Method, Way


def _invert(pipeline: Any, picture: Image.Image, on_step: Callable | None) -> Any:
    return pipeline.invert(picture, method="in-domain", steps=STEPS, on_step=on_step)


def _edit(pipeline: Any, inversion: Any, asked: Mapping[str, float]) -> Image.Image:
    return pipeline.manipulate(inversion, asked)


METHOD = Method(
    how=f"An encoder, then {STEPS} steps",
    invert=_invert,
    edit=_edit,
    ways={
        name: Way("Across the boundary of the attribute", {change.edit: change.amount})
        for name, change in CHANGES.items()
    },
)
