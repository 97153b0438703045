"""What one visitor's session holds of Edit: a picture, and the edits of it that were kept.

How an edit is said and taken home stands here too, for own ones and stored ones alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from demos.kit.bridge import spoken_errors
from demos.kit.downloads import Keepsake
from demos.kit.imaging import refuse
from demos.kit.words import compared, said, same_person
from demos.mm2latent.setting import Setting
from demos.mm2latent.told import report
from examples.stored import Stored

TEXT = "text"
INVERTED, EDITED = "inverted", "edited"  # names of the first picture's and of the newest code
WHOLE = (0.5, 0.5, 1)


@dataclass(frozen=True, eq=False)
class Step:
    """A picture that is edited further: the pipeline's `Source`, what made it, in words.

    overrides: of the renderer for the true answer to all edits so far; None where it has none.
    """

    source: Any
    told: str
    overrides: Mapping[str, Any] | None


@dataclass(frozen=True, eq=False)
class Trail:
    """One visitor's picture and the edits that were kept, the newest last."""

    picture: Image.Image
    seed: int | None
    crop: tuple[float, float, float]
    steps: tuple[Step, ...]
    edited: Any = None  # the newest edit, not kept yet, and what would make it a step
    told: str = ""
    overrides: Mapping[str, Any] | None = None

    @property
    def now(self) -> Step:
        return self.steps[-1]

    def kept(self, at: Setting, about: Mapping[str, str]) -> Keepsake:
        """Everything of it to take home."""
        sources = {
            INVERTED if i == 0 else f"edit {i}": step.source for i, step in enumerate(self.steps)
        }
        sources |= {} if self.edited is None else {EDITED: self.edited}
        pictures = {"picture": self.picture} | {name: s.image for name, s in sources.items()}
        edits = [step.told for step in self.steps[1:]]
        edits += [] if self.edited is None else [self.told]
        codes = {name: s.w for name, s in sources.items()}
        return kept(pictures, codes, (self.seed, self.crop, edits), at, about)


@dataclass(frozen=True, eq=False)
class Example:
    """A stored edit, of which nothing was computed here: the first that is done with it opens it.

    how: "text" or a kind of condition; asked: the target.
    """

    entry: Stored
    how: str
    asked: Any
    beta: float
    told: str

    def __deepcopy__(self, memo: dict) -> Example:
        return self  # nothing in it changes

    def opened(self, pipeline: Any) -> Trail:
        """The trail as if the visitor had made the edit."""
        source = pipeline.invert(self.entry.pictures["picture"])
        edited = pipeline.edit(source, self.asked, kind=self.how, beta=self.beta)
        values = self.entry.values
        step = Step(source, "the picture", {})
        return Trail(
            self.entry.pictures["picture"], values["seed"], WHOLE, (step,), edited, self.told,
            dict(values["drawn"]),
        )  # fmt: skip


def held(trail: Trail | Example | None, load: Callable) -> Trail:
    """The picture, that of a stored example opened now; `gr.Error` before there is one."""
    if trail is None:
        raise refuse("There is no picture to edit yet. Upload one, or press New portrait.")
    if isinstance(trail, Example):
        with spoken_errors():
            return trail.opened(load())
    return trail


def worded(edited: Any, how: str, target: str, at: Setting) -> str:
    """An edit in words; how: "text", or a kind of condition."""
    asked, kind = (target, None) if how == TEXT else (None, how)
    return said(
        f"Kept: {same_person(edited.identity, at.rendered)}; {edited.kept:.0%} of the pixels in "
        "their class."
    ) + report(edited.scores, asked, kind, edited.notes, at.rendered)


def judged(measures: Any, beta: float) -> str:
    """An edit beside the true answer, in words."""
    verdict = compared(measures, "the edit", "the true answer")
    if beta != 1:
        verdict += said('<span class="quiet">The true answer is that to strength 1.</span>')
    return verdict


def kept(
    pictures: Mapping[str, Image.Image], codes: Mapping[str, Any] | Path, made: tuple,
    at: Setting, about: Mapping[str, str],
) -> Keepsake:  # fmt: skip
    """Everything of a trail to take home; made: its seed, its crop, its edits in words."""
    seed, crop, edits = made
    parameters = {"method": "MM2Latent", "seed": seed, "crop": crop, "edits": edits}
    about = {"method": "MM2Latent", "domain": at.name, **about}
    return Keepsake(pictures, codes, parameters, about)
