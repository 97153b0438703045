"""From a name to a checked file: starter folder, mirror, Hub cache, pinned download, in that order.

Only safetensors leave here. A file is returned when its SHA-256 is the manifest's; offline is an
ordinary state, so a missing connection ends in one sentence after seconds, not in retries.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from weights.manifest import NO_CONVERTER, Row, WeightsError, find

MIRROR = "GAN_INVERSION_MIRROR"
SECONDS = 4.0  # to wait for the Hub to answer at all
_HEADER_LIMIT = 100_000_000  # bytes, the limit of the safetensors format itself


class Offline(WeightsError):
    """A weight is on the Hub only, and the Hub cannot be reached."""


def fetch(
    name: str,
    *,
    allow_unpinned: bool = False,
    mirror: str | Path | None = None,
    local_only: bool = False,
    manifest: Path | None = None,
) -> Path:
    """The checked safetensors file of the weight `name` ("domain/component").

    `allow_unpinned` accepts a row without a checksum; `mirror` is a directory holding
    `<repo>/<file>` or `<file>`, by default the environment variable GAN_INVERSION_MIRROR;
    `local_only` never asks the network. Raises `WeightsError`: unknown name, missing file, wrong
    checksum or other format; `Offline` if only a connection is missing.
    """
    row = find(name, manifest)
    _refuse(row, allow_unpinned)
    path = _starter(row) or _mirrored(row, mirror) or _cached(row)
    if path is None:
        path = _download(row, local_only)
    check(row, path)
    return path


def located(row: Row, mirror: str | Path | None = None) -> Path | None:
    """Where the file of a row is on this machine (unchecked, no network), or None."""
    return _starter(row) or _mirrored(row, mirror) or _cached(row)


def digest(path: Path) -> str:
    """SHA-256 of a file in hex, computed once per process for a given path, time and size."""
    status = path.stat()
    return _digest(path, status.st_mtime_ns, status.st_size)


def check_digest(row: Row, path: Path) -> None:
    """Raise `WeightsError` unless `path` has the row's SHA-256; its content is not interpreted."""
    if row.sha256 and digest(path) != row.sha256:
        raise WeightsError(
            f"{row.name}: expected sha256 {row.sha256[:12]}…; got {digest(path)[:12]}… "
            f"({path.stat().st_size} bytes, {row.bytes or 'unknown'} expected) in {path}; "
            f"{_repair(row, path)}"
        )


def check(row: Row, path: Path) -> None:
    """Raise `WeightsError` unless `path` has the row's SHA-256 and is safetensors."""
    check_digest(row, path)
    if not is_safetensors(path):
        raise WeightsError(
            f"{row.name}: expected a safetensors file; got something else in {path}; "
            f"{_repair(row, path)}"
        )


def is_safetensors(path: Path) -> bool:
    """Whether a file begins with a whole safetensors header; reads that header only."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 10 or not 2 <= length <= min(size - 8, _HEADER_LIMIT):
            return False
        try:
            return isinstance(json.loads(stream.read(length)), dict)
        except ValueError:
            return False


def refuse_other_formats(path: Path) -> None:
    """Raise `WeightsError` unless a path ends in .safetensors: pickles are never opened."""
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"expected a .safetensors file; got {path.name}, which may execute code when opened; "
            "convert it first: only safetensors are read here."
        )


@functools.lru_cache(maxsize=256)
def _digest(path: Path, mtime_ns: int, size: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _refuse(row: Row, allow_unpinned: bool) -> None:
    """Stop before touching any file when the row itself cannot be used."""
    if row.state == "published":
        raise WeightsError(
            f"{row.name}: expected a safetensors file; got {row.repo} {row.file} "
            f"({NO_CONVERTER}); use a clay-heads weight, which needs no conversion."
        )
    refuse_other_formats(Path(row.file))
    if row.sha256 or allow_unpinned:
        return
    if row.state == "starter" and not row.local.is_file():
        raise _missing_starter(row)
    cure = (
        f"run `python -m weights register {row.name}` if you trained it"
        if row.state == "starter"
        else "write its sha256 into the manifest"
    )
    raise WeightsError(
        f"{row.name}: expected a sha256 in the manifest; got none; "
        f"{cure}, or pass allow_unpinned=True to trust the file as it is."
    )


def _starter(row: Row) -> Path | None:
    return row.local if row.state == "starter" and row.local.is_file() else None


def _mirrored(row: Row, mirror: str | Path | None) -> Path | None:
    """The file in a mirror directory, under its repository's name or directly."""
    mirror = mirror or os.environ.get(MIRROR)
    if not mirror:
        return None
    root = Path(mirror).expanduser()
    if not root.is_dir():
        raise WeightsError(
            f"expected a directory as mirror; got {root}; correct --mirror or {MIRROR}."
        )
    places = [root / row.repo / row.file] if row.repo else []
    return next((p for p in (*places, root / row.file) if p.is_file()), None)


def _cached(row: Row) -> Path | None:
    """The file in the Hub cache at the pinned revision; never asks the network."""
    if row.state == "starter":
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(row.repo, row.file, revision=row.revision or None)
    return Path(found) if isinstance(found, str) else None


def _download(row: Row, local_only: bool) -> Path:
    """Download from the Hub at the pinned revision; what fails its checksum is removed."""
    if row.state == "starter":
        raise _missing_starter(row)
    if local_only:
        raise _offline(row)
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import HTTPError

    revision = row.revision or None
    try:
        # Ask once first: without a cached file, hf_hub_download retries for half a minute.
        get_hf_file_metadata(hf_hub_url(row.repo, row.file, revision=revision), timeout=SECONDS)
        with _without_partial_files(row):
            path = Path(
                hf_hub_download(row.repo, row.file, revision=revision, etag_timeout=SECONDS)
            )
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        raise _undelivered(row, error) from error
    try:
        check(row, path)
    except WeightsError:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return path


@contextlib.contextmanager
def _without_partial_files(row: Row) -> Iterator[None]:
    """Remove the unfinished files that a failing download of this repository left in the cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    blobs = Path(HF_HUB_CACHE) / f"models--{row.repo.replace('/', '--')}" / "blobs"
    before = set(blobs.glob("*.incomplete"))
    try:
        yield
    except BaseException:
        for path in set(blobs.glob("*.incomplete")) - before:
            path.unlink(missing_ok=True)
        raise


def _missing_starter(row: Row) -> WeightsError:
    return WeightsError(
        f"{row.name}: expected the starter file {row.local}; got no such file; "
        "restore it from the repository, or train it with its recipe in pipelines/training."
    )


def _offline(row: Row) -> Offline:
    return Offline(
        f"{row.name}: expected {row.file} of {row.repo} in the Hub cache; got neither the file nor "
        f"a connection; connect once and run `python -m weights fetch {row.domain}`, or name a "
        f"directory that holds it with --mirror or {MIRROR}."
    )


def _undelivered(row: Row, error: Exception) -> WeightsError:
    """One sentence for a failed download: what the Hub, or the lack of it, answered."""
    from huggingface_hub import errors

    refusals = {
        errors.GatedRepoError: ("its terms to be accepted first", "accept them on its Hub page"),
        errors.RepositoryNotFoundError: ("no such public repository", "correct the manifest"),
        errors.RevisionNotFoundError: ("no such revision", "correct the manifest"),
        errors.RemoteEntryNotFoundError: ("no such file", "correct the manifest"),
        errors.HfHubHTTPError: ("a refusal of the Hub", "try again later"),
    }
    for kind, (got, cure) in refusals.items():
        if isinstance(error, kind):
            return WeightsError(
                f"{row.name}: expected {row.file} from {row.repo}; got {got}; {cure}, or name a "
                f"directory that holds the file with --mirror or {MIRROR}."
            )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS):
        return WeightsError(
            f"{row.name}: expected room for {row.bytes or 'its'} bytes in the Hub cache; got "
            f"{error.strerror}; free some, or point HF_HOME at another disk."
        )
    if isinstance(error, errors.HTTPError | ConnectionError | errors.LocalEntryNotFoundError):
        return _offline(row)
    return WeightsError(
        f"{row.name}: expected {row.file} from {row.repo}; got {type(error).__name__}: "
        f"{str(error).splitlines()[0] if str(error) else 'no reason'}; fetch it again."
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
    return f"delete it and run `python -m weights fetch {row.domain}` again."
