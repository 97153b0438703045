"""A visitor runs all papers on one picture, in a real browser with fake pipelines."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

import app
from demos.papers import PAPERS
from tests.demos.browsing import CHROMIUM, overhang, press
from tests.demos.fake_diffusion import FakeDiffusion
from tests.demos.fake_mm2latent import FakeMM2Latent
from tests.demos.fake_pipeline import FakeInDomain
from tests.demos.fake_sam import FakeSAM
from tests.demos.preparation import serving
from tests.demos.shelves import stocked, with_glasses

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the path")
SLUGS = ("indomain", "editgan", "sam_inversion", "mm2latent", "diffusion_inversion")


@pytest.fixture(scope="module")
def fakes() -> dict:
    slow = FakeInDomain(seconds_a_step=0.05)
    others = with_glasses(), FakeSAM(), FakeMM2Latent(), FakeDiffusion()
    return dict(zip(SLUGS, (slow, *others), strict=True))


@pytest.fixture(scope="module")
def served(fakes, shelves):
    """The app with SAM inversion switched on; `shelves` has nothing of it stored if it is off."""
    papers = [replace(p, page=p.page or f"demos.{p.slug}.page:build") if p.slug in SLUGS else p
              for p in PAPERS]  # fmt: skip
    loads = {slug: lambda *_, fake=fake: fake for slug, fake in fakes.items()}
    with stocked(shelves):
        demo = app.build(loads, papers=papers)
    with serving(demo) as url:
        yield url


def shots(page: Page, row: str, words: str):
    """The cards of a row that say this."""
    return page.locator(f"#comparison-{row} .shot", has_text=words)


def test_a_press_runs_every_paper_and_another_picture_clears_the_rows(visit, served, fakes):
    page = visit(served)
    expect(shots(page, "rebuilt", "PSNR").first).to_be_visible()  # a stored example
    press(page, "New portrait")
    expect(shots(page, "rebuilt", "Not run yet")).to_have_count(len(SLUGS))
    expect(page.locator("#comparison-rebuilt .shot").first.locator("img")).to_be_visible()
    press(page, "Run all papers on it")
    expect(shots(page, "rebuilt", "Step")).to_have_count(1)  # one at a time, with its seconds
    expect(shots(page, "rebuilt", "PSNR")).to_have_count(len(SLUGS))
    expect(shots(page, "changed", "Unedited")).to_have_count(len(SLUGS))
    expect(page.locator(".shot.best")).to_have_count(2)
    expect(page.locator("#run-all-papers-on-it-state")).to_contain_text("Done in")
    inverted = fakes["indomain"].steps_done
    page.locator("#comparison-change label", has_text="Older").click()
    expect(shots(page, "changed", "age is not a part")).to_have_count(1)
    expect(shots(page, "changed", "an older person")).to_have_count(2)  # two are asked in words
    assert fakes["indomain"].steps_done == inverted, "nothing was inverted again"
    for image in page.locator(".shot img").all():
        assert len(image.get_attribute("alt")) > 10
    press(page, "New portrait")
    expect(shots(page, "changed", "Not run yet")).to_have_count(len(SLUGS) + 1)


def test_on_a_phone_cards_stand_in_two_columns_and_stop_keeps_what_is_there(visit, served):
    page = visit(served, 390)
    page.locator(".examples label").nth(1).click()
    expect(shots(page, "changed", "rendered so: older")).to_have_count(1)
    places = [card.bounding_box() for card in page.locator("#comparison-rebuilt .shot").all()]
    assert len({round(place["x"]) for place in places}) == 2 and overhang(page) == 0
    press(page, "Run all papers on it")
    expect(shots(page, "rebuilt", "Step")).to_have_count(1)
    press(page, "Stop")
    expect(shots(page, "rebuilt", "Stopped before its turn")).to_have_count(len(SLUGS) - 1)
    expect(page.locator("#run-all-papers-on-it-state")).to_contain_text("result so far")


def test_the_pages_of_the_papers_are_one_press_away(visit, served):
    page = visit(served)
    page.locator("#comparison-rebuilt").get_by_role("link", name="EditGAN").click()
    expect(page.locator("h1", has_text="EditGAN")).to_be_visible()
