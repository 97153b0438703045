"""The page of In-Domain GAN Inversion (Zhu et al. 2020): one file a part of the page.

Every part takes `load`, a function that returns the pipeline, and the setting of a domain; nothing
is loaded to show the page. Clay heads stand on the page from the start; the parts of another domain
are made when a session changes to it, from what its pipeline has.
"""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from demos.header.readiness import Source
from demos.indomain import PAPER, diffuse, interpolate, invert, manipulate, mix
from demos.indomain.setting import CLAY_HEADS, Setting, setting_of
from demos.kit.address import follow
from demos.kit.by_domain import by_domain
from demos.kit.handover import exchange_of
from demos.kit.introduction import introduction

_EQUATION = """<div class="equation"><math><mrow displaystyle="true">
<msup><mi>w</mi><mo>*</mo></msup><mo>=</mo><munder><mtext>arg min</mtext><mi>w</mi></munder>
<mspace width="0.4em"/><mo>‖</mo><mi>x</mi><mo>−</mo><mi>G</mi><mo>(</mo><mi>w</mi><mo>)</mo>
<mo>‖</mo><mo>+</mo><msub><mi>λ</mi><mtext>feat</mtext></msub>
<mo>‖</mo><mi>F</mi><mo>(</mo><mi>x</mi><mo>)</mo><mo>−</mo><mi>F</mi><mo>(</mo><mi>G</mi><mo>(</mo>
<mi>w</mi><mo>)</mo><mo>)</mo><mo>‖</mo></mrow></math><math><mrow displaystyle="true">
<mo form="prefix">+</mo><msub><mi>λ</mi><mtext>dom</mtext></msub><mspace width="0.2em"/>
<mo>‖</mo><mi>w</mi><mo>−</mo><mi>E</mi><mo>(</mo><mi>G</mi><mo>(</mo><mi>w</mi><mo>)</mo><mo>)</mo>
<mo>‖</mo></mrow></math>
<p>x is the picture, w its code with one vector a layer and w* the code that is found; G is the
generator, E the encoder, F the features of a network that compares pictures as the eye does; both
λ are weights. The last term keeps the code in the domain.</p>
</div>"""
_SAYS = """A picture becomes a code that stays where the generator knows what a face is: so it can
be edited, blended or put into another."""
_HOW = f"""<div class="beside"><div><p>An encoder trained through the frozen generator puts a
picture where the generator knows what a face is; a short optimisation then sharpens the likeness
without letting the code leave that place.</p></div>{_EQUATION}</div>"""


def build(load: Callable, domain: gr.State, source: Source) -> None:
    """Put the page into the open route; it changes with the domain in use."""
    introduction(PAPER, _SAYS, _HOW)
    by_domain(PAPER, load, domain, source, _parts, CLAY_HEADS, setting_of)


def _parts(load: Callable, at: Setting) -> None:
    """All parts of the page for one domain; an address opens those of clay heads."""
    exchange, opened = exchange_of(PAPER, at.side, at.rendered), {}
    with gr.Tabs(overflow_behavior="wrap") as tabs:
        for part, name in (
            (diffuse, "Diffuse"),
            (invert, "Invert"),
            (interpolate, "Interpolate"),
            (manipulate, "Manipulate"),
            (mix, "Mix"),
        ):
            key = part.__name__.rsplit(".", 1)[-1]
            with gr.Tab(name, id=key):
                opened[key] = part.build(load, exchange, at)
    exchange.build_reader(load, "indomain_read_latent")
    exchange.wire(tabs)
    if at.rendered:
        follow(tabs, opened)
