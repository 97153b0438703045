"""The documented functions of EditGAN, on clay heads.

Nothing in them is drawn at random but a sample by its seed: the same call gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image

from demos.editgan.panel import mask_picture
from demos.editgan.session import HIGH, LOW, named_after
from demos.kit import imaging, part_masks
from demos.kit.api import Results, run
from demos.kit.arguments import (
    MOST_STEPS,
    File,
    NameOrFile,
    Names,
    PictureIn,
    Real,
    Steps,
    SubjectIn,
    Whole,
)
from demos.kit.bridge import Progress
from demos.kit.downloads import fresh_folder

Vector = Annotated[File | str, NameOrFile("a name of editgan_lists, or a vector file")]
Scale = Annotated[float, Real(LOW, HIGH)]
Refine = Annotated[int, Whole(0, MOST_STEPS)]
Seed = Annotated[int, Whole(0, 2**31 - 1)]
Parts = Annotated[list[str] | None, Names("a list of part names, or null")]
Edited = Generator[Progress, None, tuple[File, File, Results, File]]


@dataclass(frozen=True)
class _Calls:
    """load: gives the pipeline."""

    load: Callable

    def embed(self, picture: PictureIn, steps: Steps = 100) -> Edited:
        """Embed a portrait: the code that rebuilds it together with a mask of its parts.

        Parameters:
            picture: its central square is used
            steps: of optimisation

        Returns:
            the rebuilt picture, its part mask, how alike it is, the latent file for the other
            functions
        """
        found = yield from self._embedded(picture, steps)
        measures = found.measures
        told = {
            "steps": len(found.losses), "loss": found.losses[-1] if found.losses else None,
            "psnr": measures.psnr, "lpips": measures.lpips, "identity": measures.identity,
        }  # fmt: skip
        return found.image, self._mask(found.mask), told, self._latent(found)

    def sample(self, seed: Seed = 0) -> Edited:
        """A portrait that the generator makes up, for editing: its code is known without a search.

        Parameters:
            seed: of the portrait

        Returns:
            the portrait, its part mask, which parts it shows, the latent file for the other
            functions
        """
        found = yield from run(lambda on_step: self.load().sample(seed))
        shown = [self.load().parts[label] for label in np.unique(found.mask)]
        told = {"seed": seed, "parts": shown}
        return found.image, self._mask(found.mask), told, self._latent(found)

    def vector(
        self, subject: SubjectIn, vector: Vector, scale: Scale = 1.0, refine: Refine = 0,
        steps: Steps = 100,
    ) -> Edited:  # fmt: skip
        """Edit a portrait by a learnt vector, such as smile or glasses off.

        Parameters:
            subject: embedded first if it is a picture
            vector: from the library, or learnt by editgan_paint
            scale: 1 as learnt, below 0 the other way round
            refine: steps that take back what should not have changed
            steps: of the embedding of a picture

        Returns:
            the edited picture, its part mask, what changed, its latent file
        """
        before = yield from self._embedded(subject, steps)
        pipeline = self.load()
        strengths = [(self._vector(vector), scale)]

        def work(on_step):
            if refine:
                return pipeline.refine(before, strengths, steps=refine, on_step=on_step)
            return pipeline.apply(before, strengths)

        edit = yield from run(work)
        return self._shown(before, edit)

    def paint(
        self, subject: SubjectIn, mask: PictureIn, parts: Parts = None, steps: Steps = 100
    ) -> Generator[Progress, None, tuple[File, File, Results, File, File]]:
        """Edit a portrait by a repainted part mask; the change becomes a vector for others.

        Parameters:
            subject: embedded first if it is a picture
            mask: that of editgan_embed, repainted in its own colours, PNG
            parts: that may change; null for those that were painted
            steps: of each optimisation

        Returns:
            the edited picture, its part mask, what changed, its latent file, the vector file
        """
        before = yield from self._embedded(subject, steps)
        pipeline = self.load()
        side = len(before.mask)
        asked = part_masks.snapped(np.asarray(mask), pipeline.palette)
        asked = part_masks.reduced(asked, side)
        edit = yield from run(
            lambda on_step: pipeline.edit(
                before, asked, q_edit=parts or None, steps=steps, on_step=on_step
            )
        )
        image, shown, told, latent = self._shown(before, edit)
        told["as_painted"] = part_masks.agreement(asked, edit.mask, edit.region)
        return image, shown, told, latent, self._saved(edit.vector)

    def lists(self) -> Generator[Progress, None, Results]:
        """The parts of a mask with their colours, and the library of vectors with their parts."""
        pipeline = yield from run(lambda on_step: self.load())
        colours = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in pipeline.palette)
        return {
            "parts": dict(zip(pipeline.parts, colours, strict=True)),
            "vectors": {name: list(v.q_edit) for name, v in pipeline.library.items()},
        }

    def _embedded(self, subject: Image.Image | Path, steps: int) -> Generator[Progress, None, Any]:
        """The embedding of a picture, or that of a latent file without a search."""
        pipeline = self.load()
        if isinstance(subject, Path):
            return (yield from run(lambda on_step: pipeline.reopen(subject)))
        picture = imaging.squared(subject)
        return (
            yield from run(lambda on_step: pipeline.embed(picture, steps=steps, on_step=on_step))
        )

    def _vector(self, asked: str | Path) -> Any:
        pipeline = self.load()
        if isinstance(asked, Path):
            return pipeline.read_vector(asked)
        if asked not in pipeline.library:
            names = ", ".join(pipeline.library)
            raise ValueError(f"vector must be a file or one of {names}; got {asked[:60]!r}.")
        return pipeline.library[asked]

    def _shown(self, before: Any, edit: Any) -> tuple[Image.Image, Image.Image, dict, Path]:
        measures = self.load().measure(before.image, edit.image)
        told = {
            "parts": list(edit.vector.q_edit), "steps": len(edit.losses),
            "mask_changed": float((before.mask != edit.mask).mean()),
            "identity": measures.identity, "psnr": measures.psnr,
        }  # fmt: skip
        return edit.image, self._mask(edit.mask), told, self._latent(edit)

    def _mask(self, labels: np.ndarray) -> Image.Image:
        return mask_picture(labels, self.load().palette)

    def _latent(self, result: Any) -> Path:
        return self.load().keep(fresh_folder() / "latent.safetensors", {"code": result})

    def _saved(self, vector: Any) -> Path:
        name = named_after(vector.q_edit)[:60]
        return replace(vector, name=name).save(fresh_folder() / f"{name}.safetensors")


def functions(load: Callable) -> tuple[Callable, ...]:
    """The paper's documented functions."""
    calls = _Calls(load)
    return calls.embed, calls.sample, calls.vector, calls.paint, calls.lists
