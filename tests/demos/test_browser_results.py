"""Results in a real browser: answered at the button, gone with their input, sent on, in view."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.demos.browsing import CHROMIUM, panel, press
from tests.demos.shelves import shipped

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the path")


def in_view(page: Page, place: Locator) -> bool:
    """Whether all of it can be seen without scrolling."""
    box, size = place.bounding_box(), page.viewport_size
    return box is not None and box["y"] >= 0 and box["y"] + box["height"] <= size["height"]


def test_a_press_is_answered_at_the_button(visit, served, fake, monkeypatch):
    monkeypatch.setattr(fake, "seconds_a_step", 0.5)
    page = visit(f"{served}/indomain")
    button = page.get_by_role("button", name="Diffuse", exact=True)
    page.locator("#diffused img").wait_for()  # farther down: the page is as long as it will be
    button.evaluate("e => e.scrollIntoView({block: 'center'})")
    button.click()
    state = page.locator("#diffuse-state")
    expect(state).to_contain_text("left")
    assert in_view(page, state) and in_view(page, button)
    press(page, "Stop")
    expect(state).to_contain_text("result so far")


def test_results_go_with_their_input(visit, served, tmp_path):
    shipped(2_000_003).save(tmp_path / "other.png")
    page = visit(f"{served}/indomain")
    tab, words = panel(page, "Manipulate"), page.locator("#manipulate-words")
    expect(words).to_contain_text("Changed")
    expect(tab.locator(".examples input:checked")).to_have_count(1)
    tab.locator("input[type=file]").first.set_input_files(str(tmp_path / "other.png"))
    expect(words).to_contain_text("Press Invert first")
    expect(page.locator("#invert-state")).to_contain_text("no result yet")
    expect(tab.get_by_label("range slider for Smile, none to full")).to_have_value("0")
    expect(tab.locator(".examples input:checked")).to_have_count(0)


def test_a_result_is_sent_to_another_part_and_page_with_its_code(visit, served):
    page = visit(f"{served}/indomain")
    tab = panel(page, "Manipulate")
    tab.get_by_role("button", name="Use it there").wait_for()
    for place in ("Invert", "EditGAN: Picture to embed"):
        tab = panel(page, "Manipulate")
        tab.get_by_label("Use in").click()
        page.get_by_role("option", name=place, exact=True).click()
        press(tab, "Use it there")
        if place == "Invert":
            expect(page.get_by_role("tab", name="Invert", exact=True)).to_have_attribute(
                "aria-selected", "true"
            )
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open EditGAN").click()
    other = opened.value
    state = other.locator("#embed-state")
    expect(state).to_contain_text("no result yet")
    press(other, "Embed")
    report = other.locator("#editgan-embedding-report")
    expect(report).to_contain_text("after 0 steps")


@pytest.mark.parametrize(
    "width",
    [390, 1280],
)
def test_the_picture_stays_in_view_beside_the_painter(visit, served, width):
    page = visit(f"{served}/editgan", width)
    legend = page.locator("#editgan-painter .legend label").last
    legend.wait_for()
    legend.evaluate("e => e.scrollIntoView({block: 'end'})")
    compare = page.locator("#editgan-compare")
    expect(compare).to_be_in_viewport(ratio=1)
    box = compare.bounding_box()  # nor is it hidden by what is drawn over it
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    on_top = "(e, [x, y]) => e.contains(document.elementFromPoint(x, y))"
    assert compare.evaluate(on_top, middle)


def test_another_picture_clears_the_editing(visit, served):
    page = visit(f"{served}/editgan")
    page.locator("#editgan-compare img").first.wait_for()
    page.get_by_text("Poster", exact=True).click()
    expect(page.locator("#embed-state")).to_contain_text("press Embed")
    expect(page.locator("#editgan-compare img")).to_have_count(0)
    expect(page.locator("#editgan-painter .empty")).to_be_visible()
