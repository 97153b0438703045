"""A visitor writes, presses chips, paints and turns a head in a real browser; a fake pipeline."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from demos.mm2latent import PAPER
from tests.demos.browsing import CHROMIUM, SECONDS, overhang, panel, picture, press
from tests.demos.fake_mm2latent import FakeMM2Latent
from tests.demos.preparation import serving, started
from tests.demos.test_mm2latent_page import PAGE, build

expect.set_options(timeout=20 * SECONDS)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the path")


@pytest.fixture(scope="module")
def fake_mm() -> FakeMM2Latent:
    return FakeMM2Latent()


@pytest.fixture(scope="module")
def served(fake_mm):
    with serving(build(fake_mm)) as url:
        yield url


def written(visit, served: str, width: int = 1280, address: str = "") -> Page:
    """The page with a prompt that was written and pressed, its variations shown."""
    page = visit(f"{served}/mm2latent{address}", width)
    page.locator("#mm2latent-prompt textarea").fill("blond hair")
    chip(page, "round").click()
    expect(page.locator("#mm2latent-prompt textarea")).to_have_value("blond hair, round glasses")
    expect(page.locator("#mm2latent-words .yes")).to_have_count(2)
    expect(page.locator("#mm2latent-variations figure")).to_have_count(4)
    return page


def chip(page: Page, name: str) -> Locator:
    chips = page.locator("#mm2latent-prompt .chips button")
    return chips.get_by_text(name, exact=True).first


def choose(page: Page, kind: str) -> None:
    page.locator("#mm2latent-kind").get_by_text(kind, exact=True).click()


def test_chips_write_the_prompt_and_the_judge_answers(visit, served) -> None:
    page = written(visit, served)
    before = picture(page, "#mm2latent-result")
    chip(page, "cap").click()
    expect(page.locator("#mm2latent-words .no")).to_contain_text("a cap")
    chip(page, "round").click()  # taken out again
    expect(page.locator("#mm2latent-prompt textarea")).to_have_value("blond hair, a cap")
    expect(page.locator("#mm2latent-words .yes")).to_have_count(1)
    assert picture(page, "#mm2latent-result") != before


def test_a_stroke_on_the_mask_changes_the_picture(visit, served) -> None:
    page = written(visit, served)
    choose(page, "Mask")
    expect(page.locator("#mm2latent-strip figure")).to_have_count(4, timeout=180 * SECONDS)
    expect(page.locator("#mm2latent-strip .marked")).to_contain_text("with blond hair")
    shown = page.locator("#mm2latent-result img")
    before = shown.get_attribute("src")  # the address of a picture is made of its bytes
    canvas = page.locator("#mm2latent-mask canvas")
    page.locator("#mm2latent-mask .legend").get_by_text("hat", exact=True).click()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 20, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, middle, steps=8)
    page.mouse.up()
    expect(page.locator("#mm2latent-mask .status")).to_contain_text("Painted hat")
    expect(page.locator("#mm2latent-strip .marked")).to_contain_text("painted over")
    expect(shown).not_to_have_attribute("src", before)


def settled(lines: Locator) -> str:
    """The shape of lines that stay: the portrait's own numbers come from the server."""
    before, now = "", lines.get_attribute("d")
    while now != before:
        lines.page.wait_for_timeout(2 * SECONDS)
        before, now = now, lines.get_attribute("d")
    return now


def test_a_head_of_lines_turns_with_its_slider(visit, served) -> None:
    page = written(visit, served)
    choose(page, "Head in 3D")
    expect(page.locator("#mm2latent-strip figure")).to_have_count(4, timeout=180 * SECONDS)
    lines = page.locator("#mm2latent-head path.face").last
    before = settled(lines)
    page.locator("#mm2latent-head input[data-name=yaw]").fill("30")
    assert lines.get_attribute("d") != before  # at once, in the browser
    expect(page.locator("#mm2latent-head output").first).to_have_text("+30")
    expect(page.locator("#mm2latent-strip .marked")).to_contain_text("these numbers")
    shown = page.locator("#mm2latent-result img")
    before = shown.get_attribute("src")
    page.locator("#mm2latent-head input[data-name=yaw]").fill("-30")
    expect(shown).not_to_have_attribute("src", before)


def test_a_kind_has_its_own_again_after_another_was_seen(visit, served) -> None:
    page = written(visit, served)
    for kind, own in (
        ("Sketch", "#mm2latent-sketch canvas"),
        ("None", "#mm2latent-prompt"),
        ("Head in 3D", "#mm2latent-head input[data-name=yaw]"),
        ("Mask", "#mm2latent-mask .legend label >> nth=0"),
        ("Head in 3D", "#mm2latent-head input[data-name=yaw]"),
    ):
        choose(page, kind)
        expect(page.locator(own)).to_be_visible(timeout=180 * SECONDS)


def test_the_page_fits_a_phone_and_a_dark_room(visit, served) -> None:
    page = written(visit, served, width=390, address="?__theme=dark")
    choose(page, "Head in 3D")
    expect(page.locator("#mm2latent-head path.face").last).to_be_visible(timeout=180 * SECONDS)
    assert overhang(page) <= 0
    ground = page.locator("#mm2latent-head svg")
    assert ground.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(27, 47, 42)"


@pytest.fixture(scope="module")
def with_examples(shelves, fake_mm):
    """The address of the app whose page starts with a stored example."""
    with serving(started(PAPER, PAGE, fake_mm, shelves)) as url:
        yield url


def test_examples_are_shown_without_a_network_and_go_on(visit, with_examples, fake_mm) -> None:
    fake_mm.calls.clear()
    page = visit(f"{with_examples}/mm2latent")
    prompt = page.locator("#mm2latent-prompt textarea")
    expect(prompt).to_have_value("red hair, a full beard")
    expect(page.locator("#mm2latent-mask .status")).to_be_visible()
    before = picture(page, "#mm2latent-result")
    cards = page.locator(".examples label").filter(visible=True)
    for i, (words, box) in enumerate(
        (("white hair, stubble", "sketch"), ("blond hair, round glasses", "head")), 1
    ):
        cards.nth(i).click()
        expect(prompt).to_have_value(words)
        expect(page.locator(f"#mm2latent-{box}")).to_be_visible()
        expect(page.locator("#mm2latent-strip figure")).to_have_count(4)
        assert picture(page, "#mm2latent-result") != before
    tab = panel(page, "Edit")
    expect(tab.locator("#mm2latent-target textarea")).to_have_value(
        "a portrait of a person with a full beard"
    )
    page.wait_for_timeout(3 * SECONDS)  # what a change of the pictures starts
    assert fake_mm.calls == []
    press(tab, "Keep, and edit on")
    expect(page.locator("#mm2latent-story")).to_contain_text("with a full beard")
    assert [call[0] for call in fake_mm.calls] == ["invert", "edit", "placed"]
