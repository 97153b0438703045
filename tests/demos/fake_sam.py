"""A pipeline with the interface of `pipelines.sam_inversion.SAMInversion`, without a network.

Used by the tests of the pages only. Its "inversion" is a blur that sharpens with the steps, less
where the map says W+; its predicted errors are what a picture has of detail.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from scipy.ndimage import uniform_filter

from examples.clay.edits import EDITS
from pipelines.invertibility import InvertibilityMaps, every_pixel, masks_of
from pipelines.latents import only
from pipelines.multilayer_codes import Inversion, Layout
from tests.demos.fake_pipeline import GENERATOR, FakeInDomain, Measures, Step

LATENTS = ("W+", "F2", "F4", "F6", "F8")
BLURS = (4.0, 3.0, 2.0, 1.0, 0.4)  # of what each latent rebuilds [px]
BASELINES = ("w", "w+", "gaussian-prior", "hybrid", "pti", "e4e", "restyle")
SHAPE = (12, 512)
FEATURES = {f"b{side}.conv1": (4, side, side) for side in (8, 16, 32, 64)}


@dataclass
class FakeSAM:
    """`seconds_a_step` slows a run down; `calls` and `steps_done` let a test look inside."""

    seconds_a_step: float = 0.0
    size: int = 128
    calls: list = field(default_factory=list)
    steps_done: int = 0
    tuning: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(tau=0.4))
    methods: tuple = BASELINES
    latents: tuple = LATENTS
    layout: Layout = Layout(GENERATOR, SHAPE, LATENTS, FEATURES)

    @property
    def fingerprint(self) -> str:
        return self.layout.generator

    def invertibility(self, image, *, segments=None, refine=True) -> InvertibilityMaps:
        self.calls.append(("invertibility", None if segments is None else segments.max(), refine))
        assert image.size == (self.size, self.size), "the picture has another domain's size"
        errors = {name: _detail(image, blur) for name, blur in zip(LATENTS, BLURS, strict=True)}
        if not refine:
            segments = every_pixel(self.size, self.size)
        elif segments is None:
            segments = _segments(self.size)
        return InvertibilityMaps.refined(errors, segments)

    def invert(
        self, image, *, tau=None, chosen=None, regularise=True, steps=100, on_step=None
    ) -> Inversion:
        chosen = self._chosen(image, tau, chosen)
        self.calls.append(("invert", regularise, steps, chosen))
        start, losses = time.perf_counter(), self._run("optimise", image, steps, on_step)
        return self._result(image, _rebuilt(image, chosen), chosen, "optimised", start, losses)

    def encode(self, image, *, tau=None, chosen=None) -> Inversion:
        chosen = self._chosen(image, tau, chosen)
        self.calls.append(("encode", chosen))
        start, rebuilt = time.perf_counter(), _rebuilt(image, chosen)
        rebuilt = rebuilt.filter(ImageFilter.GaussianBlur(1))
        return self._result(image, rebuilt, chosen, "encoded", start)

    def baseline(self, image, *, method, steps=100, on_step=None) -> Inversion:
        self.calls.append(("baseline", method, steps))
        if method not in self.methods:
            raise ValueError(f"method must be one of {self.methods}; got {method!r}.")
        start, losses = time.perf_counter(), ()
        if method not in BASELINES[5:]:
            losses = self._run(method, image, steps, on_step)
        chosen = np.zeros((self.size, self.size), np.uint8)
        return self._result(image, _rebuilt(image, chosen), chosen, method, start, losses)

    def edit(self, inversion, direction, strength) -> Image.Image:
        self.calls.append(("edit", inversion.method, direction, strength))
        if direction not in EDITS and not direction.startswith("principal direction "):
            raise ValueError(f"direction must be one of {', '.join(EDITS)}; got {direction!r}.")
        edited = ImageEnhance.Brightness(inversion.image).enhance(1 + 0.3 * math.tanh(strength))
        stays = Image.fromarray((50 * inversion.latent_map).astype(np.uint8))
        return Image.composite(inversion.image, edited, stays)

    def keep(self, path, results) -> Path:
        return self.layout.save(path, results)

    def read_codes(self, path) -> dict:
        return {name: self._placed(*codes) for name, codes in self.layout.load(path).items()}

    def reopen(self, path) -> Inversion:
        return self._placed(*only(self.layout.load(path)))

    def measure(self, a, b) -> Measures:
        return FakeInDomain().measure(a, b)

    def _run(self, stage: str, image, steps: int, on_step) -> tuple:
        losses = []
        for i in range(1, steps + 1):
            time.sleep(self.seconds_a_step)
            self.steps_done += 1
            losses.append(2.0 / i + 0.1)
            shown = None
            if i % 10 == 0:
                shown = [image.filter(ImageFilter.GaussianBlur(1 + 40 / i))]
            if on_step and on_step(Step(stage, i, steps, losses[-1], shown)):
                break
        return tuple(losses)

    def _chosen(self, image, tau, chosen) -> np.ndarray:
        if chosen is None:
            chosen = self.invertibility(image).latent_map(self.tuning.tau if tau is None else tau)
        return chosen

    def _placed(self, w, deltas, latent_map) -> Inversion:
        self.calls.append(("placed", tuple(deltas)))
        small = (255 * w.numpy().ravel()[:192].reshape(8, 8, 3)).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(small).resize((self.size, self.size), Image.Resampling.BICUBIC)
        return Inversion(w, deltas, latent_map, LATENTS, image, "stored", 0.01, None)

    def _result(self, image, rebuilt, chosen, method, start, losses=()) -> Inversion:
        w = np.resize(np.asarray(image.resize((8, 8)), np.float32) / 255, (1, *SHAPE))
        used = masks_of(torch.from_numpy(chosen)[None], tuple(FEATURES))
        deltas = {block: torch.zeros(1, *FEATURES[block]) for block in used}
        seconds, measures = time.perf_counter() - start, self.measure(image, rebuilt)
        tuned = {"weight": torch.zeros(1)} if method == "pti" else None
        return Inversion(
            torch.from_numpy(w), deltas, chosen, LATENTS, rebuilt, method, seconds, measures,
            losses, tuned,
        )  # fmt: skip


def _detail(image, blur: float) -> np.ndarray:
    """What a blur takes from a picture, a number a pixel."""
    lost = np.asarray(image, float) - np.asarray(
        image.filter(ImageFilter.GaussianBlur(blur)), float
    )
    return uniform_filter(np.abs(lost).mean(-1), 9) / 20


def _segments(side: int) -> np.ndarray:
    """An ellipse in the middle, and tiles around it."""
    y, x = np.mgrid[:side, :side]
    tiles = 8 * (8 * y // side) + 8 * x // side
    inside = ((x / side - 0.5) / 0.24) ** 2 + ((y / side - 0.5) / 0.34) ** 2 < 1
    return np.where(inside, 64, tiles)


def _rebuilt(image, chosen: np.ndarray) -> Image.Image:
    """Each place as blurred as its latent leaves it."""
    layers = [np.asarray(image.filter(ImageFilter.GaussianBlur(blur))) for blur in BLURS]
    picked = np.take_along_axis(np.stack(layers), chosen[None, ..., None].astype(int), 0)[0]
    return Image.fromarray(picked)
