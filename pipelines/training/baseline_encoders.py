"""Train the encoders that SAM inversion is compared with: e4e's and ReStyle's manner.

    python -m pipelines.training.baseline_encoders --kind e4e --data RENDERED --out RUN
    python -m pipelines.training.baseline_encoders --kind restyle --data RENDERED --out RUN

e4e (Tov et al., SIGGRAPH 2021, Sec. 4): one code w and offsets Delta_i, let in one after another
during the first half of the training,

    min_E  ||x - x^||^2 + lambda_p d(x, x^) + lambda_d sum_i ||Delta_i||^2 - lambda_a E[D(E(x)_i)]

with D, a critic of single codes, trained against samples of W. ReStyle (Alaluf et al., ICCV 2021,
Sec. 3): R sees the picture beside what the code so far rebuilds, w_{t+1} = w_t + R(x, G(w_t)), from
the mean code; every pass is a step of its own, so that gradients do not run through earlier ones.

With --begin, both begin with what a conventional encoder has learnt, as the domain-guided encoder
does, to which SAM's own add: minutes of all three are then compared from the same point.

Symbols: x, a picture; x^ = G(w), its reconstruction; d, the perceptual distance.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

import weights
from examples.clay.dataset import ClaySet
from pipelines.baselines import PASSES, restyle
from pipelines.descent import rebuilding
from pipelines.measures import psnr
from pipelines.networks.encoders import GuidedEncoder, LayerwiseEncoder, OffsetEncoder
from pipelines.networks.stylegan2 import Generator
from pipelines.training.indomain_encoder import fast, mean_code, network_of, network_options, update
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

Distance = Callable[[Tensor], Tensor]  # of pictures to those that are encoded
KINDS = ("e4e", "restyle")
WIDTH, LEVEL_SIZE = 16, 192
LAMBDA_OFFSETS, LAMBDA_CODES = 0.02, 0.02  # of means over numbers
GAMMA, LAZY = 10.0, 16  # weight of R1 on the critic of codes, and steps from one to the next


class CodeCritic(nn.Sequential):
    """D: whether a single code is one of W; four layers as published."""

    def __init__(self, w_dim: int = 512, width: int = 256) -> None:
        sizes = [w_dim, width, width, width]
        layers = [
            layer
            for a, b in zip(sizes[:-1], sizes[1:], strict=True)
            for layer in (nn.Linear(a, b), nn.LeakyReLU(0.2))
        ]
        super().__init__(*layers, nn.Linear(width, 1))


def let_in(fraction: float, layers: int) -> int:
    """How many offsets there are when so much of the training is over: all from the half on."""
    return min(layers - 1, int(2 * fraction * layers))


def fresh(
    kind: str, generator: Generator, device: torch.device, begin: LayerwiseEncoder | None = None
) -> OffsetEncoder | GuidedEncoder:
    """An encoder of one of KINDS: untrained, or with the features and heads of `begin`.

    ReStyle then does not look at its guide yet; e4e has one code, that of the coarsest layer.
    """
    torch.manual_seed(0)
    width, size = (WIDTH, LEVEL_SIZE) if begin is None else _widths(begin)
    shape = (generator.num_ws, generator.resolution, width, size, generator.w_dim)
    if kind == "restyle":
        encoder = GuidedEncoder(3, *shape).to(device)
    else:
        encoder = OffsetEncoder(*shape).to(device)
        encoder.w_mean.copy_(mean_code(generator, device))
    if begin is not None:
        _begin_with(begin, encoder)
    return encoder


def _widths(encoder: LayerwiseEncoder) -> tuple[int, int]:
    return len(encoder.stem.bias), encoder.heads[0].in_features


@torch.no_grad()
def _begin_with(begin: LayerwiseEncoder, encoder: OffsetEncoder | GuidedEncoder) -> None:
    state = begin.state_dict()
    seen = encoder.stem.weight
    state["stem.weight"] = torch.zeros_like(seen)
    state["stem.weight"][:, : begin.stem.in_channels] = begin.stem.weight
    encoder.load_state_dict(state)
    if isinstance(encoder, OffsetEncoder):
        for head in encoder.heads[1:]:
            head.weight.zero_()
            head.bias.zero_()


def e4e_loss(
    encoder: OffsetEncoder,
    generator: Generator,
    critic: nn.Module,
    x: Float[Tensor, "b 3 h w"],
    offsets: int,
    distance: Distance,
) -> tuple[Tensor, Float[Tensor, "b layers dim"], Tensor]:
    """The loss of e4e, its codes, and its pictures; distance: from pictures to x."""
    w = encoder(x, offsets)
    rebuilt = generator.synthesis(w)
    loss = distance(rebuilt).mean()
    loss = loss + LAMBDA_OFFSETS * (w - w[:, :1]).square().mean()
    # Codes in use: the first layers, whose offsets are let in.
    return loss + LAMBDA_CODES * F.softplus(-critic(w[:, : offsets + 1])).mean(), w, rebuilt


def critic_loss(
    critic: nn.Module, real: Float[Tensor, "n dim"], fake: Float[Tensor, "m dim"], penalise: bool
) -> Tensor:
    """The logistic loss of D; with `penalise`, R1 for the LAZY steps it stands for."""
    real = real.detach().requires_grad_(penalise)
    scores = critic(real)
    loss = F.softplus(-scores).mean() + F.softplus(critic(fake.detach())).mean()
    if penalise:
        (slope,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
        loss = loss + LAZY * GAMMA / 2 * slope.square().sum(1).mean()
    return loss


def restyle_passes(
    encoder: GuidedEncoder,
    generator: Generator,
    x: Float[Tensor, "b 3 h w"],
    passes: int,
    distance: Distance,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The loss of each pass and its pictures; to be stepped on before the next is asked for."""
    w = generator.mapping.w_avg.to(x).expand(len(x), generator.num_ws, -1)
    with torch.no_grad():
        rebuilt = generator.synthesis(w)
    for _ in range(passes):
        w = w + encoder(x, rebuilt)
        rebuilt = generator.synthesis(w)
        yield distance(rebuilt).mean(), rebuilt.detach()
        w, rebuilt = w.detach(), rebuilt.detach()


@dataclass(frozen=True)
class Trained:
    """What a step of training needs: networks, the encoder's and the critic's optimisers."""

    encoder: nn.Module
    critic: nn.Module
    generator: Generator
    optimizer: torch.optim.Optimizer
    judge: torch.optim.Optimizer
    random: torch.Generator  # of the samples that the critic sees

    def step_restyle(self, x: Tensor, distance: Distance, passes: int) -> tuple[Tensor, Tensor]:
        """One step a pass; the loss and the pictures of the last."""
        last: tuple[Tensor, Tensor] = ()
        for last in restyle_passes(self.encoder, self.generator, x, passes, distance):
            update(self.optimizer, last[0])
        return last

    def step_e4e(
        self, x: Tensor, distance: Distance, offsets: int, penalise: bool
    ) -> tuple[Tensor, Tensor]:
        """The encoder's step, then that of the critic of codes; the loss and the pictures."""
        self.critic.requires_grad_(False)
        loss, w, rebuilt = e4e_loss(self.encoder, self.generator, self.critic, x, offsets, distance)
        update(self.optimizer, loss)
        self.critic.requires_grad_(True)
        z = torch.randn(len(x) * (offsets + 1), self.generator.z_dim, generator=self.random)
        real = self.generator.mapping(z.to(x))[:, 0]
        fake = w[:, : offsets + 1].flatten(0, 1)
        update(self.judge, critic_loss(self.critic, real, fake, penalise))
        return loss, rebuilt.detach()


def train(
    arg: argparse.Namespace, loop: Loop, generator: Generator, perceptual: nn.Module
) -> nn.Module:
    """Train until the budget is spent; the averaged encoder."""
    begin = None
    if arg.begin is not None:
        begin = weights.load_file(LayerwiseEncoder, arg.begin, loop.device)
    encoder = fresh(arg.kind, generator, loop.device, begin)
    if arg.start is not None:
        encoder = weights.load_file(type(encoder), arg.start, loop.device)
    encoder = fast(encoder).train().requires_grad_(True)
    critic = CodeCritic(generator.w_dim).to(loop.device)
    average = Average(encoder)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=arg.rate, betas=(0.9, 0.99))
    judge = torch.optim.Adam(critic.parameters(), lr=1e-4, betas=(0.0, 0.99))
    loop.keep(
        encoder=encoder, critic=critic, average=average.network, optimizer=optimizer, judge=judge
    )
    loop.resume()
    random = torch.Generator().manual_seed(loop.step)
    trained = Trained(encoder, critic, generator, optimizer, judge, random)
    data = pictures(arg.data, generator.resolution)
    batches = (to_tensor(data.images[i]) for i in shuffled(len(data), arg.batch, seed=loop.step))
    for fraction, x in zip(loop, prefetch(batches), strict=False):
        loop.anneal(optimizer)
        x = x.to(loop.device)
        distance = rebuilding(perceptual, x, arg.perceptual_weight)
        if arg.kind == "restyle":
            loss, rebuilt = trained.step_restyle(x, distance, arg.passes)
        else:
            count = let_in(fraction, generator.num_ws)
            loss, rebuilt = trained.step_e4e(x, distance, count, loop.step % LAZY == 0)
        average.update(encoder, loop.step)
        if loop.due(20):
            loop.log(loss=loss, psnr=psnr(x, rebuilt).mean())
    return average.network


@torch.no_grad()
def evaluate(
    kind: str,
    encoder: nn.Module,
    generator: Generator,
    perceptual: nn.Module,
    data: ClaySet | Photographs,
    device: torch.device,
    count: int = 200,
) -> dict[str, float]:
    """Mean PSNR [dB] and LPIPS of the first pictures of a held-out set, as the methods are used."""
    decibels, lpips = [], []
    for start in range(0, min(count, len(data)), 20):
        x = to_tensor(data.images[start : start + 20], device)
        w = restyle(encoder, generator, x) if kind == "restyle" else encoder(x)
        rebuilt = generator.synthesis(w).clamp(-1, 1)
        decibels.append(psnr(x, rebuilt))
        lpips.append(perceptual(x, rebuilt))
    found = {"psnr": torch.cat(decibels).mean().item(), "lpips": torch.cat(lpips).mean().item()}
    return {name: number for name, number in found.items() if math.isfinite(number)}


def parse() -> argparse.Namespace:
    parser = arguments("Train an encoder that SAM is compared with.", minutes=20, batch=8)
    network_options(parser, "generator", "perceptual")
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument(
        "--begin", type=Path, help="weights of a conventional encoder to begin with"
    )
    parser.add_argument("--passes", type=int, default=PASSES, help="of ReStyle in training")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--perceptual-weight", type=float, default=0.25)
    return parser.parse_args()


def main() -> None:
    arg = parse()
    use_threads(arg.threads)
    loop = Loop(arg.out, arg.minutes, arg.device)
    generator, perceptual = (network_of(arg, n, loop.device) for n in ("generator", "perceptual"))
    encoder = train(arg, loop, generator, perceptual)
    held_out: dict[str, float] = {}
    if arg.validation:
        data: ClaySet | Photographs = pictures(Path(arg.validation), generator.resolution)
        held_out = evaluate(arg.kind, encoder, generator, perceptual, data, loop.device)
    finish(
        arg.out, held_out, encoder, arg.weights,
        recipe=f"python -m pipelines.training.baseline_encoders --kind {arg.kind}",
        seeds=f"train, {len(pictures(arg.data, generator.resolution))} pictures",
        **{"begins with": arg.begin.stem if arg.begin else "random numbers"}, **loop.facts(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
