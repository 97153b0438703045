"""Train the starter generator on (z, picture) pairs of the clay domain, in two stages.

    python -m pipelines.training.generator --data DIR --perceptual FILE --out DIR --minutes 60

1. `codes`: the renderer draws its parameters from z, so the mapping network first learns, without a
   single picture, to write them into w: each parameter along its own directions, with a variance
   that follows how much of the picture it moves (`IMPORTANCE`).
2. `regress`: the synthesis network draws the picture of its z: L1 over three scales, weighted by
   face part, plus the perceptual distance; small pictures first (`GROWTH`).
`--shares` says how the minutes are divided; stages have their own folders in --out and resume.
The recipe `sharpen` goes on from there, beside an encoder and a discriminator.
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
from jaxtyping import Float
from torch import Tensor

import weights
from examples.clay.dataset import ClaySet
from examples.clay.parameters import LATENT, draw
from examples.clay.parts import PARTS
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator, Synthesis
from pipelines.training.codes import OFFSET, CodeWriter, answer, listen
from pipelines.training.loop import Average, Loop, arguments, finish, prefetch, shuffled, to_tensor
from pipelines.training.sheet import save_sheet
from pipelines.training.threads import use_threads

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

# Share of the regression's time up to which pictures are so many times smaller: what is coarse is
# learned faster on small pictures, which the skip architecture holds anyway.
GROWTH = ((0.1, 4), (0.5, 2), (1.0, 1))


def part_weights() -> Float[Tensor, "parts"]:
    """Loss weight of every part; the longest matching word of its name decides, 1 without."""
    found = []
    for part in PARTS:
        words = [word for word in PART_WEIGHTS if word in part]
        found.append(PART_WEIGHTS[max(words, key=len)] if words else 1.0)
    return torch.tensor(found)


@dataclass
class Trainer:
    """The networks of both stages and what they share."""

    data: ClaySet
    perceptual: PerceptualDistance
    out: Path
    device: str = "auto"
    batch: int = 16
    start: Generator | None = None  # a trained one, whose mapping stays and whose synthesis goes on
    generator: Generator = field(init=False)

    def __post_init__(self) -> None:
        # A rate multiplier of 0.01 in the mapping suits adversarial training from scratch; the
        # regression of pairs is several times faster with 1.
        side = self.data.images.shape[1]
        if self.start is None:
            self.generator = Generator(side, channels=CHANNELS, mapping_lr_multiplier=1.0)
        else:
            self.generator = self.start.requires_grad_(True)
            self.generator.synthesis = settle(self.start.synthesis, -OFFSET)
        self.writer = CodeWriter()
        self.average = Average(self.generator, decay=0.995)
        self.weights = part_weights()

    # ---- stage 1

    def codes(self, minutes: float, batch: int = 512) -> None:
        """Teach the mapping network to write the renderer's parameters into w."""
        loop = self.loop("codes", minutes)
        mapping = self.generator.mapping
        optimizer = torch.optim.Adam(mapping.parameters(), 5e-4, fused=True)
        loop.keep(generator=self.generator, optimizer=optimizer)
        if not loop.resume():
            listen(mapping)
            answer(mapping, self.writer)
        random = np.random.default_rng(loop.step)
        for _ in loop:
            loop.anneal(optimizer)
            z = random.standard_normal((batch, LATENT), dtype=np.float32)[loop.shard.rows(batch)]
            parameters = torch.from_numpy(draw(z)).to(loop.device)
            w = mapping(torch.from_numpy(z).to(loop.device))[:, 0]
            error = F.mse_loss(w, self.writer(parameters))
            step(optimizer, error)
            if loop.due(50):
                loop.log(error=error)

    # ---- stage 2

    def regress(self, minutes: float, rate: float = 1.5e-2) -> None:
        """Draw the picture of each z, small ones first; a trained one goes on at full size."""
        loop = self.loop("regress", minutes)
        synthesis = self.generator.synthesis
        rate = rate if self.start is None else rate / 3
        optimizer = torch.optim.Adam(synthesis.parameters(), rate, (0.9, 0.99), fused=True)
        loop.keep(generator=self.generator, average=self.average.network, optimizer=optimizer)
        growth = GROWTH if self.start is None else ((1.0, 1),)
        if not loop.resume() and self.start is None:
            quieten(synthesis)
        for fraction, batch in zip(loop, self.batches(loop), strict=False):
            loop.anneal(optimizer)
            z, real, weight = batch
            factor = next(factor for share, factor in growth if fraction < share)
            real, weight = F.avg_pool2d(real, factor), F.avg_pool2d(weight, factor)
            person = (weight / self.weights.min()).sub(1).clamp(BACKGROUND, 1)
            with torch.no_grad():  # w is where it should be
                ws = self.generator.mapping(z) - OFFSET
            with loop.autocast():
                fake = image_at(synthesis, ws, real.shape[-1])
                distance = self.perceptual(real + person * (fake - real), real).mean()
            pixels = multiscale_l1(fake, real, weight)
            # Early on, features of a blur say little and drown the colours: their weight grows.
            share = 0.05 + 0.35 * fraction if self.start is None else 0.4
            step(optimizer, pixels + share * distance)
            self.average.update(self.generator, loop.step)
            if loop.due(50):
                loop.log(pixels=pixels, perceptual=distance)
            if loop.due(500):
                self.sheet(loop)

    # ---- shared

    def loop(self, stage: str, minutes: float) -> Loop:
        loop = Loop(self.out / stage, minutes, self.device)
        for network in (self.generator, self.average.network, self.perceptual):
            network.to(loop.device, memory_format=torch.channels_last)  # 1.7 times faster on a CPU
        self.writer.to(loop.device)
        self.weights = self.weights.to(loop.device)
        return loop

    def batches(self, loop: Loop) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Endless (z, picture in [-1, 1], weight of each pixel)."""
        latents = torch.from_numpy(self.data.latents())

        def read(index: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
            parts = torch.from_numpy(self.data.parts[index].astype(np.int64)).to(loop.device)
            return (
                latents[index].to(loop.device),
                to_tensor(self.data.images[index], loop.device),
                self.weights[parts][:, None],
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


def image_at(
    synthesis: Synthesis, ws: Float[Tensor, "b layers d"], size: int
) -> Float[Tensor, "b 3 size size"]:
    """The image that the skip architecture holds after its block of `size` pixels, no noise."""
    x = rgb = None
    for block, block_ws in synthesis.per_block(ws):
        x, rgb, _ = block(x, rgb, block_ws, "none")
        if rgb.shape[-1] == size:
            return rgb
    raise ValueError(f"size must be one of {synthesis.resolutions}; got {size}.")


def multiscale_l1(
    fake: Float[Tensor, "b 3 h w"], real: Float[Tensor, "b 3 h w"], weight: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Weighted mean absolute difference at full, half and quarter resolution."""
    total = fake.new_zeros(())
    difference = fake.float() - real
    weight = weight / weight.mean()
    for _ in range(3):
        total = total + (difference.abs() * weight).mean()
        difference, weight = F.avg_pool2d(difference, 2), F.avg_pool2d(weight, 2)
    return total


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
    """Mean PSNR [dB] and perceptual distance between G(z) and the render of z, on held-out z."""
    psnr, distance = [], []
    device = generator.mapping.w_avg.device
    latents = torch.from_numpy(data.latents())
    for start in range(0, len(data), 32):
        real = to_tensor(data.images[start : start + 32], device)
        fake = generator(latents[start : start + 32].to(device)).clamp(-1, 1)
        error = (fake - real).square().mean(dim=(1, 2, 3)) / 4
        psnr.append(-10 * error.log10())
        distance.append(perceptual(fake, real))
    return {"psnr": float(torch.cat(psnr).mean()), "lpips": float(torch.cat(distance).mean())}


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
    """Run the stages that have minutes, then save the averaged generator and its w statistics."""
    parser = arguments("Train the clay generator.", minutes=60, batch=16)
    parser.add_argument("--perceptual", type=Path, required=True, help="its trunk, safetensors")
    parser.add_argument("--shares", type=float, nargs=2, default=(0.05, 0.95),
                        metavar=("CODES", "REGRESS"))  # fmt: skip
    options = read(parser)
    torch.manual_seed(0)
    perceptual = weights.load_file(PerceptualDistance, options.perceptual)
    start = weights.load_file(Generator, options.start) if options.start else None
    trainer = Trainer(
        ClaySet(options.data), perceptual, options.out, options.device, options.batch, start
    )
    stages = (trainer.codes, trainer.regress)
    for stage, share in zip(stages, options.shares, strict=True):
        if share > 0 and not (start and stage == trainer.codes):  # its mapping is trained
            stage(options.minutes * share)
    recipe = "python -m pipelines.training.generator"
    deliver(trainer, options, recipe=recipe, shares=list(options.shares))


if __name__ == "__main__":
    main()
