"""Make the stored results of the in-domain page with the real networks.

    python -m examples.indomain [KIND ...]

All kinds by default, about five minutes on two CPU cores. All inputs are portraits of the test
split. The folder's other pictures are not touched.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from examples.indomain import results
from examples.indomain.results import STORED
from examples.portraits import TEST
from examples.stored import Stored

Compute = Callable[[Any, str], Stored]


def _of(compute: Callable, *places: int) -> Compute:
    """A result of portraits at these places of the test split."""
    seeds = [TEST.start + place for place in places]
    return lambda pipeline, name: compute(pipeline, name, seeds)


def _changed(place: int, **changes: float) -> Compute:
    """A portrait with attributes changed."""
    return lambda pipeline, name: results.manipulate(pipeline, name, TEST.start + place, changes)


def _mixed(contents: Sequence[int], styles: Sequence[int], **options: int) -> Compute:
    """Portraits as contents with the last layers of portraits as styles."""
    seeds = [[TEST.start + place for place in side] for side in (contents, styles)]
    return lambda pipeline, name: results.mix(pipeline, name, *seeds, **options)


# The first number is the target, the picture to invert or to edit, or the first end.
CHOSEN: dict[str, dict[str, Compute]] = {
    "diffuse": {
        "A face into two pictures": _of(results.diffuse, 3, 8, 15),
        "Another face": _of(results.diffuse, 21, 30, 4),
    },
    "invert": {
        "Portrait one": _of(results.invert, 3),
        "Portrait two": _of(results.invert, 8),
        "Portrait three": _of(results.invert, 15),
    },
    "interpolate": {
        "From one to another": _of(results.interpolate, 3, 8),
        "A longer way": _of(results.interpolate, 15, 21),
    },
    "manipulate": {
        "Older, with glasses": _changed(37, age=0.6, glasses=0.6),
        "Turned, and smiling": _changed(5, smile=0.5, yaw=15.0),
    },
    "mix": {
        "Two people, two palettes": _mixed((24, 53), (63, 8)),
        "More layers": _mixed((15, 54), (41, 57), layers=7),
    },
}


def make(pipeline: Any, kinds: Sequence[str] = tuple(CHOSEN)) -> None:
    """Compute and write every stored result of these kinds."""
    made: dict[str, list[Stored]] = {}
    for kind in kinds:
        made[kind] = []
        for name, compute in CHOSEN[kind].items():
            made[kind].append(compute(pipeline, name))
            print(f"{kind}: {name}", flush=True)
    STORED.write(made)


def main() -> None:
    from pipelines.indomain import InDomain  # torch: only where something is computed

    parser = argparse.ArgumentParser(description="Make the stored results of the in-domain page.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(CHOSEN)}")
    kinds = parser.parse_args().kinds or tuple(CHOSEN)
    if unknown := set(kinds) - CHOSEN.keys():
        parser.error(f"KIND must be one of {', '.join(CHOSEN)}; got {', '.join(sorted(unknown))}.")
    make(InDomain.from_pretrained(), kinds)


if __name__ == "__main__":
    main()
