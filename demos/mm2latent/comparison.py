"""MM2Latent in the comparison: the encoder's code, moved from one text to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PIL import Image

from demos.comparison.method import Method, Way
from demos.mm2latent.edit import PIVOT


def _invert(pipeline: Any, picture: Image.Image, on_step: Callable | None) -> Any:
    return pipeline.invert(picture)


def _edit(pipeline: Any, source: Any, asked: str) -> Image.Image:
    return pipeline.edit(source, asked, pivot=PIVOT).image


_WORDS = {"smile": "a broad smile", "glasses": "round glasses", "older": "an older person"}
METHOD = Method(
    how="An encoder, in one pass",
    invert=_invert,
    edit=_edit,
    ways={name: Way(f"The text “{words}”", words) for name, words in _WORDS.items()},
)
