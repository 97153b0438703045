"""What is asked for: a prompt, a mask or a scribble to paint, the noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from gradio.components import Component
from gradio.context import Context
from PIL import Image

from demos.diffusion_inversion import truth
from demos.diffusion_inversion.session import Asked
from demos.diffusion_inversion.setting import MASK, NAMES, PAPER_AND_INK, SCRIBBLE, Setting
from demos.kit import painter
from demos.kit.bridge import spoken_errors
from demos.kit.imaging import refuse, squared
from demos.kit.inputs import FOLLOW, QUIET, Dial, PortraitInput, portrait_input
from demos.kit.outputs import Values, filling
from demos.kit.painter import MaskPainter, Painting, mask_painter
from demos.kit.portraits import never_seen, seed_of
from demos.kit.prompts import Prompt, prompt_box
from demos.kit.runs import mark
from demos.kit.words import said
from examples.clay.parts import PALETTE

KINDS = [("Mask", MASK), ("Scribble", SCRIBBLE)]
WORDS = {MASK: ("hair", "Paint where each part of the head shall be."),
         SCRIBBLE: ("ink", "Draw what shall be seen, in a few strokes.")}  # fmt: skip
MOST_NOISE = 2**31 - 1


@dataclass(frozen=True)
class Example:
    """A prompt, and the never-seen portrait whose mask or scribble goes with it."""

    name: str
    seed: int
    task: str
    prompt: str


EXAMPLES = (
    Example("Red waves", 2_000_070, MASK, "a young person, long wavy red hair, a broad smile"),
    Example(
        "White and glasses", 2_000_056, MASK, "an older person, white hair, a gentle smile, "
        "round glasses",
    ),
    Example(
        "By a few strokes", 2_000_041, SCRIBBLE, "a middle-aged person, black hair, a calm face"
    ),
)  # fmt: skip


@dataclass(frozen=True)
class _Part:
    load: Callable
    at: Setting

    def refill(
        self, picture, x: float, y: float, zoom: float, seed: int | None, kind: str, of: dict
    ) -> Values:
        """The chosen painter with what is known of another picture; else it stays as it is."""
        now = mark(picture, x, y, zoom)
        if of.get(kind) == now:
            return {}
        square = squared(picture, x, y, zoom, self.at.canvas) if picture is not None else None
        with spoken_errors():
            labels = self._labels(square, picture, (x, y, zoom), seed, kind)
        return {kind: self._opened(square, labels, kind), "of": {**of, kind: now}}

    def _labels(self, square, picture, crop: tuple, seed: int | None, kind: str) -> np.ndarray:
        """A portrait's true mask, or the strokes of any picture; nothing where neither is known."""
        side = self.at.canvas
        if square is None:
            return np.zeros((side, side), np.uint8)
        if kind == SCRIBBLE:
            return self.load().traced(square, side).astype(np.uint8)
        portrait = seed_of(picture, seed) if self.at.rendered else None
        if portrait is None:
            return np.zeros((side, side), np.uint8)
        return truth.mask_of(portrait, crop, side)

    def _opened(self, square: Image.Image | None, labels: np.ndarray, kind: str) -> Any:
        """An update of a painter; a scribble is drawn on paper, a mask over its picture."""
        blank = Image.new("RGB", (self.at.canvas,) * 2, "white")
        names, palette = _legend(kind)
        part = names.index(WORDS[kind][0])
        return painter.begun(square or blank, labels, names, palette, part)

    def example(self, name: str) -> Values:
        """An example: its prompt, and its portrait, whose mask or scribble follows."""
        found = next((e for e in EXAMPLES if e.name == name), None)
        if found is None:
            raise refuse(f"The example must be one of {', '.join(e.name for e in EXAMPLES)}.")
        shown = {MASK: gr.update(visible=_shown(found.task == MASK)),
                 SCRIBBLE: gr.update(visible=_shown(found.task == SCRIBBLE))}  # fmt: skip
        columns = {f"{task} column": update for task, update in shown.items()}
        return {
            "picture": never_seen(found.seed), "seed": found.seed, "kind": found.task,
            "prompt": found.prompt, **columns,
        }  # fmt: skip

    def first(self, request: gr.Request) -> Values:
        """The first example on a fresh page, unless its address brings a picture."""
        if request and "take" in dict(request.query_params):
            return {}
        return self.example(EXAMPLES[0].name)

    def caption(self, picture, seed: int | None) -> str:
        """The renderer's own caption of a never-seen portrait."""
        portrait = None if picture is None else seed_of(picture, seed)
        if portrait is None:
            raise refuse("Only a never-seen portrait has a caption: nobody wrote one for this.")
        return truth.known(portrait).caption

    def asked(
        self, prompt: str, kind: str, mask: Painting | None, pad: Painting | None, noise: Any,
        strength: float, picture, x: float, y: float, zoom: float, seed: int | None,
    ) -> Asked:  # fmt: skip
        """The controls' values as one thing; `gr.Error` for what cannot be meant."""
        if kind not in WORDS:
            raise refuse(f"What is painted must be a mask or a scribble; got {kind!r}.")
        painting = mask if kind == MASK else pad
        if painting is None:
            raise refuse(
                f"There is no {kind} yet. Take a portrait's by New portrait, give a picture, or "
                "paint one."
            )
        if noise is None or not 0 <= noise <= MOST_NOISE:
            raise refuse(f"The noise must be a whole number from 0 to {MOST_NOISE}; got {noise}.")
        known = self.at.rendered and picture is not None
        portrait = seed_of(picture, seed) if known else None
        return Asked(
            self.at, prompt, kind, painting.labels, int(noise), strength, portrait, (x, y, zoom)
        )


def _legend(kind: str) -> tuple[list[str], np.ndarray]:
    return (list(NAMES), PALETTE) if kind == MASK else (["paper", "ink"], PAPER_AND_INK)


def _shown(whether: bool) -> bool | str:
    """Hidden, and not taken away: what was painted stays in the browser."""
    return True if whether else "hidden"


@dataclass(frozen=True)
class AskControls:
    """The controls; `of` says of which picture each painter was filled."""

    prompt: Prompt
    portrait: PortraitInput
    kind: gr.Radio
    mask: MaskPainter
    scribble: MaskPainter
    columns: tuple[gr.Column, gr.Column]
    noise: gr.Number
    strength: Dial
    caption: gr.Button
    examples: gr.Radio
    of: gr.State

    @property
    def deciding(self) -> list[Component]:
        """What a result is made of."""
        return [self.prompt, self.kind, self.mask, self.scribble, self.noise, self.strength]

    @property
    def inputs(self) -> list[Component]:
        """What `asked` takes."""
        return [*self.deciding, *self.portrait.origin]

    @property
    def outputs(self) -> dict[str, Any]:
        return {
            "prompt": self.prompt, "picture": self.portrait.picture, "seed": self.portrait.seed,
            "kind": self.kind, "mask column": self.columns[0], "scribble column": self.columns[1],
        }  # fmt: skip


def build(at: Setting) -> AskControls:
    """The prompt above; below it the picture to start from beside the painter."""
    examples = gr.Radio(
        [e.name for e in EXAMPLES], value=None, label="Examples", elem_classes="pills",
        elem_id="diffusion-examples", visible=at.rendered,
    )  # fmt: skip
    prompt = prompt_box(elem_id="diffusion-prompt")
    with gr.Row():
        with gr.Column(scale=5, min_width=280):
            portrait = portrait_input(
                "Start from", "The picture whose mask or scribble is taken.",
                "diffusion_never_seen_portrait", domain=at.name, side=at.canvas, faces=at.faces,
            )  # fmt: skip
            caption = gr.Button("Write its own caption", size="md", visible=at.rendered)
        with gr.Column(scale=13, min_width=280):
            kind = gr.Radio(KINDS, value=MASK, label="Paint a", elem_classes="pills")
            columns, painters = zip(*(_canvas(at, task) for _, task in KINDS), strict=True)
    with gr.Row():
        noise = gr.Number(
            0, label="Noise", info="Another number, another person.", precision=0, min_width=140,
            minimum=0, maximum=MOST_NOISE,
        )  # fmt: skip
        strength = Dial(
            0, 2, 1, step=0.1, label="Strength of what is painted", info="0: the prompt alone."
        )
    return AskControls(
        prompt, portrait, kind, *painters, columns, noise, strength, caption, examples, gr.State({})
    )


def _canvas(at: Setting, kind: str) -> tuple[gr.Column, MaskPainter]:
    names, palette = _legend(kind)
    with gr.Column(visible=_shown(kind == MASK), min_width=280) as column:
        gr.HTML(said(f'<span class="quiet">{WORDS[kind][1]}</span>'))
        blank = np.zeros((at.canvas,) * 2, np.uint8)
        white = Image.new("RGB", blank.shape, "white")
        holds = painter.opened(white, blank, names, palette, names.index(WORDS[kind][0]))
        canvas = mask_painter(holds, elem_id=f"diffusion-{kind}", elem_classes="free")
        canvas.side, canvas.parts = at.canvas, len(names)
    return column, canvas


def wire(load: Callable, at: Setting, ui: AskControls) -> Callable[..., Asked]:
    """Let painters follow the picture; returns what makes one thing of the controls."""
    part, portrait = _Part(load, at), ui.portrait
    painters = {MASK: ui.mask, SCRIBBLE: ui.scribble, "of": ui.of}
    changes = [portrait.picture.change, ui.kind.change]
    changes += [dial.input for dial in (portrait.x, portrait.y, portrait.zoom)]
    gr.on(
        changes, **filling(part.refill, painters), inputs=[*portrait.origin, ui.kind, ui.of],
        api_name="diffusion_refill", show_progress="hidden", **FOLLOW,
    )  # fmt: skip
    ui.kind.input(
        lambda kind: [gr.update(visible=_shown(kind == task)) for _, task in KINDS], ui.kind,
        list(ui.columns), **QUIET,
    )  # fmt: skip
    ui.caption.click(
        part.caption, [portrait.picture, portrait.seed], ui.prompt, api_name="diffusion_caption",
        show_progress="hidden",
    )  # fmt: skip
    if at.rendered:
        filled = filling(part.example, ui.outputs)
        ui.examples.input(
            **filled, inputs=ui.examples, api_name="diffusion_example", show_progress="hidden"
        )
        Context.root_block.load(**filling(part.first, ui.outputs), **QUIET)
    return part.asked
