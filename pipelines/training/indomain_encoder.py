"""Train the domain-guided encoder E of in-domain GAN inversion (Zhu et al., ECCV 2020).

    python -m pipelines.training.indomain_encoder --data RENDERED --validation RENDERED --out RUN
    python -m pipelines.training.indomain_encoder --domain lsun-cat --data PHOTOGRAPHS --out RUN

Main Eqs. 3 and 4, on real (rendered) pictures through the frozen generator:

    min_E  ||x - G(E(x))||^2 + lambda_perceptual d(x, G(E(x))) - lambda_adversarial E[D(G(E(x)))]
    min_D  E[D(G(E(x)))] - E[D(x)] + gamma / 2 E[||grad D(x)||^2]

Symbols: x, a real picture; E, the encoder; G, the synthesis network; D, the discriminator; d, the
perceptual distance; gamma, the weight of the R1 penalty.

Departs from paper: D(.) enters as softplus(-D) and its mirror image (the logistic loss), because
an unbounded score outweighs pixel terms that are averaged over the picture; d replaces VGG
features, so that the lambdas are our own; R1 is taken every few steps with its weight raised to
match (Karras et al. 2020, Appendix B); with --start, E starts from the conventional encoder instead
of from nothing, and D, which doubles the cost of a step, joins after --adversarial-from of the
time, because the budget is minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

import weights
from examples.clay.dataset import ClaySet
from pipelines.components import GENERATOR, PERCEPTUAL
from pipelines.measures import psnr
from pipelines.networks.discriminator import Discriminator
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from pipelines.training.loop import (
    Average,
    Loop,
    arguments,
    finish,
    prefetch,
    shuffled,
    to_tensor,
)
from pipelines.training.photographs import Photographs, pictures
from pipelines.training.threads import use_threads
from weights.catalogue import needed

GAMMA, LAZY = 10.0, 8  # weight of R1, and steps from one penalty to the next
DISCRIMINATOR_CHANNELS = {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16}
NARROWEST = 16  # channels of the discriminator above 128 px
QUANTILES = 1001


def given(network: type[nn.Module], path: Path | None, name: str, device: torch.device):
    """A frozen network from a file, or the registered weight `name` where no file is given."""
    if path is not None:
        loaded = weights.load_file(network, path, device)
    else:
        loaded = weights.load(network, name, device, trust=True)
    return fast(loaded)


CLASSES = {  # option -> the components of a domain that can be it, by class
    "generator": GENERATOR, "perceptual": PERCEPTUAL, "judge": {"judge": PortraitJudge},
}  # fmt: skip


def network_options(parser: argparse.ArgumentParser, *options: str) -> None:
    """Add --domain, and for each network an option that takes a file instead of the domain's."""
    parser.add_argument("--domain", default="clay-heads", help="whose registered weights to take")
    for option in options:
        parser.add_argument(
            f"--{option}", type=Path, help="weights file; the domain's registered one if absent"
        )


def network_of(arg: argparse.Namespace, option: str, device: torch.device) -> nn.Module:
    """A frozen network: from the option's file, else what the domain's in-domain page has.

    Raises `WeightsError` where it has none.
    """
    classes, path = CLASSES[option], getattr(arg, option)
    names = {name.partition("/")[2]: name for name in needed(arg.domain, "indomain")}
    component = next((word for word in classes if word in names), None)
    if path is not None:
        return given(classes[component or option], path, "", device)
    if component is None:
        raise weights.WeightsError(
            f"expected a {option} among the weights of {arg.domain}; got none; "
            f"give --{option} FILE."
        )
    if arg.domain == "clay-heads":
        return given(classes[component], None, names[component], device)
    return fast(weights.load(classes[component], names[component], device))


def fast(network: nn.Module) -> nn.Module:
    """The network with channels last in memory: in bfloat16 a third faster on CPUs."""
    return network.to(memory_format=torch.channels_last)


@torch.no_grad()
def mean_code(generator: Generator, device: torch.device, count: int = 10_000) -> Tensor:
    """The mean w of `count` latents of seed 0, (512,)."""
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(0))
    # Over the layers too: some mappings give each its own w.
    codes = [generator.mapping(part.to(device)).mean(1) for part in z.split(2000)]
    return torch.cat(codes).mean(0)


def encoder_loss(
    x: Float[Tensor, "b 3 h w"],
    rebuilt: Float[Tensor, "b 3 h w"],
    perceptual: PerceptualDistance,
    discriminator: Discriminator | None,
    lambdas: tuple[float, float],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Main Eq. 3 of a batch, and its terms before weighting; lambdas: perceptual, adversarial.

    Without a discriminator the last term is 0.
    """
    terms = {
        "pixel": (x - rebuilt).square().mean(),
        "perceptual": perceptual(rebuilt, x).mean(),
        "adversarial": x.new_zeros(()),
    }
    if discriminator is not None:
        terms["adversarial"] = F.softplus(-discriminator(rebuilt)).mean()
    weighted = zip((1.0, *lambdas), terms.values(), strict=True)
    return sum(weight * term for weight, term in weighted), terms


def discriminator_loss(
    discriminator: nn.Module, real: Tensor, fake: Tensor, penalise: bool
) -> Tensor:
    """Main Eq. 4 of a batch; with `penalise`, R1 for the LAZY steps it stands for."""
    real = real.detach().requires_grad_(penalise)
    scores = discriminator(real)
    loss = F.softplus(discriminator(fake.detach())).mean() + F.softplus(-scores).mean()
    if penalise:
        (slope,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
        loss = loss + LAZY * GAMMA / 2 * slope.square().sum((1, 2, 3)).mean()
    return loss


@torch.no_grad()
def reconstructions(
    encoder: LayerwiseEncoder,
    generator: Generator,
    data: ClaySet | Photographs,
    device: torch.device,
    count: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of real pictures and their reconstructions G(E(x))."""
    for start in range(0, min(count, len(data)), 32):
        x = to_tensor(np.array(data.images[start : min(start + 32, count, len(data))]), device)
        yield x, generator.synthesis(encoder(x))


@torch.no_grad()
def evaluate(
    encoder: LayerwiseEncoder,
    generator: Generator,
    perceptual: PerceptualDistance,
    data: ClaySet | Photographs,
    device: torch.device,
    count: int = 1000,
) -> tuple[dict[str, float], Float[Tensor, " n"]]:
    """Mean PSNR [dB] and LPIPS on the first `count` pictures, and each picture's LPIPS."""
    decibels, lpips = [], []
    for x, rebuilt in reconstructions(encoder, generator, data, device, count):
        decibels.append(psnr(x, rebuilt.clamp(-1, 1)))
        lpips.append(perceptual(x, rebuilt.clamp(-1, 1)))
    distances = torch.cat(lpips).cpu()
    return {"psnr": torch.cat(decibels).mean().item(), "lpips": distances.mean().item()}, distances


def build(arg: argparse.Namespace, loop: Loop) -> tuple[nn.Module, ...]:
    """Frozen G and d, and E and D to train."""
    generator = network_of(arg, "generator", loop.device)
    perceptual = network_of(arg, "perceptual", loop.device)
    if arg.start is not None:
        encoder = weights.load_file(LayerwiseEncoder, arg.start, loop.device)
    else:
        encoder = encoder_for(generator, arg.width)
        encoder.w_mean.copy_(mean_code(generator, loop.device))
    levels = (2**k for k in range(2, generator.resolution.bit_length()))
    channels = {level: DISCRIMINATOR_CHANNELS.get(level, NARROWEST) for level in levels}
    discriminator = Discriminator(generator.resolution, channels)
    encoder, discriminator = (fast(m.to(loop.device)).train() for m in (encoder, discriminator))
    return generator, perceptual, encoder.requires_grad_(True), discriminator


def encoder_for(generator: nn.Module, width: int) -> LayerwiseEncoder:
    """A fresh encoder for a generator's codes and pictures."""
    return LayerwiseEncoder(generator.num_ws, generator.resolution, width, w_dim=generator.w_dim)


def train(arg: argparse.Namespace, loop: Loop) -> tuple[nn.Module, ...]:
    """Alternate main Eqs. 3 and 4 until the budget is spent; averaged E, G and d."""
    torch.manual_seed(0)
    # Networks, pictures, optimisers; from the last checkpoint where there is one.
    generator, perceptual, encoder, discriminator = build(arg, loop)
    data = pictures(arg.data, generator.resolution)
    average = Average(encoder)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=arg.rate, betas=(0.9, 0.99))
    critic = torch.optim.Adam(discriminator.parameters(), lr=arg.critic_rate, betas=(0.0, 0.99))
    loop.keep(
        encoder=encoder, average=average.network, discriminator=discriminator,
        optimizer=optimizer, critic=critic,
    )  # fmt: skip
    loop.resume()
    batches = (to_tensor(data.images[i]) for i in shuffled(len(data), arg.batch, seed=loop.step))
    lambdas = (arg.perceptual_weight, arg.adversarial_weight)
    for fraction, x in zip(loop, prefetch(batches), strict=False):
        loop.anneal(optimizer, critic)
        x, judged = x.to(loop.device), fraction >= arg.adversarial_from
        # The encoder's step, main Eq. 3; the discriminator judges once codes are codes.
        discriminator.requires_grad_(False)
        with loop.autocast():
            rebuilt = generator.synthesis(encoder(x))
            judge = discriminator if judged else None
            loss, terms = encoder_loss(x, rebuilt, perceptual, judge, lambdas)
        update(optimizer, loss)
        # The discriminator's step, main Eq. 4.
        if judged:
            discriminate(loop, discriminator, critic, x, rebuilt)
        # What is saved: the average.
        average.update(encoder, loop.step)
        if loop.due(20):
            loop.log(loss=loss, **terms, psnr=10 * math.log10(4 / terms["pixel"].item()))
    return average.network, generator, perceptual


def discriminate(
    loop: Loop, discriminator: Discriminator, critic: torch.optim.Optimizer, x: Tensor, fake: Tensor
) -> None:
    """One step of main Eq. 4."""
    discriminator.requires_grad_(True)
    penalise = loop.step % LAZY == 0
    # Second derivatives in bfloat16 lose too many digits: the penalty's step is float32.
    with contextlib.nullcontext() if penalise else loop.autocast():
        loss = discriminator_loss(discriminator, x, fake, penalise)
    update(critic, loss)


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step down `loss`."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def save_calibration(distances: Tensor, path: Path, card: dict) -> None:
    """Write the quantiles of validation distances, which words of fidelity are measured by."""
    quantiles = torch.quantile(distances.float(), torch.linspace(0, 1, QUANTILES))
    weights.save({"distance": quantiles}, path, card, half=False)


def parse() -> argparse.Namespace:
    parser = arguments("Train the domain-guided encoder.", minutes=20, batch=8)
    network_options(parser, "generator", "perceptual")
    parser.add_argument("--calibration", type=Path, help="write validation distances here")
    parser.add_argument("--width", type=int, default=24, help="of a fresh encoder")
    parser.add_argument("--rate", type=float, default=5e-4, help="learning rate of the encoder")
    parser.add_argument("--critic-rate", type=float, default=1e-3)
    parser.add_argument("--perceptual-weight", type=float, default=0.3)
    parser.add_argument("--adversarial-weight", type=float, default=0.02)
    parser.add_argument("--adversarial-from", type=float, default=0.7, help="share of the minutes")
    return parser.parse_args()


def main() -> None:
    arg = parse()
    use_threads(arg.threads)
    loop = Loop(arg.out, arg.minutes, arg.device)
    encoder, generator, perceptual = train(arg, loop)
    facts: dict[str, object] = {
        "recipe": "python -m pipelines.training.indomain_encoder",
        "seeds": f"train, {len(pictures(arg.data, generator.resolution))} pictures",
        **loop.facts(),
        "start": arg.start.stem if arg.start else "random",
        "lambda perceptual, adversarial": f"{arg.perceptual_weight}, {arg.adversarial_weight}",
        "discriminator joins at": arg.adversarial_from,
    }
    held_out: dict[str, float] = {}
    if arg.validation:
        held_out, distances = evaluate(
            encoder, generator, perceptual,
            pictures(arg.validation, generator.resolution), loop.device,
        )  # fmt: skip
        if arg.calibration:
            save_calibration(distances, arg.calibration, {**facts, "held_out": held_out})
    finish(arg.out, held_out, encoder, arg.weights, **facts)


if __name__ == "__main__":
    main()
