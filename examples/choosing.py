"""Which portraits become stored examples: those that keep best what the page promises of them.

Every candidate is computed, and a number says by how much it keeps the promise; the best one is
stored. Candidates are portraits of the validation split, on which no network was trained and from
which no measurement is reported.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from examples.clay.parameters import SEEDS
from examples.stored import Stored, StoredResults

POOL = SEEDS["validation"]
CANDIDATES = 4  # of each example
Number = Callable[[Any, Stored], float]  # of a pipeline and a result; above 0 keeps the promise
Compute = Callable[[Any, str], Stored | None]  # of a pipeline and a name for visitors
Chosen = Mapping[str, Mapping[str, Compute]]  # kind -> name -> how that result is made
T = TypeVar("T")


def groups(count: int, first: int, suits: Callable[[int], bool] = lambda seed: True) -> Iterator:
    """Groups of `count` seeds of the pool from place `first` on, each seed in one group."""
    seeds = (seed for seed in POOL[first:] if suits(seed))
    while len(group := tuple(islice(seeds, count))) == count:
        yield group


def candidates(
    count: int, first: int, suits: Callable[[int], bool] = lambda seed: True
) -> list[tuple[int, ...]]:
    """As many of `groups` as an example has candidates."""
    return list(islice(groups(count, first, suits), CANDIDATES))


def best(
    pipeline: Any,
    compute: Callable[[T], Stored],
    candidates: Sequence[T],
    number: Number,
) -> Stored | None:
    """The result with the highest number, which its values keep as "promise"; None where no
    candidate keeps the promise: an example that breaks it is not shown."""
    made = [compute(candidate) for candidate in candidates]
    numbers = [number(pipeline, result) for result in made]
    place = max(range(len(made)), key=numbers.__getitem__)
    if not numbers[place] > 0:
        return None
    values = {**made[place].values, "promise": numbers[place]}
    return replace(made[place], values=values)


def make(stored: StoredResults, pipeline: Any, chosen: Chosen) -> None:
    """Compute and write every result that keeps its promise, in place of what is stored of these
    kinds; says each one's number."""
    made: dict[str, list[Stored]] = {}
    for kind, named in chosen.items():
        made[kind] = []
        for name, compute in named.items():
            result = compute(pipeline, name)
            made[kind] += [result] if result else []
            words = f"{result.values['promise']:.3f}" if result else "left out, no candidate is so"
            print(f"{kind}: {name}: {words}", flush=True)
    stored.write(made)


def asked(page: str, chosen: Chosen) -> Chosen:
    """What the command line asks for: the kinds that it names, all by default."""
    parser = argparse.ArgumentParser(description=f"Make the stored results of the {page} page.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(chosen)}")
    kinds = parser.parse_args().kinds or tuple(chosen)
    if unknown := set(kinds) - chosen.keys():
        parser.error(f"KIND must be one of {', '.join(chosen)}; got {', '.join(sorted(unknown))}.")
    return {kind: chosen[kind] for kind in kinds}
