"""From a name to a checked safetensors file.

Looked for in this order: starter folder, mirror, caches, download. Somebody must vouch for what is
found: the manifest by its SHA-256, the Hub by the one that it states, or who runs the app, who
trusts a publisher's address once. A file in a published format is then converted once
(weights/conversion).
"""

from __future__ import annotations

import functools
import logging
import os
import re
from pathlib import Path

from weights.conversion import convert, converted, is_converted
from weights.download import MIRROR, Offer, download, offered, offline
from weights.errors import Offline, WeightsError
from weights.files import check, check_digest, digest, is_pinned_graph, place, refuse_other_formats
from weights.lockfile import keep, known
from weights.manifest import NO_CONVERTER, Row, find
from weights.transfer import Progress

__all__ = [
    "MIRROR",
    "UNTRUSTED",
    "Progress",
    "fetch",
    "located",
    "source",
    "stated",
    "status",
    "untrusted",
]

UNTRUSTED = "not trusted yet"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch(
    name: str,
    *,
    trust: bool = False,
    mirror: str | Path | None = None,
    local_only: bool = False,
    on_progress: Progress | None = None,
    manifest: Path | None = None,
) -> Path:
    """The checked safetensors file of the weight `name` ("domain/component").

    `trust` accepts a file for which nobody vouches: the checksum of one from an https address is
    kept from then on, and a later change refused. `mirror` is a directory holding `<repo>/<file>`,
    `<name>/<file>` or `<file>`, by default the environment variable GAN_INVERSION_MIRROR;
    `local_only` never asks the network; `on_progress(name, bytes so far, all bytes or 0)` is called
    while downloading. Raises `WeightsError`: unknown name, missing file, wrong checksum or other
    format; `Offline` if only a connection is missing.
    """
    row = find(name, manifest)
    _refuse_format(row)
    row = known(row)
    if row.converter and row.sha256 and (done := converted(row, row.sha256)):
        return done
    _refuse_unvouched(row, trust)
    path = source(row, mirror=mirror, local_only=local_only, on_progress=on_progress)
    row = _vouched(row, path, trust, local_only)
    if not row.converter:
        check(row, path)
        return path
    check_digest(row, path)
    return convert(row, path, digest(path))


def source(
    row: Row,
    *,
    mirror: str | Path | None = None,
    local_only: bool = False,
    on_progress: Progress | None = None,
) -> Path:
    """The file of a row as it was published, unopened: from this machine, else downloaded.

    Only what is downloaded now has been checked; raises `WeightsError` if there is no way to it.
    """
    if path := located(row, mirror):
        return path
    if row.state == "starter":
        raise _missing_starter(row)
    if not (row.repo or row.url):
        raise WeightsError(_by_hand(row))
    if local_only:
        raise offline(row)
    return download(row, on_progress)


def located(row: Row, mirror: str | Path | None = None) -> Path | None:
    """Where the file of a row is on this machine (unchecked, no network), or None."""
    if row.state == "starter" and row.local.is_file():
        return row.local
    return _mirrored(row, mirror) or _cached(row)


def status(row: Row) -> tuple[bool, str]:
    """Whether a row can be used now, without a network, and why; no file is read for it."""
    if row.state == "published" and not row.converter:
        return False, NO_CONVERTER
    try:
        row = known(row)
    except WeightsError:
        return False, "lock file damaged"
    if row.converter and row.sha256 and is_converted(row):
        return True, "cached"
    path = located(row)
    if path is None:
        return False, _absence(row)
    if not row.sha256 and not stated(row, path):
        return False, "not registered" if row.state == "starter" else _unvouched(row)
    if row.bytes and path.stat().st_size != row.bytes:
        return False, "damaged"
    return True, "starter" if row.state == "starter" else "cached"


def untrusted(row: Row) -> bool:
    """Whether a row is at a publisher's https address without anybody who vouches for the file."""
    return bool(row.url) and not known(row).sha256


def _unvouched(row: Row) -> str:
    return UNTRUSTED if row.url else "not pinned"


def _absence(row: Row) -> str:
    """Why the file of a row is not here, in the words of the table."""
    if row.state == "starter":
        return "missing"
    if row.state == "recipe":
        return "not trained yet" if row.recipe else "nobody publishes it, no recipe yet"
    if row.page:
        return "to be placed by hand"
    return "not downloaded" if row.sha256 or row.repo else _unvouched(row)


def _refuse_format(row: Row) -> None:
    """Stop before touching any file when the row itself cannot be used."""
    if row.state == "published" and not row.converter:
        raise WeightsError(
            f"{row.name}: expected a safetensors file; got {row.where} ({NO_CONVERTER}); "
            "use a clay-heads weight, which needs no conversion."
        )
    if row.state != "published" and not is_pinned_graph(row):
        refuse_other_formats(Path(row.file))


def _refuse_unvouched(row: Row, trust: bool) -> None:
    """Stop before any file is fetched or read for which nobody would vouch; the Hub does."""
    if row.sha256 or trust or row.repo:
        return
    if row.state == "starter" and not row.local.is_file():
        raise _missing_starter(row)
    if row.state != "starter" and not row.url and located(row) is None:
        raise WeightsError(_by_hand(row))
    raise _nobody_vouches(row)


def _vouched(row: Row, path: Path, trust: bool, local_only: bool) -> Row:
    """The row with the checksum that somebody vouches for, kept from now on if it was not yet.

    Raises `WeightsError` if nobody does: the Hub, as it said when it was asked, or whoever called.
    """
    row = known(row)  # a download has kept what the Hub states
    if row.sha256:
        return row
    if row.repo:
        if found := stated(row, path):
            return keep(row, found[1], path.stat().st_size, "hub", found[0])
        if not local_only and (asked := _asked(row)):
            return keep(row, asked.sha256, asked.size or path.stat().st_size, "hub", asked.revision)
    if not trust:
        raise _nobody_vouches(row)
    if not (row.repo or row.url):
        return row  # a file that a person brought: it may be another one tomorrow
    return keep(row, digest(path), path.stat().st_size, "trust")


def _asked(row: Row) -> Offer | None:
    """What the Hub states of a file that is here already; None if it cannot be asked."""
    try:
        offer = offered(row)
    except Offline:
        return None
    return offer if offer.sha256 else None


def stated(row: Row, path: Path) -> tuple[str, str] | None:
    """Commit and SHA-256 that the Hub stated of a file in its cache, None for any other file.

    There a file is a link, in a folder named by its commit, to a blob named by its hash.
    """
    if not (row.repo and path.is_symlink()):
        return None
    folder, blob = path.parents[len(Path(row.file).parts) - 1], path.readlink()
    if folder.parent.name != "snapshots" or blob.parent.name != "blobs":
        return None
    return (folder.name, blob.name) if _SHA256.fullmatch(blob.name) else None


def _nobody_vouches(row: Row) -> WeightsError:
    cure = f"run `python -m weights pin {row.name}` once if you trust {row.where}"
    if row.state == "starter":
        cure = f"run `python -m weights register {row.name}` if you trained it"
    elif row.url:
        cure = f"run `python -m weights fetch {row.name} --trust` once if you trust {row.where}"
    return WeightsError(
        f"{row.name}: expected a sha256 in the manifest; got none; "
        f"{cure}, or pass trust=True to take the file as it is."
    )


def _mirrored(row: Row, mirror: str | Path | None) -> Path | None:
    """The file in a mirror directory: under its repository, under the row's name, or directly."""
    named = mirror or os.environ.get(MIRROR)
    if not named:
        return None
    root = Path(named).expanduser()
    if not root.is_dir():
        if not mirror:  # a setting for all weights must not end what needs none of it
            _say_absent(root)
            return None
        raise WeightsError(
            f"expected a directory as mirror; got {root}; correct --mirror or {MIRROR}."
        )
    folders = [root / row.repo] if row.repo else []
    for folder in (*folders, root / row.name, root):
        if (folder / row.file).is_file():
            _want_beside(row, folder)
            return folder / row.file
    return None


@functools.cache
def _say_absent(root: Path) -> None:
    """Once for each mirror of the environment."""
    logging.getLogger(__name__).warning(
        "expected a directory as mirror; got %s; going on without it: correct %s.", root, MIRROR
    )


def _want_beside(row: Row, folder: Path) -> None:
    if missing := [file for file in row.beside if not (folder / file).is_file()]:
        raise WeightsError(
            f"{row.name}: expected {', '.join(row.beside)} beside {row.file} in {folder}; got no "
            f"{', '.join(missing)}; copy the whole folder of {row.repo}."
        )


def _cached(row: Row) -> Path | None:
    """The file in our cache, or in the Hub's at the expected revision; never asks the network."""
    if row.state == "starter":
        return None
    files, root = (*row.beside, row.file), place(row).parents[len(Path(row.file).parts) - 1]
    if all((root / file).is_file() for file in files):
        return place(row)
    if not row.repo:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(row.repo, f, revision=row.revision or None) for f in files]
    return Path(found[-1]) if all(isinstance(path, str) for path in found) else None


def _missing_starter(row: Row) -> WeightsError:
    return WeightsError(
        f"{row.name}: expected the starter file {row.local}; got no such file; "
        f"restore it from the repository, or train it: {row.recipe or 'pipelines/training'}."
    )


def _by_hand(row: Row) -> str:
    """The sentence for a file that no program can fetch."""
    if row.state == "recipe":
        how = f"train it with `{row.recipe}`" if row.recipe else "no recipe for it is written yet"
        return (
            f"{row.name}: expected {row.file} in {place(row).parent}; got no such file, and nobody "
            f"publishes it; {how}."
        )
    pin = "" if row.sha256 else f"; then run `python -m weights pin {row.name}`"
    return (
        f"{row.name}: expected {row.file}; got no such file, and there is no direct download; take "
        f"it from {row.page} and put it at {place(row)}, or name a directory that holds it with "
        f"--mirror or {MIRROR}{pin}."
    )
