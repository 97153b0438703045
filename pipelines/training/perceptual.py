"""Train the trunk of the perceptual distance on rendered portraits.

    python -m pipelines.training.perceptual --data DIR --validation DIR --out DIR --minutes 6

Distances between a classifier's features follow human judgement (Zhang et al., CVPR 2018); which
task it was trained on matters little. The task here is everything the renderer knows: attributes
from the last features, and from all stages together the part at every place and the colour there,
so that features carry meaning, locality and appearance. Held out: how often the distance puts
growing changes of a picture in the right order.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from examples.clay.dataset import ClaySet
from examples.clay.parts import PARTS
from pipelines.networks.perceptual import STAGE_CHANNELS, PerceptualDistance, Stages
from pipelines.training.augment import degrade, recolour, shift
from pipelines.training.identity import JUDGED, VALUES, targets
from pipelines.training.loop import (
    Average,
    Loop,
    command,
    prefetch,
    shuffled,
    to_tensor,
)

USED = (0, 1, 2, 6)  # the last stage of each resolution


class TrunkTasks(nn.Module):
    """What the features must tell, in training only: attributes, parts, colours."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.attributes = nn.Linear(STAGE_CHANNELS[-1], sum(JUDGED.values()) + len(VALUES))
        self.lateral = nn.ModuleList(nn.Conv2d(STAGE_CHANNELS[i], width, 1) for i in USED)
        self.parts = nn.Conv2d(width, len(PARTS), 1)
        self.colour = nn.Conv2d(width, 3, 1)

    def forward(self, stages: Stages) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
        """Logits of each choice; values (b, values) in deviations; parts; colours."""
        pooled = stages[-1].mean(dim=(2, 3))
        *choices, values = self.attributes(pooled).split([*JUDGED.values(), len(VALUES)], dim=1)
        size = stages[0].shape[-2:]
        maps = [layer(stages[i]) for layer, i in zip(self.lateral, USED, strict=True)]
        fused = F.relu(sum(F.interpolate(m, size, mode="nearest") for m in maps))
        return choices, values, self.parts(fused), self.colour(fused)


def task_losses(
    outputs: tuple[list[Tensor], Tensor, Tensor, Tensor],
    labels: list[Tensor],
    values: Tensor,
    parts: Tensor,
    images: Tensor,
) -> dict[str, Tensor]:
    """Mean loss of each task; parts (b, h, w) and images are taken at the features' resolution."""
    choice_logits, found, part_logits, colours = outputs
    size = part_logits.shape[-2:]
    small = F.interpolate(parts[:, None].float(), size, mode="nearest")[:, 0].long()
    totals = [
        F.cross_entropy(logits.float(), label, reduction="sum") / (label >= 0).sum().clamp(min=1)
        for logits, label in zip(choice_logits, labels, strict=True)
    ]
    return {
        "choices": torch.stack(totals).mean(),
        "values": F.mse_loss(found.float(), values),
        "parts": F.cross_entropy(part_logits.float(), small),
        "colour": F.l1_loss(colours.float(), F.interpolate(images, size, mode="area")),
    }


def train(
    data: ClaySet, loop: Loop, network: PerceptualDistance, batch: int = 48
) -> PerceptualDistance:
    """Train until the loop ends; the averaged distance, frozen."""
    # Labels, the trunk with heads for its tasks, and its average.
    choice_labels, values = targets(data.parameters())
    values = (values - values.mean(0)) / values.std(0).clamp(min=1e-4)
    network.to(loop.device, memory_format=torch.channels_last).train()
    network.lpips.net.requires_grad_(True)
    tasks = TrunkTasks().to(loop.device, memory_format=torch.channels_last)
    average = Average(network)
    weights = [*network.lpips.net.parameters(), *tasks.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=1.5e-3, weight_decay=0.01)
    loop.keep(network=network, average=average.network, tasks=tasks, optimizer=optimizer)
    loop.resume()
    torch.manual_seed(loop.step)

    def load(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return data.images[rows], data.parts[rows], rows

    batches = prefetch(map(load, shuffled(len(data), batch, seed=loop.step)))
    for _, (pixels, parts, rows) in zip(loop, batches, strict=False):
        # Degraded pictures in, labels of the clean ones out.
        clean = to_tensor(pixels, loop.device)
        clean, masks = shift(clean, torch.from_numpy(parts).to(loop.device), most=8)
        images = degrade(recolour(clean))
        loop.anneal(optimizer)
        with loop.autocast():
            outputs = tasks(network.trunk(images))
        # All tasks at once.
        labels = [label[rows].to(loop.device) for label in choice_labels.values()]
        losses = task_losses(outputs, labels, values[rows].to(loop.device), masks, images)
        # One step of trunk and heads.
        optimizer.zero_grad()
        sum(losses.values()).backward()
        loop.average_gradients(optimizer)
        torch.nn.utils.clip_grad_norm_(weights, 2.0)
        optimizer.step()
        average.update(network, loop.step)
        if loop.due(20):
            loop.log(**losses)
    return average.network


def _blur(x: Tensor, size: int) -> Tensor:
    margin = size // 2
    return F.avg_pool2d(F.pad(x, (margin,) * 4, mode="replicate"), size, stride=1)


@torch.no_grad()
def evaluate(
    network: PerceptualDistance, data: ClaySet, device: torch.device, most: int = 256
) -> dict[str, float]:
    """Share of pictures whose distances stand in the expected order, 0 to 1."""
    count = min(most, len(data))
    images = to_tensor(data.images[:count], device)
    identities = np.asarray(data.identities[:count])
    # A stranger is a picture as far along as all views of one person go, hence someone else.
    step = int(np.bincount(np.unique(identities, return_inverse=True)[1]).max())
    stranger = images.roll(step, dims=0)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).to(device)
    chains = {
        "blur": [_blur(images, 3), _blur(images, 7), stranger],
        "shift": [images.roll(1, dims=3), images.roll(4, dims=3), stranger],
        "noise": [images + 0.03 * noise, images + 0.12 * noise, stranger],
        "colour": [(images * 0.95).clamp(-1, 1), (images * 0.75).clamp(-1, 1), stranger],
        "mix": [images.lerp(stranger, 0.1), images.lerp(stranger, 0.4), stranger],
    }
    own = network.stages(images)
    ordered = {}
    for name, (little, much, other) in chains.items():
        near, mid, far = (network(x, own) for x in (little, much, other))
        ordered[f"{name} in order"] = round(((near < mid) & (mid < far)).float().mean().item(), 4)
    mean = round(float(np.mean(list(ordered.values()))), 4)
    return {"in order": mean, **ordered}


def main() -> None:
    """Run the recipe from the command line."""
    command("perceptual", __doc__, PerceptualDistance, train, evaluate, minutes=6, batch=48)


if __name__ == "__main__":
    main()
