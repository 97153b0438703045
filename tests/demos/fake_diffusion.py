"""A pipeline with the interface of `pipelines.diffusion_inversion.DiffusionInversion`, without
networks.

Used by the tests of the pages only. Its "picture" is its condition, softened and tinted by the
prompt; its attention to a word is a spot whose place the word decides.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps

from pipelines.conditions import Condition
from pipelines.latents import load_codes, only, save_codes
from tests.demos.fake_pipeline import GENERATOR, FakeInDomain, Measures, Step

WAY = tuple(range(999, 0, -50))  # of DDIM in 20 steps
LAYERS, SIDE = 12, 16
STYLES = ("bronze", "marble", "watercolour", "drawing")
TINTS = {"bronze": "#a8703e", "marble": "#e2ddd3", "watercolour": "#9fc0d0", "drawing": "#f4f0e6"}


@dataclass(frozen=True, eq=False)
class Reading:
    w: np.ndarray
    mapped: np.ndarray
    image: Image.Image
    t: int
    words: tuple
    maps: np.ndarray
    average: np.ndarray
    refined: np.ndarray
    calls: int
    seconds: float

    @property
    def sizes(self) -> dict:
        layers = np.arange(1, LAYERS + 1)
        return {
            "mapped": (0.2 * layers).tolist(), "gamma": [1.0] * LAYERS,
            "beta": (1 / layers).tolist(),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Denoised:
    image: Image.Image
    calls: int
    seconds: float


@dataclass
class FakeDiffusion:
    """`seconds_a_call` slows the U-Net down; `calls` and `made` let a test look inside."""

    seconds_a_call: float = 0.0
    size: int = 128
    fingerprint: str = GENERATOR
    parser: object | None = None
    tracer: str = "canny"
    styles: dict = field(default_factory=lambda: dict.fromkeys(STYLES))
    calls: list = field(default_factory=list)
    made: int = 0

    def condition(self, task, given, palette=None) -> Condition:
        return Condition.of(task, given, palette)

    def traced(self, picture, side=128) -> np.ndarray:
        return Condition.scribble_of(picture, side).pixels[..., 0] > 0

    def parsed(self, picture, side=128) -> np.ndarray:
        """Skin where it is dark."""
        self.calls.append(("parsed",))
        grey = picture.convert("L").resize((side, side), Image.Resampling.BOX)
        return (np.asarray(grey) < 128).astype(np.uint8)

    def agreement(self, picture, task, given) -> float:
        return float(given.mean() / 20)

    def seen(self, picture) -> dict:
        return {"hair_color": "red"}

    def read(
        self, prompt, condition, *, t=None, seed=0, strength=1.0, attentive=True, style=None,
        on_step=None,
    ) -> Reading:  # fmt: skip
        if style is not None:
            return self._styled(prompt, condition, style, t=t, seed=seed, strength=strength)
        self.calls.append(("read", prompt, condition.task, t, seed, strength, attentive))
        start = time.perf_counter()
        nearest = 0 if t is None else min(range(len(WAY)), key=lambda i: abs(WAY[i] - t))
        for i in range(1, nearest + 2):
            self._call()
            if i <= nearest and on_step and on_step(Step("denoise", i, nearest, None)):
                raise InterruptedError("stopped before the step that was to be read")
        words = tuple(prompt.replace(",", " ").split())[:20]
        maps = np.stack([_spot(word) for word in words]) if words else np.zeros((0, SIDE, SIDE))
        average = maps.mean(0) if words else np.zeros((SIDE, SIDE))
        image = _drawn(prompt, condition, seed, 1.5 if attentive else 4)
        w = np.resize(np.asarray(image.resize((8, 8)), np.float32) / 255, (1, LAYERS, 512))
        return Reading(
            w, 0.8 * w, image, WAY[nearest], words, maps, average,
            np.stack([_spot(f"block {i}") for i in range(3)]), nearest + 1,
            time.perf_counter() - start,
        )  # fmt: skip

    def denoise(
        self, prompt, condition, *, steps=20, seed=0, strength=1.0, image_every=5, on_step=None
    ) -> Denoised:
        self.calls.append(("denoise", prompt, condition.task, steps, seed, strength))
        start, last = time.perf_counter(), _drawn(prompt, condition, seed + 1, 2)
        noise = Image.fromarray(
            np.random.default_rng(seed).integers(0, 256, (self.size, self.size, 3), np.uint8)
        )
        for i in range(1, steps + 1):
            self._call()
            shown = [Image.blend(noise, last, i / steps)] if i % image_every == 0 else None
            if on_step and on_step(Step("denoise", i, steps, None, shown)):
                break
        return Denoised(Image.blend(noise, last, i / steps), i, time.perf_counter() - start)

    def redraw(self, reading, *, mapped_only=False, keep=1.0) -> Reading:
        self.calls.append(("redraw", mapped_only, keep))
        blurred = reading.image.filter(ImageFilter.GaussianBlur(5))
        share = 0.0 if mapped_only else keep
        w = reading.mapped + share * (reading.w - reading.mapped)
        return replace(reading, w=w, image=Image.blend(blurred, reading.image, share))

    def _styled(self, prompt, condition, style, **options) -> Reading:
        self.calls.append(("style", style))
        if style not in self.styles:
            raise ValueError(f"style must be one of {', '.join(self.styles)}; got {style!r}.")
        read = self.read(prompt, condition, **options)
        tinted = ImageOps.colorize(read.image.convert("L"), "#201c18", TINTS[style])
        return replace(read, image=tinted)

    def measure(self, a, b) -> Measures:
        return FakeInDomain().measure(a, b)

    def keep(self, path, results) -> Path:
        codes = {name: torch.from_numpy(np.asarray(r.w)) for name, r in results.items()}
        return save_codes(path, codes, self.fingerprint)

    def read_codes(self, path) -> dict:
        codes = load_codes(path, self.fingerprint, (LAYERS, 512))
        return {name: self.drawn(w) for name, w in codes.items()}

    def reopen(self, path) -> SimpleNamespace:
        return self.drawn(only(load_codes(path, self.fingerprint, (LAYERS, 512))))

    def drawn(self, w) -> SimpleNamespace:
        self.calls.append(("drawn",))
        w = np.asarray(w)
        small = (255 * w.ravel()[:192].reshape(8, 8, 3)).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(small).resize((self.size,) * 2, Image.Resampling.BICUBIC)
        return SimpleNamespace(w=w, image=image, seconds=0.01)

    def _call(self) -> None:
        time.sleep(self.seconds_a_call)
        self.made += 1


def _spot(word: str) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] / (SIDE - 1)
    number = zlib.crc32(word.encode())
    down, right = 0.2 + 0.6 * (number % 97) / 96, 0.2 + 0.6 * (number // 97 % 89) / 88
    return np.exp(-((y - down) ** 2 + (x - right) ** 2) / 0.04)


def _drawn(prompt: str, condition: Condition, seed: int, blur: float) -> Image.Image:
    tint = np.random.default_rng(zlib.crc32(f"{prompt}{seed}".encode())).uniform(0.6, 1.2, 3)
    pixels = np.asarray(Image.fromarray(condition.pixels).resize((128, 128)), float)
    shown = (0.85 * pixels * tint + 20).clip(0, 255).astype(np.uint8)
    return Image.fromarray(shown).filter(ImageFilter.GaussianBlur(blur))
