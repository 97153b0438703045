"""Make the stored results of the MM2Latent page with the real networks.

    python -m examples.mm2latent [KIND ...]

All kinds by default, about a minute on one CPU core: each is the best of several candidates,
portraits of the validation split, by the number of `results.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from examples import choosing
from examples.choosing import Chosen, Compute
from examples.clay.parameters import draw, latent, named
from examples.mm2latent import results
from examples.mm2latent.results import STORED, Wish
from examples.stored import Stored

STRENGTHS = (0.5, 1.0, 2.0)  # of an edit, among which it is chosen too


def _suits(wish: Wish) -> Callable[[int], bool]:
    """Portraits with hair that is seen, which show nothing of what is asked for yet."""

    def suits(seed: int) -> bool:
        own = named(draw(latent(seed)))
        asked = any(own[name] == value for name, value in wish.drawn.items())
        return own["hat"] == "none" and own["hair_length"] > 0.2 and not asked

    return suits


def _seeds(wish: Wish, first: int) -> list[int]:
    return [seed for (seed,) in choosing.candidates(1, first, _suits(wish))]


def _asked(kind: str, wish: Wish, first: int) -> Compute:
    """Words with the condition of a portrait."""

    def made(pipeline: Any, name: str) -> Stored | None:
        def compute(seed: int) -> Stored:
            return results.generate(pipeline, name, seed, kind, wish)

        return choosing.best(pipeline, compute, _seeds(wish, first), results.obeyed)

    return made


def _edited(wish: Wish, first: int) -> Compute:
    """An edit of a portrait."""

    def made(pipeline: Any, name: str) -> Stored | None:
        def compute(candidate: tuple[int, float]) -> Stored:
            return results.edit(pipeline, name, candidate[0], wish, candidate[1])

        candidates = list(product(_seeds(wish, first), STRENGTHS))
        return choosing.best(pipeline, compute, candidates, results.arrived)

    return made


_RED = Wish("red hair, a full beard", {"hair_color": "red", "beard": "full beard"})
_WHITE = Wish("white hair, stubble", {"hair_color": "white", "beard": "stubble"})
_TURNED = Wish("blond hair, round glasses", {"hair_color": "blond", "glasses": "round"}, turn=30)
_BEARD = Wish("a portrait of a person with a full beard", {"beard": "full beard"})
# The last number is the place in the pool from where candidates are taken.
CHOSEN: Chosen = {
    "generate": {
        "Words and a mask": _asked("mask", _RED, 0),
        "Words and a sketch": _asked("sketch", _WHITE, 100),
        "Words and a turned head": _asked("morphable", _TURNED, 200),
    },
    "edit": {
        "A full beard, by words": _edited(_BEARD, 300),
        "A turn of the head": _edited(Wish(turn=20), 400),
    },
}


def make(pipeline: Any, chosen: Chosen = CHOSEN) -> None:
    """Compute and write every one of these results that keeps its promise."""
    choosing.make(STORED, pipeline, chosen)


def main() -> None:
    chosen = choosing.asked("MM2Latent", CHOSEN)
    from pipelines.mm2latent import MM2Latent  # torch: only where something is computed

    make(MM2Latent.from_pretrained(), chosen)


if __name__ == "__main__":
    main()
