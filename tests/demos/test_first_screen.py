"""What a visitor meets first: addresses, titles, share cards, words, numbers and examples."""

from __future__ import annotations

import io
import re

import gradio as gr
import httpx
import numpy as np
import pytest
from PIL import Image

import app
from demos.home import _counted
from demos.indomain import manipulate
from demos.indomain.invert import table
from demos.kit import address, share, stored
from demos.kit.address import Opening, asked_seed, opened
from demos.kit.imaging import KEPT, open_picture
from demos.kit.inputs import Picture, Pictures, Seed, picture_of
from demos.kit.portraits import TEST, never_seen
from demos.papers import PAPERS
from tests.demos.browsing import CHROMIUM, panel, press
from tests.demos.shelves import stocked

RUNNING = [paper for paper in PAPERS if paper.page]
browser_only = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the path")


# ---- addresses ------------------------------------------------------------------------------


@pytest.fixture
def parts(monkeypatch) -> dict[str, Opening]:
    monkeypatch.setattr(address, "never_seen", lambda seed: f"portrait {seed}")
    with gr.Blocks():
        boxes = [gr.Textbox() for _ in range(4)]
    pair = [Opening(tuple(boxes[i : i + 2]), lambda p, s: (p, s)) for i in (0, 2)]
    return dict(zip(("mix", "invert"), pair, strict=True))


@pytest.mark.parametrize(("asked", "part"), [({"part": "invert"}, "invert"), ({}, "mix")])
def test_an_address_opens_a_part_with_its_input(parts, asked, part):
    shown = opened(asked | {"seed": "2000037"}, parts)
    values = ("portrait 2000037", 2_000_037)
    assert shown == dict(zip(parts[part].components, values, strict=True))


def test_an_address_without_a_seed_changes_no_input(parts):
    for asked in ({"part": "invert"}, {}, {"part": "no", "seed": "2000037"}, {"__theme": "dark"}):
        assert opened(asked, parts) == gr.skip()


@pytest.mark.parametrize(
    ("value", "seed", "words"),
    [("2000001", 2_000_001, ""), ("5", TEST.start, "in place of 5"), ("x", None, "got x"),
     (str(TEST.stop), TEST.stop - 1, f"in place of {TEST.stop}")],
)  # fmt: skip
def test_a_seed_out_of_range_is_corrected_in_words(monkeypatch, value, seed, words):
    said = [""]
    for kind in ("Info", "Warning"):
        monkeypatch.setattr(gr, kind, said.append)
    assert asked_seed(value) == seed and words in said[-1]


def test_a_typed_number_counts_without_its_picture(monkeypatch):
    monkeypatch.setattr("demos.kit.inputs.never_seen", lambda seed: f"portrait {seed}")
    own = Image.new("RGB", (8, 8))
    assert picture_of(None, 2_000_001) == "portrait 2000001"
    assert picture_of(own, 2_000_001) is own and picture_of(None, None) is None
    before = never_seen(TEST.start)
    assert picture_of(before, 2_000_001) == "portrait 2000001"  # the number was typed after it
    assert picture_of(before, TEST.start) is before and picture_of(before, None) is before
    box = Seed(minimum=TEST.start, maximum=TEST.stop - 1, render=False)
    assert [box.preprocess(v) for v in (3, None, float("nan"))] == [3, None, None]


# ---- titles and share cards -----------------------------------------------------------------


def test_every_page_has_its_own_title_description_and_card(served):
    titles, cards = [], set()
    for paper in (None, *RUNNING):
        page = httpx.get(f"{served}/{paper.slug if paper else ''}", timeout=60).text
        title, says = share.words(paper)
        assert f"<title>{title}</title>" in page and f'"title":"{title}"' in page
        (found,) = re.findall(r'<meta name="description" content="([^"]*)"', page)
        assert found.replace("&#x27;", "'") == says
        (picture,) = re.findall(r'<meta property="og:image" content="([^"]*)"', page)
        answer = httpx.get(picture, timeout=60)
        assert Image.open(io.BytesIO(answer.content)).size == share.SIZE
        titles.append(title)
        cards.add(answer.content)
    assert len(set(titles)) == len(cards) == 1 + len(RUNNING)


def test_what_is_no_page_stays_as_gradio_sends_it(served):
    assert httpx.get(f"{served}/config", timeout=60).json()["title"] == share.TITLE


# ---- words ----------------------------------------------------------------------------------

DEVELOPERS = re.compile(
    r"Q_edit|[Nn]ever-seen|python -m|[~/](home|tmp|work)/|\b[A-Z]+_[A-Z_]+\b|\d ?% of \d|\.py\b"
)


def test_a_visitor_reads_no_developers_words(shelves):
    with stocked(shelves):
        demo = app.build()
    for block in demo.blocks.values():
        for name in ("label", "value", "info", "placeholder", "alt_text"):
            said = getattr(block, name, None)
            if isinstance(said, str) and not said.startswith(("data:", "@")):
                words = re.sub(r"data:[^\"']*", "", said)
                assert not DEVELOPERS.search(words), words[:200]


def test_no_output_carries_a_remove_button(pages):
    kinds = gr.Image | gr.ImageSlider | gr.Gallery | gr.File
    outputs = [
        block
        for block in pages.blocks.values()
        if isinstance(block, kinds) and not isinstance(block, Picture | Pictures)
    ]
    assert len(outputs) > 20
    assert not [block.label for block in outputs if block.interactive is not False]


def test_every_page_links_to_paper_code_and_citation(pages):
    for paper in RUNNING:
        own = [b for b in pages.blocks.values() if getattr(b, "page", None) == paper.slug]
        words = " ".join(str(getattr(b, "value", "")) for b in own)
        assert paper.article in words and paper.code in words and paper.citation in words
    home = " ".join(str(getattr(b, "value", "")) for b in pages.blocks.values() if not b.page)
    assert all(p.article in home and p.citation in home for p in PAPERS)


def test_the_first_page_promises_as_many_papers_as_run():
    running = {2: "Two", 3: "Three", 4: "Four", 5: "Five"}[len(RUNNING)]
    assert _counted(PAPERS).startswith(running)
    assert _counted(RUNNING[:1]) == "One paper, run live"


def test_no_column_is_always_empty():
    numbers = {"psnr": 20.0, "lpips": 0.5, "identity": None, "seconds": 1.0}
    judged = {"in-domain": numbers, "conventional": numbers | {"identity": 0.7}}
    assert "Same person" not in table({"in-domain": numbers, "conventional": numbers})
    assert "Same person" in table(judged) and "no verdict" in table(judged)


def test_reset_can_be_undone():
    moved = manipulate.remember([], 0.5, 0)
    history, *values = manipulate.cleared(moved, 2)
    assert values == [0, 0] and manipulate.cleared(history, 2)[0] == history
    after = manipulate.remember(history, 0, 0.3)
    for expected in ([0, 0], [0.5, 0], [0, 0]):
        after, *values = manipulate.undo(after, 2)
        assert values == expected
    assert manipulate.cleared([], 2) == ([], 0, 0)


# ---- uploads and examples -------------------------------------------------------------------


def test_a_large_upload_is_shrunk(served, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (1800, 2400, 3), np.uint8)
    path = tmp_path / "large.png"
    Image.fromarray(noise).save(path, compress_level=0)
    assert path.stat().st_size > 12e6
    with path.open("rb") as file:
        sent = httpx.post(f"{served}/gradio_api/upload", files={"files": file}, timeout=120)
    assert sent.status_code == 200
    assert max(open_picture(path).size) == KEPT


def test_an_example_is_chosen_by_its_thumbnail():
    picture = Image.new("RGB", (8, 8), "teal")
    found = [stored.Stored(name, {}, {"a": picture, "b": picture}) for name in ("one & 1", "two")]
    examples = stored.choice(found, "shown", ("a", "b"))
    markup = examples.props.get("html_template") or examples.html_template
    assert markup.count("<img") == 2 and 'value="one &amp; 1"' in markup
    assert examples.preprocess("two") == "two"
    with pytest.raises(gr.Error, match="must be one of one & 1, two; got 'three'"):
        examples.preprocess("three")
    assert stored.choice([], "shown", ("a", "b")) is None


# ---- in a browser ---------------------------------------------------------------------------


@browser_only
def test_a_typed_seed_counts_and_is_corrected_in_words(visit, served):
    from playwright.sync_api import expect

    page = visit(f"{served}/indomain?part=manipulate&seed=2000037")
    tab = page.get_by_role("tabpanel").filter(visible=True)
    box = tab.get_by_label("Portrait number")
    expect(box).to_have_value("2000037")
    box.fill("2000005")
    press(tab, "Invert")
    expect(page.locator("#manipulate-words")).to_contain_text("Nothing")
    expect(page.locator("#manipulate-words")).to_contain_text("the edit and the true answer")
    box.fill("5")
    box.press("Enter")
    expect(box).to_have_value(str(TEST.start))
    expect(tab.locator(".corrected")).to_contain_text("is used in place of 5")


@browser_only
def test_a_press_right_after_a_typed_seed_is_for_its_portrait(visit, served):
    from playwright.sync_api import expect

    page = visit(f"{served}/indomain?part=manipulate")
    tab = page.get_by_role("tabpanel").filter(visible=True)
    button = tab.get_by_role("button", name="Invert", exact=True).element_handle()
    tab.get_by_label("Portrait number").evaluate(
        """(box, button) => {
            box.value = '2000005';
            box.dispatchEvent(new Event('input', {bubbles: true}));
            button.click();
        }""",
        button,
    )
    expect(page.locator("#invert-state").filter(visible=True)).to_contain_text("Done in")
    expect(page.locator("#manipulate-words")).to_contain_text("the edit and the true answer")
    expect(tab.locator(".examples input:checked")).to_have_count(0)


@browser_only
@pytest.mark.parametrize(
    ("asked", "button"), [("indomain?part=manipulate", "Invert"), ("editgan?part=paint", "Embed")]
)
def test_embedded_in_a_lecture_the_demo_stands_alone(visit, served, asked, button):
    page = visit(f"{served}/{asked}&embed=1")
    page.set_viewport_size({"width": 900, "height": 600})
    press(page, button)
    for hidden in (".nav-holder", "footer", "#domain-picker", ".heading"):
        assert not page.locator(hidden).filter(visible=True).count(), hidden
    state = page.locator(f"#{button.lower()}-state").filter(visible=True)
    assert state.bounding_box()["y"] + 40 < 600  # the button and a line below it


@browser_only
def test_the_first_page_in_a_frame_is_not_empty(visit, served):
    page = visit(f"{served}/?embed=1")
    assert page.get_by_role("link", name="Open the page").first.is_visible()


@browser_only
def test_a_click_on_a_thumbnail_shows_the_example(visit, served):
    from playwright.sync_api import expect

    page = visit(f"{served}/indomain")
    tab = panel(page, "Manipulate")
    tab.locator(".examples label").nth(1).click()
    words = page.locator("#manipulate-words")
    expect(words).to_contain_text("smile +0.5")
    slider = tab.get_by_label("range slider for Age, young to old")
    expect(slider).to_have_value("0")
    box = tab.get_by_label("Portrait number")
    number = box.input_value()
    box.evaluate("e => { e.min = Number(e.value) + 1; }")  # nobody typed it: it is not corrected
    box.focus()
    box.blur()
    expect(box).to_have_value(number)
    expect(tab.locator(".corrected")).to_have_count(0)
    press(tab, "Reset")
    expect(words).to_contain_text("Nothing is changed")
    press(tab, "Undo")
    expect(words).to_contain_text("smile +0.5")
