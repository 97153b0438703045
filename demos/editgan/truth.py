"""The true answer to library edits: the same portrait rendered with what their names say.

The renderer knows a smile or a pair of glasses; it does not know a mask that somebody painted,
unless that mask is its own, as in the stored examples.
"""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from examples.clay.parameters import draw, latent
from examples.clay.part_edits import PART_EDITS
from examples.editgan.results import PAINTED
from examples.portraits import unseen

# An edit without parameters is painted by its recipe as well: nobody rendered it.
KNOWN = {name: edit for name, edit in PART_EDITS.items() if edit.paint is None}


def truth(seed: int | None, scales: Mapping[str, float]) -> Image.Image | None:
    """The test portrait of a seed with these edits; None where one of them is not known."""
    edits = {name: KNOWN.get(name.removeprefix(PAINTED)) for name in scales}
    if seed is None or not unseen(seed) or not edits or None in edits.values():
        return None
    from examples.clay import portrait  # numba is imported here, after the page is up

    overrides: dict[str, object] = {}
    for name, scale in scales.items():
        overrides |= edits[name].apply(draw(latent(seed), overrides), scale)
    return Image.fromarray(portrait(seed, **overrides).image)
