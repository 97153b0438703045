"""Make the stored results of the page of SAM inversion with the real networks.

    python -m examples.sam_inversion [KIND ...]

All kinds by default. Each scene is the best of several candidates, portraits of the validation
split with the same thing before the face, by the number of `results.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from examples import choosing
from examples.choosing import Chosen, Compute
from examples.portraits import room
from examples.sam_inversion import results
from examples.sam_inversion.results import STORED, Staging
from examples.stored import Stored

ENOUGH = 0.5  # of a change that is asked for, which a portrait must have room for


def _suits(staging: Staging) -> Callable[[int], bool]:
    """Portraits that have not yet what the edit gives them."""

    def suits(seed: int) -> bool:
        found = room(seed, staging.edit, staging.change, staging.overrides)
        return abs(found) >= ENOUGH * abs(staging.change)

    return suits


def _staged(staging: Staging, first: int) -> Compute:
    """A scene; candidates are taken from place `first` of the pool on."""

    def made(pipeline: Any, name: str) -> Stored | None:
        def compute(seed: int) -> Stored:
            return results.scene(pipeline, name, seed, staging)

        seeds = [seed for (seed,) in choosing.candidates(1, first, _suits(staging))]
        return choosing.best(pipeline, compute, seeds, results.promise)

    return made


CHOSEN: Chosen = {
    "scene": {
        "A mug, and longer hair": _staged(Staging("mug", "hair_length", 0.6), 0),
        "A hand, and other light": _staged(Staging("hand", "light", 0.6), 100),
        "A microphone, and older": _staged(Staging("microphone", "age", 0.8, shift=-0.3), 200),
    }
}


def make(pipeline: Any, chosen: Chosen = CHOSEN) -> None:
    """Compute and write every one of these results that keeps its promise."""
    choosing.make(STORED, pipeline, chosen)


def main() -> None:
    chosen = choosing.asked("SAM inversion", CHOSEN)
    from pipelines.sam_inversion import SAMInversion  # torch: only where something is computed

    make(SAMInversion.from_pretrained(), chosen)


if __name__ == "__main__":
    main()
