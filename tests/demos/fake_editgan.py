"""A pipeline with the interface of `pipelines.editgan.EditGAN` whose generator is a drawing.

Used by the tests of the pages only. A code holds, for each part, by how many pixels it is grown;
the mask is a drawn face with its parts so grown, and the picture is tinted where the mask differs.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from examples.clay.parts import PART_PALETTE, PARTS
from pipelines.editing_vector import EditingVector
from pipelines.latents import load_codes, only, save_codes

SIDE, LAYERS, WIDTH = 128, 12, 512
DOMAIN, GENERATOR = "clay-heads", hashlib.sha256(b"drawing").hexdigest()
# part: centre x, y and radii of an ellipse; later ones lie above
FACE = {
    "hair": (64, 56, 40, 46), "clothing": (64, 122, 52, 20), "neck": (64, 104, 14, 20),
    "skin": (64, 64, 30, 40), "left sclera": (52, 54, 6, 4), "right sclera": (76, 54, 6, 4),
    "left iris": (52, 54, 3, 3), "right iris": (76, 54, 3, 3), "nose tip": (64, 70, 5, 5),
    "upper lip": (64, 84, 11, 3), "lower lip": (64, 89, 10, 4),
}  # fmt: skip
FIXED = ("background", "skin")


@dataclass(frozen=True)
class Step:
    stage: str
    index: int
    total: int
    loss: float | None
    images: list | None = None


@dataclass(frozen=True, eq=False)
class Embedding:
    w: torch.Tensor
    image: Image.Image
    mask: np.ndarray
    source: Image.Image
    losses: tuple
    seconds: float
    measures: SimpleNamespace


@dataclass(frozen=True, eq=False)
class Edit:
    vector: EditingVector
    w: torch.Tensor
    image: Image.Image
    mask: np.ndarray
    region: np.ndarray
    losses: tuple
    seconds: float

    def go_on(self, embedding: Embedding) -> Embedding:
        return replace(embedding, w=self.w, image=self.image, mask=self.mask)


def face(growth: np.ndarray | None = None) -> np.ndarray:
    """The drawn mask, each part grown by so many pixels."""
    y, x = np.mgrid[:SIDE, :SIDE]
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for part, (cx, cy, rx, ry) in FACE.items():
        label = PARTS.index(part)
        more = 0.0 if growth is None or part in FIXED else float(growth[label])
        rx, ry = max(rx + more, 0.1), max(ry + more, 0.1)
        mask[((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1] = label
    return mask


def vector(name: str, seed: int | None = None, **growth: float) -> EditingVector:
    """A vector that grows parts, named with underscores, by so many pixels."""
    delta = torch.zeros(LAYERS, WIDTH)
    parts = tuple(part.replace("_", " ") for part in growth)
    for part, pixels in zip(parts, growth.values(), strict=True):
        delta[0, PARTS.index(part)] = pixels
    picture = Image.new("RGB", (128, 64), "#caa58c")
    success = None if seed is None else {"success": 0.83, "median share": 0.9, "portraits": 64}
    return EditingVector(name, delta, parts, DOMAIN, GENERATOR, seed, picture, success)


@dataclass
class FakeEditGAN:
    """`seconds_a_step` slows a run down; `calls` and `steps_done` let a test look inside."""

    seconds_a_step: float = 0.0
    calls: list = field(default_factory=list)
    steps_done: int = 0
    parts: tuple = PARTS
    palette: np.ndarray = field(default_factory=lambda: PART_PALETTE)
    fingerprint: str = GENERATOR
    library: dict = field(
        default_factory=lambda: {
            "smile": vector("smile", 7, upper_lip=2.0, lower_lip=2.0),
            "bigger eyes": vector("bigger eyes", 7, left_sclera=3.0, right_sclera=3.0),
        }
    )

    def embed(self, image, *, steps=100, on_step=None) -> Embedding:
        start, w = time.perf_counter(), torch.zeros(1, LAYERS, WIDTH)
        losses = self._run("embed", [image], steps, on_step)
        seconds = time.perf_counter() - start
        measures = SimpleNamespace(psnr=math.inf, lpips=0.31, identity=1.0)
        return Embedding(w, image, face(), image, losses, seconds, measures)

    def sample(self, seed) -> Embedding:
        self.calls.append(("sample", seed))
        w = torch.zeros(1, LAYERS, WIDTH)
        w[0, 0, PARTS.index("nose tip")] = 1 + seed % 3
        colours = PART_PALETTE[face(w[0, 0].numpy())]
        return replace(self.placed(w, Image.fromarray(colours)), losses=())

    def edit(self, embedding, mask, *, q_edit=None, steps=100, on_step=None) -> Edit:
        mask = self.check_mask(mask)
        changed = self.changed_parts(embedding.mask, mask)
        if not changed:
            raise ValueError("mask must differ from the picture's own; got no change. Paint first.")
        self.calls.append(("edit", tuple(q_edit or changed), steps))
        q_edit = tuple(q_edit or changed)
        before = embedding.w[0, 0].numpy()
        delta = torch.zeros(LAYERS, WIDTH)
        for part in set(q_edit) - set(FIXED):
            delta[0, PARTS.index(part)] = _growth(part, before, mask)
        losses = self._run("edit", [embedding.image], steps, on_step)
        return self._edited(embedding, delta, q_edit, losses)

    def apply(self, embedding, vectors: Sequence, *, on_step=None) -> Edit:
        self.calls.append(("apply", tuple((v.name, scale) for v, scale in vectors)))
        edit = self._edited(embedding, self._sum(vectors), self._parts(vectors), ())
        if on_step is not None:
            on_step(Step("apply", 0, 1, None, [edit.image]))
        return edit

    def refine(self, embedding, vectors: Sequence, *, steps=30, on_step=None) -> Edit:
        self.calls.append(("refine", tuple((v.name, scale) for v, scale in vectors), steps))
        losses = self._run("refine", [embedding.image], steps, on_step)
        delta = self._sum(vectors).clone()
        delta[1, 0] += 0.5  # what refinement adds: nothing to be seen
        return self._edited(embedding, delta, self._parts(vectors), losses)

    def restore(self, path, embedding, edit, q_edit) -> tuple[Embedding, Edit]:
        codes = load_codes(path, self.fingerprint, (LAYERS, WIDTH))
        delta = (codes["edited"] - codes["embedding"])[0]
        vector = EditingVector("untitled edit", delta, tuple(q_edit), DOMAIN, self.fingerprint)
        start = Embedding(w=codes["embedding"], **embedding)
        return start, Edit(vector=vector, w=codes["edited"], **edit)

    def placed(self, w, image=None) -> Embedding:
        self.calls.append(("placed",))
        w = torch.as_tensor(w)
        image = image or Image.new("RGB", (SIDE, SIDE), "#caa58c")
        measures = SimpleNamespace(psnr=math.inf, lpips=0.31, identity=1.0)
        return Embedding(w, image, face(w[0, 0].numpy()), image, (), 0.01, measures)

    def read_codes(self, path) -> dict[str, Embedding]:
        codes = load_codes(path, self.fingerprint, (LAYERS, WIDTH))
        return {name: self.placed(w) for name, w in codes.items()}

    def keep(self, path, results) -> Path:
        return save_codes(path, {name: r.w for name, r in results.items()}, self.fingerprint)

    def reopen(self, path) -> Embedding:
        return self.placed(only(load_codes(path, self.fingerprint, (LAYERS, WIDTH))))

    def measure(self, a, b) -> SimpleNamespace:
        error = float(np.square(np.asarray(a, float) - np.asarray(b, float)).mean())
        psnr = 10 * math.log10(255**2 / error) if error else math.inf
        return SimpleNamespace(psnr=psnr, lpips=0.31, identity=1 - min(1.0, error / 9000))

    def changed_parts(self, before, after) -> tuple:
        before, after = self.check_mask(before), self.check_mask(after)
        area = np.bincount(np.stack([before, after]).ravel(), minlength=len(PARTS))
        pairs = np.unique(np.stack([before, after])[:, before != after], axis=1).T.tolist()
        chosen = {min(pair, key=lambda label: (area[label], label)) for pair in pairs}
        return tuple(PARTS[label] for label in sorted(chosen))

    def region(self, before, after, q_edit) -> np.ndarray:
        labels = [PARTS.index(part) for part in q_edit]
        return np.isin(before, labels) | np.isin(after, labels)

    def read_vector(self, path) -> EditingVector:
        found = EditingVector.load(path)
        for what, expected, got in (
            ("domain", DOMAIN, found.domain),
            ("generator", GENERATOR, found.generator),
        ):
            if expected != got:
                raise ValueError(f"{found.name}: editing vector must be for {what} {expected}.")
        return found

    def check_mask(self, mask) -> np.ndarray:
        if mask.shape != (SIDE, SIDE):
            raise ValueError(f"mask must be {SIDE} x {SIDE} pixels; got shape {mask.shape}.")
        if mask.max() >= len(PARTS):
            raise ValueError(f"mask must hold labels 0 to {len(PARTS) - 1}; got {mask.max()}.")
        if not mask.any():
            raise ValueError("mask must show a part; got background alone. Paint one.")
        return mask

    def _run(self, stage: str, images: list, steps: int, on_step) -> tuple:
        losses = []
        for i in range(1, steps + 1):
            time.sleep(self.seconds_a_step)
            self.steps_done += 1
            losses.append(2.0 / i + 0.1)
            if on_step and on_step(Step(stage, i, steps, losses[-1], images)):
                break
        return tuple(losses)

    def _edited(self, embedding, delta, q_edit, losses) -> Edit:
        w = embedding.w + delta
        mask = face(w[0, 0].numpy())
        pixels = np.asarray(embedding.source.convert("RGB").resize((SIDE, SIDE))).copy()
        moved = mask != face()
        pixels[moved] = self.palette[mask[moved]]
        change = EditingVector("untitled edit", delta, q_edit, DOMAIN, GENERATOR)
        region = self.region(embedding.mask, mask, q_edit)
        return Edit(change, w, Image.fromarray(pixels), mask, region, losses, 0.01)

    def _sum(self, vectors: Sequence) -> torch.Tensor:
        return sum((scale * v.delta for v, scale in vectors), torch.zeros(LAYERS, WIDTH))

    def _parts(self, vectors: Sequence) -> tuple:
        return tuple(dict.fromkeys(part for v, _ in vectors for part in v.q_edit))


def _growth(part: str, before: np.ndarray, mask: np.ndarray) -> float:
    """The growth of a part that comes nearest to a painted mask."""

    def wrong(pixels: float) -> int:
        growth = before.copy()
        growth[PARTS.index(part)] += pixels
        label = PARTS.index(part)
        return int(((face(growth) == label) != (mask == label)).sum())

    return min(np.arange(-4, 8.5, 0.5), key=lambda pixels: (wrong(pixels), abs(pixels)))
