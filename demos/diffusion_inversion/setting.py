"""What the parts of the page must know of the domain they work in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from demos.kit.bridge import CLAY
from demos.kit.imaging import SIDE
from examples.clay.parts import CLASSES
from examples.clay.styles import STYLES

LARGEST = 256  # px of a mask or pad; more is more than a hand can tell apart
STEPS = 20  # of ControlNet
FIRST = 999  # the step that is read
# CelebAMask-HQ's 19 classes in words; left and right are the picture's.
CLASS_NAMES = {
    "bg": "background", "l_brow": "left brow", "r_brow": "right brow", "l_eye": "left eye",
    "r_eye": "right eye", "eye_g": "glasses", "l_ear": "left ear", "r_ear": "right ear",
    "ear_r": "earring", "u_lip": "upper lip", "l_lip": "lower lip", "neck_l": "necklace",
    "cloth": "clothes",
}  # fmt: skip
NAMES = tuple(CLASS_NAMES.get(name, name) for name in CLASSES)


@dataclass(frozen=True)
class Setting:
    """A domain: `side` of its pictures [px], `styles` it is trained for.

    rendered: whether a renderer knows never-seen portraits, their masks and true answers; faces:
    whether pictures show faces, to which an own one can be aligned.
    """

    name: str
    side: int
    styles: tuple[str, ...]
    rendered: bool
    faces: bool

    @property
    def canvas(self) -> int:
        """The side of masks and scribbles [px]."""
        return min(self.side, LARGEST)


CLAY_HEADS = Setting(CLAY, SIDE, STYLES, rendered=True, faces=True)


def setting_of(name: str, pipeline: Any, extras: tuple[str, ...] = ()) -> Setting:
    """A photo domain as its loaded pipeline has it; `extras` are those that the page may use."""
    faces = "faces/yunet" in extras
    return Setting(name, pipeline.size, tuple(pipeline.styles), rendered=False, faces=faces)
