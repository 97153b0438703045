"""Style mixing: the last layers' codes come from the style pictures (suppl. Sec. 5, Fig. 11)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr
from PIL import Image

from demos.indomain import PAPER
from demos.indomain.setting import CLAY, Setting, stored_origins
from demos.kit import imaging, stored
from demos.kit.bridge import Done, Stop, spoken_errors, stoppable, stream
from demos.kit.downloads import Keepsake, fresh_folder, take_home
from demos.kit.inputs import (
    FOLLOW,
    GPU,
    Dial,
    at_most,
    gallery_input,
    run_buttons,
    run_options,
    stop_button,
)
from demos.kit.words import running, said, strangers

MOST = 3  # pictures a side
STEPS = 50  # of an inversion: colours need fewer than a likeness
LAYERS = 4  # from the style, as in the paper
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
        drawn_styles: Sequence[int], stop: Stop,
    ) -> Iterator[tuple]:  # fmt: skip
        """Mix 1 to 3 contents with 1 to 3 styles; `layers` last layers come from the style.

        Yields the grid (styles down, contents across) and a report. Of never-seen portraits drawn
        in this session the seeds go into the parameters.
        """
        inputs = ((contents, "contents"), (styles, "styles"))
        squares = [at_most(given, MOST, what, self.at.side) for given, what in inputs]
        every = [*squares[0], *squares[1]]
        inversions = []
        for i, image in enumerate(every):
            for news in self._stream(image, steps, stop):
                if isinstance(news, Done):
                    inversions.append(news.result)
                else:
                    yield gr.skip(), _running(i, len(every), news), gr.skip(), gr.skip()
        middle = len(squares[0])
        inverted = Inverted(inversions[:middle], inversions[middle:], *squares)
        whence = {
            "contents": self.at.origins(contents, drawn_contents),
            "styles": self.at.origins(styles, drawn_styles),
        }
        inverted = self._described(inverted, whence | {"steps": int(steps)})
        grid, words, keep = self.remix(inverted, layers)
        yield grid, words, inverted, keep

    def _described(self, inverted: Inverted, parameters: Mapping) -> Inverted:
        """With what is to be said of the inversions, also when they are mixed again."""
        named, squares = _named(inverted), inverted.content_pictures + inverted.style_pictures
        inputs = {
            name.replace("-", " "): (square, inversion)
            for square, (name, inversion) in zip(squares, named.items(), strict=True)
        }
        with spoken_errors():
            outside = strangers(self.load(), inputs)
        done = {name: len(inversion.losses) for name, inversion in named.items()}
        return replace(inverted, outside=outside, parameters={**parameters, "steps_done": done})

    def _stream(self, image, steps, stop) -> Iterator:
        def work(on_step):
            return self.load().invert(image, method="in-domain", steps=int(steps), on_step=on_step)

        return stream(work, stop)

    def remix(self, inverted: Inverted | stored.Stored | None, layers: int) -> tuple:
        """Mix this session's inverted pictures again with another number of layers."""
        if inverted is None:
            return None, "", None
        with spoken_errors():
            if isinstance(inverted, stored.Stored):
                inverted = _opened(self.load(), inverted)
            mixed = [
                [
                    self.load().mix(content, style, layers=int(layers))
                    for content in inverted.contents
                ]
                for style in inverted.styles
            ]
        grid = _grid(inverted.content_pictures, inverted.style_pictures, mixed)
        codes = {name: inversion.w for name, inversion in _named(inverted).items()}
        keep = _keepsake(mixed, codes, int(layers), inverted.parameters)
        return grid, _words(int(layers), self.at) + inverted.outside, keep


def _keepsake(mixed: Sequence, codes: Any, layers: int, parameters: Mapping) -> Keepsake:
    return Keepsake(_named_mixes(mixed), codes, {"layers": layers, **parameters})


def _grid(contents: Sequence[Image.Image], styles: Sequence[Image.Image], mixed: Sequence):
    rows = [[style, *row] for style, row in zip(styles, mixed, strict=True)]
    return imaging.sheet([[None, *contents], *rows], side=180)


def _words(layers: int, at: Setting = CLAY) -> str:
    return said(f"The last {layers} of {at.layers} layers come from the style at the left.")


def _named(inverted: Inverted) -> dict[str, Any]:
    """The inversions by the names that their codes have in files."""
    found = {f"content-{i}": c for i, c in enumerate(inverted.contents, 1)}
    return found | {f"style-{i}": s for i, s in enumerate(inverted.styles, 1)}


def _named_mixes(mixed: Sequence[Sequence[Image.Image]]) -> dict[str, Image.Image]:
    return {f"mix-{i}-{j}": m for i, r in enumerate(mixed, 1) for j, m in enumerate(r, 1)}


def compute(
    pipeline: Any,
    name: str,
    contents: Sequence[Image.Image],
    styles: Sequence[Image.Image],
    layers: int = LAYERS,
    seeds: Mapping[str, Sequence[int]] | None = None,
) -> stored.Stored:
    """A result to store: every content with the colours and the light of every style.

    seeds: of the never-seen portraits among them, as `contents` and `styles`.
    """
    sides = [[pipeline.invert(f, steps=STEPS) for f in faces] for faces in (contents, styles)]
    inverted = Inverted(*sides, list(contents), list(styles))
    mixed = [[pipeline.mix(c, s, layers=layers) for c in inverted.contents] for s in sides[1]]
    shown = _named_mixes(mixed)
    shown |= {f"content-{i}": face for i, face in enumerate(contents, 1)}
    shown |= {f"style-{i}": face for i, face in enumerate(styles, 1)}
    found = _named(inverted)
    shown |= {f"inverted-{key}": inversion.image for key, inversion in found.items()}
    values = {
        "layers": layers, "method": inverted.contents[0].method,
        "seconds": {key: inversion.seconds for key, inversion in found.items()},
        "seeds": dict(seeds or {}),
    }  # fmt: skip
    codes = pipeline.keep(fresh_folder() / stored.CODES, found)
    return stored.Stored(name, values, shown, codes)


def _opened(pipeline: Any, entry: stored.Stored) -> Inverted:
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


def _parameters(entry: stored.Stored) -> dict[str, Any]:
    return {**stored_origins(entry.values), "steps": STEPS}


def _example(entry: stored.Stored) -> tuple:
    """Everything that a stored result puts on the page, in the order of the page's outputs."""
    contents, styles = entry.row("content"), entry.row("style")
    layers = entry.values["layers"]
    mixed = [entry.row(f"mix-{i}") for i in range(1, len(styles) + 1)]
    keep = _keepsake(mixed, entry.codes, layers, _parameters(entry))
    grid = _grid(contents, styles, mixed)
    seeds = entry.values.get("seeds", {})
    drawn = [seeds.get(side, []) for side in ("contents", "styles")]
    return contents, styles, layers, grid, _words(layers), entry, keep, *drawn


def _running(i: int, count: int, news) -> str:
    return said(f"<b>Picture {i + 1} of {count}</b>") + running(news)


def build(load: Callable, at: Setting = CLAY) -> None:
    """Put this part into the open tab."""
    part = _Part(load, at)
    gr.HTML(SAYS)
    found = PAPER.stored.read("mix") if at.rendered else []
    first = _example(found[0]) if found else ((), (), LAYERS, *(None,) * 4, (), ())
    examples = stored.choice(found)
    with gr.Row():
        with gr.Column(min_width=280):
            contents, drawn_contents = gallery_input(
                "Contents, up to three", MOST, 3, first[0], at.name, first[7]
            )
        with gr.Column(min_width=280):
            styles, drawn_styles = gallery_input(
                "Styles, up to three", MOST, 3, first[1], at.name, first[8]
            )
        with gr.Column(min_width=280):
            layers = Dial(1, at.layers - 1, first[2], step=1, label="Layers from the style")
            steps, run, halt = run_buttons("Mix", fewest=10, steps=STEPS)
            report = gr.HTML(first[4], elem_id="mix-report")
    grid = gr.Image(
        first[3], label="Contents across, styles down", interactive=False, format="png",
        buttons=["download", "fullscreen"],
        alt_text="A grid: contents in the first row, styles in the first column, mixtures between.",
    )  # fmt: skip
    drawn = [drawn_contents, drawn_styles]
    keep, _ = take_home("indomain_mix_files", first[6])
    inverted, stop = gr.State(first[5]), gr.State(Stop())
    stop_button(halt, stop, run)
    run.click(
        part.mix, [contents, styles, layers, steps, *drawn, stop],
        [grid, report, inverted, keep], api_name="indomain_mix", **run_options(report),
    )  # fmt: skip
    layers.input(
        part.remix, [inverted, layers], [grid, report, keep], api_name="indomain_remix",
        **GPU, **FOLLOW,
    )  # fmt: skip
    if examples is not None:
        filled = [contents, styles, layers, grid, report, inverted, keep, *drawn]
        stored.wire(examples, found, _example, filled, "indomain_stored_mixture")
