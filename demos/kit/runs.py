"""A run at its button: asked for, waiting, going on, ended; and results that belong to their input.

Stop and a line of state stand at the button. The line answers a press at once, holds the place in
the queue, tells how far the run is and how long it still takes, and says how it ended. A result is
cleared as soon as the inputs are no longer those that it was made of, whatever changed them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.context import LocalContext
from gradio.events import Dependency
from PIL import Image

from demos.kit.bridge import Stop
from demos.kit.inputs import FOLLOW, GPU, QUIET, Dial, halt_button
from demos.kit.outputs import Values, filling
from demos.kit.painter import Painting
from demos.kit.words import said

AT_ONCE = {"queue": False} | QUIET
WAITS, STARTS = said("Sent: waiting for its turn …"), said("Starting …")
FAILED = said("That did not work; the message says why.", outside=True)


class StateLine(gr.HTML):
    """Words at a button; results are told elsewhere, so that the API goes without them."""

    is_template = True

    @property
    def skip_api(self) -> bool:
        return True


@dataclass(frozen=True)
class RunControls:
    """Steps, the button that runs, Stop, the line of state below, and the visitor's stop signal."""

    steps: Dial | None
    run: gr.Button
    halt: gr.Button
    state: StateLine
    stop: gr.State


def run_buttons(label: str, fewest: int = 0, most: int = 300, steps: int = 100) -> RunControls:
    """A steps dial above `run_button`; from 0 steps where `fewest` is 0."""
    dial = Dial(fewest, most, steps, step=10, label="Optimisation steps")
    return run_button(label, dial)


def run_button(label: str, dial: Dial | None = None) -> RunControls:
    """A run button, Stop beside it, and the line of state below."""
    with gr.Row():
        run = gr.Button(label, variant="primary", scale=3)
        halt = halt_button()
    name = "-".join(label.lower().split())
    state = StateLine(elem_classes="run-state", elem_id=f"{name}-state")
    return RunControls(dial, run, halt, state, gr.State(Stop()))


@dataclass(frozen=True)
class Belonging:
    """Results and what they belong to.

    inputs: the components whose values decide; of: the state with the mark of those that the
    results on the page were made of; outputs: what `cleared()` empties, by name. meant: what values
    of the inputs stand for, where different ones are the same request.
    """

    inputs: Sequence[Component]
    of: gr.State
    outputs: Mapping[str, Component]
    cleared: Callable[[], Values]
    meant: Callable[..., Sequence[Any]] = lambda *values: values

    def mark(self, *values: Any) -> str:
        """The mark of what values of the inputs stand for."""
        return mark(*self.meant(*values))


def mark(*inputs: Any) -> str:
    """What tells inputs apart: pictures and masks by size and every byte, numbers by value."""
    digest = hashlib.sha256()
    for value in inputs:
        if isinstance(value, Painting):  # the part that is chosen next changes nothing
            value = Image.fromarray(value.labels)
        if isinstance(value, Image.Image):
            digest.update(f"{value.size}{value.mode}".encode() + value.tobytes())
        elif isinstance(value, list | tuple):
            digest.update(mark(*value).encode())
        else:
            number = isinstance(value, int | float)
            digest.update(repr(float(value) if number else value).encode())
    return digest.hexdigest()


def wire_run(
    ui: RunControls,
    handler: Callable[..., Iterator],
    outputs: Mapping[str, Component],
    inputs: Sequence[Component],
    api_name: str,
    results: Belonging | None = None,
) -> Dependency:
    """Let the button run `handler`, whose last input is the stop signal; returns the listener."""
    results = results or Belonging((), gr.State(), {}, dict)
    filled = {**outputs, "state": ui.state}
    # A page sends a click's events one after another: the answer comes before the run. What a press
    # right after a change is for is read with the second, when the change has reached the page.
    ui.run.click(_asked, ui.stop, [ui.state, ui.halt], **AT_ONCE)
    begins = filling(functools.partial(_begins, results), results.outputs | {"of": results.of})
    ui.run.click(**begins, inputs=[ui.stop, results.of, *results.inputs], **AT_ONCE)
    ran = ui.run.click(
        **filling(_starting(handler), filled), inputs=[*inputs, ui.stop], api_name=api_name,
        **GPU | {"show_progress": "minimal", "show_progress_on": [ui.state]},
    )  # fmt: skip
    _wire_stop(ui, ran)
    cleared = results.outputs | {"state": ui.state}
    words = said(f"These inputs have no result yet: press <b>{ui.run.value}</b>.")

    def ended(stop: Stop, *now: Any) -> Values:
        """How the run ended; its result goes where the inputs are others by now."""
        halt = {"halt": _pressable(stop)}
        if results.inputs and stop.made_of != results.mark(*now):
            return {**results.cleared(), "state": words} | halt
        return {"state": said(stop.words)} | halt

    def others(of: str | None, *now: Any) -> bool:
        return of is not None and of != results.mark(*now)

    def compare(of: str | None, *now: Any) -> Values:
        return {**results.cleared(), "state": words} if others(of, *now) else {}

    ends = filling(ended, cleared | {"halt": ui.halt})
    ran.success(**ends, inputs=[ui.stop, *results.inputs], **QUIET)
    ran.failure(_failed, ui.stop, [ui.state, ui.halt], **QUIET)
    if results.inputs:
        # What a change sent may be looked at late, when a newer run was asked for: a result goes
        # only when what the page holds by then, sent for a second look, is other than its inputs.
        doubts, looked_at = gr.State(0), [results.of, *results.inputs]
        gr.on(
            [component.change for component in results.inputs],
            lambda doubts, *at: doubts + others(*at), [doubts, *looked_at], doubts,
            **QUIET | FOLLOW,
        )  # fmt: skip
        doubts.change(**filling(compare, cleared), inputs=looked_at, **QUIET | FOLLOW)
    return ran


def _asked(stop: Stop) -> tuple[str, Any]:
    stop.ask()
    return WAITS, _pressable(stop)


def _begins(results: Belonging, stop: Stop, of: str | None, *now: Any) -> Values:
    """What the run is asked for with; a result of other inputs goes."""
    stop.made_of = results.mark(*now)
    gone = results.cleared() if of not in (None, stop.made_of) else {}
    return {**gone, "of": stop.made_of}


def _pressable(stop: Stop) -> Any:
    """Stop at the button: to be pressed, and not dim, as long as something waits or runs."""
    return gr.update(interactive=stop.on)


def _failed(stop: Stop) -> tuple[str, Any]:
    """Why a run failed, which stays at the button when the message has gone."""
    why = said(escape(stop.why), outside=True) if stop.why else FAILED
    return why, _pressable(stop)


def _starting(handler: Callable[..., Iterator]) -> Callable[..., Iterator]:
    """The handler, which says first that its turn has come, and keeps what it fails with."""

    @functools.wraps(handler)
    def run(*inputs: Any) -> Iterator[Values]:
        yield {"state": STARTS}
        try:
            yield from handler(*inputs)
        except gr.Error as error:
            inputs[-1].why = str(error.message)
            raise

    return run


def _wire_stop(ui: RunControls, ran: Dependency) -> None:
    """Stop ends a run with its result so far; one that still waits is taken out of the queue."""
    withdrawn = gr.State(0)

    def press(stop: Stop) -> tuple[Any, Any]:
        stop.press()
        return _pressable(stop), said(stop.words) if stop.words else gr.skip()

    pressed = ui.halt.click(press, ui.stop, [ui.halt, ui.state], **AT_ONCE)
    # The browser hears of a changed state from listeners that pass the queue, of no others.
    pressed.then(lambda stop: stop.withdrawn, ui.stop, withdrawn, **QUIET)
    withdrawn.change(None, None, None, cancels=[ran], **AT_ONCE)


def waiting() -> list[str]:
    """What waits for the one place where networks run, the next first."""
    blocks = LocalContext.blocks.get(None)
    queues = blocks._queue.event_queue_per_concurrency_id if blocks is not None else {}
    found = queues.get(GPU["concurrency_id"])
    return [event.fn.name.replace("_", " ") for event in found.queue] if found else []
