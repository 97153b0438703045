"""What one visitor's session holds of the comparison: a picture, and what the methods made of it.

How a method's results are made stands here too, for live runs and stored examples alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from demos.comparison.method import CHANGES, Change, Method
from demos.kit.inputs import aligned
from demos.kit.paper import Paper
from demos.kit.shelf import Scene

WHOLE = (0.5, 0.5, 1)  # x, y and zoom of a picture that is not cropped


@dataclass(frozen=True)
class Entrant:
    """A paper in the comparison; load: gives its pipeline for clay heads."""

    paper: Paper
    method: Method
    load: Callable[[], Any]


def entrants(papers: Sequence[Paper], loads: Mapping[str, Callable]) -> tuple[Entrant, ...]:
    """The papers that are switched on and take part, in the order of the list."""
    taking_part = [paper for paper in papers if paper.page and paper.comparison]
    return tuple(Entrant(paper, paper.method, loads[paper.slug]) for paper in taking_part)


@dataclass(frozen=True, eq=False)
class Inverted:
    """A method's inversion: its picture, how alike that is to the one that was given, its seconds.

    result: the pipeline's own, None of a stored one, which cannot be edited again.
    """

    image: Image.Image
    measures: Any
    seconds: float
    result: Any = None


@dataclass(frozen=True, eq=False)
class Edited:
    """A method's edit. measures: how alike it is to the true answer, and `unedited` how alike the
    inversion was; where nobody knows the answer, how alike it is to the picture, and None."""

    image: Image.Image
    measures: Any
    unedited: Any = None


@dataclass(frozen=True, eq=False)
class Answer:
    """One of CHANGES made by all: the true answer, None where nobody knows it, each one's edit by
    the paper's slug, and why others failed."""

    truth: Image.Image | None
    edited: Mapping[str, Edited] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Subject:
    """A picture as the networks see it, each paper's inversion by slug, and the answers so far.

    scene: what the renderer drew, None of an own picture; crop: x, y and zoom of the input;
    answers: by name of CHANGES.
    """

    picture: Image.Image
    scene: Scene | None
    crop: tuple[float, float, float] = WHOLE
    inverted: Mapping[str, Inverted] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict) -> Subject:
        return self  # nothing in it changes, so that all sessions may hold the same

    def truth(self, change: Change) -> Image.Image | None:
        """The true answer to a change, where the renderer knows the person."""
        if self.scene is None:
            return None
        drawn = self.scene.answer(change.edit, change.amount)
        return aligned(drawn, *self.crop, self.picture.width)

    def with_inverted(self, slug: str, found: Inverted | str) -> Subject:
        """With one more inversion, or with why there is none."""
        if isinstance(found, str):
            return replace(self, failed={**self.failed, slug: found})
        return replace(self, inverted={**self.inverted, slug: found})

    def with_answer(self, name: str, answer: Answer) -> Subject:
        return replace(self, answers={**self.answers, name: answer})

    @property
    def inside(self) -> bool | None:
        """Whether the picture is inside the domain; None where no method can tell."""
        told = [getattr(found.measures, "inside", None) for found in self.inverted.values()]
        return next((within for within in told if within is not None), None)


def inverted(entrant: Entrant, picture: Image.Image, on_step: Callable | None = None) -> Inverted:
    """A method's inversion of a picture, measured."""
    pipeline = entrant.load()
    result = entrant.method.invert(pipeline, picture, on_step)
    measures = getattr(result, "measures", None) or pipeline.measure(picture, result.image)
    return Inverted(result.image, measures, result.seconds, result)


def edited(entrant: Entrant, subject: Subject, name: str, truth: Image.Image | None) -> Edited:
    """A method's edit of its inversion by one of its ways, measured."""
    pipeline, before = entrant.load(), subject.inverted[entrant.paper.slug]
    image = entrant.method.edit(pipeline, before.result, entrant.method.ways[name].asked)
    if truth is None:
        return Edited(image, pipeline.measure(subject.picture, image))
    return Edited(image, pipeline.measure(image, truth), pipeline.measure(before.image, truth))


def moved(scene: Scene, name: str) -> bool:
    """Whether a person has room for half of one of CHANGES: who smiles already has none."""
    change = CHANGES[name]
    return abs(scene.room(change.edit, change.amount)) >= abs(change.amount) / 2
