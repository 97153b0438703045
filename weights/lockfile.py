"""The lock file: which bytes a name stood for when they first arrived, so that they stay the same.

`weights.lock.json` lies in the cache. For each weight whose checksum the manifest does not give it
keeps the source, the revision of a Hub repository, SHA-256, size, and who vouched for these bytes:
`hub` (the Hub states the SHA-256 of every large file) or `trust` (who runs the app trusted the
publisher's address when the file was first used). A later change under the same name is refused.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from weights.errors import Altered, NoRoom, WeightsError
from weights.files import cache
from weights.manifest import Row, write_atomically

VOUCHERS = ("hub", "trust")
POLL = 0.2  # s between two looks at whether another process is done
_KEYS = {"source": str, "revision": str, "sha256": str, "bytes": int, "vouched": str}
_SHA256 = re.compile(r"[0-9a-f]{64}")


def place() -> Path:
    """Where the lock file lies; whether it exists is not checked."""
    return cache() / "weights.lock.json"


def known(row: Row) -> Row:
    """The row with the checksum, size and revision that are kept for it; itself if there are none.

    A row whose manifest gives a checksum stays as it is, and so does one that has moved to another
    source since. Raises `WeightsError` for a damaged lock file.
    """
    if row.sha256 or not (row.repo or row.url):
        return row
    entry = _entries().get(row.name)
    if entry is None or entry["source"] != _source(row):
        return row
    kept = {key: entry[key] for key in ("sha256", "bytes", "revision")}
    return replace(row, **kept | {"revision": row.revision or entry["revision"]})


def keep(row: Row, sha256: str, size: int, vouched: str, revision: str = "") -> Row:
    """Keep SHA-256, size in bytes and revision of a row's file; the row with them.

    vouched: one of VOUCHERS. Raises `Altered` where another checksum is kept for the same source.
    """
    if vouched not in VOUCHERS:
        raise ValueError(f"vouched must be one of {VOUCHERS}; got {vouched!r}.")
    with alone(place()):
        entries = dict(_entries())
        before = known(row)
        if before.sha256 and before.sha256 != sha256:
            raise changed(before, sha256)
        entries[row.name] = {
            "source": _source(row), "revision": revision, "sha256": sha256, "bytes": size,
            "vouched": vouched,
        }  # fmt: skip
        _write(entries)
    return known(row)


def forget(name: str) -> bool:
    """Drop what is kept for a name, so that the next file under it counts as the first.

    Returns whether anything was kept.
    """
    if not place().is_file():
        return False
    with alone(place()):
        entries = dict(_entries())
        found = entries.pop(name, None)
        if found:
            _write(entries)
    return found is not None


def changed(row: Row, sha256: str) -> Altered:
    """The sentence for a file whose publisher offers other bytes than those that are expected."""
    where = "kept when it first arrived" if _is_kept(row) else "listed in the manifest"
    return Altered(
        f"{row.name}: expected sha256 {row.sha256[:12]}… of {row.file}, as {where}; got "
        f"{sha256[:12]}… from {row.repo or row.url}; its publisher replaced the file: if you trust "
        f"the new one, {renewal(row)}."
    )


def renewal(row: Row) -> str:
    """What a person does who wants what the publisher has now instead of what is expected."""
    forget = f"run `python -m weights forget {row.name}`"
    return forget if _is_kept(row) else "correct the manifest"


def find(name: str) -> dict[str, Any] | None:
    """What is kept for a name: source, revision, sha256, bytes, vouched; None if nothing is."""
    return _entries().get(name)


def _is_kept(row: Row) -> bool:
    return bool(row.sha256) and (find(row.name) or {}).get("sha256") == row.sha256


@contextlib.contextmanager
def alone(target: Path, waiting: Callable[[], object] | None = None) -> Iterator[None]:
    """Work on a file of the cache that no other process or thread works on; waits for them.

    waiting: called every 0.2 s of it, and what it raises ends the wait. A process that ends, in
    whatever way, works no more.
    """
    from filelock import FileLock, Timeout

    folder = cache() / ".locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NoRoom(
            f"expected a folder to write in at {cache()}; got {error.strerror}; point "
            "GAN_INVERSION_CACHE at a folder of yours."
        ) from error
    name = "--".join(target.relative_to(cache()).parts)
    lock = FileLock(folder / f"{name}.lock", thread_local=False)
    while True:
        try:
            lock.acquire(timeout=POLL)
            break
        except Timeout:
            if waiting:
                waiting()
    try:
        yield
    finally:
        lock.release()


def _source(row: Row) -> str:
    """What a row's bytes are looked for under: another revision in the manifest is another one."""
    return f"{row.repo}@{row.revision or 'main'} {row.file}" if row.repo else row.url


def _entries() -> dict[str, dict[str, Any]]:
    path = place()
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return _read(path, status.st_ino, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4)  # a page asks for a hundred rows while it is built
def _read(path: Path, inode: int, mtime_ns: int, size: int) -> dict[str, dict[str, Any]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["weights"]
        for entry in entries.values():
            sound = {key: type(value) for key, value in entry.items()} == _KEYS
            if not (sound and _SHA256.fullmatch(entry["sha256"])):
                raise ValueError("an entry without its five keys")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"expected checksums of downloaded weights as JSON in {path}; got another content "
            f"({error}); restore the file, or delete it to trust their publishers anew."
        ) from error
    return entries


def _write(entries: dict[str, dict[str, Any]]) -> None:
    content = {"version": 1, "weights": dict(sorted(entries.items()))}
    write_atomically(place(), (json.dumps(content, indent=1) + "\n").encode())
    _read.cache_clear()  # the clock of the disk may be too coarse to tell two writes apart
