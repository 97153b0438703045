"""Style mixing: the last layers' codes come from the style pictures (suppl. Sec. 5, Fig. 11)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gradio as gr

from demos import pictures
from demos.bridge import Done, Stop, spoken_errors, stream
from demos.indomain.setting import CLAY, Setting
from demos.widgets import (
    FOLLOW,
    GPU,
    Dial,
    Keepsake,
    at_most,
    gallery_input,
    run_buttons,
    run_options,
    running,
    said,
    take_home,
)

MOST = 3
SAYS = """<div class="prose-page"><p class="aside">The first layers of a code say who and where, the
last ones say which colours and light. Take the last ones from another picture. All pictures are
inverted once; the layers slider then answers at once.</p></div>"""


@dataclass(frozen=True)
class Inverted:
    """The pictures and their inversions, contents and styles apart."""

    contents: list
    styles: list
    content_pictures: list
    style_pictures: list


@dataclass(frozen=True)
class _Part:
    load: Callable
    at: Setting

    def mix(self, contents, styles, layers: int, steps: int, stop: Stop) -> Iterator[tuple]:
        """Mix 1 to 3 contents with 1 to 3 styles; `layers` last layers come from the style.

        Yields the grid (styles down, contents across) and a report.
        """
        stop.renew()
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
        grid, words, keep = self.remix(inverted, layers)
        yield grid, words, inverted, keep

    def _stream(self, image, steps, stop) -> Iterator:
        def work(on_step):
            return self.load().invert(image, method="in-domain", steps=int(steps), on_step=on_step)

        return stream(work, stop)

    def remix(self, inverted: Inverted | None, layers: int) -> tuple:
        """Mix this session's inverted pictures again with another number of layers."""
        if inverted is None:
            return None, "", None
        with spoken_errors():
            mixed = [
                [
                    self.load().mix(content, style, layers=int(layers))
                    for content in inverted.contents
                ]
                for style in inverted.styles
            ]
        rows = [[style, *row] for style, row in zip(inverted.style_pictures, mixed, strict=True)]
        grid = pictures.sheet([[None, *inverted.content_pictures], *rows], side=180)
        words = (
            f"The last {int(layers)} of {self.at.layers} layers come from the style at the left."
        )
        images = {f"mix-{i + 1}-{j + 1}": m for i, r in enumerate(mixed) for j, m in enumerate(r)}
        codes = {f"content-{i + 1}": c.w for i, c in enumerate(inverted.contents)}
        codes |= {f"style-{i + 1}": s.w for i, s in enumerate(inverted.styles)}
        return grid, said(words), Keepsake(images, codes, {"layers": int(layers)})


def _running(i: int, count: int, news) -> str:
    return said(f"<b>Picture {i + 1} of {count}</b>") + running(news)


def build(load: Callable, at: Setting = CLAY) -> None:
    """Put this part into the open tab."""
    part = _Part(load, at)
    gr.HTML(SAYS)
    with gr.Row():
        with gr.Column(min_width=280):
            contents = gallery_input("Contents, up to three", MOST, 3, domain=at.name)
        with gr.Column(min_width=280):
            styles = gallery_input("Styles, up to three", MOST, 3, domain=at.name)
        with gr.Column(min_width=280):
            layers = Dial(1, at.layers - 1, 4, step=1, label="Layers from the style")
            steps, run, halt = run_buttons("Mix", fewest=10, steps=50)
            report = gr.HTML(elem_id="mix-report")
    grid = gr.Image(
        label="Contents across, styles down", interactive=False, format="png",
        buttons=["download", "fullscreen"],
        alt_text="A grid: contents in the first row, styles in the first column, mixtures between.",
    )  # fmt: skip
    keep, _ = take_home("indomain_mix_files")
    inverted, stop = gr.State(None), gr.State(Stop())
    run.click(
        part.mix, [contents, styles, layers, steps, stop], [grid, report, inverted, keep],
        api_name="indomain_mix", **run_options(report),
    )  # fmt: skip
    layers.input(
        part.remix, [inverted, layers], [grid, report, keep], api_name="indomain_remix",
        **GPU, **FOLLOW,
    )  # fmt: skip
    halt.click(lambda s: s.press(), stop, None, queue=False, api_visibility="private")
