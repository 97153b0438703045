"""The figures of SAM inversion on portraits that no training saw, half of them hard to invert.

    python -m tests.benchmarks.sam_inversion [--count 48] [--quick] [--keep DIR] [--json FILE]
                                             [--figure FILE]

Table 4.1 in both regimes, on plain portraits, before sharp clutter, and with props, with PSNR and
LPIPS inside and outside of the props; quality against seconds (Fig. 4.1); the ablations (Figs. 3.2,
4.5, 4.6, 4.7, and segments by the renderer's truth instead of the parser); edits by attribute:
whether the judge reads the change that the renderer's own edit makes, and whether it still sees the
same person. A claim of the paper "holds" or "does not hold" by these numbers, and is "undecided"
where a mean difference over portraits is within two standard errors. Encoders that are not trained
are left out, and named.
--quick: 8 portraits, 3 steps: whether everything runs, no more. --keep: a folder for the pictures
of each portrait and method, from which an interrupted run goes on (see `kept`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from examples.clay.edits import EDITS
from examples.clay.parameters import draw, latent
from examples.clay.render import render
from pipelines.baselines import ENCODED, OPTIMISED
from pipelines.images import as_images
from pipelines.invertibility import segments_of
from pipelines.measures import psnr
from pipelines.sam_inversion import Inversion, SAMInversion
from pipelines.training import hard_portraits as hard
from pipelines.training.boundaries import judged
from pipelines.training.loop import to_tensor
from pipelines.training.threads import use_threads
from tests.benchmarks.claims import Claim, claim, said
from tests.benchmarks.figure import Drawn, draw_curves
from tests.benchmarks.indomain import means, table
from tests.benchmarks.kept import PIPELINES, Kept

OURS, ENCODER = "sam, optimised", "sam, encoded"
SOURCES = (
    "sam_inversion", "multilayer_projector", "multilayer_editor", "baselines", "invertibility",
    "latent_space", "boundary", "images",
)  # fmt: skip
EDITED = ("age", "smile", "light")  # attributes that no prop hides
STEPS, CURVE = 100, (10, 30, 100, 300)  # of optimisation; those of the curve
SINGLE = "{} alone"
NO_FEATURE, NO_REFINING = "no feature regularisation", "no refinement"
TRUE_SEGMENTS, CLASS_MAP = "true segments", "classes as the map"
HELD_BACK = "F4"  # latent of what is no face where classes are the map; the paper's cars: F6
COUNTS = 0.1  # share of an attribute's range from which on an edit counts
Row = dict[str, Tensor]


@dataclass
class Bench:
    """What every figure needs: the pipeline and portraits with what is staged in each."""

    pipeline: SAMInversion
    count: int
    quick: bool = False
    keep: Path | None = None
    few: int = 12  # portraits for the ablations and the curve

    def __post_init__(self) -> None:
        p = self.pipeline
        self.steps = 3 if self.quick else STEPS
        self.curve = (2, 3) if self.quick else CURVE
        self.portraits = hard.hard_portraits("test", range(self.count), p.size)
        self.x = to_tensor(self.portraits.images)
        self.images = as_images(self.x)
        networks = [p.generator, p.perceptual, p.encoder, p.predictor, p.parser, p.encoders]
        networks = [n for n in (*networks, *p.rivals.values()) if n is not None]
        sources = [PIPELINES / f"{name}.py" for name in SOURCES]
        self.kept = Kept(self.keep, networks, sources)
        self.edits = [name for name in EDITED if name in p.boundaries]
        self.truths = {name: self._truth(name) for name in self.edits}

    def _truth(self, name: str) -> tuple[np.ndarray, Float[Tensor, "n 2"]]:
        """The change asked of each portrait, its edit's full range towards where it is not, and
        the judge's reading of the renders before and after it."""
        edit, column = EDITS[name], list(EDITS).index(name)
        changes, after = [], []
        for i in range(self.count):
            z, staged = latent(hard.FIRST["test"] + i), hard.staging(i)
            p = draw(z, staged)
            middle = 0.0 if edit.high > 1 else 0.5
            changes.append(edit.low if edit.value(p) > middle else edit.high)
            after.append(draw(z, staged | edit.apply(p, changes[-1])))
        true = to_tensor(np.asarray(render(np.stack(after), self.pipeline.size)[0]))
        readings = [self.judge(x)[0][:, column] for x in (self.x, true)]
        return np.array(changes), torch.stack(readings, dim=1)

    @torch.no_grad()
    def judge(self, x: Float[Tensor, "n 3 h w"]) -> tuple[Tensor, Tensor]:
        """The judge's readings of EDITS, and its embeddings."""
        found = [self.pipeline.judge(part.to(self.pipeline.device)) for part in x.split(32)]
        return (
            torch.cat([judged(output).cpu() for output in found]),
            torch.cat([output.embedding.cpu() for output in found]),
        )

    def run(self, name: str, count: int, invert: Callable[[int], Inversion]) -> Row:
        """Pictures, edits and seconds of the first portraits by one way of inverting."""
        found = []
        for i in range(count):
            found.append(
                self.kept(f"{name} {i}".replace(" ", "-"), lambda i=i: self._one(i, invert))
            )
            print(".", end="", flush=True)
        return {key: torch.stack([piece[key] for piece in found]) for key in found[0]}

    def _one(self, i: int, invert: Callable[[int], Inversion]) -> dict[str, Tensor]:
        inversion = invert(i)
        edited = [
            self.pipeline.edit(inversion, name, float(self.truths[name][0][i]))
            for name in self.edits
        ]
        blank = np.zeros((0, *np.asarray(inversion.image).shape), np.uint8)
        pictures = np.stack([np.asarray(e) for e in edited]) if edited else blank
        return {
            "rebuilt": torch.from_numpy(np.array(inversion.image)),
            "edited": torch.from_numpy(pictures.copy()),
            "seconds": torch.tensor(inversion.seconds),
            "w+": torch.tensor(float((inversion.latent_map == 0).mean())),
        }

    @torch.no_grad()
    def figures(self, row: Row) -> dict[str, Tensor]:
        """What is measured of each portrait; NaN where it does not apply."""
        y, count = to_tensor(row["rebuilt"].numpy()), len(row["rebuilt"])
        x, props = self.x[:count], torch.from_numpy(self.portraits.props[:count])[:, None].float()
        device, distance = self.pipeline.device, self.pipeline.perceptual
        maps = torch.cat([
            distance(a.to(device), b.to(device), spatial=True).cpu()
            for a, b in zip(x.split(16), y.split(16), strict=True)
        ])  # fmt: skip
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

    def edit_figures(self, row: Row) -> dict[str, Tensor]:
        """For each portrait: share of edits that the judge reads as the renderer's, and how much
        it sees the same person after them; NaN where no edit counts."""
        count = len(row["rebuilt"])
        right, like = torch.full((2, len(self.edits), count), torch.nan)
        before = self.judge(self.x[:count])[1]
        for k, name in enumerate(self.edits):
            column = list(EDITS).index(name)
            seen, embedding = self.judge(to_tensor(row["edited"][:, k].numpy()))
            start, end = self.truths[name][1][:count].unbind(1)
            counts = (end - start).abs() > COUNTS * (EDITS[name].high - EDITS[name].low) / 2
            nearer = (seen[:, column] - end).abs() < (seen[:, column] - start).abs()
            right[k] = torch.where(counts, nearer.float(), torch.nan)
            like[k] = torch.where(counts, (embedding * before).sum(1), torch.nan)
        return {"edit right": right.nanmean(0), "identity after edit": like.nanmean(0)}


def ways(bench: Bench) -> dict[str, Callable[[int], Inversion]]:
    """Table 4.1: each method that this domain has the networks for."""
    p, images, steps = bench.pipeline, bench.images, bench.steps

    def rival(method: str) -> Callable[[int], Inversion]:
        return lambda i: p.baseline(images[i], method=method, steps=steps)

    found = {method: rival(method) for method in OPTIMISED}
    found[OURS] = lambda i: p.invert(images[i], steps=steps)
    found |= {method: rival(method) for method in ENCODED if method in p.rivals}
    if p.encoders is not None:
        found[ENCODER] = lambda i: p.encode(images[i])
    return found


def ablations(bench: Bench) -> dict[str, Callable[[int], Inversion]]:
    """What becomes of SAM without one of its parts, and with a better segmenter."""
    p, images, steps = bench.pipeline, bench.images, bench.steps
    classes = bench.portraits.classes

    def alone(index: int) -> Callable[[int], Inversion]:
        whole = np.full((p.size, p.size), index, np.uint8)
        return lambda i: p.invert(images[i], chosen=whole, steps=steps)

    def true_segments(i: int) -> Inversion:
        segments = segments_of(bench.x[i], classes[i].astype(int))
        return p.invert(images[i], maps=p.invertibility(images[i], segments=segments), steps=steps)

    def class_map(i: int) -> Inversion:
        face = (classes[i] > 0) & (classes[i] < hard.PROP_CLASS)
        rest = p.latents.index(HELD_BACK)
        return p.invert(images[i], chosen=np.where(face, 0, rest).astype(np.uint8), steps=steps)

    return {
        OURS: lambda i: p.invert(images[i], steps=steps),
        NO_FEATURE: lambda i: p.invert(images[i], regularise=False, steps=steps),
        NO_REFINING: lambda i: p.invert(
            images[i], maps=p.invertibility(images[i], refine=False), steps=steps
        ),
        TRUE_SEGMENTS: true_segments,
        CLASS_MAP: class_map,
        **{SINGLE.format(name): alone(k) for k, name in enumerate(p.latents)},
    }


def speed(bench: Bench) -> dict[str, list[tuple[float, float]]]:
    """(seconds, PSNR) of optimisations of more and more steps (Fig. 4.1)."""
    p, images = bench.pipeline, bench.images
    methods: dict[str, Callable[[int, int], Inversion]] = {
        OURS: lambda i, n: p.invert(images[i], steps=n),
        "w+": lambda i, n: p.baseline(images[i], method="w+", steps=n),
        "hybrid": lambda i, n: p.baseline(images[i], method="hybrid", steps=n),
        "pti": lambda i, n: p.baseline(images[i], method="pti", steps=n),
    }
    curves = {}
    for name, invert in methods.items():
        curve = []
        for n in bench.curve:
            row = bench.run(f"{name} {n} steps", bench.few, lambda i, n=n, go=invert: go(i, n))
            found = bench.figures(row)
            curve.append((found["seconds"].mean().item(), found["psnr"].mean().item()))
        curves[name] = curve
    return curves


def by_kind(bench: Bench, rows: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict]:
    """Means of each figure over the portraits of each kind, and over all."""
    kinds = torch.from_numpy(bench.portraits.kinds).long()
    found: dict[str, dict] = {}
    for k, kind in enumerate((*hard.KINDS, "all")):
        here = (kinds == k) | (kind == "all")
        if here.any():
            found[kind] = {
                name: {key: value[here[: len(value)]].nanmean() for key, value in row.items()}
                for name, row in rows.items()
            }
    return found


def hard_ones(bench: Bench, value: Tensor) -> Tensor:
    """A figure of the hard portraits alone."""
    kinds = torch.from_numpy(bench.portraits.kinds[: len(value)]).long()
    return value[kinds > 0]


def claims(bench: Bench, rows: dict, ablated: dict) -> Iterator[Claim]:
    """Each claim of the paper."""
    for regime, ours, others in (
        ("optimisation", OURS, OPTIMISED), ("an encoder", ENCODER, ENCODED)
    ):  # fmt: skip
        for other in others if ours in rows else ():
            if other in rows:
                text = f"SAM by {regime} rebuilds hard portraits better than {other}"
                for key, below in (("psnr", False), ("lpips", True)):
                    pair = (hard_ones(bench, rows[name][key]) for name in (ours, other))
                    yield claim(f"{text} ({key})", *pair, below=below)
    layers = [SINGLE.format(name) for name in bench.pipeline.latents]
    for early, late in zip(layers[:-1], layers[1:], strict=True):
        text = f"{late} rebuilds better than {early} (Fig. 3.2)"
        yield claim(text, ablated[late]["psnr"], ablated[early]["psnr"])
    for text, key, better, worse in (
        (f"{layers[0]} is edited better than {layers[-1]} (Fig. 3.2)", "edit right", layers[0],
         layers[-1]),
        ("feature regularisation helps edits (Fig. 4.5)", "edit right", OURS, NO_FEATURE),
        ("feature regularisation keeps the person (Fig. 4.5)", "identity after edit", OURS,
         NO_FEATURE),
        ("refinement keeps the person in edits (Fig. 4.6)", "identity after edit", OURS,
         NO_REFINING),
        ("the predicted map rebuilds better than classes (Fig. 4.7)", "psnr", OURS, CLASS_MAP),
        ("true segments rebuild better than parser and superpixels", "psnr", TRUE_SEGMENTS, OURS),
    ):  # fmt: skip
        yield claim(text, ablated[better][key], ablated[worse][key])


def measured(bench: Bench, ways: Mapping[str, Callable], count: int) -> dict[str, dict]:
    """All figures of each portrait by each way of inverting."""
    rows = {}
    for name, invert in ways.items():
        row = bench.run(name, count, invert)
        rows[name] = bench.figures(row) | (bench.edit_figures(row) if bench.edits else {})
    return rows


def map_seconds(bench: Bench) -> dict[str, float]:
    """Median seconds of a map of errors, and of its map of latents at another tau."""
    from time import perf_counter as now

    from pipelines.invertibility import latent_map

    slow, fast = [], []
    for image in bench.images[:5]:
        start = now()
        maps = bench.pipeline.invertibility(image)
        middle = now()
        latent_map(maps, 0.5)
        slow.append(middle - start)
        fast.append(now() - middle)
    return {"map": float(np.median(slow)), "another tau": float(np.median(fast))}


def report(bench: Bench) -> dict[str, object]:
    """Measure everything, print it, return it."""
    lacking = [name for name in ENCODED if name not in bench.pipeline.rivals]
    lacking += [] if bench.pipeline.encoders is not None else [ENCODER]
    rows = measured(bench, ways(bench), bench.count)
    ablated = measured(bench, ablations(bench), min(bench.few, bench.count))
    curves, seconds = speed(bench), map_seconds(bench)
    kinds = by_kind(bench, rows)
    for kind, found in kinds.items():
        print(f"\n\n{kind}\n{table(means(found))}")
    print(f"\nAblations, {min(bench.few, bench.count)} portraits\n{table(_known(ablated))}")
    print("\nQuality against seconds: (seconds, PSNR) for steps", *bench.curve)
    for name, curve in curves.items():
        print(f"{name:18}", *(f"({a:.2f}, {b:.2f})" for a, b in curve))
    print("\nSeconds:", ", ".join(f"{name} {value:.3f}" for name, value in seconds.items()), "\n")
    if lacking:
        print("Not trained, hence left out:", ", ".join(lacking))
    if bench.quick:
        print(f"--quick: {bench.count} portraits, {bench.steps} steps: this only ran it all.")
    found = list(claims(bench, rows, ablated))
    print(*found, sep="\n")
    return {
        "portraits": bench.count, "steps": bench.steps, "left out": lacking,
        "table": {kind: means(found) for kind, found in kinds.items()},
        "ablations": _known(ablated), "curves": curves, "seconds": seconds, "claims": said(found),
    }  # fmt: skip


def _known(rows: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, float]]:
    return {name: {k: v.nanmean().item() for k, v in row.items()} for name, row in rows.items()}


def curves(found: Mapping[str, Any]) -> Drawn:
    """Quality against seconds (Fig. 4.1)."""
    return found["curves"], "seconds", "PSNR [dB]"


def main() -> None:
    """Print the figures; write them to --json as well, and the curves to --figure."""
    parser = argparse.ArgumentParser(description="Figures of SAM inversion.")
    parser.add_argument("--count", type=int, default=48, help="test portraits, half of them hard")
    parser.add_argument("--few", type=int, default=12, help="of them, for ablations and the curve")
    parser.add_argument("--quick", action="store_true", help="8 portraits: only whether it runs")
    parser.add_argument("--device", help="cpu or cuda:0; a GPU where there is one by default")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--keep", type=Path, help="go on from what is kept in this folder")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--figure", type=Path, help="draw quality against seconds here, PNG")
    arg = parser.parse_args()
    use_threads(arg.threads)
    pipeline = SAMInversion.from_pretrained(device=arg.device)
    count, few = (8, 2) if arg.quick else (arg.count, arg.few)
    figures = report(Bench(pipeline, count, arg.quick, arg.keep, few))
    if arg.json:
        arg.json.write_text(json.dumps(figures, indent=2) + "\n")
    if arg.figure:
        picture: Image.Image = draw_curves(*curves(figures))
        picture.save(arg.figure)


if __name__ == "__main__":
    main()
