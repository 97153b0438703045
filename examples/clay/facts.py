"""What can be seen on a portrait, as small whole numbers: the truth that phrases are checked by.

Each fact has a few values in words (`FACTS`); a portrait is a row of value numbers from 1 on, and
`UNSEEN` where the picture does not show it (hair under a hat) or shows something in between. Facts
follow from what is drawn, as `captions.attributes` does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from examples.clay.captions import HUE_WORDS, PLAIN_COLORS, color_word
from examples.clay.parameters import (
    BACKGROUNDS,
    BEARDS,
    CLOTHES,
    EARRINGS,
    EXPRESSIONS,
    EYE_COLORS,
    GLASSES,
    HAIR_COLORS,
    HAIR_STYLES,
    HATS,
    INDEX,
    LATENT,
    NECKLACES,
    PATTERNS,
    SKIN_TONES,
    draw,
)

UNSEEN = 0
YEARS = tuple(str(year) for year in range(20, 80))
HUES = tuple(dict.fromkeys(word for _, word in HUE_WORDS))
COLORS = tuple(
    dict.fromkeys(
        ["dark grey", "grey", "white"]
        + [PLAIN_COLORS.get(t + hue, t + hue) for hue in HUES for t in ("dark ", "pale ", "")]
    )
)
# A cap of olive or tan has no plain name.
HAT_COLORS = tuple(hue for hue in HUES if hue not in ("orange", "yellow"))

# fact -> its values; number 1 is the first
FACTS: dict[str, tuple[str, ...]] = {
    "age": YEARS,
    "skin_tone": SKIN_TONES,
    "eye_color": EYE_COLORS,
    "expression": EXPRESSIONS,
    "mouth": ("closed", "open"),
    "hair_length": ("bald", "very short", "short", "medium length", "long", "very long"),
    "hair_style": HAIR_STYLES,
    "hair_color": (*HAIR_COLORS, *(f"greying {color}" for color in HAIR_COLORS), "grey"),
    "beard": BEARDS,
    "glasses": GLASSES,
    "hat": HATS,
    "hat_color": HAT_COLORS,
    "earrings": EARRINGS,
    "necklace": NECKLACES,
    "clothes": CLOTHES,
    "clothes_color": COLORS,
    "pattern": PATTERNS,
    "freckles": ("none", "freckles"),
    "lipstick": ("none", "lipstick"),
    "background": BACKGROUNDS,
    "turned": ("far right", "right", "front", "left", "far left"),
    "view": ("below", "level", "above"),
    "light": ("far left", "left", "front", "right", "far right"),
    "brows": ("thin", "thick"),
    "face": ("narrow", "wide"),
    "nose": ("narrow", "wide"),
    "lips": ("thin", "full"),
    "eyes": ("small", "large"),
}
NAMES = tuple(FACTS)

# How long each style is by itself; hair cut or grown since is not called by its style.
_USUAL = np.array(
    [draw(np.zeros(LATENT), {"hair_style": s})[INDEX["hair_length"]] for s in HAIR_STYLES]
)


def facts(parameters: np.ndarray) -> np.ndarray:
    """Value numbers, uint8 (..., facts), of parameter vectors (..., 97); columns as in `NAMES`."""
    p = {name: np.asarray(parameters, np.float64)[..., i] for name, i in INDEX.items()}
    columns = {**_face(p), **_hair(p), **_worn(p), **_scene(p)}
    return np.stack([columns[name] for name in NAMES], axis=-1).astype(np.uint8)


def value(fact: str, row: np.ndarray) -> str | None:
    """The word of a fact in one row (facts,) of value numbers; None where it is unseen."""
    number = int(row[NAMES.index(fact)])
    return None if number == UNSEEN else FACTS[fact][number - 1]


def _numbers(fact: str, values: Sequence[str]) -> np.ndarray:
    """Value numbers of a fact by name; UNSEEN for other names."""
    return np.array([FACTS[fact].index(v) + 1 if v in FACTS[fact] else UNSEEN for v in values])


def _choice(p: dict, name: str) -> np.ndarray:
    return p[name].astype(int) + 1


def _level(values: np.ndarray, *edges: float) -> np.ndarray:
    """1 below the first edge, 2 from there to the second, ..."""
    return np.digitize(values, edges) + 1


def _ends(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """1 up to `low`, 2 above `high`, UNSEEN between them."""
    return np.where(values <= low, 1, np.where(values > high, 2, UNSEEN))


def _face(p: dict) -> dict[str, np.ndarray]:
    eyes = (p["glasses"] != GLASSES.index("sunglasses")) & (p["lid_open"] > 0.5)
    return {
        "age": np.minimum((20 + 60 * p["age"]).astype(int), 79) - 19,
        "skin_tone": np.minimum((6 * p["skin_tone"]).astype(int), 5) + 1,
        "eye_color": np.where(eyes, _choice(p, "eye_color"), UNSEEN),
        "expression": _expression(p),
        "mouth": _ends(p["mouth_open"], 0.05, 0.25),
        "freckles": _ends(p["freckles"], 0.08, 0.3),
        "lipstick": _ends(p["lip_tint"], 0.35, 0.7),
        "brows": _ends(p["brow_thickness"], 0.25, 0.75),
        "face": _ends(p["face_width"], -0.9, 0.9),
        "nose": _ends(p["nose_width"], -0.9, 0.9),
        "lips": _ends(p["lip_fullness"], -0.9, 0.9),
        "eyes": np.where(eyes, _ends(p["eye_size"], -0.9, 0.9), UNSEEN),
    }


def _expression(p: dict) -> np.ndarray:
    """`captions.expression_word` of many portraits."""
    frowns = (np.maximum(p["mouth_frown"], p["brow_knit"]) > 0.35) & (p["smile"] < 0.35)
    smile = np.where(p["mouth_open"] > 0.2, "open smile", "closed smile")
    rules = [p["mouth_round"] > 0.35, frowns, p["smile"] > 0.3]
    words = np.select(rules, ["surprise", "frown", smile], "neutral")
    return _numbers("expression", words.ravel()).reshape(words.shape)


def _hair(p: dict) -> dict[str, np.ndarray]:
    bare, length = p["hat"] == HATS.index("none"), p["hair_length"]
    shows = bare | (length >= 0.4)  # from under a hat
    style = p["hair_style"].astype(int)
    usual = bare & (abs(length - _USUAL[style]) < 0.13)
    color = p["hair_color"].astype(int)
    greying = np.where(p["grey"] < 0.3, 0, np.where(p["grey"] > 0.65, 2, 1))
    greying = np.where(color == HAIR_COLORS.index("white"), 0, greying)
    n = len(HAIR_COLORS)
    tone = np.where(greying == 2, 2 * n + 1, color + 1 + n * greying)
    return {
        "hair_length": np.where(shows, _level(length, 0.05, 0.2, 0.4, 0.7, 0.95), UNSEEN),
        "hair_style": np.where(usual, style + 1, UNSEEN),
        "hair_color": np.where(shows & (length > 0.05), tone, UNSEEN),
        "beard": _choice(p, "beard"),
    }


def _worn(p: dict) -> dict[str, np.ndarray]:
    hats = _named("hat_color", [p["hat_hue"], 0.55, 0.62])
    cloth = [p["cloth_hue"], 0.15 + 0.65 * p["cloth_saturation"], 0.28 + 0.62 * p["cloth_value"]]
    plain = {name: _choice(p, name) for name in ("glasses", "hat", "necklace", "clothes")}
    return {
        **plain,
        "hat_color": np.where(p["hat"] == HATS.index("none"), UNSEEN, hats),
        "earrings": np.where(p["hair_length"] < 0.4, _choice(p, "earrings"), UNSEEN),
        "clothes_color": _named("clothes_color", cloth),
        "pattern": _choice(p, "pattern"),
    }


def _named(fact: str, hsv: Sequence[np.ndarray | float]) -> np.ndarray:
    """Value numbers of colours by their plain names."""
    hsv = np.stack(np.broadcast_arrays(*hsv), axis=-1)
    words = [color_word(*color) for color in hsv.reshape(-1, 3).tolist()]
    return _numbers(fact, words).reshape(hsv.shape[:-1])


def _scene(p: dict) -> dict[str, np.ndarray]:
    return {
        "background": _choice(p, "background"),
        # A camera that goes to the portrait's left sees the face turn to the picture's left.
        "turned": _level(p["yaw"], -20, -8, 8, 20),
        "view": _level(p["pitch"], -5, 9),
        "light": _level(p["light_azimuth"], -40, -15, 15, 40),
    }
