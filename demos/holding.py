"""What the app hands out holds for an hour, also when it is stopped or killed and started again.

A running app holds a folder that is its own until it ends, in whatever way, and the next app that
is started from the same place for the same port takes it over: the first that nobody holds. In it,
SERVED is what Gradio reads and serves. Of that, HANDED_OUT outlasts a restart, each file for an
hour; what visitors sent goes at the next start. Names in it cannot be guessed.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import hashlib
import itertools
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filelock import BaseFileLock

HOLDS = 3600.0  # s, from when a file was made or last handed out
EVERY = 300.0  # s between two looks for older files
FOLDER = "GRADIO_TEMP_DIR"
NAME = "gan-inversion-studio"
SERVED, HANDED_OUT = "served", "gan-inversion-handed-out"
TOUCHING = threading.Lock()  # a file that is handed out again is not removed at that moment
_ROOT = Path(__file__).resolve().parents[1]


@dataclass
class _Own:
    """A folder of this process; nobody else takes it as long as `lock` is held."""

    path: Path
    lock: BaseFileLock

    def restore(self) -> None:
        """Make it anew, and hold it, where it was cleaned away under the running app."""
        _base()
        if not os.path.exists(self.lock.lock_file):
            self.lock = _held(self.path) or self.lock
        os.utime(self.lock.lock_file)  # not to be taken for a forgotten one
        self.path.mkdir(mode=0o700, exist_ok=True)


_own: _Own | None = None


def claim() -> Path:
    """The folder for what Gradio serves, with what an app before handed out within the hour.

    Waits for nobody; OSError where this user has no folder of their own.
    """
    global _own
    base = _base()
    asked = f"{_ROOT}\0{os.environ.get('GRADIO_SERVER_PORT', '')}"
    key = hashlib.sha256(asked.encode()).hexdigest()[:12]
    for number in itertools.count(1):
        path = base / f"{key}-{number}"
        if lock := _held(path):
            break
    served = path / SERVED
    for folder in (path, served):
        folder.mkdir(mode=0o700, exist_ok=True)
    for entry in (*path.iterdir(), *served.iterdir()):
        if entry != served and entry != served / HANDED_OUT:
            _remove(entry)
    clear(served)
    _own = _Own(path, lock)
    return served


def private() -> Path | None:
    """Where this process keeps what is not served; None for the system's temporary folder."""
    if _own is not None and not _own.path.is_dir():
        _own.restore()
    return _own and _own.path


def handed_out(served: str | Path) -> Path:
    """The folder for what is handed out, in one that Gradio serves; made where it is not there."""
    room = Path(served).resolve() / HANDED_OUT
    if not room.is_dir():
        if _own is not None and room.is_relative_to(_own.path):
            _own.restore()
        room.mkdir(mode=0o700, parents=True, exist_ok=True)
    return room


def clear(served: str | Path) -> None:
    """Remove what was handed out more than an hour ago."""
    for entry in list(handed_out(served).iterdir()):
        with TOUCHING:
            if _last_touched(entry) < time.time() - HOLDS:
                _remove(entry)


@contextlib.asynccontextmanager
async def lasting(app: Any) -> AsyncIterator[None]:
    """While an app is served (its `lifespan`): what is older than an hour goes, and what is not
    stays when the app ends."""
    demo = app.get_blocks()
    task = asyncio.create_task(_tidying(demo))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        _take_over(demo)  # Gradio removes at the end of an app what it has noted


async def _tidying(demo: Any) -> None:
    while True:
        try:
            await asyncio.to_thread(tidy, demo)
        except OSError:
            logging.getLogger(__name__).exception("old files could not be removed; later again")
        await asyncio.sleep(EVERY)


def tidy(demo: Any) -> None:
    """Remove what is older than an hour, but for what the pages of `demo` show from the start."""
    served = os.environ[FOLDER]
    room = str(handed_out(served))
    for block in list(demo.blocks.values()):
        for file in getattr(block, "keep_in_cache", ()):
            if file.startswith(room):
                with contextlib.suppress(FileNotFoundError):
                    os.utime(file)
    _take_over(demo)
    clear(served)
    if _own is not None:
        _own.restore()
        _sweep(_own.path.parent)


def _take_over(demo: Any) -> None:
    """Take what is handed out from Gradio's notes of files to remove."""
    room = str(handed_out(os.environ[FOLDER]))
    for files in demo.temp_file_sets:
        files.difference_update([file for file in list(files) if str(file).startswith(room)])


def _base() -> Path:
    """The user's own folder in the system's temporary one, which nobody else can look into."""
    # By number: a container's user may have no name. Windows has a folder a user anyway.
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    base = Path(tempfile.gettempdir()).resolve() / f"{NAME}-{user}"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Anyone can make a folder of this name first.
    if base.is_symlink() or (hasattr(os, "getuid") and base.stat().st_uid != user):
        raise PermissionError(f"{base} must belong to you; it is another user's.")
    base.chmod(0o700)
    return base


def _held(path: Path) -> BaseFileLock | None:
    """The lock of a folder, held from now on; None while another process holds it."""
    from filelock import FileLock, Timeout

    lock = FileLock(f"{path}.lock", thread_local=False)  # stays: a removed one could be held twice
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


def _sweep(base: Path) -> None:
    """Remove the folders of apps that ended and were not started again within the hour.

    A younger one is not even asked for: its app may be looking for it just now.
    """
    for file in base.glob("*.lock"):
        path = file.with_suffix("")
        if path == _own.path or _last_touched(path) >= time.time() - HOLDS:
            continue
        if lock := _held(path):
            _remove(path)
            lock.release()


def _last_touched(path: Path) -> float:
    """When something in a folder, or a file, was changed last [s]; infinite if it is gone."""
    return max(_changes(path), default=float("inf"))


def _changes(path: Path) -> Iterator[float]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        yield path.lstat().st_mtime
        if path.is_dir() and not path.is_symlink():
            for entry in list(path.iterdir()):
                yield from _changes(entry)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
