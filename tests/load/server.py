"""The real app, as `python app.py` serves it, which writes down what it does.

    python -m tests.load.server JOURNAL

JOURNAL gets a line of JSON a beat (`records.Beat`): when an event of the queue starts and ends,
when a thread works for it and rests, and at times the memory and who waits. The port is
GRADIO_SERVER_PORT.
"""

from __future__ import annotations

import app  # settles what Gradio reads from the environment as it is imported

# isort: split
import contextlib
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gradio.context import LocalContext
from gradio.queueing import Queue

from demos.kit.bridge import BOARD
from demos.kit.inputs import GPU
from tests.load.records import ENDS, RESTS, SAMPLE, STARTS, WORKS, Beat

EVERY = 2.0  # s between two samples
_ROLLUP = Path("/proc/self/smaps_rollup")


class Journal:
    """A file of beats, a line each, whole after every line."""

    def __init__(self, path: Path) -> None:
        self._file, self._lock = path.open("a", buffering=1), threading.Lock()

    def note(self, what: str, **about: Any) -> None:
        line = json.dumps(asdict(Beat(round(time.time(), 3), what, **about)))
        with self._lock:
            self._file.write(f"{line}\n")


def watch(journal: Journal) -> None:
    """Let the queue and the threads that work write into a journal."""
    process, push, entry = Queue.process_events, Queue.push, BOARD.entry
    sampling = threading.Event()

    async def process_and_note(self: Queue, events: list, *rest: Any) -> None:
        first = events[0].concurrency_id == GPU["concurrency_id"]
        about = {"event": events[0]._id, "function": str(events[0].fn.api_name), "first": first}
        journal.note(STARTS, **about)
        try:
            await process(self, events, *rest)
        finally:
            journal.note(ENDS, **about)

    async def push_and_sample(self: Queue, *given: Any, **named: Any) -> Any:
        if not sampling.is_set():
            sampling.set()
            threading.Thread(target=_sample, args=(self, journal), daemon=True).start()
        return await push(self, *given, **named)

    @contextlib.contextmanager
    def entry_and_note() -> Iterator[Callable]:
        event = LocalContext.event_id.get(None) or ""
        journal.note(WORKS, event=event)
        try:
            with entry() as put:
                yield put
        finally:
            journal.note(RESTS, event=event)

    Queue.process_events, Queue.push = process_and_note, push_and_sample
    BOARD.entry = entry_and_note


def _sample(queue: Queue, journal: Journal) -> None:
    while True:
        there = queue.event_queue_per_concurrency_id.get(GPU["concurrency_id"])
        journal.note(SAMPLE, bytes=private(), waiting=len(there.queue) if there else 0)
        time.sleep(EVERY)


def private() -> int:
    """Bytes of memory that are this process's own, on Linux: without the pages of mapped files,
    such as weights, which the system takes back whenever it needs them."""
    (line,) = re.findall(r"^Anonymous: +(\d+) kB$", _ROLLUP.read_text(), re.MULTILINE)
    return 1024 * int(line)


if __name__ == "__main__":
    watch(Journal(Path(sys.argv[1])))
    app.main([])
