"""A pipeline with the interface of `pipelines.indomain.InDomain`, whose generator is a blur.

Used by the tests of the pages only. Its "inversion" is a blur that sharpens with the steps.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from safetensors.numpy import load_file

from pipelines.latents import load_codes, only, save_codes

GENERATOR = hashlib.sha256(b"drawing").hexdigest()
METHODS = ("conventional", "domain-guided", "image2stylegan", "in-domain")


@dataclass(frozen=True)
class Step:
    stage: str
    index: int
    total: int
    loss: float
    images: list | None = None


@dataclass(frozen=True)
class Measures:
    psnr: float
    lpips: float
    identity: float
    inside: bool | None = None


@dataclass(frozen=True)
class Inversion:
    w: np.ndarray
    image: Image.Image
    method: str
    seconds: float
    losses: tuple = ()
    measures: Measures | None = None


@dataclass(frozen=True)
class Diffusion:
    stitched: list
    encoded: list
    images: list
    intermediate: list
    inversions: list
    losses: tuple
    seconds: float


@dataclass(frozen=True)
class Fidelity:
    blur: float
    words: str
    inside: bool


@dataclass
class FakeInDomain:
    """`seconds_a_step` slows a run down; `calls` and `steps_done` let a test look inside."""

    seconds_a_step: float = 0.0
    calls: list = field(default_factory=list)
    steps_done: int = 0
    fingerprint: str = GENERATOR

    def _run(self, images: list, steps: int, on_step):
        losses, way, shown = [], [], images
        for i in range(1, steps + 1):
            time.sleep(self.seconds_a_step)
            self.steps_done += 1
            losses.append(2.0 / i + 0.1)
            if on_step or i == steps or i % max(1, steps // 5) == 1:  # seen, or kept below
                shown = [p.filter(ImageFilter.GaussianBlur(3 * (1 - i / steps))) for p in images]
            way.append(shown)
            if on_step and on_step(Step("optimise", i, steps, losses[-1], shown)):
                break
        keep = way[:: max(1, len(way) // 5)][:5]
        return shown, tuple(losses), [list(row) for row in zip(*keep, strict=True)]

    def invert(self, image, *, method="in-domain", steps=100, on_step=None) -> Inversion:
        self.calls.append(("invert", method, steps))
        if method not in METHODS:
            raise ValueError(f"method must be one of {METHODS}; got {method!r}.")
        start, losses = time.perf_counter(), ()
        shown = [image.filter(ImageFilter.GaussianBlur(2))]
        if method in METHODS[2:]:
            shown, losses, _ = self._run([image], steps, on_step)
        measures = replace(self.measure(image, shown[0]), inside=self.inside([image])[0])
        seconds = time.perf_counter() - start
        return Inversion(_code(image), shown[0], method, seconds, losses, measures)

    def keep(self, path, inversions) -> Path:
        codes = {name: torch.from_numpy(inversion.w) for name, inversion in inversions.items()}
        return save_codes(path, codes, GENERATOR)

    def reopen(self, path) -> Inversion:
        w = only(load_codes(path, GENERATOR, (12, 512))).numpy()
        return self.placed(w)

    def placed(self, w, image=None) -> Inversion:
        self.calls.append(("placed",))
        shown = image or _picture(np.asarray(w))
        measures = image and replace(self.measure(image, shown), inside=True)
        return Inversion(np.asarray(w), shown, "given code", 0.01, (), measures)

    def read_codes(self, path) -> dict[str, Inversion]:
        codes = load_codes(path, self.fingerprint, (12, 512))
        return {name: self.placed(w.numpy()) for name, w in codes.items()}

    def restore(self, path, others) -> dict[str, Inversion]:
        self.calls.append(("restore", tuple(others)))
        codes = load_file(path)
        return {name: Inversion(w=codes[name], **fields) for name, fields in others.items()}

    def between(self, a, b, count=7) -> np.ndarray:
        return np.concatenate([a.w + i / (count - 1) * (b.w - a.w) for i in range(count)])

    def changed(self, inversion, changes) -> np.ndarray:
        return (inversion.w + sum(changes.values()) / 100).astype(np.float32)

    def mixed(self, content, style, layers=4) -> np.ndarray:
        return np.concatenate([content.w[:, : 12 - layers], style.w[:, 12 - layers :]], 1)

    def interpolate(self, a, b, count=7) -> list:
        return [Image.blend(a.image, b.image, i / (count - 1)) for i in range(count)]

    def manipulate(self, inversion, changes) -> Image.Image:
        self.calls.append(("manipulate", dict(changes)))
        image = inversion.image
        for change in changes.values():
            image = ImageEnhance.Brightness(image).enhance(1 + 0.3 * float(np.tanh(change)))
        return image

    def mix(self, content, style, layers=4) -> Image.Image:
        return Image.blend(content.image, style.image, layers / 12)

    def diffuse(self, target, contexts, box, *, method="in-domain", steps=100, on_step=None):
        self.calls.append(("diffuse", method, len(contexts), box))
        start = time.perf_counter()
        size = contexts[0].size
        left, top, right, bottom = (round(v * s) for v, s in zip(box, size * 2, strict=True))
        stitched = []
        for context in contexts:
            picture = context.copy()
            picture.paste(target.crop((left, top, right, bottom)), (left, top))
            stitched.append(picture)
        encoded = [p.filter(ImageFilter.GaussianBlur(4)) for p in stitched]
        images, losses, way = self._run(stitched, steps, on_step)
        seconds = time.perf_counter() - start
        inversions = [Inversion(_code(p), p, method, seconds, losses) for p in images]
        return Diffusion(stitched, encoded, images, way, inversions, losses, seconds)

    def measure(self, a, b) -> Measures:
        error = float(np.square(np.asarray(a, float) - np.asarray(b, float)).mean())
        psnr = 10 * math.log10(255**2 / error) if error else math.inf
        return Measures(psnr, min(1.0, error / 5000), 1 - min(1.0, error / 9000))

    def measure_within(self, a, b, box) -> tuple[Measures, Measures]:
        part = [round(v * side) for v, side in zip(box, a.size * 2, strict=True)]
        return self.measure(a.crop(part), b.crop(part)), self.measure(a, b)

    def inside(self, images) -> list[bool | None]:
        # A plain surface is no portrait.
        return [bool(np.asarray(image, float).std((0, 1)).max() >= 5) for image in images]

    def fidelity(self, image, inversion) -> Fidelity:
        return Fidelity(0.02, "close", inversion.measures.inside)


def _code(image: Image.Image) -> np.ndarray:
    return np.resize(np.asarray(image.resize((8, 8)), np.float32) / 255, (1, 12, 512))


def _picture(w: np.ndarray) -> Image.Image:
    """The picture that `_code` was made of, as far as a code of 8 x 8 pixels knows it."""
    pixels = w.ravel()[: 8 * 8 * 3].reshape(8, 8, 3)
    return Image.fromarray((pixels * 255).round().astype(np.uint8)).resize((128, 128))
