"""MM2Latent's page without a server: the meaning of its words, and what its painters hold."""

from __future__ import annotations

import pytest
from PIL import Image

from demos.kit.prompts import CLAY_GROUPS
from demos.mm2latent import chips, conditions, told
from demos.mm2latent.conditions import given, read_mask
from demos.mm2latent.head import HeadDials, head_dials
from demos.mm2latent.inside import cosine
from demos.mm2latent.setting import CLAY_HEADS
from examples.clay.parameters import CHOICES
from examples.clay.parts import PALETTE
from tests.demos.fake_mm2latent import Scores
from tests.demos.test_mm2latent_page import PROMPT, face, refused

# ---- words and chips -----------------------------------------------------------------------------


def test_every_chip_is_something_that_the_renderer_draws() -> None:
    for group, members in chips.WISHES.items():
        assert len(members) == len(CLAY_GROUPS[group])
        for wish in members:
            if wish.attribute != "age":
                assert {wish.drawn, *wish.seen} <= set(CHOICES[wish.attribute]), wish


def test_wishes_are_read_from_the_text_whoever_wrote_it() -> None:
    asked = {w.attribute: w.drawn for w in chips.wishes(PROMPT)}
    assert asked == {
        "age": 0.12, "hair_color": "blond", "expression": "open smile", "glasses": "round",
        "hat": "cap",
    }  # fmt: skip
    # Of one group the longest words, and no part of a longer word.
    assert [w.words for w in chips.wishes("Long wavy hair")] == ["long wavy hair"]
    assert not chips.wishes("a caption of unred hair")
    assert chips.beyond("a young person with blond hair, riding a horse") == "riding horse"
    assert chips.beyond(PROMPT) == ""


def test_scores_are_said_in_words() -> None:
    seen = {"hair_color": "red", "hair_style": "short", "glasses": "round", "hat": "none",
            "expression": "neutral", "beard": "stubble", "unknown": "what"}  # fmt: skip
    words = told.sees(seen)
    assert words == "short red hair, calm face, stubble, round glasses, no hat"
    assert told.sees({"hair_style": "bald"}) == "bald head" and told.sees(None) == ""
    listed = told.verdicts(PROMPT, seen)
    assert listed.count('class="yes"') == 1 and listed.count('class="no"') == 3
    assert listed.count('class="open"') == 1  # nobody judges the age
    report = told.report(Scores(0.31, 0.5, seen), "an <i>astronaut</i>", "sketch", ("Cut.",))
    assert "&lt;i&gt;astronaut" in report and "<i>" not in report
    assert "0.31" in report and "50%" in report and "Cut." in report


def test_noise_of_length_one_is_half_way() -> None:
    assert cosine(0) == 1 and cosine(1) == pytest.approx(0.7071, abs=1e-4)


# ---- conditions ----------------------------------------------------------------------------------


def test_conditions_come_by_their_kind() -> None:
    mask, sketch = conditions.Painting(face(), 1), conditions.Painting(face(), 1)
    assert given("none", mask, sketch, {}) == {}
    assert (given("mask", mask, None, {})["mask"] == face()).all()
    lines = given("sketch", None, sketch, {})["sketch"]
    assert lines.dtype == bool and (lines == (face() == 1)).all()
    assert given("morphable", None, None, {"yaw": 3.0}) == {"morphable": {"yaw": 3.0}}
    refused(lambda: given("mask", None, None, {}), "no mask yet")
    refused(lambda: given("magic", None, None, {}), "'magic'")


def test_a_mask_is_uploaded_in_the_legends_colours(tmp_path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(PALETTE[face().repeat(2, 0).repeat(2, 1)]).save(path)
    after = read_mask(CLAY_HEADS, str(path), conditions.Painting(face(), 4))
    assert (after.labels == face()).all() and after.part == 4
    Image.effect_noise((128, 128), 60).convert("RGB").save(path)
    refused(lambda: read_mask(CLAY_HEADS, str(path), None), "other colours")
    refused(lambda: read_mask(CLAY_HEADS, None, None), "no file")


@pytest.mark.parametrize(
    "pairs", [[["yaw", 900]], [["yaw", float("nan")]], [["nobody", 0]], [["yaw"]], [["yaw", "1"]]]
)
def test_bad_numbers_of_a_head_are_refused(pairs) -> None:
    dials = head_dials(CLAY_HEADS, render=False)
    assert dials.preprocess([["yaw", 12]]) == {"yaw": 12.0}
    refused(lambda: dials.preprocess(pairs), "within their ranges")
    assert isinstance(dials, HeadDials)
