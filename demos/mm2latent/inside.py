"""Inside the newest result of the page: noise on the words, the fusion of both inputs by hand, the
embedding's map, other methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from demos.kit.bridge import Done, Stop, spoken_errors, stoppable, stream
from demos.kit.imaging import refuse
from demos.kit.inputs import FOLLOW, GPU, Dial
from demos.kit.outputs import Values, filling
from demos.kit.runs import run_buttons, wire_run
from demos.kit.words import running, said
from demos.mm2latent.asked import Asked
from demos.mm2latent.setting import Setting
from demos.mm2latent.told import Plate, brief, numbers, plates, sees

STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0)
SEED = 7  # of the noise in the row
RIVALS = {"tedigan": "TediGAN’s way, optimised", "nearest": "The nearest of 512 samples"}
OURS = "MM2Latent"
NETWORK, LAYERS, MEAN, PICTURE = "network", "layers", "mean", "picture"
SWITCHES = [
    ("Fused by the network", NETWORK), ("Layers of two codes", LAYERS),
    ("Mean of two codes", MEAN), ("A picture for the words", PICTURE),
]  # fmt: skip
SHARED = (LAYERS, MEAN)  # which of them the share of the condition counts for
SAYS = {
    NETWORK: "One network sees words and condition together: this is the result itself.",
    LAYERS: "The words alone and the condition alone make a code each; the first {} of the layers "
    "are the condition’s, the others the words’. Somebody has to choose how many.",
    MEAN: "The words alone and the condition alone make a code each; this is their mean, in which "
    "the condition weighs {}.",
    PICTURE: "In training the network saw the embedding of a picture in the place of words. Here "
    "it is that of the true answer: what is wrong still, the words are not to blame for.",
}
_PSEUDO = """<div class="beside"><p class="aside">The mapping network is trained on pictures alone:
words come only when it is used. So that words do not surprise it, every picture’s embedding is
moved in training by noise of length 1, half way to being noise itself, and taken for that of a
text. Here the same noise is laid on your words.</p><div class="equation"><math>
<mrow displaystyle="true"><msubsup><mi>f</mi><mtext>text</mtext><mo>′</mo></msubsup><mo>=</mo>
<mfrac><mi>y</mi><mrow><mo>‖</mo><mi>y</mi><mo>‖</mo></mrow></mfrac><mo>,</mo>
<mspace width="0.5em"/>
<mi>y</mi><mo>=</mo><msub><mi>f</mi><mtext>img</mtext></msub><mo>+</mo>
<mfrac><mi>ε</mi><mrow><mo>‖</mo><mi>ε</mi><mo>‖</mo></mrow></mfrac></mrow></math>
<p>Eq. 2. In 512 dimensions noise is at right angles to everything, so that the cosine of f′ and f
is 1 / √(1 + s²) for noise of length s: {:.2f} for 1, as in training.</p></div></div>"""


def cosine(strength: float) -> float:
    """Of a unit embedding and itself with noise of this length at right angles to it."""
    return 1 / math.sqrt(1 + strength**2)


def held(asked: Asked | None) -> Asked:
    """The newest request of Generate; `gr.Error` before there is one."""
    if asked is None:
        raise refuse("There is no request yet. Generate a picture first: it is what is looked at.")
    return asked


@dataclass(frozen=True)
class _Part:
    load: Callable

    def noise(self, asked: Asked | None) -> str:
        """This session's request with more and more noise on its words, one seed for all."""
        asked = held(asked)
        if asked.prompt is None:
            raise refuse("There are no words to lay noise on. Write a prompt in Generate first.")
        row = []
        with spoken_errors():
            for strength in STRENGTHS:
                result = self.load().generate(
                    asked.prompt, **asked.condition, variety=strength, seed=SEED
                )
                name = f"{strength:g}: cosine {cosine(strength):.2f}"
                row.append(Plate(name, result.image, brief(result), strength == 1))
        return plates(row, "five")

    def map(self, asked: Asked | None) -> str:
        """Where this session's result stands among samples of the generator."""
        asked = held(asked)
        with spoken_errors():
            pipeline = self.load()
            placed = pipeline.locate(pipeline.generate(asked.prompt, **asked.condition))
        return drawing(placed) + _placed_words(placed)

    def switch(self, asked: Asked | None, by: str, share: float) -> Values:
        """This session's request with its two inputs fused in another way.

        by: "network", as it is; "layers" and "mean" of two codes, of which `share` is the
        condition's; "picture", the true answer's embedding in the place of the words.
        """
        asked = held(asked)
        if by not in SAYS:
            raise refuse(f"The switch must be one of {', '.join(SAYS)}; got {by!r}.")
        if asked.prompt is None or not asked.condition:
            raise refuse("There is nothing to fuse. Give words and a condition in Generate first.")
        with spoken_errors():
            made = self._switched(asked, by, share)
        told = [SAYS[by].format(f"{share:.0%}"), numbers(made.scores, made.condition)]
        if seen := sees(made.scores.attributes):
            told.insert(1, f"The judge sees: <b>{escape(seen)}</b>.")
        return {"switched": made.image, "told": said(*told)}

    def _switched(self, asked: Asked, by: str, share: float) -> Any:
        if by == NETWORK:
            return self.load().generate(asked.prompt, **asked.condition)
        options = {"share": share} if by in SHARED else {"picture": asked.answer}
        if options.get("picture", True) is None:
            raise refuse(
                "Nobody knows the true answer to this request. Take the condition of a new "
                "portrait in Generate: the renderer knows that one."
            )
        return self.load().ablate(asked.prompt, by=by, **options, **asked.condition)

    @stoppable
    def compare(self, asked: Asked | None, steps: int, stop: Stop) -> Iterator[Values]:
        """This session's request by other methods; `steps` of optimisation where there are any."""
        asked, row = held(asked), []
        with spoken_errors():
            ours = self.load().generate(asked.prompt, **asked.condition)
        row.append(_plate(OURS, ours))
        yield {"rivals": plates(row, "three")}
        for name, label in RIVALS.items():
            if asked.prompt is None:
                break
            for news in stream(self._by(name, asked, int(steps)), stop):
                if not isinstance(news, Done):
                    yield {"state": running(news)}
                    continue
                row.append(_plate(label, news.result))
                yield {"rivals": plates(row, "three")}

    def _by(self, name: str, asked: Asked, steps: int) -> Callable:
        def work(on_step: Callable) -> Any:
            return self.load().baseline(
                asked.prompt, method=name, **asked.condition, steps=steps, on_step=on_step
            )

        return work


def _plate(name: str, result: Any) -> Plate:
    return Plate(
        name, result.image, f'{brief(result)}<span class="figures">{result.seconds:.2f} s</span>'
    )


def drawing(placed: Any) -> str:
    """The samples as dots, the result and its words among them, as SVG."""
    named = [("dot", placed.samples), ("noisy", placed.noisy)]
    named += [("words", placed.text), ("here", placed.image)]
    groups = [(kind, np.reshape(p, (-1, 2))) for kind, p in named if p is not None]
    every = np.concatenate([points for _, points in groups])
    low, span = every.min(0), np.maximum(np.ptp(every, 0), 1e-6)
    dots = "".join(
        f'<circle class="{kind}" cx="{8 + 284 * x:.1f}" cy="{192 - 184 * y:.1f}" r="{_R[kind]}"/>'
        for kind, points in groups
        for x, y in (points - low) / span
    )
    return f"""<div class="embedding"><svg viewBox="0 0 300 200" role="img" aria-label="The result
among samples of the generator, on two axes">{dots}</svg><ul>{_LEGEND}</ul></div>"""


_R = {"dot": 1.6, "noisy": 2.2, "words": 5, "here": 5}
_LEGEND = "".join(
    f'<li><svg viewBox="0 0 12 12"><circle class="{kind}" cx="6" cy="6" r="4"/></svg>{words}</li>'
    for kind, words in (
        ("dot", "random pictures of the generator"), ("here", "the result"),
        ("words", "its words"), ("noisy", "its words with the noise of training"),
    )
)  # fmt: skip


def _placed_words(placed: Any) -> str:
    first, second = placed.explained
    told = [f"The two axes hold {first:.0%} and {second:.0%} of what differs between the pictures."]
    if placed.nearer is not None:
        told.append(
            f"The result is nearer to its words than <b>{placed.nearer:.0%}</b> of random pictures."
        )
        told.append(
            "Where words stand apart from pictures, the noise of training shall bridge the gap "
            f"(measured: cosine {placed.cosine:.2f} of the words and their noisy copies)."
        )
    return said(" ".join(told))


def build(load: Callable, asked: gr.State, at: Setting) -> None:
    """Put this part into the open tab; asked: the newest request of the page."""
    part = _Part(load)
    _heading("Noise that makes words of pictures", _PSEUDO.format(cosine(1)))
    button = gr.Button("Lay noise on the words of the newest result", size="md")
    row = gr.HTML(elem_id="mm2latent-noise")
    button.click(part.noise, asked, row, api_name="mm2latent_noise", **GPU)
    _build_switches(part, asked, at)
    _heading(
        "The joint embedding", "<p class='aside'>Random pictures of the generator, by the two "
        "axes in which their embeddings differ most, and the newest result among them. The first "
        "map takes a while: 512 pictures are made for it.</p>",
    )  # fmt: skip
    mapped = gr.Button("Draw the map", size="md")
    drawn = gr.HTML(elem_id="mm2latent-map")
    mapped.click(part.map, asked, drawn, api_name="mm2latent_map", **GPU)
    _heading(
        "Other methods", "<p class='aside'>The same request, words and condition, by a code that "
        "is optimised, and by choosing among samples, which looks at the words alone.</p>",
    )  # fmt: skip
    run = run_buttons("Compare", fewest=10, most=200, steps=50)
    rivals = gr.HTML(elem_id="mm2latent-rivals")
    wire_run(run, part.compare, {"rivals": rivals}, [asked, run.steps], "mm2latent_compare")


def _build_switches(part: _Part, asked: gr.State, at: Setting) -> None:
    offered = [switch for switch in SWITCHES if at.rendered or switch[1] != PICTURE]
    _heading(
        "Fused by hand", "<p class='aside'>The paper gives it as a reason for its results that a "
        "network has learnt to fuse the two inputs. Here two codes are put together by hand "
        "instead, or a picture’s embedding stands where the words were.</p>",
    )  # fmt: skip
    with gr.Row():
        with gr.Column(scale=9, min_width=280):
            switched = gr.Image(
                label="The picture of it", interactive=False, format="png", height=300,
                alt_text="The newest request, fused in another way.", elem_classes="filled",
                buttons=["download", "fullscreen"], elem_id="mm2latent-switched",
            )  # fmt: skip
        with gr.Column(scale=14, min_width=300):
            by = gr.Radio(
                offered, value=NETWORK, label="How words and condition meet", elem_classes="pills",
                elem_id="mm2latent-switch",
            )  # fmt: skip
            share = Dial(0, 1, 0.5, step=0.05, label="Share of the condition, by hand")
            told = gr.HTML(elem_id="mm2latent-switch-words")
    outputs = {"switched": switched, "told": told}
    gr.on(
        [by.input, share.release], **filling(part.switch, outputs), inputs=[asked, by, share],
        api_name="mm2latent_switch", **GPU | FOLLOW,
    )  # fmt: skip


def _heading(name: str, says: str) -> None:
    gr.HTML(f'<div class="prose-page"><h2>{escape(name)}</h2>{says}</div>')
