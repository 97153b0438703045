"""A pipeline with the interface of `pipelines.mm2latent.MM2Latent`, of numpy and PIL alone.

Used by the tests of the pages only. Its pictures are an oval face whose colours come from the words
and whose places come from the condition; its judge sees what the words say, but never a hat.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from examples.clay.parts import CLASSES, PALETTE
from pipelines.embedding_map import Located
from pipelines.latents import load_codes, only, save_codes
from pipelines.morphable import CLAY
from tests.demos.fake_pipeline import GENERATOR, FakeInDomain, Measures, Step

SHAPE = (1, 12, 512)
READ = 400  # characters of a prompt that are read
CONDITIONS = ("mask", "sketch", "morphable")


@dataclass(frozen=True)
class Scores:
    text: float | None = None
    condition: float | None = None
    attributes: dict | None = None


@dataclass(frozen=True, eq=False)
class Generated:
    w: np.ndarray
    image: Image.Image
    prompt: str | None
    condition: str | None
    given: np.ndarray | None
    scores: Scores
    seconds: float
    notes: tuple = ()
    method: str = "mm2latent"


@dataclass(frozen=True, eq=False)
class Source:
    w: np.ndarray
    image: Image.Image
    embedding: np.ndarray
    given: dict
    measures: Measures | None
    seconds: float


@dataclass(frozen=True, eq=False)
class Edited:
    w: np.ndarray
    image: Image.Image
    direction: np.ndarray
    beta: float
    identity: float | None
    kept: float
    scores: Scores
    seconds: float
    notes: tuple = ()


@dataclass
class FakeMM2Latent:
    """`seconds` slows every picture down; `calls` lets a test look inside."""

    seconds: float = 0.0
    size: int = 128
    fingerprint: str = GENERATOR
    conditions: tuple = CONDITIONS
    layout: object = CLAY
    missing: dict = field(default_factory=dict)
    calls: list = field(default_factory=list)

    def generate(self, prompt=None, *, variety=0.0, unsaid=0.0, seed=0, **condition) -> Generated:
        self.calls.append(("generate", prompt, tuple(condition), variety, seed))
        time.sleep(self.seconds)
        kind, given = self._given(condition)
        if prompt is None and kind is None:
            raise ValueError("prompt or a condition must be given; got neither.")
        image = _face(self.size, prompt, kind, given, seed if variety or unsaid else 0)
        scores = _scores(prompt, kind)
        return Generated(_code(image), image, prompt, kind, given, scores, 0.01, _notes(prompt))

    def vary(self, prompt=None, *, seeds=range(4), **drawn) -> list:
        return [self.generate(prompt, seed=s, **{"variety": 1.0} | drawn) for s in seeds]

    def ablate(self, prompt, *, by, share=0.5, picture=None, **condition) -> Generated:
        self.calls.append(("ablate", by, share, picture is not None))
        kind, given = self._given(condition)
        assert prompt is not None and kind is not None and (by != "picture") == (picture is None)
        image = _face(self.size, f"{prompt} {by}", kind, given, round(100 * share))
        return Generated(_code(image), image, prompt, kind, given, _scores(prompt, kind), 0.01)

    def read(self, image, kind) -> np.ndarray:
        self.calls.append(("read", kind))
        assert image.size == (self.size, self.size), "the picture has another domain's size"
        return self._shown(image)[kind]

    def score(self, image, prompt=None, **condition) -> Scores:
        return _scores(prompt, self._given(condition)[0])

    def leave_one_out(self, prompt, **condition) -> dict:
        both = self.generate(prompt, **condition)
        alone = {f"{both.condition} alone": self.generate(**condition)}
        return {"both": both, "prompt alone": self.generate(prompt)} | alone

    def invert(self, image) -> Source:
        self.calls.append(("invert",))
        assert image.size == (self.size, self.size), "the picture has another domain's size"
        soft = image.filter(ImageFilter.GaussianBlur(1))
        return self._source(_code(image), soft, FakeInDomain().measure(image, soft))

    def placed(self, w, image=None) -> Source:
        self.calls.append(("placed",))
        if image is not None:
            return self._source(w, image, self.measure(image, image))
        side = int(round(float(np.asarray(w).ravel()[0]) * 255)) % 255
        return self._source(w, Image.new("RGB", (self.size,) * 2, (side, 120, 90)), None)

    def edit(self, source, target, *, kind="text", pivot=None, beta=1.0, through=None) -> Edited:
        self.calls.append(("edit", target if kind == "text" else kind, pivot, beta))
        if abs(beta) > 5:
            raise ValueError(f"beta must lie in [-5, 5]; got {beta!r}.")
        words, condition = (target, {}) if kind == "text" else (None, {kind: target})
        given = self._given(condition)[1]
        other = _face(self.size, words, None if words else kind, given, 0)
        image = Image.blend(source.image, other, min(abs(beta) / 2, 1))
        scores, notes = _scores(words, None if words else kind), _notes(words)
        return Edited(_code(image), image, np.zeros((1, 512)), beta, 0.7, 0.91, scores, 0.01, notes)

    def baseline(self, prompt=None, *, method, steps=50, on_step=None, **condition) -> Generated:
        self.calls.append(("baseline", method, steps))
        for i in range(1, steps + 1 if method == "tedigan" else 1):
            if on_step and on_step(Step(method, i, steps, 1 / i)):
                break
        return self.generate(prompt, **condition)

    def locate(self, result, *, noisy=16) -> Located:
        random = np.random.default_rng(0)
        samples = random.normal(size=(512, 2))
        if result.prompt is None:
            return Located(samples, (0.2, 0.1), samples[0])
        around = random.normal(size=(noisy, 2)) * 0.4 + (2, 1)
        return Located(samples, (0.2, 0.1), samples[0], np.array((4.0, 2.0)), around, 0.93, 0.71)

    def measure(self, a, b) -> Measures:
        return FakeInDomain().measure(a, b)

    def keep(self, path, results) -> Path:
        codes = {name: torch.from_numpy(np.asarray(r.w)) for name, r in results.items()}
        return save_codes(path, codes, self.fingerprint)

    def read_codes(self, path) -> dict:
        codes = load_codes(path, self.fingerprint, SHAPE[1:])
        return {name: self.placed(w.numpy()) for name, w in codes.items()}

    def reopen(self, path) -> Source:
        return self.placed(only(load_codes(path, self.fingerprint, SHAPE[1:])).numpy())

    def _source(self, w, image, measures) -> Source:
        nothing = np.zeros((1, 512), np.float32)
        return Source(w, image, nothing, self._shown(image), measures, 0.01)

    def _shown(self, image) -> dict:
        mask = np.zeros((self.size,) * 2, np.uint8)
        mask[oval(self.size)] = 1
        edges = np.asarray(image.convert("L").filter(ImageFilter.FIND_EDGES)) > 30
        edges = np.pad(edges[2:-2, 2:-2], 2)  # the filter takes the border for an edge
        numbers = np.zeros(len(self.layout.names), np.float32)
        return {"mask": mask, "sketch": edges, "morphable": numbers}

    def _given(self, condition) -> tuple:
        if len(condition) > 1:
            raise ValueError(f"one condition at most; got {', '.join(condition)}.")
        for kind, value in condition.items():
            if kind not in self.conditions:
                raise ValueError(f"condition must be one of {self.conditions}; got {kind!r}.")
            if kind == "morphable":
                return kind, self.layout.vector(value, np.zeros(len(self.layout.names)))
            if isinstance(value, Image.Image):
                value = np.asarray(value.convert("L").resize((self.size,) * 2)) > 96
            if not value.any():
                wants = "mask must hold a face" if kind == "mask" else "sketch must have lines"
                raise ValueError(f"{wants}; got none.")
            if kind == "mask":
                assert value.dtype == np.uint8 and value.max() < len(CLASSES)
            return kind, value
        return None, None


def oval(side: int, right: float = 0.0) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    return ((x - 0.5 - right) / 0.26) ** 2 + ((y - 0.52) / 0.36) ** 2 < 1


def _face(side: int, prompt, kind, given, seed: int) -> Image.Image:
    digest = hashlib.sha256(f"{prompt} {seed}".encode()).digest()
    colours = np.frombuffer(digest[:9], np.uint8).reshape(3, 3) // 2 + 90
    if kind == "mask":
        y, x = np.mgrid[:side, :side] * len(given) // side
        pixels = 0.6 * PALETTE[given[y, x]] + 0.4 * colours[0]
    else:
        right = given[CLAY.names.index("yaw")] / 200 if kind == "morphable" else 0.0
        pixels = np.where(oval(side, -right)[..., None], colours[0], colours[1])
    if kind == "sketch":
        pixels = np.where(given[..., None], 20, pixels)
    return Image.fromarray(pixels.astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))


def _code(image: Image.Image) -> np.ndarray:
    small = np.asarray(image.resize((8, 8)), np.float32) / 255
    return np.resize(small, SHAPE).astype(np.float32)


def _scores(prompt, kind) -> Scores:
    said = prompt or ""
    colours = [c for c in ("blond", "red", "black", "white") if f"{c} hair" in said]
    attributes = {
        "hair_color": (colours or ["brown"])[0], "hair_style": "short", "hat": "none",
        "expression": "open smile" if "smile" in said else "neutral", "beard": "none",
        "glasses": "round" if "glasses" in said else "none", "background": "plain",
    }  # fmt: skip
    return Scores(0.31 if prompt else None, 0.86 if kind else None, attributes)


def _notes(prompt) -> tuple:
    left = (prompt or "")[READ:]
    return (f"The last {len(left)} characters were not read.",) if left else ()
