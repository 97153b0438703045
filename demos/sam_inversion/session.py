"""What one visitor's session holds: a picture with its predicted errors, and its inversions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from demos.kit.imaging import refuse
from demos.kit.inputs import aligned
from demos.kit.shelf import Scene
from demos.sam_inversion.chart import Points
from examples.clay.edits import EDITS
from examples.stored import Stored

SAM, NO_RIVAL = "sam", "none"


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture as the networks see it, and what its map was predicted from.

    maps: `InvertibilityMaps`; scene: what the renderer drew, None of an own picture; crop: x, y and
    zoom of the input; session: the mark of this map in the browser; thing: where that before the
    face is seen, bool (H, W), None where there is none.
    """

    picture: Image.Image
    maps: Any
    scene: Scene | None
    crop: tuple[float, float, float]
    segments: str
    session: str
    thing: np.ndarray | None = None

    def __deepcopy__(self, memo: dict) -> Seen:
        return self  # nothing in it changes

    def truth(self, attribute: str, change: float) -> Image.Image | None:
        """The true answer to an edit, where the renderer knows it."""
        if self.scene is None or attribute not in EDITS:
            return None
        return aligned(self.scene.answer(attribute, change), *self.crop, self.picture.width)

    @property
    def origin(self) -> dict[str, Any]:
        """The picture for the parameters of a result."""
        scene = self.scene
        drawn = {"seed": None} if scene is None else {"seed": scene.seed, **scene.overrides}
        return {"picture": {**drawn, "square": self.crop}, "segments": self.segments}


@dataclass(frozen=True, eq=False)
class Subject:
    """A picture's inversions: SAM's and the one beside it, by the pipeline's result objects.

    rival: the method beside SAM, NO_RIVAL for none; curves: PSNR against seconds of every run on
    this picture; parameters: of the last run; finished: what need not run again, by method and
    steps. entry: the stored example that it is, whose codes nobody has read yet.
    """

    seen: Seen
    sam: Any = None
    rival: str = NO_RIVAL
    other: Any = None
    curves: Mapping[str, Points] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    finished: Mapping[tuple[str, int], Any] = field(default_factory=dict)
    entry: Stored | None = None

    def __deepcopy__(self, memo: dict) -> Subject:
        return self  # nothing in it changes

    def opened(self, pipeline: Any) -> Subject:
        """With inversions that can be edited: those of a stored example are read from its file."""
        if self.entry is None:
            return self
        found = pipeline.read_codes(self.entry.codes)
        told = ("image", "measures", "method", "seconds", "losses")
        sam, other = (
            replace(found[name], **{key: getattr(shown, key) for key in told})
            for name, shown in ((SAM, self.sam), (self.rival, self.other))
        )
        return replace(self, sam=sam, other=other, entry=None)

    @property
    def results(self) -> dict[str, Any]:
        """The inversions by name, SAM's last."""
        found = {self.rival: self.other, SAM: self.sam}
        return {name: result for name, result in found.items() if result is not None}

    def drawn(self, name: str, points: Points) -> Subject:
        """With one more curve, in place of an earlier one of that name."""
        return replace(self, curves={**self.curves, name: tuple(points)})


def thing_seen(scene: Scene | None, crop: tuple[float, float, float], side: int) -> Any:
    """Where the thing before the face is seen in a crop, bool (side, side); None where nowhere."""
    if scene is None:
        return None
    found = np.asarray(aligned(scene.thing_mask, *crop, side)) > 127
    return found if found.any() else None


def begun(seen: Seen, before: Subject | None) -> Subject:
    """What a run starts from: the curves and methods so far of the same picture."""
    same = before is not None and before.seen.picture.tobytes() == seen.picture.tobytes()
    return replace(before, seen=seen) if same else Subject(seen)


def held(seen: Seen | None) -> Seen:
    """The picture with its map; `gr.Error` before there is one."""
    if seen is None:
        raise refuse("There is no map yet. Give a picture; its map follows by itself.")
    return seen


def inverted(subject: Subject | None) -> Subject:
    """The inverted picture; `gr.Error` before there is one."""
    if subject is None or subject.sam is None:
        raise refuse("There is no inversion yet. Press Invert first.")
    return subject
