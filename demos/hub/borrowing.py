"""Borrowing a GPU: on a ZeroGPU Space a pipeline's stages run in a process that has one.

There `spaces.GPU` lends a GPU for one call, to a fork of this process: what goes there and comes
back is pickled, so that callbacks and a visitor's Stop stay here and only their news travel. The
pipeline waits on the CPU of this process and moves over in the fork. Anywhere else this module does
nothing.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from demos.kit.bridge import Done, spoken_errors

# Seconds asked for. Nobody has measured them there: they are an allowance, since a call that takes
# longer is cut off, and a visitor pays for what is used, not for what is asked.
START, STEP = 20.0, 0.15  # to move and warm up; for each step of a picture, which a stage counts
DEVICE = "cuda:0"


def zero_gpu() -> bool:
    """Whether GPUs are lent here: the variable that such a Space sets, and its package."""
    told = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
    return told and importlib.util.find_spec("spaces") is not None


def on_gpu(duration: Callable[..., float]) -> Callable[[Callable], Callable]:
    """`spaces.GPU(duration=duration)` where GPUs are lent, else nothing; duration: of the task's
    own arguments -> seconds."""

    def decorate(task: Callable) -> Callable:
        if not zero_gpu():
            return task
        import spaces

        return spaces.GPU(duration=duration)(task)

    return decorate


def seconds(stage: Callable, args: tuple, kwargs: dict) -> float:
    """Seconds to ask for, for a call of a pipeline's stage."""
    return START + STEP * stage.steps(*args, **kwargs)


def borrowed(build: Callable, *first: Any) -> Callable:
    """`build` with its `first` arguments given, a module's function that returns a pipeline; where
    GPUs are lent, the pipeline's stages are computed on them."""
    if not zero_gpu():
        return functools.partial(build, *first)
    return lambda *args: Borrower(_pipeline((build, *first, *args)), (build, *first, *args))


class Borrower:
    """A pipeline whose stages run elsewhere; everything else is the pipeline's own."""

    def __init__(self, pipeline: Any, key: tuple) -> None:
        self._pipeline, self._key = pipeline, key

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._pipeline, name)
        return functools.partial(self._call, name) if hasattr(value, "is_stage") else value

    def _call(self, name: str, *args, on_step: Callable | None = None, **kwargs) -> Any:
        flag = None if on_step is None else _stops.lower()
        result = None
        asked = seconds(getattr(self._pipeline, name), args, kwargs)
        for news in _task(asked, self._key, name, args, kwargs, flag):
            if isinstance(news, Done):
                result = news.result
            elif on_step(news):
                _stops.lift(flag)
        return result


class Stops:
    """Flags in memory that forks share: lifted here, seen there."""

    COUNT = 256  # stages that run at a time, at most

    def __init__(self) -> None:
        self._flags = multiprocessing.RawArray("b", self.COUNT)
        self._next = itertools.count()

    def lower(self) -> int:
        """A flag that is down."""
        flag = next(self._next) % self.COUNT
        self._flags[flag] = 0
        return flag

    def lift(self, flag: int) -> None:
        self._flags[flag] = 1

    def up(self, flag: int) -> bool:
        return bool(self._flags[flag])


_stops = Stops()
_built: dict[tuple, Any] = {}


def _pipeline(key: tuple) -> Any:
    """The pipeline that (build, *arguments) makes: a fork finds those made before it."""
    if key not in _built:
        build, *arguments = key
        _built[key] = build(*arguments)
    return _built[key]


def _run(
    asked: float, key: tuple, name: str, args: tuple, kwargs: dict, flag: int | None
) -> Iterator[Any]:
    """A stage, in the process that has the GPU: its steps as they come, then `Done`."""
    with spoken_errors():  # only a gr.Error keeps its words on the way back
        pipeline = _pipeline(key)
        if str(pipeline.device) != DEVICE:  # the fork serves several calls
            pipeline.move_to(DEVICE)
        work = functools.partial(getattr(pipeline, name), *args, **kwargs)
        if flag is None:
            yield Done(work())
        else:
            yield from _reported(work, flag)


def _reported(work: Callable, flag: int) -> Iterator[Any]:
    news: queue.SimpleQueue = queue.SimpleQueue()

    def on_step(step: Any) -> bool:
        news.put(step)
        return _stops.up(flag)

    def run() -> None:
        try:
            news.put(Done(work(on_step=on_step)))
        except BaseException as error:  # handed over: it is raised in the generator
            news.put(error)

    threading.Thread(target=run, daemon=True).start()
    while True:
        item = news.get()
        if isinstance(item, BaseException):
            raise item
        yield item
        if isinstance(item, Done):
            return


def _asked(asked: float, *_: Any) -> float:
    """The duration of `_run`, of its own arguments."""
    return asked


_task = on_gpu(_asked)(_run)
