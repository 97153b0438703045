"""The documented function of clay heads: a never-seen portrait with its ground truth."""

from __future__ import annotations

from collections.abc import Generator
from typing import Annotated

from PIL import Image

from demos.kit import part_masks
from demos.kit.api import Results
from demos.kit.arguments import File, Numbers, Whole
from demos.kit.bridge import Progress
from examples.clay.edits import EDITS
from examples.clay.parts import PART_PALETTE
from examples.portraits import TEST, truth

Seed = Annotated[int, Whole(TEST.start, TEST.stop - 1)]
Changes = Annotated[dict[str, float] | None, Numbers('{"smile": 0.8, "yaw": 12}')]


def portrait(
    seed: Seed, changes: Changes = None
) -> Generator[Progress, None, tuple[File, File, Results]]:
    """Render the clay portrait of a test seed, which no network was trained on, and its true mask.

    Parameters:
        seed: of the test split; the same seed is the same portrait
        changes: attributes to change, which gives the true answer to an edit

    Returns:
        the picture, its part mask in the colours of editgan_lists, attributes
    """
    yield Progress("render", 0, 1, (), ())
    for name in changes:
        if name not in EDITS:
            raise ValueError(f"changes must name {', '.join(EDITS)}; got {name}. Correct it.")
    shown = truth(seed, changes)
    mask = Image.fromarray(part_masks.coloured(shown.parts, PART_PALETTE))
    told = {"seed": seed, "caption": shown.caption, "attributes": shown.attributes}
    return Image.fromarray(shown.image), mask, told


FUNCTIONS = (portrait,)
