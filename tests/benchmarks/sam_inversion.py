"""The figures of SAM inversion on portraits that no training saw, most of them hard to invert.

    python -m tests.benchmarks.sam_inversion [--count 100] [--steps 20] [--quick] [--keep DIR]
                                             [--json FILE] [--figure FILE]

Table 4.1 in both regimes, on `count` plain portraits, `count` before sharp clutter and `count` with
props (half of them before clutter), with PSNR and LPIPS inside and outside of the props; quality
against seconds (Fig. 4.1); the ablations (Figs. 3.2, 4.5, 4.6, 4.7, and segments by the renderer's
truth instead of the parser); edits by attribute, each at the strength at which all methods succeed
equally often: whether the judge still sees the same person, what stays as it was where the
renderer's own edit changes nothing, and how far the picture is from the true edit. A claim of the
paper "holds" or "does not hold" by these numbers, and is "undecided" where a mean difference over
portraits is within two standard errors. Encoders that are not trained are left out, and named.
--quick: few portraits, 3 steps: whether everything runs, no more. --keep: a folder for the pictures
of each portrait and method, from which an interrupted run goes on (see `kept`). Under `accelerate
launch` the processes share the pictures in that folder, and the first one measures and prints.
Seconds of the table are those of the process that made a picture, beside the others.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter as now
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines.baselines import ENCODED, OPTIMISED
from pipelines.invertibility import latent_map, segments_of
from pipelines.sam_inversion import Inversion, SAMInversion
from pipelines.training import hard_portraits as hard
from pipelines.training.sharding import Shard
from pipelines.training.threads import use_threads
from tests.benchmarks.claims import Claim, claim, said
from tests.benchmarks.figure import Drawn, draw_curves
from tests.benchmarks.indomain import means, table
from tests.benchmarks.sam_bench import (
    ENCODER,
    OURS,
    STEPS,
    Bench,
    Invert,
    Row,
    at_equal_success,
)

SINGLE = "{} alone"
NO_FEATURE, NO_REFINING = "no feature regularisation", "no refinement"
TRUE_SEGMENTS, CLASS_MAP = "true segments", "classes as the map"
HELD_BACK = "F4"  # latent of what is no face where classes are the map; the paper's cars: F6
TUNES = "pti"  # the baseline that changes the generator
MARGIN = 2.0  # dB on portraits with props, which the paper's method gains on its hard domain
GROUPS = {"plain": (0,), "clutter": (1, 3), "with props": (2, 3), "all": (0, 1, 2, 3)}


def ways(bench: Bench) -> dict[str, Invert]:
    """Table 4.1: each method that this domain has the networks for."""
    p, images, steps = bench.pipeline, bench.images, bench.steps
    pivots: dict[int, Inversion] = {}

    def rival(method: str) -> Invert:
        return lambda i: p.baseline(images[i], method=method, steps=steps)

    def in_w(i: int) -> Inversion:
        pivots[i] = p.baseline(images[i], method="w", steps=steps)
        return pivots[i]

    def tuned(i: int) -> Inversion:
        pivot = pivots.get(i) or in_w(i)
        found = p.baseline(images[i], method=TUNES, steps=steps, pivot=pivot.w)
        return replace(found, seconds=pivot.seconds + found.seconds)

    found = {method: rival(method) for method in OPTIMISED} | {"w": in_w, TUNES: tuned}
    found[OURS] = lambda i: p.invert(images[i], steps=steps)
    found |= {method: rival(method) for method in ENCODED if method in p.rivals}
    if p.encoders is not None:
        found[ENCODER] = lambda i: p.encode(images[i])
    return found


def ablations(bench: Bench) -> dict[str, Invert]:
    """What becomes of SAM without one of its parts, and with a better segmenter."""
    p, images, steps = bench.pipeline, bench.images, bench.steps
    classes = bench.portraits.classes

    def alone(index: int) -> Invert:
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
        TUNES: lambda i, n: p.baseline(images[i], method=TUNES, steps=n),
    }
    curves = {}
    for name, invert in methods.items():
        curve = []
        for n in bench.curve:
            count = max(2, bench.few // 2)
            timed = functools.partial(_of_steps, invert, n)
            row = bench.run(name, count, timed, how=f"timed {n}")
            found = bench.figures(row)
            curve.append((found["seconds"].mean().item(), found["psnr"].mean().item()))
        curves[name] = curve
    return curves


def _of_steps(invert: Callable[[int, int], Inversion], steps: int, i: int) -> Inversion:
    return invert(i, steps)


def by_kind(bench: Bench, rows: Mapping[str, Row]) -> dict[str, dict[str, dict[str, float]]]:
    """Means of each figure over the portraits of each group, and over all."""
    return {
        group: means({
            name: {key: of_group(bench, value, group).nanmean() for key, value in row.items()}
            for name, row in rows.items()
        })
        for group in GROUPS
    }  # fmt: skip


def of_group(bench: Bench, value: Tensor, group: str) -> Tensor:
    """A figure of the portraits of one of GROUPS."""
    kinds = torch.from_numpy(bench.portraits.kinds[: len(value)]).long()
    return value[torch.isin(kinds, torch.tensor(GROUPS[group]))]


def claims(bench: Bench, rows: dict, ablated: dict, equal: dict) -> Iterator[Claim]:
    """Each claim of the paper."""
    for regime, ours, others in (
        ("optimisation", OURS, OPTIMISED), ("an encoder", ENCODER, ENCODED)
    ):  # fmt: skip
        for other in [name for name in others if ours in rows and name in rows]:
            first, second = rows[ours], rows[other]
            for group in ("clutter", "with props"):
                for key, below in (("psnr", False), ("lpips", True)):
                    text = f"SAM by {regime} rebuilds portraits ({group}) better than {other}"
                    pair = (of_group(bench, row[key], group) for row in (first, second))
                    yield claim(f"{text} ({key})", *pair, below=below)
            if ours == OURS and other != TUNES:
                pair = (of_group(bench, row["psnr"], "with props") for row in (first, second))
                better, worse = pair
                text = f"SAM by {regime} gains {MARGIN:.0f} dB over {other} with props"
                yield claim(text, better - MARGIN, worse)
    for other in [name for name in ("w+", TUNES) if name in equal and OURS in equal]:
        for key, below in (("identity", False), ("outside", False), ("to the true edit", True)):
            pair = (equal[name][key] for name in (OURS, other))
            yield claim(f"at equal success SAM edits better than {other} ({key})", *pair,
                        below=below)  # fmt: skip
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
        yield claim(text, ablated[better].get(key, NONE), ablated[worse].get(key, NONE))


NONE = torch.full((1,), torch.nan)  # a figure of a domain without attributes


def measured(
    bench: Bench, found: Mapping[str, Invert], count: int, edited: int
) -> tuple[dict[str, Row], dict[str, Row]]:
    """All figures of each portrait by each way of inverting, and those of its edits."""
    rows, edits = {}, {}
    for name, invert in found.items():
        row = bench.run(name, count, invert, edited)
        rows[name] = bench.figures(row)
        if "edited" in row:
            edits[name] = bench.edit_figures(row)
    return rows, edits


def at_full_strength(rows: Mapping[str, Row], edits: Mapping[str, Row]) -> dict[str, Row]:
    """Rows with what their edits by the renderer's own change do."""
    return {
        name: row | {
            "edit right": edits[name]["right"][..., -1].nanmean(1),
            "identity after edit": edits[name]["identity"][..., -1].nanmean(1),
        } if name in edits else row
        for name, row in rows.items()
    }  # fmt: skip


def map_seconds(bench: Bench) -> dict[str, float]:
    """Median seconds of a map of errors, and of its map of latents at another tau."""
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
    """Measure everything, print it, return it; nothing in any but the first process."""
    few = min(bench.few, len(bench))
    rows, edits = measured(bench, ways(bench), len(bench), bench.edited)
    ablated, ablated_edits = measured(bench, ablations(bench), few, few)
    curves = speed(bench)
    if not bench.shard.first:
        return {}
    bench.shard = Shard()  # the rest is for one process
    rows, ablated = at_full_strength(rows, edits), at_full_strength(ablated, ablated_edits)
    equal = at_equal_success(edits) if edits else {}
    seconds = map_seconds(bench)
    lacking = [name for name in ENCODED if name not in bench.pipeline.rivals]
    lacking += [] if bench.pipeline.encoders is not None else [ENCODER]
    shown = by_kind(bench, rows)
    for group, found in shown.items():
        size = len(of_group(bench, torch.zeros(len(bench)), group))
        print(f"\n\n{group}: {size} portraits, {bench.steps} steps\n{table(found)}")
    print(f"\nEdits at equal success, {bench.edited} portraits\n{table(_known(equal))}")
    print(f"\nAblations, {few} portraits\n{table(_known(ablated))}")
    print("\nQuality against seconds: (seconds, PSNR) for steps", *bench.curve)
    for name, curve in curves.items():
        print(f"{name:18}", *(f"({a:.2f}, {b:.2f})" for a, b in curve))
    print("\nSeconds:", ", ".join(f"{name} {value:.3f}" for name, value in seconds.items()), "\n")
    if lacking:
        print("Not trained, hence left out:", ", ".join(lacking))
    if bench.quick:
        print(f"--quick: {len(bench)} portraits, {bench.steps} steps: this only ran it all.")
    said_of = list(claims(bench, rows, ablated, equal))
    print(*said_of, sep="\n")
    return {
        "portraits": len(bench), "steps": bench.steps, "left out": lacking, "table": shown,
        "edits at equal success": _known(equal), "ablations": _known(ablated), "curves": curves,
        "seconds": seconds, "claims": said(said_of),
    }  # fmt: skip


def _known(rows: Mapping[str, Row]) -> dict[str, dict[str, float]]:
    return {name: {k: v.nanmean().item() for k, v in row.items()} for name, row in rows.items()}


def curves(found: Mapping[str, Any]) -> Drawn:
    """Quality against seconds (Fig. 4.1)."""
    return found["curves"], "seconds", "PSNR [dB]"


def main() -> None:
    """Print the figures; write them to --json as well, and the curves to --figure."""
    parser = argparse.ArgumentParser(description="Figures of SAM inversion.")
    parser.add_argument("--count", type=int, default=100, help="test portraits of each kind")
    parser.add_argument("--few", type=int, default=10, help="for ablations, half for the curve")
    parser.add_argument("--edited", type=int, default=60, help="portraits that are edited")
    parser.add_argument("--steps", type=int, default=STEPS, help="of every optimisation")
    parser.add_argument("--quick", action="store_true", help="few portraits: only whether it runs")
    parser.add_argument("--device", help="cpu or cuda:0; a GPU where there is one by default")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--keep", type=Path, help="go on from what is kept in this folder")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--figure", type=Path, help="draw quality against seconds here, PNG")
    arg = parser.parse_args()
    use_threads(arg.threads)
    pipeline = SAMInversion.from_pretrained(device=arg.device)
    figures = report(
        Bench(pipeline, arg.count, arg.quick, arg.keep, arg.few, arg.edited, arg.steps)
    )
    if figures and arg.json:
        arg.json.write_text(json.dumps(figures, indent=2) + "\n")
    if figures and arg.figure:
        picture: Image.Image = draw_curves(*curves(figures))
        picture.save(arg.figure)


if __name__ == "__main__":
    main()
