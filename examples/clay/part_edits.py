"""Edits of single parts with a true answer, as part masks show them: what EditGAN's library learns.

    edit = PART_EDITS["smile"]
    p = portrait(seed)
    after = portrait(seed, **edit.apply(p.parameters, 1.0))

Every edit names the parts it concerns (Q_edit), says on which portraits it makes sense, and has a
statistic of the part mask that it moves: an area, a place or a width, by which success is measured.
"left" and "right" are the picture's sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from examples.clay.edits import EDITS
from examples.clay.parameters import BEARDS, GLASSES, INDEX, limits
from examples.clay.parts import PARTS

Change = Callable[[np.ndarray, float], dict[str, object]]
Statistic = Callable[[np.ndarray], float]
Suits = Callable[[np.ndarray], bool]

SIDES = ("left", "right")
EYES = tuple(f"{side} {part}" for part in ("sclera", "iris", "pupil") for side in SIDES)
PUPILS, IRISES = EYES[4:], EYES[2:4]
LIDS = tuple(f"{side} {edge} lid" for edge in ("upper", "lower") for side in SIDES)
BROWS = tuple(f"{side} brow" for side in SIDES)
EARS = tuple(f"{side} ear" for side in SIDES)
LIPS = ("upper lip", "lower lip")
GAP = ("teeth", "mouth interior")
NOSE = ("nose bridge", "nose tip", "nostrils")
SPECTACLES = ("glasses frame", "glasses lens")
FACE = ("skin", "beard", *NOSE, *LIPS, *GAP, *EYES, *LIDS, *BROWS)


@dataclass(frozen=True)
class PartEdit:
    """One edit: overrides for a parameter vector (97,) at a scale, 1 as named, below 0 reversed.

    suits: whether the edit changes such a portrait at all; least: smallest change of the statistic
    that counts [pixels, or pixels of length]. An edit without parameters is painted: `paint` makes
    the mask after from the mask before.
    """

    name: str
    q_edit: tuple[str, ...]
    apply: Change
    suits: Suits
    statistic: Statistic
    least: float
    paint: Callable[[np.ndarray], np.ndarray] | None = None


def labels(names: tuple[str, ...]) -> list[int]:
    """Labels of parts by name."""
    return [PARTS.index(name) for name in names]


def area(*names: str) -> Statistic:
    """Pixels of these parts."""
    chosen = labels(names)
    return lambda mask: float(np.isin(mask, chosen).sum())


def width(*names: str) -> Statistic:
    """How far these parts reach to the sides: twice the deviation of their columns [px]."""
    chosen = labels(names)
    return lambda mask: _deviation(np.isin(mask, chosen).nonzero()[1])


def height_of(*names: str) -> Statistic:
    """Where these parts are: minus their mean row [px], so that up is more."""
    chosen = labels(names)
    return lambda mask: -_mean(np.isin(mask, chosen).nonzero()[0])


def gaze(mask: np.ndarray) -> float:
    """Where irises and pupils are in their eyes, mean of both sides [px]; right is more."""
    found = []
    for side in SIDES:
        eye = labels(tuple(name for name in EYES if name.startswith(side)))
        ball = np.isin(mask, eye).nonzero()[1]
        iris = np.isin(mask, eye[1:]).nonzero()[1]
        if len(ball) and len(iris):
            found.append(iris.mean() - (ball.min() + ball.max()) / 2)
    return _mean(np.array(found))


def inner_brows(mask: np.ndarray) -> float:
    """How much lower brows are near the nose than on the outside, mean of both sides [px]."""
    found = []
    for side, inner in zip(SIDES, (1, -1), strict=True):
        rows, columns = (mask == PARTS.index(f"{side} brow")).nonzero()
        if len(rows) >= 8:
            near = (columns - np.median(columns)) * inner > 0
            if near.any() and not near.all():
                found.append(rows[near].mean() - rows[~near].mean())
    return _mean(np.array(found))


def dilated_pupils(mask: np.ndarray) -> np.ndarray:
    """The mask with pupils one pixel larger on every side, inside the irises."""
    after = mask.copy()
    for pupil, iris in zip(labels(PUPILS), labels(IRISES), strict=True):
        near = np.pad(mask == pupil, 1)
        near = near[:-2, 1:-1] | near[2:, 1:-1] | near[1:-1, :-2] | near[1:-1, 2:]
        after[near & (mask == iris)] = pupil
    return after


def by(**amounts: float) -> Change:
    """Parameters moved by these amounts times the scale, within their limits."""

    def change(p: np.ndarray, scale: float) -> dict[str, object]:
        moved = {name: float(p[INDEX[name]]) + scale * amount for name, amount in amounts.items()}
        return {name: float(np.clip(v, *limits(name))) for name, v in moved.items()}

    return change


def like(name: str, sign: float = 1.0) -> Change:
    """One of `EDITS`, fully at scale 1."""
    return lambda p, scale: EDITS[name].apply(p, float(np.clip(sign * scale, -1, 1)))


def where(plain: bool = True, **ranges: tuple[float, float]) -> Suits:
    """Portraits with parameters in these ranges; plain: nearly frontal, without a hat."""
    if plain:
        ranges = {"yaw": (-14, 14), "pitch": (-8, 10), "hat": (0, 0)} | ranges

    def suits(p: np.ndarray) -> bool:
        return all(low <= p[INDEX[name]] <= high for name, (low, high) in ranges.items())

    return suits


def _mean(values: np.ndarray) -> float:
    """The mean, NaN where there is nothing: such a portrait does not count."""
    return float(values.mean()) if len(values) else float("nan")


def _deviation(values: np.ndarray) -> float:
    return 2 * float(values.std()) if len(values) else float("nan")


_BARE = (0, BEARDS.index("stubble"))
_NO_GLASSES = (0, 0)
_CLEAR = (1, GLASSES.index("cat-eye"))
_CLOSED = {"smile": (0, 0.2), "mouth_open": (0, 0.1), "mouth_frown": (0, 0.2)}
_SEEN = {"glasses": _NO_GLASSES}
_FRONT = {"yaw": (-9, 9)}

_ALL = (
    PartEdit(
        "smile", (*LIPS, *GAP), by(smile=1.0, mouth_open=0.45, cheek_raise=0.7),
        where(beard=_BARE, **_CLOSED), width(*LIPS, *GAP), 1.0,
    ),
    PartEdit(
        "open mouth", (*LIPS, *GAP), by(mouth_open=0.7), where(beard=_BARE, mouth_open=(0, 0.1)),
        area(*GAP), 12,
    ),
    PartEdit(
        "open eyes", (*EYES, *LIDS), by(lid_open=0.4), where(lid_open=(0.6, 1.0), **_SEEN),
        area(*EYES), 12,
    ),
    PartEdit(
        "close eyes", (*EYES, *LIDS), by(lid_open=-1.0), where(lid_open=(0.8, 1.4), **_SEEN),
        lambda mask: -area(*EYES)(mask), 30,
    ),
    PartEdit(
        "look left", EYES, by(gaze_x=-0.9), where(gaze_x=(-0.2, 1), lid_open=(0.8, 2), **_SEEN),
        lambda mask: -gaze(mask), 0.7,
    ),
    PartEdit(
        "look right", EYES, by(gaze_x=0.9), where(gaze_x=(-1, 0.2), lid_open=(0.8, 2), **_SEEN),
        gaze, 0.7,
    ),
    PartEdit(
        "wider pupils", (*PUPILS, *IRISES), lambda p, scale: {},
        where(lid_open=(0.85, 2), **_SEEN), area(*PUPILS), 6, dilated_pupils,
    ),
    PartEdit(
        "bigger eyes", (*EYES, *LIDS), by(eye_size=2.4),
        where(eye_size=(-2.2, 0.3), lid_open=(0.8, 1.1), **_SEEN), area(*EYES), 20,
    ),
    PartEdit(
        "raise brows", BROWS, by(brow_raise=0.9), where(brow_raise=(-0.5, 0.25), **_SEEN),
        height_of(*BROWS), 1.5,
    ),
    PartEdit(
        "frown", BROWS, by(brow_knit=1.0), where(brow_knit=(0, 0.1), **_SEEN), inner_brows, 0.7
    ),
    PartEdit(
        "thicker brows", BROWS, by(brow_thickness=0.45),
        where(brow_thickness=(0.1, 0.5), **_SEEN), area(*BROWS), 15,
    ),
    PartEdit(
        "wider nose", NOSE, by(nose_width=2.6), where(nose_width=(-2.2, 0), **_FRONT),
        width("nose tip", "nostrils"), 0.8,
    ),
    PartEdit(
        "fuller lips", LIPS, by(lip_fullness=2.4),
        where(lip_fullness=(-2.2, 0), beard=_BARE, mouth_open=(0, 0.1)), area(*LIPS), 15,
    ),
    PartEdit(
        "longer hair", ("hair",), like("hair_length", 0.5),
        where(hair_length=(0.24, 0.45), hair_bun=(0, 0.2), hair_curl=(0, 0.5)), area("hair"), 200,
    ),
    PartEdit(
        "fringe", ("hair",), by(hair_fringe=0.9),
        where(hair_length=(0.3, 1), hair_fringe=(0, 0.2), hair_curl=(0, 0.5)), area("hair"), 100,
    ),
    PartEdit(
        "bald", ("hair",), like("hair_length", -1.0),
        where(hair_length=(0.2, 0.5), hair_bun=(0, 0.2)), lambda mask: -area("hair")(mask), 300,
    ),
    PartEdit("beard", ("beard",), like("beard"), where(beard=(0, 0)), area("beard"), 200),
    PartEdit(
        "shave", ("beard",), like("beard", -1.0), where(beard=(3, 4)),
        lambda mask: -area("beard")(mask), 200,
    ),
    PartEdit(
        "glasses on", SPECTACLES, like("glasses"), where(**_SEEN), area(*SPECTACLES), 100
    ),
    PartEdit(
        "glasses off", SPECTACLES, like("glasses", -1.0), where(glasses=_CLEAR),
        lambda mask: -area(*SPECTACLES)(mask), 100,
    ),
    PartEdit(
        "rounder face", FACE, by(face_width=1.2, fullness=1.5),
        where(face_width=(-2.2, 0.5), fullness=(-2.2, 0.5)), width(*FACE), 1.0,
    ),
    PartEdit(
        "narrower face", FACE, by(face_width=-1.2, fullness=-1.0),
        where(face_width=(-0.5, 2.2), fullness=(-0.5, 2.2)),
        lambda mask: -width(*FACE)(mask), 1.0,
    ),
    PartEdit(
        "bigger ears", EARS, by(ear_size=3.0),
        where(hair_length=(0, 0.33), ear_size=(-2.2, 0), **_FRONT), area(*EARS), 15,
    ),
)  # fmt: skip
PART_EDITS: dict[str, PartEdit] = {edit.name: edit for edit in _ALL}
