"""The documented functions of in-domain inversion, on clay heads.

Nothing in them is drawn at random: the same call gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from PIL import Image

from demos.indomain.setting import CLAY_HEADS, METHODS
from demos.kit import imaging
from demos.kit.api import Results, run
from demos.kit.arguments import (
    Choice,
    File,
    Numbers,
    PictureIn,
    Real,
    Steps,
    SubjectIn,
    Whole,
)
from demos.kit.bridge import Progress
from demos.kit.downloads import fresh_folder
from examples.indomain.results import PUBLISHED_CROP

Method = Annotated[str, Choice(tuple(METHODS))]
Changes = Annotated[dict[str, float], Numbers('{"age": 0.5, "yaw": 12}')]
Count = Annotated[int, Whole(2, 25)]
Layers = Annotated[int, Whole(0, CLAY_HEADS.layers)]
Fraction = Annotated[float, Real(0, 1)]
One = Generator[Progress, None, tuple[File, Results, File]]
X, Y, WIDTH, HEIGHT = PUBLISHED_CROP


@dataclass(frozen=True)
class _Calls:
    """load: gives the pipeline."""

    load: Callable

    def invert(self, picture: PictureIn, method: Method = "in-domain", steps: Steps = 100) -> One:
        """Invert a portrait: the code that rebuilds it, for a generator of clay heads.

        Parameters:
            picture: its central square is used
            method: the two encoders take no steps
            steps: of optimisation

        Returns:
            the rebuilt picture, how alike it is, the latent file for the other functions
        """
        inversion = yield from self._inverted(picture, steps, method)
        return inversion.image, _numbers(inversion), self._latent(inversion)

    def manipulate(self, subject: SubjectIn, changes: Changes, steps: Steps = 100) -> One:
        """Change attributes of a portrait, such as age, smile, glasses or head pose.

        Parameters:
            subject: inverted first if it is a picture
            changes: by attribute, in units of indomain_attributes; 0 changes nothing
            steps: of optimisation of a picture

        Returns:
            the changed picture, how much of the person stays, the latent file of the unchanged one
        """
        inversion = yield from self._inverted(subject, steps)
        edited = yield from self._stage("manipulate", inversion, changes)
        measures = self.load().measure(inversion.image, edited)
        told = {"changes": changes, "identity": measures.identity, "psnr": measures.psnr}
        return edited, told, self._latent(inversion)

    def interpolate(
        self, first: SubjectIn, second: SubjectIn, count: Count = 7, steps: Steps = 100
    ) -> Generator[Progress, None, tuple[list[File], Results, File, File]]:
        """Pictures on the straight way from one portrait's code to another's.

        Parameters:
            first: inverted first if it is a picture
            second: likewise
            count: of pictures, both ends among them
            steps: of optimisation of a picture

        Returns:
            the pictures, how alike the ends are, the latent files of first and second
        """
        a = yield from self._inverted(first, steps)
        b = yield from self._inverted(second, steps)
        pictures = yield from self._stage("interpolate", a, b, count)
        measures = self.load().measure(a.image, b.image)
        told = {"count": count, "identity": measures.identity}
        return pictures, told, self._latent(a), self._latent(b)

    def mix(
        self, content: SubjectIn, style: SubjectIn, layers: Layers = 4, steps: Steps = 100
    ) -> Generator[Progress, None, tuple[File, Results, File, File]]:
        """The content of one portrait with the colours and textures of another.

        Parameters:
            content: inverted first if it is a picture
            style: likewise
            layers: how many of the last layers' codes come from style
            steps: of optimisation of a picture

        Returns:
            the mixed picture, how much of content's person stays, the latents of content and style
        """
        a = yield from self._inverted(content, steps)
        b = yield from self._inverted(style, steps)
        mixed = yield from self._stage("mix", a, b, layers)
        measures = self.load().measure(a.image, mixed)
        told = {"layers": layers, "identity": measures.identity, "psnr": measures.psnr}
        return mixed, told, self._latent(a), self._latent(b)

    def diffuse(
        self, target: PictureIn, context: PictureIn, x: Fraction = X, y: Fraction = Y,
        width: Fraction = WIDTH, height: Fraction = HEIGHT, steps: Steps = 100,
    ) -> One:  # fmt: skip
        """Carry a crop of the target into a context and fuse the two into one face.

        Parameters:
            target: what the crop is cut from
            context: what it is put into, at the same place
            x: centre of the crop, from the left
            y: centre of the crop, from the top
            width: of the crop, of the picture's side
            height: likewise
            steps: of optimisation

        Returns:
            the fused picture, how well the crop is kept, its latent file
        """
        target, context = _square(target), _square(context)
        box = imaging.crop_box(x, y, width, height)
        pipeline = self.load()
        result = yield from run(
            lambda on_step: pipeline.diffuse(target, [context], box, steps=steps, on_step=on_step)
        )
        within, whole = pipeline.measure_within(target, result.images[0], box)
        told = {"psnr": within.psnr, "lpips": within.lpips, "identity": whole.identity}
        return result.images[0], told, self._latent(result.inversions[0])

    def attributes(self) -> Generator[Progress, None, Results]:
        """The attributes that indomain_manipulate can change, each with its unit and range."""
        yield from ()
        found = CLAY_HEADS.attributes
        return {a.name: {"what": a.label, "from": a.low, "to": a.high} for a in found}

    def _inverted(
        self, subject: Image.Image | Path, steps: int, method: str = "in-domain"
    ) -> Generator[Progress, None, Any]:
        """The inversion of a picture, or that of a latent file without a search."""
        pipeline = self.load()
        if isinstance(subject, Path):
            return (yield from run(lambda on_step: pipeline.reopen(subject)))
        picture = _square(subject)
        return (
            yield from run(
                lambda on_step: pipeline.invert(
                    picture, method=method, steps=steps, on_step=on_step
                )
            )
        )

    def _stage(self, name: str, *given: Any) -> Generator[Progress, None, Any]:
        return (yield from run(lambda on_step: getattr(self.load(), name)(*given)))

    def _latent(self, inversion: Any) -> Path:
        return self.load().keep(fresh_folder() / "latent.safetensors", {"code": inversion})


def _square(picture: Image.Image) -> Image.Image:
    return imaging.squared(picture, side=CLAY_HEADS.side)


def _numbers(inversion: Any) -> Results:
    measures, losses = inversion.measures, inversion.losses
    return {
        "method": inversion.method, "steps": len(losses), "loss": losses[-1] if losses else None,
        "psnr": measures.psnr, "lpips": measures.lpips, "identity": measures.identity,
        "inside_domain": measures.inside,
    }  # fmt: skip


def functions(load: Callable) -> tuple[Callable, ...]:
    """The paper's documented functions."""
    calls = _Calls(load)
    return (
        calls.invert, calls.manipulate, calls.interpolate, calls.mix, calls.diffuse,
        calls.attributes,
    )  # fmt: skip
