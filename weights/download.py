"""Downloads, from the Hub or from an https address: what is asked for, and what is made of it.

The Hub states the SHA-256 of every large file before its first byte, and the commit it is of; both
go into the lock file (`lockfile`). Offline is an ordinary state: a missing connection ends in one
sentence after seconds, not in retries. What has not the expected checksum is removed, never handed
on; what is only a part is kept for the next time (`transfer`).
"""

from __future__ import annotations

import concurrent.futures
import errno
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from weights.errors import Altered, NoRoom, Offline, WeightsError
from weights.files import digest, place
from weights.lockfile import alone, changed, keep, known, renewal
from weights.manifest import Row
from weights.transfer import SECONDS, Progress, Transfer, refuse_size

MIRROR = "GAN_INVERSION_MIRROR"
TEXT = 20_000_000  # bytes, at most, of a text file beside a network
_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_DISK = (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT)


@dataclass(frozen=True)
class Offer:
    """What the Hub says of a file: its commit, its size in bytes, 0 if unknown, and its hash.

    sha256: of the content, "" for the small files that it stores in Git; git: their Git hash.
    """

    revision: str
    size: int
    sha256: str = ""
    git: str = ""


def download(row: Row, on_progress: Progress | None = None) -> Path:
    """The file of a row from its Hub repository or address, with the expected checksum.

    The row's own, else the one that the Hub states, which is kept; a row of another address without
    one is taken as it comes. Raises `Offline` without a connection, `Altered` for another size or
    checksum, `WeightsError` for a refusal. What `on_progress` raises ends the download; what has
    arrived is kept for the next. Several processes that ask for a file wait for one of them.
    """
    if _told_offline():
        raise offline(row)

    def wait() -> None:
        if on_progress:
            on_progress(row.name, 0, row.bytes)

    try:
        with alone(place(row), wait):
            row = known(row)  # whom this one waited for may have brought it
            if row.repo:
                return _from_hub(row, on_progress)
            return _from_address(row, on_progress)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise NoRoom(
            f"{row.name}: expected room for {row.bytes or 'its'} bytes in the cache; got "
            f"{error.strerror}; free some, or point HF_HOME at another disk."
        ) from error


def offered(row: Row, file: str = "", seconds: float = SECONDS) -> Offer:
    """What the Hub says of a row's file, or of another `file` of its repository, unopened.

    Raises `Offline` without an answer in `seconds`, `WeightsError` for a refusal.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HTTPError

    if _told_offline():
        raise offline(row)
    try:
        url = hf_hub_url(row.repo, file or row.file, revision=row.revision or None)
        found = get_hf_file_metadata(url, timeout=seconds)
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        raise _refused(row, error) from error
    etag, revision = found.etag or "", found.commit_hash or ""
    if not _SHA1.fullmatch(revision):
        raise WeightsError(
            f"{row.name}: expected the commit of {row.repo}; got {revision!r}, as from a server "
            "that is no Hub; check HF_ENDPOINT."
        )
    sums = {"sha256": etag if _SHA256.fullmatch(etag) else "", "git": etag}
    return Offer(revision, found.size or 0, **sums)


def sizes(rows: Iterable[Row], seconds: float = 2.0) -> dict[str, int]:
    """Bytes of the files of rows, by name, as far as their publishers say so in `seconds`."""
    rows = list(rows)
    if not rows or _told_offline():
        return {}
    pool = concurrent.futures.ThreadPoolExecutor(len(rows))
    asked = {pool.submit(_size, row, seconds): row.name for row in rows}
    done, _ = concurrent.futures.wait(asked, seconds)
    pool.shutdown(wait=False, cancel_futures=True)
    return {asked[task]: task.result() for task in done if task.result()}


def offline(row: Row) -> Offline:
    """The sentence for a file that is neither here nor to be had now."""
    return Offline(
        f"{row.name}: expected {row.file} of {row.repo or row.url} in the cache; got neither the "
        f"file nor a connection; connect once and run `python -m weights fetch {row.name}`, or "
        f"name a directory that holds it with --mirror or {MIRROR}."
    )


def _from_hub(row: Row, on_progress: Progress | None) -> Path:
    """The file at one commit, and the texts beside it; it gets its name last, when all are here."""
    target, offer = place(row), offered(row)
    if row.sha256 and offer.sha256 and row.sha256 != offer.sha256:
        raise changed(row, offer.sha256)
    if not (row.sha256 or offer.sha256):
        raise WeightsError(
            f"{row.name}: expected the Hub to state the sha256 of {row.file}; got none, as for all "
            f"small files; run `python -m weights pin {row.name} --file FILE` with a copy that you "
            "trust."
        )
    refuse_size(row, offer.size or None)
    promised = replace(
        row,
        sha256=row.sha256 or offer.sha256,
        bytes=row.bytes or offer.size,
        revision=offer.revision,
    )
    for file in row.beside:
        _text(promised, file)
    if target.is_file() and digest(target) == promised.sha256:
        return target
    part = _received(promised, target, on_progress)
    if not row.sha256:
        keep(row, promised.sha256, part.stat().st_size, "hub", offer.revision)
    os.replace(part, target)
    return target


def _text(row: Row, file: str) -> None:
    """A small file beside a network, from the same commit, as the Hub's hash of it says."""
    target, offer = place(row).parents[len(Path(row.file).parts) - 1] / file, offered(row, file)
    if offer.size > TEXT:
        raise WeightsError(
            f"{row.name}: expected a text of at most {TEXT} bytes beside it; got {file} with "
            f"{offer.size}; correct the manifest."
        )
    if target.is_file() and _matches(target, offer):
        return
    wanted = replace(row, file=file, sha256=offer.sha256, bytes=offer.size)
    part = _received(wanted, target, None)
    if not _matches(part, offer):
        part.unlink()
        raise Altered(
            f"{row.name}: expected {file} with the hash {offer.git[:12]}…, as {row.repo} states "
            "it; got another content, which was removed; fetch it again."
        )
    os.replace(part, target)


def _matches(path: Path, offer: Offer) -> bool:
    if offer.sha256:
        return digest(path) == offer.sha256
    content = path.read_bytes()
    named = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return named.hexdigest() == offer.git


def _from_address(row: Row, on_progress: Progress | None) -> Path:
    target = place(row)
    if row.sha256 and target.is_file() and digest(target) == row.sha256:
        return target
    os.replace(_received(row, target, on_progress), target)
    return target


def _received(row: Row, target: Path, on_progress: Progress | None) -> Path:
    """All bytes of a row's file, with its checksum if one is known, in a partial file."""
    import httpx

    url, headers = row.url, {}
    if row.repo:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers

        url = hf_hub_url(row.repo, row.file, revision=row.revision)
        headers = build_hf_headers()  # httpx gives the token to no other host
    transfer = Transfer(row, url, target, headers, on_progress)
    try:
        part = transfer.run()
        if row.sha256 and transfer.resumed and digest(part) != row.sha256:
            transfer.discard()  # one of the parts was bad: all of it once more
            transfer.resumed = False
            part = transfer.run()
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise offline(row) from error
    except httpx.HTTPError as error:
        raise WeightsError(
            f"{row.name}: expected {row.file} from {url}; got {type(error).__name__}: {error}; "
            f"fetch it again, or name a directory that holds it with --mirror or {MIRROR}."
        ) from error
    if row.sha256 and digest(part) != row.sha256:
        got, size = digest(part), part.stat().st_size
        transfer.discard()
        raise Altered(
            f"{row.name}: expected sha256 {row.sha256[:12]}… of {row.file}; got {got[:12]}… "
            f"({size} bytes) from {url}, which was removed; fetch it again, and if its publisher "
            f"replaced the file and you trust the new one, {renewal(row)}."
        )
    return part


def _size(row: Row, seconds: float) -> int:
    """What the publisher says of one file; 0 where it says nothing, or there is no connection."""
    import httpx

    try:
        if row.repo:
            return offered(row, seconds=seconds).size
        answer = httpx.head(row.url, timeout=seconds, follow_redirects=True)
    except (WeightsError, httpx.HTTPError):
        return 0
    length = answer.headers.get("Content-Length", "")
    return int(length) if answer.status_code == 200 and length.isdecimal() else 0


def _told_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _refused(row: Row, error: Exception) -> Exception:
    """One sentence for a question to the Hub that failed: what it, or the lack of it, answered."""
    from huggingface_hub import errors

    again = renewal(row)
    refusals = {
        errors.GatedRepoError: ("its terms to be accepted first", "accept them on its Hub page"),
        errors.RepositoryNotFoundError: ("no such public repository", again),
        errors.RevisionNotFoundError: ("no such revision", again),
        errors.RemoteEntryNotFoundError: ("no such file", again),
        errors.HfHubHTTPError: ("a refusal of the Hub", "try again later"),
    }
    for kind, (got, cure) in refusals.items():
        if isinstance(error, kind):
            return WeightsError(
                f"{row.name}: expected {row.file} from {row.repo}; got {got}; {cure}, or name a "
                f"directory that holds the file with --mirror or {MIRROR}."
            )
    if isinstance(error, errors.HTTPError | ConnectionError | errors.LocalEntryNotFoundError):
        return offline(row)
    return WeightsError(
        f"{row.name}: expected {row.file} from {row.repo}; got {type(error).__name__}: {error}; "
        "fetch it again."
    )
