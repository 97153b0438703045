"""The app with the fake pipeline, served once for all tests of the pages."""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import app
from demos.kit import theme
from demos.kit.portraits import warm_up_renderer
from demos.papers import PAPERS
from tests.demos.browsing import ARGUMENTS, CHROMIUM, LONG, broken, outside
from tests.demos.fake_editgan import FakeEditGAN
from tests.demos.fake_pipeline import FakeInDomain
from tests.demos.fake_sam import FakeSAM
from tests.demos.preparation import serving
from tests.demos.shelves import make_all, stocked
from tests.demos.visitor import Visitor

if TYPE_CHECKING:
    import gradio as gr


@pytest.fixture(scope="session")
def fake() -> FakeInDomain:
    return FakeInDomain()


@pytest.fixture(scope="session")
def fake_editgan() -> FakeEditGAN:
    return FakeEditGAN()


@pytest.fixture(scope="session")
def fake_sam() -> FakeSAM:
    return FakeSAM()


@pytest.fixture(scope="session")
def pages() -> gr.Blocks:
    """The real pages with what is stored for them, to look at."""
    return app.build()


@pytest.fixture(scope="session")
def shelves(tmp_path_factory) -> Path:
    """A folder with the stored results of all pages, made with the fake pipelines."""
    folder = tmp_path_factory.mktemp("examples")
    make_all(folder)
    return folder


@pytest.fixture(scope="session")
def served(fake, fake_editgan, fake_sam, shelves):
    """The address of the running app, whose pages show stored results at the start.

    The renderer is compiled before, as `python app.py` does: no run waits for it.
    """
    warm_up_renderer()
    with stocked(shelves):
        fakes = {"indomain": fake, "editgan": fake_editgan, "sam_inversion": fake_sam}
        demo = app.build({slug: lambda fake=fake: fake for slug, fake in fakes.items()})
    options = theme.LAUNCH | app.presented(PAPERS)
    _, url, _ = demo.launch(**options, prevent_thread_lock=True, quiet=True)
    yield url.rstrip("/")
    demo.close()


@pytest.fixture
def client(served):
    """A visitor of the running app, with a session of their own."""
    with_session = Visitor(served)
    yield with_session
    with_session.close()


@pytest.fixture(scope="session")
def bare(fake, fake_editgan, tmp_path_factory):
    """The address of the app without stored results: its pages start empty."""
    with stocked(tmp_path_factory.mktemp("nothing")):
        demo = app.build({"indomain": lambda: fake, "editgan": lambda: fake_editgan})
    with serving(demo) as url:
        yield url


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, for whose pages the tests wait as long as a busy machine takes."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=LONG)

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
        context.set_default_timeout(LONG)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if broken(said) else None)
        page.on("request", lambda r: complaints.append(r.url) if outside(r) else None)
        page.goto(url)
        page.locator(".prose-page, .portrait").filter(visible=True).first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
