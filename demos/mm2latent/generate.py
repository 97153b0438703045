"""Generate from words, from a condition, or from both (Eqs. 1, 2 and 6), as they change."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradio as gr
import numpy as np
from gradio.components import Component
from PIL import Image

from demos.kit.address import Opening, into_portrait
from demos.kit.bridge import spoken_errors
from demos.kit.downloads import Keepsake, take_home
from demos.kit.handover import Exchange
from demos.kit.inputs import (
    FOLLOW,
    GPU,
    QUIET,
    Dial,
    PortraitInput,
    aligned,
    portrait_input,
)
from demos.kit.outputs import Values, filling
from demos.kit.portraits import never_seen, random_seed, seed_of
from demos.kit.prompts import Prompt, prompt_box
from demos.kit.runs import mark
from demos.kit.words import said
from demos.mm2latent import conditions, truth
from demos.mm2latent.asked import Asked, Drawn, told_apart
from demos.mm2latent.chips import beyond, wishes
from demos.mm2latent.setting import HEAD, IN_TEXT, MASK, NONE, SKETCH, Setting
from demos.mm2latent.told import Plate, brief, plates, report
from demos.mm2latent.trail import WHOLE
from demos.mm2latent.truth import Start

MOST = 12_000  # characters of a prompt that come through; how many are read is the networks' affair
FEWEST, MOST_SEEDS = 4, 16  # variations
RESULT = "result"
VARIED = (
    "Each by a seed: noise on the words’ embedding, as in training, and what words and condition "
    "leave open, as a sample of the generator has it."
)
ASK = said("Write a prompt, press words below it, or choose a condition: the picture follows.")
ONE = said(
    '<span class="quiet">Give words and a condition: the picture of each alone stands here, beside '
    "that of both.</span>"
)
ALONE = said(
    '<span class="quiet">Without a prompt there is no noise to draw: let some of the unsaid be '
    "drawn.</span>"
)


@dataclass(frozen=True)
class _Part:
    load: Callable
    at: Setting

    def live(
        self, prompt: str, kind: str, mask, sketch, numbers: Mapping, variety: float,
        unsaid: float, many: int, first: int, start: Start | None, of: str | None,
    ) -> Iterator[Values]:  # fmt: skip
        """The picture of a prompt and a condition, either of them alone, and variations.

        What is wrong with the inputs is said in the words.
        """
        draw = Drawn(variety, unsaid, int(many), first)
        now = told_apart(prompt, kind, mask, sketch, numbers, *draw.told_apart)
        if of == now:  # a stored example's own, of which nothing is to be made
            yield {}
            return
        try:
            asked = Asked(prompt or None, conditions.given(kind, mask, sketch, numbers), start)
            if asked.prompt is None and not asked.condition:
                yield nothing(ASK)
                return
            with spoken_errors():
                yield from self._answers(asked, draw)
        except gr.Error as error:
            yield nothing(said(escape(error.message), outside=True))

    def _answers(self, asked: Asked, draw: Drawn) -> Iterator[Values]:
        """The picture at once, then what each part of the request says, then variations."""
        pipeline, condition = self.load(), dict(asked.condition)
        about = {"generator": pipeline.fingerprint}
        both = pipeline.generate(asked.prompt, **condition)
        yield {
            "image": both.image,
            "words": worded(both, asked, self.at),
            "asked": asked,
            "of": None,
        }
        shown = {RESULT: both}
        if asked.prompt and condition:
            shown["prompt alone"] = pipeline.generate(asked.prompt)
            shown[f"{asked.kind} alone"] = pipeline.generate(**condition)
        keep = kept(asked, shown, draw, codes_of(shown), self.at, about)
        yield {"strip": strip(asked, shown, asked.answer), "keep": keep}
        if asked.prompt is None and not draw.unsaid:
            yield {"grid": ALONE}
            return
        varied = pipeline.vary(
            asked.prompt, seeds=draw.seeds, variety=draw.variety, unsaid=draw.unsaid, **condition
        )
        named = {f"variation {i}": each for i, each in enumerate(varied, 1)}
        every = shown | named
        keep = kept(asked, every, draw, codes_of(every), self.at, about)
        yield {"grid": grid(named), "keep": keep}

    def read(
        self, kind: str, picture, x: float, y: float, zoom: float, seed: int | None,
        taken: str | None,
    ) -> Values:  # fmt: skip
        """A condition as a portrait has it: the renderer's own mask and numbers of a never-seen
        one, and what the networks read off any other picture.
        """
        if kind == NONE or picture is None:
            return {}
        now = mark(kind, picture, x, y, zoom)
        if taken == now:  # a stored example's own, or read already: what was painted on it stays
            return {}
        image = aligned(picture, x, y, zoom, self.at.side)
        known = seed_of(picture, seed) if self.at.rendered and (x, y, zoom) == WHOLE else None
        with spoken_errors():
            found = self._found(kind, image, known)
        start = Start(known, None if known is None else truth.true_mask(known))
        return conditions.started(kind, self.at, image, found) | {"start": start, "taken": now}

    def _found(self, kind: str, image: Any, known: int | None) -> np.ndarray:
        if known is None or kind == SKETCH:
            return self.load().read(image, kind)
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
    empty = dict.fromkeys(("image", "keep", "asked", "of"))
    return empty | {"words": words, "strip": ONE, "grid": ""}


def worded(result: Any, asked: Asked, at: Setting) -> str:
    """A result in words."""
    return report(result.scores, asked.prompt, asked.kind, result.notes, at.rendered)


def strip(asked: Asked, shown: Mapping[str, Any], answer: Image.Image | None) -> str:
    """Both, each alone, and the renderer's answer where it knows the person."""
    row = [_plate(name, result) for name, result in shown.items()]
    if answer is not None:
        wanted, rest = wishes(asked.prompt or ""), beyond(asked.prompt or "")
        words = truth.explained(asked.start, wanted, rest, asked.condition)
        row.append(Plate("True answer", answer, words, marked=True))
    return plates(row) if len(row) > 1 else ONE


def grid(varied: Mapping[str, Any]) -> str:
    """Variations by name."""
    return plates([_plate(name, result) for name, result in varied.items()])


def codes_of(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The codes of results by name."""
    return {name: result.w for name, result in shown.items()}


def kept(
    asked: Asked, shown: Mapping[str, Any], draw: Drawn, codes: Mapping[str, Any] | Path,
    at: Setting, about: Mapping[str, str],
) -> Keepsake:  # fmt: skip
    """Everything of a request to take home; codes: by the names of results, or their file."""
    pictures = {name: r.image for name, r in shown.items()} | conditions.pictured(asked.condition)
    told = {
        "method": "MM2Latent", "prompt": asked.prompt, "condition": asked.kind,
        "numbers": asked.condition.get(HEAD), "variety": draw.variety,
        "unsaid": draw.unsaid, "seeds_from": draw.first,
        "started_from": asked.start and asked.start.seed,
        "scores": {n: [r.scores.text, r.scores.condition] for n, r in shown.items()},
    }  # fmt: skip
    about = {"method": "MM2Latent", "domain": at.name, **about}
    return Keepsake(pictures, codes, told, about, titles={n: _title(n) for n in shown})


def _plate(name: str, result: Any) -> Plate:
    return Plate(_title(name), result.image, brief(result))


def _title(name: str) -> str:
    label = name.replace(HEAD, IN_TEXT[HEAD])
    return label[:1].upper() + label[1:]


@dataclass(frozen=True)
class GenerateControls:
    """The part's components: results, and what a request is made of.

    of: what tells the request of a stored example that stands here, None for an own one. stored:
    what an example fills, by name.
    """

    image: gr.Image
    words: gr.HTML
    strip: gr.HTML
    grid: gr.HTML
    keep: gr.State
    asked: gr.State
    of: gr.State
    portrait: PortraitInput
    stored: Mapping[str, Component]

    @property
    def outputs(self) -> dict[str, Component]:
        names = ("image", "words", "strip", "grid", "keep", "asked", "of")
        return {name: getattr(self, name) for name in names}

    @property
    def opening(self) -> Opening:
        return into_portrait(self.portrait)


def long_prompt(value: str, at: Setting, name: str) -> Prompt:
    """A prompt of which more may come than is read: the result says what was not."""
    return prompt_box(value, at.chips, most=MOST, elem_id=f"{name}-prompt")


def build(
    load: Callable, exchange: Exchange, at: Setting, first: Values = MappingProxyType({})
) -> GenerateControls:
    """Put this part into the open tab; first: what stands there at the start, by name."""
    part = _Part(load, at)
    states = {name: gr.State(first.get(name)) for name in ("start", "taken", "asked", "of")}
    prompt = long_prompt(first.get("prompt", ""), at, "mm2latent")
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=9, min_width=280):
            image = gr.Image(
                first.get("image"), label="Result", interactive=False, format="png", height=380,
                alt_text="The picture that was generated.", elem_classes="filled",
                buttons=["download", "fullscreen"], elem_id="mm2latent-result",
            )  # fmt: skip
            words = gr.HTML(first.get("words", ASK), elem_id="mm2latent-words", elem_classes="told")
        with gr.Column(scale=14, min_width=300):
            kind = conditions.kinds(at, ("None", NONE), "mm2latent", first.get("kind"))
            with gr.Column(visible=kind.value != NONE) as begin:
                with gr.Accordion("Start from another portrait", open=not at.rendered):
                    portrait = portrait_input(
                        "Portrait", "The portrait that the condition is taken of.",
                        "mm2latent_never_seen_portrait", first.get("picture"), first.get("seed"),
                        at.name, side=at.side, faces=at.faces,
                    )  # fmt: skip
            ui = conditions.build(at, kind, "mm2latent", first)
    _heading("Which of the two says what", "The same request from both, and from each alone.")
    alone = gr.HTML(first.get("strip", ONE), elem_id="mm2latent-strip")
    _heading("Variations", VARIED)
    with gr.Row(equal_height=True):
        variety = Dial(0, 2, 1, step=0.05, label="Variety: noise (Eq. 2)")
        unsaid = Dial(0, 1, 1, step=0.05, label="The unsaid, drawn")
        many = Dial(FEWEST, MOST_SEEDS, FEWEST, step=1, label="Seeds")
        seeds = gr.State(0)
        again = gr.Button("Other variations", size="md", min_width=160)
    varied = gr.HTML(first.get("grid"), elem_id="mm2latent-variations")
    keep, _ = take_home("mm2latent_files", first.get("keep"), exchange.offer)
    fills = {
        "prompt": prompt, "kind": kind, "begin": begin, "variety": variety, "unsaid": unsaid,
        "many": many, "seeds": seeds, "picture": portrait.picture, "seed": portrait.seed,
        "x": portrait.x, "y": portrait.y, "zoom": portrait.zoom, **states, **ui.outputs, **ui.seen,
    }  # fmt: skip
    shown = GenerateControls(
        image, words, alone, varied, keep, states["asked"], states["of"], portrait, fills
    )
    inputs = [prompt, *ui.inputs, variety, unsaid, many, seeds, states["start"], states["of"]]
    live = {**filling(part.live, shown.outputs), "inputs": inputs} | GPU | FOLLOW
    changes = [dial.input for dial in (prompt, variety, unsaid, many)]
    gr.on(changes, **live, api_name="mm2latent_generate_page")
    again.click(lambda: random.SystemRandom().randrange(2**31), None, seeds, **QUIET).then(
        **live, api_visibility="private"
    )
    conditions.wire(ui, at, "mm2latent", live)
    started = {name: states[name] for name in ("start", "taken")}
    _wire_start(part, ui, portrait, begin, started, live)
    return shown


def _heading(name: str, says: str) -> None:
    gr.HTML(f'<div class="prose-page"><h2>{name}</h2><p class="aside">{says}</p></div>')


def _wire_start(
    part: _Part, ui: conditions.ConditionControls, portrait: Any, begin: gr.Column,
    start: Mapping[str, Component], live: Mapping[str, Any],
) -> None:  # fmt: skip
    """Take the condition of the portrait when either changes."""
    shown = {"begin": begin, "picture": portrait.picture, "seed": portrait.seed}
    ui.kind.input(
        **filling(part.begin, shown), inputs=[ui.kind, portrait.picture], **QUIET, **FOLLOW
    )
    changes = [portrait.picture.change, ui.kind.input]
    changes += [dial.input for dial in (portrait.x, portrait.y, portrait.zoom)]
    gr.on(
        changes, **filling(part.read, ui.outputs | start),
        inputs=[ui.kind, *portrait.origin, start["taken"]], api_name="mm2latent_read",
        **GPU | FOLLOW,
    ).success(**live, api_visibility="private")  # fmt: skip
