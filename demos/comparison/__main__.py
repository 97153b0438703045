"""Make what the comparison on the first page shows at once, with the real networks.

    python -m demos.comparison [PAPER ...]

Every paper that is switched on and takes part is computed anew; with names, these alone, for the
scenes that are stored. Each scene is the best of several
candidates: portraits of the validation split whom every change changes, with the same thing before
the face. The number is the same for all papers: by how much their edits come nearer to the true
answers than their inversions are, in LPIPS, the mean of all edits.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from typing import Any

from demos.comparison import store
from demos.comparison.method import CHANGES
from demos.comparison.session import Entrant, entrants, moved
from demos.kit.bridge import Pipelines
from demos.kit.paper import load
from demos.kit.shelf import NOTHING, Scene
from demos.papers import PAPERS
from examples.choosing import candidates

# name for visitors: the thing, its kind and its place, the change that is shown first, and the
# place in the pool from where candidates are taken
CHOSEN = {
    "A mug, and glasses": ("mug", 0.5, 0.3, "glasses", 2000),
    "A hand, and older": ("hand", 0.5, 0.3, "older", 2100),
    "Nothing, and a smile": (NOTHING, 0.5, 0.3, "smile", 2200),
}


def staged(thing: str, look: float, shift: float, first: int) -> list[Scene]:
    """The candidates of a scene."""
    found = candidates(1, first, lambda seed: _suits(Scene(seed, thing, look, shift)))
    return [Scene(seed, thing, look, shift) for (seed,) in found]


def make(all_of: Sequence[Entrant], chosen: Any = CHOSEN) -> None:
    """Compute and write every scene; says each one's number."""
    found = []
    for name, (thing, look, shift, change, first) in chosen.items():
        scenes = staged(thing, look, shift, first)
        results = [store.computed(all_of, scene, name, change) for scene in scenes]
        found.append(max(results, key=lambda result: result.gain))
        print(f"{name}: {found[-1].gain:.3f}", flush=True)
    store.write(all_of, found)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m demos.comparison", description="Makes the comparison's stored examples."
    )
    parser.add_argument("papers", nargs="*", metavar="PAPER", help="for the scenes as they are")
    asked = parser.parse_args().papers
    loads = {p.slug: Pipelines(functools.partial(load, p.pipeline)) for p in PAPERS}
    found = {entrant.paper.slug: entrant for entrant in entrants(PAPERS, loads)}
    if unknown := set(asked) - found.keys():
        parser.error(f"PAPER must be one of {', '.join(found)}; got {', '.join(sorted(unknown))}.")
    for slug in asked:
        store.renew(found[slug])
    if not asked:
        make(tuple(found.values()))


def _suits(scene: Scene) -> bool:
    return all(moved(scene, name) for name in CHANGES)


if __name__ == "__main__":
    main()
