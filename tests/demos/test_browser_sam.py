"""A visitor moves tau, forces a segment and inverts, in a real browser with a fake pipeline."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pipelines.invertibility import latent_map
from tests.demos.browsing import CHROMIUM, overhang, press
from tests.demos.fake_sam import LATENTS, FakeSAM
from tests.demos.preparation import serving
from tests.demos.test_sam_page import build

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the path")
# Sets tau and answers with the shares in the list two frames later: no server is asked.
MOVE = """(range, tau) => new Promise((done) => {
  range.value = tau;
  range.dispatchEvent(new Event('input', {bubbles: true}));
  requestAnimationFrame(() => requestAnimationFrame(() => {
    const shares = [...range.closest('.latents').querySelectorAll('.legend em')];
    done([Number(range.value), shares.map((e) => e.textContent)]);
  }));
})"""


@pytest.fixture(scope="module")
def fake_sam() -> FakeSAM:
    return FakeSAM()


@pytest.fixture(scope="module")
def served(fake_sam):
    with serving(build(fake_sam)) as url:
        yield url


@pytest.fixture(scope="module")
def upload(tmp_path_factory) -> str:
    """A picture whose lower half has more detail."""
    pixels = np.random.default_rng(0).normal(0, 1, (128, 128, 3))
    pixels *= np.linspace(2, 60, 128)[:, None, None]
    path = tmp_path_factory.mktemp("upload") / "noise.png"
    Image.fromarray((128 + pixels).clip(0, 255).astype(np.uint8)).save(path)
    return str(path)


def seen(visit, served: str, upload: str, width: int = 1280) -> Page:
    """The page with the map of an own picture."""
    page = visit(f"{served}/sam_inversion", width)
    page.get_by_label("Align an own picture to its face").uncheck()
    page.locator("input[type=file]").first.set_input_files(upload)
    expect(page.locator("#sam-map .latents")).not_to_have_attribute("inert", "")
    return page


def share(chosen: np.ndarray, latent: int) -> str:
    part = 100 * (chosen == latent).mean()
    return f"{part:.{1 if 0 < part < 10 else 0}f} %"


def working_seconds(page: Page) -> Callable[[], float]:
    """What reads how long the page has worked since: waiting for a busy machine is not counted."""
    watch = page.context.new_cdp_session(page)
    watch.send("Performance.enable", {"timeDomain": "threadTicks"})

    def so_far() -> float:
        told = watch.send("Performance.getMetrics")["metrics"]
        return next(metric["value"] for metric in told if metric["name"] == "TaskDuration")

    begun = so_far()
    return lambda: so_far() - begun


def test_tau_recolours_the_map_at_once_and_as_the_paper_says(visit, served, upload) -> None:
    page = seen(visit, served, upload)
    with Image.open(upload) as file:
        maps = FakeSAM().invertibility(file.convert("RGB"))
    for wanted in (0.0, 0.5, 1.2, 9.0):
        spent = working_seconds(page)
        tau, shares = page.locator("#sam-map input[name=tau]").evaluate(MOVE, wanted)
        assert spent() < 0.5  # about 0.02, and 0.2 where others use the cores too
        chosen = latent_map(maps, tau)
        assert shares == [share(chosen, i) for i in range(len(LATENTS))]
    expect(page.locator("#sam-map .loss")).to_contain_text("100 % in W+")
    expect(page.locator("#sam-map .gain")).to_contain_text("as much as with W+ everywhere")


def test_a_click_forces_a_segment_and_the_run_takes_it(visit, served, upload, fake_sam) -> None:
    page = seen(visit, served, upload)
    page.locator("#sam-map input[name=tau]").evaluate(MOVE, 9.0)  # all in W+
    page.locator("#sam-map .legend label").filter(has_text="F6").click()
    box = page.locator("#sam-map canvas.map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#sam-map .status")).to_contain_text("takes F6 whatever tau says")
    press(page, "Invert")
    expect(page.locator("#sam-numbers")).to_contain_text("The inversion took W+")
    chosen = next(call[-1] for call in reversed(fake_sam.calls) if call[0] == "invert")
    assert chosen[64, 64] == LATENTS.index("F6") and not chosen[:20].any()
    expect(page.locator("#sam-chart .race li")).to_have_count(2)
    expect(page.locator("#sam-edit-words")).to_contain_text("No true answer here")


@pytest.mark.parametrize("width", [1280, 390])
def test_a_segment_is_told_of_right_below_the_map_and_of_no_other_map(
    visit, served, upload, width
) -> None:
    page = seen(visit, served, upload, width)
    canvas, told = page.locator("#sam-map canvas.map"), page.locator("#sam-map .status")
    canvas.click()
    expect(told).to_contain_text("whatever tau says")
    box = canvas.bounding_box()
    assert 0 <= told.bounding_box()["y"] - (box["y"] + box["height"]) < 40
    page.get_by_role("button", name="Ablation: other segments").click()
    page.locator("#sam-segments").get_by_text("every pixel for itself").click()
    expect(told).to_have_text("")


def test_the_page_fits_a_phone(visit, served, upload) -> None:
    page = seen(visit, served, upload, width=390)
    assert overhang(page) <= 0
    canvas = page.locator("#sam-map canvas.map").bounding_box()
    assert canvas["width"] > 300
