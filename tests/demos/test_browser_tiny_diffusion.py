"""The page of diffusion-driven inversion with its real pipeline, on networks that nobody trained:
a mask is painted and asked for with words, then looked into, read at another step, and styled."""

from __future__ import annotations

import zlib

import pytest
import torch
from playwright.sync_api import Locator, Page, expect

from demos.diffusion_inversion.ask import EXAMPLES
from pipelines.diffusion_inversion import STYLES, DiffusionInversion
from pipelines.networks.diffusion_mapping import StyleModulation
from pipelines.networks.parser import FaceParser
from tests.demos.browsing import CHROMIUM, LONG, panel, picture, press
from tests.demos.preparation import serving
from tests.demos.test_diffusion_page import build as switched_on
from tests.pipelines.test_diffusion_inversion import WIDTH
from tests.pipelines.test_diffusion_inversion import build as tiny

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the path")
TOKENS, SIDE = 24, 128


class WordText(torch.nn.Module):
    """A state a word: the text encoder of these tests."""

    def __init__(self) -> None:
        super().__init__()
        self.texts = torch.nn.Embedding(256, WIDTH)

    def words(self, prompt: str) -> list[str]:
        return prompt.replace(",", " ").split()[: TOKENS - 2]

    def context(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.zeros(len(prompts), TOKENS, dtype=torch.long)
        for row, prompt in zip(ids, prompts, strict=True):
            for i, word in enumerate(self.words(prompt), 1):
                row[i] = 1 + zlib.crc32(word.encode()) % 255
        return self.texts(ids), ids > 0


def pipeline() -> DiffusionInversion:
    torch.manual_seed(1)
    styles = {name: StyleModulation((16, 8), 16, 12, 512, width=8) for name in STYLES}
    parser = FaceParser(channels=(8, 8))
    return tiny(SIDE, WordText(), styles=styles, parser=parser)


@pytest.fixture(scope="module")
def served():
    with serving(switched_on(pipeline())) as url:
        yield url


@pytest.fixture
def page(visit, served) -> Page:
    """The page with its first example, a mask with words."""
    page = visit(f"{served}/diffusion_inversion")
    prompt = page.locator("#diffusion-prompt textarea")
    expect(prompt).to_have_value(EXAMPLES[0].prompt, timeout=LONG)
    expect(part(page, "hair")).to_be_visible(timeout=LONG)
    return page


def part(page: Page, name: str) -> Locator:
    """An entry of the mask's legend, of a part that the mask has."""
    legend = page.locator("#diffusion-mask .legend label:not(.absent)")
    return legend.get_by_text(name, exact=True)


def painted(page: Page) -> None:
    """A hat where there was none, by a stroke."""
    page.locator("#diffusion-mask .legend").get_by_text("hat", exact=True).click()
    canvas = page.locator("#diffusion-mask canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.1 * box["height"], steps=6)
    page.mouse.up()
    expect(part(page, "hat")).to_be_visible()


def generated(page: Page) -> str:
    """The verdict, once both pictures are there."""
    press(page, "Generate")
    verdict = page.locator("#diffusion-verdict")
    expect(verdict).to_contain_text("times as long", timeout=LONG)
    return verdict.inner_text()


def test_words_and_a_painted_mask_become_a_picture_that_is_looked_into(page) -> None:
    expect(page.locator("#diffusion-mask-words")).to_contain_text("the renderer’s own mask")
    painted(page)
    verdict = generated(page)
    assert "1 call;" in verdict and "20 calls" in verdict
    expect(page.locator("#diffusion-ours-clock .calls")).to_have_text("1 call of the U-Net")
    assert picture(page, "#diffusion-ours") != picture(page, "#diffusion-theirs")
    # The map of a word.
    words = page.locator("#diffusion-words label")
    expect(words).to_have_text(
        [*WordText().words(EXAMPLES[0].prompt), "Ā, all words", "F̂ block 1", "F̂ block 2"]
    )
    before = picture(page, "#diffusion-overlay")
    words.get_by_text("red", exact=True).click()
    expect(page.locator("#diffusion-seen")).to_contain_text("attends to red: strongest")
    assert picture(page, "#diffusion-overlay") != before
    expect(page.locator("#diffusion-layers figure")).to_have_count(3)
    # M alone.
    whole = picture(page, "#diffusion-switched")
    page.get_by_text("M alone", exact=True).click()
    expect(page.locator("#diffusion-switch-words")).to_contain_text("details are not")
    assert picture(page, "#diffusion-switched") != whole


def test_another_step_is_read_and_another_style_chosen(page) -> None:
    generated(page)
    ours = picture(page, "#diffusion-ours")
    steps = panel(page, "Steps")
    dial = steps.get_by_label("number input for Step t")
    for t, told in ((700, "t = 699, 7 calls"), (200, "t = 199, 17 calls")):
        dial.fill(str(t))
        dial.press("Enter")
        press(steps, "Read at t")
        expect(page.locator("#diffusion-t-words")).to_contain_text(told, timeout=LONG)
        assert picture(page, "#diffusion-at-t") != ours
    styles, made = panel(page, "Styles"), {}
    for style in ("Bronze", "Marble"):
        styles.get_by_text(style, exact=True).click()
        words = page.locator("#diffusion-styled").locator("xpath=ancestor::*[@role='tabpanel']")
        expect(words.get_by_text(f"{style}, 1 call")).to_be_visible(timeout=LONG)
        made[style] = picture(page, "#diffusion-styled"), picture(page, "#diffusion-true")
    (bronze, true), (marble, other) = made.values()
    assert len({ours, bronze, marble}) == 3 and true != other
