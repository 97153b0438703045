"""Edit a picture by words or by a condition, one edit after another (Eqs. 7 to 9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from html import escape
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component

from demos.kit.address import Opening, into_portrait
from demos.kit.bridge import spoken_errors
from demos.kit.downloads import Keepsake, take_home
from demos.kit.handover import Exchange, known
from demos.kit.imaging import refuse
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
from demos.kit.portraits import seed_of
from demos.kit.prompts import prompt_box
from demos.kit.runs import mark
from demos.kit.words import compared, said
from demos.mm2latent import conditions, truth
from demos.mm2latent.chips import drawn, wishes
from demos.mm2latent.generate import MOST
from demos.mm2latent.setting import HEAD, IN_TEXT, KINDS, Setting
from demos.mm2latent.trail import TEXT, Example, Step, Trail, held, judged, worded
from demos.mm2latent.truth import Start

PIVOT = "a portrait of a person"
STRONGEST = 5.0  # of beta
ASK = said("Give a picture, or press New portrait: its code follows by itself.")
SAY = said("Say in the target what the picture shall show, or press words below it.")
STAND = said("This is the picture as its code has it. Paint, draw or move a slider to edit it.")
NO_TRUTH = {
    "own": "nobody knows it for an own picture.",
    "words": "the renderer knows the words of the chips alone.",
    "painted": "nobody rendered a mask or a sketch that was painted here.",
}


@dataclass(frozen=True)
class _Part:
    load: Callable
    at: Setting

    def invert(
        self, picture, x: float, y: float, zoom: float, seed: int | None, given: dict,
        of: str | None,
    ) -> Values:  # fmt: skip
        """The codes of a picture; they stay in this session, with what is read off the picture.

        A result that was sent here comes with its code, which is taken as it is.
        """
        if picture is None:
            return forgotten(self.at)
        if of == mark(picture, x, y, zoom):  # a stored example's own
            return {}
        image = aligned(picture, x, y, zoom, self.at.side)
        seed = seed_of(picture, seed) if self.at.rendered else None
        with spoken_errors():
            pipeline = self.load()
            w = known(given, image, pipeline)
            source = pipeline.invert(image) if w is None else pipeline.placed(w)
        overrides = None if seed is None else {}
        trail = Trail(image, seed, (x, y, zoom), (Step(source, "the picture", overrides),))
        return self._opened(trail) | {"words": _near(source) + SAY, "of": None}

    def _opened(self, trail: Trail) -> Values:
        """What a picture or a kept edit puts on the page, before the next edit."""
        source, shown = trail.now.source, {}
        for kind in self.at.kinds:
            shown |= conditions.started(kind, self.at, source.image, source.given[kind])
        pair = (source.image, source.image)
        return shown | {
            "trail": trail, "pair": pair, "story": _story(trail), "keep": self._kept(trail),
            "answer": gr.update(value=None, visible=False), "verdict": "",
        }  # fmt: skip

    def edit(
        self, trail: Trail | Example | None, how: str, target: str, pivot: str, beta: float, mask,
        sketch, numbers: Mapping,
    ) -> Values:  # fmt: skip
        """Edit this session's picture by words, or by a condition that was changed.

        how: "text", or a kind of condition; target, pivot: what it shall show, and what it shows;
        beta: strength. What is wrong with the inputs is said in the words.
        """
        trail = held(trail, self.load)
        if how == TEXT and not target:
            return self._back(trail, SAY)
        try:
            asked, options, told = _asked(how, target, pivot, mask, sketch, numbers)
            with spoken_errors():
                edited = self.load().edit(trail.now.source, asked, beta=beta, **options)
        except gr.Error as error:
            return self._back(trail, said(escape(error.message), outside=True))
        overrides, why = self._known(trail, how, target, pivot, numbers)
        trail = replace(trail, edited=edited, told=f"{told}, β {beta:g}", overrides=overrides)
        return self._shown(trail, how, target, why, beta)

    def _shown(self, trail: Trail, how: str, target: str, why: str, beta: float) -> Values:
        edited = trail.edited
        return {
            "trail": trail, "pair": (trail.now.source.image, edited.image),
            "words": worded(edited, how, target, self.at), "keep": self._kept(trail),
            **self._answered(trail, why, beta),
        }  # fmt: skip

    def _answered(self, trail: Trail, why: str, beta: float) -> Values:
        """The true answer, where the renderer knows it."""
        if trail.overrides is None:
            verdict = truth.nothing_known(why) if self.at.rendered else ""
            return {"answer": gr.update(value=None, visible=False), "verdict": verdict}
        found = truth.answer(Start(trail.seed), trail.overrides)
        found = aligned(found, *trail.crop, self.at.side)
        with spoken_errors():
            measures = self.load().measure(trail.edited.image, found)
        verdict = judged(measures, beta)
        return {"answer": gr.update(value=found, visible=True), "verdict": verdict}

    def _known(
        self, trail: Trail, how: str, target: str, pivot: str, numbers: Mapping
    ) -> tuple[dict[str, Any] | None, str]:
        """The renderer's parameters for all edits so far; or None, and why."""
        if trail.now.overrides is None:
            return None, NO_TRUTH["own" if trail.seed is None else "painted"]
        if how == HEAD:
            return dict(trail.now.overrides) | _moved(numbers, trail, self.at), ""
        if how != TEXT:
            return None, NO_TRUTH["painted"]
        wanted = drawn(wishes(target))
        left = {k: v for k, v in wanted.items() if drawn(wishes(pivot)).get(k) != v}
        return (dict(trail.now.overrides) | left, "") if left else (None, NO_TRUTH["words"])

    def go_on(self, trail: Trail | Example | None) -> Values:
        """Keep the newest edit: the next one starts from it."""
        trail = held(trail, self.load)
        if trail.edited is None:
            raise refuse("There is no edit to keep yet. Change something first.")
        with spoken_errors():
            source = self.load().placed(trail.edited.w)
        step = Step(source, trail.told, trail.overrides)
        after = replace(trail, steps=(*trail.steps, step), edited=None)
        return self._opened(after) | {"words": said("Kept. The next edit starts from here.")}

    def undo(self, trail: Trail | Example | None) -> Values:
        """Drop the newest edit; where there is none, take the last kept one back."""
        trail = held(trail, self.load)
        if trail.edited is None and len(trail.steps) == 1:
            raise refuse("There is nothing to undo: this is the picture itself.")
        steps = trail.steps if trail.edited is not None else trail.steps[:-1]
        after = replace(trail, steps=steps, edited=None)
        return self._opened(after) | {"words": said("Taken back.")}

    def _back(self, trail: Trail, words: str) -> Values:
        """The picture without the newest edit, and why."""
        trail = replace(trail, edited=None)
        pair = (trail.now.source.image,) * 2
        hidden = gr.update(value=None, visible=False)
        return {
            "trail": trail, "pair": pair, "words": words, "answer": hidden, "verdict": "",
            "keep": self._kept(trail),
        }  # fmt: skip

    def _kept(self, trail: Trail) -> Keepsake:
        return trail.kept(self.at, {"generator": self.load().fingerprint})


def _asked(
    how: str, target: str, pivot: str, mask, sketch, numbers: Mapping
) -> tuple[Any, dict[str, Any], str]:
    """The target, the pipeline's other arguments, and the edit in words."""
    if how == TEXT:
        return target, {"pivot": pivot or PIVOT}, target
    condition = conditions.given(how, mask, sketch, numbers)
    if how not in condition:
        raise refuse(f"An edit must be by text or a condition; got {how[:40]!r}.")
    return condition[how], {"kind": how}, IN_TEXT[how]


def _moved(numbers: Mapping[str, float], trail: Trail, at: Setting) -> dict[str, float]:
    """The 3DMM numbers that differ from those of the picture."""
    own = at.named(trail.now.source.given[HEAD])
    return {name: v for name, v in numbers.items() if abs(v - own.get(name, v)) > 1e-4}


def _near(source: Any) -> str:
    if source.measures is None:
        return said("The picture came with its code: it needed no search.")
    return compared(source.measures, "the picture", "what its code gives")


def _story(trail: Trail) -> str:
    """The edits that were kept, in words."""
    kept = [escape(step.told) for step in trail.steps[1:]]
    return said(f'<span class="quiet">Kept so far: {"; then ".join(kept)}.</span>') if kept else ""


def forgotten(at: Setting) -> Values:
    """The part without a picture."""
    return conditions.emptied(at) | {
        "of": None, "trail": None, "pair": None, "words": ASK, "story": "", "verdict": "",
        "keep": None, "answer": gr.update(value=None, visible=False),
    }  # fmt: skip


@dataclass(frozen=True)
class EditControls:
    """The part's components, apart from the condition's.

    of: what tells the picture of a stored example that stands here, None for an own one. stored:
    what an example fills, by name.
    """

    pair: gr.ImageSlider
    words: gr.HTML
    answer: gr.Image
    verdict: gr.HTML
    story: gr.HTML
    trail: gr.State
    of: gr.State
    keep: gr.State
    portrait: PortraitInput
    stored: Mapping[str, Component]

    @property
    def outputs(self) -> dict[str, Component]:
        names = ("pair", "words", "answer", "verdict", "story", "trail", "keep")
        return {name: getattr(self, name) for name in names}

    @property
    def opening(self) -> Opening:
        return into_portrait(self.portrait)


def build(
    load: Callable, exchange: Exchange, at: Setting, first: Values = MappingProxyType({})
) -> EditControls:
    """Put this part into the open tab; first: what stands there at the start, by name."""
    part = _Part(load, at)
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=9, min_width=280):
            shown = _results(first)
        with gr.Column(scale=14, min_width=300):
            portrait = portrait_input(
                "Picture", "The picture to edit.", "mm2latent_edit_never_seen_portrait",
                first.get("picture"), first.get("seed"), at.name, side=at.side, faces=at.faces,
            )  # fmt: skip
            how = gr.Radio(
                [("Words", TEXT), *((KINDS[k], k) for k in at.kinds)],
                value=first.get("how", TEXT), label="Edit by", elem_classes="pills",
                elem_id="mm2latent-edit-how",
            )  # fmt: skip
            with gr.Column(visible=how.value == TEXT) as by_words:
                target = _target(at, first.get("target", ""))
                pivot = gr.Textbox(
                    PIVOT, label="Pivot: what it shows now", max_lines=2, max_length=MOST
                )
            ui = conditions.build(at, how, "mm2latent-edit", first)
            beta = Dial(
                -STRONGEST, STRONGEST, first.get("beta", 1), step=0.1,
                label="β, strength of the edit",
            )  # fmt: skip
            with gr.Row(equal_height=True):
                keep_on = gr.Button("Keep, and edit on", size="md", min_width=140)
                back = gr.Button("Undo", size="md", min_width=90)
    keep, _ = take_home("mm2latent_edit_files", first.get("keep"), exchange.offer)
    exchange.receive("edit", "edit", portrait)
    states = {name: gr.State(first.get(name)) for name in ("trail", "of")}
    fills = {
        "how": how, "by words": by_words, "target": target, "pivot": pivot, "beta": beta,
        "picture": portrait.picture, "seed": portrait.seed, "x": portrait.x, "y": portrait.y,
        "zoom": portrait.zoom, "of": states["of"], **ui.outputs, **ui.seen,
    }  # fmt: skip
    controls = EditControls(**shown, **states, keep=keep, portrait=portrait, stored=fills)
    outputs = controls.outputs
    inputs = [controls.trail, how, target, pivot, beta, *ui.inputs[1:]]
    edit = {**filling(part.edit, outputs), "inputs": inputs} | GPU | FOLLOW
    gr.on(
        [target.input, pivot.input, beta.input, how.input], **edit, api_name="mm2latent_edit_page"
    )
    conditions.wire(ui, at, "mm2latent_edit", edit)
    how.input(lambda kind: gr.update(visible=kind == TEXT), how, by_words, **QUIET)
    made = outputs | ui.outputs | {"of": controls.of}
    _wire_picture(part, portrait, [exchange.given, controls.of], made)
    for button, handler in ((keep_on, part.go_on), (back, part.undo)):
        button.click(
            **filling(handler, outputs | ui.outputs), inputs=controls.trail,
            api_name=f"mm2latent_{handler.__name__}", **GPU,
        )  # fmt: skip
    return controls


def _target(at: Setting, value: str) -> Component:
    return prompt_box(
        value, at.chips, "Target: what it shall show", "Write, or press words.", most=MOST,
        elem_id="mm2latent-target",
    )  # fmt: skip


def _results(first: Values) -> dict[str, Component]:
    pair = gr.ImageSlider(
        first.get("pair"), label="Before and after", format="png", height=380,
        elem_id="mm2latent-compare", interactive=False, buttons=["fullscreen"],
        elem_classes="filled",
    )  # fmt: skip
    words = gr.HTML(first.get("words", ASK), elem_id="mm2latent-edit-words")
    answer = gr.Image(
        first.get("truth"), label="True answer", interactive=False, format="png", height=260,
        visible="truth" in first, elem_id="mm2latent-answer", elem_classes="filled",
        alt_text="The same portrait rendered with the edit.", buttons=["download", "fullscreen"],
    )  # fmt: skip
    verdict = gr.HTML(first.get("verdict"), elem_id="mm2latent-verdict")
    story = gr.HTML(first.get("story"), elem_id="mm2latent-story")
    return {"pair": pair, "words": words, "answer": answer, "verdict": verdict, "story": story}


def _wire_picture(
    part: _Part, portrait: Any, states: list[Component], outputs: Mapping[str, Component]
) -> None:
    """A new picture, or another square of it, is inverted at once."""
    changes = [portrait.picture.change]
    changes += [dial.input for dial in (portrait.x, portrait.y, portrait.zoom)]
    gr.on(
        changes, **filling(part.invert, outputs), inputs=[*portrait.origin, *states],
        api_name="mm2latent_invert", **GPU | FOLLOW,
    )  # fmt: skip
