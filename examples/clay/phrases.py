"""What can be said of a portrait: a table of phrases, each with the values of which it is true.

A `Phrase` states one fact of `facts.FACTS`. "Very long", "slightly older" and "no glasses" are
phrases as "round glasses" is. Left and right of a turn and of light are the picture's. `wording`
makes captions of them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from examples.clay.facts import COLORS, FACTS, HAT_COLORS, NAMES, YEARS
from examples.clay.parameters import HAIR_COLORS


@dataclass(frozen=True)
class Phrase:
    """Words about one fact, and its values of which they are true.

    kind says how they stand in a sentence: adjective (a young person), with (with blue eyes),
    wearing (wearing a hat), without (no glasses, without glasses), aside (they are smiling), or an
    adjective of hair, cloth or headwear.
    """

    fact: str
    kind: str
    words: str
    values: tuple[str, ...]

    @functools.cached_property
    def mask(self) -> int:
        """Bit v is set where value number v makes the phrase true."""
        known = FACTS[self.fact]
        return sum(1 << (known.index(value) + 1) for value in self.values)


def _say(fact: str, kind: str, table: Mapping[str, Sequence[str] | str]) -> Iterable[Phrase]:
    """Phrases of one kind from words -> a value or several."""
    for words, values in table.items():
        yield Phrase(fact, kind, words, (values,) if isinstance(values, str) else tuple(values))


def _years(first: int, last: int) -> tuple[str, ...]:
    return tuple(year for year in YEARS if first <= int(year) <= last)


def _but(fact: str, *without: str) -> tuple[str, ...]:
    """All values of a fact except some."""
    return tuple(value for value in FACTS[fact] if value not in without)


def _shades() -> dict[str, tuple[str, ...]]:
    """Colour words of one part, each true of its dark and pale shades too."""
    words = [color for color in COLORS if " " not in color]
    return {w: tuple(c for c in COLORS if c in (w, f"dark {w}", f"pale {w}")) for w in words}


_SMILES = ("closed smile", "open smile")
_TENS = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies")
_STRAIGHT = ("short", "side part", "fringe", "bob", "long")
_GREYING = tuple(f"greying {color}" for color in HAIR_COLORS if color != "white")

# Of the phrases of a fact, the first that exclude each other are its classes: `classes`.
PHRASES: tuple[Phrase, ...] = (
    *_say("age", "adjective", {
        "young": _years(20, 37), "middle-aged": _years(38, 56), "older": _years(58, 79),
        "very young": _years(20, 26), "fairly young": _years(26, 37), "old": _years(62, 79),
        "slightly older": _years(48, 64), "elderly": _years(66, 79), "very old": _years(71, 79),
    }),
    *_say("age", "aside", {
        f"in their {word}": _years(20 + 10 * i, 29 + 10 * i) for i, word in enumerate(_TENS)
    }),
    *_say("age", "aside", {f"about {y} years old": _years(y - 4, y + 4) for y in range(25, 80, 5)}),
    *_say("skin_tone", "with", {f"{tone} skin": tone for tone in FACTS["skin_tone"]}),
    *_say("skin_tone", "with", {
        "pale skin": "very light", "fair skin": ("very light", "light"), "deep skin": "dark",
        "tanned skin": ("medium light", "medium"), "brown skin": ("medium", "medium dark"),
    }),
    *_say("skin_tone", "adjective", {
        "light-skinned": ("very light", "light"), "dark-skinned": ("medium dark", "dark"),
    }),
    *_say("eye_color", "with", {f"{color} eyes": color for color in FACTS["eye_color"]}),
    *_say("eye_color", "with", {
        "dark eyes": ("dark brown", "brown"), "light eyes": ("green", "blue", "grey"),
    }),
    *_say("eye_color", "adjective", {"blue-eyed": "blue", "green-eyed": "green"}),
    *_say("expression", "with", {
        "a calm face": "neutral", "a gentle smile": "closed smile", "a broad smile": "open smile",
        "a surprised face": "surprise", "a frown": "frown", "a neutral expression": "neutral",
        "a smile": _SMILES, "a slight smile": "closed smile", "a wide open smile": "open smile",
        "an angry look": "frown", "an astonished look": "surprise",
    }),
    *_say("expression", "aside", {
        "smiling": _SMILES, "looking calm": "neutral", "smiling gently": "closed smile",
        "smiling broadly": "open smile", "laughing": "open smile", "surprised": "surprise",
        "frowning": "frown", "not smiling": _but("expression", *_SMILES),
    }),
    *_say("expression", "without", {"smile": _but("expression", *_SMILES)}),
    *_say("mouth", "with", {"a closed mouth": "closed", "an open mouth": "open"}),
    *_say("hair_length", "hair", {
        "very short": "very short", "short": "short", "medium-length": "medium length",
        "long": ("long", "very long"), "shoulder-length": "long", "very long": "very long",
        "fairly short": "short", "cropped": "very short",
    }),
    *_say("hair_length", "adjective", {"bald": "bald"}),
    *_say("hair_length", "with", {"a bald head": "bald", "a shaved head": "bald"}),
    *_say("hair_length", "without", {"hair": "bald"}),
    *_say("hair_style", "hair", {
        "straight": _STRAIGHT, "curly": ("curly", "afro"), "wavy": "long wavy",
        "side-parted": "side part", "very curly": "afro",
    }),
    *_say("hair_style", "with", {
        "a buzz cut": "buzz cut", "a side parting": "side part", "a fringe": ("fringe", "bob"),
        "curls": "curly", "an afro": "afro", "a bob": "bob", "a bun": "bun", "waves": "long wavy",
        "bangs": ("fringe", "bob"), "hair in a bun": "bun", "hair tied up in a bun": "bun",
    }),
    *_say("hair_style", "without", {
        "fringe": ("bald", "buzz cut", "short", "curly", "afro", "bun"),
        "bun": _but("hair_style", "bun"), "curls": _but("hair_style", "curly", "afro", "long wavy"),
    }),
    *_say("hair_color", "hair", {color: color for color in HAIR_COLORS}),
    *_say("hair_color", "hair", {"grey": "grey"}),
    *_say("hair_color", "hair", {
        "greying": _GREYING, **{color: color for color in _GREYING},
    }),
    *_say("hair_color", "hair", {
        "dark": ("black", "dark brown"), "fair": ("blond", "white"), "blonde": "blond",
        "ginger": "red", "reddish": ("red", "auburn"), "dyed": ("blue", "pink"),
    }),
    *_say("hair_color", "without", {
        "grey hair": HAIR_COLORS,
        "blond hair": _but("hair_color", "blond", "greying blond", "white"),
    }),
    *_say("beard", "without", {"beard": "none"}),
    *_say("beard", "with", {
        "stubble": "stubble", "a moustache": "moustache", "a goatee": "goatee",
        "a full beard": "full beard", "a beard": ("goatee", "full beard"), "a thin beard": "goatee",
        "a mustache": "moustache", "facial hair": _but("beard", "none"),
        "a bushy beard": "full beard", "only a moustache": "moustache", "light stubble": "stubble",
    }),
    *_say("beard", "adjective", {"clean-shaven": "none", "bearded": ("goatee", "full beard")}),
    *_say("beard", "without", {"facial hair": "none", "full beard": _but("beard", "full beard")}),
    *_say("glasses", "without", {"glasses": "none"}),
    *_say("glasses", "wearing", {
        "round glasses": "round", "square glasses": "square", "cat-eye glasses": "cat-eye",
        "sunglasses": "sunglasses", "glasses": _but("glasses", "none"),
        "dark glasses": "sunglasses",
        "spectacles": _but("glasses", "none", "sunglasses"), "shades": "sunglasses",
        "eyeglasses": _but("glasses", "none", "sunglasses"), "round spectacles": "round",
    }),
    *_say("glasses", "without", {
        "eyeglasses": "none", "sunglasses": _but("glasses", "sunglasses"),
    }),
    *_say("hat", "without", {"hat": "none"}),
    *_say("hat", "wearing", {
        "a beanie": "beanie", "a cap": "cap", "a brimmed hat": "brimmed hat",
        "a hat": _but("hat", "none"), "a woolly hat": "beanie", "a baseball cap": "cap",
        "a hat with a brim": "brimmed hat", "a knitted hat": "beanie",
    }),
    *_say("hat", "adjective", {"bareheaded": "none"}),
    *_say("hat", "without", {"headwear": "none", "cap": _but("hat", "cap")}),
    *_say("hat_color", "headwear", {color: color for color in HAT_COLORS}),
    *_say("earrings", "without", {"earrings": "none"}),
    *_say("earrings", "wearing", {
        "stud earrings": "studs", "hoop earrings": "hoops", "earrings": ("studs", "hoops"),
        "studs in the ears": "studs", "hoops in the ears": "hoops",
    }),
    *_say("necklace", "without", {"necklace": "none"}),
    *_say("necklace", "wearing", {
        "a bead necklace": "beads", "a chain": "chain", "a necklace": ("beads", "chain"),
        "beads": "beads", "a chain around the neck": "chain", "pearls": "beads",
    }),
    *_say("clothes", "wearing", {
        "a t-shirt": "t-shirt", "a v-neck": "v-neck", "a collared shirt": "collared shirt",
        "a turtleneck": "turtleneck", "a shirt with a collar": "collared shirt",
        "a v-neck top": "v-neck", "a roll-neck": "turtleneck", "a tee": "t-shirt",
    }),
    *_say("clothes", "without", {"collar": ("t-shirt", "v-neck")}),
    *_say("clothes_color", "cloth", _shades()),
    *_say("clothes_color", "cloth", {color: color for color in COLORS if " " in color}),
    *_say("clothes_color", "cloth", {
        "dark": [c for c in COLORS if c.startswith("dark") or c == "brown"],
        "pale": [c for c in COLORS if c.startswith("pale") or c in ("white", "beige")],
    }),
    *_say("clothes_color", "aside", {f"dressed in {word}": v for word, v in _shades().items()}),
    *_say("pattern", "cloth", {"plain": "plain", "striped": "stripes"}),
    *_say("pattern", "wearing", {"stripes": "stripes"}),
    *_say("pattern", "without", {"stripes": "plain"}),
    *_say("freckles", "with", {"freckles": "freckles", "a freckled face": "freckles"}),
    *_say("freckles", "without", {"freckles": "none"}),
    *_say("freckles", "adjective", {"freckled": "freckles"}),
    *_say("lipstick", "with", {"red lips": "lipstick"}),
    *_say("lipstick", "wearing", {"lipstick": "lipstick", "red lipstick": "lipstick"}),
    *_say("lipstick", "without", {"lipstick": "none"}),
    *_say("background", "aside", {
        "in front of a plain wall": "plain", "in front of a soft studio backdrop": "gradient",
        "in front of blurred lights": "bokeh", "in front of a bookshelf": "shelves",
        "in front of a wall of leaves": "leaves", "in front of a window": "window",
        "before shelves of books": "shelves", "before green leaves": "leaves",
        "before a bare wall": "plain", "beside a window": "window", "before soft lights": "bokeh",
        "in a studio": "gradient", "in a library": "shelves", "in a garden": "leaves",
        "not in front of a bookshelf": _but("background", "shelves"),
    }),
    *_say("turned", "aside", {
        "seen from the front": "front", "turned to the left": ("left", "far left"),
        "turned to the right": ("right", "far right"), "turned slightly to the left": "left",
        "turned slightly to the right": "right", "turned far to the left": "far left",
        "turned far to the right": "far right", "facing the camera": "front",
        "facing left": ("left", "far left"), "facing right": ("right", "far right"),
        "seen from their left": "far left", "seen from their right": "far right",
        "seen slightly from their left": "left", "seen slightly from their right": "right",
        "not facing the camera": ("far left", "far right"),
    }),
    *_say("view", "aside", {
        "seen from below": "below", "seen at eye level": "level", "seen from above": "above",
    }),
    *_say("light", "aside", {
        "lit from the left": ("left", "far left"), "lit from the front": "front",
        "lit from the right": ("right", "far right"), "lit strongly from the left": "far left",
        "lit strongly from the right": "far right", "in light from the left": ("left", "far left"),
        "in light from the right": ("right", "far right"),
    }),
    *_say("brows", "with", {
        "thin eyebrows": "thin", "thick eyebrows": "thick", "bushy eyebrows": "thick",
    }),
    *_say("face", "with", {"a narrow face": "narrow", "a wide face": "wide"}),
    *_say("nose", "with", {"a narrow nose": "narrow", "a wide nose": "wide"}),
    *_say("lips", "with", {"thin lips": "thin", "full lips": "full"}),
    *_say("eyes", "with", {"small eyes": "small", "large eyes": "large", "big eyes": "large"}),
)  # fmt: skip
BY_FACT: dict[str, tuple[Phrase, ...]] = {
    name: tuple(phrase for phrase in PHRASES if phrase.fact == name) for name in NAMES
}


@functools.cache
def true_phrases(fact: str, number: int) -> tuple[tuple[Phrase, ...], np.ndarray]:
    """The phrases that a fact's value number makes true, and the cumulated chance of each.

    What says more is said more often.
    """
    found = tuple(phrase for phrase in BY_FACT[fact] if phrase.mask >> number & 1)
    weights = np.array([len(phrase.values) ** -0.5 for phrase in found])
    return found, np.cumsum(weights) / weights.sum()
