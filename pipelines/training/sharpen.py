"""Go on training the starter generator beside an encoder, so that W+ tells pictures apart.

    python -m pipelines.training.residual --data DIR --validation DIR --perceptual FILE \
        --start GENERATOR [--encoder FILE] --out DIR --minutes 70

What stands where on a shelf can hardly be told from z: pairs of z and picture leave it blurred,
and an inversion then finds no code that draws it. Here every other batch may say in W+ what its
picture has beyond its latent,

    min_{G, R}  |x - G(w + R(x))| + d(x, G(w + R(x))) + LEASH ||R(x)||^2,    w = mapping(z),

where R, an encoder, learns to see that residual; the leash keeps it near w, where edits work. The
batches between are the pairs of `generator`'s second stage, at full size. The mapping network stays
as it is. R knows only what z leaves open and is not kept: E is trained through the frozen G as
before (`indomain_encoder`).

Symbols: x picture; z its latent; w its code; G synthesis; R residual encoder; d perceptual
distance.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

import weights
from examples.clay.dataset import ClaySet
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from pipelines.training.codes import OFFSET
from pipelines.training.generator import (
    BACKGROUND,
    Trainer,
    deliver,
    multiscale_l1,
    read,
    step,
)
from pipelines.training.loop import arguments
from pipelines.training.sheet import save_sheet

LEASH = 0.05  # weight of R(x)^2, mean over its numbers; those of w have unit variance
DISTANCE = 0.4  # weight of the perceptual distance, as at the end of `generator`'s second stage


class Companion(Trainer):
    """The generator's trainer, with a residual encoder at its side."""

    def follow(self, encoder: LayerwiseEncoder, minutes: float, rates: tuple[float, float]) -> None:
        """Train both; rates: of the synthesis network and of the encoder."""
        loop = self.loop("together", minutes)
        encoder.to(loop.device, memory_format=torch.channels_last).train()
        synthesis = self.generator.synthesis
        drawing = torch.optim.Adam(synthesis.parameters(), rates[0], (0.9, 0.99), fused=True)
        reading = torch.optim.Adam(encoder.parameters(), rates[1], (0.9, 0.99), fused=True)
        loop.keep(generator=self.generator, average=self.average.network, encoder=encoder)
        loop.keep(drawing=drawing, reading=reading)
        loop.resume()
        # The features are drawn by now: the square root leaves them ahead, and hair and shelves
        # are no longer outweighed ten times over.
        self.weights = self.weights.sqrt()
        losses = {name: torch.zeros(()) for name in ("paired", "told", "residual")}
        for _, (z, real, weight) in zip(loop, self.batches(loop), strict=False):
            loop.anneal(drawing, reading)
            with torch.no_grad():
                ws = self.generator.mapping(z)
            if loop.step % 2:
                losses["paired"] = self.draw(loop, ws, real, weight, self.seen(weight))
                step(drawing, losses["paired"])
            else:
                residual = encoder(real) - encoder.w_mean
                losses["residual"] = residual.square().mean()
                whole = torch.ones_like(weight)
                losses["told"] = self.draw(loop, ws + residual, real, weight, whole)
                reading.zero_grad(set_to_none=True)
                step(drawing, losses["told"] + LEASH * losses["residual"])
                reading.step()
            self.average.update(self.generator, loop.step)
            if loop.due(50):
                loop.log(**losses)
            if loop.due(500):
                self.sheet(loop)
                self.reconstructions(loop, encoder, ws, real)

    def draw(
        self, loop, ws: Float[Tensor, "b layers d"], real: Tensor, weight: Tensor, seen: Tensor
    ) -> Float[Tensor, ""]:
        """Weighted L1 over three scales plus the perceptual distance where `seen` is 1."""
        with loop.autocast():
            fake = self.generator.synthesis(ws - OFFSET, "none")
            distance = self.perceptual(real + seen * (fake - real), real).mean()
        return multiscale_l1(fake, real, weight) + DISTANCE * distance

    def seen(self, weight: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """1 on the person, `BACKGROUND` behind, as in `generator`'s second stage."""
        return torch.where(weight > self.weights.min(), 1.0, BACKGROUND)

    @torch.no_grad()
    def reconstructions(self, loop, encoder: LayerwiseEncoder, ws: Tensor, real: Tensor) -> None:
        """Training pictures, what is drawn from w alone, and with the residual."""
        synthesis = self.averaged().synthesis
        told = synthesis(ws + encoder(real) - encoder.w_mean, "none")
        pictures = torch.cat([real, synthesis(ws, "none"), told])
        save_sheet(loop.out / f"reconstructions-{loop.step:06d}.png", pictures, len(real))


@torch.no_grad()
def silence(encoder: LayerwiseEncoder) -> LayerwiseEncoder:
    """Let a trained encoder say next to nothing at first: its features stay, its heads shrink."""
    encoder.requires_grad_(True)
    for head in encoder.heads:
        head.weight.mul_(0.1)
        head.bias.zero_()
    return encoder


def main() -> None:
    """Train, measure, and save the averaged generator and its w statistics."""
    parser = arguments("Train the clay generator beside an encoder.", minutes=70, batch=8)
    parser.add_argument("--perceptual", type=Path, required=True, help="its trunk, safetensors")
    parser.add_argument("--encoder", type=Path, help="trained one for R to start from; else fresh")
    parser.add_argument("--rates", type=float, nargs=2, default=(4e-3, 4e-4), metavar=("G", "R"))
    options = read(parser)
    if options.start is None:
        parser.error("--start must name a trained generator; got none. See `generator`.")
    torch.manual_seed(0)
    perceptual = weights.load_file(PerceptualDistance, options.perceptual)
    start = weights.load_file(Generator, options.start)
    encoder = LayerwiseEncoder(start.num_ws, start.resolution, w_dim=start.w_dim)
    if options.encoder:
        encoder = silence(weights.load_file(LayerwiseEncoder, options.encoder))
    trainer = Companion(
        ClaySet(options.data), perceptual, options.out, options.device, options.batch, start
    )
    trainer.follow(encoder, options.minutes, tuple(options.rates))
    deliver(trainer, options, recipe="python -m pipelines.training.residual")


if __name__ == "__main__":
    main()
