"""What every figure of SAM inversion needs: hard test portraits, inverted and edited in pieces, and
what is measured of each.

Symbols: x, a portrait; y, what an inversion rebuilds; s, the strength of an edit as a share of the
renderer's own; n portraits, e attributes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from examples.clay.edits import EDITS
from examples.clay.parameters import draw, latent
from examples.clay.render import render
from pipelines.baselines import BASELINES
from pipelines.images import as_images
from pipelines.measures import psnr
from pipelines.sam_inversion import Inversion, SAMInversion
from pipelines.training import hard_portraits as hard
from pipelines.training.boundaries import judged
from pipelines.training.loop import to_tensor
from pipelines.training.sharding import here
from tests.benchmarks.kept import PIPELINES, Kept

SOURCES = (
    "sam_inversion", "multilayer_projector", "multilayer_editor", "baselines", "invertibility",
    "latent_space", "boundary", "images",
)  # fmt: skip
EDITED = ("age", "smile", "light")  # attributes that no prop hides
STRENGTHS = (0.25, 0.5, 1.0)
STEPS, CURVE = 20, (10, 30, 100)  # of optimisation; those of the curve
COUNTS = 0.1  # share of an attribute's range from which on the renderer's own edit counts
UNCHANGED = 2  # grey levels that the renderer's edit may change where nothing should
REGION = 0.05  # share of a picture from which on the rest of it is measured
OURS, ENCODER = "sam, optimised", "sam, encoded"
Row = dict[str, Tensor]
Invert = Callable[[int], Inversion]


def numbers(count: int) -> list[int]:
    """Portraits of which `count` are plain, `count` before sharp clutter and `count` with a prop.

    Half of the latter two are the same: before clutter, with a prop.
    """
    left = dict.fromkeys(hard.KINDS, -(-count // 2)) | {hard.KINDS[0]: count}
    found, index = [], 0
    while any(left.values()):
        if left[hard.kind_of(index)]:
            left[hard.kind_of(index)] -= 1
            found.append(index)
        index += 1
    return found


@dataclass
class Bench:
    """The pipeline, and portraits with what is staged in each, `count` a kind.

    few: portraits of the ablations and of the curve; edited: those of the table that are edited.
    """

    pipeline: SAMInversion
    count: int = 100
    quick: bool = False
    keep: Path | None = None
    few: int = 10
    edited: int = 60
    steps: int = STEPS

    def __post_init__(self) -> None:
        p = self.pipeline
        self.shard = here()
        if self.keep is None and self.shard.count > 1:
            raise ValueError("keep must be a folder where processes share the work; got none.")
        if self.quick:
            self.count, self.few, self.edited, self.steps = 3, 2, 4, 3
        self.curve = (2, 3) if self.quick else CURVE
        self.numbers = numbers(self.count)
        self.portraits = hard.hard_portraits("test", self.numbers, p.size)
        self.x = to_tensor(self.portraits.images)
        self.images = as_images(self.x)
        self._kept: dict[str, Kept] = {}
        self.edits = [name for name in EDITED if name in p.boundaries]
        self.truths = {name: self._truth(name) for name in self.edits}

    def __len__(self) -> int:
        return len(self.numbers)

    def _truth(self, name: str) -> Truth:
        edit, column, first = EDITS[name], list(EDITS).index(name), self.numbers[: self.edited]
        changes, after = [], []
        for i in first:
            z, staged = latent(hard.FIRST["test"] + i), hard.staging(i)
            p = draw(z, staged)
            middle = 0.0 if edit.high > 1 else 0.5
            changes.append(edit.low if edit.value(p) > middle else edit.high)
            after.append(draw(z, staged | edit.apply(p, changes[-1])))
        true = np.asarray(render(np.stack(after), self.pipeline.size)[0])
        x, own = to_tensor(true), self.portraits.images[: len(first)].astype(int)
        away = np.abs(true.astype(int) - own).max(-1)
        readings = [self.judge(part)[0][:, column] for part in (self.x[: len(first)], x)]
        changed = torch.from_numpy(away > UNCHANGED)
        return Truth(np.array(changes), x, changed, torch.stack(readings, 1))

    @torch.no_grad()
    def judge(self, x: Float[Tensor, "n 3 h w"]) -> tuple[Tensor, Tensor]:
        """The judge's readings of EDITS, and its embeddings."""
        found = [self.pipeline.judge(part.to(self.pipeline.device)) for part in x.split(32)]
        return (
            torch.cat([judged(output).cpu() for output in found]),
            torch.cat([output.embedding.cpu() for output in found]),
        )

    @torch.no_grad()
    def distance(self, x: Tensor, y: Tensor) -> Float[Tensor, "n 1 h w"]:
        """LPIPS a pixel."""
        device, pairs = self.pipeline.device, zip(x.split(16), y.split(16), strict=True)
        return torch.cat([
            self.pipeline.perceptual(a.to(device), b.to(device), spatial=True).cpu()
            for a, b in pairs
        ])  # fmt: skip

    # ---- pieces ----------------------------------------------------------------------------------

    def kept(self, name: str) -> Kept:
        """The pieces of a way of inverting, which the encoders of others do not touch."""
        if name not in self._kept:
            p = self.pipeline
            networks = [p.generator, p.perceptual, p.encoder, p.predictor, p.parser]
            networks.append(p.rivals.get(name) if name in BASELINES else p.encoders)
            sources = [PIPELINES / f"{source}.py" for source in SOURCES]
            self._kept[name] = Kept(self.keep, [n for n in networks if n is not None], sources)
        return self._kept[name]

    def run(self, name: str, count: int, invert: Invert, edited: int = 0, how: str = "") -> Row:
        """Pictures and seconds of the first portraits by one way of inverting, and edits of the
        first `edited` of them. how: besides, for the names of pieces. Processes of `shard` wait for
        each other."""
        edited = min(edited, count) if self.edits else 0
        how = how or f"{self.steps} steps"

        def piece(i: int) -> Row:
            label = f"{name} {how} {self.numbers[i]} {'edited' if i < edited else 'alone'}"
            make = functools.partial(self._one, i, invert, edited)
            return dict(self.kept(name)(label.replace(" ", "-"), make))

        own = {i: piece(i) for i in self.shard.part(range(count))}
        self.shard.gather([])  # all are made
        found = [own[i] if i in own else piece(i) for i in range(count)]
        print(".", end="", flush=True)
        keys = [key for key in found[0] if key != "edited"]
        row = {key: torch.stack([each[key] for each in found]) for key in keys}
        if edited:
            row["edited"] = torch.stack([each["edited"] for each in found[:edited]])
        return row

    def _one(self, i: int, invert: Invert, edited: int) -> Row:
        inversion = invert(i)
        row = {
            "rebuilt": torch.from_numpy(np.array(inversion.image)),
            "seconds": torch.tensor(inversion.seconds),
            "w+": torch.tensor(float((inversion.latent_map == 0).mean())),
        }
        if i < edited:
            pictures = [
                np.asarray(self.pipeline.edit(inversion, name, s * float(truth.changes[i])))
                for name, truth in self.truths.items()
                for s in STRENGTHS
            ]
            pixels = torch.from_numpy(np.stack(pictures))
            row["edited"] = pixels.unflatten(0, (len(self.truths), len(STRENGTHS)))
        return row

    # ---- figures ---------------------------------------------------------------------------------

    @torch.no_grad()
    def figures(self, row: Row) -> Row:
        """What is measured of each portrait; NaN where it does not apply."""
        y, count = to_tensor(row["rebuilt"].numpy()), len(row["rebuilt"])
        x, props = self.x[:count], torch.from_numpy(self.portraits.props[:count])[:, None].float()
        maps = self.distance(x, y)
        size = props.sum((1, 2, 3))
        nan = torch.where(size > 0, 0.0, torch.nan)
        within = {"inside": props, "outside": 1 - props}
        return {
            "psnr": psnr(x, y), "lpips": maps.mean((1, 2, 3)),
            **{f"psnr {k}": psnr(x, y, m) + nan for k, m in within.items()},
            **{f"lpips {k}": (maps * m).sum((1, 2, 3)) / m.sum((1, 2, 3)) + nan
               for k, m in within.items()},
            "seconds": row["seconds"], "share of w+": row["w+"],
        }  # fmt: skip

    def edit_figures(self, row: Row) -> Row:
        """Of each edited portrait, attribute and strength, (n, e, s): whether the judge reads the
        edit as the renderer's, how much it sees the same person, PSNR to the portrait where the
        renderer's edit changes nothing, and LPIPS to the renderer's edit. NaN where none counts."""
        pixels = row["edited"]
        n = len(pixels)
        before = self.judge(self.x[:n])[1]
        shape = pixels.shape[:3]
        right, person, outside, true = (torch.full(shape, torch.nan) for _ in range(4))
        for e, (name, truth) in enumerate(self.truths.items()):
            column, unit = list(EDITS).index(name), EDITS[name].high - EDITS[name].low
            start, end = truth.readings[:n].unbind(1)
            counts = (end - start).abs() > COUNTS * unit / 2
            changed = truth.changed[:n]
            apart = torch.where((~changed).float().mean((1, 2)) > REGION, 0.0, torch.nan)
            for s in range(len(STRENGTHS)):
                y = to_tensor(pixels[:, e, s].numpy())
                seen, embedding = self.judge(y)
                nearer = (seen[:, column] - end).abs() < (seen[:, column] - start).abs()
                found = (
                    nearer.float(),
                    (embedding * before).sum(1),
                    psnr(self.x[:n], y, (~changed).float()[:, None]) + apart,
                    self.distance(truth.x[:n], y).mean((1, 2, 3)),
                )
                for figure, values in zip((right, person, outside, true), found, strict=True):
                    figure[:, e, s] = torch.where(counts, values, torch.nan)
        return {"right": right, "identity": person, "outside": outside, "to the true edit": true}


@dataclass(frozen=True, eq=False)
class Truth:
    """The renderer's own edit of each portrait: the change asked for, the picture, the pixels that
    it changes, and the judge's reading of the attribute before and after."""

    changes: np.ndarray
    x: Float[Tensor, "n 3 h w"]
    changed: Bool[Tensor, "n h w"]
    readings: Float[Tensor, "n 2"]


def at_equal_success(edited: Mapping[str, Row]) -> dict[str, Row]:
    """The figures of every method's edits at the strength at which all succeed equally often.

    That share is the least that a method reaches at full strength. Between strengths figures are
    interpolated; a method that reaches it at the least strength already is taken there.
    """
    strengths = torch.tensor(STRENGTHS)
    reached = {name: row["right"].nanmean((0, 1)) for name, row in edited.items()}
    level = min(share[-1].item() for share in reached.values())
    found = {}
    for name, row in edited.items():
        place = crossing(reached[name].tolist(), level)
        low, part = int(place), place - int(place)
        high = min(low + 1, len(strengths) - 1)

        def between(values: Tensor, low=low, high=high, part=part) -> Tensor:
            each = (1 - part) * values[..., low] + part * values[..., high]
            return each.nanmean(1)

        found[name] = {
            "strength": torch.lerp(strengths[low], strengths[high], part)[None],
            **{key: between(values) for key, values in row.items()},
        }
    return found


def crossing(shares: Sequence[float], level: float) -> float:
    """Where shares first reach a level, as an index between them; the last, if they never do."""
    for i, share in enumerate(shares):
        if share >= level:
            before = shares[i - 1]
            return float(i) if i == 0 else i - 1 + (level - before) / (share - before)
    return float(len(shares) - 1)
