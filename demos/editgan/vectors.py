"""Editing vectors: applied at once, refined, named, saved and loaded (Sec. 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import gradio as gr

from demos.editgan.panel import CHANGED, PageContents, Panel, choice, held, live, shown
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
from demos.kit.dials import Dials, dials, relisted
from demos.kit.downloads import fresh_folder
from demos.kit.imaging import refuse
from demos.kit.inputs import FOLLOW, GPU, QUIET
from demos.kit.outputs import Values, filling
from demos.kit.painter import Painting
from demos.kit.runs import RunControls, run_button, wire_run
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
    ) -> Iterator[Values]:
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
            yield changed | {"report": applied(after), "scales": after.scales}

    def reweigh(
        self, subject: Subject | None, scales: dict, own: dict, painting: Painting | None
    ) -> Iterator[Values]:
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
            yield changed | {"report": applied(after), "library": sliders}

    def _made_of(self, before: Subject, edits: Edits) -> Iterator[Values]:
        """Yields the new picture alone, for its mask takes longer; the subject with these edits."""
        for news in stream(lambda step: before.made_of(self.load(), edits, step), Stop()):
            if isinstance(news, Done):
                return news.result
            yield {"pair": (before.embedding.image, news.images[0])}

    @stoppable
    def refine(
        self, subject: Subject | None, steps: int, painting: Painting | None, own: Vectors,
        stop: Stop,
    ) -> Iterator[Values]:  # fmt: skip
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

        edit = yield from live(work, before.embedding.image, stop)
        with spoken_errors():
            name = free_name("refinement", before.edits, self.load().library, own)
            after, report = before.refined(name, edit, int(steps)), _report(edit, stop)
            changed = shown(self.load(), after, before.now.mask, painting)
            yield changed | {"report": report, "scales": after.scales}

    def save(self, subject: Subject | None, which: str | None, name: str, own: dict) -> Values:
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
        return {
            "subject": after, "own": own, "scales": after.scales,
            "library": self._library(after, own, [which]), "which": choice(after),
            "file": str(path),
        }  # fmt: skip

    def read(self, file: str | None, subject: Subject | None, own: dict) -> Values:
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
        return {"own": own, "library": self._library(subject, own), "words": words}

    def delete(self, name: str | None, subject: Subject | None, own: dict) -> Values:
        """Take one of this session's own vectors out of the library; edits made with it stay."""
        if name not in own:
            raise refuse("There is no such vector of your own. Choose one saved or loaded here.")
        left = {other: vector for other, vector in own.items() if other != name}
        with spoken_errors():
            library = self._library(subject and held(subject, self.load), left)
        return {"own": left, "library": library, "words": said(f"Deleted <b>{escape(name)}</b>.")}

    def listed(self, subject: Subject | None, own: dict) -> Values:
        """The library's sliders, once there is a picture to move them on."""
        return {"library": self._library(held(subject, self.load), own)} if subject else {}

    def _library(self, subject: Subject | None, own: dict, rest: Sequence[str] = ()) -> Any:
        vectors = {**self.load().library, **own}
        scales = subject.scales if subject else {}
        return relisted(LOW, HIGH, library_rows(vectors, scales), rest=rest)


def _mine(own: Vectors) -> Any:
    """The vectors of one's own to choose from, the newest chosen."""
    return gr.update(choices=list(own), value=list(own)[-1] if own else None)


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


@dataclass(frozen=True)
class VectorControls:
    """The tab's components."""

    library: Dials
    steps: gr.Radio
    run: RunControls
    which: gr.Dropdown
    name: gr.Textbox
    save: gr.Button
    file: gr.File
    read: gr.UploadButton
    words: gr.HTML
    mine: gr.Dropdown
    delete: gr.Button


def build(page: PageContents) -> VectorControls:
    """The vectors tab's components."""
    gr.HTML(SAYS)
    library = dials(
        LOW, HIGH, "The library appears when a picture is embedded.", rows=[],
        elem_id="editgan-library",
    )  # fmt: skip
    steps = gr.Radio(STEPS, value=30, label="Refinement steps")
    run = run_button("Refine")
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
        with gr.Row(equal_height=True):
            mine = gr.Dropdown(
                [], label="Saved or loaded here", elem_id="own-vectors", allow_custom_value=True
            )  # fmt: skip
            delete = gr.Button("Delete", size="md", min_width=140)
    return VectorControls(library, steps, run, which, name, save, file, read, words, mine, delete)


def wire(load: Callable, panel: Panel, tab: gr.Tab, ui: VectorControls) -> None:
    """Connect the tab to the page."""
    part = _Part(load)
    # Names and pictures of vectors come with the networks, which a stored example does without.
    tab.select(
        **filling(part.listed, panel.outputs("library")), inputs=[panel.subject, panel.own],
        api_visibility="private", show_progress="minimal",
    )  # fmt: skip
    for board, other, handler, api in (
        ("library", "scales", part.apply, "editgan_apply"),
        ("scales", "library", part.reweigh, "editgan_reweigh"),
    ):
        moved = getattr(panel, board)
        moved.input(
            **filling(handler, panel.outputs("report", *CHANGED, other)),
            inputs=[panel.subject, moved, panel.own, panel.painter], api_name=api, **GPU, **FOLLOW,
        ).success(**panel.answering, **QUIET, **FOLLOW)  # fmt: skip
    outputs = panel.outputs("report", *CHANGED, "scales", "library")
    inputs = [panel.subject, ui.steps, panel.painter, panel.own]
    ran = wire_run(ui.run, part.refine, outputs, inputs, "editgan_refine")
    ran.success(**panel.answering, **QUIET, **FOLLOW)
    saved = panel.outputs("subject", "own", "scales", "library", "which") | {"file": ui.file}
    ui.save.click(
        **filling(part.save, saved), inputs=[panel.subject, ui.which, ui.name, panel.own],
        api_name="editgan_save_vector", show_progress="hidden",
    )  # fmt: skip
    ui.read.upload(
        **filling(part.read, panel.outputs("own", "library") | {"words": ui.words}),
        inputs=[ui.read, panel.subject, panel.own], api_name="editgan_read_vector",
        show_progress="hidden",
    )  # fmt: skip
    ui.delete.click(
        **filling(part.delete, panel.outputs("own", "library") | {"words": ui.words}),
        inputs=[ui.mine, panel.subject, panel.own], api_name="editgan_delete_vector",
        show_progress="hidden",
    )  # fmt: skip
    panel.own.change(_mine, panel.own, ui.mine, **QUIET)
