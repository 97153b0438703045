"""Paint a part mask, then optimise the code towards it (Sec. 3.3, Eqs. 1 to 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from demos.editgan.panel import CHANGED, PageContents, Panel, held, live, mask_picture, shown
from demos.editgan.session import Subject, Vectors, free_name, named_after
from demos.kit import painter, part_masks
from demos.kit.bridge import Stop, spoken_errors, stoppable
from demos.kit.downloads import fresh_folder
from demos.kit.imaging import SIDE, open_picture, refuse
from demos.kit.inputs import FOLLOW, QUIET
from demos.kit.outputs import Values, filling
from demos.kit.painter import Painting, mask_painter
from demos.kit.runs import RunControls, run_buttons, wire_run
from demos.kit.words import curve, said, step_count
from examples.clay.parts import PARTS

SAYS = """<div class="prose-page"><p class="aside">Choose a part by its name and paint where it
shall be. “Left” is left in the picture. Arrow keys move the brush, Space paints; the buttons below
change the whole part.</p></div>"""
# name: (label, what it does, change of labels by part and pixels)
OPERATIONS: dict[str, tuple[str, str, Callable]] = {
    "grow": ("Grow", "Make the chosen part larger on all sides.", part_masks.grown),
    "shrink": ("Shrink", "Make the chosen part smaller on all sides.", part_masks.shrunk),
    "fill": (
        "Fill outline", "Fill what the chosen part encloses; pixels do not matter.",
        lambda m, part, _: part_masks.filled(m, part),
    ),
    "move_left": (
        "Left", "Move the chosen part to the left.", lambda m, p, n: part_masks.moved(m, p, -n, 0)
    ),
    "move_right": (
        "Right", "Move the chosen part to the right.", lambda m, p, n: part_masks.moved(m, p, n, 0)
    ),
    "move_up": ("Up", "Move the chosen part up.", lambda m, p, n: part_masks.moved(m, p, 0, -n)),
    "move_down": (
        "Down", "Move the chosen part down.", lambda m, p, n: part_masks.moved(m, p, 0, n)
    ),
}  # fmt: skip

PIXELS = (1, 2, 4)


@dataclass(frozen=True)
class _Part:
    load: Callable

    def infer(
        self, subject: Subject | None, painting: Painting | None, chosen: list, inferred: list
    ) -> Values:
        """Q_edit from what was painted, with what the visitor added or removed, and its region."""
        if subject is None or painting is None:
            return {}
        before = held(subject, self.load).now.mask
        with spoken_errors():
            pipeline = self.load()
            now = list(pipeline.changed_parts(before, painting.labels))
            chosen = [part for part in pipeline.parts if part in followed(chosen, inferred, now)]
            region = np.zeros(before.shape, bool)
            if chosen and now:
                region = pipeline.region(before, painting.labels, chosen)
        return {"parts": chosen, "inferred": now, "painter": painter.outlined(region)}

    def outline(self, *inputs: Any) -> Values:
        """The region alone, for a Q_edit that the visitor has just changed."""
        shown = self.infer(*inputs)
        return {"painter": shown["painter"]} if shown else {}

    @stoppable
    def optimise(
        self, subject: Subject | None, painting: Painting | None, chosen: list[str] | None,
        steps: int, own: Vectors, stop: Stop,
    ) -> Iterator[Values]:  # fmt: skip
        """Optimise this session's picture towards the painted mask (Eq. 5).

        `chosen` is Q_edit, the parts that may change; empty, it is inferred. Yields a report with
        the loss curve, the pictures before and after, the new mask and the edits so far.
        """
        subject = held(subject, self.load)
        base = subject.base
        asked = _painted(painting)

        def work(on_step):
            return self.load().edit(
                base, asked.labels, q_edit=chosen or None, steps=int(steps), on_step=on_step
            )

        edit = yield from live(work, subject.embedding.image, stop)
        with spoken_errors():
            pipeline = self.load()
            wanted = named_after(edit.vector.q_edit)
            name = free_name(wanted, subject.edits, pipeline.library, own)
            after = subject.edited(name, edit, int(steps))
            report = optimised_report(edit, asked.labels, stop.pressed)
            # The strokes are spent: none of them lies over the new mask.
            rest = {"report": report, "scales": after.scales, "parts": [], "inferred": []}
            yield shown(pipeline, after, asked.labels, asked) | rest

    def save(self, painting: Painting | None) -> str:
        """The painted mask as a PNG in the legend's colours, four pixels for each of its own."""
        with spoken_errors():
            picture = mask_picture(_painted(painting).labels, self.load().palette)
        path = fresh_folder() / "mask.png"
        picture.save(path)
        return str(path)

    def read(self, file: str | None, subject: Subject | None, painting: Painting | None):
        """A mask from a PNG in the legend's colours; its size is the mask's or a whole multiple."""
        side = len(held(subject, self.load).now.mask)
        if not file:
            raise refuse("There is no file. Choose a mask, such as one downloaded here.")
        colours = np.asarray(open_picture(file))
        with spoken_errors():
            labels = part_masks.reduced(part_masks.snapped(colours, self.load().palette), side)
        return Painting(labels, painting.part if painting else 0)


def operation(words: str, change: Callable) -> Callable:
    """A handler that changes the chosen part of the painted mask."""

    def handler(painting: Painting | None, pixels: float) -> Painting:
        asked = _painted(painting)
        changed = change(asked.labels, asked.part, int(pixels))
        return Painting(changed, asked.part, asked.labels)

    handler.__doc__ = words
    return handler


def followed(chosen: list[str] | None, inferred: list[str], now: list[str]) -> set[str]:
    """Q_edit after another stroke: what is inferred now, with the visitor's own changes to it."""
    chosen, inferred = set(chosen or ()), set(inferred)
    return (set(now) | (chosen - inferred)) - (inferred - chosen)


def _painted(painting: Painting | None) -> Painting:
    if painting is None:
        raise refuse("There is no mask yet. Press Embed first.")
    return painting


def optimised_report(edit: Any, asked: np.ndarray, stopped: bool = False) -> str:
    """How long an edit took, and how much of the painted mask came true, with the loss curve."""
    share = part_masks.agreement(asked, edit.mask, edit.region)
    return said(
        f"{'Stopped' if stopped else 'Done'} after {step_count(edit.losses)} and "
        f"{edit.seconds:.1f} s. Where the picture was free to change, <b>{share:.0%}</b> of the "
        "new mask is as painted."
    ) + curve(edit.losses)


@dataclass(frozen=True)
class PaintControls:
    """The tab's components."""

    canvas: painter.MaskPainter
    pixels: gr.Radio
    buttons: Mapping[str, gr.Button]
    parts: gr.Dropdown
    run: RunControls
    save: gr.Button
    read: gr.UploadButton
    file: gr.File


def build(page: PageContents) -> PaintControls:
    """The painting tab's components."""
    gr.HTML(SAYS)
    canvas = mask_painter(page.painter, elem_id="editgan-painter")
    canvas.side, canvas.parts = SIDE, len(PARTS)
    with gr.Row(equal_height=True):
        pixels = gr.Radio(PIXELS, value=1, label="Pixels at a time", min_width=260)
        with gr.Column(scale=2, min_width=280):
            with gr.Row():
                first = [_button(name) for name in ("grow", "shrink", "fill")]
            with gr.Row():
                second = [_button(name) for name in list(OPERATIONS)[3:]]
    buttons = dict(zip(OPERATIONS, [*first, *second], strict=True))
    parts = gr.Dropdown(
        list(page.parts), value=[], multiselect=True, label="Parts that may change",
        info="Found from what is painted; add or remove parts.", elem_id="q-edit",
    )  # fmt: skip
    run = run_buttons("Optimise", fewest=10, steps=page.edit_steps)
    with gr.Accordion("Masks as files", open=False):
        with gr.Row(equal_height=True):
            save = gr.Button("Prepare the mask", size="md", min_width=140)
            read = gr.UploadButton("Upload a mask", size="md", file_types=["image"], min_width=140)
        file = gr.File(label="Mask", show_label=False, interactive=False, elem_id="mask-file")
    return PaintControls(canvas, pixels, buttons, parts, run, save, read, file)


def _button(name: str) -> gr.Button:
    return gr.Button(OPERATIONS[name][0], size="md", min_width=60)


def wire(load: Callable, panel: Panel, ui: PaintControls) -> None:
    """Connect the tab to the page."""
    part, canvas, parts = _Part(load), ui.canvas, ui.parts
    given = {"inputs": [panel.subject, canvas, parts, panel.inferred]}
    infer = filling(part.infer, panel.outputs("parts", "inferred", "painter")) | given
    outline = filling(part.outline, panel.outputs("painter")) | given
    # The one way to Q_edit of all that is painted: the painter tells of what the buttons make, too.
    # Two at once would take a part that one has just added for one that the visitor took out.
    canvas.input(**infer, **QUIET, **FOLLOW)
    for name, button in ui.buttons.items():
        _, words, change = OPERATIONS[name]
        button.click(
            operation(words, change), [canvas, ui.pixels], canvas, api_name=f"editgan_{name}",
            show_progress="hidden",
        )  # fmt: skip
    parts.input(**outline, **QUIET, **FOLLOW)
    outputs = panel.outputs("report", *CHANGED, "scales", "parts", "inferred")
    inputs = [panel.subject, canvas, parts, ui.run.steps, panel.own]
    ran = wire_run(ui.run, part.optimise, outputs, inputs, "editgan_optimise")
    ran.success(**panel.answering, **QUIET, **FOLLOW)
    ui.save.click(part.save, canvas, ui.file, api_name="editgan_mask_file", show_progress="hidden")
    ui.read.upload(
        part.read, [ui.read, panel.subject, canvas], canvas, api_name="editgan_read_mask",
        show_progress="hidden",
    ).success(**infer, **QUIET, **FOLLOW)  # fmt: skip
