"""Semantic diffusion: part of a target, fused with other pictures (suppl. Sec. 6, Fig. 12, 13).

It is not denoising diffusion: the crop is pasted, encoded, and optimised with the crop alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.components import Component
from PIL import Image

from demos.indomain import PAPER
from demos.indomain.setting import CLAY_HEADS, WHOLE, Setting, origin, stored_origins
from demos.kit import imaging, stored
from demos.kit.address import Opening, into_portrait
from demos.kit.bridge import Done, Stop, spoken_errors, stoppable, stream
from demos.kit.cropbox import crop_box_input
from demos.kit.downloads import Keepsake, take_home
from demos.kit.handover import Exchange
from demos.kit.inputs import (
    FOLLOW,
    QUIET,
    Dial,
    aligned,
    at_most,
    gallery_input,
    picture_of,
    portrait_input,
)
from demos.kit.outputs import Values, filling
from demos.kit.runs import Belonging, RunControls, mark, run_button, run_buttons, wire_run
from demos.kit.words import curve, decibels, running, said, same_person, step_count, strangers
from examples.indomain.results import PUBLISHED_CROP, STEPS
from examples.stored import Stored

MOST_CONTEXTS = 4
CROP = ("x", "y", "width", "height")  # centre and size as fractions of the square
CROP_SIZES = (0.2, 0.32, 0.44, 0.58, 0.74)
SAYS = """<div class="prose-page"><p class="aside">Cut a piece out of the target and paste it on the
contexts. The encoder makes one face of each; the optimisation then looks at the pasted piece alone,
so that the target's likeness spreads into its new surroundings. This “diffusion” has nothing to do
with denoising diffusion models.</p></div>"""


@dataclass(frozen=True)
class _Part:
    """Handlers of this part of the page; `load()` returns the pipeline."""

    load: Callable
    at: Setting

    def preview(self, picture, sx, sy, zoom, contexts, *crop) -> Values:
        if picture is None:
            return {"box": gr.update(image=""), "pasted": None}
        target = aligned(picture, sx, sy, zoom, self.at.side)
        shown = gr.update(image=imaging.data_uri(target))
        if not contexts:
            return {"box": shown, "pasted": None}
        squares = at_most(contexts, MOST_CONTEXTS, "contexts", self.at.side)
        pasted = _stitched(target, squares, imaging.crop_box(*crop))
        return {"box": shown, "pasted": pasted}

    @stoppable
    def diffuse(
        self, picture, sx, sy, zoom, seed, contexts, x: float, y: float, width: float,
        height: float, steps: int, rival: bool, drawn: Sequence[int], stop: Stop,
    ) -> Iterator[Values]:  # fmt: skip
        """Diffuse a crop of the target into 1 to 4 contexts.

        Yields the pictures so far, a report with the loss curve and, at the end, stitched and
        diffused pictures to compare and the sheet of all stages. The crop is given by its centre
        and size as fractions of the target's square. The seed goes into the parameters when the
        target is its never-seen portrait, as do those of contexts drawn in this session.
        """
        picture = picture_of(picture, seed)
        target = aligned(picture, sx, sy, zoom, self.at.side)
        squares = at_most(contexts, MOST_CONTEXTS, "contexts", self.at.side)
        box = imaging.crop_box(x, y, width, height)
        begun = {"live": _stitched(target, squares, box)}
        yield begun | dict.fromkeys(("report", "compare", "sheet", "keep"))
        methods = ("in-domain", "image2stylegan")[: 1 + rival]
        found: list[Any] = []
        for i, method in enumerate(methods):
            if not (found and stop.pressed):
                news = self._stream(target, squares, box, steps, method, stop)
                found.append((yield from _live(news, i, len(methods))))
        result, other = found[0], found[1] if len(found) > 1 else None
        with spoken_errors():
            kept, whole = self.load().measure_within(target, result.images[0], box)
            outside = strangers(_inside(self.load(), target, squares))
        said_of = same_person(whole.identity, graded=self.at.rendered)
        shown = _shown(squares, result, other, kept, said_of, outside, stop.pressed)
        whence = {
            "target": self.at.origin(picture, sx, sy, zoom, seed),
            "contexts": self.at.origins(contexts, drawn),
        }
        codes = {f"diffused-{i}": inversion.w for i, inversion in enumerate(result.inversions, 1)}
        about = self.at.about(self.load())
        yield shown | {"keep": _keepsake(result, codes, whence, box, int(steps), about)}

    def _stream(self, target, contexts, box, steps, method, stop) -> Iterator:
        def work(on_step):
            return self.load().diffuse(
                target, contexts, box, method=method, steps=int(steps), on_step=on_step
            )

        return stream(work, stop)

    @stoppable
    def crop_sizes(
        self, picture, sx, sy, zoom, contexts, x: float, y: float, steps: int, stop: Stop
    ) -> Iterator[Values]:
        """The effect of the crop's size on the first context: five sizes, copy-paste above."""
        target = aligned(picture, sx, sy, zoom, self.at.side)
        context = at_most(contexts, MOST_CONTEXTS, "contexts", self.at.side)[0]
        boxes = [imaging.crop_box(x, y, size, size) for size in CROP_SIZES]
        above = [imaging.pasted(target, context, box) for box in boxes]
        below: list[Image.Image] = []
        for i, (size, box) in enumerate(zip(CROP_SIZES, boxes, strict=True)):
            for news in self._stream(target, [context], box, steps, "in-domain", stop):
                if isinstance(news, Done):
                    below += news.result.images
                else:
                    words = said(f"<b>Crop of {size:.0%}</b>")
                    yield {"state": words + running(news, i, len(boxes))}
            words = said(f"{len(below)} of {len(boxes)} crop sizes done.")
            yield {"strip": _size_strip(above, below), "report": words}
            if stop.pressed:
                return


def _live(news_of_run: Iterator, run: int, runs: int) -> Iterator[Values]:
    """Yields state, curve and, of the first run, the pictures on the way; returns the result."""
    for news in news_of_run:
        if isinstance(news, Done):
            return news.result
        heading = said("<b>Image2StyleGAN</b>, to compare") if run else ""
        shown = {"state": heading + running(news, run, runs), "report": curve(news.losses)}
        if news.images and not run:
            shown["live"] = imaging.row(news.images)
        yield shown


def _stitched(target: Image.Image, contexts: Sequence[Image.Image], box: imaging.Box):
    return imaging.row([imaging.pasted(target, context, box) for context in contexts])


def _inside(pipeline: Any, target: Image.Image, contexts: Sequence[Image.Image]) -> dict:
    """Whether each picture is inside the domain, by name, as `strangers` takes it."""
    names = ["the target", *(f"context {i}" for i in range(1, len(contexts) + 1))]
    return dict(zip(names, pipeline.inside([target, *contexts]), strict=True))


def _shown(
    contexts, result, other, kept, identity: str, outside: str = "", stopped: bool = False
) -> dict[str, Any]:
    """What a finished diffusion shows: pictures, report, a pair to compare, the sheet.

    identity: the judge's verdict in words; outside: which inputs are outside the domain.
    """
    report = said(
        f"{'Stopped' if stopped else 'Done'} after {step_count(result.losses)} and "
        f"{result.seconds:.1f} s. Inside the crop the first result keeps the target to "
        f"{decibels(kept.psnr)} (LPIPS {kept.lpips:.3f}); compared with the whole target, the "
        f"judge says: {identity}."
    )
    return {
        "live": imaging.row(result.images),
        "report": report + outside + curve(result.losses),
        "compare": (result.stitched[0], result.images[0]),
        "sheet": _sheet(contexts, result, other),
    }


def _keepsake(
    result, codes, whence: Mapping, box: imaging.Box, steps: int, about: Mapping
) -> Keepsake:
    return Keepsake(
        {f"diffused-{i}": image for i, image in enumerate(result.images, 1)},
        codes,
        {
            "method": "in-domain semantic diffusion",
            **whence,
            "box": box,
            "steps": steps,
            "steps_done": len(result.losses),
            "seconds": result.seconds,
        },
        about,
    )


def _sheet(contexts, result, other) -> Image.Image:
    rows = [
        [context, stitched, encoded, *steps[:-1:2], image]
        for context, stitched, encoded, steps, image in zip(
            contexts,
            result.stitched,
            result.encoded,
            result.intermediate,
            result.images,
            strict=True,
        )
    ]
    columns = ["context", "stitched", "encoder", *["on the way"] * (len(rows[0]) - 4), "diffused"]
    if other is not None:
        columns.append("Image2StyleGAN")
        rows = [[*r, image] for r, image in zip(rows, other.images, strict=True)]
    return imaging.sheet(rows, columns)


def _size_strip(above: list, below: list) -> Image.Image:
    columns = [f"{size:.0%}" for size in CROP_SIZES]
    return imaging.sheet([above, below], columns, ["copy, paste", "diffused"])


def _example(entry: Stored) -> dict[str, Any]:
    """Everything that a stored result puts on the page."""
    target, contexts, v = entry.pictures["target-1"], entry.row("context"), entry.values
    result = SimpleNamespace(
        stitched=entry.row("stitched"), encoded=entry.row("encoded"), images=entry.row("diffused"),
        intermediate=[entry.row(f"way-{i + 1}") for i in range(len(contexts))],
        losses=v["losses"], seconds=v["seconds"],
    )  # fmt: skip
    other = SimpleNamespace(images=entry.row("rival"))
    shown = _shown(contexts, result, other, SimpleNamespace(**v), same_person(v["identity"]))
    whence = {"target": origin(v["seed"])} | stored_origins(v)
    keep = _keepsake(result, {}, whence, imaging.crop_box(*v["crop"]), STEPS, {})
    inputs = {"picture": target, "seed": v["seed"], "contexts": contexts}
    inputs |= dict(zip(CROP, v["crop"], strict=True))
    inputs["of"] = mark(target, *WHOLE, contexts, *v["crop"])
    return inputs | shown | {"keep": keep, "drawn": v.get("seeds", {}).get("contexts", [])}


def build(load: Callable, exchange: Exchange, at: Setting = CLAY_HEADS) -> Opening:
    """Put this part into the open tab; returns its first input."""
    part = _Part(load, at)
    gr.HTML(SAYS)
    found = PAPER.stored.read("diffuse") if at.rendered else []
    first = dict(zip(CROP, PUBLISHED_CROP, strict=True)) | (_example(found[0]) if found else {})
    examples = stored.choice(found, "indomain_stored_diffusion", ("target-1", "diffused-1"))
    with gr.Row():
        with gr.Column(min_width=280):
            target = portrait_input(
                "Target", "The picture that the crop is cut from.",
                "indomain_never_seen_portrait", first.get("picture"), first.get("seed"), at.name,
                side=at.side, faces=at.faces,
            )  # fmt: skip
        with gr.Column(min_width=280):
            contexts, drawn = gallery_input(
                "Contexts, up to four", MOST_CONTEXTS, value=first.get("contexts", ()),
                domain=at.name, seeds=first.get("drawn", ()),
            )  # fmt: skip
            ui, rival = _run_controls()
        with gr.Column(min_width=280):
            box, crop = _crop_input([first[name] for name in CROP], first.get("picture"))
    exchange.receive("target", "diffuse", target)
    exchange.receive("contexts", "diffuse", contexts)
    pasted = gr.Image(
        imaging.row(_pairs(first)) if found else None, label="What the encoder is shown",
        interactive=False, format="png", buttons=[], elem_classes="wide",
        alt_text="The crop of the target pasted on each context.",
    )  # fmt: skip
    outputs = _result_panels(first)
    keep, _ = take_home("indomain_diffuse_files", first.get("keep"), exchange.offer)
    outputs["keep"] = keep
    inputs, of = [*target.inputs, contexts], gr.State(first.get("of"))
    results = Belonging([*inputs, *crop], of, outputs, lambda: dict.fromkeys(outputs))
    results = stored.marked(examples, results)
    wire_run(
        ui, part.diffuse, outputs, [*target.origin, contexts, *crop, ui.steps, rival, drawn],
        "indomain_diffuse", results,
    )  # fmt: skip
    sizes, strip = _crop_size_panel()
    results = Belonging([*inputs, *crop[:2]], gr.State(), strip, lambda: dict.fromkeys(strip))
    wire_run(
        sizes, part.crop_sizes, strip, [*inputs, *crop[:2], ui.steps], "indomain_crop_sizes",
        results,
    )  # fmt: skip
    preview = _wire_preview(part, target, contexts, box, crop, pasted)
    if examples is not None:
        shown = {"picture": target.picture, "seed": target.seed, "contexts": contexts}
        shown |= dict(zip(CROP, crop, strict=True)) | outputs | {"drawn": drawn, "of": of}
        stored.wire(examples, found, _example, shown).then(**preview, **QUIET)
    return into_portrait(target)


def _pairs(first: Values) -> list[Image.Image]:
    box = imaging.crop_box(*(first[name] for name in CROP))
    return [imaging.pasted(first["picture"], context, box) for context in first["contexts"]]


def _run_controls() -> tuple[RunControls, gr.Checkbox]:
    rival = gr.Checkbox(label="Compare with Image2StyleGAN: twice as long", elem_classes="fine")
    return run_buttons("Diffuse", fewest=10), rival


def _result_panels(first: Values) -> dict[str, Component]:
    with gr.Row():
        with gr.Column():
            live = gr.Image(
                first.get("live"), label="Diffused", interactive=False, format="png",
                elem_id="diffused", alt_text="The diffused pictures, one a context.",
                elem_classes="wide", buttons=["download", "fullscreen"],
            )  # fmt: skip
            report = gr.HTML(first.get("report"), elem_id="diffuse-report")
        compare = gr.ImageSlider(
            first.get("compare"), label="Before and after, first context", format="png", height=470,
            interactive=False,
            buttons=["fullscreen"], elem_classes="filled",
        )  # fmt: skip
    sheet = gr.Image(
        first.get("sheet"), label="Every stage", interactive=False, format="png",
        buttons=["download", "fullscreen"],
        alt_text="One row a context: context, stitched, encoder output, on the way, diffused.",
    )  # fmt: skip
    return {"live": live, "report": report, "compare": compare, "sheet": sheet}


def _crop_size_panel() -> tuple[RunControls, dict[str, Component]]:
    with gr.Accordion("The effect of crop size", open=False):
        gr.HTML(said("The larger the crop, the better the likeness; hair comes along with it."))
        sizes = run_button("Try five sizes on the first context")
        report = gr.HTML()
        strip = gr.Image(
            label="Copy-paste above, diffused below", interactive=False, format="png",
            buttons=["download", "fullscreen"],
            alt_text="Five crop sizes: copy-paste in the top row, diffusion in the bottom row.",
        )  # fmt: skip
    return sizes, {"strip": strip, "report": report}


def _crop_input(values: Sequence[float], target: Image.Image | None) -> tuple[gr.HTML, list[Dial]]:
    box = crop_box_input(*values, image=target and imaging.data_uri(target))
    names = ("Centre, from left", "Centre, from top", "Crop width", "Crop height")
    dials = []
    for start in (0, 2):
        with gr.Row():
            for i in (start, start + 1):
                low = 0 if i < 2 else imaging.SMALLEST_CROP
                dials.append(
                    Dial(
                        low,
                        1,
                        values[i],
                        step=0.01,
                        label=names[i],
                        min_width=110,
                        elem_classes="tight",
                    )
                )
    return box, dials


def _wire_preview(part, target, contexts, box, crop, pasted) -> dict[str, Any]:
    """The frame follows the sliders and the sliders the frame, both in the browser."""
    show = filling(part.preview, {"box": box, "pasted": pasted})
    show["inputs"] = [*target.inputs, contexts, *crop]
    quiet = QUIET | FOLLOW
    box.input(None, box, crop, js="v => [v.x, v.y, v.w, v.h]").then(**show, **quiet)
    for dial in crop:
        dial.input(None, crop, box, js="(x, y, w, h) => ({x, y, w, h})")
        dial.input(**show, **quiet)
    framed = [dial.input for dial in (target.x, target.y, target.zoom)]
    gr.on([target.picture.change, contexts.change, *framed], **show, **quiet)
    return show
