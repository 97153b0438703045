"""The parameters of a clay portrait, and how a latent code or a seed draws them.

A portrait is one flat vector of named numbers (`NAMES`, `INDEX`). Drawn dimensions come one from
each coordinate of z ~ N(0, I), so that (z, picture) pairs exist for training a generator and every
attribute is independent of every other. Derived dimensions follow from drawn ones (the expression
"surprise" opens the mouth and raises the brows) and can be overridden one by one. Staged
dimensions (a sharp background, a thing held before the face) are never drawn: overrides alone set
them, so that a generator trained on drawn portraits has never seen what they show.

Symbols: z, a latent code of `LATENT` standard normal numbers; u = Phi(z), uniform in (0, 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy  # `scipy.special` is imported at its first use: that takes a third of a second

LATENT = 512

# The one place that says which seeds are for what. Identities are numbered by the same ranges.
SEEDS: dict[str, range] = {
    "train": range(0, 1_000_000),
    "validation": range(1_000_000, 1_100_000),
    "test": range(2_000_000, 2_100_000),
}

SKIN_TONES = ("very light", "light", "medium light", "medium", "medium dark", "dark")
EYE_COLORS = ("dark brown", "brown", "hazel", "green", "blue", "grey")
EXPRESSIONS = ("neutral", "closed smile", "open smile", "surprise", "frown")
HAIR_STYLES = (
    "bald", "buzz cut", "short", "side part", "fringe", "curly", "afro", "bob", "long",
    "long wavy", "bun",
)  # fmt: skip
HAIR_COLORS = ("black", "dark brown", "brown", "auburn", "blond", "red", "white", "blue", "pink")
BEARDS = ("none", "stubble", "moustache", "goatee", "full beard")
GLASSES = ("none", "round", "square", "cat-eye", "sunglasses")
HATS = ("none", "beanie", "cap", "brimmed hat")
EARRINGS = ("none", "studs", "hoops")
NECKLACES = ("none", "beads", "chain")
CLOTHES = ("t-shirt", "v-neck", "collared shirt", "turtleneck")
PATTERNS = ("plain", "stripes")
BACKGROUNDS = ("plain", "gradient", "bokeh", "shelves", "leaves", "window")
BACKGROUND_VARIANTS = 4
PROPS = (
    "none", "mug", "microphone", "hand", "phone", "headphones", "scarf", "sticker", "caption",
)  # fmt: skip


@dataclass(frozen=True)
class Dimension:
    """One drawn number: how it comes from its own coordinate of z.

    kind "score": clip(z, low, high), in standard deviations; "normal": clip(mean + sd z, low,
    high); "uniform": low + (high - low) Phi(z); "choice": index into `choices`, by `weights`.
    """

    name: str
    group: str
    kind: str
    low: float = -2.2
    high: float = 2.2
    mean: float = 0.0
    sd: float = 1.0
    choices: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    unit: str = ""

    def draw(self, z: np.ndarray) -> np.ndarray:
        """Values for standard normal numbers z of any shape."""
        if self.kind == "score":
            return np.clip(z, self.low, self.high)
        if self.kind == "normal":
            return np.clip(self.mean + self.sd * z, self.low, self.high)
        if self.kind == "uniform":
            return self.low + (self.high - self.low) * scipy.special.ndtr(z)
        edges = np.cumsum(self.weights)[:-1] / np.sum(self.weights)
        return np.searchsorted(edges, scipy.special.ndtr(z), side="right").astype(np.float64)


def _scores(group: str, *names: str) -> list[Dimension]:
    return [Dimension(name, group, "score", unit="standard deviations") for name in names]


def _uniform(group: str, name: str, low: float = 0.0, high: float = 1.0) -> Dimension:
    return Dimension(name, group, "uniform", low, high)


def _normal(
    group: str, name: str, mean: float, sd: float, low: float, high: float, unit=""
) -> Dimension:
    return Dimension(name, group, "normal", low, high, mean, sd, unit=unit)


def _choice(group: str, name: str, choices: tuple[str, ...], *weights: float) -> Dimension:
    weights = weights or (1.0,) * len(choices)
    return Dimension(name, group, "choice", 0, len(choices) - 1, choices=choices, weights=weights)


DRAWN: tuple[Dimension, ...] = (
    # identity: face shape, skin tone, eye colour
    *_scores(
        "identity", "face_width", "face_length", "jaw_width", "chin_size", "cheekbones", "fullness",
        "forehead", "nose_length", "nose_width", "nose_bridge", "nose_tip", "eye_size",
        "eye_spacing", "eye_tilt", "brow_height", "mouth_width", "lip_fullness", "mouth_height",
        "ear_size", "neck_width",
    ),
    _uniform("identity", "skin_tone"),
    Dimension("skin_undertone", "identity", "score"),
    _choice("identity", "eye_color", EYE_COLORS, 2, 2, 1, 1, 1.5, 1),
    # expression
    _choice("expression", "expression", EXPRESSIONS, 3, 2, 2.4, 1.2, 1.4),
    _normal("expression", "intensity", 0.8, 0.15, 0.45, 1.1),
    _normal("expression", "lid_change", 0.0, 0.15, -0.5, 0.25),
    _normal("expression", "brow_change", 0.0, 0.2, -0.5, 0.5),
    _normal("expression", "gaze_x", 0.0, 0.4, -1.0, 1.0),
    _normal("expression", "gaze_y", 0.0, 0.25, -0.6, 0.6),
    # pose: the camera goes round the head
    _normal(
        "pose", "yaw", 0.0, 16.0, -35.0, 35.0, "degrees, positive shows the portrait's left side"
    ),
    _normal("pose", "pitch", 2.0, 6.0, -15.0, 15.0, "degrees, positive looks from above"),
    _normal("pose", "roll", 0.0, 3.0, -8.0, 8.0, "degrees"),
    # hair and age
    _uniform("age", "age"),
    _choice("hair", "hair_style", HAIR_STYLES, 1, 1, 1.5, 1.5, 1.2, 1.2, 0.8, 1.2, 1.5, 1.2, 1),
    _choice("hair", "hair_color", HAIR_COLORS, 2, 1.5, 1.5, 1, 1.5, 1, 1, 0.4, 0.4),
    _normal("hair", "length_change", 0.0, 0.06, -0.12, 0.12),
    _normal("hair", "volume_change", 0.0, 0.2, -0.4, 0.4),
    _uniform("hair", "part", -1.0, 1.0),
    _uniform("hair", "strand_phase"),
    _choice("beard", "beard", BEARDS, 4, 1.2, 1, 1, 1.5),
    _uniform("beard", "beard_change"),
    _normal("brows", "brow_thickness", 0.5, 0.28, 0.1, 1.0),
    _normal("brows", "brow_arch", 0.5, 0.2, 0.0, 1.0),
    _uniform("makeup", "lip_tint"),
    _uniform("makeup", "blush"),
    _normal("makeup", "freckles", -0.4, 0.8, 0.0, 1.0),
    # what is worn
    _choice("wear", "glasses", GLASSES, 6, 1.2, 1.2, 0.8, 0.8),
    _uniform("wear", "frame_hue"),
    _uniform("wear", "frame_value"),
    _choice("wear", "hat", HATS, 8, 0.8, 0.7, 0.5),
    _uniform("wear", "hat_hue"),
    _choice("wear", "earrings", EARRINGS, 4, 1, 1),
    _choice("wear", "necklace", NECKLACES, 4, 1, 1),
    _uniform("wear", "jewel_hue"),
    _choice("wear", "clothes", CLOTHES),
    _uniform("wear", "cloth_hue"),
    _uniform("wear", "cloth_saturation"),
    _uniform("wear", "cloth_value"),
    _choice("wear", "pattern", PATTERNS, 3, 1),
    # light
    _normal(
        "light", "light_azimuth", 0.0, 35.0, -75.0, 75.0,
        "degrees, positive from the right of the picture",
    ),
    _normal("light", "light_elevation", 38.0, 10.0, 12.0, 65.0, "degrees"),
    _normal("light", "light_warmth", 0.0, 0.4, -1.0, 1.0),
    _uniform("light", "ambient", 0.25, 0.6),
    # background
    _choice("background", "background", BACKGROUNDS, 1.5, 1.5, 1, 1, 1, 1),
    _choice("background", "variant", tuple(f"layout {i}" for i in range(BACKGROUND_VARIANTS))),
    _uniform("background", "bg_hue"),
    _uniform("background", "bg_saturation"),
    _uniform("background", "bg_value"),
    _uniform("background", "bg_hue2"),
    _uniform("background", "bg_value2"),
    _uniform("background", "bg_x", -1.0, 1.0),
    _uniform("background", "bg_y", -1.0, 1.0),
    _uniform("background", "bg_scale"),
)  # fmt: skip

DERIVED: tuple[str, ...] = (
    # expression, each 0 (rest) to 1 (full) unless said
    "smile", "mouth_open", "mouth_round", "mouth_frown", "brow_raise", "brow_knit", "cheek_raise",
    "lid_open",  # 0 closed, 1 rest, 1.35 wide
    # hair, each 0 to 1
    "hair_length",  # 0 bald, 0.12 buzz, 0.25 short, 0.5 chin, 1 below the shoulders
    "hair_volume", "hair_curl", "hair_wave", "hair_fringe", "hair_bun",
    "grey",  # share of grey strands, from age
    # facial hair, each 0 to 1
    "beard_density", "beard_length", "beard_lip", "beard_chin", "beard_cheeks",
)  # fmt: skip

STAGED: tuple[Dimension, ...] = (
    _uniform("staged", "focus"),  # of the background: 0 behind a portrait lens, 1 sharp
    _choice("staged", "prop", PROPS),
    _uniform("staged", "prop_look"),  # colour and kind of the thing
    _uniform("staged", "prop_shift", -1.0, 1.0),  # its place; below 0 a thing is held to the left
)

NAMES: tuple[str, ...] = (*(d.name for d in DRAWN), *DERIVED, *(d.name for d in STAGED))
INDEX: dict[str, int] = {name: i for i, name in enumerate(NAMES)}
CHOICES: dict[str, tuple[str, ...]] = {d.name: d.choices for d in (*DRAWN, *STAGED) if d.choices}
_DIMENSIONS = {d.name: d for d in (*DRAWN, *STAGED)}
GROUPS: dict[str, tuple[str, ...]] = {}
for _d in DRAWN:
    GROUPS[_d.group] = (*GROUPS.get(_d.group, ()), _d.name)

IDENTITY = GROUPS["identity"]
SHAPE = IDENTITY[:20]  # the "3DMM" shape scores, in standard deviations
EXPRESSION = (*DERIVED[:8], "gaze_x", "gaze_y")  # the "3DMM" expression vector
POSE = ("yaw", "pitch", "roll")

#                     smile open round frown raise knit cheek lid
_EXPRESSION_TABLE = (
    (0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 1.00),  # neutral
    (0.85, 0.00, 0.00, 0.00, 0.10, 0.00, 0.50, 0.92),  # closed smile
    (1.00, 0.55, 0.00, 0.00, 0.20, 0.00, 0.80, 0.86),  # open smile
    (0.00, 0.80, 0.90, 0.00, 1.00, 0.00, 0.00, 1.32),  # surprise
    (0.00, 0.00, 0.00, 0.95, 0.00, 1.00, 0.10, 0.86),  # frown
)
#              length volume curl wave fringe bun
_HAIR_TABLE = (
    (0.00, 0.00, 0.0, 0.0, 0.00, 0.0),  # bald
    (0.12, 0.05, 0.0, 0.0, 0.00, 0.0),  # buzz cut
    (0.25, 0.40, 0.0, 0.2, 0.10, 0.0),  # short
    (0.30, 0.55, 0.0, 0.2, 0.30, 0.0),  # side part
    (0.35, 0.50, 0.0, 0.1, 1.00, 0.0),  # fringe
    (0.42, 0.70, 0.7, 0.6, 0.20, 0.0),  # curly
    (0.45, 1.00, 1.0, 0.0, 0.00, 0.0),  # afro
    (0.52, 0.55, 0.0, 0.1, 0.60, 0.0),  # bob
    (0.90, 0.50, 0.0, 0.1, 0.15, 0.0),  # long
    (0.88, 0.70, 0.3, 1.0, 0.20, 0.0),  # long wavy
    (0.25, 0.40, 0.0, 0.1, 0.05, 1.0),  # bun
)
#             density length lip chin cheeks
_BEARD_TABLE = (
    (0.00, 0.00, 0.0, 0.0, 0.0),  # none
    (0.45, 0.02, 1.0, 1.0, 1.0),  # stubble
    (0.95, 0.25, 1.0, 0.0, 0.0),  # moustache
    (0.95, 0.40, 1.0, 1.0, 0.0),  # goatee
    (1.00, 0.60, 1.0, 1.0, 1.0),  # full beard
)


def latent(seed: int, identity: int | None = None) -> np.ndarray:
    """The latent code z of a seed, float32 (512,); the same on every machine.

    `identity` is another seed whose face shape, skin tone and eye colour are taken instead.
    RandomState is used because its stream is frozen by NumPy's compatibility policy.
    """
    z = np.random.RandomState(seed).standard_normal(LATENT)
    if identity is not None and identity != seed:
        z[: len(IDENTITY)] = np.random.RandomState(identity).standard_normal(LATENT)[
            : len(IDENTITY)
        ]
    return z.astype(np.float32)


def draw(z: np.ndarray, overrides: Mapping[str, object] | None = None) -> np.ndarray:
    """Parameter vectors, float32 (..., len(NAMES)), of latent codes z (..., 512).

    `overrides` fixes dimensions by name, a number or the name of a choice. Overriding a drawn
    dimension moves what is derived from it; overriding a derived one moves that alone.
    """
    values = check_overrides(overrides or {})
    z = np.asarray(z, np.float64)
    columns = []
    for i, dimension in enumerate(DRAWN):
        fixed = values.get(dimension.name)
        drawn = dimension.draw(z[..., i])
        columns.append(drawn if fixed is None else np.full_like(drawn, fixed))
    p = np.stack(columns, axis=-1)
    derived = _derive(p)
    for j, name in enumerate(DERIVED):
        if name in values:
            derived[..., j] = values[name]
    staged = np.zeros((*p.shape[:-1], len(STAGED)))
    for j, dimension in enumerate(STAGED):
        staged[..., j] = values.get(dimension.name, 0.0)
    return np.concatenate([p, derived, staged], axis=-1).astype(np.float32)


def _derive(p: np.ndarray) -> np.ndarray:
    def get(name: str) -> np.ndarray:
        return p[..., INDEX[name]]

    def row(table: tuple, name: str) -> np.ndarray:
        return np.asarray(table)[get(name).astype(int)]

    expression = row(_EXPRESSION_TABLE, "expression")
    rest = np.asarray(_EXPRESSION_TABLE[0])
    face = rest + get("intensity")[..., None] * (expression - rest)
    face[..., 4] = np.clip(face[..., 4] + get("brow_change"), -0.5, 1.2)
    face[..., 7] = np.clip(face[..., 7] + get("lid_change"), 0.0, 1.4)

    hair = row(_HAIR_TABLE, "hair_style").copy()
    has_length = hair[..., 0] > 0.2
    hair[..., 0] = np.clip(hair[..., 0] + has_length * get("length_change"), 0, 1)
    hair[..., 1] = np.clip(hair[..., 1] + has_length * get("volume_change"), 0, 1)
    grey = np.clip((get("age") - 0.55) / 0.4, 0, 1)

    beard = row(_BEARD_TABLE, "beard").copy()
    beard[..., 1] *= 0.6 + 0.8 * get("beard_change")
    return np.concatenate([face, hair, grey[..., None], beard], axis=-1)


def check_overrides(overrides: Mapping[str, object]) -> dict[str, float]:
    """Overrides as numbers; raises ValueError saying what was expected."""
    values = {}
    for name, value in overrides.items():
        if name not in INDEX:
            raise ValueError(f"override must name one of {', '.join(NAMES)}; got {name!r}.")
        if isinstance(value, str):
            choices = CHOICES.get(name, ())
            if value not in choices:
                raise ValueError(f"{name} must be one of {choices or 'a number'}; got {value!r}.")
            value = choices.index(value)
        number = float(value)
        low, high = limits(name)
        if not low <= number <= high:
            raise ValueError(f"{name} must lie in [{low:g}, {high:g}]; got {number:g}.")
        values[name] = number
    return values


def limits(name: str) -> tuple[float, float]:
    """Smallest and largest value that a dimension may be given."""
    if name in DERIVED:
        return {"lid_open": (0.0, 1.4), "brow_raise": (-0.5, 1.2)}.get(name, (0.0, 1.2))
    dimension = _DIMENSIONS[name]
    return dimension.low, dimension.high


def named(p: np.ndarray) -> dict[str, float | str]:
    """One parameter vector as a dictionary; choices by name."""
    return {
        name: CHOICES[name][int(p[i])] if name in CHOICES else float(p[i])
        for name, i in INDEX.items()
    }
