"""Visitors with the Python client, a thread each, who call, press Stop, leave, and try to harm."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

import httpx
import numpy as np
from gradio_client import Client
from gradio_client.client import Job
from gradio_client.utils import Status
from PIL import Image
from safetensors.numpy import load

from tests.load.functions import ASKS, Ask, data_uri, hostile, long_run, own_of
from tests.load.records import CUT, DONE, FULL, LEFT, REFUSED, STOPPED, Book, Call, Shown

PATIENCE = 120  # s that a visitor waits for an answer to a request, not for a run
THINKS = 2.0  # s between two calls, on average
LOOKS = 0.1  # s between two looks at one's place in the queue
CALLS_A_VISIT = 6
SMALL = 32  # px of a side when portraits are compared
MOODS = {"call": 76, "harm": 12, "stop": 6, "leave": 6}  # of 100


class Portraits:
    """The portraits of all visitors, to tell whose a picture is."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        files = (Image.open(own_of(i).file) for i in range(len(names)))
        self._all = np.stack([_small(file) for file in files])

    def nearest(self, picture: Image.Image) -> str:
        """The visitor whose portrait it is nearest to, by mean square error."""
        error = np.square(self._all - _small(picture)).mean((1, 2, 3))
        return self._names[int(error.argmin())]


def _small(picture: Image.Image) -> np.ndarray:
    size = (SMALL, SMALL)
    return np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BOX), float)


class Visitor(threading.Thread):
    """Somebody who comes, calls and goes again until the time is up; drawn from their seed."""

    def __init__(self, index: int, name: str, url: str, portraits: Portraits, book: Book,
                 until: float, seed: int = 0) -> None:  # fmt: skip
        super().__init__(name=name, daemon=True)
        self.own, self.url, self.portraits, self.book = own_of(index), url, portraits, book
        self.until, self.rng = until, Random(1000 * seed + index)
        # Without certificates, which are loaded anew for every request otherwise.
        self.http = httpx.Client(verify=False, timeout=PATIENCE)

    @property
    def late(self) -> bool:
        return time.time() >= self.until

    def run(self) -> None:
        self._wait(self.rng.uniform(0, 4))
        while not self.late:
            try:
                self.visit()
            except Exception as error:  # whatever it is, a visitor saw it
                if not self.late:  # what the end cuts off is nobody's fault
                    self.book.complain(self.name, f"{type(error).__name__}: {error}")
                self._wait(1.0)

    def visit(self) -> None:
        """A session of some calls."""
        with self.opened() as client:
            for mood in self.rng.choices(list(MOODS), list(MOODS.values()), k=CALLS_A_VISIT):
                if not self.late:
                    getattr(self, mood)(client)
                    self._wait(self.rng.expovariate(1 / THINKS))

    @contextmanager
    def opened(self) -> Iterator[Client]:
        begun = time.time()
        options = {"verbose": False, "ssl_verify": False, "download_files": False}
        client = Client(self.url, **options, httpx_kwargs={"timeout": PATIENCE})
        self.keep("open", begun, DONE)
        try:
            yield client
        finally:
            client._kill_heartbeat.set()  # `Client.close` would wait for it
            for pool in (client.executor, client.helper_executor, client.stream_executor):
                pool.shutdown(wait=False)

    def keep(
        self, function: str, begun: float, outcome: str, words: str = "", **about: Any
    ) -> None:
        ended = about.pop("ended", time.time())
        self.book.add(Call(self.name, function, begun, ended, outcome, words, **about))

    # ---- what visitors do ------------------------------------------------------------------------

    def call(self, client: Client) -> None:
        """One of the documented functions, done well; the results are looked at."""
        name = self.choice(client)
        ask, begun = ASKS[name], time.time()
        given = ask.arguments(self.rng, self.own)
        job = client.submit(**given, api_name=f"/{name}")
        ended = []
        job.future.add_done_callback(lambda _: ended.append(time.time()))
        places = self.watched(job)
        about = {"event": str(job.communicator.event_id or ""), "places": places}
        if not job.done():
            job.cancel()
            self.keep(name, begun, CUT, **about)
            return
        try:
            results = job.result()
        except Exception as error:
            self.keep(name, begun, *_failure(error), **about)
            return
        self.keep(name, begun, DONE, **about, ended=ended[0] if ended else time.time())
        results = results if isinstance(results, tuple | list) and len(results) else [results]
        self.look(name, ask, given, list(results))

    def choice(self, client: Client) -> str:
        """A function of a page that is on; the first call of a visitor draws their portrait."""
        if "mask" not in self.own.given:
            return "clay_portrait"
        there = {str(e.api_name).removeprefix("/") for e in client.endpoints.values()}
        return self.rng.choice([name for name in ASKS if name in there])

    def watched(self, job: Job, running: bool = False) -> tuple[int, ...]:
        """Wait for the end, or for the first progress; the places in the queue on the way."""
        places: list[int] = []
        while not (job.done() or self.late or (running and job.outputs())):
            status = job.status()
            if status.code == Status.IN_QUEUE and status.rank is not None:
                if places[-1:] != [status.rank]:
                    places.append(status.rank)
            time.sleep(LOOKS)
        return tuple(places)

    def stop(self, client: Client) -> None:
        """A long run, stopped once it runs."""
        name, given = long_run(self.own)
        begun, job = time.time(), client.submit(**given, api_name=f"/{name}")
        places = self.watched(job, running=True)
        if job.done():
            self.keep(name, begun, *_ended(job), places=places)
            return
        stopped, late = time.time(), self.late
        job.cancel()
        event = str(job.communicator.event_id or "")
        self.keep(name, begun, CUT if late else STOPPED, ended=stopped, event=event, places=places)

    def leave(self, client: Client) -> None:
        """A long run, left once it runs: the connection ends without a word."""
        name, given = long_run(self.own)
        begun = time.time()
        data = [data_uri(self.own.file.read_bytes()), *list(given.values())[1:]]
        event = self.posted(name, data, begun)
        if not event:
            return
        with self.http.stream("GET", self._address(name, event)) as stream:
            for line in stream.iter_lines():
                if line == "event: generating" or self.late:
                    break
        self.keep(name, begun, CUT if self.late else LEFT, event=event, places=None)

    def harm(self, client: Client) -> None:
        """Something that cannot be; the answer is to be a sentence."""
        name, data = hostile(self.rng, self.own)
        begun = time.time()
        event = self.posted(name, data, begun, hostile=True)
        if not event:
            return
        stream = self.http.get(self._address(name, event), timeout=None).text
        blocks = [block.split("\n", 1) for block in stream.strip().split("\n\n") if block.strip()]
        told = {first[7:]: rest.removeprefix("data: ") for first, rest in map(_pair, blocks)}
        self.keep(
            name, begun, REFUSED, words=_said(told["error"]), event=event, hostile=True, places=None
        )

    def posted(self, name: str, data: list, begun: float, **about: Any) -> str:
        """The event of a call as curl makes it; "" where it was refused, which is kept."""
        body = json.dumps({"data": data})  # NaN and infinity as such
        head = {"Content-Type": "application/json"}
        answer = self.http.post(self._address(name), content=body, headers=head)
        if answer.is_success:
            return str(answer.json()["event_id"])
        outcome = FULL if answer.status_code == 503 else REFUSED
        words = _said(answer.text)
        if answer.status_code >= 500 and outcome != FULL:
            words = f"HTTP {answer.status_code}: {words}"
        self.keep(name, begun, outcome, words=words, **about)
        return ""

    def _address(self, name: str, event: str = "") -> str:
        return f"{self.url}/gradio_api/call/{name}" + (f"/{event}" if event else "")

    def _wait(self, seconds: float) -> None:
        time.sleep(max(0.0, min(seconds, self.until - time.time())))

    # ---- what visitors see -----------------------------------------------------------------------

    def look(self, name: str, ask: Ask, given: Mapping[str, Any], results: list[Any]) -> None:
        """Fetch every picture and latent of a result, and keep what it is."""
        asked = self.in_words(given)
        for place, result in enumerate(results):
            file = result[0] if isinstance(result, list) and result else result
            if not (isinstance(file, dict) and file.get("url")):
                continue
            content = self.http.get(file["url"]).raise_for_status().content
            self.book.promise(file["url"], digest(content))
            picture = Image.open(io.BytesIO(content)) if content[:4] == b"\x89PNG" else None
            nearest = ""
            if picture is not None and place == ask.rebuilt:
                nearest = self.portraits.nearest(picture)
            if picture is not None and place == ask.mask:
                self.own.given["mask"] = picture.convert("RGB")
            if ask.latent and place == ask.latent[1]:
                self.own.given[f"{ask.latent[0]} latent"] = file["url"]
                self.own.given[file["url"]] = asked
            told = f"{asked}, result {place}"
            seen = Shown(self.name, name, told, seen_as(content, picture), nearest, ask.own)
            self.book.add(seen)

    def in_words(self, given: Mapping[str, Any]) -> str:
        """Arguments by what they are: an own latent by what it was made of."""
        words = {
            key: self.own.given.get(value, value) if isinstance(value, str) else value
            for key, value in given.items()
        }
        told = json.dumps(words, default=str, sort_keys=True)
        return f"{self.own.seed}: {hashlib.sha256(told.encode()).hexdigest()[:12]} {told[:160]}"


def _pair(block: list[str]) -> tuple[str, str]:
    return block[0].strip(), block[1].strip() if len(block) > 1 else ""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]


def seen_as(content: bytes, picture: Image.Image | None) -> str:
    """Of pixels or codes: a latent file's header has no fixed order."""
    if picture is not None:
        content = picture.tobytes()
    elif content[8:9] == b"{":
        codes = load(content)
        content = b"".join(name.encode() + codes[name].tobytes() for name in sorted(codes))
    return digest(content)


def _said(text: str) -> str:
    """The words of an error as curl gets it: those of its JSON, if it has some."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return text
    if isinstance(found, dict):
        found = found.get("error") or found.get("detail") or ""
    if isinstance(found, list) and found and isinstance(found[0], dict):
        found = ". ".join(str(each.get("msg", "")) for each in found)
    return found if isinstance(found, str) else ""


def _failure(error: Exception) -> tuple[str, str]:
    """Outcome and words of what a client raised; the app's own words are an AppError's."""
    words = str(error)
    if "Queue is full" in words:
        return FULL, words
    own = type(error).__name__ in ("AppError", "ValidationError")
    return REFUSED, words if own else f"{type(error).__name__}: {words}"


def _ended(job: Job) -> tuple[str, str]:
    error = job.exception()
    return (DONE, "") if error is None else _failure(error)
