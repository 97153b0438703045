"""Train MM2Latent's autoencoders of spatial conditions (Meng et al. 2024, Eqs. 3 to 5).

    python -m pipelines.training.condition_autoencoders --kind mask --one-hot --data DIR --out DIR
    python -m pipelines.training.condition_autoencoders --kind sketch --data DIR --out DIR

Masks are the true classes of rendered portraits, sketches Canny's edges of their pictures. Both are
moved and mirrored: an autoencoder names no side. Held out: how well D rebuilds what F encoded, of
masks the share of pixels and the mean intersection over union, of sketches F1 within a pixel.

Symbols: x, a condition; F, D: encoder and decoder.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import weights
from examples.clay.dataset import ClaySet
from examples.clay.parts import CLASSES, PART_TO_CLASS
from pipelines.measures import edge_f1
from pipelines.multimodal_inputs import sketch_of
from pipelines.networks.condition_autoencoder import KINDS, ConditionAutoencoder
from pipelines.training.indomain_encoder import update
from pipelines.training.loop import Average, Loop, arguments, finish, prefetch, shuffled, to_tensor
from pipelines.training.threads import use_threads


def conditions(data: ClaySet, kind: str, rows: np.ndarray) -> Float[Tensor, "b h w"]:
    """Masks or sketches of a set's portraits, as `ConditionAutoencoder.seen` takes them."""
    if kind == "mask":
        return torch.from_numpy(PART_TO_CLASS[data.parts[rows]])
    return sketch_of(to_tensor(data.images[rows])).to(torch.uint8)


def moved(x: Float[Tensor, "b h w"], random: torch.Generator, most: int = 8) -> Tensor:
    """Half of the conditions mirrored, and all of them moved by up to `most` pixels."""
    side = x.shape[-1]
    rows, columns = torch.randint(-most, most + 1, (2, len(x), 1), generator=random)
    place = torch.arange(side)
    across = (place + columns).clamp(0, side - 1)
    flipped = torch.rand(len(x), 1, generator=random) < 0.5
    across = torch.where(flipped, side - 1 - across, across)
    down = (place + rows).clamp(0, side - 1)
    return x[torch.arange(len(x))[:, None, None], down[:, :, None], across[:, None, :]]


def train(
    data: ClaySet, loop: Loop, network: ConditionAutoencoder, batch: int, rate: float
) -> ConditionAutoencoder:
    """Minimise Eq. 4 or 5 until the loop ends; the averaged network."""
    network.to(loop.device).train().requires_grad_(True)
    average = Average(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    loop.keep(network=network, average=average.network, optimizer=optimizer)
    loop.resume()
    random = torch.Generator().manual_seed(loop.step)

    def load(rows: np.ndarray) -> Tensor:
        return moved(conditions(data, network.kind, rows), random)

    batches = prefetch(map(load, shuffled(len(data), batch, seed=loop.step)))
    for _, x in zip(loop, batches, strict=False):
        loop.anneal(optimizer)
        seen = network.seen(x.to(loop.device))
        with loop.autocast():
            loss = network.loss(seen)
        update(optimizer, loss)
        average.update(network, loop.step)
        if loop.due(20):
            loop.log(loss=loss)
    return average.network


@torch.no_grad()
def evaluate(
    network: ConditionAutoencoder, data: ClaySet, device: torch.device, count: int = 512
) -> dict[str, float]:
    """How well the first conditions of a held-out set are rebuilt, 0 to 1."""
    size = len(CLASSES)
    confusion, f1 = np.zeros((size, size), np.int64), []
    for rows in np.array_split(
        np.arange(min(count, len(data))), max(1, min(count, len(data)) // 64)
    ):
        x = conditions(data, network.kind, rows).to(device)
        rebuilt = network(x).cpu()
        true = network.seen(x).cpu()
        if network.kind == "sketch":
            f1.append(edge_f1(rebuilt > 0.5, true[:, 0] > 0.5))
            continue
        classes = true.argmax(1) if network.one_hot else (true[:, 0] * 25.5).round()
        pairs = classes.numpy().astype(np.int64) * size + rebuilt.numpy().astype(np.int64)
        confusion += np.bincount(pairs.ravel(), minlength=size**2).reshape(size, size)
    if f1:
        return {"f1 of lines": round(torch.cat(f1).mean().item(), 4)}
    hits, union = np.diag(confusion), confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    present = confusion.sum(1) > 0
    return {
        "pixels in their class": round(float(hits.sum() / confusion.sum()), 4),
        "miou": round(float((hits[present] / union[present]).mean()), 4),
    }


def parse() -> argparse.Namespace:
    parser = arguments("Train an autoencoder of masks or sketches.", minutes=10, batch=32)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--one-hot", action="store_true", help="a channel a class of masks")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate")
    return parser.parse_args()


def main() -> None:
    arg = parse()
    use_threads(arg.threads)
    loop, data = Loop(arg.out, arg.minutes, arg.device), ClaySet(arg.data)
    torch.manual_seed(0)
    network = ConditionAutoencoder(arg.kind, min(data.images.shape[1], 256), one_hot=arg.one_hot)
    if arg.start:
        network = weights.load_file(ConditionAutoencoder, arg.start)
    network = train(data, loop, network, arg.batch, arg.rate)
    held_out = {}
    if arg.validation:
        held_out = evaluate(network, ClaySet(arg.validation), loop.device)
    flag = " --one-hot" if arg.one_hot else ""
    finish(
        arg.out, held_out, network, arg.weights,
        recipe=f"python -m pipelines.training.condition_autoencoders --kind {arg.kind}{flag}",
        seeds=f"train {data.seeds.min()} to {data.seeds.max()}", **loop.facts(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
