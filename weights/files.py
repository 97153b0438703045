"""What is asked of files on this machine: their checksum, their format, and where they are kept."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from pathlib import Path

from weights.errors import Altered, WeightsError
from weights.manifest import Row

CACHE = "GAN_INVERSION_CACHE"
_HEADER_LIMIT = 10_000_000  # bytes; the format allows ten times as much, which is gigabytes as JSON


def cache() -> Path:
    """The project's own cache folder: GAN_INVERSION_CACHE, or one beside the Hub's."""
    if chosen := os.environ.get(CACHE):
        return Path(chosen).expanduser()
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME) / "gan-inversion"


def place(row: Row) -> Path:
    """Where a file from elsewhere belongs: downloaded, trained, or put there by hand."""
    if row.state == "recipe":
        return cache() / "trained" / row.file
    return cache() / "sources" / row.name / row.file


def digest(path: Path) -> str:
    """SHA-256 of a file in hex, computed once per process for a given path, time and size."""
    status = path.stat()
    return _digest(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=256)
def _digest(path: Path, mtime_ns: int, size: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_digest(row: Row, path: Path) -> None:
    """Raise `Altered` unless `path` has the row's size and SHA-256; it is not interpreted."""
    size = path.stat().st_size
    told = f"{row.name}: expected sha256 {row.sha256[:12] or 'unknown'}…"
    if row.bytes and size != row.bytes:  # no need to read gigabytes to see this
        raise Altered(
            f"{told} in {row.bytes} bytes; got {size} bytes in {path}; {_repair(row, path)}"
        )
    if row.sha256 and digest(path) != row.sha256:
        raise Altered(
            f"{told}; got {digest(path)[:12]}… ({size} bytes, {row.bytes or 'unknown'} expected) "
            f"in {path}; {_repair(row, path)}"
        )


def check(row: Row, path: Path) -> None:
    """Raise `WeightsError` unless `path` has the row's SHA-256 and is safetensors or a graph."""
    check_digest(row, path)
    if not is_pinned_graph(row) and not is_safetensors(path):
        raise WeightsError(
            f"{row.name}: expected a safetensors file; got something else in {path}; "
            f"{_repair(row, path)}"
        )


def is_pinned_graph(row: Row) -> bool:
    """Whether a row is an ONNX graph of known SHA-256: tensors and named operations, no code."""
    return row.file.endswith(".onnx") and bool(row.sha256)


def is_safetensors(path: Path) -> bool:
    """Whether a file begins with a whole safetensors header; reads that header only."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 10 or not 2 <= length <= min(size - 8, _HEADER_LIMIT):
            return False
        try:
            return isinstance(json.loads(stream.read(length)), dict)
        except (ValueError, RecursionError):  # JSON may nest as deep as the header is long
            return False


def refuse_other_formats(path: Path) -> None:
    """Raise `WeightsError` unless a path ends in .safetensors: pickles are never opened."""
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"expected a .safetensors file; got {path.name}, which may execute code when opened; "
            "convert it first: only safetensors are read here."
        )


def _repair(row: Row, path: Path) -> str:
    """How to get a sound file in place of a damaged one."""
    with path.open("rb") as stream:
        if stream.read(40).startswith(b"version https://git-lfs"):
            return "this is a Git LFS pointer, run `git lfs pull`."
    if row.state == "starter":
        return (
            "restore it from the repository, or, if you trained it anew, run "
            f"`python -m weights register {row.name}`."
        )
    if row.state == "recipe":
        return f"delete it and train it again: {row.recipe or 'no recipe yet'}."
    return f"delete it and run `python -m weights fetch {row.name}` again."
