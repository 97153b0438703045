"""What one visitor's session holds: what was asked, and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from demos.diffusion_inversion import truth
from demos.diffusion_inversion.setting import Setting
from demos.diffusion_inversion.truth import Crop
from demos.kit.downloads import Keepsake
from demos.kit.imaging import refuse
from examples.clay.parts import PALETTE
from examples.diffusion_inversion.results import MAPPED, MASK, OURS, SCRIBBLE, labelled
from examples.stored import Stored

NOT_YET = "There is no picture yet. Press Generate first."


@dataclass(frozen=True, eq=False)
class Asked:
    """A prompt, a mask or a scribble, and the noise.

    labels: uint8 (H, W), classes of a mask, or 1 where a scribble has ink; portrait: the seed of
    the never-seen portrait that it was taken from, None of an own one; crop: of that portrait.
    entry: the stored example that this is, whose true pictures need no rendering.
    """

    at: Setting
    prompt: str
    task: str
    labels: np.ndarray
    noise: int
    strength: float
    portrait: int | None
    crop: Crop
    entry: Stored | None = None

    def condition(self, pipeline: Any) -> Any:
        """As the pipeline takes it; ValueError for an empty scribble."""
        if self.task == MASK:
            return pipeline.condition(MASK, self.labels, PALETTE)
        return pipeline.condition(SCRIBBLE, self.picture)

    @property
    def options(self) -> dict[str, Any]:
        return {"seed": self.noise, "strength": self.strength}

    @property
    def labelled(self) -> Image.Image:
        """What was painted, in its colours; a PNG of it keeps the labels as numbers."""
        return labelled(self.labels, self.task)

    @property
    def picture(self) -> Image.Image:
        """The mask in the legend's colours, or the scribble in ink on paper."""
        return self.labelled.convert("RGB")

    @property
    def untouched(self) -> bool:
        """Whether this is the true mask of its portrait."""
        if self.portrait is None or self.task != MASK:
            return False
        if self.entry is not None:
            return True
        true = truth.mask_of(self.portrait, self.crop, len(self.labels))
        return bool((true == self.labels).all())

    def true_picture(self) -> Image.Image | None:
        """What the renderer draws for this mask or scribble, where it knows whose it was."""
        if self.portrait is None:
            return None
        if self.entry is not None:
            return self.entry.pictures["picture"]
        return truth.picture_of(self.portrait, self.crop, self.at.side)

    def true_style(self, style: str) -> Image.Image | None:
        if self.portrait is None:
            return None
        if self.entry is not None and self.entry.values.get("style") == style:
            return self.entry.pictures["truth"]
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

    def __deepcopy__(self, memo: dict) -> Subject:
        return self  # nothing in it changes

    def opened(self, pipeline: Any) -> Subject:
        """With the codes: those of a stored example are read from its file."""
        if self.reading.w is not None:
            return self
        found = pipeline.read_codes(self.asked.entry.codes)
        reading = replace(self.reading, w=found[OURS].w, mapped=found[MAPPED].w)
        return replace(self, reading=reading)

    def keepsake(self, pipeline: Any, **styles: Any) -> Keepsake:
        """All there is to take home; styles: readings of other styles besides, by name."""
        codes = {OURS: self.opened(pipeline).reading.w} | {n: r.w for n, r in styles.items()}
        pictures = {name: made.image for name, made in styles.items()}
        return self.kept(codes, pictures, {"generator": pipeline.fingerprint})

    def kept(
        self, codes: Any, pictures: Mapping[str, Image.Image], about: Mapping[str, str]
    ) -> Keepsake:
        """The same of codes by name, or of the file that holds them."""
        made = {
            self.asked.task: self.asked.labelled, "true": self.asked.true_picture(),
            "controlnet": self.denoised and self.denoised.image, OURS: self.reading.image,
            **pictures,
        }  # fmt: skip
        made = {name: picture for name, picture in made.items() if picture is not None}
        told = {**self.asked.parameters, "t": self.reading.t, **self.counted}
        said = {"method": "diffusion-driven inversion", "domain": self.asked.at.name}
        return Keepsake(made, codes, told, said | dict(about))

    @property
    def counted(self) -> Mapping[str, Any]:
        """Seconds and calls of the U-Net, of each."""
        both = {OURS: self.reading, "controlnet": self.denoised}
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
