"""The list of every weight: `manifest.toml`, one table per `domain/component`.

A row says where a file is (beside the manifest, or in a Hub repository at a pinned revision), which
bytes are expected (SHA-256 and size), under which licence, and in which state it is:

- `starter`: trained by a recipe of this project, shipped in `weights/starter`;
- `hub`: a safetensors file in a Hub repository, opened as it is;
- `published`: published by the authors in another format, whose converter is not written yet.
"""

from __future__ import annotations

import difflib
import os
import re
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

MANIFEST = Path(__file__).with_name("manifest.toml")
STATES = ("starter", "hub", "published")
NO_CONVERTER = "published, converter not written yet"

_HEADER = re.compile(r"^\s*\[")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class WeightsError(RuntimeError):
    """A weight cannot be used; the message says what was expected, what was got, and the cure."""


@dataclass(frozen=True)
class Row:
    """One weight: `name` is `domain/component`, `file` is relative to `folder` or to `repo`."""

    name: str
    folder: Path
    file: str
    state: str
    licence: str
    sha256: str = ""
    bytes: int = 0
    repo: str = ""
    revision: str = ""

    @property
    def domain(self) -> str:
        """The part of the name before the slash, such as `clay-heads`."""
        return self.name.partition("/")[0]

    @property
    def component(self) -> str:
        """The part of the name after the slash, such as `generator`."""
        return self.name.partition("/")[2]

    @property
    def where(self) -> str:
        """Where the file comes from, in the words a reader can look up."""
        if self.state == "starter":
            return self.file
        pinned = f"@{self.revision[:8]}" if self.revision else ""
        return f"{self.repo}{pinned} {self.file}"

    @property
    def local(self) -> Path:
        """Where a starter file lies; whether it exists is not checked."""
        return self.folder / self.file


def read(manifest: Path | None = None) -> dict[str, Row]:
    """All rows by name, in file order; raises `WeightsError` if a row is malformed."""
    manifest = Path(manifest or MANIFEST)
    try:
        tables = tomllib.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WeightsError(
            f"expected a readable TOML manifest at {manifest}; got: {error}; "
            "restore the file from the repository."
        ) from error
    return {name: _row(name, table, manifest.parent) for name, table in tables.items()}


def find(name: str, manifest: Path | None = None) -> Row:
    """The row called `name`; an unknown name raises `WeightsError` with the closest known ones."""
    rows = read(manifest)
    if name in rows:
        return rows[name]
    close = difflib.get_close_matches(name, rows, n=3, cutoff=0.4)
    meant = f"did you mean {' or '.join(close)}?" if close else "`python -m weights` lists all."
    raise WeightsError(f"expected a weight named in {MANIFEST.name}; got {name!r}; {meant}")


def register(
    name: str, digest: str, size: int, manifest: Path | None = None, licence: str = "Apache-2.0"
) -> bool:
    """Write the SHA-256 and size in bytes of a starter file into its row, adding the row if new.

    Only these two lines change: comments and order stay. Returns whether the text changed.
    """
    manifest = Path(manifest or MANIFEST)
    before, old = read(manifest), manifest.read_text(encoding="utf-8")
    row = before.get(name) or _new_starter(name, manifest.parent, licence)
    if row.state != "starter":
        raise WeightsError(
            f"expected a starter weight to register; got {name}, which is {row.state}; "
            "its checksum is its publisher's: edit the manifest by hand."
        )
    text = old if name in before else old.rstrip("\n") + "\n\n" + _section(row)
    text = _set(text, name, {"sha256": f'"{digest}"', "bytes": str(size)})
    filled = {"sha256": digest, "bytes": size}
    expected = tomllib.loads(old)
    expected[name] = expected.get(name, tomllib.loads(_section(row)).get(name)) | filled
    if tomllib.loads(text) != expected:
        raise WeightsError(
            f"expected the plain layout of {manifest.name}, one key a line; got another in the "
            f"row {name}; write sha256 = {digest!r} and bytes = {size} by hand."
        )
    if text != old:
        write_atomically(manifest, text.encode("utf-8"))
    return text != old


def starter_file(name: str) -> str:
    """The file of a starter weight, relative to the manifest: `starter/<domain>-<component>`."""
    return f"starter/{name.replace('/', '-')}.safetensors"


def write_atomically(path: Path, content: bytes) -> None:
    """Write `path` in full or not at all: a reader never sees half of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(name, 0o644)  # mkstemp makes files that only their owner can read
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _row(name: str, table: object, folder: Path) -> Row:
    """One checked row; every fault names the row and the key."""

    def fault(problem: str) -> WeightsError:
        return WeightsError(f"manifest row {name!r}: {problem}; correct {folder / MANIFEST.name}.")

    if not isinstance(table, dict) or not re.fullmatch(r"[\w-]+/[\w-]+", name):
        raise fault('expected a table ["domain/component"]')
    known = set(Row.__dataclass_fields__) - {"name", "folder"}
    if unknown := set(table) - known:
        raise fault(f"expected keys {sorted(known)}; got {sorted(unknown)}")
    if missing := {"file", "state", "licence"} - set(table):
        raise fault(f"expected keys file, state and licence; missing {sorted(missing)}")
    wrong = [key for key in table if not isinstance(table[key], int if key == "bytes" else str)]
    if wrong:
        raise fault(f"expected text, and an integer for bytes; got another type in {wrong}")
    row = Row(name=name, folder=folder, **table)
    if row.state not in STATES:
        raise fault(f"expected state in {STATES}; got {row.state!r}")
    if row.sha256 and not _SHA256.fullmatch(row.sha256):
        raise fault(f"expected sha256 of 64 lower-case hex digits; got {row.sha256!r}")
    if row.state != "starter" and not row.repo:
        raise fault(f"expected a Hub repo for state {row.state!r}; got none")
    if Path(row.file).is_absolute() or ".." in Path(row.file).parts:
        raise fault(f"expected a relative file without '..'; got {row.file!r}")
    return row


def _new_starter(name: str, folder: Path, licence: str) -> Row:
    table = {"file": starter_file(name), "state": "starter", "licence": licence}
    return _row(name, table, folder)


def _section(row: Row) -> str:
    return (
        f'["{row.name}"]\nfile = "{row.file}"\nsha256 = ""\nbytes = 0\n'
        f'licence = "{row.licence}"\nstate = "{row.state}"\n'
    )


def _set(text: str, name: str, values: dict[str, str]) -> str:
    """`text` with the keys of one table set, each on its own line, nothing else touched."""
    lines = text.splitlines()
    header = lines.index(f'["{name}"]') if f'["{name}"]' in lines else len(lines)
    rest = range(header + 1, len(lines))
    end = next((i for i in rest if _HEADER.match(lines[i])), len(lines))
    for key, value in values.items():
        own = [i for i in range(header + 1, end) if re.match(rf"\s*{key}\s*=", lines[i])]
        if own:
            lines[own[0]] = f"{key} = {value}"
        else:
            lines.insert(header + 1, f"{key} = {value}")
            end += 1
    return "\n".join(lines) + "\n"
