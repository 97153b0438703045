"""Style mixing: the last layers' codes come from the style pictures (suppl. Sec. 5, Fig. 11)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr
from PIL import Image

from demos.indomain import PAPER
from demos.indomain.setting import CLAY_HEADS, Setting, inversion_of, stored_origins
from demos.kit import imaging, stored
from demos.kit.address import Opening, into_gallery
from demos.kit.bridge import Done, Stop, spoken_errors, stoppable, stream
from demos.kit.downloads import Keepsake, take_home
from demos.kit.handover import Exchange
from demos.kit.inputs import (
    FOLLOW,
    GPU,
    Dial,
    at_most,
    gallery_input,
)
from demos.kit.outputs import Values, filling
from demos.kit.runs import Belonging, mark, run_buttons, wire_run
from demos.kit.words import curve, running, said, strangers
from examples.indomain.results import MIX_LAYERS, MIX_STEPS
from examples.stored import Stored

MOST = 3  # pictures a side
SAYS = """<div class="prose-page"><p class="aside">The first layers of a code say who and where, the
last ones say which colours and light. Take the last ones from another picture. All pictures are
inverted once; the layers slider then answers at once.</p></div>"""


@dataclass(frozen=True)
class Inverted:
    """The pictures and their inversions, contents and styles apart.

    outside: which pictures are outside the domain, in words; parameters: of the pictures and their
    inversions.
    """

    contents: list
    styles: list
    content_pictures: list
    style_pictures: list
    outside: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Part:
    load: Callable
    at: Setting

    @stoppable
    def mix(
        self, contents, styles, layers: int, steps: int, drawn_contents: Sequence[int],
        drawn_styles: Sequence[int], given: dict, stop: Stop,
    ) -> Iterator[Values]:  # fmt: skip
        """Mix 1 to 3 contents with 1 to 3 styles; `layers` last layers come from the style.

        Yields the grid (styles down, contents across) and a report. Of never-seen portraits drawn
        in this session the seeds go into the parameters.
        """
        inputs = ((contents, "contents"), (styles, "styles"))
        squares = [at_most(side, MOST, what, self.at.side) for side, what in inputs]
        every = [*squares[0], *squares[1]]
        inversions = []
        for i, image in enumerate(every):
            for news in self._stream(image, steps, given, stop):
                if isinstance(news, Done):
                    inversions.append(news.result)
                else:
                    shown = {"state": _running(i, len(every), news)}
                    yield shown | {"report": curve(news.losses)}
        middle = len(squares[0])
        inverted = Inverted(inversions[:middle], inversions[middle:], *squares)
        whence = {
            "contents": self.at.origins(contents, drawn_contents),
            "styles": self.at.origins(styles, drawn_styles),
        }
        inverted = self._described(inverted, whence | {"steps": int(steps)})
        yield self.remix(inverted, layers) | {"inverted": inverted}

    def _described(self, inverted: Inverted, parameters: Mapping) -> Inverted:
        """With what is to be said of the inversions, also when they are mixed again."""
        named = _named(inverted)
        outside = strangers({k.replace("-", " "): i.measures.inside for k, i in named.items()})
        done = {name: len(inversion.losses) for name, inversion in named.items()}
        return replace(inverted, outside=outside, parameters={**parameters, "steps_done": done})

    def _stream(self, image, steps, given, stop) -> Iterator:
        def work(on_step):
            options = {"method": "in-domain", "steps": int(steps), "on_step": on_step}
            return inversion_of(self.load(), image, given, **options)

        return stream(work, stop)

    def remix(self, inverted: Inverted | Stored | None, layers: int) -> Values:
        """Mix this session's inverted pictures again with another number of layers."""
        if inverted is None:
            raise imaging.refuse("These pictures are not inverted yet. Press Mix first.")
        with spoken_errors():
            if isinstance(inverted, Stored):
                inverted = _opened(self.load(), inverted)
            mixed = [
                [
                    self.load().mix(content, style, layers=int(layers))
                    for content in inverted.contents
                ]
                for style in inverted.styles
            ]
        grid = _grid(inverted.content_pictures, inverted.style_pictures, mixed)
        keep = _keepsake(
            mixed, self._codes(inverted, int(layers)), int(layers), inverted.parameters
        )
        keep = replace(keep, about=self.at.about(self.load()))
        words = _words(int(layers), self.at) + inverted.outside
        return {"grid": grid, "report": words, "keep": keep}

    def _codes(self, inverted: Inverted, layers: int) -> dict[str, Any]:
        """The codes of the pictures, and of their mixtures."""
        mixed = [
            [self.load().mixed(content, style, layers) for content in inverted.contents]
            for style in inverted.styles
        ]
        codes = {name: inversion.w for name, inversion in _named(inverted).items()}
        return codes | _named_mixes(mixed)


def _keepsake(mixed: Sequence, codes: Any, layers: int, parameters: Mapping) -> Keepsake:
    return Keepsake(_named_mixes(mixed), codes, {"layers": layers, **parameters})


def _grid(contents: Sequence[Image.Image], styles: Sequence[Image.Image], mixed: Sequence):
    rows = [[style, *row] for style, row in zip(styles, mixed, strict=True)]
    return imaging.sheet([[None, *contents], *rows], side=180)


def _words(layers: int, at: Setting = CLAY_HEADS) -> str:
    return said(f"The last {layers} of {at.layers} layers come from the style at the left.")


def _named(inverted: Inverted) -> dict[str, Any]:
    """The inversions by the names that their codes have in files."""
    found = {f"content-{i}": c for i, c in enumerate(inverted.contents, 1)}
    return found | {f"style-{i}": s for i, s in enumerate(inverted.styles, 1)}


def _named_mixes(mixed: Sequence[Sequence[Image.Image]]) -> dict[str, Image.Image]:
    return {f"mix-{i}-{j}": m for i, r in enumerate(mixed, 1) for j, m in enumerate(r, 1)}


def _opened(pipeline: Any, entry: Stored) -> Inverted:
    """A stored result as if the visitor had inverted its pictures."""
    others = {
        key: {
            "image": entry.pictures[f"inverted-{key}"],
            "method": entry.values["method"],
            "seconds": seconds,
        }
        for key, seconds in entry.values["seconds"].items()
    }
    found = pipeline.restore(entry.codes, others)
    sides = [[found[key] for key in found if key.startswith(s)] for s in ("content", "style")]
    rows = entry.row("content"), entry.row("style")
    return Inverted(*sides, *rows, parameters=_parameters(entry))


def _parameters(entry: Stored) -> dict[str, Any]:
    return {**stored_origins(entry.values), "steps": MIX_STEPS}


def _example(entry: Stored) -> dict[str, Any]:
    """Everything that a stored result puts on the page."""
    contents, styles = entry.row("content"), entry.row("style")
    layers = entry.values["layers"]
    mixed = [entry.row(f"mix-{i}") for i in range(1, len(styles) + 1)]
    keep = _keepsake(mixed, entry.codes, layers, _parameters(entry))
    grid = _grid(contents, styles, mixed)
    seeds = entry.values.get("seeds", {})
    return {
        "contents": contents, "styles": styles, "layers": layers, "grid": grid,
        "report": _words(layers), "inverted": entry, "keep": keep,
        "of": mark(contents, styles), "drawn contents": seeds.get("contents", []),
        "drawn styles": seeds.get("styles", []),
    }  # fmt: skip


def _running(i: int, count: int, news) -> str:
    return said(f"<b>Picture {i + 1} of {count}</b>") + running(news, i, count)


def build(load: Callable, exchange: Exchange, at: Setting = CLAY_HEADS) -> Opening:
    """Put this part into the open tab; returns its first input."""
    part = _Part(load, at)
    gr.HTML(SAYS)
    found = PAPER.stored.read("mix") if at.rendered else []
    first = _example(found[0]) if found else {}
    examples = stored.choice(found, "indomain_stored_mixture", ("content-1", "mix-1-1"))
    with gr.Row():
        with gr.Column(min_width=280):
            contents, drawn_contents = gallery_input(
                "Contents, up to three",
                MOST,
                3,
                first.get("contents", ()),
                at.name,
                first.get("drawn contents", ()),
            )
        with gr.Column(min_width=280):
            styles, drawn_styles = gallery_input(
                "Styles, up to three",
                MOST,
                3,
                first.get("styles", ()),
                at.name,
                first.get("drawn styles", ()),
            )
        with gr.Column(min_width=280):
            start = first.get("layers", MIX_LAYERS)
            layers = Dial(1, at.layers - 1, start, step=1, label="Layers from the style")
            ui = run_buttons("Mix", fewest=10, steps=MIX_STEPS)
            report = gr.HTML(first.get("report"), elem_id="mix-report")
    grid = gr.Image(
        first.get("grid"), label="Contents across, styles down", interactive=False, format="png",
        buttons=["download", "fullscreen"],
        alt_text="A grid: contents in the first row, styles in the first column, mixtures between.",
    )  # fmt: skip
    drawn = [drawn_contents, drawn_styles]
    keep, _ = take_home("indomain_mix_files", first.get("keep"), exchange.offer)
    exchange.receive("contents", "mix", contents)
    exchange.receive("styles", "mix", styles)
    inverted, of = gr.State(first.get("inverted")), gr.State(first.get("of"))
    mixed = {"grid": grid, "report": report, "keep": keep}
    every = mixed | {"inverted": inverted}
    results = Belonging([contents, styles], of, every, lambda: dict.fromkeys(every))
    inputs = [contents, styles, layers, ui.steps, *drawn, exchange.given]
    results = stored.marked(examples, results)
    wire_run(ui, part.mix, every, inputs, "indomain_mix", results)
    layers.input(
        **filling(part.remix, mixed), inputs=[inverted, layers], api_name="indomain_remix",
        **GPU, **FOLLOW,
    )  # fmt: skip
    if examples is not None:
        filled = {
            "contents": contents, "styles": styles, "layers": layers, **mixed, "of": of,
            "inverted": inverted, "drawn contents": drawn_contents, "drawn styles": drawn_styles,
        }  # fmt: skip
        stored.wire(examples, found, _example, filled)
    return into_gallery(contents, drawn_contents)
