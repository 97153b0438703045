"""A visitor writes a prompt by chips, paints, generates and looks inside, with a fake pipeline."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from demos.diffusion_inversion import PAPER
from demos.diffusion_inversion.ask import EXAMPLES
from tests.demos.browsing import CHROMIUM, LONG, overhang, panel, picture, press
from tests.demos.fake_diffusion import FakeDiffusion
from tests.demos.preparation import serving, started
from tests.demos.test_diffusion_page import PAGE, build

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the path")


@pytest.fixture(scope="module")
def served():
    with serving(build(FakeDiffusion(seconds_a_call=0.1))) as url:
        yield url


def opened(visit, served: str, width: int = 1280, **options) -> Page:
    """The page with its first example."""
    page = visit(f"{served}/diffusion_inversion", width, **options)
    expect(prompt(page)).to_have_value(EXAMPLES[0].prompt, timeout=LONG)
    hair = page.locator("#diffusion-mask .legend label:not(.absent)").get_by_text("hair")
    expect(hair).to_be_visible(timeout=LONG)
    return page


def prompt(page: Page):
    return page.locator("#diffusion-prompt textarea")


def generated(page: Page) -> None:
    press(page, "Generate")
    expect(page.locator("#diffusion-verdict")).to_contain_text("times as long", timeout=LONG)


def test_chips_write_the_prompt_and_light_up_by_it(visit, served) -> None:
    page = opened(visit, served)
    chips = page.locator("#diffusion-prompt .chips")
    lit = chips.locator("[aria-pressed=true]")
    assert set(lit.all_inner_texts()) == {"young", "red", "broad smile"}
    for press_, expected in (
        ("older", "an older person, long wavy red hair, a broad smile"),
        ("round", "an older person, long wavy red hair, a broad smile, round glasses"),
        ("broad smile", "an older person, long wavy red hair, round glasses"),
    ):
        chips.get_by_role("button", name=press_, exact=True).click()
        expect(prompt(page)).to_have_value(expected)
    prompt(page).fill("somebody with sunglasses")
    expect(lit).to_have_text(["sunglasses"])
    prompt(page).fill("a" * 1200)
    expect(page.locator("#diffusion-prompt .status")).to_contain_text("200 characters too many")


def test_a_painted_mask_is_raced_and_looked_into(visit, served) -> None:
    page = opened(visit, served)
    generated(page)
    expect(page.locator("#diffusion-ours-clock .calls")).to_have_text("1 call of the U-Net")
    expect(page.locator("#diffusion-theirs-clock .pips .made")).to_have_count(20)
    words = page.locator("#diffusion-words label")
    expect(words.first).to_have_text("a")
    before = picture(page, "#diffusion-overlay")
    words.nth(5).click()
    expect(page.locator("#diffusion-seen")).to_contain_text("red")
    assert picture(page, "#diffusion-overlay") != before
    panel(page, "Styles").get_by_text("Bronze").click()
    expect(page.locator("#diffusion-true img")).to_be_visible(timeout=LONG)
    press(panel(page, "Steps"), "Read at t")
    expect(page.locator("#diffusion-t-words")).to_contain_text("11 calls", timeout=LONG)
    emptied_by_a_stroke(page)


def emptied_by_a_stroke(page: Page) -> None:
    """A stroke makes another question of it: what was made of the old one goes."""
    canvas = page.locator("#diffusion-mask canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 40, steps=4)
    page.mouse.up()
    expect(page.locator("#diffusion-ours img")).to_have_count(0, timeout=LONG)
    expect(page.locator("#generate-state")).to_contain_text("no result yet")


def test_stored_examples_are_chosen_by_their_thumbnails(visit, shelves) -> None:
    fake = FakeDiffusion()
    with serving(started(PAPER, PAGE, fake, shelves)) as url:
        page = visit(f"{url}/diffusion_inversion")
        mask, pad = (page.locator(f"#diffusion-{kind} canvas") for kind in ("mask", "scribble"))
        expect(mask).to_be_visible()
        expect(pad).to_be_hidden()
        examples = page.locator(".examples label")
        expect(examples).to_have_count(3)
        first = picture(page, "#diffusion-ours")
        examples.get_by_text("Words and a scribble").click()
        expect(pad).to_be_visible()
        expect(mask).to_be_hidden()
        expect(page.locator("#diffusion-scribble-words")).to_contain_text("by no network")
        assert picture(page, "#diffusion-ours") != first
        examples.get_by_text("In another style").click()
        expect(page.get_by_role("tab", name="Styles")).to_have_attribute("aria-selected", "true")
        assert picture(page, "#diffusion-styled") != picture(page, "#diffusion-true")
        expect(page.locator("#diffusion-verdict")).to_contain_text("20 calls")
        assert fake.calls == []  # nothing of it was taken for another question
        emptied_by_a_stroke(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(visit, served, scheme) -> None:
    page = opened(visit, served, 390, color_scheme=scheme)
    generated(page)
    assert overhang(page) <= 0
    assert page.locator("#diffusion-mask canvas").bounding_box()["width"] > 300


def test_a_scribble_is_drawn_on_its_own_pad(visit, served) -> None:
    page = opened(visit, served)
    page.get_by_text("Scribble", exact=True).click()
    pad = page.locator("#diffusion-scribble canvas")
    expect(pad).to_be_visible()
    expect(page.locator("#diffusion-mask canvas")).to_be_hidden()
    expect(page.locator("#diffusion-scribble .legend .absent")).to_have_count(0, timeout=LONG)
