"""A condition to paint, to draw or to set: none, a mask, a sketch, or 3DMM numbers.

Each starts from a portrait: a never-seen one's true mask and numbers, or what the networks read off
an own picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import gradio as gr
import numpy as np
from gradio.components import Component
from PIL import Image

from demos.kit import painter, part_masks
from demos.kit.bridge import spoken_errors
from demos.kit.imaging import open_picture, refuse
from demos.kit.inputs import FOLLOW, QUIET
from demos.kit.outputs import Values, away, filling
from demos.kit.painter import MaskPainter, Painting, mask_painter
from demos.kit.runs import mark
from demos.mm2latent.head import HeadDials, head_dials
from demos.mm2latent.setting import CLASS_NAMES, HEAD, KINDS, MASK, SKETCH, SKIN, Setting
from examples.clay.parts import PALETTE

SHEET, LINE = ("paper", "line"), 1
INK = np.array([(250, 250, 246), (22, 24, 28)], np.uint8)  # of a sheet and of its lines
_NOT_YET = {
    MASK: "There is no mask yet. Start from a portrait, or upload a mask.",
    SKETCH: "There is no sheet yet. Press Empty sheet, or start from a portrait.",
}


def given(
    kind: str, mask: Painting | None, sketch: Painting | None, numbers: Mapping[str, float]
) -> dict[str, Any]:
    """The chosen condition by the pipeline's name of it; nothing where none is chosen."""
    if kind not in KINDS:
        raise refuse(f"The condition must be one of {', '.join(KINDS)}; got {kind[:40]!r}.")
    if kind in (MASK, SKETCH) and (mask if kind == MASK else sketch) is None:
        raise refuse(_NOT_YET[kind])
    values = {
        MASK: lambda: {MASK: mask.labels},
        SKETCH: lambda: {SKETCH: sketch.labels == LINE},
        HEAD: lambda: {HEAD: dict(numbers)},
    }
    return values[kind]() if kind in values else {}


def started(kind: str, at: Setting, picture: Image.Image, found: np.ndarray) -> Values:
    """A condition as it starts: classes, lines, or numbers in the model's order."""
    if kind == HEAD:
        return {HEAD: at.named(found)}
    return {kind: gr.update(**opened(kind, picture, found))}


def opened(kind: str, picture: Image.Image, found: np.ndarray) -> dict[str, Any]:
    """What the painter of a mask or of a sketch holds of it, before any stroke."""
    labels = np.asarray(found, np.uint8)
    if kind == MASK:
        return painter.opened(picture, labels, CLASS_NAMES, PALETTE, SKIN)
    return painter.opened(picture, labels, SHEET, INK, LINE)


def told_apart(
    kind: str, mask: Painting | None, sketch: Painting | None, numbers: Mapping[str, float]
) -> str:
    """What tells chosen conditions apart."""
    rounded = [f"{name} {value:.4f}" for name, value in sorted(numbers.items())]
    return mark(kind, {MASK: mask, SKETCH: sketch, HEAD: rounded}.get(kind))


def empty_sheet(at: Setting) -> Values:
    """A sheet without lines, over nothing."""
    paper = Image.new("RGB", (at.side, at.side), tuple(int(v) for v in INK[0]))
    return started(SKETCH, at, paper, np.zeros((at.side, at.side), np.uint8))


def emptied(at: Setting) -> Values:
    """No mask, no sketch, a head at rest."""
    empty = gr.update(**painter.EMPTY)
    return {MASK: empty, SKETCH: empty, HEAD: {n.name: n.rest for n in at.numbers}}


def mask_picture(labels: np.ndarray) -> Image.Image:
    """A mask in the legend's colours; a PNG of it keeps the classes as numbers."""
    picture = Image.fromarray(labels, "P")
    picture.putpalette(PALETTE.tobytes())
    return picture


def pictured(condition: Mapping[str, Any]) -> dict[str, Image.Image]:
    """A condition as pictures to take home, by name; numbers are none."""
    shown = {}
    if MASK in condition:
        shown["mask"] = mask_picture(condition[MASK])
    if SKETCH in condition:
        shown["sketch"] = Image.fromarray(condition[SKETCH].astype(np.uint8) * 255).convert("P")
    return shown


@dataclass(frozen=True)
class ConditionControls:
    """Its components; boxes: what is seen of a kind alone."""

    kind: gr.Radio
    mask: MaskPainter
    sketch: MaskPainter
    head: HeadDials
    boxes: Mapping[str, gr.Column]
    sheet: gr.Button
    file: gr.UploadButton

    @property
    def inputs(self) -> list[Component]:
        return [self.kind, self.mask, self.sketch, self.head]

    @property
    def outputs(self) -> dict[str, Component]:
        return {MASK: self.mask, SKETCH: self.sketch, HEAD: self.head}

    @property
    def seen(self) -> dict[str, Component]:
        """The boxes, of which `seen` shows one."""
        return {f"{kind} box": box for kind, box in self.boxes.items()}

    @property
    def moved(self) -> list:
        """The events of a visitor's own changes, but for the choice of the kind."""
        return [self.mask.input, self.sketch.input, self.head.input]


def kinds(at: Setting, first: tuple[str, str], name: str, value: str | None = None) -> gr.Radio:
    """The choice of a kind; `first` stands before them, and is chosen where `value` is not."""
    offered = [first, *((KINDS[kind], kind) for kind in at.kinds)]
    return gr.Radio(
        offered, value=value or first[1], label="Condition", elem_classes="pills",
        elem_id=f"{name}-kind",
    )  # fmt: skip


def build(
    at: Setting, kind: gr.Radio, name: str, holds: Values = MappingProxyType({})
) -> ConditionControls:
    """The painter, the sheet and the head, of which that of the kind is seen.

    holds: what they start with, by kind: `opened` makes it of a mask and a sketch, a head has its
    numbers by name.
    """
    boxes, empty = {}, painter.EMPTY
    with gr.Column(elem_classes=away(kind.value != MASK)) as boxes[MASK]:
        mask = mask_painter(
            holds.get(MASK, empty), elem_id=f"{name}-mask", began="how the mask began"
        )
        mask.side, mask.parts = at.side, len(CLASS_NAMES)
        file = gr.UploadButton("Upload a mask", size="md", file_types=["image"])
    with gr.Column(elem_classes=away(kind.value != SKETCH)) as boxes[SKETCH]:
        sketch = mask_painter(
            holds.get(SKETCH, empty), elem_id=f"{name}-sketch", began="how the sheet began",
            elem_classes="sheet",
        )  # fmt: skip
        sketch.side, sketch.parts = at.side, len(SHEET)
        sheet = gr.Button("Empty sheet", size="md")
    with gr.Column(elem_classes=away(kind.value != HEAD)) as boxes[HEAD]:
        head = head_dials(at, holds.get(HEAD), elem_id=f"{name}-head")
    return ConditionControls(kind, mask, sketch, head, boxes, sheet, file)


def seen(kind: str) -> Values:
    """Which box is seen."""
    kinds = (MASK, SKETCH, HEAD)
    return {f"{name} box": gr.update(elem_classes=away(name != kind)) for name in kinds}


def read_mask(at: Setting, file: str | None, painting: Painting | None) -> Any:
    """A mask from a picture in the legend's colours, of any whole multiple of the mask's size."""
    if not file:
        raise refuse("There is no file. Choose a mask in the legend's colours.")
    colours = open_picture(file)
    with spoken_errors():
        found = part_masks.snapped(np.asarray(colours), PALETTE)
        labels = part_masks.reduced(found, at.side)
    if painting is None:
        return painter.begun(colours, labels, CLASS_NAMES, PALETTE, SKIN)
    return Painting(labels, painting.part, painting.labels)


def wire(ui: ConditionControls, at: Setting, name: str, changed: Mapping[str, Any]) -> None:
    """What does not need a portrait; `changed`: the listener options of what follows a change."""
    ui.kind.input(**filling(seen, ui.seen), inputs=ui.kind, **QUIET, **FOLLOW)
    ui.sheet.click(
        **filling(lambda: empty_sheet(at), {SKETCH: ui.sketch}), **QUIET
    ).then(**changed, api_visibility="private")  # fmt: skip
    ui.file.upload(
        lambda file, painting: read_mask(at, file, painting), [ui.file, ui.mask], ui.mask,
        api_name=f"{name}_read_mask", show_progress="hidden",
    ).success(**changed, api_visibility="private")  # fmt: skip
    gr.on(ui.moved, **changed, api_visibility="private")
