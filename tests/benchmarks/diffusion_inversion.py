"""The figures of diffusion-driven inversion on captions, masks and scribbles no training saw.

    python -m tests.benchmarks.diffusion_inversion [--count 300] [--quick] [--keep DIR]
               [--plain FILE] [--denoised FILE] [--truth FILE] [--both FILE] [--json FILE]

Table 1: pictures of held-out captions with masks, and with scribbles, by the method, by ControlNet
alone (the same noise, all of its steps) and by MM2Latent where it is trained, whose own sketch of
the same portrait, of thinner lines, takes the scribble's place: Frechet distance to other
portraits, LPIPS, MS-SSIM and identity beside the portrait itself, accuracy and mean intersection
over union of the parser's classes with the mask, and the share of a caption's facts that the judge
sees; median seconds, and peak memory beside the networks' own (`memory.peak`), in one run. Table 2:
(a) M alone, (b) T without attention, (c) and (d) trained on I_0^d and on the portraits alone
(--denoised and --truth name their M, beside which lies their T), (e) all. (b) and (e) are those
that ship, or with --plain and --both others that were trained exactly as long as (c) and (d).

A claim of the paper "holds" or "does not hold" by these numbers, and is "undecided" where a mean
difference over pictures is within two standard errors. --quick: 8 portraits, 3 steps: whether
everything runs, no more. --keep: a folder for finished pictures, from which a stopped run goes on.
Under `accelerate launch` the processes share the pictures in that folder, and the first one
measures, seconds included, and prints.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import weights
from pipelines.conditions import MASK, SCRIBBLE, Condition
from pipelines.diffusion_inversion import DiffusionInversion
from pipelines.images import as_images
from pipelines.latent_diffusion import STEPS
from pipelines.mm2latent import MM2Latent
from pipelines.networks.diffusion_mapping import MappingNetwork, StyleModulation
from pipelines.networks.parser import FaceParser
from pipelines.training.sharding import Shard
from pipelines.training.threads import use_threads
from tests.benchmarks.claims import Claim, claim, said
from tests.benchmarks.diffusion_bench import (
    CONTROLNET,
    MM2LATENT,
    OURS,
    Bench,
    DrawOne,
    Row,
)
from tests.benchmarks.figure import Drawn, points
from tests.benchmarks.indomain import table
from tests.benchmarks.memory import peak

ROWS = {
    "a": "(a) M alone",
    "b": "(b) no attention",
    "c": "(c) I_0^d alone",
    "d": "(d) portraits alone",
    "e": "(e) all",
}
BETTER_BELOW = ("lpips",)
RIVALS = {MASK: "mask", SCRIBBLE: "sketch"}  # conditions of MM2Latent

# ---- the methods -------------------------------------------------------------------------------


def ways(bench: Bench, task: str) -> dict[str, DrawOne]:
    """Table 1: a picture and its seconds of a caption, a condition and a number."""
    p, kind = bench.pipeline, RIVALS[task]

    def ours(text: str, condition: Condition, seed: int):
        found = p.read(text, condition, seed=seed)
        return found.image, found.seconds

    def controlnet(text: str, condition: Condition, seed: int):
        found = p.denoise(text, condition, seed=seed, steps=bench.steps)
        return found.image, found.seconds

    def rival(text: str, condition: Condition, seed: int):
        given = bench.classes[seed].numpy().astype(np.uint8)
        if task == SCRIBBLE:
            given = bench.rival.read(as_images(bench.x[seed : seed + 1])[0], kind)
        found = bench.rival.generate(text, **{kind: given})
        return found.image, found.seconds

    there = bench.rival is not None and kind in bench.rival.conditions
    return {OURS: ours, CONTROLNET: controlnet} | ({MM2LATENT: rival} if there else {})


def table_1(bench: Bench) -> tuple[dict[str, Row], dict[str, float]]:
    """Figures of each picture, and Frechet distances, by task and method."""
    rows, distances = {}, {}
    for task in (MASK, SCRIBBLE):
        for name, draw_one in ways(bench, task).items():
            x, key = bench.pictures(name, task, draw_one), f"{task}: {name}"
            most = peak(functools.partial(bench.drawn, draw_one, task, 0), bench.pipeline.device)
            rows[key] = bench.figures(x, task) | {
                "seconds": bench.seconds(draw_one, task), "peak MB": megabytes(most)
            }  # fmt: skip
            distances[key] = bench.frechet(x)
            print(".", end="", flush=True)
    return rows, distances


def megabytes(size: int) -> Float[Tensor, " 1"]:
    return torch.tensor([size / 1e6])


def ways_2(bench: Bench) -> dict[str, DrawOne]:
    """The rows of Table 2 whose networks are there."""
    p = bench.pipeline

    def alone(text: str, condition: Condition, seed: int):
        found = p.redraw(p.read(text, condition, seed=seed), mapped_only=True)
        return found.image, found.seconds

    def plain(text: str, condition: Condition, seed: int):
        found = p.read(text, condition, seed=seed, attentive=False)
        return found.image, found.seconds

    found = {"a": alone} | ({"b": plain} if p.ablated is not None else {})
    for letter, (mapping, modulation) in (bench.other or {}).items():
        found[letter] = trained_otherwise(p, mapping, modulation)
    return found


def table_2(bench: Bench) -> tuple[dict[str, Row], dict[str, float]]:
    """Table 2 with masks; rows whose networks are not there are left out."""
    rows, distances = {}, {}
    for letter, draw_one in ways_2(bench).items():
        x = bench.pictures(letter, MASK, draw_one)
        rows[ROWS[letter]], distances[ROWS[letter]] = bench.figures(x, MASK), bench.frechet(x)
        print(".", end="", flush=True)
    return rows, distances


def draw_all(bench: Bench) -> None:
    """Every picture, so that all of it is kept."""
    for task in (MASK, SCRIBBLE):
        for name, draw_one in ways(bench, task).items():
            bench.pictures(name, task, draw_one)
    for letter, draw_one in ways_2(bench).items():
        bench.pictures(letter, MASK, draw_one)


def trained_otherwise(
    p: DiffusionInversion, mapping: MappingNetwork, modulation: StyleModulation
) -> DrawOne:
    """Pictures by an M and a T that learnt from other targets."""

    def draw_one(text: str, condition: Condition, seed: int):
        own = p.mapping, p.modulation
        p.mapping, p.modulation = mapping, modulation
        try:
            found = p.read(text, condition, seed=seed)
        finally:
            p.mapping, p.modulation = own
        return found.image, found.seconds

    return draw_one


# ---- what they say -----------------------------------------------------------------------------


def claims(
    rows: Mapping[str, Row], ablated: Mapping[str, Row], distances: Mapping[str, float],
    steps: int = STEPS,
) -> Iterator[Claim]:  # fmt: skip
    """The paper's claims; steps: of ControlNet."""
    for task, names in ((MASK, ("lpips", "ms-ssim", "identity", "accuracy", "miou", "text")),
                        (SCRIBBLE, ("lpips", "ms-ssim", "identity", "text"))):  # fmt: skip
        ours, theirs = rows[f"{task}: {OURS}"], rows[f"{task}: {CONTROLNET}"]
        for name in names:
            text = f"{task}: better than ControlNet alone in {name}"
            yield claim(text, ours[name], theirs[name], below=name in BETTER_BELOW)
        frechet = distances[f"{task}: {OURS}"], distances[f"{task}: {CONTROLNET}"]
        yield claim(f"{task}: Frechet distance below ControlNet's", *frechet, below=True)
        times = [row["seconds"].median().item() for row in (ours, theirs)]
        text = f"{task}: ten times faster than ControlNet's {steps} steps (tenfold seconds)"
        yield claim(text, 10 * times[0], times[1], below=True)
    for row, figures in ablated.items():
        if row != ROWS["e"]:
            text = f"Table 2: (e) above {row} in identity"
            yield claim(text, ablated[ROWS["e"]]["identity"], figures["identity"])


def report(bench: Bench) -> dict[str, object]:
    """Print and return everything; nothing in any but the first process."""
    if bench.shard.count > 1:
        draw_all(bench)
    if not bench.shard.first:
        return {}
    bench.shard = Shard()  # the rest is for one process
    rows, distances = table_1(bench)
    ablated, further = table_2(bench)
    ablated.setdefault(ROWS["e"], rows[f"{MASK}: {OURS}"])
    further.setdefault(ROWS["e"], distances[f"{MASK}: {OURS}"])
    compared = list(claims(rows, ablated, distances, bench.steps))
    shown = {
        "Table 1": means(rows, distances),
        "Table 2": means(ablated, further),
    }
    for name, found in shown.items():
        print(f"\n\n{name}\n{table(found)}")
    print(*compared, sep="\n")
    return {"portraits": bench.count, **shown, "claims": said(compared)}


def means(rows: Mapping[str, Row], distances: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Means over pictures, with the distance between sets; seconds are medians."""
    return {
        name: {"frechet": distances[name]}
        | {key: v.median().item() if key == "seconds" else v.nanmean().item()
           for key, v in row.items()}
        for name, row in rows.items()
    }  # fmt: skip


def trained(file: Path) -> tuple[MappingNetwork, StyleModulation]:
    """M and T of a file of the recipe, T beside it."""
    beside = file.with_name(file.name.replace("mapping", "modulation"))
    return weights.load_file(MappingNetwork, file), weights.load_file(StyleModulation, beside)


def curves(found: Mapping[str, Any]) -> Drawn:
    """What each method takes, and what it keeps of the person (Table 1)."""
    return points(found["Table 1"], "seconds", "identity"), "seconds", "identity"


def main() -> None:
    """Measure what the manifest has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--plain", type=Path, help="M of Table 2 (b), if not the one that ships")
    parser.add_argument("--denoised", type=Path, help="M of Table 2 (c)")
    parser.add_argument("--truth", type=Path, help="M of Table 2 (d)")
    parser.add_argument("--both", type=Path, help="M of Table 2 (e), if not the one that ships")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    use_threads(options.threads)
    try:
        rival = MM2Latent.from_pretrained()
    except weights.WeightsError as error:
        print(f"without MM2Latent: {error}")
        rival = None
    files = (options.plain, options.denoised, options.truth, options.both)
    others = dict(zip("bcde", files, strict=True))
    bench = Bench(
        DiffusionInversion.from_pretrained(),
        weights.shared(FaceParser, "clay-heads/parser"),
        rival,
        options.count,
        options.quick,
        options.keep,
        {row: trained(file) for row, file in others.items() if file},
    )
    found = report(bench)
    if found and options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
