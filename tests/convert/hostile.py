"""Parts of hostile files: opcodes by hand, archives with replaced entries, older torch files."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from weights.convert.reader import UnsafeFile


def refused(*words: str):
    """The block must raise `UnsafeFile`, in one line with all of `words`."""
    return pytest.raises(UnsafeFile, match=r"(?s)\A" + "".join(f"(?=.*{w})" for w in words))


def text(value: str) -> bytes:
    """BINUNICODE."""
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def named(module: str, name: str) -> bytes:
    """STACK_GLOBAL, whatever the protocol in the header says."""
    return text(module) + text(name) + b"\x93"


def archive(tmp_path: Path, content: object = None, **replaced: bytes | None) -> Path:
    """A torch archive, with entries replaced by name (`data_pkl` for data.pkl, None removes)."""
    torch.save({"w": torch.arange(6.0)} if content is None else content, tmp_path / "sound.pt")
    path = tmp_path / "hostile.pt"
    with zipfile.ZipFile(tmp_path / "sound.pt") as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            key = entry.filename.partition("/")[2].replace(".", "_").replace("/", "_")
            value = replaced.pop(key, source.read(entry))
            if value is not None:
                target.writestr(entry.filename, value)
        for name, value in replaced.items():
            target.writestr(name, value)
    return path


def legacy(content: object, tmp_path: Path) -> bytes:
    torch.save(content, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    return (tmp_path / "legacy.pt").read_bytes()


def legacy_start(stream: bytes) -> bytes:
    """Magic number, protocol and system of an older file, which the object's pickle follows."""
    whole = io.BytesIO(stream)
    for _ in ("magic number", "protocol", "system"):
        pickle.load(whole)
    return stream[: whole.tell()]


def held(inner: bytes) -> bytes:
    """A pickle of one storage that holds a whole older file in bytes."""
    called = named("torch.storage", "_load_from_bytes")
    return b"\x80\x03" + called + b"B" + struct.pack("<I", len(inner)) + inner + b"\x85R."
