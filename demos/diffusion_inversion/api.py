"""The documented functions of diffusion-driven inversion, on clay heads.

Nothing in them is drawn at random but the noise of its seed: the same call gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image

from demos.diffusion_inversion.setting import CLAY_HEADS, FIRST, NAMES, STEPS
from demos.kit import part_masks
from demos.kit.api import Results, run
from demos.kit.arguments import Choice, File, PictureIn, Real, Text, Whole
from demos.kit.bridge import Progress
from demos.kit.downloads import fresh_folder
from demos.kit.imaging import squared
from demos.kit.prompts import MOST
from examples.clay.parts import PALETTE
from examples.diffusion_inversion.results import MASK, SCRIBBLE

PICTURE, PLAIN = "picture", "none"
Prompt = Annotated[str, Text(MOST)]
Kind = Annotated[str, Choice((MASK, SCRIBBLE, PICTURE))]
Step = Annotated[int, Whole(0, FIRST)]
Noise = Annotated[int, Whole(0, 2**31 - 1)]
Strength = Annotated[float, Real(0, 2)]
Style = Annotated[str, Choice((PLAIN, *CLAY_HEADS.styles))]
Steps = Annotated[int, Whole(1, 200)]


@dataclass(frozen=True)
class _Calls:
    """load: gives the pipeline."""

    load: Callable

    def generate(
        self, prompt: Prompt, drawing: PictureIn, kind: Kind = MASK, t: Step = FIRST,
        noise: Noise = 0, strength: Strength = 1.0, style: Style = PLAIN,
    ) -> Generator[Progress, None, tuple[File, Results, File]]:  # fmt: skip
        """A portrait from words and a mask or a scribble, by one call of a U-Net and a GAN.

        Parameters:
            prompt: a caption, or nothing
            drawing: a mask in the colours of diffusion_inversion_lists, a scribble, or a picture
            kind: what the drawing is; of a picture the strokes are taken
            t: the step that is read; one below 999 asks for the calls of all before it
            noise: another number is another person to `denoise`; this hardly moves
            strength: of the drawing
            style: none, or one that has its own modulation

        Returns:
            the picture, its seconds, calls and words and what drew the strokes of a picture, the
            latent file, which the edits of the other papers take
        """
        pipeline = self.load()
        condition = condition_of(pipeline, drawing, kind)
        options = {"t": t, "seed": noise, "strength": strength}
        options["style"] = None if style == PLAIN else style
        reading = yield from run(
            lambda on_step: pipeline.read(prompt, condition, on_step=on_step, **options)
        )
        path = pipeline.keep(fresh_folder() / "latent.safetensors", {"code": reading})
        told = {"t": reading.t, "words": list(reading.words), **_counted(reading)}
        told |= {"strokes_by": pipeline.tracer} if kind == PICTURE else {}
        return reading.image, told, Path(path)

    def denoise(
        self, prompt: Prompt, drawing: PictureIn, kind: Kind = MASK, noise: Noise = 0,
        strength: Strength = 1.0, steps: Steps = STEPS,
    ) -> Generator[Progress, None, tuple[File, Results]]:  # fmt: skip
        """What ControlNet itself draws of the same words, drawing and noise, for comparison.

        Parameters:
            prompt: a caption, or nothing
            drawing: as in diffusion_inversion_generate
            kind: likewise
            noise: likewise
            strength: likewise
            steps: of denoising

        Returns:
            the picture, its seconds and calls
        """
        pipeline = self.load()
        condition = condition_of(pipeline, drawing, kind)
        options = {"steps": steps, "seed": noise, "strength": strength}
        made = yield from run(
            lambda on_step: pipeline.denoise(prompt, condition, on_step=on_step, **options)
        )
        return made.image, _counted(made)

    def lists(self) -> Generator[Progress, None, Results]:
        """The classes of a mask with their colours (sRGB), and the styles."""
        yield from ()
        colours = dict(zip(NAMES, PALETTE.tolist(), strict=True))
        return {"classes": colours, "styles": list(CLAY_HEADS.styles)}


def condition_of(pipeline: Any, drawing: Image.Image, kind: str) -> Any:
    """A drawing as the pipeline takes it; ValueError for colours of no class, or no stroke."""
    if kind == MASK:
        labels = part_masks.snapped(np.asarray(drawing), PALETTE)
        labels = part_masks.reduced(labels, CLAY_HEADS.canvas)
        return pipeline.condition(MASK, labels, PALETTE)
    square = squared(drawing, side=min(drawing.size))
    if kind == PICTURE:
        strokes = pipeline.traced(square, CLAY_HEADS.canvas)
        square = Image.fromarray(np.where(strokes, 0, 255).astype(np.uint8)).convert("RGB")
    return pipeline.condition(SCRIBBLE, square)


def _counted(made: Any) -> Results:
    return {"calls": made.calls, "seconds": made.seconds}


def functions(load: Callable) -> tuple[Callable, ...]:
    """The paper's documented functions."""
    calls = _Calls(load)
    return calls.generate, calls.denoise, calls.lists
