"""Train the face parser on rendered portraits and their true label maps.

    python -m pipelines.training.parser --data DIR --validation DIR --out DIR --minutes 5

Cross-entropy over the 19 classes, rarer ones weighted up. Pictures are moved, recoloured, blurred
and made noisy, never mirrored. Held out: intersection over union of each class, and its mean over
the classes that occur.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from examples.clay.dataset import ClaySet
from examples.clay.parts import CLASSES, PART_TO_CLASS
from pipelines.networks.parser import FaceParser
from pipelines.training.augment import degrade, recolour, shift
from pipelines.training.loop import (
    Average,
    Loop,
    command,
    prefetch,
    shuffled,
    to_tensor,
)


def class_weights(parts: np.ndarray, sample: int = 512) -> Tensor:
    """Loss weight of each class, (19,): one over the square root of its share of pixels."""
    rows = np.linspace(0, len(parts) - 1, min(sample, len(parts))).astype(int)
    counts = np.bincount(PART_TO_CLASS[parts[rows]].ravel(), minlength=len(CLASSES))
    weights = 1 / np.sqrt(counts / counts.sum() + 1e-3)
    return torch.from_numpy(weights / weights.mean()).float()


def train(data: ClaySet, loop: Loop, network: FaceParser, batch: int = 32) -> FaceParser:
    """Train until the loop ends; the averaged network, frozen."""
    network.to(loop.device, memory_format=torch.channels_last).train()
    average = Average(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    loop.keep(network=network, average=average.network, optimizer=optimizer)
    loop.resume()
    torch.manual_seed(loop.step)
    weight = class_weights(data.parts).to(loop.device)

    def load(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return data.images[rows], PART_TO_CLASS[data.parts[rows]]

    batches = prefetch(map(load, shuffled(len(data), batch, seed=loop.step)))
    for _, (pixels, labels) in zip(loop, batches, strict=False):
        # Pictures and labels, moved alike.
        masks = torch.from_numpy(labels).to(loop.device).long()
        images, masks = shift(to_tensor(pixels, loop.device), masks, most=8)
        loop.anneal(optimizer)
        with loop.autocast():
            logits = network(degrade(recolour(images)))
        # One step; rare classes weigh more.
        loss = F.cross_entropy(logits, masks, weight)
        optimizer.zero_grad()
        loss.backward()
        loop.average_gradients(optimizer)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        average.update(network, loop.step)
        if loop.due(20):
            right = (logits.detach().argmax(1) == masks).float().mean()
            loop.log(loss=loss, right=right)
    return average.network


@torch.no_grad()
def evaluate(network: FaceParser, data: ClaySet, device: torch.device) -> dict[str, float]:
    """Mean intersection over union, pixel accuracy, and each occurring class's own, 0 to 1."""
    count = len(CLASSES)
    confusion = np.zeros((count, count), np.int64)
    for rows in np.array_split(np.arange(len(data)), max(1, len(data) // 64)):
        found = network.parse(to_tensor(data.images[rows], device)).cpu().numpy()
        pairs = PART_TO_CLASS[data.parts[rows]].astype(np.int64) * count + found
        confusion += np.bincount(pairs.ravel(), minlength=count**2).reshape(count, count)
    hits = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hits
    present = {
        f"iou {name}": round(float(hits[i] / union[i]), 4)
        for i, name in enumerate(CLASSES)
        if confusion[i].sum() > 0
    }
    mean = round(float(np.mean(list(present.values()))), 4)
    return {"miou": mean, "accuracy": round(float(hits.sum() / confusion.sum()), 4), **present}


def main() -> None:
    """Run the recipe from the command line."""
    command("parser", __doc__, FaceParser, train, evaluate, minutes=5, batch=32)


if __name__ == "__main__":
    main()
