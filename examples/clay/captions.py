"""A portrait in words: readable attributes of a parameter vector, one caption, three paraphrases.

The words follow what is drawn, so an overridden smile or hair length is described as it looks.
Nobody is called a man or a woman: face shape, hair, beard and make-up are independent draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from examples.clay.parameters import SKIN_TONES, named

Attributes = dict[str, object]

AGE_WORDS = ((0.3, "young"), (0.62, "middle-aged"), (1.01, "older"))
LENGTH_WORDS = (
    (0.05, "bald"),
    (0.2, "very short"),
    (0.4, "short"),
    (0.7, "medium length"),
    (9.0, "long"),
)
HUE_WORDS = (
    (0.04, "red"),
    (0.11, "orange"),
    (0.19, "yellow"),
    (0.44, "green"),
    (0.54, "teal"),
    (0.70, "blue"),
    (0.80, "purple"),
    (0.94, "pink"),
    (1.01, "red"),
)
PLAIN_COLORS = {"pale red": "pink", "pale orange": "beige", "dark orange": "brown"}
DECADES = ("early", "mid", "late")
TENS = {2: "twenties", 3: "thirties", 4: "forties", 5: "fifties", 6: "sixties", 7: "seventies"}
HAIR = {
    "bald": "a bald head",
    "buzz cut": "a {color} buzz cut",
    "short": "short {color} hair",
    "side part": "side-parted {color} hair",
    "fringe": "{color} hair with a fringe",
    "curly": "curly {color} hair",
    "afro": "a {color} afro",
    "bob": "a {color} bob",
    "long": "long {color} hair",
    "long wavy": "long wavy {color} hair",
    "bun": "{color} hair in a bun",
}
BACKDROP = {
    "plain": "a plain wall",
    "gradient": "a soft studio backdrop",
    "bokeh": "blurred lights",
    "shelves": "a bookshelf",
    "leaves": "a wall of leaves",
    "window": "a window",
}
SMILES = {
    "neutral": ("with a calm face", "looks calm"),
    "closed smile": ("with a gentle smile", "smiles gently"),
    "open smile": ("with a broad smile", "smiles broadly"),
    "surprise": ("with a surprised face", "looks surprised"),
    "frown": ("with a frown", "frowns"),
}


def attributes(p: np.ndarray) -> Attributes:
    """What one parameter vector (97,) shows: words for choices, years, degrees, colour names."""
    n = named(p)
    years = age_in_years(n["age"])
    return {
        "age": years,
        "age_words": _first_above(AGE_WORDS, n["age"]),
        "skin_tone": SKIN_TONES[min(int(6 * n["skin_tone"]), 5)],
        "eye_color": n["eye_color"],
        "expression": expression_word(n),
        "hair_style": n["hair_style"],
        "hair_color": _hair_color(n["hair_color"], n["grey"]),
        "hair_length": _first_above(LENGTH_WORDS, n["hair_length"]),
        "beard": n["beard"],
        "glasses": n["glasses"],
        "hat": n["hat"],
        "earrings": n["earrings"],
        "necklace": n["necklace"],
        "clothes": n["clothes"],
        "clothes_color": color_word(*_cloth(n)),
        "pattern": n["pattern"],
        "freckles": n["freckles"] > 0.3,
        "background": n["background"],
        "yaw": round(n["yaw"], 1),
        "pitch": round(n["pitch"], 1),
        "roll": round(n["roll"], 1),
        "turned": turned_word(n["yaw"]),
        "light": _light_word(n["light_azimuth"]),
    }


def age_in_years(age: float) -> int:
    """Years, 20 to 79, of an age parameter in [0, 1]."""
    return min(int(20 + 60 * age), 79)


def expression_word(n: dict) -> str:
    """The nearest named expression of the numbers that are drawn."""
    if n["mouth_round"] > 0.35:
        return "surprise"
    if max(n["mouth_frown"], n["brow_knit"]) > 0.35 and n["smile"] < 0.35:
        return "frown"
    if n["smile"] > 0.3:
        return "open smile" if n["mouth_open"] > 0.2 else "closed smile"
    return "neutral"


def color_word(hue: float, saturation: float, value: float) -> str:
    """A plain name of a colour given as hue in turns, saturation and value in [0, 1]."""
    if saturation < 0.22:
        return "dark grey" if value < 0.45 else ("grey" if value < 0.75 else "white")
    tone = "dark " if value < 0.48 else ("pale " if value > 0.7 and saturation < 0.45 else "")
    word = tone + _first_above(HUE_WORDS, hue % 1.0)
    return PLAIN_COLORS.get(word, word)


def turned_word(yaw: float) -> str:
    """Which side of the portrait a yaw in degrees shows."""
    if abs(yaw) < 8:
        return "from the front"
    side = "left" if yaw > 0 else "right"
    return f"from their {side}" if abs(yaw) > 20 else f"slightly from their {side}"


def captions(a: Attributes) -> tuple[str, str, str, str]:
    """A caption and three paraphrases of `attributes`: single English sentences."""
    face, does = SMILES[a["expression"]]
    person = f"{a['age_words']} person"
    looks, worn, behind = _looks(a), _worn(a), BACKDROP[a["background"]]
    skin = f"{a['skin_tone']} skin"
    return (
        f"A portrait of {_a(person)} {face}, {_list([skin, *looks])}, "
        f"wearing {_list(worn)}, in front of {behind}.",
        f"{_a(person).capitalize()} with {_list(looks)} {does}, wearing {_list(worn)}, "
        f"seen {a['turned']}.",
        f"In front of {behind}, a person in their {_decade(a['age'])} with {skin} {does} "
        f"and wears {_list(worn)}, with {_list(looks)}.",
        f"Wearing {_list(worn)}, this {a['age_words']} person has {_list([*looks, skin])} "
        f"and {does} under light {a['light']}.",
    )


def _cloth(n: dict) -> tuple[float, float, float]:
    """Hue, saturation and value as the cloth is dyed in `figure`."""
    return n["cloth_hue"], 0.15 + 0.65 * n["cloth_saturation"], 0.28 + 0.62 * n["cloth_value"]


def _hair_color(color: str, grey: float) -> str:
    if color == "white" or grey < 0.3:
        return color
    return "grey" if grey > 0.65 else f"greying {color}"


def _looks(a: Attributes) -> list[str]:
    looks = [_hair(a)]
    if a["beard"] != "none":
        looks.append("stubble" if a["beard"] == "stubble" else f"a {a['beard']}")
    if a["glasses"] != "sunglasses":
        looks.append(f"{a['eye_color']} eyes")
    if a["freckles"]:
        looks.append("freckles")
    return looks


def _hair(a: Attributes) -> str:
    """The style by name where its length is the style's own; else the length says it better."""
    usual = {"bald": "bald", "buzz cut": "very short", "long": "long", "long wavy": "long"}
    style, length = a["hair_style"], a["hair_length"]
    if length == "bald":
        return HAIR["bald"] if a["hat"] == "none" else "no hair showing"
    if length != usual.get(style, length) or (
        style not in usual and length in ("very short", "long")
    ):
        word = "medium-length" if length == "medium length" else length
        return f"{word} {a['hair_color']} hair"
    return HAIR[style].format(color=a["hair_color"]).replace("a auburn", "an auburn")


def _worn(a: Attributes) -> list[str]:
    worn = []
    if a["glasses"] != "none":
        worn.append("sunglasses" if a["glasses"] == "sunglasses" else f"{a['glasses']} glasses")
    if a["hat"] != "none":
        worn.append(_a(a["hat"]))
    if a["earrings"] != "none":
        worn.append("stud earrings" if a["earrings"] == "studs" else "hoop earrings")
    if a["necklace"] != "none":
        worn.append("a bead necklace" if a["necklace"] == "beads" else "a chain")
    striped = "striped " if a["pattern"] == "stripes" else ""
    return [*worn, _a(f"{a['clothes_color']} {striped}{a['clothes']}")]


def _light_word(azimuth: float) -> str:
    if abs(azimuth) < 15:
        return "from the front"
    return "from the right" if azimuth > 0 else "from the left"


def _decade(years: int) -> str:
    part = DECADES[0 if years % 10 < 4 else (1 if years % 10 < 7 else 2)]
    return f"{part}-{TENS[years // 10]}" if part == "mid" else f"{part} {TENS[years // 10]}"


def _first_above(words: Sequence[tuple[float, str]], value: float) -> str:
    return next(word for limit, word in words if value < limit)


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"


def _list(items: Sequence[str]) -> str:
    items = list(items)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
