"""The figures of diffusion-driven inversion on captions, masks and scribbles no training saw.

    python -m tests.benchmarks.diffusion_inversion [--count 300] [--quick] [--keep DIR]
                           [--denoised FILE] [--truth FILE] [--both FILE] [--json FILE]

Table 1: pictures of held-out captions with masks, and with scribbles, by the method, by ControlNet
alone (the same noise, all of its steps) and by MM2Latent where it is trained, whose own sketch of
the same portrait, of thinner lines, takes the scribble's place: Frechet distance to other
portraits, LPIPS, MS-SSIM and identity beside the portrait itself, accuracy and mean intersection
over union of the parser's classes with the mask, and the share of a caption's facts that the judge
sees; median seconds, and peak memory beside the networks' own (`memory.peak`), in one run. Table 2:
(a) M alone, (b) T without attention, (c) and (d) trained on I_0^d and on the portraits alone
(--denoised and --truth name their M, beside which lies their T), (e) all: the networks that ship,
or with --both others that were trained exactly as long as those of (b) to (d).

A claim of the paper "holds" or "does not hold" by these numbers, and is "undecided" where a mean
difference over pictures is within two standard errors. --quick: 8 portraits, 3 steps: whether
everything runs, no more. --keep: a folder for finished pictures, from which a stopped run goes on.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

import weights
from examples.clay.facts import facts
from examples.clay.parameters import SEEDS, draw, latent
from examples.clay.parts import CLASSES, PALETTE, PART_TO_CLASS
from examples.clay.render import render
from examples.clay.wording import write
from pipelines.conditions import MASK, SCRIBBLE, Condition
from pipelines.diffusion_inversion import DiffusionInversion
from pipelines.images import as_images, as_tensor
from pipelines.latent_diffusion import STEPS
from pipelines.measures import frechet_distance, identity, ms_ssim
from pipelines.mm2latent import MM2Latent
from pipelines.networks.diffusion_mapping import MappingNetwork, StyleModulation
from pipelines.networks.parser import FaceParser
from pipelines.training.loop import to_tensor
from pipelines.training.threads import use_threads
from tests.benchmarks import mm2latent_bench
from tests.benchmarks.claims import Claim, claim, said
from tests.benchmarks.figure import Drawn, points
from tests.benchmarks.indomain import table
from tests.benchmarks.kept import PIPELINES, Kept
from tests.benchmarks.memory import peak
from tests.benchmarks.mm2latent_bench import named_right

OURS, CONTROLNET, MM2LATENT = "ours", "controlnet", "mm2latent"
ROWS = {
    "a": "(a) M alone",
    "b": "(b) no attention",
    "c": "(c) I_0^d alone",
    "d": "(d) portraits alone",
    "e": "(e) all",
}
BETTER_BELOW = ("lpips",)
SOURCES = ("diffusion_inversion", "latent_diffusion", "conditions")
RIVALS = {MASK: "mask", SCRIBBLE: "sketch"}  # conditions of MM2Latent
Row = dict[str, Tensor]


@dataclass
class Bench:
    """The pipeline, its rival, and test portraits with captions and conditions."""

    pipeline: DiffusionInversion
    parser: FaceParser
    rival: MM2Latent | None = None
    count: int = 300
    quick: bool = False
    keep: Path | None = None
    other: Mapping[str, tuple[MappingNetwork, StyleModulation]] | None = None

    def __post_init__(self) -> None:
        self.count = 8 if self.quick else self.count
        self.steps = 3 if self.quick else STEPS
        self.parameters, self.x, self.classes = rendered(self.pipeline.size, 0, self.count)
        self.strangers = rendered(self.pipeline.size, self.count, self.count)[1]
        rows = facts(self.parameters)
        self.captions = [write(row, np.random.default_rng(i)) for i, row in enumerate(rows)]
        pictures = as_images(self.x)
        self.conditions = {
            MASK: [Condition.mask(labels, PALETTE) for labels in self.classes.numpy()],
            SCRIBBLE: [Condition.scribble_of(p, self.pipeline.size) for p in pictures],
        }
        sources = [PIPELINES / f"{name}.py" for name in (*SOURCES, *mm2latent_bench.SOURCES)]
        self.kept = Kept(self.keep, self._networks(), sources)

    def _networks(self) -> list[nn.Module]:
        """What pictures depend on."""
        p, rival = self.pipeline, self.rival
        networks = [p.generator, p.autoencoder, *p.encoders.values(), p.text.texts, p.mapping,
                    p.modulation, p.ablated]  # fmt: skip
        networks += [net for pair in (self.other or {}).values() for net in pair]
        if rival is not None:
            networks += [rival.embedding, *rival.mappings.values(), *rival.codes.modules]
        return [net for net in networks if net is not None]

    def pictures(self, name: str, task: str, draw_one: Callable) -> tuple[Tensor, Tensor]:
        """Pictures of all portraits' inputs by one method, and the seconds that each took."""

        def make() -> dict[str, Tensor]:
            found, seconds = [], []
            for i, caption in enumerate(self.captions):
                image, took = draw_one(caption.text, self.conditions[task][i], i)
                found.append(as_tensor(image, self.pipeline.size))
                seconds.append(took)
            return {"x": torch.cat(found), "seconds": torch.tensor(seconds)}

        piece = self.kept(f"{name}-{task}-{self.count}-{self.steps}".replace(" ", "-"), make)
        return piece["x"], piece["seconds"]

    def figures(self, x: Float[Tensor, "n 3 h w"], task: str) -> Row:
        """What Table 1 says of each picture; masks count where the condition is one."""
        p = self.pipeline
        pairs = list(zip(x.split(16), self.x.split(16), strict=True))
        with torch.no_grad():
            found: Row = {
                "lpips": torch.cat([p.perceptual(a, b) for a, b in pairs]),
                "ms-ssim": torch.cat([ms_ssim(a, b) for a, b in pairs]),
                "identity": torch.cat([identity(p.judge, a, b) for a, b in pairs]),
                "text": named_right(p.judge, x, self.captions, p.device),
            }
            if task == MASK:
                labels = torch.cat([self.parser.parse(a) for a, _ in pairs])
                found["accuracy"] = (labels == self.classes).float().mean((1, 2))
                found["miou"] = overlap(labels, self.classes)
        return found

    def frechet(self, x: Float[Tensor, "n 3 h w"]) -> float:
        """Of the perceptual network's features, to portraits of other people."""
        features = [
            torch.cat([self.pipeline.perceptual.features(part) for part in side.split(16)])
            for side in (x, self.strangers)
        ]
        return frechet_distance(*features)


def rendered(size: int, first: int, count: int) -> tuple[np.ndarray, Tensor, Tensor]:
    """Parameters, pictures in [-1, 1] and classes of test portraits."""
    seeds = SEEDS["test"][first : first + count]
    parameters = draw(np.stack([latent(seed) for seed in seeds]))
    images, parts = render(parameters, size)
    return parameters, to_tensor(images), torch.from_numpy(PART_TO_CLASS[parts]).long()


def overlap(labels: Tensor, truth: Tensor) -> Float[Tensor, " n"]:
    """Mean intersection over union of the classes that occur in either, a picture each."""
    shares = []
    for a, b in zip(labels, truth, strict=True):
        both = [((a == c) & (b == c)).sum() / ((a == c) | (b == c)).sum()
                for c in range(len(CLASSES)) if (a == c).any() or (b == c).any()]  # fmt: skip
        shares.append(torch.stack(both).mean())
    return torch.stack(shares)


# ---- the methods -------------------------------------------------------------------------------


def ways(bench: Bench, task: str) -> dict[str, Callable]:
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
            x, seconds = bench.pictures(name, task, draw_one)
            key, first = f"{task}: {name}", (bench.captions[0].text, bench.conditions[task][0], 0)
            most = peak(functools.partial(draw_one, *first), bench.pipeline.device)
            rows[key] = bench.figures(x, task) | {"seconds": seconds, "peak MB": megabytes(most)}
            distances[key] = bench.frechet(x)
            print(".", end="", flush=True)
    return rows, distances


def megabytes(size: int) -> Float[Tensor, " 1"]:
    return torch.tensor([size / 1e6])


def table_2(bench: Bench) -> tuple[dict[str, Row], dict[str, float]]:
    """Table 2 with masks; rows whose networks are not there are left out."""
    p, rows, distances = bench.pipeline, {}, {}

    def alone(text: str, condition: Condition, seed: int):
        found = p.redraw(p.read(text, condition, seed=seed), mapped_only=True)
        return found.image, found.seconds

    def plain(text: str, condition: Condition, seed: int):
        found = p.read(text, condition, seed=seed, attentive=False)
        return found.image, found.seconds

    drawn = {"a": alone} | ({"b": plain} if p.ablated is not None else {})
    for letter, (mapping, modulation) in (bench.other or {}).items():
        drawn[letter] = trained_otherwise(p, mapping, modulation)
    for letter, draw_one in drawn.items():
        x, _ = bench.pictures(letter, MASK, draw_one)
        rows[ROWS[letter]], distances[ROWS[letter]] = bench.figures(x, MASK), bench.frechet(x)
        print(".", end="", flush=True)
    return rows, distances


def trained_otherwise(
    p: DiffusionInversion, mapping: MappingNetwork, modulation: StyleModulation
) -> Callable:
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
    """Print and return everything."""
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
    others = {"c": options.denoised, "d": options.truth, "e": options.both}
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
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
