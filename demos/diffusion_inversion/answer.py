"""What the renderer drew for the same mask, or ControlNet made of it, in one slider with ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component

from demos.diffusion_inversion.session import Asked, Subject, held
from demos.kit.bridge import spoken_errors
from demos.kit.imaging import refuse
from demos.kit.inputs import FOLLOW, GPU
from demos.kit.outputs import Values, filling
from demos.kit.words import compared, said

TRUE, THEIRS, ASKED = "true", "controlnet", "asked"
NAMES = {TRUE: "The true picture", THEIRS: "ControlNet's", ASKED: "What was painted"}
SIDES = [(name, side) for side, name in NAMES.items()]
NO_TRUTH = "Nobody drew this: a true picture is known of never-seen portraits alone."
NO_RUN = "ControlNet has no picture of this yet: it was stopped, or had 0 steps."


@dataclass(frozen=True)
class _Part:
    load: Callable

    def compare(self, subject: Subject | None, side: str) -> Values:
        """Our picture under a slider with another; side: "true", "controlnet" or "asked"."""
        subject = held(subject)
        if side not in NAMES:
            raise refuse(f"The other side must be one that is offered; got {side!r}.")
        ours, size = subject.reading.image, subject.reading.image.size
        other, why = _other(subject, side)
        if other is None:
            return {"pair": gr.update(value=None, visible=False), "words": said(why)}
        words = said(why) if why else ""
        if side != ASKED:
            with spoken_errors():
                measures = self.load().measure(other.resize(size), ours)
            words += compared(measures, NAMES[side].lower(), "ours")
        shown = gr.update(value=(other.resize(size), ours), visible=True, label=label(side))
        return {"pair": shown, "words": words}


def label(side: str) -> str:
    return f"{NAMES[side]}  |  Ours"


def _other(subject: Subject, side: str) -> tuple[Any, str]:
    """The picture on the left, None where there is none, and words about it."""
    asked = subject.asked
    if side == ASKED:
        return asked.picture, ""
    if side == THEIRS:
        return (None, NO_RUN) if subject.denoised is None else (subject.denoised.image, "")
    true = asked.true_picture()
    if true is None:
        return None, NO_TRUTH
    return true, _whose(asked)


def _whose(asked: Asked) -> str:
    same = "of exactly this mask" if asked.untouched else f"that the {asked.task} started from"
    return f"On the left what the renderer drew, the portrait {same}."


def shown(subject: Subject, measures: Any) -> Values:
    """The part with the true picture, whose likeness to ours is known already."""
    words = said(_whose(subject.asked)) + compared(measures, NAMES[TRUE].lower(), "ours")
    pair = (subject.asked.true_picture(), subject.reading.image)
    return {"side": TRUE, "pair": pair, "words": words}


@dataclass(frozen=True)
class AnswerControls:
    """The part's components."""

    side: gr.Radio
    pair: gr.ImageSlider
    words: gr.HTML

    @property
    def outputs(self) -> dict[str, Component]:
        return {"pair": self.pair, "words": self.words}


def build(rendered: bool, first: Values = MappingProxyType({})) -> AnswerControls:
    """What stands on the left, and the slider; first: the pair and words of a stored example."""
    sides = SIDES if rendered else SIDES[1:]
    side = gr.Radio(
        sides,
        value=sides[0][1],
        label="Beside ours",
        elem_classes="pills",
        elem_id="diffusion-side",
    )
    pair = gr.ImageSlider(
        first.get("pair"), label=label(TRUE) if first else "The other  |  Ours", format="png",
        height=420, interactive=False, elem_classes="filled", buttons=["download", "fullscreen"],
        elem_id="diffusion-pair",
    )  # fmt: skip
    words = gr.HTML(first.get("words"), elem_id="diffusion-answer-words")
    return AnswerControls(side, pair, words)


def cleared() -> Values:
    return {"pair": gr.update(value=None, visible=True), "words": ""}


def listener(load: Callable, ui: AnswerControls, subject: gr.State) -> dict[str, Any]:
    """The listener options that compare: after a run, and as the side changes."""
    shown = filling(_Part(load).compare, ui.outputs)
    return {**shown, "inputs": [subject, ui.side]} | GPU | FOLLOW
