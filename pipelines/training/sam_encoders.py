"""Train the encoders of SAM inversion, one a latent (Parmar et al., CVPR 2022, Sec. 3.3).

    python -m pipelines.training.sam_encoders --out RUN --minutes 60 --weights FILE

Eq. 3.8 with the codes that encoders E_l give instead of free ones, all encoders at once:

    min_E  ||x - x^||^2 + lambda_perceptual d(x, x^) + lambda_F sum_k ||Delta f_k||^2 + lambda_W ...

x^ is made of w+ and every Delta f_k under the masks of the picture's own map of latents, at a
threshold tau that is drawn anew each time: the encoders serve every position of its slider. Maps
and the codes that w+ starts from, with their pictures, are made once, before the first step.

Symbols: x, a picture; x^, its reconstruction; E_l, the encoder of latent l; d, the perceptual
distance; tau, the error under which a latent will do.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from examples.clay.dataset import ClaySet
from pipelines.descent import rebuilding
from pipelines.images import as_images
from pipelines.invertibility import InvertibilityMaps, latent_map, level_of
from pipelines.measures import psnr
from pipelines.networks.invertibility import InvertibilityNet
from pipelines.networks.sam_encoders import SAMEncoders
from pipelines.sam_inversion import TUNINGS, SAMInversion, Tuning
from pipelines.training.hard_portraits import KINDS, HardPortraits, kept
from pipelines.training.indomain_encoder import given, update
from pipelines.training.invertibility import CLAY, network_files, networks
from pipelines.training.loop import Average, Loop, finish, shuffled, to_tensor
from pipelines.training.threads import use_threads


def fresh(pipeline: SAMInversion) -> SAMEncoders:
    """Untrained encoders for a pipeline's generator."""
    torch.manual_seed(0)
    synthesis = pipeline.generator.synthesis
    channels = {
        name: len(getattr(synthesis, f"b{level_of(name)}").conv1.bias)
        for name in pipeline.blocks.values()
    }
    return SAMEncoders(
        channels, pipeline.generator.num_ws, pipeline.generator.w_dim, pipeline.size
    )  # fmt: skip


def maps_of(pipeline: SAMInversion, images: np.ndarray) -> list[InvertibilityMaps]:
    """What the invertibility network says of each picture."""
    return [pipeline.invertibility(p) for x in images for p in as_images(to_tensor(x[None]))]


def drawn(
    maps: list[InvertibilityMaps], low: float, high: float, random: np.random.Generator
) -> UInt8[Tensor, "b h w"]:
    """A map of latents of each picture, each at a threshold between low and high."""
    chosen = [latent_map(each, random.uniform(low, high)) for each in maps]
    return torch.from_numpy(np.stack(chosen))


def span(maps: list[InvertibilityMaps]) -> tuple[float, float]:
    """Thresholds between which pictures go from hardly any W+ to nearly all of it."""
    errors = np.concatenate([each.means[0] for each in maps])
    return float(np.quantile(errors, 0.05)), float(np.quantile(errors, 0.98))


@torch.no_grad()
def starts_of(pipeline: SAMInversion, images: np.ndarray) -> tuple[Tensor, Tensor]:
    """What `started` gives of all pictures, on the CPU in half precision."""
    found = [
        pipeline.started(to_tensor(images[i : i + 16], pipeline.device))
        for i in range(0, len(images), 16)
    ]
    return tuple(
        torch.cat([each.half().cpu() for each in part]) for part in zip(*found, strict=True)
    )


def encoder_loss(
    pipeline: SAMInversion,
    x: Float[Tensor, "b 3 h w"],
    chosen: Tensor,
    tuning: Tuning,
    start: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Eq. 3.8 of a batch by the pipeline's encoders, and its terms before weighting.

    start: what `started` gives, where it is known.
    """
    w, deltas = pipeline.encoded(x, chosen, start)
    masks = pipeline.masks(chosen)
    rebuilt = pipeline.generator.synthesis(w, deltas=deltas, masks=masks)
    terms = {
        "rebuilt": rebuilding(pipeline.perceptual, x, tuning.perceptual)(rebuilt).mean(),
        "feature": sum((d.square().mean() for d in deltas.values()), x.new_zeros(())),
        "variation": (w - w[:, :1]).square().mean(),
        "prior": pipeline.space.prior(w).mean(),
    }
    lambdas = (1.0, tuning.feature, tuning.variation, tuning.prior)
    total = sum(weight * term for weight, term in zip(lambdas, terms.values(), strict=True))
    return total, terms | {"psnr": psnr(x, rebuilt.detach()).mean()}


def train(
    pipeline: SAMInversion, data: HardPortraits, loop: Loop, batch: int, rate: float
) -> SAMEncoders:
    """Train the pipeline's encoders until the budget is spent; the averaged ones."""
    encoders = pipeline.encoders.to(loop.device).train().requires_grad_(True)
    average = Average(encoders)
    optimizer = torch.optim.Adam(encoders.parameters(), lr=rate, betas=(0.9, 0.99))
    loop.keep(encoders=encoders, average=average.network, optimizer=optimizer)
    loop.resume()
    maps, starts = maps_of(pipeline, data.images), starts_of(pipeline, data.images)
    random = np.random.default_rng(loop.step)
    low, high = span(maps)
    for _, rows in zip(loop, shuffled(len(data), batch, seed=loop.step), strict=False):
        loop.anneal(optimizer)
        x = to_tensor(data.images[rows], loop.device)
        chosen = drawn([maps[row] for row in rows], low, high, random)
        start = tuple(part[rows].float().to(loop.device) for part in starts)
        with loop.autocast():
            loss, terms = encoder_loss(pipeline, x, chosen, pipeline.tuning, start)
        update(optimizer, loss)
        average.update(encoders, loop.step)
        if loop.due(20):
            loop.log(loss=loss, **terms)
    return average.network


def evaluate(pipeline: SAMInversion, pictures: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean PSNR [dB] and LPIPS of encoded pictures of each name, at the domain's own tau."""
    found = {}
    for name, images in pictures.items():
        results = [pipeline.encode(p) for x in images for p in as_images(to_tensor(x[None]))]
        found[f"psnr, {name}"] = float(np.mean([r.measures.psnr for r in results]))
        found[f"lpips, {name}"] = float(np.mean([r.measures.lpips for r in results]))
    return {name: number for name, number in found.items() if math.isfinite(number)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the encoders of SAM inversion.")
    parser.add_argument("--validation", type=Path, help="rendered validation split")
    parser.add_argument("--out", type=Path, required=True, help="pictures, log, metrics")
    parser.add_argument("--minutes", type=float, default=60, help="budget over all runs")
    parser.add_argument("--count", type=int, default=2000, help="pictures to render and train on")
    parser.add_argument("--held-out", type=int, default=48, help="of each sort, to measure on")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--weights", type=Path, help="write the trained weights here, in fp16")
    network_files(parser, "invertibility")
    return parser.parse_args()


def held_out(arg: argparse.Namespace, size: int) -> dict[str, np.ndarray]:
    """Pictures to measure on: hard ones by kind, and some of the validation split."""
    hard = kept(arg.out / "validation.npz", "validation", 2 * arg.held_out, size)
    found = {kind: hard.images[hard.kinds == i] for i, kind in enumerate(KINDS)}
    if arg.validation:
        found["validation split"] = np.array(ClaySet(arg.validation).images[: arg.held_out])
    return {name: images for name, images in found.items() if len(images)}


def main() -> None:
    arg = parse()
    use_threads(arg.threads)
    loop = Loop(arg.out, arg.minutes, arg.device)
    net = given(InvertibilityNet, arg.invertibility, f"{CLAY}/invertibility", loop.device)
    pipeline = SAMInversion(
        **networks(arg, loop.device), invertibility=net, device=loop.device, tuning=TUNINGS[CLAY]
    )
    pipeline.encoders = fresh(pipeline)
    data = kept(arg.out / "train.npz", "train", arg.count, pipeline.size)
    pipeline.encoders = train(pipeline, data, loop, arg.batch, arg.rate)
    finish(
        arg.out, evaluate(pipeline, held_out(arg, pipeline.size)), pipeline.encoders, arg.weights,
        recipe="python -m pipelines.training.sam_encoders", **loop.facts(),
        seeds=f"train, {len(data)} portraits, half of them hard",
    )  # fmt: skip


if __name__ == "__main__":
    main()
