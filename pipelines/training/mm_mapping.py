"""Train MM2Latent's mapping network for one kind of condition (Meng et al. 2024, Secs. 3.2, 3.3).

    python -m pipelines.training.mm_mapping --condition mask --out RUN --samples FOLDER --minutes 20
    python -m pipelines.training.mm_mapping --condition sketch ...
    python -m pipelines.training.mm_mapping --condition morphable ...

On samples of the generator alone, whose w is known; not one caption is read:

    min_Net  L_abs(w, w^) + lambda L_dir(w, w^),  w^ = Net(f'_text, f_cond)               (Eq. 7)
    L_abs(x, y) = mean (x - y)^2,  L_dir(x, y) = 1 - x.y / (|x| |y|),  lambda = 10

f'_text is the picture's embedding under the noise of Eq. 2, drawn anew at each step. Departs from
paper: Net begins as the least-squares solution (`solve`), not at random numbers; of 7,000 samples,
masks, it then misses 0.60 of w's variance before any step, and 0.56 after 500 steps, where random
numbers had reached 0.65 after 1,200. --random: as published.

Samples are made once, read by all networks and kept under --samples, which the three conditions
share; that is most of the work, and is not counted in the minutes.

Held out: the share of w's variance that Net misses, with and without the noise; with --validation,
from captions that no training saw and true masks, how well generated pictures agree with either.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

import weights
from examples.clay.dataset import ClaySet
from pipelines.condition_codes import CONDITIONS, ConditionCodes
from pipelines.morphable import CLAY as LAYOUT
from pipelines.networks.condition_autoencoder import ConditionAutoencoder
from pipelines.networks.joint_embedding import JointEmbedding
from pipelines.networks.layers import GAIN, SLOPE
from pipelines.networks.mm_mapping import MultimodalMapping, pseudo_text
from pipelines.networks.morphable import MorphableNet
from pipelines.networks.parser import FaceParser
from pipelines.networks.stylegan2 import Generator
from pipelines.training.condition_autoencoders import conditions
from pipelines.training.indomain_encoder import given, update
from pipelines.training.least_squares import reduced_rank
from pipelines.training.loop import Average, Loop, finish, shuffled
from pipelines.training.mm_samples import Sampler, Samples, collect
from pipelines.training.morphable import truth
from pipelines.training.threads import use_threads

CLAY = "clay-heads"
LAMBDA = 10.0  # of the direction loss
# Of Adam; equalised weights have unit variance. From random numbers it takes 1e-2: at 1e-3 four
# layers had learnt nothing after 200 steps of 128 samples (1.11 of the variance of w unexplained),
# at 1e-2 something (0.92). From the least-squares solution 500 steps end at 0.577 with 1e-3, at
# 0.565 with 3e-3.
RATE, RANDOM_RATE = 3e-3, 1e-2
# Departs from paper, which has 512 units and tells no rate of dropout: half the file at no loss,
# 0.565 and 0.566; with dropout of 0.5 it ends at 0.582.
WIDTH, DROPOUT = 384, 0.2
RIDGE = 0.15  # of least squares
NETWORKS = {  # option -> class; clay's own component where no file is given
    "generator": Generator,
    "embedding": JointEmbedding,
    "parser": FaceParser,
    "mask-autoencoder": ConditionAutoencoder,
    "sketch-autoencoder": ConditionAutoencoder,
    "morphable": MorphableNet,
}
COMPONENTS = {"embedding": "joint-embedding"}  # where the component has another name


def mapping_loss(
    w: Float[Tensor, "b d"], found: Float[Tensor, "b d"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """L_abs and L_dir of Eq. 7, means over the batch."""
    return (w - found).square().mean(), (1 - F.cosine_similarity(w, found)).mean()


def fresh(samples: Samples, condition: str, w_mean: Tensor, **parts: object) -> MultimodalMapping:
    """An untrained mapping that gives the mean code; parts: of Tables 2 and 3."""
    torch.manual_seed(0)
    net = MultimodalMapping(
        condition, samples.f_cond[condition].shape[1], samples.f_img.shape[1],
        w_dim=samples.w.shape[1], **{"width": WIDTH} | parts,
    )  # fmt: skip
    net.start_at(w_mean)
    return net


@torch.no_grad()
def solve(net: MultimodalMapping, samples: Samples, pseudo: bool = True) -> MultimodalMapping:
    """Let a mapping be the least-squares solution of its samples, without a step of training.

    With x the normalised inputs and u what the last LeakyReLU makes w of, u = B A x + mean is their
    ridge regression of rank width / 2 (`reduced_rank`). The first layer gives z = A x and -z, each
    LeakyReLU after it keeps what is positive and has 0.2 of the rest: after k of them the two
    differ by (1 + 0.2^k) z, whatever their sign, so that the last layer reads z exactly.
    """
    first, *hidden, last = net.layers
    random = torch.Generator().manual_seed(0)
    f_text = samples.f_img.float()
    f_text = pseudo_text(f_text, random) if pseudo else f_text
    x = torch.cat([f_text, samples.f_cond[net.condition].float()], dim=1)
    mean, variance = x.mean(0), x.var(0)
    if net.norm is None:
        scale = torch.ones_like(variance)
    else:
        scale = (variance + net.norm.eps).rsqrt()
        net.norm.running_mean.copy_(mean)
        net.norm.running_var.copy_(variance)
    w = samples.w.float()
    u = torch.where(w < 0, w / SLOPE, w) / GAIN
    rank = min(len(first.bias) // 2, u.shape[1], x.shape[1])
    inward, outward, offset = reduced_rank((x - mean) * scale, u, rank, RIDGE)
    # z and -z through every layer; a unit that is left over stays silent.
    pair = torch.zeros(len(first.bias), x.shape[1])
    pair[:rank], pair[rank : 2 * rank] = inward, -inward
    first.weight.copy_(pair / GAIN / first.weight_gain)
    away = torch.zeros_like(mean) if net.norm is not None else -mean
    first.bias.copy_(pair @ away / GAIN / first.bias_gain)
    for layer in hidden:
        layer.weight.copy_(torch.eye(len(layer.bias)) / GAIN / layer.weight_gain)
        layer.bias.zero_()
    read = torch.zeros_like(last.weight)
    read[:, :rank], read[:, rank : 2 * rank] = outward, -outward
    last.weight.copy_(read / (1 + SLOPE ** (len(hidden) + 1)) / last.weight_gain)
    last.bias.copy_(offset / last.bias_gain)
    return net


def train(
    samples: Samples,
    net: MultimodalMapping,
    loop: Loop,
    batch: int = 256,
    rate: float = RANDOM_RATE,
    pseudo: bool = True,
) -> MultimodalMapping:
    """Minimise Eq. 7 until the loop ends; the averaged network. pseudo: use Eq. 2."""
    net.to(loop.device).train().requires_grad_(True)
    average = Average(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate, betas=(0.9, 0.99))
    loop.keep(net=net, average=average.network, optimizer=optimizer)
    loop.resume()
    torch.manual_seed(loop.step)  # of dropout
    random = torch.Generator().manual_seed(loop.step)
    samples, batch = samples.to(loop.device), min(batch, len(samples))
    f_cond = samples.f_cond[net.condition]
    for _, rows in zip(loop, shuffled(len(samples), batch, seed=loop.step), strict=False):
        loop.anneal(optimizer)
        f_text = samples.f_img[rows]
        if pseudo:
            f_text = pseudo_text(f_text, random)
        with loop.autocast():
            found = net(f_text, f_cond[rows])
        absolute, direction = mapping_loss(samples.w[rows], found)
        update(optimizer, absolute + LAMBDA * direction)
        average.update(net, loop.step)
        if loop.due(50):
            loop.log(absolute=absolute, direction=direction)
    return average.network


@torch.no_grad()
def unexplained(net: MultimodalMapping, samples: Samples, device: torch.device) -> dict:
    """Share of the variance of w that Net misses on held-out samples, 0 to 1 and above."""
    samples = samples.to(device)
    f_cond, spread = samples.f_cond[net.condition], samples.w.var(0, unbiased=False).mean()
    random = torch.Generator().manual_seed(0)
    inputs = {
        "with pseudo texts": (pseudo_text(samples.f_img, random), f_cond),
        "with embeddings of pictures": (samples.f_img, f_cond),
        "without the condition": (samples.f_img, None),
        "without the embedding": (None, f_cond),
    }
    missed = {
        name: (samples.w - net(*pair)).square().mean() / spread for name, pair in inputs.items()
    }
    return {f"unexplained w {name}": round(value.item(), 4) for name, value in missed.items()}


def captions_of(data: ClaySet, count: int) -> list[str]:
    """A caption of each of a set's first portraits, six facts long at most."""
    from examples.clay.facts import facts
    from examples.clay.wording import write

    random = np.random.default_rng(0)
    return [write(facts(p), random, count=6).text for p in data.parameters()[:count]]


def true_conditions(data: ClaySet, kind: str, count: int) -> Tensor:
    """The first portraits' own conditions, as `ConditionCodes.read` gives them."""
    if kind == "morphable":
        return truth(data)[:count]
    return conditions(data, kind, np.arange(count))


@torch.no_grad()
def agreement(
    net: MultimodalMapping, sampler: Sampler, data: ClaySet, count: int = 128
) -> dict[str, float]:
    """Of pictures from held-out captions and their portraits' true conditions: the cosine with the
    caption, the agreement with the condition; and both of the portraits themselves."""
    count, device = min(count, len(data)), sampler.device
    texts, kind = captions_of(data, count), net.condition
    wanted = true_conditions(data, kind, count)
    scores: dict[str, list[Tensor]] = {"text": [], "condition": []}
    for start in range(0, count, 16):
        rows = slice(start, start + 16)
        f_text = sampler.embedding.embed_texts(texts[rows])
        given_ = wanted[rows].to(device)
        w = net(f_text, sampler.codes.coded(given_, kind))
        x = sampler.generator.synthesis(w[:, None].expand(-1, sampler.generator.num_ws, -1)).clamp(
            -1, 1
        )
        scores["text"].append((sampler.embedding.embed_images(x) * f_text).sum(1))
        scores["condition"].append(sampler.codes.agreement(x, kind, given_))
    means = {name: torch.cat(found).mean().item() for name, found in scores.items()}
    return {
        "cosine of picture and caption": round(means["text"], 4),
        f"agreement with the {kind}": round(means["condition"], 4),
    }


def sampler_of(arg: argparse.Namespace, device: torch.device) -> Sampler:
    """The networks that a command line names, or clay's own."""
    nets = {
        name: given(
            network, getattr(arg, name.replace("-", "_")), f"{CLAY}/{COMPONENTS.get(name, name)}",
            device,
        )
        for name, network in NETWORKS.items()
    }  # fmt: skip
    autoencoders = {kind: nets[f"{kind}-autoencoder"] for kind in CONDITIONS[:2]}
    generator = nets["generator"]
    codes = ConditionCodes(
        nets["parser"], autoencoders, nets["morphable"], LAYOUT, generator.resolution
    )
    return Sampler(generator, nets["embedding"], codes, device)


def network_files(parser: argparse.ArgumentParser) -> None:
    """Add an option for each of NETWORKS."""
    for name in NETWORKS:
        parser.add_argument(f"--{name}", type=Path, help="weights file; clay's own if absent")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a mapping network of MM2Latent.")
    parser.add_argument("--condition", choices=CONDITIONS, required=True)
    parser.add_argument("--validation", type=Path, help="rendered validation split")
    parser.add_argument("--out", type=Path, required=True, help="log, checkpoint, metrics")
    parser.add_argument("--samples", type=Path, required=True, help="keep samples here")
    parser.add_argument("--count", type=int, default=20_000, help="samples of the generator")
    parser.add_argument("--minutes", type=float, default=20, help="budget over all runs")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, help="learning rate; one that suits the start")
    parser.add_argument("--layers", type=int, default=12, help="of the perceptron: 4, 8, 12")
    parser.add_argument("--width", type=int, default=WIDTH, help="units of a hidden layer")
    parser.add_argument("--dropout", type=float, default=DROPOUT, help="rate; 0: none")
    parser.add_argument("--random", action="store_true", help="start at random numbers")
    parser.add_argument("--no-pseudo", action="store_true", help="without Eq. 2")
    parser.add_argument("--no-norm", action="store_true", help="without batch normalisation")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--start", type=Path, help="trained weights to go on from")
    parser.add_argument("--weights", type=Path, help="write the trained weights here, in fp16")
    network_files(parser)
    return parser.parse_args()


def main() -> None:
    arg = parse()
    use_threads(arg.threads)
    loop = Loop(arg.out, arg.minutes, arg.device)
    sampler = sampler_of(arg, loop.device)
    samples = collect(sampler, arg.samples, arg.count)
    if arg.start:
        net = weights.load_file(MultimodalMapping, arg.start)
    else:
        w_mean = samples.part(held_out=False).w.float().mean(0)
        net = fresh(
            samples, arg.condition, w_mean, layers=arg.layers, width=arg.width,
            normalise=not arg.no_norm, dropout=arg.dropout,
        )  # fmt: skip
        if not arg.random:
            solve(net, samples.part(held_out=False), pseudo=not arg.no_pseudo)
    kept, held_out = samples.part(held_out=False), samples.part(held_out=True)
    rate = arg.rate or (RANDOM_RATE if arg.random else RATE)
    net = train(kept, net, loop, arg.batch, rate, not arg.no_pseudo)
    numbers = unexplained(net, held_out, loop.device)
    if arg.validation:
        numbers |= agreement(net, sampler, ClaySet(arg.validation))
    finish(
        arg.out, numbers, net, arg.weights,
        recipe=f"python -m pipelines.training.mm_mapping --condition {arg.condition}",
        seeds=f"{len(kept)} samples of the generator, torch seeds from 0", **loop.facts(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
