"""The watch under which hostile files are read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from weights.convert.reader import read

EVENTS: list[str] | None = None  # what happened while a test watches
HARM = ("os.", "subprocess.", "shutil.", "socket.", "ctypes.", "pty.", "webbrowser.", "exec")
CALLED = ("os.system", "posix.system", "os.popen", "subprocess.Popen", "builtins.eval")
HARMLESS = ("os.listdir", "os.scandir")


def watch(event: str, arguments: tuple) -> None:
    if EVENTS is None:
        return
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    imported = event == "import" and str(arguments[0]).split(".")[0] in ("antigravity", "evil")
    if writes or imported or (event.startswith(HARM) and event not in HARMLESS):
        EVENTS.append(f"{event} {arguments!r}"[:200])


sys.addaudithook(watch)
"".encode("cp437")  # archives need this codec, whose first import would be noticed


@pytest.fixture
def events():
    """Starts the watch, and gives what happened so far."""
    global EVENTS
    EVENTS = []
    yield EVENTS
    EVENTS = None


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that reads a file under watch; tripwires in place of what a file would call."""
    sentinel = tmp_path / "executed"

    def tripwire(*arguments: object, **_: object) -> None:
        sentinel.touch()

    def run(content: bytes | Path) -> object:
        global EVENTS
        path = content if isinstance(content, Path) else tmp_path / "hostile.bin"
        if isinstance(content, bytes):
            path.write_bytes(content)
        before, EVENTS = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}, []
        try:
            with monkeypatch.context() as tripwires:
                for place in CALLED:
                    tripwires.setattr(place, tripwire)
                return read(path)
        finally:
            happened, EVENTS = EVENTS, None
            assert happened == []
            assert not sentinel.exists()
            assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before

    return run
