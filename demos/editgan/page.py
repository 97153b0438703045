"""The page of EditGAN (Ling et al. 2021): one file a part of the page.

Every part takes `load`, a function that returns the pipeline; nothing is loaded to show the page.
"""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from demos.editgan import PAPER, example, paint, start, vectors
from demos.editgan.panel import PageContents, Panel, build_result
from demos.header.readiness import Source
from demos.kit.address import follow, into_portrait
from demos.kit.beside import lay_beside
from demos.kit.downloads import take_home
from demos.kit.handover import exchange_of
from demos.kit.imaging import SIDE
from demos.kit.introduction import introduction
from demos.kit.stored import choice, notice


def _term(number: int, name: str) -> str:
    """One weighted loss of Eq. 5."""
    return f"""<msub><mi>λ</mi><mn>{number}</mn></msub><msub><mi mathvariant="script">L</mi>
<mtext>{name}</mtext></msub><mo>(</mo><mi>δ</mi><mo>)</mo>"""


_EQUATION = f"""<div class="equation"><math><mrow displaystyle="true">
<msup><mi>δ</mi><mo>*</mo></msup><mo>=</mo><munder><mtext>arg min</mtext><mi>δ</mi></munder>
<mspace width="0.4em"/>{_term(1, "RGB")}<mo>+</mo>{_term(2, "CE")}<mo>+</mo>{_term(3, "ID")}
</mrow></math><p>Equation 5 of the paper. δ is the editing vector and δ* the one that is found; the
three terms ℒ are losses and each λ is the weight of one. RGB keeps the colours outside the region
that may change, CE (cross-entropy) asks inside it for the painted parts, ID (identity) keeps the
person.</p></div>"""
_SAYS = """Repaint the map of face parts, and the picture follows: its code is moved until both
agree again."""
_HOW = f"""<div class="beside"><div><p>The generator draws a map of face parts beside its picture,
learnt from 16 labelled portraits.</p><p>The move of the code is a vector that makes the same edit
on other portraits, stronger, weaker, or the other way round.</p></div>{_EQUATION}</div>"""


def build(load: Callable, domain: gr.State, source: Source) -> None:
    """Put the page into the open route; it stays with clay heads, whichever domain is in use."""
    introduction(PAPER, _SAYS, _HOW)
    exchange = exchange_of(PAPER, SIDE)
    if words := notice(PAPER.stored):
        gr.HTML(words)
    found = PAPER.stored.read("edit")
    page = example.page(found[0]) if found else PageContents()
    names = choice(found, "editgan_stored_edit", ("picture", "edited"))
    story = gr.HTML(page.story, elem_id="editgan-story")
    picture = start.build_input(page)
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=9, min_width=300):
            result = build_result(page)
        with gr.Column(scale=20, min_width=300), gr.Tabs(overflow_behavior="wrap") as tabs:
            with gr.Tab("Paint", id="paint"):
                painting = paint.build(page)
            with gr.Tab("Vectors", id="vectors") as tab:
                library = vectors.build(page)
    keep, _ = take_home("editgan_files", page.keep, exchange.offer)
    laid = lay_beside(keep, "embedding", "editgan")
    panel = Panel(
        **result, library=library.library, painter=painting.canvas, parts=painting.parts,
        inferred=gr.State([]), which=library.which, subject=gr.State(page.subject),
        own=gr.State({}), keep=keep,
    )  # fmt: skip
    exchange.receive("picture", "", picture.portrait)
    exchange.build_reader(load, "editgan_read_latent")
    exchange.wire(None)
    start.wire(load, panel, picture, {"story": story, **laid}, exchange.given, names)
    paint.wire(load, panel, painting)
    vectors.wire(load, panel, tab, library)
    if names is not None:
        example.wire(names, found, panel, picture, painting, story)
    follow(tabs, dict.fromkeys(("paint", "vectors"), into_portrait(picture.portrait)))
