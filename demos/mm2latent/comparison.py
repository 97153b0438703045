"""MM2Latent in the comparison: the encoder's code, moved from one text to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PIL import Image

from demos.comparison.method import Method, Way
from demos.mm2latent.edit import PIVOT
from demos.mm2latent.setting import MASK, SKETCH


def _invert(pipeline: Any, picture: Image.Image, on_step: Callable | None) -> Any:
    return pipeline.invert(picture)


def _edit(pipeline: Any, source: Any, asked: tuple[str, str]) -> Image.Image:
    words, through = asked
    return pipeline.edit(source, words, pivot=PIVOT, through=through).image


# With each text goes the condition by which edits of eight validation portraits came nearest to the
# true answers: the picture's own mask holds a face in its place, and glasses off it.
_ASKED = {
    "smile": ("a broad smile", MASK),
    "glasses": ("round glasses", SKETCH),
    "older": ("an older person", MASK),
}
METHOD = Method(
    how="An encoder, in one pass",
    invert=_invert,
    edit=_edit,
    ways={name: Way(f"The text “{asked[0]}”", asked) for name, asked in _ASKED.items()},
)
