"""The step that is read: text early, structure late (Sec. 3.4); one of choice, and a strip of five.

A later step asks for those before it: noise is denoised down to it, as the diffusion model does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from demos.diffusion_inversion.session import Subject, held
from demos.diffusion_inversion.setting import FIRST
from demos.kit.bridge import Done, Stop, stoppable, stream
from demos.kit.inputs import Dial
from demos.kit.outputs import Values
from demos.kit.runs import RunControls, run_button, wire_run
from demos.kit.words import running, said

STRIP = (FIRST, 750, 500, 250, 0)
SAYS = """<div class="prose-page"><p class="aside">Near T, all is noise: the prompt decides. Near 0
the latents show the mask: the structure is kept. A smaller t asks for all calls before it.</p>
</div>"""


@dataclass(frozen=True)
class _Part:
    load: Callable

    @stoppable
    def read_at(self, subject: Subject | None, t: float, stop: Stop) -> Iterator[Values]:
        """This session's prompt and mask or scribble, read at another step t, 0 to 999."""
        subject = held(subject)
        for news in stream(_reading(self.load, subject, int(t)), stop):
            if not isinstance(news, Done):
                yield {"state": running(news)}
            elif news.result is not None:
                yield {"at_t": news.result.image, "t_words": said(_told(news.result))}

    @stoppable
    def strip(self, subject: Subject | None, stop: Stop) -> Iterator[Values]:
        """This session's picture read at five steps from T to 0, as they come."""
        subject, shown = held(subject), []
        yield {"strip": []}
        for index, t in enumerate(STRIP):
            for news in stream(_reading(self.load, subject, t), stop):
                if not isinstance(news, Done):
                    yield {"state": running(news, index, len(STRIP))}
                elif news.result is not None:
                    shown = [*shown, (news.result.image, _caption(news.result))]
                    yield {"strip": shown}
            if stop.pressed:
                return


def _reading(load: Callable, subject: Subject, t: int) -> Callable[[Callable], Any]:
    """Reads at step t; None where it was stopped on the way."""

    def work(on_step: Callable) -> Any:
        pipeline, asked = load(), subject.asked
        condition = asked.condition(pipeline)
        try:
            return pipeline.read(asked.prompt, condition, t=t, on_step=on_step, **asked.options)
        except InterruptedError:
            return None

    return work


def _caption(reading: Any) -> str:
    calls = "1 call" if reading.calls == 1 else f"{reading.calls} calls"
    return f"t = {reading.t}, {calls}"


def _told(reading: Any) -> str:
    return f"Read at <b>{_caption(reading)}</b>, in {reading.seconds:.2f} s."


@dataclass(frozen=True)
class TimeControls:
    """The part's components."""

    t: Dial
    one: RunControls
    at_t: gr.Image
    t_words: gr.HTML
    all: RunControls
    strip: gr.Gallery

    @property
    def outputs(self) -> dict[str, Component]:
        return {"at_t": self.at_t, "t_words": self.t_words, "strip": self.strip}


def build() -> TimeControls:
    """A step to choose and its picture; five steps below."""
    gr.HTML(SAYS)
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            t = Dial(
                0, FIRST, 500, step=1, label="Step t",
                info="0: structure, late. 999: text, early, the noise itself.",
            )  # fmt: skip
            one = run_button("Read at t")
            words = gr.HTML(elem_id="diffusion-t-words")
        with gr.Column(scale=3, min_width=280):
            at_t = gr.Image(
                label="Ours, read at t", alt_text="Our picture, read at the chosen step.",
                interactive=False, format="png", height=330, elem_classes="filled",
                buttons=["download", "fullscreen"], elem_id="diffusion-at-t",
            )  # fmt: skip
    every = run_button("Read at five steps")
    strip = gr.Gallery(
        label="From T to 0", columns=len(STRIP), height="auto", object_fit="contain", format="png",
        interactive=False, buttons=["download", "fullscreen"], elem_id="diffusion-strip",
        elem_classes="row-of-five",
    )  # fmt: skip
    return TimeControls(t, one, at_t, words, every, strip)


def cleared() -> Values:
    return {"at_t": None, "t_words": "", "strip": []}


def wire(load: Callable, ui: TimeControls, subject: gr.State) -> None:
    """Let both buttons read."""
    part, shown = _Part(load), ui.outputs
    one = {name: shown[name] for name in ("at_t", "t_words")}
    wire_run(ui.one, part.read_at, one, [subject, ui.t], "diffusion_read_at")
    wire_run(ui.all, part.strip, {"strip": ui.strip}, [subject], "diffusion_strip")
