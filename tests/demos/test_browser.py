"""A visitor's way through the app in a real browser, with the fake and with the real networks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import app
from demos.kit import theme
from demos.papers import PAPERS
from tests.demos.browsing import (
    CHROMIUM,
    SECONDS,
    new_portrait,
    overhang,
    panel,
    picture,
    press,
)

STARTER = Path(__file__).parents[2] / "weights/starter/clay-heads-generator.safetensors"
PARTS = {  # page -> its tabs, and what in them comes last
    "": {},
    "/indomain": dict.fromkeys(("Invert", "Interpolate", "Manipulate", "Mix"), "img"),
    "/editgan": {"Vectors": "#editgan-library input[type=range]", "Paint": ".legend label"},
}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the path")


def fill_diffusion(page: Page) -> None:
    """A new target and one more context, both there when this returns."""
    contexts = page.locator(".gallery-item")
    contexts.first.wait_for()  # those of the stored example come together
    there = contexts.count()
    new_portrait(page)
    press(page, "Add a new portrait")
    expect(contexts).to_have_count(there + 1)


def open_and_diffuse(page: Page, steps: int) -> str:
    """Run a diffusion from the first page on; the report."""
    page.get_by_role("link", name="Open the page").first.click()
    page.locator("#diffused").wait_for()
    fill_diffusion(page)
    return run(page, steps)


def start(page: Page, steps: int) -> None:
    """Diffuse what is on the page."""
    dial = page.get_by_label("number input for Optimisation steps").first
    dial.fill(str(steps))
    dial.press("Enter")
    press(page, "Diffuse")


def run(page: Page, steps: int) -> str:
    """Diffuse what is on the page to the end; the report."""
    start(page, steps)
    report = page.locator("#diffuse-report")
    expect(report).to_contain_text(f"Done after {steps} steps")
    return report.inner_text()


def test_from_home_to_a_diffused_picture(visit, served):
    page = visit(served)
    coming = sum(not paper.page for paper in PAPERS)
    expect(page.get_by_text("In preparation", exact=True)).to_have_count(coming)
    report = open_and_diffuse(page, steps=20)
    assert "dB" in report and "loss, 20 steps" in report
    first = picture(page, "#diffused")
    new_portrait(page)
    expect(page.locator("#diffuse-report")).not_to_contain_text("Done")
    run(page, steps=30)
    assert picture(page, "#diffused") != first


def test_dragging_the_crop_moves_the_sliders_and_the_preview(visit, served):
    page = visit(f"{served}/indomain")
    fill_diffusion(page)
    page.locator("#crop-box .frame").wait_for()
    box = page.locator("#crop-box .cropbox").bounding_box()
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.7 * box["height"], steps=4)
    page.mouse.up()
    for name, value in (("Centre, from left", 0.3), ("Centre, from top", 0.4), ("Crop width", 0.4)):
        slider = page.get_by_label(f"number input for {name}")
        expect(slider).to_have_value(str(value))
    page.get_by_label("number input for Crop height").fill("0.2")
    page.get_by_label("number input for Crop height").press("Enter")
    frame = page.locator("#crop-box .frame")
    expect(frame).to_have_attribute("style", re.compile(r"height: ?20%"))


def test_stop_keeps_the_result_so_far(visit, served, fake, monkeypatch):
    monkeypatch.setattr(fake, "seconds_a_step", 0.5)
    page = visit(f"{served}/indomain")
    fill_diffusion(page)
    press(page, "Diffuse")
    expect(page.locator("#diffuse-state")).to_contain_text("Optimise: step")
    press(page, "Stop")
    expect(page.locator("#diffuse-report")).to_contain_text("Stopped after")


def test_stop_counts_while_a_run_waits_and_not_while_none_does(visit, served, fake, monkeypatch):
    monkeypatch.setattr(fake, "seconds_a_step", 1)
    first, second = (visit(f"{served}/indomain") for _ in range(2))
    going, waits = (page.locator("#diffuse-state") for page in (first, second))
    line = second.locator("#now-running")
    stop = second.get_by_role("button", name="Stop", exact=True).filter(visible=True).first
    expect(stop).to_be_disabled()  # nothing runs
    press(first, "Diffuse")
    expect(going).to_contain_text("Optimise: step")
    press(second, "Diffuse")
    expect(line).to_contain_text("Waiting: diffuse")
    press(second, "Stop")
    expect(waits).to_contain_text("nothing was run")
    expect(stop).to_be_disabled()
    expect(line).to_contain_text("Optimise")
    expect(line).not_to_contain_text("Waiting")  # it no longer holds a place in the queue
    expect(going).to_contain_text("Optimise: step")  # it goes on
    press(first, "Stop")
    expect(going).to_contain_text("result so far")
    expect(first.get_by_role("button", name="Stop", exact=True).first).to_be_disabled()
    monkeypatch.setattr(fake, "seconds_a_step", 0)
    run(second, steps=30)
    assert fake.calls[-1][0] == "diffuse"
    expect(waits).to_contain_text("Done in")


def test_closing_the_page_stops_the_run(visit, served, fake, monkeypatch):
    monkeypatch.setattr(fake, "seconds_a_step", 1)  # to its end it would take five minutes
    page = visit(f"{served}/indomain")
    fill_diffusion(page)
    before = fake.steps_done
    start(page, steps=300)
    expect(page.locator("#diffuse-state")).to_contain_text("Optimise: step")
    page.close()
    line = visit(served).locator("#now-running")
    expect(line).to_contain_text("Nothing is running")
    assert 0 < fake.steps_done - before < 300


def test_an_edit_beside_its_true_answer_and_undo_by_keyboard(visit, served):
    page = visit(f"{served}/indomain")
    tab = panel(page, "Manipulate")
    new_portrait(tab)
    press(tab, "Invert")
    words = page.locator("#manipulate-words")
    expect(words).to_contain_text("Nothing is changed")
    tab.get_by_label("range slider for Turn, degrees").focus()
    page.keyboard.press("ArrowRight")
    expect(words).to_contain_text("turn +1.5")
    expect(words).to_contain_text("the edit and the true answer are")
    press(tab, "Lay this edit beside the others")
    beside = page.locator("#manipulate-beside")
    expect(beside.locator("img")).to_have_count(2)
    frame, laid = (e.bounding_box() for e in (beside, beside.locator("img").last))
    assert laid["y"] + laid["height"] <= frame["y"] + frame["height"]  # whole
    press(tab, "Undo")
    expect(words).to_contain_text("Nothing is changed")


def test_a_bad_upload_is_explained_on_the_page(visit, served, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    page = visit(f"{served}/indomain")
    tab = panel(page, "Invert")
    with page.expect_file_chooser() as opened:  # by the icon below the picture
        tab.get_by_label("Upload file").first.click()
    opened.value.set_files(str(tmp_path / "bad.png"))
    complaint = page.get_by_text("not a picture that can be opened").first
    expect(complaint).to_be_visible()
    page.wait_for_timeout(SECONDS)  # the upload alone is complained of more than once
    while page.locator(".toast-close").count():  # those that go by themselves meanwhile are gone
        page.locator(".toast-close").evaluate_all("all => all.forEach((button) => button.click())")
        page.wait_for_timeout(SECONDS / 2)
    expect(tab.locator(".portrait img").filter(visible=True)).to_have_count(0)
    press(tab, "Invert by all four")
    expect(page.locator("#invert-by-all-four-state")).to_contain_text("There is no picture yet")


@pytest.mark.parametrize("path", PARTS)
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_their_width_with_the_picker_closed_and_open(visit, served, width, path):
    page = visit(served + path, width, color_scheme="light")
    fits_in_both_schemes(page)
    for tab, last in PARTS[path].items():
        panel(page, tab).locator(last).first.wait_for()
        fits_in_both_schemes(page)
    page.locator("#domain-picker > button").click()
    page.get_by_label("Photographs of faces").check()
    page.locator(".domain-card").first.wait_for(state="attached")
    fits_in_both_schemes(page)


def fits_in_both_schemes(page: Page) -> None:
    """The visitor's machine turns light, and dark."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        expect(page.locator("body.dark")).to_have_count(int(scheme == "dark"))
        assert overhang(page) <= 0, scheme


def test_what_stands_out_of_a_page_is_measured(visit, served):
    page = visit(served, 390)
    page.locator(".prose-page").first.evaluate("e => e.style.width = '500px'")
    assert overhang(page) > 0


@pytest.mark.real
@pytest.mark.skipif(not STARTER.exists(), reason="needs the starter weights")
def test_a_diffusion_with_the_real_networks(visit):
    demo = app.build()
    _, url, _ = demo.launch(**theme.LAUNCH, prevent_thread_lock=True, quiet=True)
    page = visit(url)
    report = open_and_diffuse(page, steps=10)
    assert "dB" in report and "judge says" in report
    demo.close()
