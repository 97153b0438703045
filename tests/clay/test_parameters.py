"""Latent codes, parameter vectors, overrides, words and edits: all before anything is rendered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from examples.clay import EDITS, SEEDS, draw, latent
from examples.clay.captions import attributes, captions
from examples.clay.parameters import (
    BEARDS,
    CHOICES,
    DRAWN,
    EXPRESSIONS,
    GLASSES,
    IDENTITY,
    INDEX,
    NAMES,
    check_overrides,
    limits,
)


@pytest.fixture(scope="module")
def population() -> np.ndarray:
    return draw(np.stack([latent(seed) for seed in range(4000)]))


def test_latent_is_the_same_on_every_machine():
    np.testing.assert_allclose(latent(0)[:4], [1.764052, 0.400157, 0.978738, 2.240893], atol=1e-6)
    assert latent(7).shape == (512,) and latent(7).dtype == np.float32
    np.testing.assert_array_equal(latent(2_000_000), latent(2_000_000))
    assert not np.array_equal(latent(1), latent(2))


def test_identity_replaces_the_face_and_nothing_else():
    z, face = latent(5, identity=9), len(IDENTITY)
    np.testing.assert_array_equal(z[:face], latent(9)[:face])
    np.testing.assert_array_equal(z[face:], latent(5)[face:])


def test_splits_share_no_seed():
    ranges = sorted(SEEDS.values(), key=lambda seeds: seeds.start)
    assert all(a.stop <= b.start for a, b in zip(ranges, ranges[1:], strict=False))


def test_every_value_lies_within_its_limits(population):
    for name, column in zip(NAMES, population.T, strict=True):
        low, high = limits(name)
        assert low - 1e-6 <= column.min() and column.max() <= high + 1e-6, name


def test_every_choice_occurs_about_as_often_as_it_should(population):
    for dimension in (d for d in DRAWN if d.choices):
        wanted = np.array(dimension.weights) / sum(dimension.weights)
        counts = np.bincount(
            population[:, INDEX[dimension.name]].astype(int), minlength=len(wanted)
        )
        np.testing.assert_allclose(counts / 4000, wanted, atol=0.03, err_msg=dimension.name)


def test_no_attribute_follows_skin_tone(population):
    spread = population.std(0) > 0
    r = np.corrcoef(population[:, spread].T)[INDEX["skin_tone"]]
    others = np.array(NAMES)[spread] != "skin_tone"
    assert np.abs(r[others]).max() < 0.065  # four standard errors


def test_overriding_a_choice_moves_what_is_derived():
    p = draw(latent(3), {"expression": "surprise", "intensity": 1.0, "beard": "full beard"})
    assert p[INDEX["mouth_round"]] == pytest.approx(0.9)
    assert p[INDEX["beard_density"]] == pytest.approx(1.0)
    alone = draw(latent(3), {"expression": "surprise", "intensity": 1.0, "mouth_round": 0.1})
    assert alone[INDEX["mouth_round"]] == pytest.approx(0.1)
    assert alone[INDEX["mouth_open"]] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"hairstyle": "bob"}, "override must name one of .*got 'hairstyle'"),
        ({"glasses": "monocle"}, "glasses must be one of .*round.*got 'monocle'"),
        ({"age": 1.5}, r"age must lie in \[0, 1\]; got 1.5"),
    ],
)
def test_bad_overrides_say_what_was_expected(overrides, message):
    with pytest.raises(ValueError, match=message):
        check_overrides(overrides)


def test_captions_are_four_different_sentences_without_gender(population):
    forbidden = {"man", "woman", "he", "she", "his", "her", "male", "female", "lady", "gentleman"}
    for p in population[:200]:
        sentences = captions(attributes(p))
        assert len(set(sentences)) == 4
        for sentence in sentences:
            assert sentence[0].isupper() and sentence.endswith(".") and sentence.count(".") == 1
            assert not forbidden & set(sentence.lower().strip(".").replace(",", "").split())


@pytest.mark.parametrize("glasses", GLASSES)
def test_every_caption_tells_whether_glasses_are_worn(glasses):
    sentences = captions(attributes(draw(latent(11), {"glasses": glasses})))
    assert all(("glasses" in sentence) == (glasses != "none") for sentence in sentences)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_expression_word_follows_the_numbers(expression):
    words = attributes(draw(latent(11), {"expression": expression, "intensity": 0.8}))
    assert words["expression"] == expression
    unsmiling = draw(latent(11), {"expression": "closed smile", "smile": 0.0})
    assert attributes(unsmiling)["expression"] == "neutral"


def test_words_describe_hair_by_its_drawn_length():
    short = attributes(draw(latent(11), {"hair_style": "long", "hair_length": 0.3, "hat": "none"}))
    assert short["hair_length"] == "short" and "long" not in captions(short)[0]


def test_words_name_the_colours_that_are_seen():
    dyed = {"cloth_hue": 0.62, "cloth_saturation": 1.0, "cloth_value": 0.6}
    young = attributes(draw(latent(11), {**dyed, "age": 0.2, "hair_color": "auburn"}))
    assert (young["clothes_color"], young["hair_color"]) == ("blue", "auburn")
    pale = attributes(draw(latent(11), {**dyed, "cloth_saturation": 0.0, "cloth_value": 1.0}))
    assert pale["clothes_color"] == "white"
    assert attributes(draw(latent(11), {"age": 0.75, "hair_color": "auburn"}))["hair_color"] == (
        "greying auburn"
    )
    assert (
        attributes(draw(latent(11), {"age": 1.0, "hair_color": "auburn"}))["hair_color"] == "grey"
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("age", 0.3),
        ("age", -0.3),
        ("smile", 0.6),
        ("hair_length", 0.4),
        ("yaw", 20),
        ("light", -40),
    ],
)
def test_an_edit_moves_its_value_by_the_change(population, name, change):
    edit = EDITS[name]
    column = "light_azimuth" if name == "light" else name
    low, high = limits(column)
    high = 1.0 if name in ("smile", "hair_length") else high
    for seed in range(12):
        before = population[seed]
        after = draw(latent(seed), edit.apply(before, change))
        wanted = np.clip(edit.value(before) + change, low, max(high, edit.value(before)))
        assert edit.value(after) == pytest.approx(wanted, abs=1e-5)
    assert edit.value(population).shape == (4000,)


@pytest.mark.parametrize(("name", "on"), [("glasses", "round"), ("beard", "full beard")])
def test_glasses_and_beard_go_on_and_off(population, name, on):
    edit = EDITS[name]
    worn = edit.value(population)
    assert set(np.unique(worn)) == {0.0, 1.0}
    without = next(p for p, w in zip(population, worn, strict=True) if not w)
    assert edit.apply(without, 0.6) == {name: on}
    assert edit.apply(without, 0.4) == {}
    wearing = next(p for p, w in zip(population, worn, strict=True) if w)
    assert edit.apply(wearing, 0.6) == {}
    assert edit.apply(wearing, -0.6) == {name: "none"}
    assert on in CHOICES[name] and "none" in (BEARDS if name == "beard" else GLASSES)


def test_a_smile_takes_a_frown_away():
    overrides = {"expression": "frown", "intensity": 1.0}
    frown = draw(latent(4), overrides)
    smile = draw(latent(4), overrides | EDITS["smile"].apply(frown, 0.8))
    assert smile[INDEX["mouth_frown"]] < 0.05 < frown[INDEX["mouth_frown"]]
    assert smile[INDEX["cheek_raise"]] > frown[INDEX["cheek_raise"]]


def test_importing_the_package_is_light():
    code = "import sys, examples.clay; print('numba' in sys.modules, 'cv2' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr
