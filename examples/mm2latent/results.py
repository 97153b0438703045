"""Results of MM2Latent to store, each computed by the real pipeline, and by how much each keeps
what the page says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from examples.clay.parameters import limits
from examples.clay.parts import PALETTE
from examples.portraits import changed
from examples.stored import Stored, StoredResults, alike, new_file

KINDS = ("mask", "sketch", "morphable")
STORED = StoredResults(
    "mm2latent",
    ("generate", "edit"),
    ("clay-heads/generator", *(f"clay-heads/mm2latent-{kind}" for kind in KINDS)),
)
SHEET = np.array([(250, 250, 246), (22, 24, 28)], np.uint8)  # a sketch's paper and its lines
VARIETY, UNSAID, SEEDS = 1.0, 1.0, range(4)  # of the variations
UNSEEN = -1.0  # what breaks its promise


@dataclass(frozen=True)
class Wish:
    """What is asked for: words, and what the renderer draws for them, by attribute.

    turn: of the head to its left [degrees], of a condition or an edit of 3DMM numbers.
    """

    words: str = ""
    drawn: Mapping[str, str] = field(default_factory=dict)
    turn: float = 0.0


def generate(pipeline: Any, name: str, seed: int, kind: str, wish: Wish) -> Stored:
    """A portrait's condition with words that it knows nothing of; each alone; variations; the
    portrait rendered as the words say."""
    start = changed(seed)
    picture = Image.fromarray(start.image)
    own = np.concatenate([start.shape, start.expression, start.pose])
    numbers = _named(pipeline, own)
    if wish.turn:
        numbers["yaw"] = _turned(numbers["yaw"], wish.turn)
    lines = pipeline.read(picture, "sketch")
    condition = {"mask": start.mask, "sketch": lines, "morphable": numbers}[kind]
    both, *alone = pipeline.leave_one_out(wish.words, **{kind: condition}).values()
    varied = pipeline.vary(
        wish.words, seeds=SEEDS, variety=VARIETY, unsaid=UNSAID, **{kind: condition}
    )
    asked = wish.drawn | (numbers if kind == "morphable" else {})
    found = dict(zip(("result", "prompt alone", f"{kind} alone"), (both, *alone), strict=True))
    found |= {f"variation {i}": each for i, each in enumerate(varied, 1)}
    shown = {"picture": picture, "truth": Image.fromarray(changed(seed, **asked).image)}
    shown |= _labels(start.mask, lines) | {name: result.image for name, result in found.items()}
    values = {
        "seed": seed, "prompt": wish.words, "kind": kind, "numbers": numbers, "variety": VARIETY,
        "unsaid": UNSAID, "first": SEEDS.start, "drawn": dict(wish.drawn),
        "scores": {n: asdict(result.scores) for n, result in found.items()},
    }  # fmt: skip
    return Stored(name, values, shown, pipeline.keep(new_file(), found))


def edit(pipeline: Any, name: str, seed: int, wish: Wish, beta: float) -> Stored:
    """A portrait inverted and edited by words, or by a turn of its head; and the true answer."""
    start = changed(seed)
    picture = Image.fromarray(start.image)
    source = pipeline.invert(picture)
    numbers = _named(pipeline, source.given["morphable"])
    if wish.turn:
        kind, drawn = "morphable", {"yaw": _turned(float(start.pose[0]), wish.turn)}
    else:
        kind, drawn = "text", dict(wish.drawn)
    asked = wish.words or drawn
    edited = pipeline.edit(source, asked, kind=kind, beta=beta)
    truth = Image.fromarray(changed(seed, **drawn).image)
    shown = {"picture": picture, "inverted": source.image, "edited": edited.image, "truth": truth}
    shown |= _labels(source.given["mask"], source.given["sketch"])
    values = {
        "seed": seed, "kind": kind, "target": wish.words, "drawn": drawn, "beta": beta,
        "numbers": numbers,
        "of_edit": {
            "identity": edited.identity, "kept": edited.kept, "scores": asdict(edited.scores),
        },
        "measures": alike(pipeline.measure(edited.image, truth)),
    }  # fmt: skip
    codes = pipeline.keep(new_file(), {"inverted": source, "edited": edited})
    return Stored(name, values, shown, codes)


# ---- by how much a result keeps its promise ------------------------------------------------------


def obeyed(pipeline: Any, made: Stored) -> float:
    """Both inputs count: what the words add to the condition alone, and it to the words alone.

    The words: the share of what they ask that the judge sees; masks and sketches: their agreement;
    a turn: the share of its degrees. The sum of both, or the smaller one where it is not above 0.
    """
    values, kind = made.values, made.values["kind"]
    scores = values["scores"]
    seen = [_granted(scores[name]["attributes"], values["drawn"])
            for name in ("result", f"{kind} alone")]  # fmt: skip
    if kind == "morphable":
        place, asked = pipeline.layout.names.index("yaw"), values["numbers"]["yaw"]
        away = [
            abs(pipeline.read(made.pictures[name], kind)[place] - asked)
            for name in ("prompt alone", "result")
        ]
        nearer = float(away[0] - away[1]) / max(abs(asked), 1.0)
    else:
        labels = np.asarray(made.pictures[kind])
        given = labels if kind == "mask" else labels > 0
        alone = pipeline.score(made.pictures["prompt alone"], **{kind: given}).condition
        nearer = scores["result"]["condition"] - alone
    gains = (seen[0] - seen[1], nearer)
    return float(sum(gains) if min(gains) > 0 else min(gains))


def arrived(pipeline: Any, made: Stored) -> float:
    """How much nearer the edit is to the true answer than doing nothing is (LPIPS).

    Below 0 also where the judge does not see what the words ask for, or saw it before.
    """
    pictures, values = made.pictures, made.values
    if values["kind"] == "text":
        before = pipeline.score(pictures["inverted"]).attributes
        after = values["of_edit"]["scores"]["attributes"]
        if _granted(after, values["drawn"]) < 1 or _granted(before, values["drawn"]) == 1:
            return UNSEEN
    nothing = pipeline.measure(pictures["inverted"], pictures["truth"]).lpips
    return nothing - values["measures"]["lpips"]


def _granted(attributes: Mapping[str, str] | None, drawn: Mapping[str, str]) -> float:
    """The share of what is asked for that the judge sees."""
    return float(np.mean([(attributes or {}).get(name) == v for name, v in drawn.items()]))


def _named(pipeline: Any, numbers: np.ndarray) -> dict[str, float]:
    """3DMM numbers by name, each within its range."""
    ranges = pipeline.layout.ranges
    pairs = zip(pipeline.layout.names, np.asarray(numbers, float).tolist(), strict=True)
    return {name: float(np.clip(number, *ranges[name])) for name, number in pairs}


def _turned(yaw: float, turn: float) -> float:
    """A yaw after a turn towards the middle and beyond, within what is drawn [degrees]."""
    return float(np.clip(yaw - turn if yaw > 0 else yaw + turn, *limits("yaw")))


def _labels(mask: np.ndarray, lines: np.ndarray) -> dict[str, Image.Image]:
    """A mask and a sketch in their palettes' colours; their bytes stay the labels."""
    found = {}
    for name, labels, palette in (("mask", mask, PALETTE), ("sketch", lines, SHEET)):
        found[name] = Image.fromarray(np.ascontiguousarray(labels, np.uint8), "P")
        found[name].putpalette(palette.tobytes())
    return found
