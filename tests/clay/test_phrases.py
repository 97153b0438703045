"""Facts agree with what is drawn, and every caption is true of its portrait."""

from __future__ import annotations

import re

import numpy as np
import pytest

from examples.clay.captions import attributes
from examples.clay.facts import FACTS, NAMES, UNSEEN, facts, value
from examples.clay.parameters import LATENT, draw
from examples.clay.phrases import BY_FACT, PHRASES, true_phrases
from examples.clay.wording import classes, truth, write

SAME = (
    "skin_tone", "beard", "glasses", "hat", "necklace", "clothes", "clothes_color", "pattern",
    "background", "expression",
)  # fmt: skip


@pytest.fixture(scope="module")
def parameters() -> np.ndarray:
    return draw(np.random.default_rng(0).standard_normal((600, LATENT)))


@pytest.fixture(scope="module")
def rows(parameters) -> np.ndarray:
    return facts(parameters)


def one(**overrides: object) -> np.ndarray:
    """The facts of a portrait of mean values with some of them given."""
    return facts(draw(np.zeros(LATENT), overrides))


def test_facts_are_those_of_the_attributes(parameters, rows) -> None:
    for p, row in zip(parameters, rows, strict=True):
        a = attributes(p)
        assert {name: value(name, row) for name in SAME} == {name: a[name] for name in SAME}
        assert value("age", row) == str(a["age"])
        for name in ("eye_color", "hair_color", "earrings", "hair_style"):
            assert value(name, row) in (None, a[name])
        length = value("hair_length", row)
        assert length is None or length.replace("very long", "long") == a["hair_length"]
        sides = {"left": "left", "right": "right"}
        side = next((s for s in sides if s in a["turned"]), "front")
        assert value("turned", row).split()[-1] == side
        assert value("light", row).split()[-1] == a["light"].split()[-1]


def test_single_portraits_have_the_facts_of_many(parameters, rows) -> None:
    np.testing.assert_array_equal(facts(parameters[3]), rows[3])


def test_what_cannot_be_seen_is_no_fact() -> None:
    under = one(hat="cap", hair_style="short")
    for name in ("hair_style", "hair_color", "hair_length"):
        assert value(name, under) is None
    assert value("hair_color", one(hat="cap", hair_style="long", hair_color="red")) == "red"
    assert value("eye_color", one(glasses="sunglasses")) is None
    assert value("earrings", one(hair_style="long", earrings="hoops", hat="none")) is None
    assert value("hair_style", one(hair_style="long", hair_length=0.1, hat="none")) is None
    assert value("freckles", one(freckles=0.2)) is None
    assert one(hat="none")[NAMES.index("hat_color")] == UNSEEN


def test_every_value_can_be_said_and_every_phrase_may_be_true() -> None:
    for name, values in FACTS.items():
        assert len(values) < 63, name  # a mask has 64 bits
        for number in range(1, len(values) + 1):
            assert true_phrases(name, number)[0], (name, values[number - 1])
    for phrase in PHRASES:
        assert phrase.values and set(phrase.values) <= set(FACTS[phrase.fact]), phrase
    said = [(phrase.fact, phrase.kind, phrase.words) for phrase in PHRASES]
    assert len(set(said)) == len(said)


def test_phrases_overlap_as_words_do() -> None:
    masks = {(phrase.fact, phrase.words): set(phrase.values) for phrase in PHRASES}
    assert masks["age", "very old"] < masks["age", "old"] < masks["age", "older"]
    assert masks["hair_length", "very long"] < masks["hair_length", "long"]
    assert not masks["age", "slightly older"] & masks["age", "very old"]
    assert {"dark red", "red"} == masks["clothes_color", "red"]


# What words in a caption of one fact say of the attributes, read independently of the table.
SAYS = {
    r"\b(no|without) (glasses|eyeglasses)": lambda a: a["glasses"] == "none",
    r"\b(no|without) sunglasses": lambda a: a["glasses"] != "sunglasses",
    r"(?<!no )(?<!without )\b(sunglasses|shades)": lambda a: a["glasses"] == "sunglasses",
    r"\b(no hat|without a hat|bareheaded|no headwear|without headwear)": lambda a: (
        a["hat"] == "none"
    ),
    r"\b(wears|wearing) a (beanie|woolly hat)": lambda a: a["hat"] == "beanie",
    r"\b(clean-shaven|no beard|without a beard)": lambda a: a["beard"] == "none",
    r"\b(with|has) (a|a bushy|a full) beard": lambda a: a["beard"] in ("goatee", "full beard"),
    r"\byoung\b": lambda a: a["age"] <= 37,
    r"(?<!years )\b(elderly|old)\b": lambda a: a["age"] >= 60,
    r"\bslightly older\b": lambda a: 45 <= a["age"] <= 65,
    r"\bin their forties\b": lambda a: 40 <= a["age"] <= 49,
    r"\b(laughing|smiling broadly)": lambda a: a["expression"] == "open smile",
    r"\b(not smiling|no smile|without a smile)": lambda a: "smile" not in a["expression"],
    r"\bvery long hair\b": lambda a: a["hair_length"] == "long",
    r"\bbald\b": lambda a: a["hair_length"] == "bald",
    r"\b(turned|facing).* left\b": lambda a: a["yaw"] > 7.9,
    r"\b(turned|facing).* right\b": lambda a: a["yaw"] < -7.9,
    r"\bfrom above\b": lambda a: a["pitch"] > 8.9,
    r"\bdark blue clothes": lambda a: a["clothes_color"] == "dark blue",
    r"\bdressed in red": lambda a: a["clothes_color"] in ("red", "dark red"),
    r"\b(stripes|striped)\b": lambda a: True,
    r"\b(no|without) stripes": lambda a: a["pattern"] == "plain",
    r"\b(bookshelf|books|library)\b": lambda a: True,
    r"\bnot in front of a bookshelf": lambda a: a["background"] != "shelves",
    r"\b(in a library|shelves of books)": lambda a: a["background"] == "shelves",
}


def test_paraphrases_are_true(parameters, rows) -> None:
    random, met = np.random.default_rng(1), set()
    for p, row in zip(parameters, rows, strict=True):
        a = attributes(p)
        for _ in range(20):
            caption = write(row, random, 1)
            for pattern, says in SAYS.items():
                if re.search(pattern, caption.text.rstrip(".")):
                    met.add(pattern)
                    assert says(a), (caption.text, a)
    assert met == set(SAYS)


def test_captions_are_true_of_their_portraits_and_not_of_all(rows) -> None:
    random = np.random.default_rng(2)
    captions = [write(row, random) for row in rows]
    true = truth(captions, rows)
    assert true.diagonal().all()
    assert 0.02 < true.mean() < 0.5
    for caption, row, other in zip(captions[:50], rows, rows[1:], strict=False):
        holds = all(value(p.fact, other) in p.values for p in caption.phrases)
        assert truth([caption], np.stack([row, other])).ravel().tolist() == [True, holds]


def test_length_order_and_words_vary(rows) -> None:
    random = np.random.default_rng(3)
    texts = {write(rows[0], random).text for _ in range(300)}
    assert len(texts) > 200
    lengths = {len(write(rows[0], random).phrases) for _ in range(300)}
    assert {0, 1, 2, 5} <= lengths and max(lengths) > 12
    first = {write(rows[0], random, 4).attributes[0] for _ in range(100)}
    assert len(first) > 10


@pytest.mark.parametrize("count", [0, 1, 5, 99])
def test_a_caption_says_what_it_names(rows, count) -> None:
    random = np.random.default_rng(4)
    for row in rows[:40]:
        caption = write(row, random, count)
        assert len(caption.attributes) == min(count, (row != UNSEEN).sum())
        assert len(set(caption.attributes)) == len(caption.attributes)
        assert "  " not in caption.text and caption.text.strip() == caption.text != ""
        if count == 0:
            assert truth([caption], rows).all()


def test_things_have_their_adjectives() -> None:
    row = one(hat="beanie", hat_hue=0.62, clothes="turtleneck", cloth_hue=0.62, pattern="stripes")
    texts = " ; ".join(write(row, np.random.default_rng(i), 99).text for i in range(60))
    assert re.search(r"a striped (dark )?blue turtleneck", texts)
    assert re.search(r"a blue (beanie|woolly hat|knitted hat)", texts)
    assert " a a" not in texts and "an turtleneck" not in texts


def test_the_same_generator_gives_the_same_caption(rows) -> None:
    assert write(rows[5], np.random.default_rng(7)) == write(rows[5], np.random.default_rng(7))


def test_classes_exclude_each_other(rows) -> None:
    for fact in BY_FACT:
        assert truth(classes(fact), rows).sum(axis=1).max() <= 1
        assert len(classes(fact)) >= 2
    assert [c.text for c in classes("age")] == [
        "a portrait of a young person",
        "a portrait of a middle-aged person",
        "a portrait of an older person",
    ]
