"""Downloads, from the Hub or from an https address: all of a file or nothing of it.

Offline is an ordinary state: a missing connection ends in one sentence after seconds, not in
retries. What does not have the expected size or checksum is removed, never handed on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from weights.files import check, check_digest, place
from weights.manifest import Row, WeightsError

if TYPE_CHECKING:
    import httpx

MIRROR = "GAN_INVERSION_MIRROR"
SECONDS = 4.0  # to wait for an answer at all
LARGEST = 8_000_000_000  # bytes accepted of a file whose size is not known beforehand
SPARED = 2_000_000_000  # bytes of the cache's disk that no download may take

Progress = Callable[[str, int, int], None]  # name of the weight, bytes so far, all bytes or 0


class Offline(WeightsError):
    """A weight is elsewhere only, and elsewhere cannot be reached."""


def download(row: Row, on_progress: Progress | None = None) -> Path:
    """The file of a row from its Hub repository or address, with the expected checksum.

    Raises `Offline` without a connection, `WeightsError` for a refusal, a wrong size or checksum.
    What `on_progress` raises ends the download, and nothing of the file is left.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise offline(row)
    try:
        return _from_hub(row, on_progress) if row.repo else _from_address(row, on_progress)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS):
            raise
        raise WeightsError(
            f"{row.name}: expected room for {row.bytes or 'its'} bytes in the cache; got "
            f"{error.strerror}; free some, or point HF_HOME at another disk."
        ) from error


def offline(row: Row) -> Offline:
    """The sentence for a file that is neither here nor to be had now."""
    return Offline(
        f"{row.name}: expected {row.file} of {row.repo or row.url} in the cache; got neither the "
        f"file nor a connection; connect once and run `python -m weights fetch {row.name}`, or "
        f"name a directory that holds it with --mirror or {MIRROR}."
    )


def _from_hub(row: Row, on_progress: Progress | None) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import HTTPError

    revision = row.revision or None
    try:
        # Ask once first: without a cached file, hf_hub_download retries for half a minute.
        answer = get_hf_file_metadata(
            hf_hub_url(row.repo, row.file, revision=revision), timeout=SECONDS
        )
        _refuse_size(row, answer.size)
        bar = {"tqdm_class": _bar(row, answer.size or 0, on_progress)} if on_progress else {}
        with _without_partial_files(row):
            for file in row.beside:
                hf_hub_download(row.repo, file, revision=revision, etag_timeout=SECONDS)
            path = Path(
                hf_hub_download(row.repo, row.file, revision=revision, etag_timeout=SECONDS, **bar)
            )
    except WeightsError:
        raise
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        raise _undelivered(row, error) from error
    try:
        (check if row.state == "hub" else check_digest)(row, path)
    except WeightsError:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return path


def _from_address(row: Row, on_progress: Progress | None) -> Path:
    """Stream to a hidden file beside the final place; it gets its name when it is whole."""
    import httpx

    target, part = place(row), None
    try:
        with _client() as client, client.stream("GET", row.url) as answer:
            _refuse_answer(row, answer)
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
            part = Path(name)
            with os.fdopen(handle, "wb") as stream:
                _copy(row, answer, stream, on_progress)
        check_digest(row, part)
        os.replace(part, target)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise offline(row) from error
    except httpx.HTTPError as error:
        raise WeightsError(
            f"{row.name}: expected {row.file} from {row.url}; got {type(error).__name__}: {error}; "
            f"fetch it again, or name a directory that holds it with --mirror or {MIRROR}."
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return target


def _client() -> httpx.Client:
    import httpx

    return httpx.Client(
        follow_redirects=True,
        timeout=httpx.Timeout(30.0, connect=SECONDS),
        headers={"Accept-Encoding": "identity"},  # so that Content-Length counts the file's bytes
    )


def _refuse_answer(row: Row, answer: httpx.Response) -> None:
    """Stop before the first byte if the answer is not this file over https."""
    if answer.status_code != 200:
        raise WeightsError(
            f"{row.name}: expected {row.file} from {row.url}; got status {answer.status_code}; "
            f"correct the manifest, or name a directory that holds it with --mirror or {MIRROR}."
        )
    if any(step.url.scheme != "https" for step in (*answer.history, answer)):
        raise WeightsError(
            f"{row.name}: expected https all the way from {row.url}; got {answer.url}; "
            "name a trustworthy address in the manifest."
        )
    length = answer.headers.get("Content-Length", "")
    _refuse_size(row, int(length) if length.isdecimal() else None)


def _refuse_size(row: Row, size: int | None) -> None:
    if size is None:
        return
    if row.bytes and size != row.bytes:
        raise WeightsError(
            f"{row.name}: expected {row.bytes} bytes from {row.repo or row.url}; got an offer of "
            f"{size}; the publisher replaced the file, or the manifest is wrong: correct it."
        )
    if size > LARGEST:
        raise WeightsError(
            f"{row.name}: expected at most {LARGEST} bytes from {row.repo or row.url}; got an "
            f"offer of {size}; write its size into the manifest if that is right."
        )
    _refuse_full_disk(row, size)


def _refuse_full_disk(row: Row, size: int) -> None:
    """Whoever picks domains must not fill the disk under the running app."""
    folder = place(row)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if size + SPARED > free:
        raise WeightsError(
            f"{row.name}: expected {(size + SPARED) / 1e9:.1f} GB free for {row.file} and what the "
            f"app needs beside it; got {free / 1e9:.1f} GB on the cache's disk; free some, or "
            "point GAN_INVERSION_CACHE or HF_HOME at another disk."
        )


def _copy(row: Row, answer: httpx.Response, stream: IO[bytes], report: Progress | None) -> None:
    length = answer.headers.get("Content-Length", "0")
    done, total = 0, row.bytes or int(length if length.isdecimal() else 0)
    for block in answer.iter_bytes(1 << 20):
        done += len(block)
        if done > (row.bytes or LARGEST):
            raise WeightsError(
                f"{row.name}: expected {row.bytes or LARGEST} bytes at most from {row.url}; got "
                "more; the publisher replaced the file, or the manifest is wrong: correct it."
            )
        stream.write(block)
        if report:
            report(row.name, done, total)


def _bar(row: Row, total: int, on_progress: Progress) -> type:
    """A progress bar class for the Hub's client that draws nothing and reports instead."""
    from tqdm import tqdm

    furthest = 0

    class Reported(tqdm):
        def __init__(self, *arguments: object, **options: object) -> None:
            options.pop("name", None)  # the Hub's own keyword
            super().__init__(*arguments, **options | {"disable": False})

        def display(self, *arguments: object, **options: object) -> bool:
            return True

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal furthest
            moved = super().update(n)
            # One file may have several bars (transfer, assembly): the furthest counts.
            furthest = max(furthest, min(int(self.n), total or int(self.n)))
            on_progress(row.name, furthest, total)
            return moved

    return Reported


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


def _undelivered(row: Row, error: Exception) -> Exception:
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
        return error  # `download` says it for both kinds of source
    if isinstance(error, errors.HTTPError | ConnectionError | errors.LocalEntryNotFoundError):
        return offline(row)
    return WeightsError(
        f"{row.name}: expected {row.file} from {row.repo}; got {type(error).__name__}: "
        f"{str(error).splitlines()[0] if str(error) else 'no reason'}; fetch it again."
    )
