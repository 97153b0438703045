"""A published file becomes safetensors once; afterwards the original is never opened again.

The result lies in the cache under the SHA-256 of its source and the version of the converters, with
a receipt beside it (JSON) that holds its own SHA-256. Only `weights.convert` opens the original,
with a reader that builds tensors and runs nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import threading
from pathlib import Path
from types import ModuleType

from weights.errors import WeightsError, cause
from weights.files import cache, digest, is_safetensors
from weights.lockfile import alone
from weights.manifest import Row, write_atomically

VERSION = 2  # raise it whenever a converter writes other tensors or another configuration
_ONE_AT_A_TIME = threading.Lock()  # two tabs would hold the same gigabyte twice


def converters() -> ModuleType:
    """The package `weights.convert`, imported only when something is converted: it needs torch."""
    return importlib.import_module("weights.convert")


def converted(row: Row, sha256: str) -> Path | None:
    """The sound result of an earlier conversion of the source `sha256`, None if there is none.

    A result that its receipt does not describe is removed, so that it is made again.
    """
    path = _place(row, sha256)
    if not path.is_file():
        return None
    try:
        receipt = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if receipt["bytes"] == path.stat().st_size and receipt["sha256"] == digest(path):
            return path
    except (OSError, ValueError, KeyError, TypeError):
        pass  # the same as a receipt that disagrees
    path.unlink(missing_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)
    return None


def is_converted(row: Row) -> bool:
    """Whether a result for the pinned source is there, by name only: no file is read."""
    path = _place(row, row.sha256)
    return path.is_file() and path.with_suffix(".json").is_file()


def convert(row: Row, source: Path, sha256: str) -> Path:
    """The safetensors file made of `source`, whose SHA-256 is `sha256`; made once, then kept.

    Raises `WeightsError` when the converter is unknown or refuses the file; nothing half-written
    is left.
    """
    with _ONE_AT_A_TIME, alone(_place(row, sha256)):
        if done := converted(row, sha256):
            return done
        package = converters()
        if row.converter not in package.CONVERTERS:
            raise WeightsError(
                f"{row.name}: expected a converter of {sorted(package.CONVERTERS)}; got "
                f"{row.converter!r}; correct the manifest."
            )
        target = _place(row, sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unfinished-") as unfinished:
            part = Path(unfinished) / target.name
            _run(package, row, source, part)
            receipt = {
                "name": row.name, "source": source.name, "source_sha256": sha256,
                "converter": row.converter, "version": VERSION,
                "bytes": part.stat().st_size, "sha256": digest(part),
            }  # fmt: skip
            write_atomically(target.with_suffix(".json"), json.dumps(receipt, indent=1).encode())
            os.replace(part, target)
        return target


def _run(package: ModuleType, row: Row, source: Path, part: Path) -> None:
    try:
        package.convert_file(row.converter, source, part)
    except WeightsError as error:
        raise type(error)(f"{row.name}: {error}") from cause(error)
    except Exception as error:
        raise WeightsError(
            f"{row.name}: expected the layout {row.converter!r} in {source}; got "
            f"{type(error).__name__}: {error}; name another converter in the manifest."
        ) from cause(error)
    if not part.is_file() or not is_safetensors(part):
        raise WeightsError(
            f"{row.name}: expected safetensors from the converter {row.converter!r}; got "
            f"something else; correct weights/convert."
        )


def _place(row: Row, sha256: str) -> Path:
    return cache() / "converted" / f"{sha256}-{row.converter}-{VERSION}.safetensors"
