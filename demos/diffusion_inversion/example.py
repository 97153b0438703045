"""Stored examples: a caption with a mask or a scribble, or in a style, and what was made of it.

To show one, no network runs and nothing is rendered. The first thing that a visitor does with it
goes on as if the visitor had made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
from gradio.components import Component

from demos.diffusion_inversion import answer, ask, inside, race, styles, times
from demos.diffusion_inversion.session import Asked, Subject
from demos.diffusion_inversion.setting import CLAY_HEADS
from demos.kit import stored
from demos.kit.outputs import Values
from demos.kit.painter import Painting
from demos.kit.runs import mark
from examples.diffusion_inversion import results
from examples.diffusion_inversion.results import MASK, SCRIBBLE
from examples.stored import Stored

WHOLE = (0.5, 0.5, 1)


def page(entry: Stored) -> dict[str, Any]:
    """Everything that a stored example puts on the page, by name."""
    v, subject = entry.values, _subject(entry)
    asked, picture = subject.asked, entry.pictures["picture"]
    other = SCRIBBLE if asked.task == MASK else MASK
    painted = {asked.task: asked.labels, other: np.zeros_like(asked.labels)}
    deciding = [asked.prompt, asked.task, *(Painting(painted[t], 0) for t in (MASK, SCRIBBLE))]
    found = ask.TRUE if asked.task == MASK else v["tracer"]
    shown = race.shown(subject) | inside.shown(subject) | _styled(entry)
    return shown | answer.shown(subject, SimpleNamespace(**v["measures"])) | {
        "prompt": asked.prompt, "kind": asked.task, "noise": asked.noise,
        "strength": asked.strength, "picture": picture, "seed": asked.portrait,
        **dict(zip(("x", "y", "zoom"), WHOLE, strict=True)),
        asked.task: ask.opened(CLAY_HEADS, asked.task, asked.labels, picture),
        other: ask.opened(CLAY_HEADS, other),
        f"{asked.task} words": ask.told(asked.task, found), f"{other} words": ask.told(other),
        "of": {asked.task: mark(picture, *WHOLE)},
        "made_of": mark(*deciding, asked.noise, asked.strength),
        "keep": _kept(entry, subject),
    }  # fmt: skip


def _styled(entry: Stored) -> Values:
    """What an entry puts into the part of styles; nothing where it is of none."""
    v, p = entry.values, entry.pictures
    if "style" not in v:
        return {}
    made = SimpleNamespace(image=p["edited"], **v["styled"])
    return styles.shown(v["style"], made, p["truth"]) | {"style": v["style"]}


def _subject(entry: Stored) -> Subject:
    """What was asked and made, as a session holds it; its codes are in the entry's file."""
    v, p = entry.values, entry.pictures
    labels = np.array(p["asked"])
    asked = Asked(
        CLAY_HEADS, v["prompt"], v["task"], labels, v["noise"], v["strength"], v["seed"], WHOLE,
        entry,
    )  # fmt: skip
    theirs = SimpleNamespace(image=p["controlnet"], **v["made"]["controlnet"])
    return Subject(asked, results.reading(entry), theirs)


def _kept(entry: Stored, subject: Subject) -> Any:
    style = entry.values.get("style")
    return subject.kept(entry.codes, {style: entry.pictures["edited"]} if style else {}, {})


def wire(names: gr.HTML | None, found: list[Stored], outputs: Mapping[str, Component]) -> None:
    """Choosing a stored example by its name puts all of it on the page."""
    if names is None:
        return

    def show(entry: Stored) -> Values:
        values = times.cleared() | styles.cleared(CLAY_HEADS) | page(entry)
        values |= ask.showing(entry.values["task"])
        pair = gr.update(value=values["pair"], visible=True, label=answer.label(answer.TRUE))
        what = gr.update(choices=values.pop("choices"), value=values["what"])
        return values | {
            MASK: gr.update(**values[MASK]), SCRIBBLE: gr.update(**values[SCRIBBLE]),
            "pair": pair, "what": what,
            "tabs": gr.Tabs(selected="styles" if "style" in entry.values else "inside"),
        }  # fmt: skip

    stored.wire(names, found, show, outputs)
