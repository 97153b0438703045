"""How the renderer is compiled: the one place for numba's flags and for where its code is kept.

Numba keeps compiled code and compiles a function anew when its own file changes, but not when a
function that it calls, or a constant of another file, does. So the code is kept in a folder named
after a hash of every source of this package: other sources, another folder. Old ones may be deleted
at any time. The base is numba's own setting NUMBA_CACHE_DIR, else the user's ~/.cache, else, where
that cannot be written, a folder of the user's own in the system's temporary one.
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numba
from numba import config, cuda, njit

FLAGS = {"fastmath": True, "error_model": "numpy", "cache": True}
NAME = "gan-inversion-studio"
_one_at_a_time = threading.Lock()


def fingerprint(package: Path = Path(__file__).parent) -> str:
    """16 hexadecimal digits that change with numba or with any source of the package."""
    found = hashlib.sha256(numba.__version__.encode())
    for path in sorted(package.glob("*.py")):
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def cache_folder(key: str) -> Path:
    """The folder for code of the sources `key`, made and writable; OSError where there is none."""
    if config.CACHE_DIR:
        return _writable(Path(config.CACHE_DIR) / f"clay-{key}")
    try:
        return _writable(Path.home() / ".cache" / NAME / f"clay-{key}")
    except (OSError, RuntimeError):  # read-only, or a user without a home
        # By number: a container's user may have no name. Windows has a folder a user anyway.
        user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
        own = Path(tempfile.gettempdir()) / f"{NAME}-{user}"
        own.mkdir(mode=0o700, exist_ok=True)
        # What is kept is executed, and anyone can make a folder of this name first.
        if own.is_symlink() or (hasattr(os, "getuid") and own.stat().st_uid != user):
            raise PermissionError(
                f"{own} must belong to you, to keep compiled code; it is another user's. "
                "Set NUMBA_CACHE_DIR to a folder of your own."
            ) from None
        return _writable(own / f"clay-{key}")


def _writable(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return folder


@functools.cache
def _folder() -> str:
    return str(cache_folder(fingerprint()))


def _keeping(decorate: Callable[[Callable], Callable]) -> Callable[[Callable], Callable]:
    """The decorator, with numba's cache in this package's folder and elsewhere unchanged."""

    def decorator(function: Callable) -> Callable:
        before, config.CACHE_DIR = config.CACHE_DIR, _folder()
        try:
            return decorate(function)
        finally:
            config.CACHE_DIR = before

    return decorator


@functools.cache
def _start_threads() -> None:
    """Start numba's threads, in a thread of its own: OpenMP's count of threads, which torch reads
    for each thread, is set to all cores in the one that starts them."""
    starter = threading.Thread(target=numba.get_num_threads)
    starter.start()
    starter.join()


def use_threads(count: int) -> None:
    """Render on `count` CPU threads in this thread, or on as many as numba has if that is less."""
    with _one_at_a_time:
        _start_threads()
        numba.set_num_threads(min(count, config.NUMBA_NUM_THREADS))


device = _keeping(njit(**FLAGS, nogil=True))  # functions of numbers, also called from CUDA


def parallel(function: Callable) -> Callable:
    """`prange` over pictures on the CPU's cores, for one caller at a time.

    Numba's own threads, which serve where neither OpenMP nor TBB is found, end the process when
    two threads of it call them at once.
    """
    compiled = _keeping(njit(**FLAGS, parallel=True))(function)

    @functools.wraps(function)
    def call(*args):
        with _one_at_a_time:
            _start_threads()
            return compiled(*args)

    return call


kernel = cuda.jit(fastmath=True)  # one pixel a thread on a GPU; compiled anew by each process
