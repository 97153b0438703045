"""Stored examples: a portrait, embedded, and painted as the renderer's true edit would have it.

To show one, no network runs. The first thing that a visitor does with it makes a `Subject` of it
(`session.opened`), from where everything goes on as if the visitor had made the edit.
"""

from __future__ import annotations

from dataclasses import fields
from html import escape
from types import SimpleNamespace

import gradio as gr
import numpy as np
from PIL import Image

from demos.editgan.paint import PaintControls, optimised_report
from demos.editgan.panel import PageContents, Panel, keepsake, mask_picture, verdict
from demos.editgan.session import WHOLE, Made, Subject, kept_fields
from demos.editgan.start import PictureControls, embedded_report
from demos.kit import painter, stored
from demos.kit.imaging import data_uri
from demos.kit.outputs import Values
from demos.kit.runs import mark
from examples.clay.parts import PART_PALETTE, PARTS
from examples.stored import Stored

# What a page asks of a pipeline here.
CLAY_PARTS = SimpleNamespace(parts=PARTS, palette=PART_PALETTE)


def page(entry: Stored) -> PageContents:
    """Everything that a stored result puts on the page."""
    p, v = entry.pictures, entry.values
    embedding, edit = (SimpleNamespace(w=None, **kept) for kept in kept_fields(entry))
    vector = SimpleNamespace(q_edit=v["q_edit"])
    subject = Subject(
        embedding, p["picture"], v["seed"], WHOLE, {v["edit"]: (vector, 1.0)}, edit,
        len(embedding.losses), {v["edit"]: Made(len(edit.losses), len(edit.losses))},
    )  # fmt: skip
    part = PARTS.index(v["q_edit"][0])
    return PageContents(
        picture=p["picture"], seed=v["seed"], embedded=embedding.image,
        embedding=embedded_report(embedding), subject=entry,
        pair=(embedding.image, edit.image), mask=mask_picture(edit.mask, PART_PALETTE),
        painter=painter.opened(edit.image, edit.mask, PARTS, PART_PALETTE, part),
        keep=keepsake(CLAY_PARTS, subject, entry.codes),
        report=optimised_report(edit, np.asarray(p["painted"])),
        answer=p["truth"], verdict=verdict(subject, p["truth"]), scales=subject.scales,
        parts=PARTS, story=_story(entry), of=mark(p["picture"], *WHOLE),
        steps=len(embedding.losses), edit_steps=len(edit.losses),
    )  # fmt: skip


def _story(entry: Stored) -> str:
    """The example from left to right; what may not change is pale on the painted mask."""
    p = entry.pictures
    painted = np.asarray(p["painted"].convert("RGB"), float)
    free = np.asarray(p["region"])[..., None] > 0
    pale = Image.fromarray(np.where(free, painted, 0.3 * painted + 110).astype(np.uint8))
    shown = {
        "Picture": p["picture"], "Embedding": p["embedding"], "Its parts": p["mask"],
        "Painted": pale, "Optimised": p["edited"], "True answer": p["truth"],
    }  # fmt: skip
    figures = "".join(
        f'<figure><img src="{data_uri(picture)}" alt="{name} of the example {escape(entry.name)}">'
        f"<figcaption>{name}</figcaption></figure>"
        for name, picture in shown.items()
    )
    return f'<div class="story">{figures}</div>'


def wire(
    names: gr.Radio, found: list[Stored], panel: Panel, start: PictureControls,
    painting: PaintControls, story: gr.HTML,
) -> None:  # fmt: skip
    """Choosing a stored example by its name puts all of it on the page."""
    outputs = start.outputs | panel.outputs(
        "subject", "pair", "mask", "painter", "keep", "report", "answer", "verdict", "scales",
        "parts",
    )  # fmt: skip
    outputs |= {"story": story} | panel.outputs("inferred", "which", "library")
    outputs |= {"steps": start.run.steps, "edit_steps": painting.run.steps}

    def show(entry: Stored) -> Values:
        shown = page(entry)
        values = {field.name: getattr(shown, field.name) for field in fields(PageContents)}
        names = list(shown.scales)
        return values | {
            "painter": gr.update(**shown.painter),
            "answer": gr.update(value=shown.answer, visible=True),
            "parts": gr.update(choices=list(shown.parts), value=[]),
            "inferred": [],
            "which": gr.update(choices=names, value=names[-1]),
            "library": [],
        }

    stored.wire(names, found, show, outputs)
