"""The list of every weight: `manifest.toml`, one table per `domain/component`.

A row says where a file is (beside the manifest, in a Hub repository at a pinned revision, at an
https address, or on a page from which a person takes it), which bytes are expected (SHA-256 and
size), under which licence, and in which state it is:

- `starter`: trained by a recipe of this project, shipped in `weights/starter`;
- `hub`: a safetensors file in a Hub repository, opened as it is;
- `published`: published by its authors in another format; its `converter` rewrites it once as
  safetensors in the cache. Without a converter it is listed, not usable;
- `recipe`: published by nobody; the command in `recipe` trains it, none if there is no recipe yet.

A table without a slash, such as `[ffhq]`, is a domain: its title, the pixels of its pictures, for
each paper the weights without which its page does not run there, and in `extras` those that add
something to the page.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from weights.errors import WeightsError

MANIFEST = Path(__file__).with_name("manifest.toml")
STATES = ("starter", "hub", "published", "recipe")
NO_CONVERTER = "published, converter not written yet"

_HEADER = re.compile(r"^\s*\[")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*(/[a-z0-9][a-z0-9.-]*)?")


@dataclass(frozen=True)
class Row:
    """One weight: `name` is `domain/component`, `file` is relative to `folder` or to its source.

    `repo` and `revision` name a Hub repository, `url` an https address, `page` where a person gets
    the file; `beside` are small text files of the same repository that loaders want next to it.
    """

    name: str
    folder: Path
    file: str
    state: str
    licence: str
    sha256: str = ""
    bytes: int = 0
    repo: str = ""
    revision: str = ""
    url: str = ""
    page: str = ""
    converter: str = ""
    recipe: str = ""
    beside: tuple[str, ...] = ()

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
        if self.state == "recipe":
            return self.recipe or "no recipe yet"
        if self.repo:
            pinned = f"@{self.revision[:8]}" if self.revision else ""
            return f"{self.repo}{pinned} {self.file}"
        return f"{urlsplit(self.url or self.page).hostname} {self.file}"

    @property
    def local(self) -> Path:
        """Where a starter file lies; whether it exists is not checked."""
        return self.folder / self.file


@dataclass(frozen=True)
class DomainRow:
    """One domain: `needs` gives, for a paper's word, the full names of the weights of its page.

    `extras`, by the same words, are weights that the page uses where they are, and does without.
    """

    name: str
    title: str
    pixels: tuple[int, int]
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read(manifest: Path | None = None) -> dict[str, Row]:
    """All rows by name, in file order; raises `WeightsError` if a row is malformed."""
    manifest = Path(manifest or MANIFEST)
    tables = _tables(manifest).items()
    return {name: _row(name, t, manifest.parent) for name, t in tables if not _is_domain(name, t)}


def read_domains(manifest: Path | None = None) -> dict[str, DomainRow]:
    """All domains by name, in file order; raises `WeightsError` if one names an unknown weight."""
    manifest = Path(manifest or MANIFEST)
    tables, known = _tables(manifest).items(), read(manifest)
    return {name: _domain(name, t, known, manifest) for name, t in tables if _is_domain(name, t)}


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
    row = read(manifest).get(name) or _new_starter(name, manifest.parent, licence)
    if row.state != "starter":
        raise WeightsError(
            f"expected a starter weight to register; got {name}, which is {row.state}; "
            "its checksum is its publisher's: edit the manifest by hand, or run "
            f"`python -m weights pin {name}` on a file you trust."
        )
    return _write_numbers(row, digest, size, manifest)


def pin(name: str, digest: str, size: int, manifest: Path | None = None) -> bool:
    """Write the SHA-256 and size in bytes of a file that the caller trusts into its row.

    A different checksum or size that stands there already is never replaced: `WeightsError`.
    """
    manifest = Path(manifest or MANIFEST)
    row = find(name, manifest)
    if row.state == "starter":
        raise WeightsError(
            f"expected a weight from elsewhere to pin; got {name}, a starter weight; "
            f"run `python -m weights register {name}`."
        )
    for key, old, new in (("sha256", row.sha256, digest), ("bytes", row.bytes, size)):
        if old and old != new:
            raise WeightsError(
                f"{name}: expected {key} {old}, as pinned before; got {new}; if the publisher "
                f"really replaced the file, delete that line of {manifest} first."
            )
    return _write_numbers(row, digest, size, manifest)


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


def _tables(manifest: Path) -> dict[str, object]:
    try:
        return _parsed(manifest.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WeightsError(
            f"expected a readable TOML manifest at {manifest}; got: {error}; "
            "restore the file from the repository."
        ) from error


@functools.lru_cache(maxsize=4)  # a page asks for a dozen rows while it is built
def _parsed(text: str) -> dict[str, object]:
    return tomllib.loads(text)


def _is_domain(name: str, table: object) -> bool:
    return "/" not in name and isinstance(table, dict)


def _row(name: str, table: object, folder: Path) -> Row:
    """One checked row; every fault names the row and the key."""

    def fault(problem: str) -> WeightsError:
        return WeightsError(f"manifest row {name!r}: {problem}; correct {folder / MANIFEST.name}.")

    if not isinstance(table, dict) or not _NAME.fullmatch(name) or "/" not in name:
        raise fault('expected a table ["domain/component"] in lower case')
    known = set(Row.__dataclass_fields__) - {"name", "folder"}
    if unknown := set(table) - known:
        raise fault(f"expected keys {sorted(known)}; got {sorted(unknown)}")
    if missing := {"file", "state", "licence"} - set(table):
        raise fault(f"expected keys file, state and licence; missing {sorted(missing)}")
    kinds = {"bytes": int, "beside": list}
    if wrong := [k for k, value in table.items() if not isinstance(value, kinds.get(k, str))]:
        raise fault(f"expected text, an integer for bytes, a list for beside; got {wrong}")
    row = Row(name=name, folder=folder, **table | {"beside": tuple(table.get("beside", ()))})
    if problem := _problem(row):
        raise fault(problem)
    return row


def _problem(row: Row) -> str | None:
    """What contradicts itself in a row, None if nothing does."""
    texts = (*(value for value in vars(row).values() if isinstance(value, str)), *row.beside)
    if wrong := [text for text in texts if not text.isprintable()]:  # they stand in tables
        return f"expected text of one line without control characters; got {wrong[0]!r}"
    if row.state not in STATES:
        return f"expected state in {STATES}; got {row.state!r}"
    if row.sha256 and not _SHA256.fullmatch(row.sha256):
        return f"expected sha256 of 64 lower-case hex digits; got {row.sha256!r}"
    if row.bytes < 0:
        return f"expected bytes of at least 0; got {row.bytes}"
    for file in (row.file, *row.beside):
        if not file or Path(file).is_absolute() or ".." in Path(file).parts:
            return f"expected a relative file without '..'; got {file!r}"
    if any(Path(file).suffix not in (".json", ".txt") for file in row.beside):
        return f"expected text files (.json, .txt) beside it; got {row.beside}"
    sources = [key for key in ("repo", "url", "page") if getattr(row, key)]
    if row.state == "hub" and sources != ["repo"]:
        return f"expected a Hub repo for state 'hub'; got {sources or 'none'}"
    if row.state == "published" and len(sources) != 1:
        return f"expected one of repo, url and page for state 'published'; got {sources or 'none'}"
    if row.converter and row.state != "published":
        return f"expected a converter only for state 'published'; got {row.state!r}"
    for address in (row.url, row.page):
        if address and not (urlsplit(address).scheme == "https" and urlsplit(address).hostname):
            return f"expected an https address; got {address!r}"
    return None


def _domain(name: str, table: Any, rows: Mapping[str, Row], manifest: Path) -> DomainRow:
    """One checked domain; a need without a slash is the domain's own component."""

    def fault(problem: str) -> WeightsError:
        return WeightsError(f"manifest domain {name!r}: {problem}; correct {manifest}.")

    table = {"extras": {}} | table
    if set(table) != {"title", "pixels", "needs", "extras"} or not _NAME.fullmatch(name):
        raise fault(f"expected a title, pixels and needs; got {sorted(table)}")
    if not (isinstance(table["title"], str) and isinstance(table["needs"], dict)):
        raise fault("expected a text as title and a table as needs; got another type")
    if not table["title"].isprintable():
        raise fault(f"expected a title of one line; got {table['title']!r}")
    width_height = table["pixels"]
    if len(width_height) != 2 or not all(isinstance(n, int) and n > 0 for n in width_height):
        raise fault(f"expected pixels = [width, height]; got {width_height}")
    if strangers := sorted(set(table["extras"]) - set(table["needs"])):
        raise fault(f"expected extras of papers that have needs; got {strangers}")
    lists = [_full_names(name, table[key]) for key in ("needs", "extras")]
    for paper, names in (entry for full in lists for entry in full.items()):
        if unknown := [one for one in names if one not in rows]:
            raise fault(f"expected rows of this manifest under {paper}; got {unknown}")
    return DomainRow(name, table["title"], (*width_height,), *map(MappingProxyType, lists))


def _full_names(domain: str, table: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """Weights by paper, under their full names."""
    return {
        paper: tuple(name if "/" in name else f"{domain}/{name}" for name in names)
        for paper, names in table.items()
    }


def _new_starter(name: str, folder: Path, licence: str) -> Row:
    table = {"file": starter_file(name), "state": "starter", "licence": licence}
    return _row(name, table, folder)


def _section(row: Row) -> str:
    return (
        f'["{row.name}"]\nfile = "{row.file}"\nsha256 = ""\nbytes = 0\n'
        f'licence = "{row.licence}"\nstate = "{row.state}"\n'
    )


def _write_numbers(row: Row, digest: str, size: int, manifest: Path) -> bool:
    """Set sha256 and bytes of a row, and prove by reading back that nothing else changed."""
    old = manifest.read_text(encoding="utf-8")
    expected, name = tomllib.loads(old), row.name
    text = old if name in expected else old.rstrip("\n") + "\n\n" + _section(row)
    text = _set(text, name, {"sha256": f'"{digest}"', "bytes": str(size)})
    table = expected.get(name) or tomllib.loads(_section(row))[name]
    expected[name] = table | {"sha256": digest, "bytes": size}
    if tomllib.loads(text) != expected:
        raise WeightsError(
            f"expected the plain layout of {manifest.name}, one key a line; got another in the "
            f"row {name}; write sha256 = {digest!r} and bytes = {size} by hand."
        )
    if text != old:
        write_atomically(manifest, text.encode("utf-8"))
    return text != old


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
