"""What one visitor's session holds: what was asked, and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from demos.diffusion_inversion import truth
from demos.diffusion_inversion.setting import MASK, PAPER_AND_INK, SCRIBBLE, Setting
from demos.diffusion_inversion.truth import Crop
from demos.kit.downloads import Keepsake
from demos.kit.imaging import refuse
from examples.clay.parts import PALETTE

NOT_YET = "There is no picture yet. Press Generate first."


@dataclass(frozen=True, eq=False)
class Asked:
    """A prompt, a mask or a scribble, and the noise.

    labels: uint8 (H, W), classes of a mask, or 1 where a scribble has ink; portrait: the seed of
    the never-seen portrait that it was taken from, None of an own one; crop: of that portrait.
    """

    at: Setting
    prompt: str
    task: str
    labels: np.ndarray
    noise: int
    strength: float
    portrait: int | None
    crop: Crop

    def condition(self, pipeline: Any) -> Any:
        """As the pipeline takes it; ValueError for an empty scribble."""
        if self.task == MASK:
            return pipeline.condition(MASK, self.labels, PALETTE)
        return pipeline.condition(SCRIBBLE, self.picture)

    @property
    def options(self) -> dict[str, Any]:
        return {"seed": self.noise, "strength": self.strength}

    @property
    def palette(self) -> np.ndarray:
        return PALETTE if self.task == MASK else PAPER_AND_INK

    @property
    def picture(self) -> Image.Image:
        """The mask in the legend's colours, or the scribble in ink on paper."""
        return Image.fromarray(self.palette[self.labels])

    @property
    def untouched(self) -> bool:
        """Whether this is the true mask of its portrait."""
        if self.portrait is None or self.task != MASK:
            return False
        true = truth.mask_of(self.portrait, self.crop, len(self.labels))
        return bool((true == self.labels).all())

    def true_picture(self) -> Image.Image | None:
        """What the renderer draws for this mask or scribble, where it knows whose it was."""
        if self.portrait is None:
            return None
        return truth.picture_of(self.portrait, self.crop, self.at.side)

    def true_style(self, style: str) -> Image.Image | None:
        if self.portrait is None:
            return None
        return truth.style_of(self.portrait, style, self.crop, self.at.side)

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "prompt": self.prompt, "condition": self.task, "noise": self.noise,
            "strength": self.strength, "portrait": self.portrait, "square": self.crop,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Subject:
    """What was asked with its pictures: the pipeline's `Reading`, and its `Denoised` if it ran."""

    asked: Asked
    reading: Any
    denoised: Any = None

    def keepsake(self, pipeline: Any, **pictures: Image.Image) -> Keepsake:
        """All there is to take home; pictures: others besides, by name."""
        made = {
            self.asked.task: self.asked.picture, "true": self.asked.true_picture(),
            "controlnet": self.denoised and self.denoised.image, "ours": self.reading.image,
        }  # fmt: skip
        made = {name: picture for name, picture in made.items() if picture is not None}
        told = {**self.asked.parameters, "t": self.reading.t, **self.counted}
        about = {"method": "diffusion-driven inversion", "domain": self.asked.at.name}
        return Keepsake(
            made | pictures, {"ours": self.reading.w}, told,
            about | {"generator": pipeline.fingerprint},
        )  # fmt: skip

    @property
    def counted(self) -> Mapping[str, Any]:
        """Seconds and calls of the U-Net, of each."""
        both = {"ours": self.reading, "controlnet": self.denoised}
        return {
            name: {"seconds": round(result.seconds, 3), "calls": result.calls}
            for name, result in both.items()
            if result is not None
        }


def held(subject: Subject | None) -> Subject:
    """The subject; `gr.Error` before there is one."""
    if subject is None:
        raise refuse(NOT_YET)
    return subject
