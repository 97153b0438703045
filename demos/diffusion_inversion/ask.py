"""What is asked for: a prompt, a mask or a scribble to paint, the noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import gradio as gr
import numpy as np
from gradio.components import Component
from gradio.context import Context
from PIL import Image

from demos.diffusion_inversion import truth
from demos.diffusion_inversion.session import Asked
from demos.diffusion_inversion.setting import NAMES, Setting
from demos.kit import painter
from demos.kit.bridge import spoken_errors
from demos.kit.imaging import refuse, squared
from demos.kit.inputs import FOLLOW, GPU, QUIET, Dial, PortraitInput, portrait_input
from demos.kit.outputs import Values, away, filling
from demos.kit.painter import MaskPainter, Painting, mask_painter
from demos.kit.portraits import never_seen, seed_of
from demos.kit.prompts import Prompt, prompt_box
from demos.kit.runs import mark
from demos.kit.words import said
from examples.clay.parts import PALETTE
from examples.diffusion_inversion.results import MASK, PAPER_AND_INK, SCRIBBLE

KINDS = [("Mask", MASK), ("Scribble", SCRIBBLE)]
WORDS = {MASK: ("hair", "Paint where each part of the head shall be."),
         SCRIBBLE: ("ink", "Draw what shall be seen, in a few strokes.")}  # fmt: skip
# What found the mask or the strokes of a picture.
TRUE, PARSER, NOBODY = "true", "parser", "nobody"
FOUND = {
    TRUE: "It begins as the renderer’s own mask of this portrait.",
    PARSER: "A network read it off the picture, with mistakes: paint over them.",
    NOBODY: "Nobody has read the parts of this picture: paint them.",
    "canny": "They begin as edges of the picture’s brightness (Canny’s), by no network.",
    "pidinet": "They begin as the edges that PiDiNet, a network, sees in the picture.",
    "hed": "They begin as the edges that HED, a network, sees in the picture.",
}
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
            labels, found = self._labels(square, picture, (x, y, zoom), seed, kind)
        return {
            kind: gr.update(**opened(self.at, kind, labels, square)), "of": {**of, kind: now},
            f"{kind} words": told(kind, found),
        }  # fmt: skip

    def _labels(
        self, square, picture, crop: tuple, seed: int | None, kind: str
    ) -> tuple[np.ndarray, str]:
        """A portrait's true mask, else what networks read, or the strokes; and what found them."""
        side = self.at.canvas
        nothing = np.zeros((side, side), np.uint8)
        if square is None:
            return nothing, ""
        portrait = seed_of(picture, seed) if self.at.rendered and kind == MASK else None
        if portrait is not None:
            return truth.mask_of(portrait, crop, side), TRUE
        pipeline = self.load()
        if kind == SCRIBBLE:
            return pipeline.traced(square, side).astype(np.uint8), pipeline.tracer
        if pipeline.parser is None:
            return nothing, NOBODY
        return pipeline.parsed(square, side), PARSER

    def example(self, name: str) -> Values:
        """An example: its prompt, and its portrait, whose mask or scribble follows."""
        found = next((e for e in EXAMPLES if e.name == name), None)
        if found is None:
            raise refuse(f"The example must be one of {', '.join(e.name for e in EXAMPLES)}.")
        return {
            "picture": never_seen(found.seed), "seed": found.seed, "kind": found.task,
            "prompt": found.prompt, **showing(found.task),
        }  # fmt: skip

    def first(self, request: gr.Request) -> Values:
        """The first example on a fresh page, unless its address brings a picture."""
        if request and {"take", "seed"} & set(request.query_params):
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


def told(kind: str, found: str = "") -> str:
    """What is to be painted, and what found that with which the painter begins, of FOUND."""
    words = f"{WORDS[kind][1]} {FOUND.get(found, '')}".strip()
    return said(f'<span class="quiet">{words}</span>')


def opened(
    at: Setting, kind: str, labels: np.ndarray | None = None, square: Image.Image | None = None
) -> dict[str, Any]:
    """What a painter holds of labels over a picture, or of nothing over paper."""
    blank, (names, palette) = (at.canvas,) * 2, _legend(kind)
    labels = np.zeros(blank, np.uint8) if labels is None else labels
    square = square or Image.new("RGB", blank, "white")
    return painter.opened(square, labels, names, palette, names.index(WORDS[kind][0]))


def showing(kind: str) -> Values:
    """Which painter is seen."""
    return {f"{task} column": gr.update(elem_classes=away(task != kind)) for task in WORDS}


def _legend(kind: str) -> tuple[list[str], np.ndarray]:
    return (list(NAMES), PALETTE) if kind == MASK else (["paper", "ink"], PAPER_AND_INK)


@dataclass(frozen=True)
class AskControls:
    """The controls; `of` says of which picture each painter was filled, `words` how."""

    prompt: Prompt
    portrait: PortraitInput
    kind: gr.Radio
    mask: MaskPainter
    scribble: MaskPainter
    columns: tuple[gr.Column, gr.Column]
    words: tuple[gr.HTML, gr.HTML]
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
    def painters(self) -> dict[str, Any]:
        """What another picture fills."""
        words = zip(WORDS, self.words, strict=True)
        named = {f"{task} words": component for task, component in words}
        return {MASK: self.mask, SCRIBBLE: self.scribble, "of": self.of, **named}

    @property
    def seen(self) -> dict[str, Any]:
        """The columns, of which one is seen."""
        return {f"{task} column": c for task, c in zip(WORDS, self.columns, strict=True)}

    @property
    def outputs(self) -> dict[str, Any]:
        """What an example without results fills: the painters follow."""
        return {
            "prompt": self.prompt, "picture": self.portrait.picture, "seed": self.portrait.seed,
            "kind": self.kind, **self.seen,
        }  # fmt: skip

    @property
    def stored(self) -> dict[str, Any]:
        """What an example with results fills."""
        dials = {"noise": self.noise, "strength": self.strength}
        return self.outputs | self.portrait.named | self.painters | dials


def build(at: Setting, first: Values = MappingProxyType({})) -> AskControls:
    """The prompt above; below it the picture to start from beside the painter.

    first: what stands there at the start, by name; nothing where no example is stored.
    """
    examples = gr.Radio(
        [e.name for e in EXAMPLES], value=None, label="Examples", elem_classes="pills",
        elem_id="diffusion-examples", visible=at.rendered and not first,
    )  # fmt: skip
    prompt = prompt_box(first.get("prompt", ""), elem_id="diffusion-prompt")
    with gr.Row():
        with gr.Column(scale=5, min_width=280):
            portrait = portrait_input(
                "Start from", "The picture whose mask or scribble is taken.",
                "diffusion_never_seen_portrait", first.get("picture"), first.get("seed"), at.name,
                side=at.canvas, faces=at.faces,
            )  # fmt: skip
            caption = gr.Button("Write its own caption", size="md", visible=at.rendered)
        with gr.Column(scale=13, min_width=280):
            kind = gr.Radio(
                KINDS, value=first.get("kind", MASK), label="Paint a", elem_classes="pills"
            )
            parts = [_canvas(at, task, kind.value, first) for _, task in KINDS]
    with gr.Row():
        noise = gr.Number(
            first.get("noise", 0), label="Noise", precision=0, min_width=140, minimum=0,
            maximum=MOST_NOISE, info="Another person to ControlNet; ours hardly moves.",
        )  # fmt: skip
        strength = Dial(
            0, 2, first.get("strength", 1), step=0.1, label="Strength of what is painted",
            info="0: the prompt alone.",
        )  # fmt: skip
    columns, words, painters = zip(*parts, strict=True)
    of = gr.State(first.get("of", {}))
    return AskControls(
        prompt, portrait, kind, *painters, columns, words, noise, strength, caption, examples, of
    )


def _canvas(
    at: Setting, kind: str, chosen: str, first: Values
) -> tuple[gr.Column, gr.HTML, MaskPainter]:
    with gr.Column(elem_classes=away(kind != chosen), min_width=280) as column:
        words = gr.HTML(
            first.get(f"{kind} words", told(kind)), elem_id=f"diffusion-{kind}-words"
        )  # fmt: skip
        holds = first.get(kind, opened(at, kind))
        canvas = mask_painter(holds, elem_id=f"diffusion-{kind}", elem_classes="free")
        canvas.side, canvas.parts = at.canvas, len(_legend(kind)[0])
    return column, words, canvas


def wire(load: Callable, at: Setting, ui: AskControls) -> Callable[..., Asked]:
    """Let painters follow the picture; returns what makes one thing of the controls."""
    part, portrait = _Part(load, at), ui.portrait
    changes = [portrait.picture.change, ui.kind.change]
    changes += [dial.input for dial in (portrait.x, portrait.y, portrait.zoom)]
    gr.on(
        changes, **filling(part.refill, ui.painters), inputs=[*portrait.origin, ui.kind, ui.of],
        api_name="diffusion_refill", **GPU | FOLLOW,
    )  # fmt: skip
    ui.kind.input(**filling(showing, ui.seen), inputs=ui.kind, **QUIET, **FOLLOW)
    ui.caption.click(
        part.caption, [portrait.picture, portrait.seed], ui.prompt, api_name="diffusion_caption",
        show_progress="hidden",
    )  # fmt: skip
    if ui.examples.visible:
        filled = filling(part.example, ui.outputs)
        ui.examples.input(
            **filled, inputs=ui.examples, api_name="diffusion_example", show_progress="hidden"
        )
        Context.root_block.load(**filling(part.first, ui.outputs), **QUIET)
    return part.asked
