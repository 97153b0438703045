"""Train the segmentation branch of EditGAN (Ling et al., NeurIPS 2021, Sec. 3.2) on 16 portraits.

    python -m pipelines.training.segmentation_branch --validation RENDERED --out RUN --minutes 4
    python -m pipelines.training.segmentation_branch --domain ffhq --labelled FOLDER --out RUN

The labelled portraits are embedded into W+ by encoder and optimisation; the ensemble of per-pixel
classifiers learns their true parts from the frozen generator's feature maps, by cross-entropy and
Adam at 1e-3. Held out: intersection over union on embedded validation portraits, of the 32 parts
and of the 19 classes, the latter beside those of a parser trained on thousands of labels.

Symbols: f, features of a pixel; c, its part; p, q, how often a part occurs and is drawn.

Departs from paper: each member sees --pixels at a time instead of 64, because a CPU is idle at
smaller products; the rate falls to zero along half a cosine, because the budget is minutes; hidden
widths are those published for fewer than 32 classes (for our 32 they would be --widths 256 128),
and there are 5 members instead of 10, because an edit then takes less than a quarter of the
multiplications (mean intersection over union on 16 held-out portraits 0.512, with 10 members
0.514); rare parts are drawn more often, by p^(1 - b) instead of p with b = --balance, and
log(q / p) is added to the logits in the loss, so that what is learnt is still the probability under
p: a pupil is ten pixels of a portrait.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

import weights
from examples.clay.dataset import ClaySet, latents
from examples.clay.parameters import draw
from examples.clay.parts import CLASSES, PART_PALETTE, PART_TO_CLASS, PARTS
from pipelines.components import Components
from pipelines.editgan import EditGAN, untrained
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.parser import FaceParser
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.segmentation import (
    CONSTANT,
    SegmentationBranch,
    features_at,
)
from pipelines.networks.stylegan2 import Generator
from pipelines.runtime import choose_device
from pipelines.training.indomain_encoder import given
from pipelines.training.loop import Loop, finish, to_tensor
from pipelines.training.photographs import labelled
from pipelines.training.threads import use_threads

# Training seeds, each with the face of seed // PER_IDENTITY as in the rendered set: among the first
# 2400 those that show every part at least three times, and many kinds of hair, pose and skin.
LABELLED = (28, 177, 321, 559, 579, 641, 787, 934, 1120, 1262, 1474, 1934, 1979, 2030, 2142, 2370)
PER_IDENTITY = 4
CLAY = "clay-heads"
BATCH = 8  # portraits embedded or evaluated at a time


@dataclass(frozen=True)
class Labelled:
    """Feature maps (n, c, h, w) by name, the part of every pixel, and how many parts there are."""

    maps: Mapping[str, Tensor]
    labels: Int[Tensor, "n h w"]
    parts: int = len(PARTS)


def portraits(
    seeds: tuple[int, ...], size: int
) -> tuple[UInt8[np.ndarray, "n h w 3"], UInt8[np.ndarray, "n h w"]]:
    """Pictures and parts of labelled training seeds."""
    from examples.clay.render import render  # numba: only where something is rendered

    return render(draw(codes_of(seeds)), size)


def codes_of(seeds: tuple[int, ...]) -> Float[np.ndarray, "n 512"]:
    """The latents z of labelled training seeds."""
    numbers = np.array(seeds)
    return latents(numbers, numbers // PER_IDENTITY)


def embedded(pipeline: EditGAN, x: Tensor, steps: int) -> Float[Tensor, "n layers 512"]:
    """Codes of pictures by encoder and optimisation."""
    parts = tqdm(x.split(BATCH), desc="embed", unit="batch")
    return torch.cat([pipeline.project(part.to(pipeline.device), steps=steps)[0] for part in parts])


@torch.no_grad()
def feature_maps(generator: Generator, codes: Tensor) -> dict[str, Tensor]:
    """Every map that a branch reads, channels last in memory: a pixel's channels lie together."""
    found: dict[str, list[Tensor]] = {}
    for part in codes.split(BATCH):
        for name, x in generator.synthesis(part, features=True)[1].items():
            found.setdefault(name, []).append(x)
    maps = {CONSTANT: generator.synthesis.b4.const[None]}
    maps |= {name: torch.cat(parts) for name, parts in found.items()}
    return {k: v.contiguous(memory_format=torch.channels_last) for k, v in maps.items()}


class Pixels:
    """Draws pixels of labelled portraits, rare parts more often: by p^(1 - balance)."""

    def __init__(self, data: Labelled, balance: float, seed: int) -> None:
        labels = data.labels.flatten().cpu()
        self.shape, self.order = data.labels.shape, labels.argsort()
        self.counts = torch.bincount(labels, minlength=data.parts)
        self.starts = self.counts.cumsum(0) - self.counts
        p = self.counts / self.counts.sum()
        q = torch.where(p > 0, p ** (1 - balance), p)
        self.q = q / q.sum()
        # What occurs nowhere is never drawn, and its logit is left alone.
        self.preference = torch.where(p > 0, (self.q / p).log(), torch.zeros_like(p))
        self.random = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Part, picture, row and column of `count` pixels."""
        part = torch.multinomial(self.q, count, replacement=True, generator=self.random)
        share = torch.rand(count, generator=self.random)
        place = self.order[self.starts[part] + (share * self.counts[part]).long()]
        _, height, width = self.shape
        return part, place // (height * width), place // width % height, place % width


def step_loss(
    branch: SegmentationBranch, data: Labelled, pixels: Pixels, count: int
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of `count` pixels for each member, and the share that is right."""
    part, picture, row, column = (
        t.to(data.labels.device) for t in pixels.draw(branch.members * count)
    )
    maps = [data.maps[name] for name in branch.layout]
    f = features_at(maps, picture, row, column, branch.resolution)
    logits = branch.classify(f.unflatten(0, (branch.members, count))).flatten(0, 1)
    loss = F.cross_entropy(logits + pixels.preference.to(logits), part)
    return loss, (logits.detach().argmax(1) == part).float().mean()


def train(
    branch: SegmentationBranch, data: Labelled, loop: Loop, count: int, balance: float, rate: float
) -> SegmentationBranch:
    """Train until the budget is spent; the branch, frozen."""
    branch.train().requires_grad_(True)
    optimizer = torch.optim.Adam(branch.parameters(), lr=rate)
    loop.keep(branch=branch, optimizer=optimizer)
    loop.resume()
    processes = loop.shard.count  # each draws pixels of its own
    count = max(1, count // processes)
    pixels = Pixels(data, balance, loop.step * processes + loop.shard.rank)
    for _ in loop:
        loop.anneal(optimizer)
        loss, right = step_loss(branch, data, pixels, count)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loop.due(20):
            loop.log(loss=loss, right=right)
    return branch.eval().requires_grad_(False)


def confusion(
    true: UInt8[np.ndarray, "n h w"], found: np.ndarray, count: int
) -> Int[np.ndarray, "labels labels"]:
    """Pixels by true label (rows) and found label."""
    pairs = true.astype(np.int64) * count + found
    return np.bincount(pairs.ravel(), minlength=count**2).reshape(count, count)


def overlaps(table: Int[np.ndarray, "labels labels"], names: tuple[str, ...]) -> dict[str, float]:
    """Intersection over union of each label that occurs, and "miou", their mean."""
    hits = np.diag(table)
    union = table.sum(0) + table.sum(1) - hits
    each = {n: float(hits[i] / union[i]) for i, n in enumerate(names) if table[i].sum() > 0}
    return {"miou": float(np.mean(list(each.values()))), **each}


def evaluate(
    pipeline: EditGAN, images: np.ndarray, parts: np.ndarray, steps: int, parser: FaceParser | None
) -> dict[str, float]:
    """Overlaps of embedded held-out portraits: of the parts, and of the 19 classes beside those
    that a parser finds in the very pictures."""
    x = to_tensor(images)
    codes = embedded(pipeline, x, steps)
    found = masks_of(pipeline, codes)
    of_parts = overlaps(confusion(parts, found, len(PARTS)), PARTS)
    classes = PART_TO_CLASS[parts]
    ours = overlaps(confusion(classes, PART_TO_CLASS[found], len(CLASSES)), CLASSES)
    metrics = {"miou": of_parts.pop("miou"), "miou of 19 classes": ours["miou"]}
    if parser is not None:
        seen = [parser.parse(part.to(pipeline.device)).cpu() for part in x.split(BATCH)]
        theirs = overlaps(confusion(classes, torch.cat(seen).numpy(), len(CLASSES)), CLASSES)
        metrics["miou of 19 classes, parser"] = theirs["miou"]
    return metrics | {f"iou {name}": value for name, value in of_parts.items()}


@torch.no_grad()
def masks_of(pipeline: EditGAN, codes: Tensor) -> UInt8[np.ndarray, "n h w"]:
    """The part masks of codes."""
    parts: Iterator[Tensor] = (pipeline.generate(w.to(pipeline.device))[1] for w in codes.split(4))
    return torch.cat([part.byte().cpu() for part in parts]).numpy()


def networks(arg: argparse.Namespace, device: torch.device) -> tuple[nn.Module | None, ...]:
    """Generator, encoder, perceptual network and judge: files that are given, else the domain's."""
    if arg.domain != CLAY:
        load = partial(weights.load, device=device)
        found = untrained(Components(arg.domain, EditGAN.paper, load))
        return tuple(found[name] for name in ("generator", "encoder", "perceptual", "judge"))
    return (
        given(Generator, arg.generator, "clay-heads/generator", device),
        given(LayerwiseEncoder, arg.encoder, "clay-heads/editgan-encoder", device),
        given(PerceptualDistance, arg.perceptual, "clay-heads/perceptual", device),
        given(PortraitJudge, arg.judge, "clay-heads/judge", device),
    )


def build(
    arg: argparse.Namespace,
    loaded: tuple[nn.Module | None, ...],
    parts: Sequence[str] = PARTS,
    palette: Sequence[Sequence[int]] | None = None,
) -> tuple[EditGAN, SegmentationBranch]:
    """The pipeline of loaded networks with a fresh branch for these parts, clay's by default."""
    torch.manual_seed(0)
    generator, encoder, perceptual, judge = loaded
    blocks = generator.synthesis.blocks
    channels = {int(block.name[1:]): len(block.conv1.bias) for block in blocks}
    branch = SegmentationBranch(
        channels, parts, palette or PART_PALETTE.tolist(), members=arg.members,
        widths=tuple(arg.widths),
    )  # fmt: skip
    pipeline = EditGAN(
        generator, encoder, branch, perceptual, judge, domain=arg.domain,
        device=choose_device(arg.device),
    )  # fmt: skip
    return pipeline, branch


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the segmentation branch of EditGAN.")
    parser.add_argument("--validation", type=Path, help="rendered validation split")
    parser.add_argument("--out", type=Path, required=True, help="log, checkpoint, metrics")
    parser.add_argument("--minutes", type=float, default=4, help="of training, embedding apart")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--weights", type=Path, help="write the trained weights here, in fp16")
    for name in ("generator", "encoder", "perceptual", "judge"):
        parser.add_argument(
            f"--{name}", type=Path, help="weights file; the registered one if absent"
        )
    parser.add_argument("--domain", default=CLAY, help="whose generator, with --labelled")
    parser.add_argument("--labelled", type=Path, help="photographs with masks and parts.json")
    parser.add_argument("--parser", type=Path, help="weights of a face parser to compare with")
    parser.add_argument("--codes", choices=("embedded", "mapping"), default="embedded")
    parser.add_argument("--embed-steps", type=int, default=100)
    parser.add_argument("--pixels", type=int, default=256, help="a member sees at a time")
    parser.add_argument("--balance", type=float, default=0.5, help="0 draws parts as they occur")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--widths", type=int, nargs=2, default=(128, 32))
    parser.add_argument("--held-out", type=int, default=40, help="validation portraits to embed")
    return parser.parse_args()


def main() -> None:
    arg = parse()
    if (arg.domain != CLAY) != bool(arg.labelled) or (arg.labelled and arg.codes == "mapping"):
        raise SystemExit(
            "--labelled FOLDER and --domain belong together, with --codes embedded: the labels of "
            f"clay come from its renderer. Got --domain {arg.domain}, --labelled {arg.labelled}."
        )
    use_threads(arg.threads)
    loop = Loop(arg.out, arg.minutes, arg.device)
    loaded = networks(arg, loop.device)
    if arg.labelled:
        own = labelled(arg.labelled, loaded[0].resolution)
        pipeline, branch = build(arg, loaded, own.parts, own.palette)
        images, parts, source = own.images, own.masks, f"{len(own.images)} labelled photographs"
    else:
        pipeline, branch = build(arg, loaded)
        images, parts = portraits(LABELLED, pipeline.size)
        source = f"train {', '.join(map(str, LABELLED))}"
    if arg.codes == "embedded":
        codes = embedded(pipeline, to_tensor(images), arg.embed_steps)
    else:  # where the generator was trained on pairs of z and picture
        codes = pipeline.generator.mapping(torch.from_numpy(codes_of(LABELLED)).to(loop.device))
    labels = torch.from_numpy(parts).to(loop.device).long()
    data = Labelled(feature_maps(pipeline.generator, codes), labels, len(pipeline.parts))
    train(branch, data, loop, arg.pixels, arg.balance, arg.rate)
    held_out: dict[str, float] = {}
    if arg.validation:
        rendered = ClaySet(arg.validation)
        rows = np.linspace(0, len(rendered) - 1, min(arg.held_out, len(rendered))).astype(int)
        other = weights.load_file(FaceParser, arg.parser, loop.device) if arg.parser else None
        held_out = evaluate(
            pipeline, rendered.images[rows], np.array(rendered.parts[rows]), arg.embed_steps, other
        )
    finish(
        arg.out, held_out, branch, arg.weights, seeds=source,
        recipe="python -m pipelines.training.segmentation_branch", codes=arg.codes,
        balance=arg.balance, pixels=arg.pixels, held_out_portraits=arg.held_out, **loop.facts(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
