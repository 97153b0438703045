"""A visitor paints masks in a real browser, with the fake and with the real networks."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

import app
from demos.editgan import paint, vectors
from demos.editgan.truth import truth
from demos.kit import theme
from demos.kit.painter import Painting, mask_painter
from demos.kit.portraits import TEST
from examples.clay.parts import PART_PALETTE, PARTS
from tests.demos.browsing import CHROMIUM, LONG, SECONDS, panel, pictures, press

SIDE = 128

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the path")


def embed(page: Page, steps: int = 10, seed: int = TEST.start + 15) -> None:
    """A never-seen portrait, embedded; its mask is in the painter."""
    shown = page.locator(".image-frame img").first
    before = shown.get_attribute("src") or ""
    page.get_by_label("Portrait number").fill(str(seed))
    page.get_by_label("Portrait number").press("Enter")
    expect(shown).not_to_have_attribute("src", before)
    fill_number(page, "Optimisation steps", steps)
    press(page, "Embed")
    report = page.locator("#editgan-embedding-report")
    expect(report).to_contain_text(f"Embedded after {steps} steps")
    # In the stored example that stood here, the glasses were chosen.
    expect(painter(page).locator(".legend label:has(input:checked)")).to_have_text("upper lip")


def fill_number(page: Page, name: str, value: int, nth: int = 0) -> None:
    box = page.get_by_label(f"number input for {name}").nth(nth)
    box.fill(str(value))
    box.press("Enter")


def held(gate: threading.Event, work: Callable) -> Callable:
    """The same work, which begins when the gate is opened."""

    def late(*given):
        assert gate.wait(LONG / SECONDS), "the test ended, or waits for this itself"
        return work(*given)

    return late


def painter(page: Page) -> Locator:
    return page.locator("#editgan-painter")


def choose(page: Page, part: str) -> None:
    painter(page).locator(".legend").get_by_text(part, exact=True).click()


def status(page: Page) -> Locator:
    return page.locator("#editgan-painter .status")


def canvas(page: Page) -> Locator:
    found = page.locator("#editgan-painter canvas")
    found.scroll_into_view_if_needed()
    return found


def places(page: Page, *points: tuple[float, float]) -> list[tuple[float, float]]:
    """Where on the screen points are that are given in the mask's own pixels."""
    box = canvas(page).bounding_box()
    return [(box["x"] + x * box["width"] / SIDE, box["y"] + y * box["width"] / SIDE)
            for x, y in points]  # fmt: skip


def stroke(page: Page, *points: tuple[float, float]) -> None:
    """Draw along points given in the mask's own pixels."""
    ways = places(page, *points)
    page.mouse.move(*ways[0])
    page.mouse.down()
    for way in ways[1:]:
        page.mouse.move(*way, steps=6)
    page.mouse.up()


def mask(page: Page) -> np.ndarray:
    """The labels that the page shows as the part mask, in the mask's own pixels."""
    colours = np.asarray(pictures(page, "#editgan-mask")[0])[2::4, 2::4].astype(int)
    distances = np.abs(colours[:, :, None] - PART_PALETTE.astype(int)).sum(-1)
    assert not distances.min(-1).any()
    return distances.argmin(-1)


def lip_of(labels: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the upper lip."""
    rows, columns = np.nonzero(labels == PARTS.index("upper lip"))
    return columns.min(), rows.min(), columns.max(), rows.max()


def paint_the_lip(page: Page) -> tuple[int, int, int, int]:
    """A stroke over the upper edge of the upper lip; where the lip was."""
    left, top, right, bottom = lip_of(mask(page))
    choose(page, "upper lip")
    stroke(page, (left + 1, top), ((left + right) / 2, top), (right, top))
    expect(status(page)).to_have_text("Painted upper lip.")
    return left, top, right, bottom


def painted(page: Page) -> np.ndarray:
    """What the browser holds, from the file that the page makes of it."""
    if not page.get_by_role("button", name="Prepare the mask").is_visible():
        page.get_by_role("button", name="Masks as files").click()
    old = page.locator("#mask-file a")
    before = old.first.get_attribute("href") if old.count() else ""
    press(page, "Prepare the mask")
    page.wait_for_function(
        "old => { const a = document.querySelector('#mask-file a'); return a && a.href !== old }",
        arg=before,
    )
    with page.expect_download() as download:
        page.locator("#mask-file a").first.click()
    with Image.open(download.value.path()) as file:
        assert file.size == (4 * SIDE, 4 * SIDE)
        return np.asarray(file)[2::4, 2::4].copy()


def changes(page: Page) -> np.ndarray:
    """How much each pixel differs between the two pictures of the slider."""
    before, after = (np.asarray(p, int) for p in pictures(page, "#editgan-compare"))
    return np.abs(before - after).sum(-1)


def edit_with_vectors(page: Page, embed_steps: int, steps: int) -> np.ndarray:
    """The whole way: paint, undo, optimise, take back, vectors. What the painted edit changed."""
    embed(page, embed_steps)
    paint_the_lip(page)
    expect(page.locator("#q-edit")).to_contain_text("upper lip")
    press(painter(page), "Undo")
    expect(page.locator("#q-edit")).not_to_contain_text("upper lip")
    press(painter(page), "Redo")
    expect(page.locator("#q-edit")).to_contain_text("upper lip")
    fill_number(page, "Optimisation steps", steps, nth=1)
    press(page, "Optimise")
    report = page.locator("#editgan-report")
    expect(report).to_contain_text(f"Done after {steps} steps")
    found = changes(page)
    page.locator("#editgan-history button").first.click()
    expect(report).to_contain_text("this is the embedding")
    assert not changes(page).any()
    use_the_library(page)
    return found


def use_the_library(page: Page) -> None:
    """Apply the first vector, save it under a name, download it and load it again."""
    tab = panel(page, "Vectors")
    slider = tab.locator("#editgan-library input[type=range]").first
    name = slider.get_attribute("data-name")
    slider.fill("1")
    report, history = page.locator("#editgan-report"), page.locator("#editgan-history")
    expect(report).to_contain_text(f"{name} +1: applied")
    expect(history).to_contain_text(name)
    assert changes(page).any()
    tab.get_by_role("button", name="Your own vectors").click()
    tab.get_by_label("Name", exact=True).fill("mine")
    press(tab, "Save as vector")
    expect(history).to_contain_text("mine")
    expect(slider).to_have_value("0")  # the edit has another name, and its own slider
    with page.expect_download() as download:
        page.locator("#vector-file a").first.click()
    assert download.value.suggested_filename == "mine.safetensors"
    path = download.value.path().rename(download.value.path().with_suffix(".safetensors"))
    tab.locator("input[type=file]").last.set_input_files(str(path))
    expect(page.locator("#vector-words")).to_contain_text("Loaded mine 2")
    expect(page.locator("#editgan-library")).to_contain_text("mine 2")
    press(page, "Take back mine")
    expect(report).to_contain_text("this is the embedding")
    tab.locator("#editgan-library input[data-name='mine 2']").fill("1")
    expect(report).to_contain_text("mine 2 +1: applied")


def test_paint_optimise_take_back_and_vectors(visit, served):
    page = visit(f"{served}/editgan")
    moved = edit_with_vectors(page, embed_steps=10, steps=20) > 0
    rows, columns = np.nonzero(moved)
    left, top, right, bottom = lip_of(mask(page))
    assert moved.any()
    assert rows.min() >= top - 6 and rows.max() <= bottom + 6
    assert columns.min() >= left - 6 and columns.max() <= right + 6


def test_tools_on_the_canvas(visit, served):
    page = visit(f"{served}/editgan")
    embed(page)
    start = mask(page)
    press(page, "Grow")
    expect(page.locator("#q-edit")).to_contain_text("upper lip")
    choose(page, "hat")
    stroke(page, (20, 20), (60, 20), (60, 50), (20, 50), (20, 20))
    hat, ring = PARTS.index("hat"), painted(page)
    assert ring[20, 40] == hat and ring[35, 40] == start[35, 40]
    painter(page).get_by_text("Fill", exact=True).click()
    stroke(page, (4.5, 4.5))
    expect(status(page)).to_have_text("Filled: background became hat.")
    assert painted(page)[4, 4] == hat
    painter(page).get_by_text("Eraser", exact=True).click()
    stroke(page, (20, 20), (60, 20))
    assert painted(page)[20, 40] == start[20, 40]
    painter(page).get_by_text("Pick", exact=True).click()
    stroke(page, (64, 125))
    expect(status(page)).to_have_text("clothing is chosen.")
    press(painter(page), "Reset")
    assert (painted(page) == start).all()
    press(painter(page), "Undo")
    assert painted(page)[4, 4] == hat


def test_buttons_and_keys_need_no_pointer(visit, served):
    page = visit(f"{served}/editgan")
    embed(page)
    start, lip = mask(page), PARTS.index("upper lip")
    page.locator("#editgan-painter .legend input:checked").focus()
    page.keyboard.press("ArrowDown")
    expect(status(page)).to_have_text("lower lip is chosen.")
    page.keyboard.press("ArrowUp")
    press(page, "Up")
    expect(page.locator("#q-edit")).to_contain_text("upper lip")
    assert (painted(page) == lip)[lip_of(start)[1] - 1].any()
    press(painter(page), "Undo")
    canvas(page).focus()
    for key in ("Shift+ArrowUp", "Shift+ArrowUp", "ArrowRight", "Space"):
        page.keyboard.press(key)
    expect(status(page)).to_have_text("Painted upper lip.")
    spot = (painted(page) != start).nonzero()
    assert 4 <= len(spot[0]) <= 20 and spot[0].max() < lip_of(start)[1]
    page.keyboard.press("Control+z")
    canvas(page).focus()
    page.keyboard.press("Control+z")
    assert (painted(page) == start).all()


def test_a_finger_paints_and_zoom_magnifies(visit, served):
    page = visit(f"{served}/editgan", 390, has_touch=True, is_mobile=True)
    embed(page)
    start = mask(page)
    choose(page, "left iris")
    page.locator("#editgan-painter input[name=zoom]").fill("4")
    box = canvas(page).bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(status(page)).to_have_text("left iris is chosen.")  # a dab inside it changes nothing
    page.locator("#editgan-painter input[name=size]").fill("8")
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(status(page)).to_have_text("Painted left iris.")
    rows, columns = (painted(page) != start).nonzero()
    assert len(rows) and np.ptp(rows) <= 9
    assert abs(columns.mean() - 52) < 6 and abs(rows.mean() - 54) < 6  # where the drawn iris is


def test_a_second_finger_paints_nothing(visit, served):
    page = visit(f"{served}/editgan", 390, has_touch=True, is_mobile=True)
    embed(page)
    start = mask(page)
    choose(page, "hat")
    # On a phone the picture stays at the top, over what is scrolled behind it.
    canvas(page).evaluate("e => e.scrollIntoView({block: 'end'})")
    one, other, further = places(page, (20, 20), (100, 100), (104, 104))
    touch = page.context.new_cdp_session(page)
    for kind, fingers in (
        ("touchStart", [one]), ("touchStart", [one, other]), ("touchMove", [one, further]),
        ("touchEnd", []),
    ):  # fmt: skip
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(fingers)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(status(page)).to_have_text("Painted hat.")
    rows, columns = (painted(page) != start).nonzero()
    assert len(rows) and max(rows.max(), columns.max()) < 25


def test_an_answer_leaves_the_stroke_that_is_drawn_meanwhile(
    visit, served, fake_editgan, monkeypatch
):
    page, gate, region = visit(f"{served}/editgan"), threading.Event(), fake_editgan.region
    embed(page)
    choose(page, "hat")
    monkeypatch.setattr(fake_editgan, "region", held(gate, region))
    stroke(page, (10, 10), (30, 10))
    ways = places(page, (10, 20), (30, 20), (50, 20))
    page.mouse.move(*ways[0])
    page.mouse.down()
    page.mouse.move(*ways[1], steps=6)
    expect(page.locator("#q-edit")).not_to_contain_text(re.compile(r"\bhat\b"))
    gate.set()
    expect(page.locator("#q-edit")).to_contain_text(re.compile(r"\bhat\b"))
    page.mouse.move(*ways[2], steps=6)
    page.mouse.up()
    assert (painted(page)[20, 10:50] == PARTS.index("hat")).all()


def test_what_is_painted_while_a_button_works_stays(visit, served, monkeypatch):
    page, gate = visit(f"{served}/editgan"), threading.Event()
    embed(page)
    start, hat, lip = mask(page), PARTS.index("hat"), PARTS.index("upper lip")
    monkeypatch.setattr(paint, "_painted", held(gate, paint._painted))
    with page.expect_request("**/queue/join*"):
        press(page, "Grow")
    choose(page, "hat")
    stroke(page, (20, 20), (60, 20))
    gate.set()
    expect(page.locator("#q-edit")).to_contain_text("upper lip")
    expect(page.locator("#q-edit")).to_contain_text(re.compile(r"\bhat\b"))
    expect(painter(page).locator(".legend label:has(input:checked)")).to_have_text("hat")
    now = painted(page)
    assert (now[20, 20:60] == hat).all() and (now == lip).sum() > (start == lip).sum()


def test_a_mask_file_is_loaded_and_a_bad_one_explained(visit, served, tmp_path):
    page = visit(f"{served}/editgan")
    embed(page)
    labels = mask(page).astype(np.uint8)
    labels[:12, :12] = PARTS.index("hat")
    Image.fromarray(PART_PALETTE[labels]).save(tmp_path / "mask.png")
    Image.new("RGB", (90, 70), "red").save(tmp_path / "bad.png")
    page.get_by_role("button", name="Masks as files").click()
    upload = page.get_by_role("tabpanel").filter(visible=True).locator("input[type=file]").last
    upload.set_input_files(str(tmp_path / "mask.png"))
    expect(page.locator("#q-edit")).to_contain_text(re.compile(r"\bhat\b"))
    upload.set_input_files(str(tmp_path / "bad.png"))
    expect(page.get_by_text("colours of a mask must be").first).to_be_visible()


def test_stop_keeps_the_edit_so_far(visit, served, fake_editgan, monkeypatch):
    page = visit(f"{served}/editgan")
    embed(page)
    paint_the_lip(page)
    monkeypatch.setattr(fake_editgan, "seconds_a_step", 0.3)
    press(page, "Optimise")
    report, state = page.locator("#editgan-report"), page.locator("#optimise-state")
    expect(state).to_contain_text(re.compile(r": step \d"))
    press(page, "Stop", nth=1)
    expect(report).to_contain_text("Stopped after")
    expect(page.locator("#editgan-history")).to_contain_text("upper lip")


def test_library_edits_have_a_true_answer(visit, served):
    page = visit(f"{served}/editgan")
    embed(page)
    tab = panel(page, "Vectors")
    smile = tab.locator("#editgan-library input[data-name='smile']")
    smile.fill("1")
    assert smile.evaluate("e => e.style.getPropertyValue('--range_progress')") == "75%"
    verdict = page.locator("#editgan-verdict")
    expect(verdict).to_contain_text("with this change: smile")
    page.locator("#editgan-answer img").wait_for()
    panel(page, "Paint")
    canvas(page)
    expect(page.locator("#editgan-painter .legend label")).to_have_count(len(PARTS))
    press(page, "A sample of the model")
    expect(page.locator("#editgan-embedding-report")).to_contain_text("of the model")
    expect(page.get_by_label("Portrait number")).to_have_value("")
    paint_the_lip(page)
    press(page, "Optimise")
    expect(page.locator("#editgan-report")).to_contain_text("Done after")
    expect(verdict).to_contain_text("the model made this picture up")


def test_a_late_list_of_the_library_leaves_the_sliders_that_were_moved(visit, served, monkeypatch):
    page, gate, rows = visit(f"{served}/editgan"), threading.Event(), vectors.library_rows

    def noted(note: str) -> Callable:
        return lambda *of: [[name, note, *rest] for name, _, *rest in rows(*of)]

    embed(page)
    monkeypatch.setattr(vectors, "library_rows", noted("early"))
    library = panel(page, "Vectors").locator("#editgan-library")
    expect(library).to_contain_text("early")
    monkeypatch.setattr(vectors, "library_rows", held(gate, noted("late")))
    panel(page, "Paint")
    panel(page, "Vectors")
    smile = library.locator("input[data-name='smile']")
    smile.fill("1")
    expect(page.locator("#editgan-report")).to_contain_text("smile +1: applied")
    gate.set()
    expect(library).to_contain_text("late")
    expect(smile).to_have_value("1")
    library.locator("input[data-name='bigger eyes']").fill("0.5")
    expect(page.locator("#editgan-report")).to_contain_text("smile +1, bigger eyes +0.5")


def test_the_true_answer_follows_the_last_slider(visit, served, monkeypatch):
    page, gate = visit(f"{served}/editgan"), threading.Event()
    monkeypatch.setattr("demos.editgan.panel.truth", held(gate, truth))
    embed(page)
    tab, report = panel(page, "Vectors"), page.locator("#editgan-report")
    tab.locator("#editgan-library input[data-name='smile']").fill("1")
    expect(report).to_contain_text("smile +1: applied")
    tab.locator("#editgan-library input[data-name='bigger eyes']").fill("1")
    expect(report).to_contain_text("bigger eyes +1: applied")
    gate.set()
    verdict = page.locator("#editgan-verdict")
    expect(verdict).to_contain_text("bigger eyes")


def test_the_value_of_the_browser_is_read_by_the_server():
    labels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    back = mask_painter(render=False).preprocess(Painting(labels, 3).value)
    assert (back.labels == labels).all() and back.part == 3


@pytest.mark.real
def test_the_lip_changes_and_the_rest_stays_with_the_real_networks(visit):
    demo = app.build()
    _, url, _ = demo.launch(**theme.LAUNCH, prevent_thread_lock=True, quiet=True)
    page = visit(f"{url.rstrip('/')}/editgan")
    moved = edit_with_vectors(page, embed_steps=50, steps=50)
    left, top, right, bottom = lip_of(mask(page))
    near = np.zeros((SIDE, SIDE), bool)
    near[max(top - 8, 0) : bottom + 8, max(left - 8, 0) : right + 8] = True
    # Sums over three colours of 255: the lip, and the drift that optimisation leaves elsewhere.
    assert moved[near].mean() > 9 > moved[~near].mean()
    assert moved[near].mean() > 1.5 * moved[~near].mean()
    demo.close()
