"""The page of diffusion-driven GAN inversion (Kim et al. 2024): one file a part of the page.

Every part takes `load`, a function that returns the pipeline, and the setting of a domain; nothing
is loaded to show the page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from demos.diffusion_inversion import PAPER, answer, ask, example, inside, race, styles, times
from demos.diffusion_inversion.session import Subject
from demos.diffusion_inversion.setting import CLAY_HEADS, Setting, setting_of
from demos.header.readiness import Source
from demos.kit.address import follow, into_portrait
from demos.kit.by_domain import by_domain
from demos.kit.downloads import take_home
from demos.kit.handover import exchange_of
from demos.kit.introduction import introduction
from demos.kit.outputs import Values
from demos.kit.runs import Belonging, wire_run
from demos.kit.stored import choice

_EQUATION = """<div class="equation"><math><mrow displaystyle="true"><mi mathvariant="bold">w</mi>
<mo>=</mo><msup><mi mathvariant="bold">w</mi><mi>m</mi></msup><mo>⊙</mo>
<msup><mi mathvariant="bold">w</mi><mi>γ</mi></msup><mo>+</mo>
<msup><mi mathvariant="bold">w</mi><mi>β</mi></msup></mrow></math><math><mrow displaystyle="true">
<msup><mi>I</mi><mo>′</mo></msup><mo>=</mo><mi>G</mi><mo>(</mo><mi mathvariant="bold">w</mi>
<mo>)</mo></mrow></math>
<p>Eqs. 4 and 5. M reads w<sup>m</sup> in the middle block of the U-Net, T reads w<sup>γ</sup> and
w<sup>β</sup> in the features and attention maps of its decoder; G is the GAN and I′ its picture.
I₀ᵈ is what the diffusion model itself makes of the same inputs, after all its steps.</p></div>"""
_SAYS = """Say whom you want to see and paint where: one call of a diffusion model's U-Net is
translated into the code of a GAN, long before the diffusion model itself has a picture."""
_HOW = f"""<div class="beside"><div><p>A diffusion model knows text and masks, and draws slowly. A
GAN draws at once, and knows neither. Two small networks read the first model's features and
attention maps and answer with the second one's code.</p><p class="aside">Here the GAN is one of two
dimensions; the paper has one of three besides. The small diffusion model of the clay heads was
trained for minutes: it obeys what is painted and half of what is said.</p></div>{_EQUATION}</div>
"""


def build(load: Callable, domain: gr.State, source: Source) -> None:
    """Put the page into the open route; it changes with the domain in use."""
    introduction(PAPER, _SAYS, _HOW)
    by_domain(PAPER, load, domain, source, _parts, CLAY_HEADS, setting_of)


def _parts(load: Callable, at: Setting) -> None:
    """All parts of the page for one domain, from the prompt to the files to take home."""
    exchange = exchange_of(PAPER, at.side, at.rendered)
    found = [entry for kind in PAPER.kinds if at.rendered for entry in PAPER.stored.read(kind)]
    names = choice(found, f"{PAPER.slug}_stored_request", ("asked", "edited"))
    first = example.page(found[0]) if found else {}
    asked = ask.build(at, first)
    result = race.build(first)
    with gr.Tabs(overflow_behavior="wrap") as tabs:
        with gr.Tab("Inside", id="inside"):
            within = inside.build(first)
        with gr.Tab("Steps", id="steps"):
            steps = times.build()
        with gr.Tab("Styles", id="styles"):
            styled = styles.build(at, first)
        with gr.Tab("True answer", id="answer"):
            truth = answer.build(at.rendered, first)
    keep, _ = take_home("diffusion_files", first.get("keep"), exchange.offer)
    exchange.receive("picture", "", asked.portrait, codes=False)
    exchange.build_reader(load, "diffusion_read_latent")
    exchange.wire(None)

    def after(subject: Subject, pipeline: Any) -> Values:
        """What a new reading changes beyond its picture."""
        emptied = times.cleared() | styles.cleared(at) | answer.cleared()
        return emptied | inside.filled(subject) | {"keep": subject.keepsake(pipeline)}

    def cleared() -> Values:
        parts = inside.cleared() | times.cleared() | styles.cleared(at) | answer.cleared()
        return parts | race.cleared() | {"keep": None}

    rest = within.outputs | steps.outputs | styled.outputs | truth.outputs | {"keep": keep}
    outputs, of = result.outputs | rest, gr.State(first.get("made_of"))
    results = Belonging(asked.deciding, of, outputs, cleared)
    handler = race.handler(load, ask.wire(load, at, asked), after)
    inputs = [*asked.inputs, result.run.steps]
    ran = wire_run(result.run, handler, outputs, inputs, "diffusion_generate", results)
    compare = answer.listener(load, truth, result.subject)
    ran.success(**compare, api_visibility="private")
    truth.side.input(**compare, api_name="diffusion_compare")
    inside.wire(load, within, result.subject)
    times.wire(load, steps, result.subject)
    styles.wire(load, at, styled, result.subject, keep)
    fills = outputs | asked.stored | {"side": truth.side, "made_of": of, "tabs": tabs}
    example.wire(names, found, fills)
    if at.rendered:
        follow(None, {"generate": into_portrait(asked.portrait)})
