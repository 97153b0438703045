"""Train the conventional encoder, which in-domain GAN inversion is compared with.

    python -m pipelines.training.conventional_encoder --out RUN --minutes 8 [--domain ffhq]

Main Eq. 1 of Zhu et al. (ECCV 2020), after Zhu, Kraehenbuehl, Shechtman, Efros (ECCV 2016):

    min_E  E_z ||w - E(G(w))||^2,  w = mapping(z), z ~ N(0, I)

It sees samples of the generator alone, never a real picture, and supervises codes alone, never
pixels. Half of the samples change their code at a random layer (style mixing), so that layers'
codes are told apart.

Symbols: z, a latent; w, layer-wise codes; G, the frozen synthesis network; E, the encoder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

import weights
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.stylegan2 import Generator
from pipelines.training.indomain_encoder import (
    encoder_for,
    evaluate,
    fast,
    mean_code,
    network_of,
    network_options,
    update,
)
from pipelines.training.loop import Average, Loop, finish
from pipelines.training.photographs import pictures
from pipelines.training.threads import use_threads

MIXING = 0.5  # share of samples with two codes
HELD_OUT_SEED = 1_000_000  # training draws from small seeds


@torch.no_grad()
def sample(
    generator: Generator,
    count: int,
    device: torch.device,
    random: torch.Generator,
    rows: slice = slice(None),
) -> tuple[Float[Tensor, "b layers 512"], Float[Tensor, "b 3 h w"]]:
    """Codes of random latents, some of them mixed, and their pictures; rows: those to keep."""
    z = torch.randn(2 * count, generator.z_dim, generator=random).to(device)
    ws, others = generator.mapping(z).chunk(2)
    crossing = torch.randint(1, generator.num_ws, (count, 1), generator=random)
    mixed = torch.rand(count, 1, generator=random) < MIXING
    swap = (mixed & (torch.arange(generator.num_ws) >= crossing)).to(device)
    ws = torch.where(swap[:, :, None], others, ws)[rows]
    return ws, generator.synthesis(ws)


def train(arg: argparse.Namespace, loop: Loop, generator: Generator) -> nn.Module:
    """Minimise main Eq. 1 until the budget is spent; the averaged encoder."""
    torch.manual_seed(0)
    # The encoder: trained before, or fresh with the mean code as its origin.
    if arg.start is not None:
        encoder = weights.load_file(LayerwiseEncoder, arg.start, loop.device)
    else:
        encoder = encoder_for(generator, arg.width).to(loop.device)
        encoder.w_mean.copy_(mean_code(generator, loop.device))
    encoder = fast(encoder).train().requires_grad_(True)
    average = Average(encoder)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=arg.rate, betas=(0.9, 0.99))
    loop.keep(encoder=encoder, average=average.network, optimizer=optimizer)
    loop.resume()
    random, own = torch.Generator().manual_seed(loop.step), loop.shard.rows(arg.batch)
    for _ in loop:
        loop.anneal(optimizer)
        # Samples of the generator, whose codes are known (main Eq. 1).
        with loop.autocast():
            ws, x = sample(generator, arg.batch, loop.device, random, own)
            loss = (ws - encoder(x)).square().mean()
        update(optimizer, loss)
        average.update(encoder, loop.step)
        if loop.due(20):
            spread = (ws - encoder.w_mean).square().mean()
            loop.log(loss=loss, unexplained=loss / spread)
    return average.network


@torch.no_grad()
def unexplained(encoder: LayerwiseEncoder, generator: Generator, device: torch.device) -> float:
    """Share of the codes' variance that E misses on 256 fresh samples; 0 is perfect."""
    random = torch.Generator().manual_seed(HELD_OUT_SEED)
    error, spread = 0.0, 0.0
    for _ in range(8):
        ws, x = sample(generator, 32, device, random)
        error += (ws - encoder(x)).square().mean().item()
        spread += (ws - encoder.w_mean).square().mean().item()
    return error / spread


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the conventional encoder.")
    parser.add_argument("--validation", type=Path, help="rendered split, or photographs")
    parser.add_argument("--out", type=Path, required=True, help="log, checkpoint, metrics")
    parser.add_argument("--minutes", type=float, default=8, help="budget over all runs")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--start", type=Path, help="trained weights to go on from")
    parser.add_argument("--weights", type=Path, help="write the trained weights here, in fp16")
    network_options(parser, "generator", "perceptual")
    parser.add_argument("--width", type=int, default=24, help="channels of the encoder's stem")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    return parser.parse_args()


def main() -> None:
    arg = parse()
    use_threads(arg.threads)
    loop = Loop(arg.out, arg.minutes, arg.device)
    generator = network_of(arg, "generator", loop.device)
    encoder = train(arg, loop, generator)
    held_out = {"unexplained share of w": unexplained(encoder, generator, loop.device)}
    if arg.validation:
        perceptual = network_of(arg, "perceptual", loop.device)
        data = pictures(arg.validation, generator.resolution)
        held_out |= evaluate(encoder, generator, perceptual, data, loop.device)[0]
    finish(
        arg.out, held_out, encoder, arg.weights,
        recipe="python -m pipelines.training.conventional_encoder",
        seeds="samples of the generator, torch seed 0",
        start=arg.start.stem if arg.start else "random", **loop.facts(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
