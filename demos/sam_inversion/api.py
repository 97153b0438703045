"""The documented functions of SAM inversion, on clay heads.

Nothing in them is drawn at random: the same call gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image

from demos.kit import imaging
from demos.kit.api import Results, run
from demos.kit.arguments import Choice, File, Maybe, PictureIn, Real, Steps, SubjectIn
from demos.kit.bridge import Progress
from demos.kit.downloads import fresh_folder
from demos.sam_inversion.latents import colours, overlaid
from demos.sam_inversion.setting import CLAY_HEADS

OPTIMISED, ENCODED = "optimised", "encoded"
HIGHEST = 100.0  # of tau
COVER = 0.62  # of the map over its picture, as on the page
How = Annotated[str, Choice((OPTIMISED, ENCODED))]
Tau = Annotated[float | None, Maybe(Real(0, HIGHEST))]
Attribute = Annotated[str, Choice(tuple(a.name for a in CLAY_HEADS.attributes))]
Strength = Annotated[float, Real(-1, 1)]
One = Generator[Progress, None, tuple[File, Results, File]]


@dataclass(frozen=True)
class _Calls:
    """load: gives the pipeline."""

    load: Callable

    def map(
        self, picture: PictureIn, tau: Tau = None
    ) -> Generator[Progress, None, tuple[File, list[File], Results]]:
        """Predict which latent rebuilds which place of a portrait: the map of latents.

        Parameters:
            picture: its central square is used
            tau: the error under which a latent will do; null for this domain's own

        Returns:
            the map over the picture, the predicted error of each latent at each place (black to
            white, 0 to "white"), the share of each latent and its mean error
        """
        pipeline, square = self.load(), self._square(picture)
        maps = yield from run(lambda on_step: pipeline.invertibility(square))
        tau = pipeline.tuning.tau if tau is None else tau
        chosen, white = maps.latent_map(tau), maps.brightest
        told = {
            "tau": tau, "segments": maps.means.shape[1], "white": white,
            "errors": dict(zip(maps.latents, maps.errors.mean((1, 2)).tolist(), strict=True)),
            "shares": _shares(maps.latents, chosen),
        }  # fmt: skip
        grey = np.clip(255 * maps.errors / white, 0, 255).astype(np.uint8)
        shown = overlaid(square, chosen, len(maps.latents), COVER)
        return shown, [Image.fromarray(error) for error in grey], told

    def invert(
        self, picture: PictureIn, how: How = OPTIMISED, tau: Tau = None, steps: Steps = 100
    ) -> One:
        """Invert a portrait: each place in the earliest latent that can rebuild it.

        Parameters:
            picture: its central square is used
            how: encoders take one pass and no steps
            tau: the error under which a latent will do; null for this domain's own
            steps: of optimisation

        Returns:
            the rebuilt picture, how alike it is, the latent file for sam_inversion_edit
        """
        inversion = yield from self._inverted(picture, how, tau, steps)
        return inversion.image, _numbers(inversion), self._latent(inversion)

    def edit(
        self, subject: SubjectIn, attribute: Attribute, strength: Strength = 0.8, tau: Tau = None,
        steps: Steps = 100,
    ) -> One:  # fmt: skip
        """Change an attribute of a portrait; places in later latents see less of it.

        Parameters:
            subject: inverted first if it is a picture
            attribute: its range stands in sam_inversion_lists
            strength: 1 is the upper end of the range, -1 the lower one; 0 changes nothing
            tau: of the inversion of a picture; null for this domain's own
            steps: of the optimisation of a picture

        Returns:
            the edited picture, how alike it is to the inversion, the latent file of the inversion
        """
        inversion = yield from self._inverted(subject, OPTIMISED, tau, steps)
        change = CLAY_HEADS.attribute(attribute).change(strength)
        pipeline = self.load()
        edited = yield from run(lambda on_step: pipeline.edit(inversion, attribute, change))
        measures = pipeline.measure(inversion.image, edited)
        told = {"change": change, "identity": measures.identity, "psnr": measures.psnr}
        shares = _shares(inversion.latents, inversion.latent_map)
        return edited, told | {"shares": shares}, self._latent(inversion)

    def lists(self) -> Generator[Progress, None, Results]:
        """The latents with their colours, this domain's tau, the attributes with their ranges."""
        pipeline = yield from run(lambda on_step: self.load())
        names, known = pipeline.latents, CLAY_HEADS.attributes
        ranges = {a.name: {"what": a.label, "from": a.low, "to": a.high} for a in known}
        painted = dict(zip(names, colours(len(names)), strict=True))
        return {"latents": painted, "tau": pipeline.tuning.tau, "attributes": ranges}

    def _inverted(
        self, subject: Image.Image | Path, how: str, tau: float | None, steps: int
    ) -> Generator[Progress, None, Any]:
        """The inversion of a picture, or that of a latent file without a search."""
        pipeline = self.load()
        if isinstance(subject, Path):
            return (yield from run(lambda on_step: pipeline.reopen(subject)))
        square = self._square(subject)
        if how == ENCODED:
            return (yield from run(lambda on_step: pipeline.encode(square, tau=tau)))
        return (
            yield from run(
                lambda on_step: pipeline.invert(square, tau=tau, steps=steps, on_step=on_step)
            )
        )

    def _square(self, picture: Image.Image) -> Image.Image:
        return imaging.squared(picture, side=CLAY_HEADS.side)

    def _latent(self, inversion: Any) -> Path:
        return self.load().keep(fresh_folder() / "latent.safetensors", {"code": inversion})


def _shares(latents: tuple[str, ...], chosen: np.ndarray) -> dict[str, float]:
    """What share of a picture each latent has, by name."""
    counts = np.bincount(chosen.ravel(), minlength=len(latents)) / chosen.size
    return dict(zip(latents, counts.tolist(), strict=True))


def _numbers(inversion: Any) -> Results:
    measures, losses = inversion.measures, inversion.losses
    return {
        "method": inversion.method, "steps": len(losses), "loss": losses[-1] if losses else None,
        "psnr": measures.psnr, "lpips": measures.lpips, "identity": measures.identity,
        "shares": _shares(inversion.latents, inversion.latent_map),
    }  # fmt: skip


def functions(load: Callable) -> tuple[Callable, ...]:
    """The paper's documented functions."""
    calls = _Calls(load)
    return calls.map, calls.invert, calls.edit, calls.lists
