"""Train the encoder that EditGAN embeds pictures with (Ling et al., NeurIPS 2021, Sec. 3.2).

    python -m pipelines.training.editgan_encoder --data RENDERED --out RUN --minutes 4 --start FILE

    min_E  sum over x, real and sampled:  ||x - G(E(x))||^2 + lambda_perceptual d(x, G(E(x)))
           + lambda_code E_w ||w - E(G(w))||^2

The last term is for samples alone, whose codes are known. There is no discriminator.

Symbols: x, a picture; w, layer-wise codes; G, the frozen synthesis network; E, the encoder; d, the
perceptual distance.

Departs from paper: with --start, E begins as another encoder of the same generator instead of from
nothing, because the budget is minutes.
"""

from __future__ import annotations

import argparse
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from pipelines.training.conventional_encoder import sample, unexplained
from pipelines.training.indomain_encoder import build, evaluate, network_options, update
from pipelines.training.loop import (
    Average,
    Loop,
    arguments,
    finish,
    prefetch,
    shuffled,
    to_tensor,
)
from pipelines.training.photographs import pictures
from pipelines.training.threads import use_threads


def encoder_loss(
    encoder: nn.Module,
    generator: Generator,
    perceptual: PerceptualDistance,
    real: Float[Tensor, "b 3 h w"],
    sampled: tuple[Float[Tensor, "c layers 512"], Float[Tensor, "c 3 h w"]],
    lambdas: tuple[float, float],
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch of real pictures and one of (codes, pictures), and its terms before
    weighting; lambdas: perceptual, code."""
    ws, pictures = sampled
    x = torch.cat([real, pictures])
    codes = encoder(x)
    rebuilt = generator.synthesis(codes)
    terms = {
        "pixel": (x - rebuilt).square().mean(),
        "perceptual": perceptual(rebuilt, x).mean(),
        "code": (ws - codes[len(real) :]).square().mean(),
    }
    weighted = zip((1.0, *lambdas), terms.values(), strict=True)
    return sum(weight * term for weight, term in weighted), terms


def train(arg: argparse.Namespace, loop: Loop) -> tuple[nn.Module, ...]:
    """Train until the budget is spent; averaged E, G and d."""
    torch.manual_seed(0)
    # Networks, photographs, optimiser.
    generator, perceptual, encoder, _ = build(arg, loop)
    data = pictures(arg.data, generator.resolution)
    average = Average(encoder)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=arg.rate, betas=(0.9, 0.99))
    loop.keep(encoder=encoder, average=average.network, optimizer=optimizer)
    loop.resume()
    random = torch.Generator().manual_seed(loop.step)
    rows = shuffled(len(data), arg.batch, seed=loop.step)
    batches = prefetch(to_tensor(data.images[i]) for i in rows)
    lambdas = (arg.perceptual_weight, arg.code_weight)
    half = max(1, arg.batch // 2)
    own = loop.shard.rows(half)
    for _, real in zip(loop, batches, strict=False):
        loop.anneal(optimizer)
        # Half of a batch are samples, whose codes are known; the others are pictures.
        with loop.autocast():
            sampled = sample(generator, half, loop.device, random, own)
            loss, terms = encoder_loss(
                encoder, generator, perceptual, real.to(loop.device), sampled, lambdas
            )
        update(optimizer, loss)
        average.update(encoder, loop.step)
        if loop.due(20):
            loop.log(loss=loss, **terms, psnr=10 * math.log10(4 / terms["pixel"].item()))
    return average.network, generator, perceptual


def parse() -> argparse.Namespace:
    parser = arguments("Train the encoder of EditGAN.", minutes=4, batch=8)
    network_options(parser, "generator", "perceptual")
    parser.add_argument("--width", type=int, default=24, help="of a fresh encoder")
    parser.add_argument("--rate", type=float, default=3e-4, help="learning rate")
    parser.add_argument("--perceptual-weight", type=float, default=0.1)
    parser.add_argument("--code-weight", type=float, default=0.02)
    return parser.parse_args()


def main() -> None:
    arg = parse()
    use_threads(arg.threads)
    loop = Loop(arg.out, arg.minutes, arg.device)
    encoder, generator, perceptual = train(arg, loop)
    held_out = {"unexplained share of w": unexplained(encoder, generator, loop.device)}
    if arg.validation:
        seen = pictures(arg.validation, generator.resolution)
        held_out |= evaluate(encoder, generator, perceptual, seen, loop.device)[0]
    finish(
        arg.out, held_out, encoder, arg.weights,
        recipe="python -m pipelines.training.editgan_encoder",
        seeds=f"train, {len(pictures(arg.data, generator.resolution))} pictures, and samples of "
        "the generator", **loop.facts(),
        start=arg.start.stem if arg.start else "random",
    )  # fmt: skip


if __name__ == "__main__":
    main()
