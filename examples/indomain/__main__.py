"""Make the stored results of the in-domain page with the real networks.

    python -m examples.indomain

About five minutes on two CPU cores. All inputs are portraits of the test split.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from demos.indomain import diffuse, interpolate, invert, stored
from demos.portraits import TEST, never_seen

# The first number of each row is the target, the picture to invert or the first end.
CHOSEN = {
    "diffuse": {"A face into two pictures": (3, 8, 15), "Another face": (21, 30, 4)},
    "invert": {"Portrait one": (3,), "Portrait two": (8,), "Portrait three": (15,)},
    "interpolate": {"From one to another": (3, 8), "A longer way": (15, 21)},
}
PARTS = {"diffuse": diffuse, "invert": invert, "interpolate": interpolate}


def make(pipeline: Any, folder: Path = stored.FOLDER) -> None:
    """Compute and write every stored result."""
    results = {}
    for kind, chosen in CHOSEN.items():
        results[kind] = []
        for name, places in chosen.items():
            seeds = [TEST.start + place for place in places]
            faces = [never_seen(seed) for seed in seeds]
            results[kind].append(PARTS[kind].compute(pipeline, name, seeds, faces))
            print(f"{kind}: {name}", flush=True)
    stored.write(results, folder)


if __name__ == "__main__":
    from pipelines.indomain import InDomain

    make(InDomain.from_pretrained())
