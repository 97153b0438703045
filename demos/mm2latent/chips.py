"""What the chips below a prompt stand for: what the renderer draws of them, what a judge would see.

The words are those of `demos.kit.prompts`; here each has its meaning in clay heads.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demos.kit.prompts import CLAY_GROUPS
from examples.clay.parameters import CHOICES

_AGES = {"young": 0.12, "middle-aged": 0.45, "older": 0.85}
# Hair styles that a judge may name for each chip, the one that is rendered first.
_STYLES = {
    "short": ("short", "side part", "fringe", "curly", "buzz cut"), "long": ("long", "long wavy"),
    "wavy": ("long wavy",), "curly": ("curly", "afro"), "fringe": ("fringe", "bob"),
    "bun": ("bun",), "bald": ("bald",),
}  # fmt: skip
_FACES = {
    "calm": "neutral", "gentle smile": "closed smile", "broad smile": "open smile",
    "surprised": "surprise", "frown": "frown",
}  # fmt: skip
_BEHIND = {
    "plain wall": "plain", "lights": "bokeh", "bookshelf": "shelves", "leaves": "leaves",
    "window": "window",
}  # fmt: skip
_SAME = {"Hair colour": "hair_color", "Beard": "beard", "Glasses": "glasses", "Hat": "hat"}


@dataclass(frozen=True)
class Wish:
    """What a prompt asks by a chip's words.

    attribute: in the renderer and of the judge; drawn: its value there; seen: the values by which a
    judge would agree, none where it does not judge that.
    """

    words: str
    attribute: str
    drawn: str | float
    seen: tuple[str, ...] = ()


def _wish(group: str, shown: str, words: str) -> Wish:
    if group == "Age":
        return Wish(words, "age", _AGES[shown])
    if group == "Hair":
        return Wish(words, "hair_style", _STYLES[shown][0], _STYLES[shown])
    table = {"Face": ("expression", _FACES), "Behind": ("background", _BEHIND)}
    if group in table:
        attribute, values = table[group]
        return Wish(words, attribute, values[shown], (values[shown],))
    return Wish(words, _SAME[group], shown, (shown,))


WISHES: dict[str, tuple[Wish, ...]] = {
    group: tuple(_wish(group, *chip) for chip in chips.items())
    for group, chips in CLAY_GROUPS.items()
}


@functools.cache
def _pattern(words: str) -> re.Pattern:
    return re.compile(rf"(?<![\w-]){re.escape(words)}(?![\w-])", re.IGNORECASE)


def wishes(prompt: str) -> tuple[Wish, ...]:
    """What a prompt asks in the words of chips: of each group the longest that it says."""
    found = []
    for group in WISHES.values():
        said = [wish for wish in group if _pattern(wish.words).search(prompt or "")]
        found += sorted(said, key=lambda wish: len(wish.words))[-1:]
    return tuple(found)


def drawn(asked: Sequence[Wish]) -> dict[str, Any]:
    """The renderer's parameters for what is asked."""
    return {wish.attribute: wish.drawn for wish in asked}


def beyond(prompt: str) -> str:
    """What a prompt says beside chips and the words between them, tidied; "" where it is all."""
    rest = prompt or ""
    for wish in wishes(rest):
        rest = _pattern(wish.words).sub(" ", rest)
    rest = re.sub(
        r"\b(a|an|the|of|with|and|wearing|portrait|picture|person)\b", " ", rest, flags=re.I
    )
    return " ".join(re.sub(r"[,.;:!?]", " ", rest).split())


def known(attributes: Mapping[str, str]) -> dict[str, str]:
    """What a judge sees, without attributes or values that the renderer does not name."""
    return {name: v for name, v in attributes.items() if v in CHOICES.get(name, ())}
