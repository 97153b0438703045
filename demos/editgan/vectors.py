"""Editing vectors: applied at once, refined, named, saved and loaded (Sec. 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import gradio as gr

from demos.editgan.panel import Page, Panel, answered, choice, held, live, shown
from demos.editgan.session import (
    HIGH,
    LOW,
    Edits,
    Subject,
    Vectors,
    free_name,
    with_library,
    with_scales,
)
from demos.editgan.start import library_rows
from demos.kit.bridge import Done, Stop, spoken_errors, stoppable, stream
from demos.kit.dials import dials, relisted
from demos.kit.downloads import fresh_folder
from demos.kit.imaging import refuse
from demos.kit.inputs import FOLLOW, GPU, QUIET, run_options, stop_button
from demos.kit.painter import Painting
from demos.kit.words import curve, said, step_count

SAYS = """<div class="prose-page"><p class="aside">A vector found on one portrait is added to
another: at 1 as it was learnt, below 0 the other way round. A few steps of refinement then take
back what should not have changed.</p></div>"""
STEPS = (10, 30, 60)


@dataclass(frozen=True)
class _Part:
    load: Callable

    def apply(
        self, subject: Subject | None, scales: dict, own: dict, painting: Painting | None
    ) -> Iterator[tuple]:
        """Set this session's picture to library vectors at these scales; zero takes one out.

        `scales` is a list of [name, scale], each scale from -2 to 2. Edits that were painted stay.
        Yields the picture, then everything.
        """
        before = held(subject, self.load)
        with spoken_errors():
            vectors = {**self.load().library, **own}
            unknown = ", ".join(name for name in scales if name not in vectors)
            if unknown:
                raise refuse(
                    f"The library has {', '.join(vectors) or 'no vectors'}; got {unknown}."
                )
            edits = with_library(before.edits, scales, vectors)
        after = yield from self._made_of(before, edits)
        with spoken_errors():
            changed = shown(self.load(), after, before.now.mask, painting)
            yield applied(after), *changed, after.scales

    def reweigh(
        self, subject: Subject | None, scales: dict, own: dict, painting: Painting | None
    ) -> Iterator[tuple]:
        """Give this session's edits other scales; an edit that is left out is taken back.

        `scales` is a list of [name, scale]; the later edits stay, since vectors add up. Yields the
        picture, then everything.
        """
        before = held(subject, self.load)
        after = yield from self._made_of(before, with_scales(before.edits, scales))
        with spoken_errors():
            vectors = {**self.load().library, **own}
            sliders = {name: scale for name, scale in after.scales.items() if name in vectors}
            changed = shown(self.load(), after, before.now.mask, painting)
            yield applied(after), *changed, sliders

    def _made_of(self, before: Subject, edits: Edits) -> Iterator[tuple]:
        """Yields the new picture alone, for its mask takes longer; the subject with these edits."""
        for news in stream(lambda step: before.made_of(self.load(), edits, step), Stop()):
            if isinstance(news, Done):
                return news.result
            pair = (before.embedding.image, news.images[0])
            yield gr.skip(), gr.skip(), pair, *(gr.skip(),) * 5

    @stoppable
    def refine(
        self, subject: Subject | None, steps: int, painting: Painting | None, own: Vectors,
        stop: Stop,
    ) -> Iterator[tuple]:  # fmt: skip
        """Refine this session's edited picture for 10, 30 or 60 steps (self-supervised).

        Yields a report and the pictures. What refinement adds becomes an edit of its own.
        """
        before = held(subject, self.load)
        if not before.edits:
            raise refuse("There is no edit to refine. Move a slider or optimise a mask first.")

        def work(on_step):
            strengths = list(before.edits.values())
            return self.load().refine(
                before.embedding, strengths, steps=int(steps), on_step=on_step
            )

        edit = yield from live(work, before.embedding.image, stop, rest=6)
        with spoken_errors():
            name = free_name("refinement", before.edits, self.load().library, own)
            after, report = before.refined(name, edit), _report(edit, stop)
            changed = shown(self.load(), after, before.now.mask, painting)
            yield report, *changed, after.scales, gr.skip()

    def save(self, subject: Subject | None, which: str | None, name: str, own: dict) -> tuple:
        """Name one of this session's edits, put it into the library and hand out its file."""
        before, name = held(subject, self.load), (name or "").strip()
        if which not in before.edits:
            raise refuse("There is no such edit in the picture. Optimise a painted mask first.")
        taken = {**self.load().library, **before.edits, **own}
        if name in taken and name != which or name in self.load().library:
            raise refuse(f"There is a vector named {name} already. Choose another name.")
        with spoken_errors():
            vector = replace(before.edits[which][0], name=name)
            path = vector.save(fresh_folder() / f"{name}.safetensors")
        after, own = before.renamed(which, name), {**own, name: vector}
        return after, own, after.scales, self._library(after, own), choice(after), str(path)

    def read(self, file: str | None, subject: Subject | None, own: dict) -> tuple:
        """Load a vector from a safetensors file into this session's library."""
        if not file:
            raise refuse("There is no file. Choose a vector that was saved here.")
        with spoken_errors():
            vector = self.load().read_vector(file)
            subject = subject and held(subject, self.load)
            name = free_name(
                vector.name, self.load().library, own, subject.edits if subject else {}
            )
        own = {**own, name: replace(vector, name=name)}
        words = said(f"Loaded <b>{escape(name)}</b>: it stands last in the library.")
        return own, self._library(subject, own), words

    def listed(self, subject: Subject | None, own: dict) -> Any:
        """The library's sliders, once there is a picture to move them on."""
        return gr.skip() if subject is None else self._library(held(subject, self.load), own)

    def _library(self, subject: Subject | None, own: dict) -> Any:
        vectors = {**self.load().library, **own}
        scales = subject.scales if subject else {}
        used = {name: scale for name, scale in scales.items() if name in vectors}
        return relisted(LOW, HIGH, library_rows(vectors), used)


def applied(subject: Subject) -> str:
    """The edits in words, and how long the last one took."""
    if not subject.edits:
        return said("No edit is in the picture: this is the embedding.")
    parts = (f"{escape(name)} {scale:+g}" for name, scale in subject.scales.items())
    return said(f"{', '.join(parts)}: applied in {subject.now.seconds:.2f} s.")


def _report(edit: Any, stop: Stop) -> str:
    return said(
        f"{'Stopped' if stop.pressed else 'Refined'} after {step_count(edit.losses)} and "
        f"{edit.seconds:.1f} s."
    ) + curve(edit.losses)


def build(page: Page) -> tuple:
    """The vectors tab's components."""
    gr.HTML(SAYS)
    library = dials(
        LOW, HIGH, "The library appears when a picture is embedded.", rows=[],
        elem_id="editgan-library",
    )  # fmt: skip
    steps = gr.Radio(STEPS, value=30, label="Refinement steps")
    with gr.Row():
        run = gr.Button("Refine", variant="primary", scale=3)
        halt = gr.Button("Stop", variant="stop", scale=1, min_width=90)
    with gr.Accordion("Your own vectors", open=False):
        names = list(page.scales)
        which = gr.Dropdown(
            names, value=names[-1] if names else None, label="Edit in the picture",
            elem_id="which-edit",
        )  # fmt: skip
        with gr.Row(equal_height=True):
            name = gr.Textbox(label="Name", max_length=60, min_width=160, placeholder="my smile")
            save = gr.Button("Save as vector", size="md", min_width=140)
        file = gr.File(label="Vector", show_label=False, interactive=False, elem_id="vector-file")
        read = gr.UploadButton("Load a vector", size="md", file_types=[".safetensors"])
        words = gr.HTML(elem_id="vector-words")
    return library, steps, run, halt, which, name, save, file, read, words


def wire(load: Callable, panel: Panel, tab: gr.Tab, ui: tuple) -> None:
    """Connect the tab to the page."""
    library, steps, run, halt, which, name, save, file, read, words = ui
    part = _Part(load)
    answer = (answered, panel.subject, [panel.answer, panel.verdict])
    # Names and pictures of vectors come with the networks, which a stored example does without.
    tab.select(
        part.listed, [panel.subject, panel.own], library, api_visibility="private",
        show_progress="minimal",
    )  # fmt: skip
    for board, other, handler, api in (
        (library, panel.history, part.apply, "editgan_apply"),
        (panel.history, library, part.reweigh, "editgan_reweigh"),
    ):
        board.input(
            handler, [panel.subject, board, panel.own, panel.painter], 
            [panel.report, *panel.shown, other],
            api_name=api, **GPU, **FOLLOW,
        ).success(*answer, **QUIET, **FOLLOW)  # fmt: skip
    stop_button(halt, panel.stop, run)
    run.click(
        part.refine, [panel.subject, steps, panel.painter, panel.own, panel.stop],
        [panel.report, *panel.shown, panel.history, library], api_name="editgan_refine",
        **run_options(panel.report),
    ).success(*answer, **QUIET, **FOLLOW)  # fmt: skip
    save.click(
        part.save, [panel.subject, which, name, panel.own],
        [panel.subject, panel.own, panel.history, library, which, file],
        api_name="editgan_save_vector", show_progress="hidden",
    )  # fmt: skip
    read.upload(
        part.read, [read, panel.subject, panel.own], [panel.own, library, words],
        api_name="editgan_read_vector", show_progress="hidden",
    )  # fmt: skip
