"""Diffusion-driven inversion in the comparison: a picture of the strokes of the one that is given.

The method reads codes off a diffusion model that is asked for words and strokes; it never sees the
picture itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from demos.comparison.method import Method, Way
from demos.diffusion_inversion.api import PICTURE, condition_of

NOTHING_SAID = ""  # the prompt of a picture that is not changed


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The strokes of a picture, and what was made of them."""

    condition: Any
    image: Image.Image
    seconds: float


def _read(pipeline: Any, picture: Image.Image, on_step: Callable | None) -> _Drawn:
    condition = condition_of(pipeline, picture, PICTURE)
    reading = pipeline.read(NOTHING_SAID, condition, on_step=on_step)
    return _Drawn(condition, reading.image, reading.seconds)


def _edit(pipeline: Any, drawn: _Drawn, words: str) -> Image.Image:
    return pipeline.read(words, drawn.condition).image


_WORDS = {"smile": "a broad smile", "glasses": "round glasses", "older": "an older person"}
METHOD = Method(
    how="From its strokes alone, by one call of a U-Net",
    invert=_read,
    edit=_edit,
    ways={name: Way(f"The text “{words}”", words) for name, words in _WORDS.items()},
)
