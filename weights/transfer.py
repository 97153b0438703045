"""Bytes from an address into a partial file of the cache, going on from what is there already.

Whatever ends a transfer (a cut connection, a visitor who stops it, Ctrl-C), what has arrived stays
in a hidden file beside the final place, and the next transfer asks for the rest. Nothing else reads
that file: `download` checks it when it is whole, and only then gives it its name.
"""

from __future__ import annotations

import errno
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from weights.errors import Altered, NoRoom, WeightsError
from weights.files import place
from weights.manifest import Row

if TYPE_CHECKING:
    import httpx

SECONDS = 4.0  # to wait for an answer at all
TRIES, PAUSE = 20, 0.2  # transfers of one file as long as it grows; s between two
LARGEST = 8_000_000_000  # bytes accepted of a file whose size is not known beforehand
SPARED = 2_000_000_000  # bytes of the cache's disk that no download may take
_BUSY = (408, 429, 500, 502, 503, 504)  # statuses that another try may change
_STRONG = re.compile(r'"[!#-~]{1,56}"')  # an entity tag that stands for exact bytes
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")

Progress = Callable[[str, int, int], None]  # name of the weight, bytes so far, all bytes or 0


@dataclass
class Transfer:
    """One file on its way: `row` says its name, and its SHA-256 and size as far as they are known.

    resumed: whether the bytes are those of more than one transfer, which only a checksum, or the
    publisher's entity tag, makes one file.
    """

    row: Row
    url: str
    target: Path
    headers: Mapping[str, str] = field(default_factory=dict)
    report: Progress | None = None
    resumed: bool = False

    def run(self) -> Path:
        """All bytes, in a partial file; its path. Raises what httpx does, and `WeightsError`.

        A transfer that is cut is taken up again while it brings anything.
        """
        self.target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _client() as client:
                return self._through(client)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self.discard()  # it would keep the disk full
            raise

    def _through(self, client: httpx.Client) -> Path:
        import httpx

        brought = 0
        for attempt in range(TRIES):
            before = self._arrived()
            try:
                return self._once(client)
            except httpx.TransportError:
                more = self._arrived() - before
                brought += max(0, more)
                if not brought or (attempt and more <= 0) or attempt + 1 == TRIES:
                    raise
                time.sleep(PAUSE)
        raise AssertionError("the last try returns or raises")

    def discard(self) -> None:
        """Remove what has arrived."""
        for path in self._parts():
            path.unlink(missing_ok=True)

    def _once(self, client: httpx.Client) -> Path:
        """One question for all of the file, or for the rest of it."""
        part, tag = self._found()
        have = part.stat().st_size if part else 0
        if part and self.row.bytes and have == self.row.bytes:
            return part  # the last one ended between the last byte and the check
        asked = {**self.headers}
        if have:
            asked |= {"Range": f"bytes={have}-"} | ({"If-Range": tag} if tag else {})
        with client.stream("GET", self.url, headers=asked) as answer:
            fits = answer.status_code != 416 and not self._elsewhere(answer, have)
            if fits or not have:
                return self._take(answer, part, have)
        self.discard()  # the rest of another beginning: from the first byte again
        return self._once(client)

    def _take(self, answer: httpx.Response, part: Path | None, have: int) -> Path:
        """The bytes of an answer, after the `have` that lie in `part` or instead of them."""
        import httpx

        self._refuse(answer, have)
        start = have if answer.status_code == 206 else 0
        total = self._total(answer, start)
        refuse_size(self.row, total, start)
        total = total or self.row.bytes or None
        if not start:
            self.discard()
            part = self._part(answer.headers.get("ETag", ""))
        self.resumed = self.resumed or bool(start)
        try:
            done = self._copy(answer, part, start, total)
        except Altered:
            self.discard()
            raise
        if total and done < total:
            raise httpx.ReadError(f"the answer ended after {done} of {total} bytes")
        return part

    def _copy(self, answer: httpx.Response, part: Path, done: int, total: int | None) -> int:
        most = self.row.bytes or LARGEST
        with part.open("ab") as stream:
            for block in answer.iter_bytes():
                done += len(block)
                if done > most:
                    raise Altered(
                        f"{self.row.name}: expected {most} bytes at most from {self.url}; got "
                        "more; its publisher replaced the file, or the manifest is wrong: "
                        "correct it."
                    )
                stream.write(block)
                if self.report:
                    self.report(self.row.name, done, total or 0)
        return done

    def _refuse(self, answer: httpx.Response, have: int) -> None:
        """Stop before the first byte if the answer is not this file, or leaves https."""
        import httpx

        if answer.status_code in _BUSY:
            raise httpx.ReadError(f"got status {answer.status_code}")
        if answer.status_code not in (200, 206):
            after = f" after {have} bytes" if have else ""
            raise WeightsError(
                f"{self.row.name}: expected {self.row.file} from {self.url}; got status "
                f"{answer.status_code}{after}; fetch it again later, correct the manifest, or name "
                "a directory that holds it with --mirror."
            )
        steps = [step.url.scheme for step in (*answer.history, answer)]
        if steps[0] == "https" and set(steps) != {"https"}:
            raise WeightsError(
                f"{self.row.name}: expected https all the way from {self.url}; got {answer.url}; "
                "name a trustworthy address in the manifest."
            )

    def _total(self, answer: httpx.Response, start: int) -> int | None:
        """Bytes of the whole file, None if the answer does not say so."""
        encoded = answer.headers.get("Content-Encoding", "identity") != "identity"
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and not encoded:
            return start + int(length)
        ends = answer.headers.get("Transfer-Encoding") == "chunked" or encoded
        if not (ends or self.row.sha256):
            raise WeightsError(
                f"{self.row.name}: expected {self.url} to say how long the file is; got no size, "
                "by which half of it would pass for the whole; download it yourself and pin it."
            )
        return None

    @staticmethod
    def _elsewhere(answer: httpx.Response, have: int) -> bool:
        """Whether an answer to the wish for the rest is a rest of another beginning."""
        given = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        return answer.status_code == 206 and (given is None or int(given[1]) != have)

    def _part(self, tag: str) -> Path:
        """The partial file: named by the checksum, else by a strong entity tag, in hex."""
        kept = f"etag-{tag.encode().hex()}" if _STRONG.fullmatch(tag) else "unsure"
        return self.target.with_name(f".{self.target.name}.{self.row.sha256[:32] or kept}.part")

    def _found(self) -> tuple[Path | None, str]:
        """The partial file to go on with, None if there is none, and the entity tag it is of."""
        if self.row.sha256:
            part = self._part("")
            return (part if part.is_file() else None), ""
        for part in self._parts():
            mark = part.name.split(".")[-2]
            if mark.startswith("etag-"):
                return part, bytes.fromhex(mark.removeprefix("etag-")).decode()
        return None, ""

    def _parts(self) -> list[Path]:
        """Partial files of this target, also of other versions of it."""
        start = f".{self.target.name}."
        found = self.target.parent.iterdir() if self.target.parent.is_dir() else ()
        return [p for p in found if p.name.startswith(start) and p.suffix == ".part"]

    def _arrived(self) -> int:
        part, _ = self._found()
        return part.stat().st_size if part else 0


def _client() -> httpx.Client:
    import httpx

    return httpx.Client(
        follow_redirects=True,
        timeout=httpx.Timeout(30.0, connect=SECONDS),
        headers={"Accept-Encoding": "identity"},  # so that Content-Length counts the file's bytes
    )


def refuse_size(row: Row, size: int | None, have: int = 0) -> None:
    """Stop before the first byte of a file of another size, or of one too large for the disk.

    have: bytes of it that are here already.
    """
    if size is None:
        return
    if row.bytes and size != row.bytes:
        raise Altered(
            f"{row.name}: expected {row.bytes} bytes from {row.repo or row.url}; got an offer of "
            f"{size}; its publisher replaced the file, or the manifest is wrong: correct it."
        )
    if not row.bytes and size > LARGEST:
        raise WeightsError(
            f"{row.name}: expected at most {LARGEST} bytes from {row.repo or row.url}; got an "
            f"offer of {size}; write its size into the manifest if that is right."
        )
    _refuse_full_disk(row, size - have)


def _refuse_full_disk(row: Row, size: int) -> None:
    """Whoever picks domains must not fill the disk under the running app."""
    folder = place(row)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if size + SPARED > free:
        raise NoRoom(
            f"{row.name}: expected {(size + SPARED) / 1e9:.1f} GB free for {row.file} and what the "
            f"app needs beside it; got {free / 1e9:.1f} GB on the cache's disk; free some, or "
            "point GAN_INVERSION_CACHE or HF_HOME at another disk."
        )
