"""The page of SAM inversion (Parmar 2022): one file a part of the page.

Every part takes `load`, a function that returns the pipeline, and the setting of a domain; nothing
is loaded to show the page. Clay heads stand on the page from the start; the parts of another domain
are made when a session changes to it, from what its pipeline has.
"""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from demos.header.readiness import Source
from demos.kit import shelf
from demos.kit.address import follow, into_portrait
from demos.kit.by_domain import by_domain
from demos.kit.downloads import take_home
from demos.kit.handover import exchange_of
from demos.kit.inputs import portrait_input
from demos.kit.introduction import introduction
from demos.kit.runs import Belonging, wire_run
from demos.kit.stored import choice, marked
from demos.sam_inversion import PAPER, edit, example, invert, maps
from demos.sam_inversion.setting import CLAY_HEADS, Setting, setting_of

_EQUATION = """<div class="equation"><math><mrow displaystyle="true"><msubsup><mi>F</mi><mi>k</mi>
<mo>′</mo></msubsup><mo>=</mo><msub><mi>F</mi><mi>k</mi></msub><mo>(</mo><msup><mi>w</mi><mo>+</mo>
</msup><mo>)</mo><mo>+</mo><msub><mi>m</mi><mi>k</mi></msub><mo>⊙</mo><mi mathvariant="normal">Δ
</mi><msub><mi>f</mi><mi>k</mi></msub></mrow></math><math><mrow displaystyle="true">
<msub><mi>m</mi><mi>k</mi></msub><mo>:</mo><mspace width="0.3em"/><mi>k</mi><mo>=</mo><mi>min</mi>
<mo>{</mo><mi>l</mi><mo>:</mo><msub><mi>S</mi><mi>l</mi></msub><mo>(</mo><mi>x</mi><mo>)</mo>
<mo>&lt;</mo><mi>τ</mi><mo>}</mo></mrow></math>
<p>Eq. 3.3 and Sec. 3.2. w⁺ are layer-wise codes of the whole picture x; F<sub>k</sub> the features
after layer k, Δf<sub>k</sub> what is added to them where the mask m<sub>k</sub> says so;
S<sub>l</sub> the error that a network predicts for latent l; τ the error under which a latent will
do.</p></div>"""

_SAYS = """The face goes where it can be edited, the mug before it where it can be rebuilt: each
place of a picture takes the earliest latent that will do."""
_HOW = f"""<div class="beside"><div><p>A code in W+ can be edited in every way, but it rebuilds a
face and not the mug before it. Features of a later layer rebuild anything, and then hardly follow
an edit. A network predicts how badly each latent would rebuild each place, and a threshold
decides.</p><p class="aside">SAM: spatially-adaptive multilayer. It is not Segment Anything.</p>
</div>{_EQUATION}</div>"""

_HEADING = """<div class="prose-page"><h2>{}</h2><p class="aside">{}</p></div>"""
_STEPS = {
    "map": ("Which latent for which place", """A network looks at the picture and predicts how
badly each latent would rebuild each place. Move τ: every segment takes the earliest latent whose
error is below it."""),
    "invert": ("Inversion", """w⁺ and the masked changes of features are optimised together. The
method beside it puts the whole picture into one code, by the same loss."""),
    "edit": ("Edits", """The code w⁺ moves for both. The renderer drew this person with this thing,
so it can draw the true answer too: the same, with that one attribute changed."""),
}  # fmt: skip


def build(load: Callable, domain: gr.State, source: Source) -> None:
    """Put the page into the open route; it changes with the domain in use."""
    introduction(PAPER, _SAYS, _HOW)
    by_domain(PAPER, load, domain, source, _parts, CLAY_HEADS, setting_of)


def _parts(load: Callable, at: Setting) -> None:
    """All parts of the page for one domain, from the picture to the files to take home."""
    exchange = exchange_of(PAPER, at.side, at.rendered)
    found = PAPER.stored.read("scene") if at.rendered else []
    names = choice(found, "sam_inversion_stored_scene", ("picture", "sam"))
    first = example.page(found[0]) if found else {}
    with gr.Row():
        with gr.Column(scale=5, min_width=280):
            portrait = portrait_input(
                "Picture", "The picture to invert.", "sam_never_seen_portrait",
                first.get("picture"), first.get("seed"), at.name, side=at.side, faces=at.faces,
            )  # fmt: skip
            things = shelf.build(at.rendered, first)
        with gr.Column(scale=11, min_width=280):
            _heading_of("map")
            latents = maps.build(at, first)
    _heading_of("invert")
    inversion = invert.build(at, first)
    _heading_of("edit")
    edits = edit.build(at, first)
    keep, _ = take_home("sam_files", first.get("keep"), exchange.offer)
    exchange.receive("picture", "", portrait, codes=False)
    exchange.build_reader(load, "sam_read_latent")
    exchange.wire(None)
    shelf.wire(things, portrait, "sam_put")
    maps.wire(load, at, latents, portrait, things.inputs)
    # Both results go with the picture that they are of.
    outputs, of = inversion.outputs | {"keep": keep}, gr.State(first.get("of"))
    results = Belonging(
        portrait.inputs, of, outputs | edits.outputs, lambda: edit.cleared(at) | invert.cleared()
    )
    inputs = [latents.seen, latents.view, *inversion.inputs]
    results = marked(names, results)
    ran = wire_run(inversion.run, invert.handler(load, at), outputs, inputs, "sam_invert", results)
    changed = edit.listener(load, at, edits, inversion.subject, keep)
    ran.success(**changed, api_visibility="private")
    invert.wire(inversion)
    edit.wire(edits, changed)
    fills = (
        outputs | edits.outputs | latents.outputs | things.outputs | inversion.asked | edits.asked
    )
    fills |= portrait.named | {"segments": latents.segments, "of": of}
    example.wire(names, found, fills)
    if at.rendered:
        follow(None, {"invert": into_portrait(portrait)})


def _heading_of(part: str) -> None:
    gr.HTML(_HEADING.format(*_STEPS[part]))
