"""Generate from words, from a condition, or from both (Eqs. 1, 2 and 6), as they change."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
import numpy as np
from gradio.components import Component

from demos.kit.address import Opening, into_portrait
from demos.kit.bridge import spoken_errors
from demos.kit.downloads import Keepsake, take_home
from demos.kit.handover import Exchange
from demos.kit.inputs import FOLLOW, GPU, QUIET, Dial, aligned, portrait_input
from demos.kit.outputs import Values, filling
from demos.kit.portraits import never_seen, random_seed, seed_of
from demos.kit.prompts import Prompt, prompt_box
from demos.kit.words import said
from demos.mm2latent import conditions, truth
from demos.mm2latent.chips import beyond, drawn, wishes
from demos.mm2latent.setting import HEAD, IN_TEXT, MASK, NONE, SKETCH, Setting
from demos.mm2latent.told import Plate, brief, plates, report
from demos.mm2latent.truth import Start

MOST = 12_000  # characters of a prompt that come through; how many are read is the networks' affair
VARIATIONS = 4
WHOLE = (0.5, 0.5, 1)
ASK = said("Write a prompt, press words below it, or choose a condition: the picture follows.")
ONE = said(
    '<span class="quiet">Give words and a condition: the picture of each alone stands here, beside '
    "that of both.</span>"
)
ALONE = said(
    '<span class="quiet">Variations move the words’ embedding: without a prompt there are none.'
    "</span>"
)


@dataclass(frozen=True, eq=False)
class Asked:
    """A request: its prompt, None for none, and its condition by kind, {} for none."""

    prompt: str | None = None
    condition: Mapping[str, Any] | None = None
    start: Start | None = None

    @property
    def kind(self) -> str | None:
        return next(iter(self.condition or {}), None)


@dataclass(frozen=True)
class _Part:
    load: Callable
    at: Setting

    def live(
        self, prompt: str, kind: str, mask, sketch, numbers: Mapping, variety: float, first: int,
        start: Start | None,
    ) -> Iterator[Values]:  # fmt: skip
        """The picture of a prompt and a condition, either of them alone, and variations.

        variety: length of the noise on the words' embedding, drawn by the seeds from `first` on.
        What is wrong with the inputs is said in the words.
        """
        try:
            asked = Asked(prompt or None, conditions.given(kind, mask, sketch, numbers), start)
            if asked.prompt is None and not asked.condition:
                yield nothing(ASK)
                return
            with spoken_errors():
                yield from self._answers(asked, variety, int(first))
        except gr.Error as error:
            yield nothing(said(escape(error.message), outside=True))

    def _answers(self, asked: Asked, variety: float, first: int) -> Iterator[Values]:
        """The picture at once, then what each part of the request says, then variations."""
        pipeline, condition = self.load(), dict(asked.condition)
        both = pipeline.generate(asked.prompt, **condition)
        words = report(both.scores, asked.prompt, asked.kind, both.notes, self.at.rendered)
        yield {"image": both.image, "words": words, "asked": asked}
        shown = {"result": both}
        if asked.prompt and condition:
            shown["prompt alone"] = pipeline.generate(asked.prompt)
            shown[f"{asked.kind} alone"] = pipeline.generate(**condition)
        yield {"strip": self._strip(asked, shown), "keep": self._kept(asked, shown, variety)}
        if asked.prompt is None:
            yield {"grid": ALONE}
            return
        varied = {
            f"variation {i + 1}": pipeline.generate(
                asked.prompt, **condition, variety=variety, seed=first + i
            )
            for i in range(VARIATIONS)
        }
        keep = self._kept(asked, shown | varied, variety, first)
        yield {"grid": plates([_plate(n, r) for n, r in varied.items()]), "keep": keep}

    def _strip(self, asked: Asked, shown: Mapping[str, Any]) -> str:
        """Both, each alone, and the renderer's answer where it knows the person."""
        row = [_plate(name, r) for name, r in shown.items()]
        wanted = wishes(asked.prompt or "")
        overrides = drawn(wanted) | dict(asked.condition.get(HEAD, {}))
        answer = truth.answer(asked.start, overrides) if asked.condition else None
        if answer is not None:
            rest = beyond(asked.prompt or "")
            words = truth.explained(asked.start, wanted, rest, asked.condition)
            row.append(Plate("True answer", answer, words, marked=True))
        return plates(row) if len(row) > 1 else ONE

    def _kept(
        self, asked: Asked, shown: Mapping[str, Any], variety: float, first: int = 0
    ) -> Keepsake:
        """Everything of a request to take home."""
        pictures = {name: r.image for name, r in shown.items()} | conditions.pictured(
            asked.condition
        )
        told = {
            "method": "MM2Latent", "prompt": asked.prompt, "condition": asked.kind,
            "numbers": asked.condition.get(HEAD), "variety": variety, "seeds_from": first,
            "started_from": asked.start and asked.start.seed,
            "scores": {n: [r.scores.text, r.scores.condition] for n, r in shown.items()},
        }  # fmt: skip
        about = {"method": "MM2Latent", "domain": self.at.name}
        about |= {"generator": self.load().fingerprint}
        return Keepsake(pictures, {name: r.w for name, r in shown.items()}, told, about)

    def read(
        self, kind: str, picture, x: float, y: float, zoom: float, seed: int | None
    ) -> Values:  # fmt: skip
        """A condition as a portrait has it: the renderer's own mask and numbers of a never-seen
        one, and what the networks read off any other picture.
        """
        if kind == NONE or picture is None:
            return {}
        image = aligned(picture, x, y, zoom, self.at.side)
        known = seed_of(picture, seed) if self.at.rendered and (x, y, zoom) == WHOLE else None
        with spoken_errors():
            found = self._found(kind, image, known)
        start = Start(known, None if known is None else truth.true_mask(known))
        return conditions.started(kind, self.at, image, found) | {"start": start}

    def _found(self, kind: str, image: Any, known: int | None) -> np.ndarray:
        if known is None or kind == SKETCH:
            return self.load().invert(image).given[kind]
        return truth.true_mask(known) if kind == MASK else truth.true_numbers(known)

    def begin(self, kind: str, picture: Any) -> Values:
        """A portrait to start from, where there is none yet."""
        shown = {"begin": gr.update(visible=kind != NONE)}
        if kind == NONE or picture is not None or not self.at.rendered:
            return shown
        seed = random_seed()
        return shown | {"picture": never_seen(seed), "seed": seed}


def nothing(words: str) -> Values:
    """No result, and why."""
    return {"image": None, "words": words, "strip": ONE, "grid": "", "keep": None, "asked": None}


def _plate(name: str, result: Any) -> Plate:
    label = name.replace(HEAD, IN_TEXT[HEAD])
    return Plate(label[:1].upper() + label[1:], result.image, brief(result))


@dataclass(frozen=True)
class GenerateControls:
    """The results' components."""

    image: gr.Image
    words: gr.HTML
    strip: gr.HTML
    grid: gr.HTML
    keep: gr.State
    asked: gr.State

    @property
    def outputs(self) -> dict[str, Component]:
        names = ("image", "words", "strip", "grid", "keep", "asked")
        return {name: getattr(self, name) for name in names}


def long_prompt(value: str, at: Setting, name: str) -> Prompt:
    """A prompt of which more may come than is read: the result says what was not."""
    return prompt_box(value, at.chips, most=MOST, elem_id=f"{name}-prompt")


def build(load: Callable, exchange: Exchange, at: Setting) -> tuple[Opening, gr.State]:
    """Put this part into the open tab; returns its first input and the newest request."""
    part, start = _Part(load, at), gr.State()
    prompt = long_prompt("", at, "mm2latent")
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=9, min_width=280):
            image = gr.Image(
                label="Result", interactive=False, format="png", height=380,
                alt_text="The picture that was generated.", elem_classes="filled",
                buttons=["download", "fullscreen"], elem_id="mm2latent-result",
            )  # fmt: skip
            words = gr.HTML(ASK, elem_id="mm2latent-words")
        with gr.Column(scale=14, min_width=300):
            kind = conditions.kinds(at, ("None", NONE), "mm2latent")
            with gr.Column(visible=False) as begin:
                with gr.Accordion("Start from another portrait", open=not at.rendered):
                    portrait = portrait_input(
                        "Portrait", "The portrait that the condition is taken of.",
                        "mm2latent_never_seen_portrait", domain=at.name, side=at.side,
                        faces=at.faces,
                    )  # fmt: skip
            ui = conditions.build(at, kind, "mm2latent")
    _heading("Which of the two says what", "The same request from both, and from each alone.")
    strip = gr.HTML(ONE, elem_id="mm2latent-strip")
    _heading("Variations", "Noise on the words’ embedding, as in training, with four seeds.")
    with gr.Row(equal_height=True):
        variety = Dial(0, 2, 1, step=0.05, label="Variety: length of the noise (Eq. 2)")
        first = gr.State(0)
        again = gr.Button("Other variations", size="md", min_width=160)
    grid = gr.HTML(elem_id="mm2latent-variations")
    keep, _ = take_home("mm2latent_files", None, exchange.offer)
    shown = GenerateControls(image, words, strip, grid, keep, gr.State())
    inputs = [prompt, *ui.inputs, variety, first, start]
    live = {**filling(part.live, shown.outputs), "inputs": inputs} | GPU | FOLLOW
    gr.on([prompt.input, variety.input], **live, api_name="mm2latent_generate_page")
    again.click(lambda: random.SystemRandom().randrange(2**31), None, first, **QUIET).then(
        **live, api_visibility="private"
    )
    conditions.wire(ui, at, "mm2latent", live)
    _wire_start(part, ui, portrait, begin, {"start": start}, live)
    return into_portrait(portrait), shown.asked


def _heading(name: str, says: str) -> None:
    gr.HTML(f'<div class="prose-page"><h2>{name}</h2><p class="aside">{says}</p></div>')


def _wire_start(
    part: _Part, ui: conditions.ConditionControls, portrait: Any, begin: gr.Column,
    start: Mapping[str, Component], live: Mapping[str, Any],
) -> None:  # fmt: skip
    """Take the condition of the portrait when either changes."""
    shown = {"begin": begin, "picture": portrait.picture, "seed": portrait.seed}
    ui.kind.input(**filling(part.begin, shown), inputs=[ui.kind, portrait.picture], **QUIET)
    changes = [portrait.picture.change, ui.kind.input]
    changes += [dial.input for dial in (portrait.x, portrait.y, portrait.zoom)]
    gr.on(
        changes, **filling(part.read, ui.outputs | start), inputs=[ui.kind, *portrait.origin],
        api_name="mm2latent_read", **GPU | FOLLOW,
    ).success(**live, api_visibility="private")  # fmt: skip
