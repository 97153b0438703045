"""Portraits of which half are hard to invert: before sharp clutter, with a prop, or both.

No generator here has seen a prop or a sharp backdrop. Portrait i is plain for even i; odd ones take
the three hard kinds in turn, and every prop in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from examples.clay.parameters import PROPS, SEEDS, draw, latent
from examples.clay.parts import CLASSES, PART_TO_CLASS, PROP
from examples.clay.render import render

KINDS = ("plain", "clutter", "prop", "prop and clutter")
FIRST = {  # seeds that no rendered set of a training reaches
    "train": SEEDS["train"][500_000],
    "validation": SEEDS["validation"][50_000],
    "test": SEEDS["test"][50_000],
}
PROP_CLASS = len(CLASSES)  # of a prop, among the true classes


@dataclass(frozen=True, eq=False)
class HardPortraits:
    """Pictures, their true classes (PROP_CLASS on a prop) and the kind of each, into KINDS."""

    images: UInt8[np.ndarray, "n s s 3"]
    classes: UInt8[np.ndarray, "n s s"]
    kinds: UInt8[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def props(self) -> Bool[np.ndarray, "n s s"]:
        """Where a prop is seen."""
        return self.classes == PROP_CLASS


def kind_of(index: int) -> str:
    """The kind of the i-th portrait."""
    return KINDS[0] if index % 2 == 0 else KINDS[1 + index // 2 % 3]


def staging(index: int) -> dict[str, object]:
    """What is staged for the i-th portrait, as `parameters.draw` takes it."""
    kind, staged = kind_of(index), {}
    if "clutter" in kind:
        staged["focus"] = 1.0
    if "prop" in kind:
        look = np.random.default_rng(index)
        staged["prop"] = PROPS[1 + index // 6 % (len(PROPS) - 1)]
        staged["prop_look"] = float(look.uniform(0, 1))
        staged["prop_shift"] = float(look.uniform(-1, 1))
    return staged


def hard_portraits(split: str, indices: Sequence[int], size: int) -> HardPortraits:
    """The portraits of these numbers, `size` px, from the seeds of a split."""
    rows = np.stack([draw(latent(FIRST[split] + i), staging(i)) for i in indices])
    images, parts = render(rows, size)
    parts = np.asarray(parts)
    classes = np.append(PART_TO_CLASS, PROP_CLASS)[np.minimum(parts, PROP)].astype(np.uint8)
    kinds = np.array([KINDS.index(kind_of(i)) for i in indices], np.uint8)
    return HardPortraits(np.asarray(images), classes, kinds)


def kept(path: Path, split: str, count: int, size: int) -> HardPortraits:
    """The first `count` portraits, from a file where it has them, else rendered into it."""
    if path.exists():
        with np.load(path) as found:
            if len(found["kinds"]) == count and found["images"].shape[1] == size:
                return HardPortraits(found["images"], found["classes"], found["kinds"])
    portraits = hard_portraits(split, range(count), size)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"partial-{path.name}")
    np.savez(
        partial, images=portraits.images, classes=portraits.classes, kinds=portraits.kinds
    )  # fmt: skip
    partial.replace(path)  # never half written
    return portraits
