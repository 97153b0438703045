"""Documented functions: the same calls by the Python client, plain HTTP and as MCP tools.

A paper's `api.py` holds its functions: picture in; picture, numbers and a latent file out. They are
generators that yield `bridge.Progress` and return their results, and wait in the queue of the
pages. Nothing is kept between two calls: a latent file carries the code to the next one. What
widgets do is not part of it (`keep_private`).
"""

from __future__ import annotations

import contextlib
import inspect
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import gradio as gr
from gradio.context import LocalContext
from PIL import Image

from demos.kit.arguments import as_file
from demos.kit.bridge import Done, Progress, Stop, spoken_errors, stream
from demos.kit.downloads import fresh_folder
from demos.kit.imaging import refuse

PAGE = "page_"  # before the names of what widgets do
UNREAD = 60  # messages of a running call, four a second, that its client may leave unread
Results = dict[str, Any]  # numbers and words by name, as JSON has them


def publish(prefix: str, functions: Iterable[Callable]) -> None:
    """Put functions on the open page's API, as `prefix_name`."""
    for function in functions:
        gr.api(
            endpoint(f"{prefix}_{function.__name__}", function),
            concurrency_id="gpu",
            concurrency_limit=1,
        )


def keep_private(demo: gr.Blocks) -> None:
    """Take every listener of a widget out of the API: its values mean nothing outside its page.

    Names are given to functions first; a listener keeps its own behind PAGE. Gradio documents the
    type of an argument; here what is accepted is added.
    """
    for listener in demo.fns.values():
        if hasattr(listener.fn, "documented"):
            listener.api_name = listener.fn.__name__
            for block, words in zip(listener.inputs, listener.fn.documented, strict=True):
                block._api_info["additional_description"] = words
        else:
            listener.api_visibility = "private"
            listener.api_name = f"{PAGE}{listener.api_name}"
    demo.validate_inputs = _all_given


def _all_given(listener: Any, inputs: Sequence[Any]) -> None:
    """Refuse a call with too few values; Gradio lists its own objects, and logs a traceback."""
    if len(inputs) < len(listener.inputs):
        names = inspect.signature(listener.fn).parameters
        listed = f": {', '.join(names)}" if hasattr(listener.fn, "documented") else ""
        raise refuse(
            f"A call must have {len(listener.inputs)} values{listed}; got {len(inputs)}. Give all "
            "of them, in this order."
        )


def run(work: Callable[[Callable], Any]) -> Generator[Progress, None, Any]:
    """`work(on_step)` of a pipeline: yields its progress, returns its result."""
    for news in stream(work, Stop()):
        if isinstance(news, Done):
            return news.result
        yield news


def endpoint(name: str, function: Callable) -> Callable[..., Iterator]:
    """A function as Gradio serves it: arguments read by their kinds, files and JSON out, failures
    in sentences; progress stands in the place of the numbers while it runs."""
    signature = inspect.signature(function, eval_str=True)
    kinds = {p.name: p.annotation.__metadata__[0] for p in signature.parameters.values()}
    outputs = _outputs(signature.return_annotation)

    def called(*given: Any) -> Iterator[Any]:
        begin = time.perf_counter()
        with spoken_errors(), contextlib.ExitStack() as stack:
            arguments = signature.bind(*given)
            arguments.apply_defaults()
            values = {key: kinds[key].read(key, v) for key, v in arguments.arguments.items()}
            running = stack.enter_context(contextlib.closing(function(**values)))
            results = yield from _told(_read_by_somebody(running), outputs)
            folder = fresh_folder()
            shown = [_plain(value, folder, i) for i, value in enumerate(results)]
            for value in shown:
                if isinstance(value, dict) and "meta" not in value and len(outputs) > 1:
                    value["seconds"] = round(time.perf_counter() - begin, 3)
            yield shown if len(shown) > 1 else shown[0]

    called.documented = [kind.words for kind in kinds.values()]
    called.__name__, called.__doc__ = name, _documentation(function, kinds)
    plain = {p.name: get_args(p.annotation)[0] for p in signature.parameters.values()}
    result = outputs[0] if len(outputs) == 1 else tuple[outputs]
    called.__annotations__ = plain | {"return": result}
    called.__signature__ = inspect.Signature(
        [p.replace(annotation=plain[p.name]) for p in signature.parameters.values()],
        return_annotation=result,
    )
    return called


def _outputs(annotation: Any) -> tuple:
    """What a function returns at the end, from `Generator[Progress, None, tuple[...]]`."""
    returned = get_args(annotation)[2]
    return get_args(returned) if get_origin(returned) is tuple else (returned,)


def _read_by_somebody(running: Generator) -> Generator[Progress, None, Any]:
    """The same progress and results; ends with an error when nobody reads what is told.

    A client that asks and never listens would hold the one place where networks run to the end.
    """
    before = _unread()
    while True:
        try:
            news = next(running)
        except StopIteration as end:
            return end.value
        if _unread() - before > UNREAD:
            raise gr.Error(
                f"Expected a client that reads its answers; got {UNREAD} unread ones, so the run "
                "was stopped. Read the event's stream, and ask again.", print_exception=False,
            )  # fmt: skip
        yield news


def _unread() -> int:
    """Messages that wait for the client of this call; 0 where it is answered in another way."""
    blocks, request = LocalContext.blocks.get(None), LocalContext.request.get(None)
    session = getattr(request, "session_hash", None)
    waiting = blocks._queue.pending_messages_per_session if blocks and session else {}
    return waiting[session].qsize() if session in waiting else 0


def _told(running: Generator, outputs: tuple) -> Generator[Any, None, tuple]:
    """Yields a function's progress among empty outputs; returns its results."""
    while True:
        try:
            news = next(running)
        except StopIteration as end:
            return end.value if isinstance(end.value, tuple) else (end.value,)
        now = {"stage": news.stage, "step": news.index, "of": news.total}
        yield [now if kind == Results else None for kind in outputs]


def _plain(value: Any, folder: Path, place: int) -> Any:
    """Pictures and paths as files, numbers as JSON has them: NaN and infinity become null."""
    if isinstance(value, Image.Image):
        path = folder / f"{place + 1}.png"
        value.save(path)
        return as_file(path)
    if isinstance(value, Path):
        return as_file(value)
    if isinstance(value, Mapping):
        return {key: _plain(item, folder, place) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, folder, place * 100 + i) for i, item in enumerate(value)]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value


def _documentation(function: Callable, kinds: Mapping[str, Any]) -> str:
    """A function's docstring as Gradio reads it, each argument with what is accepted."""
    lines = []
    for line in inspect.cleandoc(function.__doc__).splitlines():
        name, colon, words = line.strip().partition(":")
        known = colon and name in kinds and line.startswith(" ")
        lines.append(f"    {name}: {words.strip()} ({kinds[name].words})" if known else line)
    return "\n".join(lines)
