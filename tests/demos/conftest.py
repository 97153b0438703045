"""The app with the fake pipeline, served once for all tests of the pages."""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import pytest

import app
from demos import theme
from tests.demos.browsing import ARGUMENTS, CHROMIUM, outside
from tests.demos.fake_editgan import FakeEditGAN
from tests.demos.fake_pipeline import FakeInDomain


@pytest.fixture(scope="session")
def fake() -> FakeInDomain:
    return FakeInDomain()


@pytest.fixture(scope="session")
def fake_editgan() -> FakeEditGAN:
    return FakeEditGAN()


@pytest.fixture(scope="session")
def served(fake, fake_editgan):
    """The address of the running app."""
    demo = app.build(lambda: fake, lambda: fake_editgan)
    _, url, _ = demo.launch(**theme.LAUNCH, prevent_thread_lock=True, quiet=True)
    yield url.rstrip("/")
    demo.close()


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open a page as a new visitor; at the end, complain of script errors and outside requests."""
    complaints, contexts = [], []

    def open_page(url: str, width: int = 1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: complaints.append(r.url) if outside(r) else None)
        page.goto(url)
        page.locator(".prose-page").first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
