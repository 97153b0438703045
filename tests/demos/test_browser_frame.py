"""The page in the frame of another site, where the browser denies it any storage."""

from __future__ import annotations

import functools
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Locator, expect

from tests.demos.browsing import ARGUMENTS, CHROMIUM, LONG, outside, press

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the path")
FRAME = """<!doctype html><title>A lecture</title>
<iframe src="{}/indomain?embed=1" width="900" height="600" style="border: 0"></iframe>"""
STORAGE = "() => { try { return String(localStorage.length) } catch (e) { return e.name } }"


@pytest.fixture
def lecture(served, tmp_path):
    """The address of a page of another site that holds the demo in a frame."""
    folder = tmp_path / "lecture"
    folder.mkdir()
    folder.joinpath("index.html").write_text(FRAME.format(served))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def strict(browser, tmp_path):
    """A page of a browser that lets no site store anything in another's frame."""
    preferences = {"profile": {"block_third_party_cookies": True, "cookie_controls_mode": 1}}
    folder = tmp_path / "profile"
    folder.joinpath("Default").mkdir(parents=True)
    folder.joinpath("Default", "Preferences").write_text(json.dumps(preferences))
    context = browser.browser_type.launch_persistent_context(
        folder, executable_path=CHROMIUM, args=ARGUMENTS, viewport={"width": 1000, "height": 700}
    )
    context.set_default_timeout(LONG)
    yield context.pages[0]
    context.close()


def loaded(image: Locator) -> None:
    """Waits until an image is shown and its file is there, whole; complains of one that is not."""
    image.evaluate("e => e.scrollIntoView()")  # what is far below is not loaded yet
    expect(image).to_be_visible()
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("e => e.naturalWidth > 0")


def test_a_run_in_the_frame_of_another_site_without_storage(strict, lecture):
    complaints: list[str] = []
    strict.on("pageerror", lambda error: complaints.append(str(error)))
    strict.on("request", lambda r: complaints.append(r.url) if outside(r) else None)
    strict.goto(lecture)
    demo = strict.frames[1]
    loaded(demo.locator(".portrait .image-frame img").first)
    assert demo.evaluate(STORAGE) == "SecurityError"
    button = demo.get_by_role("button", name="Diffuse", exact=True)
    box = button.bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 600  # without scrolling in the frame
    steps = demo.get_by_label("number input for Optimisation steps").first
    steps.fill("20")
    steps.press("Enter")
    press(demo, "Diffuse")
    expect(demo.locator("#diffuse-report")).to_contain_text("Done after 20 steps")
    loaded(demo.locator("#diffused img"))
    assert not complaints
