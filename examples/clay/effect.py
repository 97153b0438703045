"""How much each parameter shows: the change of a portrait when that one alone is redrawn.

For every name, E[(x - x')^2] over pixels and channels in [0, 1]: x a validation portrait, x' the
same portrait with this one value taken from the next portrait of the split, so that it is a fresh
draw of the population, also where most of it is "none" or 0. A drawn dimension moves what is
derived from it; of the derived ones (smile, mouth_frown, ...) the value itself is exchanged and
nothing else. Rare expressions therefore count as rarely as they are met: `mouth_frown` and
`brow_knit` change in about three portraits of ten.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from examples.clay.dataset import latents, split_seeds
from examples.clay.parameters import DERIVED, DRAWN, INDEX, draw

EFFECTS: tuple[str, ...] = (*(dimension.name for dimension in DRAWN), *DERIVED)
_COORDINATE = {dimension.name: i for i, dimension in enumerate(DRAWN)}


def redrawn(z: np.ndarray, name: str) -> np.ndarray:
    """Parameters (N, 97) of latent codes z (N, 512), each with `name` of the next one."""
    if name in _COORDINATE:
        moved = z.copy()
        moved[:, _COORDINATE[name]] = np.roll(z[:, _COORDINATE[name]], -1)
        return draw(moved)
    parameters = draw(z)
    parameters[:, INDEX[name]] = np.roll(parameters[:, INDEX[name]], -1)
    return parameters


def effects(names: Sequence[str] = (), count: int = 64, size: int = 64) -> dict[str, float]:
    """Mean squared change of pictures in [0, 1] for each name, the largest first; () takes all."""
    from examples.clay.render import render

    unknown = [name for name in names if name not in EFFECTS]
    if unknown:
        raise ValueError(f"names must be of {', '.join(EFFECTS)}; got {', '.join(unknown)}.")
    if count < 2:
        raise ValueError(f"count must be at least 2 to exchange values; got {count}.")
    z = latents(*split_seeds("validation", count))
    before = render(draw(z), size)[0].astype(np.float32)
    found = {}
    for name in names or EFFECTS:
        change = (render(redrawn(z, name), size)[0] - before) / 255
        found[name] = float(np.square(change).mean())
    return dict(sorted(found.items(), key=lambda item: -item[1]))
