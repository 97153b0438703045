"""What the parts of the page must know of the domain they work in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from demos.kit.bridge import CLAY
from demos.kit.imaging import SIDE
from demos.sam_inversion.session import NO_RIVAL
from examples.clay.edits import EDITS

# The methods of Table 4.1 by the pipeline's names, and what a reader calls them.
METHODS = {
    "hybrid": "W+ from the encoder",
    "w+": "W+ from the mean",
    "w": "W",
    "gaussian-prior": "W+, Gaussian prior",
    "pti": "PTI",
    "e4e": "e4e",
    "restyle": "ReStyle",
}
LABELS = METHODS | {NO_RIVAL: "Nothing", "sam": "SAM"}
PRINCIPAL, SHOWN, REACH = "principal direction {}", 4, 3.0  # GANSpace's; standard deviations


@dataclass(frozen=True)
class Attribute:
    """What an edit changes: the pipeline's name, words, and the changes that strengths 1 and -1
    stand for, in the attribute's own unit."""

    name: str
    label: str
    unit: str
    low: float
    high: float

    def change(self, strength: float) -> float:
        return strength * (self.high if strength > 0 else -self.low)


_DIRECTIONS = tuple(
    Attribute(PRINCIPAL.format(i), f"Direction {i}", "standard deviations", -REACH, REACH)
    for i in range(1, SHOWN + 1)
)


@dataclass(frozen=True)
class Setting:
    """A domain: `side` of its pictures [px], `attributes` to edit, `methods` to stand beside SAM.

    rendered: whether a renderer knows never-seen portraits and true answers; faces: whether
    pictures show faces, to which an own one can be aligned.
    """

    name: str
    side: int
    attributes: tuple[Attribute, ...]
    rendered: bool
    faces: bool
    methods: tuple[str, ...] = tuple(METHODS)

    def attribute(self, name: str) -> Attribute:
        return next(attribute for attribute in self.attributes if attribute.name == name)

    def about(self, pipeline: Any = None) -> dict[str, Any]:
        """What a file of codes says of itself; a stored one says itself whose codes it holds."""
        whose = {} if pipeline is None else pipeline.layout.about
        return {"method": "SAM inversion", "domain": self.name, **whose}


CLAY_HEADS = Setting(
    CLAY, SIDE,
    (*(Attribute(e.name, e.label, e.unit, e.low, e.high) for e in EDITS.values()), *_DIRECTIONS),
    rendered=True, faces=True,
)  # fmt: skip


def setting_of(name: str, pipeline: Any, extras: Sequence[str] = ()) -> Setting:
    """A photo domain as its loaded pipeline has it; `extras` are those that the page may use."""
    attributes = [
        Attribute(key, key.replace("_", " ").capitalize(), "units", edge.low, edge.high)
        for key, edge in pipeline.boundaries.items()
    ]
    return Setting(
        name, pipeline.size, (*attributes, *_DIRECTIONS), rendered=False,
        faces="faces/yunet" in extras, methods=pipeline.methods,
    )  # fmt: skip
