"""Many visitors at once on two cores, and whether the app holds what it promises them.

    python -m tests.load --out DIR [--visitors 50] [--browsers 6] [--minutes 10] [--json]

Starts the real app with its starter weights in a process of its own. Visitors with the Python
client and with a browser call and press, some stop or leave in the middle, some send what cannot
be. Then the app is restarted, and every download that was promised is asked for again. DIR gets the
records, the server's log, the figures and a plot of memory and queue; the command ends with 1 where
a rule is broken. Visitors are drawn from --seed. --cores: that all of it shares.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.load.browsers import Browsers
from tests.load.functions import MOST, own_of
from tests.load.judge import findings, holds, resolved
from tests.load.records import Book, beats_of
from tests.load.report import figures, plot, table
from tests.load.visitors import Portraits, Visitor, digest

ROOT = Path(__file__).parents[2]
STARTS_WITHIN = 300  # s, of the app
GRACE = 20.0  # s for visitors to go when the time is up
SETTLE = 5.0  # s for the last runs to end
ASKED_AGAIN = 200  # promised downloads at most, after the restart


class App:
    """The real app as a process; its log and its journal are files of a folder."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.url = f"http://127.0.0.1:{port}"
        self.journal, self.log = folder / "journal.jsonl", folder / "server.log"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it and wait until it answers; RuntimeError if it ends or takes too long."""
        line = [sys.executable, "-m", "tests.load.server", str(self.journal)]
        environment = os.environ | {"GRADIO_SERVER_PORT": str(self.port)}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                line, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        patience = time.time() + STARTS_WITHIN
        while not self._answers():
            if self._process.poll() is not None or time.time() > patience:
                raise RuntimeError(f"the app did not start; its log is {self.log}")
            time.sleep(0.5)

    def warm_up(self, functions: Sequence[str]) -> None:
        """Have every page's networks loaded and the renderer compiled, as after a first visitor."""
        first = [name for name in functions if name.endswith(("_lists", "_attributes"))]
        for name in first:
            call(self.url, name, [])
        call(self.url, "clay_portrait", [own_of(0).seed, {}])

    def stop(self) -> None:
        """End it as a supervisor does."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/config", verify=False, timeout=60).is_success
        except httpx.TransportError:
            return False


@contextmanager
def running(folder: Path) -> Iterator[App]:
    """The app while the block runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = App(folder, port)
    try:
        app.start()
        yield app
    finally:
        app.stop()


def call(url: str, name: str, data: list) -> str:
    """The stream of a call, as curl gets it."""
    address = f"{url}/gradio_api/call/{name}"
    with httpx.Client(verify=False, timeout=STARTS_WITHIN) as http:
        event = http.post(address, json={"data": data}).raise_for_status().json()["event_id"]
        return http.get(f"{address}/{event}").text


def functions_of(url: str) -> list[str]:
    """The documented functions of the pages that are on."""
    answer = httpx.get(f"{url}/gradio_api/info", verify=False, timeout=120)
    return [name.removeprefix("/") for name in answer.raise_for_status().json()["named_endpoints"]]


def come_and_go(app: App, book: Book, arg: argparse.Namespace) -> None:
    """All visitors, until the time is up."""
    names = [f"visitor {i + 1}" for i in range(arg.visitors)]
    guests = [f"browser {i + 1}" for i in range(arg.browsers)]
    portraits = Portraits([*names, *guests])
    book.begun = time.time()
    until = book.begun + 60 * arg.minutes
    given = (app.url, portraits, book, until, arg.seed)
    threads = [Visitor(i, name, *given) for i, name in enumerate(names)]
    if guests:
        threads.append(Browsers(guests, len(names), *given))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.1, until + GRACE - time.time()))
    book.close()
    time.sleep(SETTLE)


def restart(app: App, book: Book) -> None:
    """Start the app anew and ask for what was promised; what is not the same is lost."""
    app.stop()
    app.start()
    addresses = sorted(book.promised)
    chosen = addresses[:: max(1, len(addresses) // ASKED_AGAIN)]
    with httpx.Client(verify=False, timeout=60) as http:
        for address in chosen:
            answer = http.get(address)
            if not answer.is_success or digest(answer.content) != book.promised[address]:
                book.lost.append(address)


def main() -> None:
    arg = parse()
    if hasattr(os, "sched_setaffinity"):  # inherited by the app and the browser
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arg.cores])
    if arg.out.exists():
        shutil.rmtree(arg.out)
    arg.out.mkdir(parents=True)
    book = Book()
    with running(arg.out) as app:
        functions = functions_of(app.url)
        app.warm_up(functions)
        come_and_go(app, book, arg)
        book.beats = list(beats_of(app.journal))
        restart(app, book)
    book.log = app.log.read_text(errors="replace")
    book.calls = resolved(book.calls, book.beats)
    found = findings(book, functions)
    told = figures(book, found, arg.visitors, arg.browsers, arg.minutes)
    book.write(arg.out / "records.json")
    (arg.out / "figures.json").write_text(json.dumps(told, indent=2) + "\n")
    plot(book).save(arg.out / "memory-and-queue.png")
    print(json.dumps(told, indent=2) if arg.json else table(told))
    sys.exit(0 if holds(found) else 1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.load", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="a folder of its own, made anew")
    parser.add_argument("--visitors", type=int, default=50, help="with the Python client")
    parser.add_argument("--browsers", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arg = parser.parse_args()
    if not 1 <= arg.visitors + arg.browsers <= MOST:
        parser.error(f"--visitors and --browsers must be 1 to {MOST} together, a portrait each")
    if arg.out.exists() and any(arg.out.iterdir()) and not (arg.out / "server.log").exists():
        parser.error(f"--out must be a new folder or one of this command; {arg.out} is not empty")
    return arg


if __name__ == "__main__":
    main()
