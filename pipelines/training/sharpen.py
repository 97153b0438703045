"""Sharpen the regressed generator beside an encoder and a discriminator of features.

    python -m pipelines.training.sharpen --data DIR --validation DIR --perceptual FILE \
        --start GENERATOR [--encoder FILE] [--adversarial 0.25] --out DIR --minutes 70

A short regression paints the mean of what it cannot tell apart yet: hair without strands, a blur
for shelves. Two companions, which are not kept, teach the synthesis network G what it leaves out:

    E, an encoder, says in W+ what a picture has beyond its latent, so that inversions find codes
      for it:        min_{G, E}  l(x, G(E(x))) + LEASH ||E(x) - w||^2
    D, a discriminator, says what does not look rendered, on pairs, on pictures that E encodes, and
      on mixed styles. It scores the features of the perceptual network's trunk, which l compares as
      well (Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021), by the hinge loss.

l is the L1 of three scales weighted by part plus the perceptual distance; half of each batch are
pairs (z, picture), as in `generator`, half are encoded. What D asks of a picture is scaled to
--adversarial of what l asks, as the gradients at the picture measure it (Esser et al., "Taming
Transformers", CVPR 2021, Eq. 7, there at the last layer). The mapping network stays as it is.

On two CPU cores, at 0.7 s for a batch of 8, a discriminator of pixels was too slow to learn: in 400
steps it told patches apart by 0.4 in the logit, and G followed it into ringing contours. On the
trunk's features five minutes with a share of 0.5 take the Frechet distance of 1,000 samples from 24
to 6.0, and 26 more with 0.25 to 5.4; a share of 0.6 streaks plain backgrounds within ten.

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
from pipelines.networks.discriminator import FeatureDiscriminator
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.perceptual import PerceptualDistance, Stages
from pipelines.networks.stylegan2 import Generator
from pipelines.training.codes import OFFSET
from pipelines.training.generator import BACKGROUND, Trainer, deliver, read, step
from pipelines.training.loop import Loop, arguments
from pipelines.training.sheet import save_sheet
from pipelines.training.views import multiscale_l1

LEASH = 0.05  # weight of (E(x) - w)^2, mean over its numbers; those of w have unit variance
SOFTER = 0.75  # power of the parts' weights
BEHIND = 0.4  # share of the background's weight in the L1 of pairs: its layout is learned last
DISTANCE = 0.4  # weight of the perceptual distance, as at the end of `generator`
MIXED = 0.25  # share of the pairs whose styles are mixed; these D alone looks at
JUDGED_FROM = 0.02  # share of the time from which on G listens to D, which learns from the start


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
        self, encoder: LayerwiseEncoder, judge: FeatureDiscriminator, minutes: float,
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
        for fraction, drawn_from in zip(loop, self.batches(loop), strict=False):
            loop.anneal(drawing, reading, judging)
            z, real = drawn_from.z, drawn_from.real
            weight = self.weights[drawn_from.parts][:, None]
            batch = self.encoded_and_paired(loop, encoder, z, real, weight, MIXED if share else 0)
            with loop.autocast():
                fake = synthesis(batch.ws - OFFSET, "none")
                drawn = fake.detach().requires_grad_(True)
                stages = self.perceptual.stages(drawn)
                with torch.no_grad():
                    rendered = self.perceptual.stages(real)
            asked = share if fraction >= JUDGED_FROM else 0.0
            gradient, losses = self.wishes(loop, batch, drawn, stages, rendered, judge, asked)
            losses["residual"] = batch.residual.square().mean()
            reading.zero_grad(set_to_none=True)
            step(drawing, (fake * gradient).sum() + LEASH * losses["residual"])
            reading.step()
            if share:
                losses |= judge_step(loop, judge, judging, rendered, stages)
            self.average.update(self.generator, loop.step)
            if loop.due(50):
                loop.log(**losses)
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
        seen = self.seen(weight)
        told = torch.where(seen == 1, 1.0, BEHIND)
        told[:half] = 1.0  # E can find the layout that w means
        return Batch(codes, encoded - ws[:half], real, weight * told, seen, half + known)

    def seen(self, weight: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """1 on the person, `BACKGROUND` behind, as in `generator`."""
        return torch.where(weight > self.weights.min(), 1.0, BACKGROUND)

    def wishes(
        self, loop: Loop, batch: Batch, drawn: Tensor, stages: Stages, rendered: Stages,
        judge: FeatureDiscriminator, share: float,
    ) -> tuple[Float[Tensor, "b 3 h w"], dict[str, Tensor]]:  # fmt: skip
        """The gradient at the drawn pictures of l, plus D's at `share` of its length; the losses.

        drawn, stages, rendered: the pictures, their features, and those of the batch's own. D's is
        scaled by one number a batch, so that mixed styles, of which l knows nothing, weigh as much
        as the others.
        """
        known, losses = batch.known, {}
        real, seen = batch.real[:known], batch.seen[:known]
        pixels = multiscale_l1(drawn[:known], real, batch.weight[:known])
        distance = torch.zeros((), device=loop.device)
        for ours, theirs in zip(stages, rendered, strict=True):
            square = (ours[:known] - theirs[:known]).square().sum(1, keepdim=True)
            distance = distance + (square * F.adaptive_avg_pool2d(seen, square.shape[-2:])).mean()
        losses |= {"pixels": pixels, "perceptual": distance, "adversarial": torch.zeros(())}
        (gradient,) = torch.autograd.grad(
            pixels + DISTANCE * distance, drawn, retain_graph=bool(share)
        )
        if share:
            with loop.autocast():
                scores = judge(stages)
            losses["adversarial"] = -sum(score.mean() for score in scores) / len(scores)
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
    loop: Loop, judge: FeatureDiscriminator, optimizer: torch.optim.Optimizer, real: Stages,
    fake: Stages,
) -> dict[str, Tensor]:  # fmt: skip
    """One step of the discriminator on features, by the hinge loss; the mean scores."""
    with loop.autocast():
        on_real = judge(tuple(stage.detach() for stage in real))
        on_fake = judge(tuple(stage.detach() for stage in fake))
    pairs = list(zip(on_real, on_fake, strict=True))
    step(optimizer, sum(F.relu(1 - a).mean() + F.relu(1 + b).mean() for a, b in pairs) / len(pairs))
    return {
        "real": sum(a.mean() for a, _ in pairs) / len(pairs),
        "fake": sum(b.mean() for _, b in pairs) / len(pairs),
    }


def main() -> None:
    """Train, measure, and save the averaged generator and its w statistics."""
    parser = arguments("Sharpen the clay generator.", minutes=70, batch=8)
    parser.add_argument("--perceptual", type=Path, required=True, help="its trunk, safetensors")
    parser.add_argument("--encoder", type=Path, help="trained one for E to start from; else fresh")
    parser.add_argument("--rates", type=float, nargs=3, default=(2e-3, 5e-4, 2e-3),
                        metavar=("G", "E", "D"))  # fmt: skip
    parser.add_argument(
        "--adversarial", type=float, default=0.25,
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
    trainer.sharpen(encoder, FeatureDiscriminator(), options.minutes, rates, share)
    deliver(trainer, options, recipe="python -m pipelines.training.sharpen", adversarial=share)


if __name__ == "__main__":
    main()
