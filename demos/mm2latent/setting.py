"""What the parts of the page must know of the domain they work in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from demos.kit.bridge import CLAY
from demos.kit.imaging import SIDE
from demos.kit.prompts import CLAY_GROUPS, Groups
from examples.clay.parameters import EXPRESSION, POSE, SHAPE, limits

NONE, MASK, SKETCH, HEAD = "none", "mask", "sketch", "morphable"
KINDS = {NONE: "None", MASK: "Mask", SKETCH: "Sketch", HEAD: "Head in 3D"}
IN_TEXT = {MASK: "mask", SKETCH: "sketch", HEAD: "head in 3D"}
CLASS_NAMES = (
    "background", "skin", "left brow", "right brow", "left eye", "right eye", "glasses", "left ear",
    "right ear", "earring", "nose", "open mouth", "upper lip", "lower lip", "neck", "necklace",
    "clothing", "hair", "hat",
)  # fmt: skip
SKIN = CLASS_NAMES.index("skin")
FIRST_SHOWN = 8  # coefficients of a group of a photo domain's model; the later ones say little
_AT_REST = {"lid_open": 1.0}  # of clay heads; all others are 0


@dataclass(frozen=True)
class Number:
    """One 3DMM number: its name in the pipeline, its group, its range, and its value at rest."""

    name: str
    group: str
    low: float
    high: float
    rest: float = 0.0


@dataclass(frozen=True)
class Setting:
    """A domain: `side` of its pictures [px], the kinds of conditions, 3DMM numbers with a slider.

    rendered: whether a renderer knows never-seen portraits and true answers; faces: whether
    pictures show faces, to which an own one can be aligned; chips: words to press below a prompt;
    places: of `numbers` in the model's order.
    """

    name: str
    side: int
    kinds: tuple[str, ...]
    numbers: tuple[Number, ...]
    rendered: bool
    faces: bool
    chips: Groups
    places: tuple[int, ...]

    def named(self, found: np.ndarray) -> dict[str, float]:
        """Numbers in the model's order, (n,), by name: those that have a slider, within range."""
        pairs = zip(self.numbers, np.asarray(found)[list(self.places)], strict=True)
        # As Python's numbers: a bound in single precision may lie outside of itself.
        return {n.name: float(np.clip(float(value), n.low, n.high)) for n, value in pairs}


def _clay_numbers() -> tuple[Number, ...]:
    groups = {"Shape": SHAPE, "Expression": EXPRESSION, "Turn": POSE}
    return tuple(
        Number(name, group, *limits(name), _AT_REST.get(name, 0.0))
        for group, names in groups.items()
        for name in names
    )


CLAY_HEADS = Setting(
    CLAY, SIDE, (MASK, SKETCH, HEAD), _clay_numbers(), rendered=True, faces=True,
    chips=CLAY_GROUPS, places=tuple(range(len(SHAPE) + len(EXPRESSION) + len(POSE))),
)  # fmt: skip


def setting_of(name: str, pipeline: Any, extras: tuple[str, ...] = ()) -> Setting:
    """A photo domain as its loaded pipeline has it; `extras` are those that the page may use."""
    layout, places, numbers = pipeline.layout, [], []
    for group, names in layout.groups.items():
        start = layout.columns(group).start
        for i, number in enumerate(names[:FIRST_SHOWN]):
            low, high = layout.ranges[number]
            numbers.append(Number(number, group.capitalize(), low, high, (low + high) / 2))
            places.append(start + i)
    return Setting(
        name, pipeline.size, tuple(pipeline.conditions), tuple(numbers), rendered=False,
        faces="faces/yunet" in extras, chips={}, places=tuple(places),
    )  # fmt: skip
