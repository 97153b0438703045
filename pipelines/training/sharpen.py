"""Sharpen the regressed generator beside an encoder and, with a GPU's time, a discriminator.

    python -m pipelines.training.sharpen --data DIR --validation DIR --perceptual FILE \
        --start GENERATOR [--encoder FILE] [--adversarial 0.1] --out DIR --minutes 70

A regression paints the mean of all that a code may stand for: hair without strands, a blur for
shelves. Two companions, neither of which is kept, teach the synthesis network G what it leaves out:

    E, an encoder, says in W+ what a picture has beyond its latent, so that inversions find codes
      for it:        min_{G, E}  l(x, G(E(x))) + LEASH ||E(x) - w||^2
    D, a discriminator of patches, says what does not look rendered, on pairs, on pictures that E
      encodes, and on mixed styles (Karras et al. 2020: non-saturating logistic loss, lazy R1,
      moving average of the weights).

l is the L1 of three scales weighted by part plus the perceptual distance; half of each batch are
pairs (z, picture), as in `generator`, half are encoded. What D asks of a picture is scaled to
--adversarial of what l asks, as the gradients at the picture measure it (Esser et al., "Taming
Transformers", CVPR 2021, Eq. 7, there at the last layer). The mapping network stays as it is.

D is off by default: in the 400 steps that two CPU cores had for it, it learnt to tell blurred
patches from rendered ones by 0.4 in the logit, and G followed it into ringing contours (a share of
0.12 took the training pictures' perceptual distance from 0.8 to 1.25 in 200 steps).

Symbols: x picture; w = mapping(z) its code; d perceptual distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

import weights
from examples.clay.dataset import ClaySet
from pipelines.networks.discriminator import PatchDiscriminator
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
from pipelines.training.loop import Loop, arguments
from pipelines.training.sheet import save_sheet

LEASH = 0.05  # weight of (E(x) - w)^2, mean over its numbers; those of w have unit variance
SOFTER = 0.75  # power of the parts' weights
DISTANCE = 0.4  # weight of the perceptual distance, as at the end of `generator`'s second stage
MIXED = 0.25  # share of the pairs whose styles are mixed; these D alone looks at
JUDGED_FROM = 0.1  # share of the time from which on G listens to D, which learns from the start
GAMMA, LAZY = 0.02, 16  # weight of R1, and steps from one penalty to the next


@dataclass
class Batch:
    """Pictures to draw: those that E encodes, then pairs, then pairs with mixed styles."""

    ws: Float[Tensor, "b layers d"]
    residual: Float[Tensor, "encoded layers d"]  # E(x) - w
    real: Float[Tensor, "b 3 h w"]
    weight: Float[Tensor, "b 1 h w"]
    seen: Float[Tensor, "b 1 h w"]  # where the perceptual distance looks
    known: int  # how many of the first have a picture that they should be


class Sharpener(Trainer):
    """The generator's trainer, with E and D at its side."""

    def sharpen(
        self, encoder: LayerwiseEncoder, judge: PatchDiscriminator, minutes: float,
        rates: tuple[float, float, float], share: float,
    ) -> None:  # fmt: skip
        """Train all three; rates: of G, E and D. share: of l's gradient that D's is scaled to."""
        loop = self.loop("sharpen", minutes)
        for network in (encoder, judge):
            network.to(loop.device, memory_format=torch.channels_last).train()
        synthesis = self.generator.synthesis
        drawing = torch.optim.Adam(synthesis.parameters(), rates[0], (0.9, 0.99), fused=True)
        reading = torch.optim.Adam(encoder.parameters(), rates[1], (0.9, 0.99), fused=True)
        judging = torch.optim.Adam(judge.parameters(), rates[2], (0.0, 0.99), fused=True)
        loop.keep(generator=self.generator, average=self.average.network, encoder=encoder)
        loop.keep(judge=judge, drawing=drawing, reading=reading, judging=judging)
        loop.resume()
        # The features are drawn by now: hair and shelves need not be outweighed ten times over.
        self.weights = self.weights**SOFTER
        for fraction, (z, real, weight) in zip(loop, self.batches(loop), strict=False):
            loop.anneal(drawing, reading, judging)
            batch = self.encoded_and_paired(loop, encoder, z, real, weight, MIXED if share else 0)
            with loop.autocast():
                fake = synthesis(batch.ws - OFFSET, "none")
            judged = judge_step(loop, judge, judging, real, fake.detach()) if share else {}
            asked = share if fraction >= JUDGED_FROM else 0.0
            gradient, losses = self.wishes(loop, batch, fake, judge, asked)
            losses["residual"] = batch.residual.square().mean()
            reading.zero_grad(set_to_none=True)
            step(drawing, (fake * gradient).sum() + LEASH * losses["residual"])
            reading.step()
            self.average.update(self.generator, loop.step)
            if loop.due(50):
                loop.log(**losses, **judged)
            if loop.due(400):
                self.sheet(loop)
                self.reconstructions(loop, encoder, z, real)

    def encoded_and_paired(
        self, loop: Loop, encoder: LayerwiseEncoder, z: Tensor, real: Tensor, weight: Tensor,
        mixed: float = MIXED,
    ) -> Batch:  # fmt: skip
        """The first half encoded, the second half pairs, the last share of them mixed."""
        half = len(z) // 2
        with torch.no_grad():
            ws = self.generator.mapping(z)
        with loop.autocast():
            encoded = encoder(real[:half]).float()
        paired, known = mix_styles(ws[half:], mixed)
        codes = torch.cat([encoded, paired])
        return Batch(codes, encoded - ws[:half], real, weight, self.seen(weight), half + known)

    def seen(self, weight: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """1 on the person, `BACKGROUND` behind, as in `generator`'s second stage."""
        return torch.where(weight > self.weights.min(), 1.0, BACKGROUND)

    def wishes(
        self, loop: Loop, batch: Batch, fake: Tensor, judge: PatchDiscriminator, share: float
    ) -> tuple[Float[Tensor, "b 3 h w"], dict[str, Tensor]]:
        """The gradient at the drawn pictures of l, plus D's at `share` of its length; the losses.

        D's is scaled by one number a batch, so that mixed styles, of which l knows nothing, weigh
        as much as the others.
        """
        drawn = fake.detach().requires_grad_(True)
        known, losses = batch.known, {}
        real, seen = batch.real[:known], batch.seen[:known]
        pixels = multiscale_l1(drawn[:known], real, batch.weight[:known])
        with loop.autocast():
            distance = self.perceptual(real + seen * (drawn[:known] - real), real).mean()
        losses |= {"pixels": pixels, "perceptual": distance, "adversarial": torch.zeros(())}
        (gradient,) = torch.autograd.grad(pixels + DISTANCE * distance, drawn)
        if share:
            judge.requires_grad_(False)
            with loop.autocast():
                scores = judge(drawn)
            judge.requires_grad_(True)
            losses["adversarial"] = F.softplus(-scores).mean()
            (asked,) = torch.autograd.grad(losses["adversarial"], drawn)
            gradient = gradient + asked * (share * gradient.norm() / (asked.norm() + 1e-12))
        return gradient, losses

    @torch.no_grad()
    def reconstructions(self, loop: Loop, encoder: LayerwiseEncoder, z: Tensor, x: Tensor) -> None:
        """Training pictures, what is drawn from their w, and from what E says."""
        synthesis, ws = self.averaged().synthesis, self.generator.mapping(z)
        pictures = torch.cat([x, synthesis(ws, "none"), synthesis(encoder(x), "none")])
        save_sheet(loop.out / f"reconstructions-{loop.step:06d}.png", pictures, len(x))


def mix_styles(
    ws: Float[Tensor, "b layers d"], share: float
) -> tuple[Float[Tensor, "b layers d"], int]:
    """The batch with its last `share` mixed with other codes from a random layer on.

    Returns the codes and the number of first ones that were left as they are.
    """
    paired = len(ws) - round(share * len(ws))
    mixed = ws.clone()
    for row in range(paired, len(ws)):
        layer = int(torch.randint(1, ws.shape[1], ()))
        mixed[row, layer:] = ws[int(torch.randint(0, len(ws), ())), layer:]
    return mixed, paired


def judge_step(
    loop: Loop, judge: PatchDiscriminator, optimizer: torch.optim.Optimizer, real: Tensor,
    fake: Tensor,
) -> dict[str, Tensor]:  # fmt: skip
    """One step of the discriminator: logistic, with R1 every LAZY steps at LAZY times its weight.

    The penalty of a picture is the mean of its patches': they are judged one by one.
    """
    with loop.autocast():
        on_real, on_fake = judge(real), judge(fake)
    loss = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
    if loop.step % LAZY == 0:
        part = real[: len(real) // 2].clone().requires_grad_(True)
        scores = judge(part)
        (slope,) = torch.autograd.grad(scores.sum(), part, create_graph=True)
        penalty = slope.square().sum() / scores.numel()
        loss = loss + LAZY * GAMMA / 2 * penalty
    step(optimizer, loss)
    return {"real": on_real.mean(), "fake": on_fake.mean()}


def main() -> None:
    """Train, measure, and save the averaged generator and its w statistics."""
    parser = arguments("Sharpen the clay generator.", minutes=70, batch=8)
    parser.add_argument("--perceptual", type=Path, required=True, help="its trunk, safetensors")
    parser.add_argument("--encoder", type=Path, help="trained one for E to start from; else fresh")
    parser.add_argument("--rates", type=float, nargs=3, default=(5e-3, 5e-4, 3e-3),
                        metavar=("G", "E", "D"))  # fmt: skip
    parser.add_argument(
        "--adversarial", type=float, default=0.0,
        help="length of D's gradient at the picture, in lengths of l's; 0 trains without D",
    )  # fmt: skip
    options = read(parser)
    if options.start is None:
        parser.error("--start must name a trained generator; got none. See `generator`.")
    torch.manual_seed(0)
    perceptual = weights.load_file(PerceptualDistance, options.perceptual)
    start = weights.load_file(Generator, options.start)
    encoder = LayerwiseEncoder(start.num_ws, start.resolution, w_dim=start.w_dim)
    if options.encoder:
        encoder = weights.load_file(LayerwiseEncoder, options.encoder).requires_grad_(True)
    trainer = Sharpener(
        ClaySet(options.data), perceptual, options.out, options.device, options.batch, start
    )
    rates, share = tuple(options.rates), options.adversarial
    trainer.sharpen(encoder, PatchDiscriminator(), options.minutes, rates, share)
    deliver(trainer, options, recipe="python -m pipelines.training.sharpen", adversarial=share)


if __name__ == "__main__":
    main()
