"""Train the network that reads 3DMM numbers off a portrait, as DECA does for MM2Latent.

    python -m pipelines.training.morphable --data DIR --validation DIR --out DIR --minutes 10

Regression of what the renderer drew (`pipelines.morphable.CLAY`), in standard deviations, on moved,
blurred and noisy pictures, so that generated ones are read too. Held out: R^2 of each number and
the mean of each group; mean absolute errors of groups as shares of their ranges, and of the turn of
the head in degrees.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from examples.clay.dataset import ClaySet
from examples.clay.parameters import INDEX, POSE
from pipelines.morphable import CLAY
from pipelines.networks.morphable import MorphableNet
from pipelines.training.augment import degrade, recolour, shift
from pipelines.training.indomain_encoder import update
from pipelines.training.loop import Average, Loop, command, prefetch, shuffled, to_tensor


def truth(data: ClaySet) -> Float[Tensor, "n 33"]:
    """The numbers that each portrait of a set was drawn with."""
    return torch.from_numpy(data.parameters()[:, [INDEX[name] for name in CLAY.names]])


def train(data: ClaySet, loop: Loop, network: MorphableNet, batch: int = 64) -> MorphableNet:
    """Train until the loop ends; the averaged network."""
    numbers = truth(data)
    network.set_scale(numbers)
    network.to(loop.device, memory_format=torch.channels_last).train()
    average = Average(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    loop.keep(network=network, average=average.network, optimizer=optimizer)
    loop.resume()
    torch.manual_seed(loop.step)

    def load(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return data.images[rows], rows

    batches = prefetch(map(load, shuffled(len(data), batch, seed=loop.step)))
    for _, (pixels, rows) in zip(loop, batches, strict=False):
        images, _ = shift(to_tensor(pixels, loop.device))
        loop.anneal(optimizer)
        with loop.autocast():
            found = network(degrade(recolour(images)))
        loss = ((found - numbers[rows].to(loop.device)) / network.sd).square().mean()
        update(optimizer, loss)
        average.update(network, loop.step)
        if loop.due(20):
            loop.log(loss=loss)
    return average.network


@torch.no_grad()
def evaluate(network: MorphableNet, data: ClaySet, device: torch.device) -> dict[str, float]:
    """R^2 and errors over a whole held-out set."""
    true = truth(data)
    chunks = np.array_split(np.arange(len(data)), max(1, len(data) // 64))
    found = torch.cat([network(to_tensor(data.images[rows], device)).cpu() for rows in chunks])
    error = (found - true).abs()
    r2 = 1 - error.square().mean(0) / true.var(0).clamp(min=1e-8)
    spans = torch.tensor([CLAY.span(name) for name in CLAY.names])
    numbers: dict[str, float] = {}
    for group in CLAY.groups:
        columns = CLAY.columns(group)
        numbers[f"r2 {group}"] = r2[columns].mean().item()
        numbers[f"error {group}"] = (error / spans)[:, columns].mean().item()
    for name in POSE:
        numbers[f"degrees {name}"] = error[:, CLAY.names.index(name)].mean().item()
    numbers |= {f"r2 {name}": r2[i].item() for i, name in enumerate(CLAY.names)}
    return {name: round(number, 4) for name, number in numbers.items()}


def main() -> None:
    """Run the recipe from the command line."""
    command(
        "morphable", __doc__, lambda: MorphableNet(CLAY.names), train, evaluate,
        minutes=10, batch=64,
    )  # fmt: skip


if __name__ == "__main__":
    main()
