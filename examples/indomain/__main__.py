"""Make the stored results of the in-domain page with the real networks.

    python -m examples.indomain [KIND ...]

All kinds by default, about twenty minutes on two CPU cores: each is the best of several candidates,
portraits of the validation split, by the number of `promises.py`. The folder's other pictures are
not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from examples import choosing
from examples.choosing import Chosen, Compute, Number
from examples.clay.edits import EDITS
from examples.clay.parameters import draw, latent
from examples.indomain import promises, results
from examples.indomain.results import STORED
from examples.portraits import hairy
from examples.stored import Stored


def _of(
    compute: Callable,
    number: Number,
    count: int,
    first: int,
    suits: Callable[[int], bool] = lambda seed: True,
) -> Compute:
    """A result of `count` portraits, the first of them the target or the one to invert."""

    def made(pipeline: Any, name: str) -> Stored | None:
        candidates = choosing.candidates(count, first, suits)
        return choosing.best(
            pipeline, lambda seeds: compute(pipeline, name, seeds), candidates, number
        )

    return made


def _changed(first: int, **changes: float) -> Compute:
    """A portrait with attributes changed, each of which it has not yet."""

    def compute(pipeline: Any, name: str, seeds: Sequence[int]) -> Stored:
        return results.manipulate(pipeline, name, seeds[0], changes)

    def suits(seed: int) -> bool:
        parameters = draw(latent(seed))
        return all(EDITS[name].apply(parameters, change) for name, change in changes.items())

    return _of(compute, promises.manipulated, 1, first, suits)


def _mixed(first: int, **options: int) -> Compute:
    """Two portraits as contents with the last layers of two others as styles."""

    def made(pipeline: Any, name: str) -> Stored | None:
        def compute(seeds: Sequence[int]) -> Stored:
            return results.mix(pipeline, name, seeds[:2], seeds[2:], **options)

        candidates = choosing.candidates(4, first, hairy)
        return choosing.best(pipeline, compute, candidates, promises.mixed)

    return made


# The last number is the place in the pool from where candidates are taken.
CHOSEN: Chosen = {
    "diffuse": {
        "A face into two pictures": _of(results.diffuse, promises.diffused, 3, 0),
        "Another face": _of(results.diffuse, promises.diffused, 3, 100),
    },
    "invert": {
        "Portrait one": _of(results.invert, promises.inverted, 1, 200),
        "Portrait two": _of(results.invert, promises.inverted, 1, 300),
        "Portrait three": _of(results.invert, promises.inverted, 1, 400),
    },
    "interpolate": {
        "From one to another": _of(results.interpolate, promises.interpolated, 2, 500),
        "A longer way": _of(results.interpolate, promises.interpolated, 2, 600),
    },
    "manipulate": {
        "Older, with glasses": _changed(700, age=0.6, glasses=0.6),
        "Turned, and smiling": _changed(800, smile=0.5, yaw=15.0),
    },
    "mix": {
        "Two people, two palettes": _mixed(900, layers=5),
        "More layers": _mixed(1000, layers=7),
    },
}


def make(pipeline: Any, chosen: Chosen = CHOSEN) -> None:
    """Compute and write every one of these results that keeps its promise."""
    choosing.make(STORED, pipeline, chosen)


def main() -> None:
    chosen = choosing.asked("in-domain", CHOSEN)
    from pipelines.indomain import InDomain  # torch: only where something is computed

    make(InDomain.from_pretrained(), chosen)


if __name__ == "__main__":
    main()
