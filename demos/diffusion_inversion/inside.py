"""What is read inside the U-Net: where words are seen, what is made of it, Fig. 8's switches.

Maps and features are laid over our picture, as Figs. 3 and 4 show them: yellow to red.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Any

import gradio as gr
import numpy as np
from gradio.components import Component
from PIL import Image

from demos.diffusion_inversion import layers
from demos.diffusion_inversion.session import Subject, held
from demos.kit.bridge import spoken_errors
from demos.kit.imaging import refuse
from demos.kit.inputs import FOLLOW, GPU, Dial
from demos.kit.outputs import Values, filling
from demos.kit.words import said

AVERAGE = "average"
FULL, PLAIN, MAPPED = "full", "plain", "mapped"
SWITCHES = [
    ("M and T: all of it", FULL), ("T without attention", PLAIN), ("M alone", MAPPED)
]  # fmt: skip
SAYS = {
    FULL: "w of Eq. 4: what M reads in the middle block, scaled and shifted by T.",
    PLAIN: "T of features alone, without the attention maps: row (b) of Table 2.",
    MAPPED: "w<sup>m</sup> of the middle block alone: the outline is there, details are not.",
}
YELLOW, RED = np.array([255.0, 222, 90]), np.array([196.0, 24, 34])


@dataclass(frozen=True)
class _Part:
    load: Callable

    def look(self, subject: Subject | None, what: str | None) -> Values:
        """A map over this session's picture: "word 0", "average" or "block 0", by number."""
        reading = held(subject).reading
        found = {key: (name, field) for name, key, field in _maps(reading)}
        if what not in found:
            raise refuse(f"The map must be one of {', '.join(found)}; got {what!r}.")
        name, field = found[what]
        return {"overlay": laid_over(reading.image, field), "seen": said(_words(what, name, field))}

    def switch(self, subject: Subject | None, which: str, keep: float) -> Values:
        """This session's picture from other parts of the method.

        which: "full", "plain" (no attention) or "mapped" (M alone); keep: how much of T counts in
        "full", from 0 to 1.
        """
        subject = held(subject)
        if which not in SAYS:
            raise refuse(f"The switch must be one of {', '.join(SAYS)}; got {which!r}.")
        with spoken_errors():
            pipeline = self.load()
            subject = subject.opened(pipeline)
            made = self._switched(pipeline, subject, which, keep)
        told = f" {keep:.0%} of T counts." if which == FULL and keep < 1 else ""
        words = said(SAYS[which] + told)
        return {"switched": made.image, "switch_words": words, "subject": subject}

    def _switched(self, pipeline: Any, subject: Subject, which: str, keep: float) -> Any:
        asked, reading = subject.asked, subject.reading
        if which == PLAIN:
            condition = asked.condition(pipeline)
            return pipeline.read(asked.prompt, condition, attentive=False, **asked.options)
        return pipeline.redraw(reading, mapped_only=which == MAPPED, keep=keep)


def _maps(reading: Any) -> list[tuple[str, str, np.ndarray]]:
    """All maps: what a button shows, its key, the map."""
    words = [(word, f"word {i}", reading.maps[i]) for i, word in enumerate(reading.words)]
    blocks = [(f"F̂ block {i + 1}", f"block {i}", m) for i, m in enumerate(reading.refined)]
    return [*words, ("Ā, all words", AVERAGE, reading.average), *blocks]


def _words(what: str, name: str, field: np.ndarray) -> str:
    y, x = np.unravel_index(field.argmax(), field.shape)
    where = f"strongest {_place(y / field.shape[0], x / field.shape[1])}"
    if what.startswith("word"):
        return f"Where the decoder attends to <b>{escape(name)}</b>: {where}."
    if what == AVERAGE:
        return f"Ā, the mean over words of the attention maps: {where}."
    return f"Features of this block after attention has refined them (Fig. 4): {where}."


def _place(down: float, right: float) -> str:
    rows, columns = ("at the top", "in the middle", "at the bottom"), ("left", "", "right")
    row, column = rows[min(int(3 * down), 2)], columns[min(int(3 * right), 2)]
    return f"{row}, {column}" if column else row


def laid_over(picture: Image.Image, field: np.ndarray) -> Image.Image:
    """A map over a grey picture, yellow to red; its own largest value is the reddest."""
    scaled = np.asarray(field, np.float32) / max(float(np.max(field)), 1e-9)
    large = Image.fromarray(scaled).resize(picture.size, Image.Resampling.BICUBIC)
    heat = np.asarray(large).clip(0, 1)[..., None]
    grey = np.asarray(picture.convert("L"), np.float32)[..., None]
    shown = grey * (1 - 0.78 * heat) + 0.78 * heat * (YELLOW + (RED - YELLOW) * heat)
    return Image.fromarray(shown.clip(0, 255).round().astype(np.uint8))


@dataclass(frozen=True)
class InsideControls:
    """The part's components."""

    what: gr.Radio
    overlay: gr.Image
    seen: gr.HTML
    layers: gr.HTML
    which: gr.Radio
    share: Dial
    switched: gr.Image
    switch_words: gr.HTML

    @property
    def outputs(self) -> dict[str, Component]:
        names = ("what", "overlay", "seen", "layers", "which", "share", "switched", "switch_words")
        return {name: getattr(self, name) for name in names}


def build(first: Values = MappingProxyType({})) -> InsideControls:
    """Maps on the left, switches on the right, the codes by layer below; first: as `shown` has
    them."""
    with gr.Row():
        with gr.Column(min_width=280):
            what = gr.Radio(
                first.get("choices", []), value=first.get("what"), label="Words and features",
                elem_classes="pills", elem_id="diffusion-words",
            )  # fmt: skip
            overlay = _image(first, "overlay", "Where it is seen", "A map laid over our picture.")
            seen = gr.HTML(first.get("seen"), elem_id="diffusion-seen")
        with gr.Column(min_width=280):
            which = gr.Radio(SWITCHES, value=FULL, label="Made of (Fig. 8)", elem_classes="pills")
            switched = _image(
                first, "switched", "The picture of it", "Our picture from fewer parts."
            )
            share = Dial(0, 1, 1, step=0.05, label="How much of T counts")
            words = gr.HTML(first.get("switch_words"), elem_id="diffusion-switch-words")
    plots = gr.HTML(first.get("layers"), elem_id="diffusion-layers")
    return InsideControls(what, overlay, seen, plots, which, share, switched, words)


def _image(first: Values, name: str, label: str, alt: str) -> gr.Image:
    return gr.Image(
        first.get(name), label=label, alt_text=alt, interactive=False, format="png", height=380,
        elem_classes="filled", buttons=["download", "fullscreen"], elem_id=f"diffusion-{name}",
    )  # fmt: skip


def shown(subject: Subject) -> Values:
    """The part for a new reading: its words, `choices` of `what`, one of which is laid over it."""
    reading = subject.reading
    found = _maps(reading)
    words = range(len(reading.words))  # the longest first: it says more than "a"
    name, key, field = found[max(words, key=lambda i: len(reading.words[i]), default=0)]
    return {
        "choices": [(name, key) for name, key, _ in found], "what": key,
        "overlay": laid_over(reading.image, field), "seen": said(_words(key, name, field)),
        "layers": layers.figure(reading.sizes), "which": FULL, "share": 1,
        "switched": reading.image, "switch_words": said(SAYS[FULL]),
    }  # fmt: skip


def filled(subject: Subject) -> Values:
    """The same as updates of a page that is there."""
    values = dict(shown(subject))
    return values | {"what": gr.update(choices=values.pop("choices"), value=values["what"])}


def cleared() -> Values:
    """The part before there is a reading."""
    empty = dict.fromkeys(("overlay", "switched"))
    words = dict.fromkeys(("seen", "layers", "switch_words"), "")
    nothing = gr.update(choices=[], value=None)
    return empty | words | {"what": nothing, "which": FULL, "share": 1}


def wire(load: Callable, ui: InsideControls, subject: gr.State) -> None:
    """Show what is chosen."""
    part = _Part(load)
    shown = {"overlay": ui.overlay, "seen": ui.seen}
    ui.what.input(
        **filling(part.look, shown), inputs=[subject, ui.what], api_name="diffusion_look",
        show_progress="hidden", **FOLLOW,
    )  # fmt: skip
    changed = {"switched": ui.switched, "switch_words": ui.switch_words, "subject": subject}
    gr.on(
        [ui.which.input, ui.share.release], **filling(part.switch, changed),
        inputs=[subject, ui.which, ui.share], api_name="diffusion_switch", **GPU, **FOLLOW,
    )  # fmt: skip
