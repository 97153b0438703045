"""What the tests in a real browser share: how it starts, and how a visitor finds things."""

from __future__ import annotations

import hashlib
import io
import shutil
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Locator, Page, Request

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
SECONDS = 1000
LONG = 120 * SECONDS  # as long as a busy machine may take for what takes seconds


def outside(request: Request) -> bool:
    """Whether a request leaves this machine."""
    return not request.url.startswith(("http://127.0.0.1", "http://localhost", "data:", "blob:"))


def broken(said: ConsoleMessage) -> bool:
    """Whether the page says that one of our own scripts failed, of which Gradio makes no error."""
    ours = ("Error executing js_on_load", "Error in watch callback", "Error evaluating template")
    return said.type == "error" and said.text.startswith(ours)


def panel(page: Page, tab: str) -> Locator:
    """The panel of a tab, opened."""
    page.get_by_role("tab", name=tab, exact=True).click()
    return page.get_by_role("tabpanel").filter(visible=True)


def press(place: Page | Locator, name: str, nth: int = 0) -> None:
    """Click a visible button by its name."""
    place.get_by_role("button", name=name, exact=True).filter(visible=True).nth(nth).click()


def new_portrait(place: Page | Locator) -> None:
    """A never-seen portrait in the first picture, which shows it when this returns."""
    from playwright.sync_api import expect

    first = place.locator(".image-frame img").filter(visible=True).first
    shown = first.get_attribute("src")
    press(place, "New portrait")
    expect(first).not_to_have_attribute("src", shown)


def overhang(page: Page) -> int:
    """By how many pixels the content is wider than the page, which hides what stands out."""
    return page.locator(".gradio-container").evaluate("e => e.scrollWidth - e.clientWidth")


def _files(page: Page, selector: str) -> list[bytes]:
    images = page.locator(f"{selector} img")
    page.locator(selector).scroll_into_view_if_needed()  # what is far below is not loaded yet
    images.first.wait_for()
    return [page.request.get(image.get_attribute("src")).body() for image in images.all()]


def picture(page: Page, selector: str) -> str:
    """What an image shows, as a hash of its file."""
    return hashlib.sha256(_files(page, selector)[0]).hexdigest()


def pictures(page: Page, selector: str) -> list[Image.Image]:
    """All images of a component, RGB."""
    return [Image.open(io.BytesIO(file)).convert("RGB") for file in _files(page, selector)]
