"""What a load test keeps: of every call, every picture, and of the server from within.

All times are seconds of one clock, `time.time()`: visitors and server are on one machine.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DONE, REFUSED, FULL, STOPPED, LEFT, CUT = "done", "refused", "full", "stopped", "left", "cut"
STARTS, ENDS, WORKS, RESTS, SAMPLE = "starts", "ends", "works", "rests", "sample"


@dataclass(frozen=True)
class Call:
    """One request of a visitor.

    outcome: done, refused (with words), full (no place in the queue), stopped or left (at `ended`),
    cut (it still waited or ran when the time was up). event: the server's word for it; of a page
    those of all its listeners. places: those in the queue that it was told, 0 the next; None where
    nobody listened. hostile: whether it asked for what cannot be.
    """

    visitor: str
    function: str
    began: float
    ended: float
    outcome: str
    words: str = ""
    event: str = ""
    places: tuple[int, ...] | None = ()
    hostile: bool = False

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True)
class Shown:
    """A result that a visitor got.

    asked: the arguments in words; digest: of the bytes; nearest: whose portrait a reconstruction
    is nearest to, "" for what is none; own: whether it was made of the visitor's own picture.
    """

    visitor: str
    function: str
    asked: str
    digest: str
    nearest: str = ""
    own: bool = True


@dataclass(frozen=True)
class Beat:
    """What the server did: an event starts or ends, a thread works for one or rests, or a sample.

    first: whether it has the one place where networks run; bytes, waiting: of a sample, private
    memory and what waits for that place.
    """

    t: float
    what: str
    event: str = ""
    function: str = ""
    first: bool = False
    bytes: int = 0
    waiting: int = 0


@dataclass
class Book:
    """Everything that was kept; threads write into it at once.

    complaints: what else went wrong, by whom. promised: digests of the files that visitors hold an
    address of; lost: those of them that a restart took. closed: who is late writes nothing.
    """

    begun: float = 0.0
    calls: list[Call] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)
    complaints: list[tuple[str, str]] = field(default_factory=list)
    promised: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    log: str = ""
    closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, record: Call | Shown) -> None:
        with self.lock:
            if not self.closed:
                (self.calls if isinstance(record, Call) else self.shown).append(record)

    def complain(self, visitor: str, words: str) -> None:
        with self.lock:
            if not self.closed:
                self.complaints.append((visitor, words))

    def promise(self, address: str, digest: str) -> None:
        with self.lock:
            if not self.closed:
                self.promised[address] = digest

    def close(self) -> None:
        with self.lock:
            self.closed = True

    def write(self, path: Path) -> None:
        found = {
            name: [asdict(record) for record in getattr(self, name)]
            for name in ("calls", "shown", "beats")
        }
        names = ("begun", "complaints", "promised", "lost")
        found |= {name: getattr(self, name) for name in names}
        path.write_text(json.dumps(found, indent=1) + "\n")


def beats_of(journal: Path) -> Iterator[Beat]:
    """The beats of a journal, whose last line may be half written."""
    for line in journal.read_text().splitlines() if journal.exists() else ():
        try:
            found: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            return
        yield Beat(**found)
