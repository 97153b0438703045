"""Edit a picture by words or by a condition, one edit after another (Eqs. 7 to 9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component
from PIL import Image

from demos.kit.address import Opening, into_portrait
from demos.kit.bridge import spoken_errors
from demos.kit.downloads import Keepsake, take_home
from demos.kit.handover import Exchange, known
from demos.kit.imaging import refuse
from demos.kit.inputs import FOLLOW, GPU, QUIET, Dial, aligned, portrait_input
from demos.kit.outputs import Values, filling
from demos.kit.portraits import seed_of
from demos.kit.prompts import prompt_box
from demos.kit.words import compared, said, same_person
from demos.mm2latent import conditions, truth
from demos.mm2latent.chips import drawn, wishes
from demos.mm2latent.generate import MOST
from demos.mm2latent.setting import HEAD, IN_TEXT, KINDS, Setting
from demos.mm2latent.told import report
from demos.mm2latent.truth import Start

TEXT = "text"
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


@dataclass(frozen=True, eq=False)
class Step:
    """A picture that is edited further: the pipeline's `Source`, what made it, in words.

    overrides: of the renderer for the true answer to all edits so far; None where it has none.
    """

    source: Any
    told: str
    overrides: Mapping[str, Any] | None


@dataclass(frozen=True, eq=False)
class Trail:
    """One visitor's picture and the edits that were kept, the newest last."""

    picture: Image.Image
    seed: int | None
    crop: tuple[float, float, float]
    steps: tuple[Step, ...]
    edited: Any = None  # the newest edit, not kept yet, and what would make it a step
    told: str = ""
    overrides: Mapping[str, Any] | None = None

    @property
    def now(self) -> Step:
        return self.steps[-1]


def held(trail: Trail | None) -> Trail:
    """The picture; `gr.Error` before there is one."""
    if trail is None:
        raise refuse("There is no picture to edit yet. Upload one, or press New portrait.")
    return trail


@dataclass(frozen=True)
class _Part:
    load: Callable
    at: Setting

    def invert(
        self, picture, x: float, y: float, zoom: float, seed: int | None, given: dict
    ) -> Values:  # fmt: skip
        """The codes of a picture; they stay in this session, with what is read off the picture.

        A result that was sent here comes with its code, which is taken as it is.
        """
        if picture is None:
            return forgotten(self.at)
        image = aligned(picture, x, y, zoom, self.at.side)
        seed = seed_of(picture, seed) if self.at.rendered else None
        with spoken_errors():
            pipeline = self.load()
            w = known(given, image, pipeline)
            source = pipeline.invert(image) if w is None else pipeline.placed(w)
        overrides = None if seed is None else {}
        trail = Trail(image, seed, (x, y, zoom), (Step(source, "the picture", overrides),))
        return self._opened(trail) | {"words": _near(source) + SAY}

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
        self, trail: Trail | None, how: str, target: str, pivot: str, beta: float, mask, sketch,
        numbers: Mapping,
    ) -> Values:  # fmt: skip
        """Edit this session's picture by words, or by a condition that was changed.

        how: "text", or a kind of condition; target, pivot: what it shall show, and what it shows;
        beta: strength. What is wrong with the inputs is said in the words.
        """
        trail = held(trail)
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
        asked = target if how == TEXT else None
        kind = None if how == TEXT else how
        words = said(
            f"Kept: {same_person(edited.identity, self.at.rendered)}; {edited.kept:.0%} of the "
            "pixels in their class."
        ) + report(edited.scores, asked, kind, edited.notes, self.at.rendered)
        return {
            "trail": trail, "pair": (trail.now.source.image, edited.image), "words": words,
            "keep": self._kept(trail), **self._answered(trail, why, beta),
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
        verdict = compared(measures, "the edit", "the true answer")
        if beta != 1:
            verdict += said('<span class="quiet">The true answer is that to strength 1.</span>')
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

    def go_on(self, trail: Trail | None) -> Values:
        """Keep the newest edit: the next one starts from it."""
        trail = held(trail)
        if trail.edited is None:
            raise refuse("There is no edit to keep yet. Change something first.")
        with spoken_errors():
            source = self.load().placed(trail.edited.w)
        step = Step(source, trail.told, trail.overrides)
        after = replace(trail, steps=(*trail.steps, step), edited=None)
        return self._opened(after) | {"words": said("Kept. The next edit starts from here.")}

    def undo(self, trail: Trail | None) -> Values:
        """Drop the newest edit; where there is none, take the last kept one back."""
        trail = held(trail)
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
        sources = {
            "inverted" if i == 0 else f"edit {i}": s.source for i, s in enumerate(trail.steps)
        }
        sources |= {} if trail.edited is None else {"edited": trail.edited}
        pictures = {"picture": trail.picture} | {name: s.image for name, s in sources.items()}
        told = [step.told for step in trail.steps[1:]]
        told += [] if trail.edited is None else [trail.told]
        parameters = {
            "method": "MM2Latent", "seed": trail.seed, "crop": trail.crop, "edits": told,
        }  # fmt: skip
        about = {"method": "MM2Latent", "domain": self.at.name}
        about |= {"generator": self.load().fingerprint}
        return Keepsake(pictures, {name: s.w for name, s in sources.items()}, parameters, about)


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
        "trail": None, "pair": None, "words": ASK, "story": "", "verdict": "", "keep": None,
        "answer": gr.update(value=None, visible=False),
    }  # fmt: skip


@dataclass(frozen=True)
class EditControls:
    """The part's components, apart from the condition's."""

    target: Component
    pivot: gr.Textbox
    beta: Dial
    pair: gr.ImageSlider
    words: gr.HTML
    answer: gr.Image
    verdict: gr.HTML
    story: gr.HTML
    trail: gr.State

    @property
    def outputs(self) -> dict[str, Component]:
        names = ("pair", "words", "answer", "verdict", "story", "trail")
        return {name: getattr(self, name) for name in names}


def build(load: Callable, exchange: Exchange, at: Setting) -> Opening:
    """Put this part into the open tab; returns its first input."""
    part = _Part(load, at)
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=9, min_width=280):
            shown = _results()
        with gr.Column(scale=14, min_width=300):
            portrait = portrait_input(
                "Picture", "The picture to edit.", "mm2latent_edit_never_seen_portrait",
                domain=at.name, side=at.side, faces=at.faces,
            )  # fmt: skip
            how = gr.Radio(
                [("Words", TEXT), *((KINDS[k], k) for k in at.kinds)], value=TEXT,
                label="Edit by", elem_classes="pills", elem_id="mm2latent-edit-how",
            )  # fmt: skip
            with gr.Column() as by_words:
                target = _target(at)
                pivot = gr.Textbox(
                    PIVOT, label="Pivot: what it shows now", max_lines=2, max_length=MOST
                )
            ui = conditions.build(at, how, "mm2latent-edit")
            beta = Dial(-STRONGEST, STRONGEST, 1, step=0.1, label="β, strength of the edit")
            with gr.Row(equal_height=True):
                keep_on = gr.Button("Keep, and edit on", size="md", min_width=140)
                back = gr.Button("Undo", size="md", min_width=90)
    keep, _ = take_home("mm2latent_edit_files", None, exchange.offer)
    exchange.receive("edit", "edit", portrait)
    controls = EditControls(target, pivot, beta, **shown, trail=gr.State())
    outputs = controls.outputs | {"keep": keep}
    inputs = [controls.trail, how, target, pivot, beta, *ui.inputs[1:]]
    edit = {**filling(part.edit, outputs), "inputs": inputs} | GPU | FOLLOW
    gr.on(
        [target.input, pivot.input, beta.input, how.input], **edit, api_name="mm2latent_edit_page"
    )
    conditions.wire(ui, at, "mm2latent_edit", edit)
    how.input(lambda kind: gr.update(visible=kind == TEXT), how, by_words, **QUIET)
    _wire_picture(part, portrait, exchange, outputs | ui.outputs)
    for button, handler in ((keep_on, part.go_on), (back, part.undo)):
        button.click(
            **filling(handler, outputs | ui.outputs), inputs=controls.trail,
            api_name=f"mm2latent_{handler.__name__}", **GPU,
        )  # fmt: skip
    return into_portrait(portrait)


def _target(at: Setting) -> Component:
    return prompt_box(
        "", at.chips, "Target: what it shall show", "Write, or press words.", most=MOST,
        elem_id="mm2latent-target",
    )  # fmt: skip


def _results() -> dict[str, Component]:
    pair = gr.ImageSlider(
        label="Before and after", format="png", height=380, elem_id="mm2latent-compare",
        interactive=False, buttons=["fullscreen"], elem_classes="filled",
    )  # fmt: skip
    words = gr.HTML(ASK, elem_id="mm2latent-edit-words")
    answer = gr.Image(
        label="True answer", interactive=False, format="png", height=260, visible=False,
        alt_text="The same portrait rendered with the edit.", elem_id="mm2latent-answer",
        buttons=["download", "fullscreen"], elem_classes="filled",
    )  # fmt: skip
    verdict, story = gr.HTML(elem_id="mm2latent-verdict"), gr.HTML(elem_id="mm2latent-story")
    return {"pair": pair, "words": words, "answer": answer, "verdict": verdict, "story": story}


def _wire_picture(
    part: _Part, portrait: Any, exchange: Exchange, outputs: Mapping[str, Component]
) -> None:
    """A new picture, or another square of it, is inverted at once."""
    changes = [portrait.picture.change]
    changes += [dial.input for dial in (portrait.x, portrait.y, portrait.zoom)]
    gr.on(
        changes, **filling(part.invert, outputs), inputs=[*portrait.origin, exchange.given],
        api_name="mm2latent_invert", **GPU | FOLLOW,
    )  # fmt: skip
