"""The comparison on the first page: a picture, the button, and two rows of cards.

Nothing here names a paper: who takes part is read from the papers' list. What stands in the rows
before anything is pressed is a stored example.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component
from PIL import Image

from demos.comparison import cards, store
from demos.comparison.method import CHANGES, STEPS
from demos.comparison.run import Handlers
from demos.comparison.session import entrants, moved
from demos.kit import shelf
from demos.kit.address import follow, into_portrait
from demos.kit.bridge import CLAY
from demos.kit.inputs import FOLLOW, GPU, QUIET, portrait_input
from demos.kit.outputs import Values, filling
from demos.kit.paper import Paper
from demos.kit.portraits import random_seed
from demos.kit.runs import Belonging, RunControls, run_button, wire_run
from demos.kit.shelf import Scene
from demos.kit.stored import choice, marked, wire

_SAYS = """<div class="prose-page"><h2>One picture, {papers}</h2><p class="aside">A person whom no
network has seen, with a thing before the face that none has seen either. Every method rebuilds the
picture, those that optimise in {steps} steps, and then makes the same change. Beside it stands the
true answer: the renderer drew this person, and draws them changed.</p></div>"""
_ROWS = {
    "rebuilt": """<h3>Rebuilt</h3><p>PSNR and identity: higher is better. LPIPS, the difference to
the eye: lower is.</p>""",
    "changed": """<h3>Changed</h3><p>Measured to the true answer; unedited: before the change.
Outlined: nearest to the eye.</p>""",
}


def room_for_all() -> int:
    """The number of a portrait whom every one of CHANGES changes."""
    while True:
        scene = Scene(random_seed())
        if all(moved(scene, name) for name in CHANGES):
            return scene.seed


def build(
    papers: Sequence[Paper], loads: Mapping[str, Callable], counted: Callable[[int], str]
) -> None:
    """Put the comparison into the open page, where two papers or more take part.

    loads: gives each paper's pipeline, by slug; counted: says so many papers.
    """
    taking_part = entrants(papers, loads)
    if len(taking_part) < 2:
        return
    handlers = Handlers(taking_part)
    found = store.read(taking_part)
    first = store.page(handlers, found[0]) if found else {}
    gr.HTML(_SAYS.format(papers=counted(len(taking_part)).lower(), steps=STEPS))
    with gr.Column(elem_classes="comparison"):
        names = choice(found, "comparison_stored_scene", (cards.PICTURE, store.EXAMPLE))
        with gr.Row():
            with gr.Column(scale=11, min_width=280):
                portrait = portrait_input(
                    "Picture", "The picture that every method is given.", None,
                    first.get("given"), first.get("seed"), CLAY, new_seed=room_for_all,
                )  # fmt: skip
                things = shelf.build(True, first)
            with gr.Column(scale=28, min_width=280):
                change, ui = _asked(first)
                shown = _rows(handlers, first)
                shown["words"] = gr.HTML(elem_id="comparison-words")
    subject, of = gr.State(first.get("subject")), gr.State(first.get("of"))
    outputs = shown | {"subject": subject}
    given = [*portrait.origin, *things.inputs]
    results = Belonging(given, of, outputs, handlers.cleared, _meant)
    results = marked(names, results)
    wire_run(ui, handlers.run, outputs, [*given, change], "comparison_run", results)
    changed = filling(handlers.change, outputs)
    change.input(**changed, inputs=[subject, change], **GPU | QUIET | FOLLOW)
    moved_by = [portrait.picture.change, *(d.input for d in portrait.inputs[1:])]
    looked_at = filling(handlers.looked_at, outputs)
    gr.on(moved_by, **looked_at, inputs=portrait.inputs, **QUIET | FOLLOW)
    shelf.wire(things, portrait, "comparison_put")
    if names is not None:
        fills = outputs | things.outputs | {"change": change, "of": of, "state": ui.state}
        fills |= {"given": portrait.picture, "seed": portrait.seed}
        wire(names, found, functools.partial(store.page, handlers), fills)
    follow(None, {"compare": into_portrait(portrait)})


def _asked(first: Values) -> tuple[gr.Radio, RunControls]:
    """The change to make, and the button."""
    offered = [(asked.label, name) for name, asked in CHANGES.items()]
    with gr.Row(elem_classes="asked"):
        change = gr.Radio(
            offered, value=first.get("change", offered[0][1]), label="Change to make",
            elem_classes="pills bare", elem_id="comparison-change", min_width=230,
        )  # fmt: skip
        with gr.Column(min_width=280):
            return change, run_button("Run all papers on it")


def _meant(
    picture: Image.Image | None, x: float, y: float, zoom: float, seed: int | None, *staged: Any
) -> tuple[Image.Image | None, float, float, float]:
    """What the values of the inputs stand for: a picture and its square."""
    return shelf.meant(picture, seed, *staged), x, y, zoom


def _rows(handlers: Handlers, first: Values) -> dict[str, Component]:
    """Both rows of cards, each card by its name; first: what stands there at the start."""
    slugs = [entrant.paper.slug for entrant in handlers.entrants]
    names = {
        "rebuilt": [cards.PICTURE, *slugs],
        "changed": [cards.TRUTH, *(cards.edit_of(slug) for slug in slugs)],
    }
    empty = {cards.PICTURE: cards.picture_card(None), **handlers.cleared()}
    shown: dict[str, Component] = {}
    for row, members in names.items():
        gr.HTML(f'<div class="row-says">{_ROWS[row]}</div>')
        with gr.Row(elem_classes="shots", elem_id=f"comparison-{row}"):
            for name in members:
                shown[name] = gr.HTML(first.get(name, empty[name]), elem_classes="shot-holder")
    return shown
