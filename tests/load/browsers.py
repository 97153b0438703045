"""Visitors with a browser: one Chromium, a context each, who open pages, press, stop and leave."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from PIL import Image

from tests.demos.browsing import ARGUMENTS, CHROMIUM, LONG, outside
from tests.load.functions import own_of
from tests.load.judge import fault_of
from tests.load.records import CUT, DONE, LEFT, REFUSED, STOPPED, Book, Call, Shown
from tests.load.visitors import Portraits

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Request, Response

THINKS = 2.0  # s
WAYS = {"end": 50, "stop": 25, "leave": 25}  # of 100


@dataclass(frozen=True)
class Trip:
    """What there is to do on a page.

    tab: that is opened, "" for the first; button: that runs; rebuilt: the element whose first
    picture shows the visitor's own portrait, "" for none.
    """

    address: str
    button: str
    tab: str = ""
    rebuilt: str = ""
    steps: bool = True

    @property
    def state(self) -> str:
        return "#" + "-".join(self.button.lower().split()) + "-state"

    @property
    def name(self) -> str:
        return f"browser {self.address or '/'} {self.button}"


TRIPS = (
    Trip("", "Run all papers on it", steps=False),
    Trip("/indomain", "Diffuse"),
    Trip("/indomain", "Interpolate", "Interpolate"),
    Trip("/indomain", "Invert", "Manipulate"),
    Trip("/editgan", "Embed", "", "#editgan-embedded"),
    Trip("/sam_inversion", "Invert"),
    Trip("/mm2latent", "", steps=False),
)


class Browsers(threading.Thread):
    """Several visitors with a browser each, until the time is up; drawn from a seed."""

    def __init__(self, names: Sequence[str], first: int, url: str, portraits: Portraits,
                 book: Book, until: float, seed: int = 0) -> None:  # fmt: skip
        super().__init__(name="browsers", daemon=True)
        self.names, self.first, self.url, self.portraits = names, first, url, portraits
        self.book, self.until, self.seed = book, until, seed

    def run(self) -> None:
        try:
            asyncio.run(self._all())
        except Exception as error:
            self.book.complain(self.name, f"{type(error).__name__}: {error}")

    async def _all(self) -> None:
        from playwright.async_api import async_playwright

        async with async_playwright() as playwright:
            chromium = await playwright.chromium.launch(
                executable_path=CHROMIUM, args=list(ARGUMENTS)
            )
            ways = (self._one(chromium, i, name) for i, name in enumerate(self.names))
            await asyncio.gather(*ways)
            await chromium.close()

    async def _one(self, chromium: Browser, index: int, name: str) -> None:
        rng = Random(7000 + 1000 * self.seed + index)
        seed = own_of(self.first + index).seed
        while time.time() < self.until:
            trip, way = rng.choice(TRIPS), rng.choices(list(WAYS), list(WAYS.values()))[0]
            visitor = Guest(name, seed, trip, way, self)
            try:
                await visitor.go(chromium)
            except Exception as error:
                words = str(error).splitlines()[:3]
                visitor.complain(f"{trip.name}: {type(error).__name__}: {words}")
            await asyncio.sleep(rng.expovariate(1 / THINKS))


class Guest:
    """A visitor on one trip: opens the page, draws their portrait, presses, and waits, stops or
    leaves."""

    def __init__(self, name: str, seed: int, trip: Trip, way: str, party: Browsers) -> None:
        self.name, self.seed, self.trip, self.way, self.party = name, seed, trip, way, party
        self.events: list[str] = []  # of what was sent to the queue, in turn

    async def go(self, chromium: Browser) -> None:
        context = await chromium.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(LONG)
        try:
            page = await context.new_page()
            self._listen(page)
            begun = time.time()
            await page.goto(self.party.url + self.trip.address)
            await page.locator(".prose-page, .portrait").filter(visible=True).first.wait_for()
            self._keep(f"open {self.trip.address or '/'}", begun, DONE)
            await self._press(page)
            await self._toasts(page)
        finally:
            await context.close()

    def _listen(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.complain(f"script: {error}"))
        page.on("response", self._answered)
        page.on("request", self._asked)

    def _asked(self, request: Request) -> None:
        if outside(request):
            self.complain(f"asked another machine: {request.url}")

    def complain(self, words: str) -> None:
        """Keep it; what the end cuts off is nobody's fault."""
        if time.time() < self.party.until:
            self.party.book.complain(self.name, words)

    async def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.complain(f"HTTP {response.status}: {response.url[:120]}")
        elif response.url.endswith("/queue/join") and response.ok:
            try:
                self.events.append(str(json.loads(await response.text())["event_id"]))
            except Exception:  # the page was closed before its answer was read
                return

    async def _press(self, page: Page) -> None:
        """Press the button of the trip with the visitor's own portrait."""
        if not self.trip.button:
            await self._write(page)
            return
        if self.trip.tab:
            await page.get_by_role("tab", name=self.trip.tab, exact=True).click()
        await self._draw(page)
        if self.trip.steps:
            dial = page.get_by_label("number input for Optimisation steps")
            dial = dial.filter(visible=True).first
            await dial.fill("10" if self.way == "end" else "100")
            await dial.press("Enter")
        begun = time.time()
        button = page.get_by_role("button", name=self.trip.button, exact=True)
        await button.filter(visible=True).first.click()
        await self._follow(page, begun)

    async def _draw(self, page: Page) -> None:
        number = page.get_by_label("Portrait number").filter(visible=True).first
        shown = page.locator(".image-frame img").filter(visible=True).first
        before = await shown.get_attribute("src") if await shown.count() else None
        await number.fill(str(self.seed))
        await number.press("Enter")
        patience = time.time() + 60
        while time.time() < min(patience, self.party.until):
            now = await shown.get_attribute("src") if await shown.count() else None
            if now not in (None, before):
                return
            await asyncio.sleep(0.2)

    async def _write(self, page: Page) -> None:
        """Write a prompt, to which the page answers by itself."""
        begun = time.time()
        await page.locator("#mm2latent-prompt textarea").fill("blond hair, round glasses")
        words = page.locator("#mm2latent-words .yes, #mm2latent-words .no")
        while time.time() < self.party.until and not await words.count():
            await asyncio.sleep(0.3)
        self._keep(self.trip.name, begun, DONE if time.time() < self.party.until else CUT)

    async def _follow(self, page: Page, begun: float) -> None:
        """Look at the line of state until the run ends; or stop, or leave, once it goes on."""
        line = page.locator(self.trip.state).filter(visible=True).first
        while time.time() < self.party.until:
            said = await line.inner_text()
            going = "step" in said or "left" in said
            if "Done in" in said or "result so far" in said:
                self._keep(self.trip.name, begun, DONE)
                await self._look(page)
                return
            if "did not work" in said or await line.locator(".outside").count():
                self._keep(self.trip.name, begun, REFUSED, words=said)
                return
            if going and self.way == "stop":
                await self._stop(page, begun)
                return
            if going and self.way == "leave":
                self._keep(self.trip.name, begun, LEFT, event=self._running())
                return
            await self._toasts(page)
            await asyncio.sleep(0.3)
        self._keep(self.trip.name, begun, CUT, event=self._running())

    async def _stop(self, page: Page, begun: float) -> None:
        event, pressed = self._running(), time.time()
        button = page.get_by_role("button", name="Stop", exact=True).filter(visible=True).first
        await button.click()
        self._keep(self.trip.name, begun, STOPPED, ended=pressed, event=event)
        line = page.locator(self.trip.state).filter(visible=True).first
        while time.time() < self.party.until:
            said = await line.inner_text()
            if "result so far" in said or "Done in" in said:
                return
            await asyncio.sleep(0.2)

    def _running(self) -> str:
        """The event of this visitor that has the one place, or had it last; known at the end."""
        return " ".join(self.events)

    async def _look(self, page: Page) -> None:
        """Whose portrait the result shows."""
        if not self.trip.rebuilt:
            return
        image = page.locator(f"{self.trip.rebuilt} img").first
        source = await image.get_attribute("src")
        body = await (await page.request.get(source)).body()
        whose = self.party.portraits.nearest(Image.open(io.BytesIO(body)))
        told = f"{self.seed}: {self.trip.name}, {self.way}"
        self.party.book.add(Shown(self.name, self.trip.name, told, told, whose))

    async def _toasts(self, page: Page) -> None:
        """Every message on the page is a sentence."""
        for words in await page.locator(".toast-body .toast-text").all_inner_texts():
            if why := fault_of(words):
                self.complain(f"{self.trip.name}: {why}: {words[:200]}")

    def _keep(self, function: str, begun: float, outcome: str, **about: str | float) -> None:
        ended = about.pop("ended", time.time())
        call = Call(self.name, function, begun, float(ended), outcome, places=None, **about)
        self.party.book.add(call)
