"""Make the stored results of the page of diffusion-driven inversion with the real networks.

    python -m examples.diffusion_inversion [KIND ...]

All kinds by default. Each is the best of several candidates, portraits of the validation split, by
the numbers of `results.py`; of a style, which of them it is is chosen too.
"""

from __future__ import annotations

from itertools import islice, product
from typing import Any

from examples import choosing
from examples.choosing import Chosen, Compute
from examples.diffusion_inversion import results
from examples.diffusion_inversion.results import MASK, SCRIBBLE, STORED
from examples.portraits import hairy
from examples.stored import Stored


def _seeds(first: int, count: int = choosing.CANDIDATES) -> list[int]:
    """Portraits with hair that is seen: its colour is said by words alone."""
    return [seed for (seed,) in islice(choosing.groups(1, first, hairy), count)]


def _asked(task: str, first: int) -> Compute:
    """A caption with the mask or scribble of its portrait."""

    def made(pipeline: Any, name: str) -> Stored | None:
        def compute(seed: int) -> Stored:
            return results.request(pipeline, name, seed, task)

        # Of four portraits it may be that none shows what is said better than its mask alone.
        seeds = _seeds(first, 3 * choosing.CANDIDATES)
        return choosing.best(pipeline, compute, seeds, results.both_count)

    return made


def _styled(first: int) -> Compute:
    """A portrait in whichever style comes nearest to its true picture."""

    def made(pipeline: Any, name: str) -> Stored | None:
        def compute(candidate: tuple[int, str]) -> Stored:
            return results.style(pipeline, name, *candidate)

        candidates = list(product(_seeds(first), pipeline.styles))
        return choosing.best(pipeline, compute, candidates, results.near)

    return made


# The last number is the place in the pool from where candidates are taken.
CHOSEN: Chosen = {
    "request": {
        "Words and a mask": _asked(MASK, 0),
        "Words and a scribble": _asked(SCRIBBLE, 100),
    },
    "style": {"In another style": _styled(200)},
}


def make(pipeline: Any, chosen: Chosen = CHOSEN) -> None:
    """Compute and write every one of these results that keeps its promise."""
    choosing.make(STORED, pipeline, chosen)


def main() -> None:
    chosen = choosing.asked("diffusion-driven inversion", CHOSEN)
    from pipelines.diffusion_inversion import DiffusionInversion  # torch: only for computing

    make(DiffusionInversion.from_pretrained(), chosen)


if __name__ == "__main__":
    main()
