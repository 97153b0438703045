"""The page of EditGAN (Ling et al. 2021): one file a part of the page.

Every part takes `load`, a function that returns the pipeline; nothing is loaded to show the page.
"""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from demos.editgan import PAPER, example, paint, start, vectors
from demos.editgan.panel import PageContents, Panel, build_result
from demos.header.readiness import Source
from demos.kit.downloads import take_home
from demos.kit.stored import choice, notice


def _term(number: int, name: str) -> str:
    """One weighted loss of Eq. 5."""
    return f"""<msub><mi>λ</mi><mn>{number}</mn></msub><msub><mi mathvariant="script">L</mi>
<mtext>{name}</mtext></msub><mo>(</mo><mi>δ</mi><mo>)</mo>"""


_EQUATION = f"""<div class="equation"><math><mrow displaystyle="true">
<msup><mi>δ</mi><mo>*</mo></msup><mo>=</mo><munder><mtext>arg min</mtext><mi>δ</mi></munder>
<mspace width="0.4em"/>{_term(1, "RGB")}<mo>+</mo>{_term(2, "CE")}<mo>+</mo>{_term(3, "ID")}
</mrow></math><p>Eq. 5. δ the editing vector; RGB keeps the picture as it is outside the region that
may change, CE asks inside it for the painted parts, ID keeps the person.</p></div>"""

_INTRODUCTION = f"""<div class="prose-page lead"><h1>EditGAN</h1>
<div class="beside"><div><p>The generator draws a map of face parts beside its picture, learnt from
16 labelled portraits: repaint that map, and the code is moved until picture and map agree
again.</p><p>The move is a vector that makes the same edit on other portraits, stronger, weaker, or
the other way round.</p></div>{_EQUATION}</div></div>"""


def build(load: Callable, domain: gr.State, source: Source) -> None:
    """Put the page into the open route; it stays with clay heads, whichever domain is in use."""
    gr.HTML(_INTRODUCTION)
    if words := notice(PAPER.stored):
        gr.HTML(words)
    found = PAPER.stored.read("edit")
    page = example.page(found[0]) if found else PageContents()
    names, story = choice(found), gr.HTML(page.story, elem_id="editgan-story")
    picture = start.build_input(page)
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=9, min_width=300):
            result = build_result(page)
        with gr.Column(scale=20, min_width=300), gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Paint", id="paint"):
                painting = paint.build(page)
            with gr.Tab("Vectors", id="vectors") as tab:
                library = vectors.build(page)
    keep, _ = take_home("editgan_files", page.keep)
    panel = Panel(
        **result, library=library.library, painter=painting.canvas, parts=painting.parts,
        inferred=gr.State([]), which=library.which, subject=gr.State(page.subject),
        own=gr.State({}), keep=keep,
    )  # fmt: skip
    start.wire(load, panel, picture, story)
    paint.wire(load, panel, painting)
    vectors.wire(load, panel, tab, library)
    if names is not None:
        example.wire(names, found, panel, picture, story)
