"""Train the starter generator on (z, picture) pairs of the clay domain.

    python -m pipelines.training.generator --data DIR --perceptual FILE --out DIR --minutes 60

The renderer draws its parameters from z, so the mapping network is written in closed form, without
a single picture (`codes.write`): each parameter along its own directions of w, with a variance that
follows how much of the picture it moves. What is trained is the synthesis network, which draws the
picture of its z: L1 over three scales, weighted by face part, the perceptual distance, and the
parts that a head of its own names from the features (`parts`); small pictures first (`GROWTH`).

The finest resolution costs half of a step and is local: it is drawn on a quarter of the picture, a
crop that visits the face more often, while the rest of the network draws the whole picture at half
size (`Trainer.crop`, `views`). The recipe `sharpen` goes on from there, beside an encoder and a
discriminator.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

import weights
from examples.clay.dataset import ClaySet
from examples.clay.parameters import LATENT
from examples.clay.parts import PARTS
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator, Synthesis
from pipelines.training.codes import OFFSET, CodeWriter, write
from pipelines.training.loop import Average, Loop, arguments, finish, prefetch, shuffled, to_tensor
from pipelines.training.parts import PartHead, rarity
from pipelines.training.sheet import save_sheet
from pipelines.training.threads import use_threads
from pipelines.training.views import View, draw, draw_crop, multiscale_l1, thinned, window

CHANNELS = {4: 256, 8: 256, 16: 256, 32: 192, 64: 96, 128: 48}

# Weight of a pixel in the L1 loss by the words of its part's name: what is small is drawn late.
PART_WEIGHTS = {
    "background": 0.5, "skin": 2, "hair": 1.5, "nose": 4, "nostril": 6, "lip": 9, "teeth": 9,
    "mouth": 9, "brow": 8, "lid": 9, "sclera": 10, "iris": 12, "pupil": 12, "glasses": 6, "ear": 3,
    "earring": 5, "necklace": 4, "beard": 3,
}  # fmt: skip

# How much of the background's error the perceptual distance sees in the regression. Where shelves
# and leaves stand is learned last: asked for their texture before, a regression paints ripples.
BACKGROUND = 0.15

# Share of the time up to which pictures are so many times smaller: what is coarse is learned faster
# on small pictures, which the skip architecture holds anyway.
GROWTH = ((0.1, 4), (0.5, 2), (1.0, 1))

PARTS_WEIGHT = 0.2  # of the part head's cross-entropy, summed over its resolutions


def part_weights() -> Float[Tensor, "parts"]:
    """Loss weight of every part; the longest matching word of its name decides, 1 without."""
    found = []
    for part in PARTS:
        words = [word for word in PART_WEIGHTS if word in part]
        found.append(PART_WEIGHTS[max(words, key=len)] if words else 1.0)
    return torch.tensor(found)


@dataclass(frozen=True)
class Batch:
    """Latents with their pictures: z, `real` in [-1, 1], and the part of every pixel."""

    z: Float[Tensor, "b 512"]
    real: Float[Tensor, "b 3 h w"]
    parts: Int[Tensor, "b h w"]


@dataclass
class Trainer:
    """The generator, what it learns from, and what the recipes that train it share.

    parts: weight of the part head, 0 for none. crop: whether the finest resolution is drawn on a
    crop. steps: the budget in steps in place of minutes.
    """

    data: ClaySet
    perceptual: PerceptualDistance
    out: Path
    device: str = "auto"
    batch: int = 16
    start: Generator | None = None  # a trained one, whose mapping stays and whose synthesis goes on
    parts: float = PARTS_WEIGHT
    crop: bool = True
    steps: int | None = None
    generator: Generator = field(init=False)

    def __post_init__(self) -> None:
        side = self.data.images.shape[1]
        if self.start is None:
            # The mapping is written, not trained: it needs no rate of its own, and z as it is.
            self.generator = Generator(
                side, channels=CHANNELS, mapping_lr_multiplier=1.0, normalize_z=False
            )
            write(self.generator.mapping, CodeWriter())
            quieten(self.generator.synthesis)
        else:
            self.generator = self.start.requires_grad_(True)
            self.generator.synthesis = settle(self.start.synthesis, -OFFSET)
        self.head = PartHead(self.generator.synthesis, rarity(self.data))
        self.average = Average(self.generator, decay=0.995)
        self.weights = part_weights()

    def regress(self, minutes: float, rate: float = 1.5e-2) -> None:
        """Draw the picture of each z, small ones first; a trained one goes on at full size."""
        loop = self.loop("regress", minutes)
        learned = [*self.generator.synthesis.parameters(), *self.head.parameters()]
        rate = rate if self.start is None else rate / 3
        optimizer = torch.optim.Adam(learned, rate, (0.9, 0.99), fused=True)
        loop.keep(generator=self.generator, average=self.average.network, head=self.head)
        loop.keep(optimizer=optimizer)
        loop.resume()
        growth = GROWTH if self.start is None else ((1.0, 1),)
        random = np.random.default_rng(loop.step)
        for fraction, batch in zip(loop, self.batches(loop), strict=False):
            loop.anneal(optimizer)
            factor = next(factor for share, factor in growth if fraction < share)
            with torch.no_grad():  # w is where it should be
                ws = self.generator.mapping(batch.z) - OFFSET
            # the picture, or its half and a crop
            with loop.autocast():
                if factor > 1 or not self.crop:
                    views = [self.whole(ws, batch, factor)]
                else:
                    views = self.halved_and_cropped(ws, batch, random)
                losses = [self.losses(view) for view in views]
            pixels, distance, named = (sum(all_) / len(views) for all_ in zip(*losses, strict=True))
            # Early on, features of a blur say little and drown the colours: their weight grows.
            share = 0.05 + 0.35 * fraction if self.start is None else 0.4
            step(optimizer, pixels + share * distance + self.parts * named)
            self.average.update(self.generator, loop.step)
            if loop.due(50):
                loop.log(pixels=pixels, perceptual=distance, parts=named)
            if loop.due(500):
                self.sheet(loop)

    def whole(self, ws: Float[Tensor, "b layers d"], batch: Batch, factor: int) -> View:
        """The whole picture, `factor` times smaller."""
        size = batch.real.shape[-1] // factor
        fake, features = draw(self.generator.synthesis, ws, size)
        return View(
            fake,
            F.avg_pool2d(batch.real, factor),
            F.avg_pool2d(self.weights[batch.parts][:, None], factor),
            features,
            {level: thinned(batch.parts, level) for level in features},
        )

    def halved_and_cropped(
        self, ws: Float[Tensor, "b layers d"], batch: Batch, random: np.random.Generator
    ) -> list[View]:
        """The whole picture at half its size, and a crop of it at full size."""
        half = self.whole(ws, batch, 2)
        rows, columns = (window(random, half.fake.shape[-1]) for _ in range(2))
        fake, x = draw_crop(self.generator.synthesis, ws, half, rows, columns)
        own = (..., *(slice(2 * side.start, 2 * side.stop) for side in (rows, columns)))
        side, parts = batch.real.shape[-1], batch.parts[own]
        crop = View(fake, batch.real[own], self.weights[parts][:, None], {side: x}, {side: parts})
        return [half, crop]

    def losses(self, view: View) -> tuple[Tensor, Tensor, Tensor]:
        """L1 of three scales, perceptual distance, cross-entropy of the parts."""
        person = (view.weight / self.weights.min()).sub(1).clamp(BACKGROUND, 1)
        seen = view.real + person * (view.fake - view.real)
        named = view.fake.new_zeros(())
        if self.parts:
            for level, x in view.features.items():
                named = named + self.head.loss(x, view.parts[level], level)
        pixels = multiscale_l1(view.fake, view.real, view.weight)
        return pixels, self.perceptual(seen, view.real).mean(), named

    # ---- shared

    def loop(self, stage: str, minutes: float) -> Loop:
        loop = Loop(self.out / stage, minutes, self.device, steps=self.steps)
        for network in (self.generator, self.average.network, self.perceptual, self.head):
            network.to(loop.device, memory_format=torch.channels_last)  # 1.7 times faster on a CPU
        self.weights = self.weights.to(loop.device)
        return loop

    def batches(self, loop: Loop) -> Iterator[Batch]:
        """Endless batches of the rendered set."""
        latents = torch.from_numpy(self.data.latents())

        def read(index: np.ndarray) -> Batch:
            parts = torch.from_numpy(self.data.parts[index].astype(np.int64))
            return Batch(
                latents[index].to(loop.device),
                to_tensor(self.data.images[index], loop.device),
                parts.to(loop.device),
            )

        return prefetch(map(read, shuffled(len(self.data), self.batch, seed=loop.step)))

    def averaged(self) -> Generator:
        """The generator to keep: averaged weights that take w as the mapping network gives it."""
        generator = copy.deepcopy(self.average.network)
        generator.synthesis = settle(generator.synthesis)
        return generator

    @torch.no_grad()
    def sheet(self, loop: Loop, count: int = 32) -> None:
        """Uncurated samples of the averaged generator."""
        z = torch.from_numpy(np.random.RandomState(1).standard_normal((count, LATENT)))
        images = self.averaged()(z.float().to(loop.device), noise="const")
        save_sheet(loop.out / f"samples-{loop.step:06d}.png", images)


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One descent step."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


@torch.no_grad()
def quieten(synthesis: Synthesis) -> None:
    """Start with styles that hardly vary and little colour from every block but the first.

    Random affine layers let all parameters disturb all features, which regression must unlearn
    first: after 260 small steps the held-out L1 is 0.48 with a tenth of them, 0.57 with all.
    """
    for block in synthesis.blocks[1:]:
        block.torgb.weight.mul_(0.1)  # growth then adds no noise
    for module in synthesis.modules():
        if hasattr(module, "affine"):
            module.affine.weight.mul_(0.1)


@torch.no_grad()
def settle(synthesis: Synthesis, offset: float = OFFSET) -> Synthesis:
    """A copy that takes w itself: training hands over w - offset, and the biases take the rest.

    With the offset in its input an affine layer learns its mean style fifty times faster than what
    tells one w from another, and the picture hardly follows w.
    """
    settled = copy.deepcopy(synthesis)
    for module in settled.modules():
        if hasattr(module, "affine"):
            affine = module.affine
            affine.bias.sub_(offset * affine.weight.sum(1) / affine.weight.shape[1] ** 0.5)
    return settled


@torch.no_grad()
def w_statistics(generator: Generator, count: int = 50_000) -> dict[str, Tensor]:
    """Mean (512,) and covariance (512, 512) of w over z ~ N(0, I); sets the generator's w_avg."""
    random = torch.Generator().manual_seed(0)
    device = generator.mapping.w_avg.device
    chunks = [
        generator.mapping(torch.randn(1000, generator.z_dim, generator=random).to(device))[:, 0]
        for _ in range(count // 1000)
    ]
    w = torch.cat(chunks).double().cpu()
    mean, covariance = w.mean(0), torch.cov(w.T)
    generator.mapping.w_avg.copy_(mean)
    return {"mean": mean.float(), "covariance": covariance.float()}


@torch.no_grad()
def evaluate(generator: Generator, perceptual: PerceptualDistance, data: ClaySet) -> dict:
    """How near G(z) is to the render of z, on held-out z.

    Means over the pictures of psnr [dB], of all and of the pixels of the person and behind it, and
    of lpips, the perceptual distance.
    """
    found: dict[str, list[Tensor]] = {"psnr": [], "person": [], "behind": [], "lpips": []}
    device = generator.mapping.w_avg.device
    latents = torch.from_numpy(data.latents())
    for start in range(0, len(data), 32):
        rows = slice(start, start + 32)
        real = to_tensor(data.images[rows], device)
        person = torch.from_numpy(data.parts[rows] > 0).to(device).float()
        fake = generator(latents[rows].to(device)).clamp(-1, 1)
        error = (fake - real).square().mean(1) / 4
        masks = {"psnr": torch.ones_like(person), "person": person, "behind": 1 - person}
        for name, mask in masks.items():
            mean = (error * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)
            found[name].append(-10 * mean.clamp(min=1e-10).log10())
        found["lpips"].append(perceptual(fake, real))
    return {name: float(torch.cat(values).mean()) for name, values in found.items()}


def read(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The command line, with a name for the weights that their statistics can follow."""
    options = parser.parse_args()
    if options.weights and "generator" not in options.weights.name:
        # The statistics are written beside it under the name with "w-statistics" instead.
        parser.error(f'--weights must have "generator" in its name; got {options.weights.name}.')
    use_threads(options.threads)
    return options


def deliver(trainer: Trainer, options: argparse.Namespace, **card: object) -> None:
    """Measure the averaged generator and write it, with its w statistics beside it."""
    generator = trainer.averaged()
    statistics = w_statistics(generator)
    held_out = {}
    if options.validation:
        held_out = evaluate(generator, trainer.perceptual, ClaySet(options.validation))
    seeds = trainer.data.seeds
    finish(
        options.out, held_out, generator, options.weights, **card, minutes=options.minutes,
        device=generator.mapping.w_avg.device.type, seeds=f"train {seeds.min()} to {seeds.max()}",
        start=options.start.name if options.start else "nothing",
    )  # fmt: skip
    if options.weights:
        file = options.weights.with_name(options.weights.name.replace("generator", "w-statistics"))
        facts = {"samples": 50_000, "of": options.weights.name}
        weights.save(statistics, file, facts, half=False)


def main() -> None:
    """Train, then save the averaged generator and its w statistics."""
    parser = arguments("Train the clay generator.", minutes=60, batch=16)
    parser.add_argument("--perceptual", type=Path, required=True, help="its trunk, safetensors")
    options = read(parser)
    torch.manual_seed(0)
    perceptual = weights.load_file(PerceptualDistance, options.perceptual)
    start = weights.load_file(Generator, options.start) if options.start else None
    trainer = Trainer(
        ClaySet(options.data), perceptual, options.out, options.device, options.batch, start
    )
    trainer.regress(options.minutes)
    deliver(trainer, options, recipe="python -m pipelines.training.generator")


if __name__ == "__main__":
    main()
