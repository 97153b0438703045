"""One press: our picture of one call of the U-Net beside ControlNet's own; both clocks run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component

from demos.diffusion_inversion import clocks
from demos.diffusion_inversion.session import Asked, Subject
from demos.diffusion_inversion.setting import STEPS
from demos.kit.bridge import Done, Stop, spoken_errors, stoppable, stream
from demos.kit.inputs import Dial
from demos.kit.outputs import Values
from demos.kit.runs import RunControls, run_button
from demos.kit.words import running, said

MOST_STEPS = 50
WAITS = "Waits for ours, which reads its first call."


@dataclass(frozen=True)
class _Part:
    load: Callable
    ask: Callable[..., Asked]
    after: Callable[[Subject, Any], Values]

    @stoppable
    def generate(self, *given: Any) -> Iterator[Values]:
        """A picture of a prompt and a mask or scribble, by one call of the U-Net and a GAN.

        Then, step by step, what ControlNet itself makes of the same inputs and the same noise.
        Yields our picture first, with its seconds and calls.
        """
        *asked, steps, stop = given
        asked = self.ask(*asked)
        with spoken_errors():
            pipeline = self.load()
            condition = asked.condition(pipeline)
        yield {"ours_clock": clocks.at(0, 0, 1, True), "theirs_clock": clocks.STOPPED}

        def read(on_step: Callable) -> Any:
            return pipeline.read(asked.prompt, condition, **asked.options)

        reading = next(n.result for n in stream(read, stop) if isinstance(n, Done))
        subject = Subject(asked, reading)
        yield _ours(subject) | self.after(subject, pipeline)
        if steps and not stop.pressed:
            subject = yield from _theirs(pipeline, subject, condition, int(steps), stop)
            yield {
                "subject": subject,
                "keep": subject.keepsake(pipeline),
                "verdict": _said(subject),
            }


def _ours(subject: Subject) -> Values:
    return {
        "subject": subject, "ours": subject.reading.image, "verdict": "", "theirs": None,
        "ours_clock": _stopped("Ours", subject.reading),
    }  # fmt: skip


def _stopped(name: str, result: Any) -> dict[str, Any]:
    """The clock of a finished run."""
    words = f"{name}: {_told(result)}."
    return clocks.at(result.seconds, result.calls, result.calls, words=words)


def shown(subject: Subject) -> Values:
    """The part with both pictures of a finished run."""
    theirs = subject.denoised
    return _ours(subject) | {
        "theirs": theirs.image, "theirs_clock": _stopped("ControlNet", theirs),
        "verdict": _said(subject),
    }  # fmt: skip


def _theirs(
    pipeline: Any, subject: Subject, condition: Any, steps: int, stop: Stop
) -> Iterator[Values]:
    """Yields ControlNet's pictures on the way; returns the subject with its last."""
    a = subject.asked
    begun = time.perf_counter()
    yield {"theirs_clock": clocks.at(0, 0, steps, True)}

    def work(on_step: Callable) -> Any:
        return pipeline.denoise(a.prompt, condition, steps=steps, on_step=on_step, **a.options)

    for news in stream(work, stop):
        if isinstance(news, Done):
            made = news.result
            words = f"ControlNet: {_told(made)}."
            done = clocks.at(made.seconds, made.calls, steps, words=words)
            yield {"theirs": made.image, "theirs_clock": done}
            return replace(subject, denoised=made)
        now = clocks.at(time.perf_counter() - begun, news.index, steps, True)
        yield {"theirs_clock": now, "state": running(news)} | (
            {"theirs": news.images[0]} if news.images else {}
        )


def _told(result: Any) -> str:
    return f"{result.seconds:.2f} s, {result.calls} {'call' if result.calls == 1 else 'calls'}"


def _said(subject: Subject) -> str:
    """How many times as fast, in words."""
    ours, theirs = subject.reading, subject.denoised
    times = theirs.seconds / max(ours.seconds, 1e-9)
    return said(
        f"Ours took <b>{_told(ours)}</b>; ControlNet <b>{_told(theirs)}</b>, without its pictures "
        f"on the way: {times:.3g} times as long. Both read the same prompt, the same "
        f"{subject.asked.task} and the same noise."
    )


@dataclass(frozen=True)
class RaceControls:
    """The button, both pictures, their clocks, and the session's result."""

    run: RunControls
    ours: gr.Image
    theirs: gr.Image
    ours_clock: clocks.Clock
    theirs_clock: clocks.Clock
    verdict: gr.HTML
    subject: gr.State

    @property
    def outputs(self) -> dict[str, Component]:
        names = ("ours", "theirs", "ours_clock", "theirs_clock", "verdict", "subject")
        return {name: getattr(self, name) for name in names}


def build(first: Values = MappingProxyType({})) -> RaceControls:
    """The button; below it two pictures, each above its clock; first: as `shown` has them."""
    steps = Dial(
        0, MOST_STEPS, STEPS, step=5, label="ControlNet's steps", info="0: ours alone."
    )  # fmt: skip
    run = run_button("Generate", steps)
    described = {
        "ours": ("Ours: G(w), read from the first call", "Our picture, by the GAN."),
        "theirs": ("ControlNet: I₀ᵈ, denoised to the end", "ControlNet's picture."),
    }  # fmt: skip
    images, timed = {}, {}
    with gr.Row():
        for name, (label, alt) in described.items():
            with gr.Column(min_width=280):
                images[name] = gr.Image(
                    first.get(name), label=label, alt_text=alt, interactive=False, format="png",
                    height=410, elem_classes="filled", buttons=["download", "fullscreen"],
                    elem_id=f"diffusion-{name}",
                )  # fmt: skip
                clock = f"{name}_clock"
                timed[clock] = clocks.clock(f"diffusion-{name}-clock", first.get(clock))
    verdict = gr.HTML(first.get("verdict"), elem_id="diffusion-verdict")
    subject = gr.State(first.get("subject"))
    return RaceControls(run, **images, **timed, verdict=verdict, subject=subject)


def cleared() -> Values:
    """The part before there is a result."""
    return {
        "ours": None, "theirs": None, "verdict": "", "subject": None,
        "ours_clock": clocks.STOPPED, "theirs_clock": clocks.STOPPED,
    }  # fmt: skip


def handler(
    load: Callable, ask: Callable[..., Asked], after: Callable[[Subject, Any], Values]
) -> Callable[..., Iterator]:
    """What the button runs; `after` says what else a new reading changes on the page."""
    return _Part(load, ask, after).generate
