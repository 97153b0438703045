"""Interpolation between two inverted pictures, against Image2StyleGAN (suppl. Sec. 3, Fig. 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demos.indomain import PAPER
from demos.indomain.setting import CLAY_HEADS, WHOLE, Setting, inversion_of, origin
from demos.kit import imaging, stored
from demos.kit.address import Opening, into_portrait
from demos.kit.bridge import Done, Stop, spoken_errors, stoppable, stream
from demos.kit.downloads import Keepsake, fresh_folder, take_home
from demos.kit.handover import Exchange
from demos.kit.inputs import (
    FOLLOW,
    QUIET,
    Dial,
    aligned,
    picture_of,
    portrait_input,
    refuse,
)
from demos.kit.outputs import Values, filling
from demos.kit.runs import Belonging, mark, run_buttons, wire_run
from demos.kit.words import curve, running, said, strangers
from examples.indomain.results import STEPS
from examples.stored import Stored

ROWS = {"in-domain": "In-domain", "image2stylegan": "Image2StyleGAN"}
NO_FRAMES = "There is no interpolation of these pictures yet. Press Interpolate first."
SAYS = """<div class="prose-page"><p class="aside">Halfway between two codes should stand a person,
not a double exposure. The upper row keeps to the domain; the lower row only copied the pixels of
its two ends.</p></div>"""


@dataclass(frozen=True)
class _Part:
    load: Callable
    at: Setting

    @stoppable
    def interpolate(
        self, first, x1: float, y1: float, zoom1: float, seed1: int | None, second, x2: float,
        y2: float, zoom2: float, seed2: int | None, count: int, steps: int, given: dict,
        stop: Stop,
    ) -> Iterator[Values]:  # fmt: skip
        """Interpolate between two pictures by two methods.

        Yields the strip (in-domain above Image2StyleGAN), a report, and the frames for the slider.
        A seed goes into the parameters when the picture is its never-seen portrait.
        """
        first, second = picture_of(first, seed1), picture_of(second, seed2)
        pair = ((first, x1, y1, zoom1, seed1), (second, x2, y2, zoom2, seed2))
        ends = [aligned(*framed, self.at.side) for *framed, _ in pair]
        frames: dict[str, list] = {}
        found: dict[str, Any] = {}
        for method in ROWS:
            inverted = []
            for i, image in enumerate(ends):
                for news in self._stream(image, method, steps, given, stop):
                    if isinstance(news, Done):
                        inverted.append(news.result)
                    else:
                        shown = {"state": _running(method, i, news)}
                        yield shown | {"report": curve(news.losses)}
            found |= {f"{method}-{'ab'[i]}": v for i, v in enumerate(inverted)}
            with spoken_errors():
                frames[method] = self.load().interpolate(*inverted, count=int(count))
            yield {"strip": _strip(frames, ends), "report": "", "frames": frames}
        whence = [self.at.origin(*end) for end in pair]
        words, keep = self._end(frames, found, whence, int(steps), stop.pressed)
        yield {"strip": _strip(frames, ends), "report": words, "frames": frames, "keep": keep}

    def _end(self, frames, found, whence, steps: int, stopped: bool) -> tuple[str, Keepsake]:
        inverted = [found[f"in-domain-{end}"] for end in "ab"]
        names = ("the first picture", "the second picture")
        inside = [inversion.measures.inside for inversion in inverted]
        outside = strangers(dict(zip(names, inside, strict=True)))
        codes = {name: inversion.w for name, inversion in found.items()}
        for method, row in frames.items():
            ends = (found[f"{method}-{end}"] for end in "ab")
            between = self.load().between(*ends, count=len(row))
            codes |= {f"{method}-{i}": w[None] for i, w in enumerate(between, 1)}
        done = {name: len(inversion.losses) for name, inversion in found.items()}
        words = said(_words(len(frames["in-domain"]), stopped))
        return words + outside, _keep(
            frames, codes, done, whence, steps, self.at.about(self.load())
        )

    def _stream(self, image, method, steps, given, stop) -> Iterator:
        def work(on_step):
            options = {"method": method, "steps": int(steps), "on_step": on_step}
            return inversion_of(self.load(), image, given, **options)

        return stream(work, stop)


def _running(method: str, end: int, news) -> str:
    words = said(f"<b>{ROWS[method]}</b>, {('first', 'second')[end]} picture")
    return words + running(news, 2 * list(ROWS).index(method) + end, 2 * len(ROWS))


def _words(count: float, stopped: bool) -> str:
    early = " The optimisation was stopped early, so the ends are less faithful." if stopped else ""
    return f"{int(count)} pictures from the first to the second, by each method.{early}"


def _strip(frames: dict, ends: list):
    names = [ROWS[method] for method in frames]
    rows = [[ends[0], *row, ends[1]] for row in frames.values()]
    middle = ["inverted", *[""] * (len(rows[0]) - 4), "inverted"]
    return imaging.sheet(rows, ["input", *middle, "input"], names, side=120)


def _keep(
    frames: dict, codes: dict, done: dict, ends: Sequence[dict], steps: int, about: dict
) -> Keepsake:
    images = {f"{m}-{i + 1}": f for m, row in frames.items() for i, f in enumerate(row)}
    parameters = {
        "first": ends[0], "second": ends[1], "count": len(images) // len(frames),
        "methods": list(frames), "steps": steps, "steps_done": done,
    }  # fmt: skip
    return Keepsake(images, codes, parameters, about)


def pick(frames: dict | None, place: float) -> Values:
    """This session's frames by both methods at a place from 0 (first picture) to 1 (second)."""
    if not frames:
        raise refuse(NO_FRAMES)
    rows = {method: frames.get(method) for method in ROWS}
    return {m: row[round(place * (len(row) - 1))] if row else None for m, row in rows.items()}


def film(frames: dict | None) -> list[str]:
    """A GIF and an MP4 of the in-domain interpolation, there and back."""
    if not frames:
        raise refuse(NO_FRAMES)
    folder = fresh_folder()
    large = [frame.resize((max(256, frame.width),) * 2) for frame in frames["in-domain"]]
    gif = imaging.save_gif(large, folder / "interpolation.gif")
    return [str(gif), str(imaging.save_mp4(large, folder / "interpolation.mp4"))]


def _example(entry: Stored) -> dict[str, Any]:
    """Everything that a stored result puts on the page."""
    ends = [entry.pictures["first-1"], entry.pictures["second-1"]]
    seeds = entry.values["seeds"]
    frames = {method: entry.row(method) for method in ROWS}
    words = said(_words(len(frames["in-domain"]), False))
    done = {f"{method}-{end}": STEPS for method in ROWS for end in "ab"}
    keep = _keep(frames, {}, done, [origin(seed) for seed in seeds], STEPS, {})
    inputs = {"first": ends[0], "seed1": seeds[0], "second": ends[1], "seed2": seeds[1]}
    inputs["of"] = mark(ends[0], *WHOLE, ends[1], *WHOLE)
    shown = {"strip": _strip(frames, ends), "report": words, "frames": frames, "keep": keep}
    return inputs | shown | pick(frames, 0.5)


def build(load: Callable, exchange: Exchange, at: Setting = CLAY_HEADS) -> Opening:
    """Put this part into the open tab; returns its first input."""
    part = _Part(load, at)
    gr.HTML(SAYS)
    found = PAPER.stored.read("interpolate") if at.rendered else []
    domain = {"domain": at.name, "side": at.side, "faces": at.faces}
    shown = _example(found[0]) if found else {}
    examples = stored.choice(found, "indomain_stored_interpolation", ("first-1", "second-1"))
    with gr.Row():
        with gr.Column(min_width=280):
            first = portrait_input(
                "First picture", "Where the interpolation starts.",
                value=shown.get("first"), seed_value=shown.get("seed1"), **domain,
            )  # fmt: skip
        with gr.Column(min_width=280):
            second = portrait_input(
                "Second picture", "Where the interpolation ends.",
                value=shown.get("second"), seed_value=shown.get("seed2"), **domain,
            )  # fmt: skip
        with gr.Column(min_width=280):
            count = Dial(3, 15, 7, step=1, label="Pictures in the strip")
            ui = run_buttons("Interpolate", fewest=10)
            report = gr.HTML(shown.get("report"), elem_id="interpolate-report")
    strip = gr.Image(
        shown.get("strip"), label="In-domain above, Image2StyleGAN below", interactive=False,
        format="png", buttons=["download", "fullscreen"],
        alt_text="Two rows of pictures that change from the first input to the second.",
    )  # fmt: skip
    place = Dial(0, 1, 0.5, step=0.01, label="From the first picture to the second")
    with gr.Row():
        pair = {
            method: gr.Image(
                shown.get(method), label=name, interactive=False, format="png", height=320,
                alt_text=f"The interpolated picture at the slider's place by {name}.",
                elem_classes="filled", buttons=["download", "fullscreen"],
            )
            for method, name in ROWS.items()
        }  # fmt: skip
    with gr.Row():
        export = gr.Button("Make a GIF and an MP4", scale=1)
        films = gr.File(
            label="Films", show_label=False, file_count="multiple", interactive=False, scale=2
        )
    keep, _ = take_home("indomain_interpolate_files", shown.get("keep"), exchange.offer)
    exchange.receive("first", "interpolate", first)
    exchange.receive("second", "interpolate", second)
    frames, of = gr.State(shown.get("frames")), gr.State(shown.get("of"))
    outputs = {"strip": strip, "report": report, "frames": frames, "keep": keep}
    picked = {**filling(pick, pair), "inputs": [frames, place]}
    every = outputs | pair | {"films": films}
    results = Belonging(
        [*first.inputs, *second.inputs], of, every, lambda: dict.fromkeys(every)
    )  # fmt: skip
    inputs = [*first.origin, *second.origin, count, ui.steps, exchange.given]
    results = stored.marked(examples, results)
    ran = wire_run(ui, part.interpolate, outputs, inputs, "indomain_interpolate", results)
    ran.success(**picked, **QUIET)
    place.input(**picked, api_name="indomain_interpolate_frame", show_progress="hidden", **FOLLOW)
    if examples is not None:
        filled = {
            "first": first.picture, "seed1": first.seed, "second": second.picture,
            "seed2": second.seed, "of": of, **outputs, **pair,
        }  # fmt: skip
        stored.wire(examples, found, _example, filled)
    export.click(film, frames, films, api_name="indomain_interpolate_film")
    return into_portrait(first)
