"""The page of MM2Latent (Meng et al. 2024): one file a part of the page.

Every part takes `load`, a function that returns the pipeline, and the setting of a domain; nothing
is loaded to show the page. Clay heads stand on the page from the start; the parts of another domain
are made when a session changes to it, from what its pipeline has.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import gradio as gr

from demos.header.readiness import Source
from demos.kit.address import follow
from demos.kit.by_domain import by_domain
from demos.kit.handover import Exchange, exchange_of
from demos.kit.introduction import introduction
from demos.kit.stored import choice
from demos.mm2latent import PAPER, edit, example, generate, inside
from demos.mm2latent.setting import CLAY_HEADS, Setting, setting_of

_EQUATION = """<div class="equation"><math><mrow displaystyle="true"><mi>I</mi><mo>=</mo><mi>G</mi>
<mo>(</mo><mi>Net</mi><mo>(</mo><msub><mi>f</mi><mtext>text</mtext></msub><mo>,</mo>
<msub><mi>f</mi><mtext>cond</mtext></msub><mo>)</mo><mo>)</mo></mrow></math>
<math><mrow displaystyle="true"><msub><mi>w</mi><mtext>edit</mtext></msub><mo>=</mo>
<msub><mi>w</mi><mtext>src</mtext></msub><mo>+</mo><mi>β</mi><mo>(</mo><mi>Net</mi><mo>(</mo>
<msub><mi>f</mi><mtext>tar</mtext></msub><mo>)</mo><mo>−</mo><mi>Net</mi><mo>(</mo>
<msub><mi>f</mi><mtext>piv</mtext></msub><mo>)</mo><mo>)</mo></mrow></math>
<p>Eqs. 6 to 9. f are embeddings of words and of a mask, sketch or head, Net the mapping network, G
the generator; w<sub>src</sub> is a picture’s code, tar and piv what it shall show and what it
shows, β the strength.</p></div>"""
_SAYS = """Words say what, a mask, a sketch or a head in 3D says where: one forward pass makes the
picture, and every change answers at once."""
_HOW = f"""<div class="beside"><div><p>Words and pictures share one embedding. A mapping network,
trained on the generator’s own pictures, takes an embedding and a condition to a code; there is
nothing to optimise and nothing to tune.</p><p>The difference of two such codes is an edit, for any
picture whose code is known.</p></div>{_EQUATION}</div>"""

# A part -> the kind of its stored examples, and their two pictures that are shown small.
STORED = {generate: ("generate", ("picture", "result")), edit: ("edit", ("picture", "edited"))}


def build(load: Callable, domain: gr.State, source: Source) -> None:
    """Put the page into the open route; it changes with the domain in use."""
    introduction(PAPER, _SAYS, _HOW)
    by_domain(PAPER, load, domain, source, _parts, CLAY_HEADS, setting_of)


def _parts(load: Callable, at: Setting) -> None:
    """All parts of the page for one domain; an address opens those of clay heads."""
    exchange = exchange_of(PAPER, at.side, at.rendered)
    with gr.Tabs(overflow_behavior="wrap") as tabs:
        with gr.Tab("Generate", id="generate"):
            first = _part(generate, example.request, load, exchange, at)
        with gr.Tab("Edit", id="edit"):
            second = _part(edit, example.edited, load, exchange, at)
        with gr.Tab("Look inside", id="inside"):
            inside.build(load, first.asked, at)
    exchange.build_reader(load, "mm2latent_read_latent")
    exchange.wire(tabs)
    if at.rendered:
        follow(tabs, {"generate": first.opening, "edit": second.opening})


def _part(
    part: ModuleType, shows: Callable, load: Callable, exchange: Exchange, at: Setting
) -> Any:
    """A part with its stored examples; shows: what one of them puts there."""
    kind, pair = STORED[part]
    found = PAPER.stored.read(kind) if at.rendered else []
    names = choice(found, f"mm2latent_stored_{kind}", pair)
    controls = part.build(load, exchange, at, shows(found[0]) if found else {})
    example.wire(names, found, shows, controls)
    return controls
