"""The documented functions of MM2Latent, on clay heads.

Nothing is drawn at random but by a seed: the same call gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image

from demos.kit import imaging, part_masks
from demos.kit.api import Results, run
from demos.kit.arguments import (
    Choice,
    File,
    Maybe,
    Numbers,
    Picture,
    Real,
    SubjectIn,
    Text,
    Whole,
)
from demos.kit.bridge import Progress
from demos.kit.downloads import fresh_folder
from demos.mm2latent.edit import PIVOT, STRONGEST
from demos.mm2latent.setting import CLASS_NAMES, HEAD, KINDS, MASK, NONE, SKETCH
from demos.mm2latent.trail import TEXT
from examples.clay.parts import PALETTE

MOST = 1000  # characters
Prompt = Annotated[str, Text(MOST)]
Mask = Annotated[File | str | None, Maybe(Picture())]
Head = Annotated[dict[str, float] | None, Maybe(Numbers('{"yaw": 20, "smile": 1}'))]
Variety = Annotated[float, Real(0, 2)]
Share = Annotated[float, Real(0, 1)]
Seed = Annotated[int, Whole(0, 2**31 - 1)]
Beta = Annotated[float, Real(-STRONGEST, STRONGEST)]
Kind = Annotated[str, Choice((TEXT, *(kind for kind in KINDS if kind != NONE)))]
One = Generator[Progress, None, tuple[File, Results, File]]


@dataclass(frozen=True)
class _Calls:
    """load: gives the pipeline."""

    load: Callable

    def generate(
        self, prompt: Prompt = "", mask: Mask = None, sketch: Mask = None, numbers: Head = None,
        variety: Variety = 0.0, seed: Seed = 0, unsaid: Share = 0.0,
    ) -> One:  # fmt: skip
        """Generate a portrait from words, or a condition, or both.

        Parameters:
            prompt: what it shall show, as mm2latent_lists has words for it; "" for none
            mask: in the colours of mm2latent_lists
            sketch: thin lines, light on dark or dark on light
            numbers: of the head in 3D; those that are not named are the mean
            variety: length of noise on the words; 0 draws nothing by the seed
            seed: of the noise, and of the unsaid
            unsaid: how much of what is left open is drawn by the seed; 0 leaves its mean

        Returns:
            the picture, how well it fits what was asked, the latent file for mm2latent_edit
        """
        condition = _condition({MASK: mask, SKETCH: sketch, HEAD: numbers})
        result = yield from run(
            lambda on_step: self.load().generate(
                prompt or None, **condition, variety=variety, unsaid=unsaid, seed=seed
            )
        )
        told = {"condition": result.condition, "notes": list(result.notes)}
        return result.image, told | _scores(result), self._latent(result)

    def edit(
        self, subject: SubjectIn, target: Prompt = "", kind: Kind = TEXT, mask: Mask = None,
        sketch: Mask = None, numbers: Head = None, pivot: Prompt = PIVOT, beta: Beta = 1.0,
    ) -> One:  # fmt: skip
        """Edit a portrait by words, or by another mask, sketch or head.

        Parameters:
            subject: of a picture the central square is used
            target: what it shall show, for an edit by text
            kind: what the edit is by
            mask: the picture's, repainted in the colours of mm2latent_lists
            sketch: the picture's, drawn anew
            numbers: of the head in 3D; those that are not named stay
            pivot: what the picture shows, for an edit by text
            beta: strength; 0 gives the picture's own code back

        Returns:
            the edited picture, what stayed and how well it fits, its latent file
        """
        given = {TEXT: target or None, **_read({MASK: mask, SKETCH: sketch, HEAD: numbers})}
        if given[kind] is None:
            raise ValueError(f"an edit by {kind} must have its target; got none. Give it.")
        pipeline, options = self.load(), {"pivot": pivot or None} if kind == TEXT else {}
        source = yield from self._source(subject)
        edited = yield from run(
            lambda on_step: pipeline.edit(source, given[kind], kind=kind, beta=beta, **options)
        )
        told = {"identity": edited.identity, "kept": edited.kept, "notes": list(edited.notes)}
        return edited.image, told | _scores(edited), self._latent(edited)

    def lists(self) -> Generator[Progress, None, Results]:
        """The classes of a mask with their colours, and the numbers of a head with their ranges."""
        pipeline = yield from run(lambda on_step: self.load())
        colours = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in PALETTE)
        ranges = {name: list(pipeline.layout.ranges[name]) for name in pipeline.layout.names}
        return {"classes": dict(zip(CLASS_NAMES, colours, strict=True)), "numbers": ranges}

    def _source(self, subject: Image.Image | Path) -> Generator[Progress, None, Any]:
        """The source of a picture, or that of a latent file without its encoder."""
        pipeline = self.load()
        if isinstance(subject, Path):
            return (yield from run(lambda on_step: pipeline.reopen(subject)))
        square = imaging.squared(subject, side=pipeline.size)
        return (yield from run(lambda on_step: pipeline.invert(square)))

    def _latent(self, result: Any) -> Path:
        return self.load().keep(fresh_folder() / "latent.safetensors", {"code": result})


def _scores(result: Any) -> Results:
    return {"scores": asdict(result.scores)}


def _condition(given: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions that were given, as the pipeline takes them."""
    return {kind: value for kind, value in _read(given).items() if value is not None}


def _read(given: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions by kind; a painted mask as classes."""
    found = dict(given)
    if isinstance(found[MASK], Image.Image):
        found[MASK] = part_masks.snapped(np.asarray(found[MASK]), PALETTE)
    return found


def functions(load: Callable) -> tuple[Callable, ...]:
    """The paper's documented functions."""
    calls = _Calls(load)
    return calls.generate, calls.edit, calls.lists
