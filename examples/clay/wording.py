"""Captions in many words: drawn by a random generator from what a portrait shows.

    row = facts(portrait(2_000_000).parameters)
    caption = write(row, np.random.default_rng(0))
    caption.text                   "long wavy red hair, no glasses, in front of a bookshelf"
    caption.attributes             ("hair_length", "hair_style", "hair_color", "glasses", ...)
    truth([caption], rows)         of which portraits it is true

Wording, order and length vary: a sentence, two, or a list; one fact up to all that are seen. A
caption is true of a portrait where all its phrases are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from examples.clay.facts import FACTS, NAMES, UNSEEN
from examples.clay.phrases import BY_FACT, Phrase, true_phrases

ABSENT = 0.3  # how readily what is absent is named, beside what is there
# Kinds that are adjectives of a thing: their facts in order, the fact that may name it, its noun.
THINGS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "hair": (("hair_length", "hair_style", "hair_color"), "", "hair"),
    "cloth": (("pattern", "clothes_color"), "clothes", "clothes"),
    "headwear": (("hat_color",), "hat", "headwear"),
}
CLAUSES = {"hair": "with", "cloth": "wearing", "headwear": "wearing"}


@dataclass(frozen=True)
class Caption:
    """A text about a portrait and the phrases that it is made of."""

    text: str
    phrases: tuple[Phrase, ...]

    @property
    def attributes(self) -> tuple[str, ...]:
        """The facts that the text names."""
        return tuple(phrase.fact for phrase in self.phrases)


def write(row: np.ndarray, random: np.random.Generator, count: int | None = None) -> Caption:
    """A caption of one portrait's facts, (facts,): other words at each call.

    count: how many facts it names, at most all that are seen; drawn by default, mostly few.
    """
    numbers = dict(zip(NAMES, row.tolist(), strict=True))
    seen = [name for name, number in numbers.items() if _sayable(name, number)]
    count = _length(random, len(seen)) if count is None else min(count, len(seen))
    rareness = np.array([_weight(name, numbers[name]) for name in seen])
    order = np.argsort(random.exponential(size=len(seen)) / rareness)[:count]
    phrases = tuple(_pick(seen[i], numbers[seen[i]], random) for i in order)
    return Caption(_sentence(phrases, random), phrases)


def truth(captions: Sequence[Caption], rows: np.ndarray) -> np.ndarray:
    """Of which portraits each caption is true: bool (portraits, captions), rows (portraits, facts).

    A caption that names nothing is true of all.
    """
    false = np.zeros((len(rows), len(captions)), bool)
    owners = [i for i, caption in enumerate(captions) for _ in caption.phrases]
    claims = [phrase for caption in captions for phrase in caption.phrases]
    if claims:
        masks = np.array([claim.mask for claim in claims], np.uint64)
        values = rows[:, [NAMES.index(claim.fact) for claim in claims]].astype(np.uint64)
        wrong = (masks >> values) & np.uint64(1) == 0
        whose = np.eye(len(captions), dtype=np.float32)[owners]
        false = wrong.astype(np.float32) @ whose > 0
    return ~false


def classes(fact: str) -> tuple[Caption, ...]:
    """Captions of which at most one is true of a portrait: the fact's alternatives, plainly put."""
    found: list[Phrase] = []
    for phrase in BY_FACT[fact]:
        if all(phrase.mask & other.mask == 0 for other in found):
            found.append(phrase)
    return tuple(Caption(f"a portrait of {_person([p], 'person')}", (p,)) for p in found)


_OPENINGS = ("", "", "", "a portrait of ", "a picture of ", "an image of ", "a clay portrait of ")
_NOUNS = ("person", "person", "person", "character", "clay figure", "face")


def _length(random: np.random.Generator, most: int) -> int:
    """How many facts to name: nothing now and then, one or two for half, rarely all."""
    share = random.random()
    for below, low, high in ((0.02, 0, 0), (0.5, 1, 2), (0.86, 3, 6), (0.98, 7, 12)):
        if share < below:
            return min(int(random.integers(low, high + 1)), most)
    return int(random.integers(min(13, most), most + 1))


def _sayable(fact: str, number: int) -> bool:
    return number != UNSEEN and len(true_phrases(fact, number)[0]) > 0


def _weight(fact: str, number: int) -> float:
    """How readily a fact is named: what is absent less than what is there."""
    return ABSENT if FACTS[fact][number - 1] == "none" else 1.0


def _pick(fact: str, number: int, random: np.random.Generator) -> Phrase:
    found, chances = true_phrases(fact, number)
    return found[int(np.searchsorted(chances, random.random()))]


def _sentence(phrases: Sequence[Phrase], random: np.random.Generator) -> str:
    """The phrases as one text: a sentence, several, or a list of tags."""
    manner = random.random()
    if manner < 0.25 and phrases:
        return ", ".join(_tags(phrases))
    noun = _NOUNS[int(random.integers(len(_NOUNS)))]
    if manner < 0.4 and phrases:
        return _sentences(phrases, noun)
    opening = _OPENINGS[int(random.integers(len(_OPENINGS)))]
    text = opening + _person(phrases, noun, short=random.random() < 0.5)
    text = text[0].upper() + text[1:] if random.random() < 0.5 else text
    return text + "." if random.random() < 0.5 else text


def _person(phrases: Sequence[Phrase], noun: str, short: bool = False) -> str:
    """As in "a young person with blue eyes, wearing a hat": clauses in the order of their phrases.

    short: "with no hat" in place of "without a hat".
    """
    text = _a(" ".join([*_things(phrases, "adjective"), noun]))
    kinds = dict.fromkeys(CLAUSES.get(phrase.kind, phrase.kind) for phrase in phrases)
    clauses = []
    for kind in kinds:
        things = _things(phrases, kind)
        if kind == "without":
            absent = things if short else [_a(thing) for thing in things]
            clauses.append(f"{'with no' if short else 'without'} {_list(absent, 'or')}")
        elif kind == "aside":
            clauses += things
        elif kind != "adjective":
            clauses.append(f"{kind} {_list(things)}")
    return f"{text} {', '.join(clauses)}" if clauses else text


def _sentences(phrases: Sequence[Phrase], noun: str) -> str:
    """As in "This person is young. They have blue eyes and wear a hat."."""
    said = []
    if adjectives := _things(phrases, "adjective"):
        said.append(f"This {noun} is {_list(adjectives)}.")
    has = [*_things(phrases, "with"), *(f"no {x}" for x in _things(phrases, "without"))]
    verbs = ("have", "wear", "are") if said else ("has", "wears", "is")
    listed = (has, _things(phrases, "wearing"), _things(phrases, "aside"))
    done = [f"{verb} {_list(things)}" for verb, things in zip(verbs, listed, strict=True) if things]
    who = "They" if said else f"This {noun}"
    return " ".join([*said, *([f"{who} {_list(done)}."] if done else [])])


def _tags(phrases: Sequence[Phrase]) -> list[str]:
    """Each phrase by itself, adjectives with their noun."""
    tags = []
    for phrase in phrases:
        words = _thing(phrase, phrases)
        tag = f"no {words}" if phrase.kind == "without" else words
        if tag not in tags:
            tags.append(tag)
    return tags


def _things(phrases: Sequence[Phrase], clause: str) -> list[str]:
    """What a clause lists, in the order of the phrases; adjectives with their noun."""
    own = [phrase for phrase in phrases if CLAUSES.get(phrase.kind, phrase.kind) == clause]
    return list(dict.fromkeys(_thing(phrase, phrases) for phrase in own))


def _thing(phrase: Phrase, phrases: Sequence[Phrase]) -> str:
    """A phrase's words; what has adjectives among the phrases with all of them."""
    for kind, (order, named_by, noun) in THINGS.items():
        said = {p.fact: p.words for p in phrases if p.kind == kind}
        names = {p.fact: p.words for p in phrases if p.kind == "wearing"}
        own = phrase.kind == kind or (phrase.fact == named_by and phrase.kind == "wearing")
        if said and own:
            noun = names.get(named_by, noun)
            thing = " ".join([*(said[f] for f in order if f in said), noun.removeprefix("a ")])
            return _a(thing) if noun.startswith("a ") else thing
    return phrase.words


def _a(noun: str) -> str:
    """With its article, unless it is a plural or has none."""
    if noun.endswith(("s", "hair", "lipstick", "headwear")):
        return noun
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"


def _list(items: Sequence[str], last: str = "and") -> str:
    items = list(items)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"
