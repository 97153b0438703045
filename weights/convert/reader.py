"""Published weight files, read without running them: `read(path)` gives tensors and Records.

Formats: torch's zip archive and the stream that came before it, plain pickles, .npy and .npz. The
file is mapped into memory once; tensors are windows of that map. Nothing is extracted to disk, no
name in a file is imported or called (`machine`, `inert`), and a file whose claims exceed its size
is refused before anything is allocated. Checksums inside archives are not read: the manifest's
SHA-256 covers the whole file.
"""

from __future__ import annotations

import ast
import io
import math
import mmap
import re
import struct
import zipfile
import zlib
from pathlib import Path

from weights.convert.inert import (
    Array,
    Budget,
    Kind,
    Name,
    Record,
    Storage,
    UnsafeFile,
    demand,
    natural,
    storage_type,
)
from weights.convert.machine import run
from weights.convert.settled import numbers, settle
from weights.errors import cause

__all__ = ["Record", "UnsafeFile", "read"]

SLACK = 64 * 2**20  # bytes that small files may describe beyond their size
_ENTRIES, _NPY_HEADER, _RATIO = 100_000, 65_536, 200
_ROOT = re.compile(r"[/\\]|[A-Za-z]:[/\\]")
_ZIP, _NPY = b"PK\x03\x04", b"\x93NUMPY"
# The pickle of torch's magic number 0x1950a86a20f9469cfc6c, with which its older files begin.
_LEGACY = re.compile(
    rb"\x80[\x02-\x05](?:\x95.{8})?\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\.", re.S
)


def read(path: str | Path) -> object:
    """Content of a published file: dictionaries, lists, tuples, sets, text, numbers, bytes,
    tensors on the CPU (those that share numbers in the file share them here), Records.

    Raises `UnsafeFile` for anything else: unknown names, damaged files, absurd sizes.
    """
    path = Path(path)
    try:
        if not path.is_file() or path.stat().st_size == 0:
            raise UnsafeFile("expected a file with content; got none; fetch it again.")
        with path.open("rb") as file:
            # Copy on write: the file never changes, and torch accepts the map as writable.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return _content(mapped)
    except UnsafeFile as error:
        raise UnsafeFile(f"{path.name}: {error}") from cause(error)


def _content(mapped: mmap.mmap) -> object:
    budget = Budget(4 * len(mapped) + SLACK, load_bytes=_nested)
    start = bytes(mapped[:32])
    if start.startswith(_ZIP):
        return _archive(mapped, budget)
    if start.startswith(_NPY):
        return _npy(mapped, budget)
    if _LEGACY.match(start):
        return settle(_legacy(mapped, mapped, budget), budget)
    if start[:1] == b"\x80" or start[:1] in (b"(", b"]", b"}", b"c"):
        return settle(run(mapped, budget), budget)
    raise UnsafeFile(
        f"expected a torch, pickle or numpy file; got one that begins with {start[:12]!r}; "
        "fetch it again, it may be a web page or a Git LFS pointer."
    )


# torch's archive


def _archive(mapped: mmap.mmap, budget: Budget) -> object:
    entries = _entries(mapped)
    pickles = [name for name in entries if name.rpartition("/")[2] == "data.pkl"]
    if not pickles:
        demand(all(name.endswith(".npy") for name in entries), "data.pkl in the archive", "none")
        return _npz(mapped, entries, budget)
    demand(len(pickles) == 1, "one data.pkl in the archive", pickles)
    folder = pickles[0].removesuffix("data.pkl")
    demand(f"{folder}constants.pkl" not in entries, "plain weights", "a TorchScript program")
    spans = {name: _stored(mapped, entry) for name, entry in entries.items()}
    taken = sum(end - start for start, end in spans.values())
    demand(taken <= len(mapped), "entries apart from one another", "overlapping ones")
    if order := spans.get(f"{folder}byteorder"):
        demand(mapped[slice(*order)] == b"little", "little-endian numbers", "others")
    storages: dict[str, Storage] = {}

    def load(reference: object) -> Storage:
        dtype, key, count, _ = _reference(reference)
        if key not in storages:
            start, end = spans.get(f"{folder}data/{key}", (0, -1))
            demand(end - start >= count * dtype.itemsize, f"{count} numbers in data/{key}", "less")
            storages[key] = Storage(dtype, count, mapped, start)
        known = storages[key]
        demand((known.dtype, known.count) == (dtype, count), "one type a storage", "two")
        return known

    start, end = spans[pickles[0]]
    return settle(run(io.BytesIO(mapped[start:end]), budget, load), budget)


# What the standard library may raise for a damaged archive.
_BROKEN = (
    zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError, OSError, struct.error,
    EOFError, IndexError,
)  # fmt: skip


def _entries(mapped: mmap.mmap) -> dict[str, zipfile.ZipInfo]:
    """The archive's directory by name; nothing is extracted, so names only have to be unique."""
    try:
        with zipfile.ZipFile(mapped) as archive:
            listed = archive.infolist()
    except _BROKEN as error:
        demand(False, "a whole zip archive", error)
    demand(len(listed) <= _ENTRIES, f"at most {_ENTRIES} entries in an archive", len(listed))
    names = {entry.filename: entry for entry in listed}
    demand(len(names) == len(listed), "every name once in the archive", "a name twice")
    for name in names:
        outside = _ROOT.match(name) or ".." in re.split(r"[/\\]", name)
        demand(not outside, "names inside the archive", name)
    return names


def _span(mapped: mmap.mmap, entry: zipfile.ZipInfo) -> tuple[int, int]:
    """Where the bytes of an entry begin and end, by its own header."""
    header = (
        mapped[entry.header_offset : entry.header_offset + 30] if entry.header_offset >= 0 else b""
    )
    demand(len(header) == 30 and header[:4] == _ZIP, "every entry in the archive", entry.filename)
    demand(not entry.flag_bits & 1, "an archive without password", entry.filename)
    start = entry.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
    end = start + entry.compress_size
    demand(end <= len(mapped), f"{entry.filename} inside the archive", f"an end at {end}")
    return start, end


def _stored(mapped: mmap.mmap, entry: zipfile.ZipInfo) -> tuple[int, int]:
    plain = entry.compress_type == zipfile.ZIP_STORED and entry.compress_size == entry.file_size
    demand(plain, "entries as torch writes them, not compressed", entry.filename)
    return _span(mapped, entry)


def _reference(reference: object) -> tuple:
    """Type, key, count and window of the storage that a pickle refers to."""
    known = isinstance(reference, tuple) and 5 <= len(reference) <= 6
    demand(known and reference[0] == "storage", "a reference to a storage", reference)
    _, kind, key, _, count, *window = reference
    dtype = storage_type(kind)
    demand(isinstance(key, str) and natural(count), "a key and a count", (key, count))
    return dtype, key, count, window[0] if window else None


# torch's stream


def _legacy(stream: object, buffer: object, budget: Budget) -> object:
    """magic number, protocol, system, object, keys: five pickles, then every storage's numbers."""
    run(stream, budget)
    demand(run(stream, budget) == 1001, "torch's protocol 1001", "another")
    system = run(stream, budget)
    told = isinstance(system, dict) and system.get("little_endian") is True
    demand(told, "little-endian numbers", "others")
    storages: dict[str, Storage] = {}

    def load(reference: object) -> object:
        if isinstance(reference, tuple) and len(reference) == 4 and reference[0] == "module":
            demand(isinstance(reference[1], Name), "a class by its name", "another")
            return reference[1]  # its source code is dropped unread
        dtype, key, count, window = _reference(reference)
        root = storages.setdefault(key, Storage(dtype, count))
        demand((root.dtype, root.count) == (dtype, count), "one type a storage", "two")
        return root if window is None else _window(root, window)

    content = run(stream, budget, load)
    keys = run(stream, budget)
    demand(isinstance(keys, list), "a list of storage keys", type(keys).__name__)
    for key in keys:
        demand(isinstance(key, str) and key in storages, "storages of the pickle", key)
        storage = storages[key]
        demand(stream.read(8) == struct.pack("<q", storage.count), "a storage's count", "another")
        storage.buffer, storage.start = buffer, stream.tell()
        stop = storage.start + storage.count * storage.dtype.itemsize
        demand(stop <= len(buffer), f"{storage.count} numbers of storage {key}", "a shorter file")
        stream.seek(stop)
    return content


def _window(root: Storage, window: object) -> Storage:
    demand(isinstance(window, tuple) and len(window) == 3, "a window of a storage", window)
    _, offset, count = window
    demand(natural(offset, count), "a window from 0 up", window)
    demand(offset + count <= root.count, f"a window of {root.count} numbers", window)
    return Storage(root.dtype, count, root=root, offset=offset)


def _nested(content: bytes, budget: Budget) -> object:
    """A storage that a plain pickle holds as a whole older torch file in bytes."""
    demand(_LEGACY.match(content), "a torch file in bytes", content[:12])
    budget.nested = True
    try:
        # A writable copy of its own: torch does not accept read-only memory.
        buffer = bytearray(content)
        return _legacy(io.BytesIO(buffer), buffer, budget)
    finally:
        budget.nested = False


# numpy's files


def _npz(mapped: mmap.mmap, entries: dict[str, zipfile.ZipInfo], budget: Budget) -> dict:
    total = sum(entry.file_size for entry in entries.values())
    allowed = _RATIO * len(mapped) + 2**20
    demand(total <= allowed, f"at most {allowed} bytes in a compressed archive", total)
    budget.bytes += 2 * total  # compressed files may hold more than their size
    return {
        name.removesuffix(".npy"): _npy(io.BytesIO(_inflated(mapped, entry)), budget)
        for name, entry in entries.items()
    }


def _inflated(mapped: mmap.mmap, entry: zipfile.ZipInfo) -> bytes:
    if entry.compress_type == zipfile.ZIP_STORED:
        return mapped[slice(*_stored(mapped, entry))]
    demand(entry.compress_type == zipfile.ZIP_DEFLATED, "stored or deflated entries", "others")
    start, end = _span(mapped, entry)
    try:
        content = zlib.decompressobj(-15).decompress(mapped[start:end], entry.file_size + 1)
    except zlib.error as error:
        demand(False, f"a whole entry {entry.filename}", error)
    demand(len(content) == entry.file_size, f"{entry.file_size} bytes", len(content))
    return content


def _npy(stream: object, budget: Budget) -> object:
    """A tensor, or what an array of objects holds."""
    magic = stream.read(8)
    demand(magic[:6] == _NPY and len(magic) == 8, "a numpy file", magic)
    width = 2 if magic[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    demand(length <= _NPY_HEADER, f"a header of at most {_NPY_HEADER} bytes", length)
    try:
        header = ast.literal_eval(stream.read(length).decode("latin1").strip())
        kind, fortran, shape = (header[key] for key in ("descr", "fortran_order", "shape"))
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError) as error:
        demand(False, "the header of a numpy file", error)
    demand(isinstance(kind, str) and isinstance(shape, tuple), "an array of numbers", kind)
    if kind in ("|O", "O"):
        return settle(run(stream, budget), budget)
    demand(natural(*shape), "a shape from 0 up", shape)
    code, order = kind.lstrip("<>|="), ">" if kind[:1] == ">" else "<"
    array = Array(shape, Kind(code, order), bool(fortran), b"")
    digits = re.sub(r"\D", "", code)
    demand(0 < len(digits) < 8, "a dtype with its size", kind)
    item = int(digits) * (4 if code[:1] == "U" else 1)
    size, here = math.prod(shape) * item, stream.tell()
    stream.seek(0, io.SEEK_END)
    demand(stream.tell() - here == size, f"{size} bytes of numbers", stream.tell() - here)
    stream.seek(here)
    array.content = stream.read(size)
    return numbers(array, budget)
