"""Which portraits become stored examples: those that keep best what the page promises of them.

Every candidate is computed, and a number says by how much it keeps the promise; the best one is
stored. Candidates are portraits of the validation split, on which no network was trained and from
which no measurement is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from examples.clay.parameters import SEEDS
from examples.stored import Stored

POOL = SEEDS["validation"]
CANDIDATES = 4  # of each example
Number = Callable[[Any, Stored], float]  # of a pipeline and a result; above 0 keeps the promise
T = TypeVar("T")


def groups(count: int, first: int, suits: Callable[[int], bool] = lambda seed: True) -> Iterator:
    """Groups of `count` seeds of the pool from place `first` on, each seed in one group."""
    seeds = (seed for seed in POOL[first:] if suits(seed))
    while len(group := tuple(islice(seeds, count))) == count:
        yield group


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
