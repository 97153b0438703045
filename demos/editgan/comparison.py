"""EditGAN in the comparison: the embedding, and vectors of its library, which know parts alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PIL import Image

from demos.comparison.method import STEPS, Method, Way

FULL = 1.0  # the scale of a vector as it was learnt


def _embed(pipeline: Any, picture: Image.Image, on_step: Callable | None) -> Any:
    return pipeline.embed(picture, steps=STEPS, on_step=on_step)


def _apply(pipeline: Any, embedding: Any, asked: str) -> Image.Image:
    if asked not in pipeline.library:
        known = ", ".join(pipeline.library)
        raise ValueError(f"The edit must be a vector of the library ({known}); got {asked}.")
    return pipeline.apply(embedding, [(pipeline.library[asked], FULL)]).image


METHOD = Method(
    how=f"An encoder, then {STEPS} steps",
    invert=_embed,
    edit=_apply,
    ways={
        "smile": Way("The library’s editing vector “smile”", "smile"),
        "glasses": Way("The library’s editing vector “glasses on”", "glasses on"),
    },
    cannot="It edits by repainting parts of the face, and age is not a part.",
)
