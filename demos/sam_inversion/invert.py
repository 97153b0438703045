"""Inversion with pictures on the way, another method beside it, PSNR against seconds (Fig. 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from gradio.components import Component
from PIL import Image

from demos.kit.bridge import Done, Stop, spoken_errors, stoppable, stream
from demos.kit.downloads import Keepsake
from demos.kit.imaging import refuse
from demos.kit.inputs import QUIET
from demos.kit.outputs import Values, filling
from demos.kit.runs import RunControls, run_buttons
from demos.kit.words import running, said
from demos.sam_inversion.chart import Trail, figure
from demos.sam_inversion.latents import Choice, painted
from demos.sam_inversion.session import NO_RIVAL, SAM, Seen, Subject, begun, held, inverted
from demos.sam_inversion.setting import LABELS, Setting
from demos.sam_inversion.tables import table

OPTIMISE, ENCODE = "optimise", "encode"
OTHER, PICTURE = "other", "picture"
_NAMES = "{}  |  SAM"


# What a reader calls the pictures of a method: its inversion, and an edit of it.
TITLES = LABELS | {f"edited-{name}": f"{label}, edited" for name, label in LABELS.items()}
TITLES |= {"map": "Map of latents"}


@dataclass(frozen=True)
class _Run:
    """One method on the way: its name, its curve's label, what starts it."""

    name: str
    label: str
    work: Callable[[Callable], Any]

    def kept(self, subject: Subject, result: Any, stopped: bool) -> Subject:
        """The subject with the result; one that was stopped is run anew another time."""
        if self.name == SAM:
            return replace(subject, sam=result)
        steps = subject.parameters["steps"]
        finished = subject.finished if stopped else {**subject.finished, (self.name, steps): result}
        return replace(subject, other=result, finished=finished)


@dataclass(frozen=True)
class _Part:
    load: Callable
    at: Setting

    @stoppable
    def invert(
        self, seen: Seen | None, choice: Choice | None, before: Subject | None, how: str,
        rival: str, steps: int, regularise: bool, stop: Stop,
    ) -> Iterator[Values]:  # fmt: skip
        """Invert this session's picture by its map, then by another method beside it.

        how: "optimise" or "encode"; rival: one of the paper's Table 4.1, or "none"; regularise:
        keep feature changes small (Eq. 3.7). Yields pictures, curves and a table.
        """
        asked = {"how": how, "rival": rival, "steps": int(steps), "regularise": regularise}
        subject = _asked(held(seen), choice, before, asked)
        with spoken_errors():
            runs = _runs(self.load(), subject, choice)
        for index, run in enumerate(runs):
            subject = yield from _live(subject, run, (index, len(runs)), stop)
            if stop.pressed:
                break
        yield finished(subject, self.at.about(self.load()))


def _asked(seen: Seen, choice: Choice | None, before: Subject | None, asked: Mapping) -> Subject:
    """The subject of a run before its first result."""
    if choice is None:
        raise refuse("There is no threshold yet. Give a picture; its map follows by itself.")
    rival = asked["rival"]
    if rival not in LABELS or asked["how"] not in (OPTIMISE, ENCODE):
        raise refuse(f"The run must be one that is offered; got {asked['how']!r}, {rival!r}.")
    start = begun(seen, before)
    parameters = {**seen.origin, **asked, "tau": choice.tau, "by_hand": len(choice.forced)}
    other = start.finished.get((rival, asked["steps"]))
    return replace(start, sam=None, rival=rival, other=other, parameters=parameters, entry=None)


def _runs(pipeline: Any, subject: Subject, choice: Choice) -> list[_Run]:
    """What has to run: SAM, then the other method unless this session has its result."""
    seen, p = subject.seen, subject.parameters
    chosen = choice.latent_map(seen.maps, seen.session)

    def sam(on_step: Callable) -> Any:
        if p["how"] == ENCODE:
            return pipeline.encode(seen.picture, chosen=chosen)
        return pipeline.invert(
            seen.picture, chosen=chosen, steps=p["steps"], regularise=p["regularise"],
            on_step=on_step,
        )  # fmt: skip

    def beside(on_step: Callable) -> Any:
        return pipeline.baseline(
            seen.picture, method=p["rival"], steps=p["steps"], on_step=on_step
        )  # fmt: skip

    runs = [_Run(SAM, label_of(p), sam)]
    if p["rival"] not in (NO_RIVAL, SAM) and subject.other is None:
        runs.append(_Run(p["rival"], LABELS[p["rival"]], beside))
    return runs


def label_of(p: Mapping[str, Any]) -> str:
    """What a run of SAM is called among the curves."""
    changed = "" if p["regularise"] or p["how"] == ENCODE else ", Δf free"
    hand = ", by hand" if p["by_hand"] else ""
    encoded = ", encoders" if p["how"] == ENCODE else ""
    return f"SAM{encoded}, τ {p['tau']:.2f}{hand}{changed}"


def _live(subject: Subject, run: _Run, of: tuple[int, int], stop: Stop) -> Iterator[Values]:
    """Yields pictures and curves of a running method; the subject with its result."""
    trail = Trail(subject.seen.picture)
    for news in stream(trail.watching(run.work), stop):
        if isinstance(news, Done):
            end = (news.result.seconds, news.result.measures.psnr)
            after = run.kept(subject, news.result, stop.pressed)
            return after.drawn(run.label, (*trail.points, end))
        words = said(f"<b>{LABELS[run.name]}</b>") + running(news, *of)
        curves = subject.drawn(run.label, trail.points).curves
        shown = {"state": words, "chart": figure(curves) or _NO_CHART}
        yield shown | (_pair(subject, news.images[0], run.name) if news.images else {})


def _pair(subject: Subject, image: Image.Image, name: str) -> Values:
    """The running method's newest picture: SAM's on the right, another one's on the left."""
    if name == SAM:
        return {"pair": _slider(subject.seen.picture, image, "The picture", "SAM on its way")}
    return {"pair": _slider(image, subject.sam.image, f"{LABELS[name]} on its way", "SAM")}


def _slider(left: Image.Image, right: Image.Image, *names: str) -> Any:
    return gr.update(value=(left, right), label="  |  ".join(names))


def pair_of(subject: Subject, side: str) -> tuple[tuple[Image.Image, Image.Image], str]:
    """What stands under one slider, SAM's inversion on the right, and the names of both."""
    if side == PICTURE or subject.other is None:
        return (subject.seen.picture, subject.sam.image), _NAMES.format("The picture")
    return (subject.other.image, subject.sam.image), _NAMES.format(LABELS[subject.rival])


def compared_with(subject: Subject | None, side: str) -> Values:
    """SAM's inversion under one slider with the other method's, or with the picture."""
    pair, names = pair_of(inverted(subject), side)
    return {"pair": gr.update(value=pair, label=names)}


def finished(subject: Subject, about: Mapping[str, Any]) -> Values:
    """What a run leaves on the page."""
    return {
        "subject": subject, "chart": figure(subject.curves), "table": table(subject),
        "side": OTHER, "keep": keepsake(subject, about), **compared_with(subject, OTHER),
    }  # fmt: skip


def keepsake(
    subject: Subject,
    about: Mapping[str, Any],
    edited: Mapping[str, Image.Image] | None = None,
    **told: Any,
) -> Keepsake:
    """Pictures, codes and parameters of the inversions, and of an edit of them.

    about: what the file of codes says of itself.
    """
    codes: dict[str, Any] = {}
    for name, result in subject.results.items():
        if result.tuned is None:  # PTI's code is of a generator of its own
            codes |= result.tensors(name)
    pictures = pictures_of(subject) | dict(edited or {})
    return Keepsake(pictures, codes, {**subject.parameters, **told}, about, titles=TITLES)


def pictures_of(subject: Subject) -> dict[str, Image.Image]:
    """The picture, its map of latents in their colours, and its inversions, by name."""
    sam = subject.sam
    found = {"picture": subject.seen.picture, "map": painted(sam.latent_map, len(sam.latents))}
    return found | {name: result.image for name, result in subject.results.items()}


@dataclass(frozen=True)
class InvertControls:
    """The inversion's components and the session's inversions."""

    how: gr.Radio
    rival: gr.Dropdown
    regularise: gr.Checkbox
    run: RunControls
    side: gr.Radio
    pair: gr.ImageSlider
    chart: gr.HTML
    table: gr.HTML
    subject: gr.State

    @property
    def outputs(self) -> dict[str, Component]:
        names = ("subject", "pair", "side", "chart", "table")
        return {name: getattr(self, name) for name in names}

    @property
    def asked(self) -> dict[str, Component]:
        """What the run is asked for, by name."""
        names = ("how", "rival", "regularise")
        return {name: getattr(self, name) for name in names} | {"steps": self.run.steps}

    @property
    def inputs(self) -> list[Component]:
        return [self.subject, self.how, self.rival, self.run.steps, self.regularise]


def build(at: Setting, first: Values) -> InvertControls:
    """Controls, both inversions under one slider, the curves, and the table below; first: what
    stands there at the start, by name."""
    offered = [(LABELS[name], name) for name in (*at.methods, NO_RIVAL)]
    with gr.Row(elem_classes="workbench-free"):
        with gr.Column(scale=3, min_width=280):
            how = gr.Radio(
                [("Optimise", OPTIMISE), ("Encode, one pass", ENCODE)], value=OPTIMISE,
                label="SAM", elem_classes="pills",
            )  # fmt: skip
            rival = gr.Dropdown(offered, value="hybrid", label="Beside it")
            regularise = gr.Checkbox(
                True, label="Keep Δf small (Eq. 3.7)", info="Off: the ablation of Fig. 4.5."
            )
            run = run_buttons("Invert")
        with gr.Column(scale=4, min_width=280):
            pair = gr.ImageSlider(
                first.get("pair"), label=first.get("names", _NAMES.format("The other method")),
                format="png", height=400, elem_id="sam-compare", interactive=False,
                buttons=["fullscreen"], elem_classes="filled",
            )  # fmt: skip
            side = gr.Radio(
                [("The other method", OTHER), ("The picture", PICTURE)], value=OTHER,
                label="On the left", elem_classes="pills", elem_id="sam-side",
            )  # fmt: skip
        with gr.Column(scale=4, min_width=280):
            chart = gr.HTML(first.get("chart", _NO_CHART), elem_id="sam-chart")
    words = gr.HTML(first.get("table"), elem_id="sam-numbers")
    subject = gr.State(first.get("subject"))
    return InvertControls(how, rival, regularise, run, side, pair, chart, words, subject)


_NO_CHART = """<div class="race"><p class="axis">PSNR, dB</p><div class="plot bare"><p>PSNR against
seconds, drawn while it runs. Curves of one picture stay: run another τ or another method to add
its own.</p></div></div>"""


def cleared() -> Values:
    """The part before its first run."""
    return {
        "subject": None, "pair": gr.update(value=None, label=_NAMES.format("The other method")),
        "side": OTHER, "chart": _NO_CHART, "table": "", "keep": None,
    }  # fmt: skip


def handler(load: Callable, at: Setting) -> Callable[..., Iterator[Values]]:
    """What the run button starts."""
    return _Part(load, at).invert


def wire(ui: InvertControls) -> None:
    """Let the visitor choose what stands on the left."""
    ui.side.input(
        **filling(compared_with, {"pair": ui.pair}), inputs=[ui.subject, ui.side], **QUIET
    )
