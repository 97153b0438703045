"""Semantic edits with a true answer: what the very same portrait looks like after the change.

    p = portrait(seed)
    after = portrait(seed, **EDITS["smile"].apply(p.parameters, 0.8))

A GAN's edit of `p.image` can be compared with `after.image`. A change is in the attribute's own
unit and is clipped so that the attribute stays within its limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from examples.clay.parameters import BEARDS, GLASSES, INDEX, limits

BEARDED = (BEARDS.index("goatee"), BEARDS.index("full beard"))
THRESHOLD = 0.5  # of a change that puts on or takes off


@dataclass(frozen=True)
class Edit:
    """One edit: `value` reads (..., 97) vectors, `apply` gives overrides for one (97,) vector."""

    name: str
    label: str
    unit: str
    low: float
    high: float
    value: Callable[[np.ndarray], np.ndarray]
    apply: Callable[[np.ndarray, float], dict[str, object]]


def _column(name: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda p: np.asarray(p, np.float64)[..., INDEX[name]]


def _moved(p: np.ndarray, name: str, change: float, highest: float | None = None) -> float:
    low, high = limits(name)
    now = float(p[INDEX[name]])
    return float(np.clip(now + change, low, max(now, high if highest is None else highest)))


def _move(name: str) -> Callable[[np.ndarray, float], dict[str, object]]:
    return lambda p, change: {name: _moved(p, name, change)}


def _wears_glasses(p: np.ndarray) -> np.ndarray:
    return (np.asarray(p)[..., INDEX["glasses"]] != GLASSES.index("none")).astype(np.float64)


def _has_beard(p: np.ndarray) -> np.ndarray:
    return np.isin(np.asarray(p)[..., INDEX["beard"]].astype(int), BEARDED).astype(np.float64)


def _change_glasses(p: np.ndarray, change: float) -> dict[str, object]:
    if change >= THRESHOLD and not _wears_glasses(p):
        return {"glasses": "round"}
    return {"glasses": "none"} if change <= -THRESHOLD else {}


def _change_beard(p: np.ndarray, change: float) -> dict[str, object]:
    """Overrides the drawn choice alone: density, length and extent are derived from it."""
    if change >= THRESHOLD and not _has_beard(p):
        return {"beard": "full beard"}
    return {"beard": "none"} if change <= -THRESHOLD else {}


def _change_smile(p: np.ndarray, change: float) -> dict[str, object]:
    """Cheeks rise with the corners of the mouth, and a smile takes a frown away."""
    smile = _moved(p, "smile", change, highest=1.0)
    done = smile - float(p[INDEX["smile"]])
    face: dict[str, object] = {"smile": smile}
    face["cheek_raise"] = _moved(p, "cheek_raise", 0.7 * done, highest=1.0)
    if done > 0:
        face["mouth_frown"] = _moved(p, "mouth_frown", -1.5 * done)
        face["brow_knit"] = _moved(p, "brow_knit", -1.5 * done)
    return face


def _change_hair(p: np.ndarray, change: float) -> dict[str, object]:
    """Hair that grows from a bald or shaved head also needs some volume."""
    length = _moved(p, "hair_length", change, highest=1.0)
    volume = float(p[INDEX["hair_volume"]])
    grown = 0.45 * float(np.clip((length - 0.12) / 0.13, 0, 1))
    return {"hair_length": length, "hair_volume": max(volume, grown) if change > 0 else volume}


_ALL = (
    Edit("age", "Age", "young to old", -1, 1, _column("age"), _move("age")),
    Edit("glasses", "Glasses", "off to on", -1, 1, _wears_glasses, _change_glasses),
    Edit("smile", "Smile", "none to full", -1, 1, _column("smile"), _change_smile),
    Edit("beard", "Beard", "shaved to full", -1, 1, _has_beard, _change_beard),
    Edit("hair_length", "Hair length", "bald to long", -1, 1, _column("hair_length"), _change_hair),
    Edit("yaw", "Turn", "degrees", -30, 30, _column("yaw"), _move("yaw")),
    Edit("light", "Light", "degrees", -60, 60, _column("light_azimuth"), _move("light_azimuth")),
)  # fmt: skip
EDITS: dict[str, Edit] = {edit.name: edit for edit in _ALL}
