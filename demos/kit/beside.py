"""Edits of one picture side by side: each is laid there by a press, with what was changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component
from PIL import Image

from demos.kit.downloads import Keepsake
from demos.kit.imaging import refuse
from demos.kit.inputs import QUIET
from demos.kit.outputs import Values, filling

MOST = 12  # pictures beside one another


def lay_beside(keep: gr.State, start: str, name: str) -> dict[str, Component]:
    """A gallery below its two buttons; `start` is the picture before any edit, which comes first.

    Returns what is to be emptied for another picture.
    """
    with gr.Row():
        add = gr.Button("Lay this edit beside the others", size="md", min_width=200)
        clear = gr.Button("Clear them", size="md", min_width=110)
    laid = gr.State([])
    gallery = gr.Gallery(
        label="Edits side by side", columns=6, height=230, object_fit="contain", format="png",
        interactive=False, buttons=["download", "fullscreen"], elem_id=f"{name}-beside",
        elem_classes="strip", visible=False,
    )  # fmt: skip
    outputs: dict[str, Component] = {"laid": laid, "beside": gallery}

    def put(kept: Keepsake | None, before: list | None) -> Values:
        return laid_out(added(before or [], kept, start))

    add.click(**filling(put, outputs), inputs=[keep, laid], **QUIET)
    clear.click(**filling(lambda: laid_out([]), outputs), **QUIET)
    return outputs


def laid_out(pictures: list) -> Values:
    return {"laid": pictures, "beside": gr.update(value=pictures, visible=bool(pictures))}


def added(before: list, kept: Keepsake | None, start: str) -> list[tuple[Image.Image, str]]:
    """The pictures with the newest edit; the very same edit is not laid there twice."""
    if kept is None or "edited" not in kept.pictures:
        raise refuse("There is no edit yet. Move a slider, or paint a mask, first.")
    if len(before) >= MOST:
        raise refuse(f"{MOST} pictures are the most side by side. Clear them first.")
    first = before or [(kept.pictures[start], "before")]
    new = (kept.pictures["edited"], told(kept.parameters))
    return first if new[1] in [words for _, words in first] else [*first, new]


def told(parameters: Mapping[str, Any]) -> str:
    """What was changed, in words."""
    edits = {edit["name"]: edit["scale"] for edit in parameters.get("edits", ())}
    changes = {**parameters.get("changes", {}), **edits}
    return ", ".join(f"{name} {value:+g}" for name, value in changes.items()) or "before"
