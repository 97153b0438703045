"""Train the invertibility network of SAM inversion (Parmar et al., CVPR 2022, Sec. 3.1).

    python -m pipelines.training.invertibility --out RUN [--count 400] [--weights FILE]

First every picture is inverted in each latent alone (W+ and the feature layers), which is most of
the work (`single_latents`); it is kept under RUN/inversions. Then

    min_S  sum over latents l  ||S_l(x) - e_l||^2,  e_l = LPIPS(x, x^_l) at every pixel  (Eq. 3.2)

Pictures are portraits of training seeds, half of them before sharp clutter or with props.

Symbols: x, a picture; x^_l, its inversion in latent l; S, the network, one backbone with a head a
latent; tau, the error under which a latent will do.

Departs from paper: Adam instead of SGD, pictures are mirrored, S starts at the mean errors, and the
loss sees what the heads predict before their ReLU.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pipelines.invertibility import InvertibilityMaps, latent_map, segments_of
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.invertibility import InvertibilityNet
from pipelines.networks.parser import FaceParser
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from pipelines.sam_inversion import TUNINGS, SAMInversion
from pipelines.training.hard_portraits import KINDS, kind_of
from pipelines.training.indomain_encoder import given, update
from pipelines.training.loop import Average, Loop, finish, shuffled, to_tensor
from pipelines.training.single_latents import Inverted, invert_all, read_all
from pipelines.training.threads import use_threads

CLAY = "clay-heads"
WIDTH, DEPTHS = 16, (2, 2, 2)  # of S; published: 64, (3, 4, 23)
TAUS = (0.25, 0.5, 0.75)  # quantiles of the segments' errors in W+ at which choices are compared


def fresh(latents: tuple[str, ...], errors: Float[Tensor, "n latents h w"]) -> InvertibilityNet:
    """A network that predicts the mean error of each latent, whatever it sees."""
    torch.manual_seed(0)
    net = InvertibilityNet(list(latents), width=WIDTH, depths=list(DEPTHS))
    for head, mean in zip(net.heads.values(), errors.mean((0, 2, 3)), strict=True):
        torch.nn.init.zeros_(head[3].weight)
        torch.nn.init.constant_(head[3].bias, mean.item())
    return net


def unclipped(net: InvertibilityNet, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b latents h w"]:
    """What the network predicts before the ReLU of each head.

    Trained on: a head whose ReLU once clips all it predicts would learn nothing any more.
    """
    features = net.base(x)
    return torch.cat([head[:-1](features) for head in net.heads.values()], dim=1)


def train(
    data: Inverted, net: InvertibilityNet, loop: Loop, batch: int, rate: float
) -> InvertibilityNet:
    """Eq. 3.2 until the budget is spent; the averaged network."""
    net = net.to(loop.device).train().requires_grad_(True)
    average = Average(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    loop.keep(net=net, average=average.network, optimizer=optimizer)
    loop.resume()
    rows, random = data.rows(held_out=False), torch.Generator().manual_seed(loop.step)
    for _, picked in zip(loop, shuffled(len(rows), batch, seed=loop.step), strict=False):
        loop.anneal(optimizer)
        index = rows[picked]
        x, target = to_tensor(data.images[index]), data.errors[index]
        mirrored = torch.rand(len(x), 1, 1, 1, generator=random) < 0.5
        x, target = (torch.where(mirrored, t.flip(3), t).to(loop.device) for t in (x, target))
        with loop.autocast():
            loss = F.mse_loss(unclipped(net, x), target)
        update(optimizer, loss)
        average.update(net, loop.step)
        if loop.due(20):
            loop.log(loss=loss)
    return average.network


@torch.no_grad()
def evaluate(
    pipeline: SAMInversion, net: InvertibilityNet, data: Inverted
) -> dict[str, float | dict[str, float]]:
    """Held-out numbers: unexplained variance of each latent's error, how often a segment takes the
    latent that its true errors ask for, and the errors of segments in W+ by kind of picture."""
    rows = data.rows(held_out=True)
    device, true = pipeline.device, data.errors[rows]
    x = to_tensor(data.images[rows])
    found = torch.cat([torch.cat(list(net(part.to(device)).values()), 1) for part in x.split(16)])
    gap = (found.cpu() - true).square().mean((0, 2, 3)) / true.var((0, 2, 3))
    pairs = list(_refined(pipeline, x, found.cpu(), true))
    per_kind: dict[str, list[np.ndarray]] = {}
    for row, (_, truth) in zip(rows, pairs, strict=True):
        per_kind.setdefault(kind_of(int(row)), []).append(truth.means[0])
    errors = np.concatenate([truth.means[0] for _, truth in pairs])
    agreed = [
        (latent_map(ours, tau) == latent_map(truth, tau)).mean()
        for tau in np.quantile(errors, TAUS) for ours, truth in pairs
    ]  # fmt: skip
    return {
        "unexplained": dict(zip(pipeline.latents, gap.tolist(), strict=True)),
        "same latent": float(np.mean(agreed)),
        "psnr": dict(zip(pipeline.latents, data.psnr.mean(0).tolist(), strict=True)),
        "error in W+": {
            kind: float(np.mean(np.concatenate(per_kind[kind]))) for kind in KINDS
            if kind in per_kind
        },
        "tau that gives W+ nine tenths of plain segments": float(
            np.quantile(np.concatenate(per_kind[KINDS[0]]), 0.9)
        ),
    }  # fmt: skip


def _refined(
    pipeline: SAMInversion, x: Tensor, found: Tensor, true: Tensor
) -> Iterator[tuple[InvertibilityMaps, InvertibilityMaps]]:
    """Predicted and true maps of each picture over the same segments."""
    for picture, *both in zip(x, found, true, strict=True):
        parts = pipeline.parser.parse(picture[None].to(pipeline.device))[0].cpu().numpy()
        segments = segments_of(picture, parts)
        named = (dict(zip(pipeline.latents, e.numpy(), strict=True)) for e in both)
        yield tuple(InvertibilityMaps.refined(errors, segments) for errors in named)


def networks(arg: argparse.Namespace, device: torch.device) -> dict[str, torch.nn.Module]:
    """Generator, encoder, parser and perceptual network: files that are given, else clay's."""
    return {
        "generator": given(Generator, arg.generator, f"{CLAY}/generator", device),
        "encoder": given(LayerwiseEncoder, arg.encoder, f"{CLAY}/indomain-encoder", device),
        "parser": given(FaceParser, arg.parser, f"{CLAY}/parser", device),
        "perceptual": given(PerceptualDistance, arg.perceptual, f"{CLAY}/perceptual", device),
    }


def network_files(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add an option for each network that `networks` and a recipe of SAM take."""
    for name in ("generator", "encoder", "parser", "perceptual", *more):
        parser.add_argument(f"--{name}", type=Path, help="weights file; clay's own if absent")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the invertibility network of SAM.")
    parser.add_argument("--out", type=Path, required=True, help="inversions, log, metrics")
    parser.add_argument("--count", type=int, default=400, help="pictures to invert")
    parser.add_argument("--steps", type=int, default=100, help="of each inversion")
    parser.add_argument("--train-steps", type=int, default=2500, help="of the regression")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--weights", type=Path, help="write the trained weights here, in fp16")
    network_files(parser)
    return parser.parse_args()


def main() -> None:
    arg = parse()
    use_threads(arg.threads)
    loop = Loop(arg.out, minutes=1, device=arg.device, steps=arg.train_steps)
    pipeline = SAMInversion(
        **networks(arg, loop.device), invertibility=None, device=loop.device, tuning=TUNINGS[CLAY]
    )
    folder = arg.out / "inversions"
    invert_all(pipeline, folder, arg.count, arg.batch, arg.steps)
    data = read_all(pipeline, folder, arg.steps)
    net = train(data, fresh(pipeline.latents, data.errors), loop, arg.batch, arg.rate)
    finish(
        arg.out, evaluate(pipeline, net, data), net, arg.weights,
        recipe="python -m pipelines.training.invertibility", **loop.facts(),
        seeds=f"train, {len(data.rows(held_out=False))} portraits, half of them hard",
        inversions=f"{arg.steps} steps in each of {', '.join(pipeline.latents)}",
    )  # fmt: skip


if __name__ == "__main__":
    main()
