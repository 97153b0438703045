"""What a paper does in the comparison: it says so in its own folder, by a `Method`.

The comparison knows no paper. It asks every method to rebuild the same picture, and then for the
same change of it; both are the method's own, in the words of its pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

STEPS = 50  # of every method that optimises: the same for all, so that seconds can be compared


@dataclass(frozen=True)
class Change:
    """What every method is asked for: `amount` of one of the renderer's EDITS, in its own unit.

    label: on its button; done: what is said of a person who is so already.
    """

    label: str
    edit: str
    amount: float
    done: str


# The changes that methods have in common, by the names under which a `Method` has its ways.
CHANGES: dict[str, Change] = {
    "smile": Change("Smile", "smile", 0.8, "smiles already"),
    "glasses": Change("Glasses", "glasses", 1.0, "wears glasses already"),
    "older": Change("Older", "age", 0.6, "is that old already"),
}


@dataclass(frozen=True)
class Way:
    """How a method makes one of CHANGES: in words for visitors, and what its `edit` takes."""

    words: str
    asked: Any


@dataclass(frozen=True)
class Method:
    """A paper's part in the comparison.

    how: its inversion in a few words, steps included. invert(pipeline, picture, on_step): the
    pipeline's result, which has an `image`, its `seconds`, and `measures` where the stage measures
    itself. edit(pipeline, result, asked): the changed picture, asked as in a `Way`. ways: by name
    of CHANGES; cannot: why it has none for the others, a sentence.
    """

    how: str
    invert: Callable[[Any, Image.Image, Callable | None], Any]
    edit: Callable[[Any, Any, Any], Image.Image]
    ways: Mapping[str, Way] = field(hash=False)
    cannot: str = ""
