"""Make the stored results of the in-domain page with the real networks.

    python -m examples.indomain [KIND ...]

All kinds by default, about five minutes on two CPU cores. All inputs are portraits of the test
split. The folder's other pictures are not touched.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from demos.indomain import PAPER, diffuse, interpolate, invert, manipulate, mix
from demos.kit.portraits import TEST, never_seen
from demos.kit.stored import Stored

Seeds = Sequence[int]


def _faces(compute: Callable, *places: int) -> Callable[[Any, str], Stored]:
    """A result of portraits at these places of the test split, the first one the main input."""
    seeds = [TEST.start + place for place in places]
    return lambda pipeline, name: compute(pipeline, name, seeds, [never_seen(s) for s in seeds])


def _changed(place: int, **changes: float) -> Callable[[Any, str], Stored]:
    """A portrait with attributes changed."""
    seed = TEST.start + place
    return lambda pipeline, name: manipulate.compute(
        pipeline, name, seed, never_seen(seed), changes
    )


def _mixed(
    contents: Seeds, styles: Seeds, layers: int = mix.LAYERS
) -> Callable[[Any, str], Stored]:
    """Portraits as contents with the last layers of portraits as styles."""

    def compute(pipeline: Any, name: str) -> Stored:
        seeds = [[TEST.start + place for place in side] for side in (contents, styles)]
        sides = [[never_seen(seed) for seed in side] for side in seeds]
        named = dict(zip(("contents", "styles"), seeds, strict=True))
        return mix.compute(pipeline, name, *sides, layers, named)

    return compute


# The first number is the target, the picture to invert or to edit, or the first end.
CHOSEN: dict[str, dict[str, Callable[[Any, str], Stored]]] = {
    "diffuse": {
        "A face into two pictures": _faces(diffuse.compute, 3, 8, 15),
        "Another face": _faces(diffuse.compute, 21, 30, 4),
    },
    "invert": {
        "Portrait one": _faces(invert.compute, 3),
        "Portrait two": _faces(invert.compute, 8),
        "Portrait three": _faces(invert.compute, 15),
    },
    "interpolate": {
        "From one to another": _faces(interpolate.compute, 3, 8),
        "A longer way": _faces(interpolate.compute, 15, 21),
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
    results: dict[str, list[Stored]] = {}
    for kind in kinds:
        results[kind] = []
        for name, compute in CHOSEN[kind].items():
            results[kind].append(compute(pipeline, name))
            print(f"{kind}: {name}", flush=True)
    PAPER.stored.write(results)


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
