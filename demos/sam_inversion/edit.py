"""One edit of SAM's inversion, of the other method's, and the true answer (Sec. 3.4, Fig. 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component
from PIL import Image

from demos.kit.bridge import spoken_errors
from demos.kit.inputs import FOLLOW, GPU, Dial
from demos.kit.outputs import Values, filling
from demos.kit.words import decibels, said
from demos.sam_inversion.invert import keepsake
from demos.sam_inversion.session import SAM, Seen, Subject, inverted
from demos.sam_inversion.setting import LABELS, Attribute, Setting
from demos.sam_inversion.tables import IDENTITY, identity, numbers, on_thing, thing_head
from examples.sam_inversion.results import UNEDITED

FIRST, STRENGTH = "age", 0.8  # a mug hides a smile
NOT_YET = said('<span class="quiet">Invert a picture first: its edits follow at once.</span>')
NO_TRUTH = "No true answer here: the renderer knows it for portraits that it drew, and not for "


@dataclass(frozen=True)
class _Part:
    load: Callable
    at: Setting

    def edit(self, subject: Subject | None, name: str, strength: float) -> Values:
        """Edit this session's inversions; strength 1 is the upper end of the attribute's range.

        Returns the pictures by SAM and by the method beside it, the true answer where the renderer
        knows it, and how near both come to it.
        """
        subject, attribute = inverted(subject), self.at.attribute(name)
        change = attribute.change(strength)
        with spoken_errors():
            pipeline = self.load()
            subject = subject.opened(pipeline)
            edited = {
                method: pipeline.edit(result, attribute.name, change)
                for method, result in subject.results.items()
            }
            truth = subject.seen.truth(attribute.name, change)
            words = _verdict(pipeline, subject.seen, edited, truth)
        pictures = {f"edited-{method}": picture for method, picture in edited.items()}
        about, told = self.at.about(pipeline), {attribute.name: change}
        return _shown(subject, edited, truth) | {
            "words": in_words(attribute, change) + words, "subject": subject,
            "keep": keepsake(subject, about, pictures, edit=told),
        }  # fmt: skip


def _shown(subject: Subject, edited: Mapping[str, Image.Image], truth: Any) -> Values:
    """The pictures of an edit, each with its name above it."""
    other = edited.get(subject.rival)
    return {
        "other": gr.update(value=other, label=f"{LABELS[subject.rival]}, edited",
                           visible=other is not None),
        "sam": edited[SAM], "truth": gr.update(value=truth, visible=truth is not None),
    }  # fmt: skip


def in_words(attribute: Attribute, change: float) -> str:
    """What was asked for, in words."""
    if not change:
        return said("Strength 0 changes nothing: these are the inversions.")
    unit = f", {attribute.unit}" if attribute.unit else ""
    return said(f"<b>{attribute.label} {change:+.2g}</b>{unit}.")


def _verdict(
    pipeline: Any, seen: Seen, edited: Mapping[str, Image.Image], truth: Image.Image | None
) -> str:
    """How near the edits, and the picture itself, come to the true answer."""
    if truth is None:
        why = "uploads." if seen.scene is None else "unnamed directions."
        return said(f'<span class="quiet">{NO_TRUTH}{why}</span>')
    compared = {UNEDITED: seen.picture, **edited}
    measured = {name: pipeline.measure(picture, truth) for name, picture in compared.items()}
    return against(seen, edited, measured, truth)


def against(
    seen: Seen,
    edited: Mapping[str, Image.Image],
    measured: Mapping[str, Any],
    truth: Image.Image,
) -> str:
    """The table of edits beside the true answer; measured: each, and UNEDITED, beside it."""
    pictures = {UNEDITED: seen.picture, **edited}
    rows = [
        [LABELS.get(name, "The picture, unedited"), decibels(measured[name].psnr),
         *on_thing(picture, seen, truth), f"{measured[name].lpips:.3f}",
         identity(measured[name].identity)]
        for name, picture in pictures.items()
    ]  # fmt: skip
    distances = [measured[name].lpips for name in pictures]
    best = min(range(1, len(rows)), key=lambda i: distances[i])
    heads = ["PSNR", *thing_head(seen), "LPIPS", IDENTITY]
    return numbers("Against the true answer; marked: lowest LPIPS of the edits.", heads, rows, best)


@dataclass(frozen=True)
class EditControls:
    """The edit's components."""

    name: gr.Radio
    strength: Dial
    other: gr.Image
    sam: gr.Image
    truth: gr.Image
    words: gr.HTML

    @property
    def outputs(self) -> dict[str, Component]:
        names = ("other", "sam", "truth", "words")
        return {name: getattr(self, name) for name in names}

    @property
    def asked(self) -> dict[str, Component]:
        """What the edit is asked for, by name."""
        return {"edit": self.name, "strength": self.strength}


def build(at: Setting, first: Values) -> EditControls:
    """What to change, how much, and three pictures; first: what stands there at the start."""
    offered = [(attribute.label, attribute.name) for attribute in at.attributes]
    begin = FIRST if any(name == FIRST for _, name in offered) else offered[0][1]
    name = gr.Radio(
        offered, value=first.get("edit", begin), label="Change", elem_classes="pills",
        elem_id="sam-edit",
    )  # fmt: skip
    strength = Dial(
        -1, 1, first.get("strength", STRENGTH), step=0.05, label="Strength",
        elem_id="sam-strength",
    )  # fmt: skip
    rival = LABELS[first["rival"]] if first else "The other method"
    described = {
        "other": (f"{rival}, edited", "The other method's inversion, edited."),
        "sam": ("SAM, edited", "The inversion by SAM, edited."),
        "truth": ("True answer", "The same person with the same thing, rendered so changed."),
    }
    with gr.Row():
        images = {
            key: gr.Image(
                first.get(key), label=label, interactive=False, format="png", height=330,
                min_width=200, alt_text=alt, elem_classes="filled",
                buttons=["download", "fullscreen"],
                visible=at.rendered or key != "truth", elem_id=f"sam-edited-{key}",
            )
            for key, (label, alt) in described.items()
        }  # fmt: skip
    words = gr.HTML(first.get("words", NOT_YET), elem_id="sam-edit-words")
    return EditControls(name, strength, **images, words=words)


def cleared(at: Setting) -> Values:
    """The part before there is an inversion."""
    return {
        "other": gr.update(value=None, visible=True), "sam": None, "words": NOT_YET,
        "truth": gr.update(value=None, visible=at.rendered),
    }  # fmt: skip


def listener(
    load: Callable, at: Setting, ui: EditControls, subject: gr.State, keep: gr.State
) -> dict[str, Any]:
    """The listener options that edit: after a run, and as a control moves."""
    filled = ui.outputs | {"keep": keep, "subject": subject}
    edited = filling(_Part(load, at).edit, filled)
    return {**edited, "inputs": [subject, ui.name, ui.strength]} | GPU | FOLLOW


def wire(ui: EditControls, edit: dict[str, Any]) -> None:
    """Edit whenever a control moves."""
    gr.on([ui.name.input, ui.strength.input], **edit, api_name="sam_edit")
