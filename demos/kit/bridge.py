"""From a pipeline's callback to a Gradio generator: progress, Stop, and errors in words.

A pipeline stage calls `on_step` as it runs; a Gradio handler must yield. `stream` runs the stage
in a thread and yields what it reports. The stage ends early when the visitor presses Stop (the
result so far is kept) and when the visitor leaves (the generator is closed). The step in which it
was left is computed to its end: the next run in that place of the queue begins after it.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from PIL import Image

from weights import Altered, NoRoom, Offline, WeightsError
from weights.errors import printable

CLAY = "clay-heads"  # the domain that every page starts in
SECONDS_BETWEEN_UPDATES = 0.25
PATIENCE = 60.0  # s for which a run waits for what the one before, which was left, still computes
_IN_THE_LOG = "Whoever runs this app finds the reason in its log."
# What a visitor reads of a failure whose own words name files, networks and commands.
_FAILURES = {
    Offline: "There is no connection to where its files are. What has arrived is kept.",
    Altered: "A file of a network is not the one that was expected, so that it is not used.",
    NoRoom: "There is no room for its files on this machine.",
    WeightsError: f"A file of a network cannot be had or cannot be used. {_IN_THE_LOG}",
    OSError: f"A file cannot be read or written on this machine. {_IN_THE_LOG}",
    Exception: f"This was not foreseen and cannot be done here. {_IN_THE_LOG}",
}


class Stop:
    """A visitor's stop signal for one button, kept in `gr.State`: every session's copy is its own.

    A press counts from when a run is asked for, so also while it waits in the queue, to its end.
    made_of: the mark of the inputs that the run was asked for with; withdrawn: how many runs were
    stopped while they waited; why: the message of the last run, where it failed.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._stage = ""  # waits, runs, withdrawn, stopped or done; nothing before the first run
        self._seconds = 0.0  # that the last run took
        self.made_of = self.why = ""
        self.withdrawn = 0

    def __deepcopy__(self, memo: dict) -> Stop:
        return Stop()

    def ask(self) -> None:
        self._event.clear()
        self._stage, self.made_of, self.why = "waits", "", ""

    def press(self) -> bool:
        """Stop what waits or runs; whether it still waited."""
        waited = self._stage == "waits"
        if self.on:
            self._event.set()
        if waited:
            self._stage = "withdrawn"
            self.withdrawn += 1
        return waited

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """The run that a press stops; after it, presses count for the next one alone."""
        self._stage, begun = "runs", time.monotonic()
        try:
            yield
        finally:
            self._seconds = time.monotonic() - begun
            self._stage = "stopped" if self.pressed else "done"
            self._event.clear()

    @property
    def on(self) -> bool:
        """Whether something waits or runs that a press would end."""
        return self._stage in ("waits", "runs")

    @property
    def pressed(self) -> bool:
        return self._event.is_set()

    @property
    def words(self) -> str:
        """What there is to say after a press or at the end, "" before the first run."""
        if self._stage == "runs":
            return "Stopping after this step …" if self.pressed else ""
        told = {
            "withdrawn": "Stopped while it waited: nothing was run.",
            "stopped": "Stopped: this is the result so far.",
            "done": f"Done in {self._seconds:.1f} s.",
        }
        return told.get(self._stage, "")


def stoppable(handler: Callable[..., Iterator]) -> Callable[..., Iterator]:
    """A generator handler as a run of the `Stop` that is its last input."""

    @functools.wraps(handler)
    def run(*inputs: Any) -> Iterator:
        with inputs[-1].run():
            yield from handler(*inputs)

    return run


class Lazy:
    """A value built at its first use, once, whichever thread asks first."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build
        self._lock = threading.Lock()
        self._value: Any = None

    def __call__(self) -> Any:
        with self._lock:
            if self._value is None:
                self._value = self._build()
            return self._value

    @property
    def built(self) -> bool:
        return self._value is not None

    def warm_up(self) -> None:
        """Build ahead of the first visitor; a failure is logged here and shown to who asks."""
        try:
            self()
        except Exception:
            logging.getLogger(__name__).exception("warm-up failed; the page says so when used")


class Pipelines:
    """One paper's pipelines, one a domain, each built at its first use, once.

    Clay's stays; of the others the `most` that were asked for last, so that visitors who pick one
    domain after another do not fill the memory. Who uses one that is put out keeps it till the end.
    """

    def __init__(self, build: Callable[[str], Any], most: int = 2) -> None:
        self._build, self._most = build, most
        self._lock = threading.Lock()
        self._entries: dict[str, Lazy] = {}

    def __call__(self, domain: str = CLAY) -> Any:
        with self._lock:  # held while an entry is made, not while a pipeline is built
            entry = self._entries.pop(domain, None)
            entry = entry or Lazy(functools.partial(self._build, domain))
            self._entries[domain] = entry  # the last one now
            others = [name for name in self._entries if name != CLAY]
            for name in others[: -self._most]:
                del self._entries[name]
        return entry()

    def built(self, domain: str) -> bool:
        """Whether a domain's pipeline is there: asking for it then loads and fetches nothing."""
        entry = self._entries.get(domain)
        return entry is not None and entry.built

    def warm_up(self) -> None:
        """Build the first domain's pipeline ahead of the first visitor, as `Lazy.warm_up` does."""
        Lazy(self).warm_up()


class Board:
    """What runs on this machine now, for every visitor to see: stages, no pictures, no names."""

    def __init__(self) -> None:
        self._running: dict[object, str] = {}

    @contextlib.contextmanager
    def entry(self) -> Iterator[Callable[[Any], None]]:
        """An entry while the block runs; what is yielded takes every step of it."""
        key = object()

        def put(step: Any) -> None:
            share = f", {step.index / step.total:.0%}" if step.total else ""
            self._running[key] = f"{step.stage.capitalize()}{share}"

        self._running[key] = "Starting"
        try:
            yield put
        finally:
            del self._running[key]

    @property
    def running(self) -> list[str]:
        """Every stage that runs, the oldest first."""
        return list(self._running.values())


BOARD = Board()


@dataclass(frozen=True)
class Progress:
    """What a stage has reported so far: its newest pictures and every loss."""

    stage: str
    index: int
    total: int
    losses: tuple[float, ...]
    images: tuple[Image.Image, ...]
    seconds: float = 0.0  # since the first step

    @property
    def words(self) -> str:
        return f"{self.stage.capitalize()}: step {self.index} of {self.total}"

    @property
    def seconds_a_step(self) -> float | None:
        """So far; None where there is nothing yet to judge by."""
        return self.seconds / (self.index - 1) if self.index > 1 and self.seconds else None


@dataclass(frozen=True)
class Done:
    """The last thing that `stream` yields: the stage's return value."""

    result: Any


@contextlib.contextmanager
def spoken_errors() -> Iterator[None]:
    """Every failure as a `gr.Error`, so that the page says what went wrong and keeps serving."""
    try:
        yield
    except gr.Error:
        raise
    except (ValueError, MemoryError) as error:
        raise gr.Error(str(error), print_exception=False) from error
    except (WeightsError, OSError) as error:
        logging.getLogger(__name__).warning("%s", printable(str(error)))
        raise gr.Error(failure(error), print_exception=False) from error
    except Exception as error:
        raise gr.Error(failure(error)) from error


def failure(error: BaseException) -> str:
    """What a visitor is told of an error whose own words are for the log."""
    return next(words for kind, words in _FAILURES.items() if isinstance(error, kind))


class _Places:
    """The threads at work by their place in the queue, each with the event that it works for.

    Gradio gives a place away as soon as a visitor leaves, and closes what runs on the server's
    event loop, where nothing may wait: whoever gets the place waits here, in a thread of their own.
    """

    def __init__(self) -> None:
        self._working: dict[str, dict[threading.Thread, str]] = {}

    def start(self, thread: threading.Thread, place: str, event: str) -> None:
        """Start a thread when those of other events have ended, or patience has."""
        until = time.monotonic() + PATIENCE
        before = self._working.get(place, {})
        for other in [other for other, its in before.items() if its != event]:
            other.join(max(0.0, until - time.monotonic()))
        thread.start()
        self._working[place] = {t: e for t, e in before.items() if t.is_alive()} | {thread: event}


_PLACES = _Places()


def _place() -> tuple[str, str]:
    """The place in the queue that this call has, and its event; empty outside of the queue."""
    blocks, event = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    known = blocks._queue.event_ids_to_events if blocks is not None else {}
    return (known[event].concurrency_id, event) if event in known else ("", "")


def stream(work: Callable[[Callable], Any], stop: Stop) -> Iterator[Progress | Done]:
    """Run `work(on_step)` in a thread; yield a `Progress` at times and a `Done` at the end."""
    news: queue.SimpleQueue = queue.SimpleQueue()
    gone = threading.Event()

    def run() -> None:
        with BOARD.entry() as put:
            report = _reporter(news, lambda: stop.pressed or gone.is_set(), put)
            try:
                ended = Done(work(report))
            except BaseException as error:  # handed over: it is raised in the visitor's handler
                ended = error
        news.put(ended)

    # With the visitor's context, by which a Space knows who asks for a GPU.
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), daemon=True)
    _PLACES.start(thread, *_place())
    try:
        yield from _until_done(news)
    finally:
        gone.set()  # reached by a visitor who leaves too: Gradio closes this generator


def _reporter(
    news: queue.SimpleQueue, stopped: Callable[[], bool], put: Callable[[Any], None]
) -> Callable[[Any], bool]:
    losses: list[float] = []
    images: tuple[Image.Image, ...] = ()
    first: float | None = None

    def on_step(step: Any) -> bool:
        nonlocal images, first
        first = time.monotonic() if first is None else first
        images = tuple(step.images) if step.images else images
        if step.loss is not None:
            losses.append(float(step.loss))
        put(step)
        passed = time.monotonic() - first
        news.put(Progress(step.stage, step.index, step.total, tuple(losses), images, passed))
        return stopped()

    return on_step


def _until_done(news: queue.SimpleQueue) -> Iterator[Progress | Done]:
    shown = 0.0
    while True:
        item = news.get()
        if isinstance(item, BaseException):
            with spoken_errors():
                raise item
        if isinstance(item, Done):
            yield item
            return
        if time.monotonic() - shown >= SECONDS_BETWEEN_UPDATES:
            yield item
            shown = time.monotonic()
