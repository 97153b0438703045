"""The figures of the starter generator, on seeds that no training saw.

    python -m tests.benchmarks.generator [--count 5000] [--portraits 100] [--quick] [--keep DIR]
        [--bfloat16] [--json FILE]

Prints the Frechet distance between samples and held-out renders, in the perceptual network's
features, beside the distance between two disjoint sets of renders; how far the attributes of
samples are from those of renders, as the judge sees both; PSNR and LPIPS of 500-step W+ inversions
of test portraits; and the speed of synthesis against the per-sample grouped formulation.
Renders come from --renders (made by `python -m examples.clay render --split test`) if given.
Under `accelerate launch` the processes share batches; the first one prints.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import weights
from examples.clay.dataset import ClaySet
from examples.clay.parameters import SEEDS, draw, latent
from examples.clay.render import render
from pipelines.measures import frechet_distance, psnr
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from pipelines.training.indomain_encoder import fast
from pipelines.training.loop import to_tensor
from pipelines.training.sharding import here
from tests.benchmarks.kept import Kept, marked

BATCH = 32
STEPS = 500
RATE = 0.1  # of Adam; on validation portraits 0.05 is slower and 0.2 no better
AT_ONCE = 20  # portraits inverted together


def renders(count: int, folder: Path | None) -> np.ndarray:
    """`count` pictures of the test split, uint8 (count, 128, 128, 3)."""
    if folder is not None:
        return np.asarray(ClaySet(folder).images[:count])
    seeds = SEEDS["test"][:count]
    chunks = [seeds[i : i + BATCH] for i in range(0, count, BATCH)]
    own = (np.stack([latent(s) for s in chunk]) for chunk in here().part(chunks))
    return np.concatenate(here().gather(np.asarray(render(draw(z))[0]) for z in own))


@torch.no_grad()
def over(count: int, batch: Callable[[int, int], Tensor], network: Callable) -> list:
    """`network` of every batch of pictures, of all processes."""
    starts = here().part(range(0, count, BATCH))
    return here().gather(network(batch(i, min(i + BATCH, count))) for i in starts)


def histogram_gap(sampled: list, rendered: list) -> dict[str, float]:
    """Total variation distance between the judge's choices on samples and on renders, each 0-1."""
    gaps = {}
    for name in sampled[0].choices:
        shares = []
        for outputs in (sampled, rendered):
            chosen = torch.cat([o.choices[name].argmax(1) for o in outputs])
            counts = torch.bincount(chosen, minlength=outputs[0].choices[name].shape[1])
            shares.append(counts / counts.sum())
        gaps[name] = float((shares[0] - shares[1]).abs().sum() / 2)
    return gaps


@torch.enable_grad()
def invert(
    generator: Generator, perceptual: PerceptualDistance, x: Float[Tensor, "b 3 h w"], steps: int,
    rate: float = RATE, bfloat16: bool = False,
) -> Float[Tensor, "b 3 h w"]:  # fmt: skip
    """W+ inversion from the mean code: squared error plus perceptual distance, Adam.

    A linear ramp-up of the rate over 5 % and a cosine ramp-down over the last 25 % of the steps.
    bfloat16: of the optimisation; the picture that is measured is drawn in float32.
    """
    w = generator.mapping.w_avg.expand(len(x), generator.num_ws, -1).clone().requires_grad_(True)
    optimizer = torch.optim.Adam([w], lr=rate)
    target = perceptual.stages(x)
    for index in range(steps):
        t = index / steps
        ramp = min(1.0, (1 - t) / 0.25, t / 0.05 + 0.02)
        optimizer.param_groups[0]["lr"] = rate * (0.5 - 0.5 * np.cos(np.pi * ramp))
        with torch.autocast(x.device.type, torch.bfloat16, bfloat16):
            image = generator.synthesis(w)
            loss = (image - x).square().mean((1, 2, 3)) + 0.05 * perceptual(image, target)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    with torch.no_grad():
        return generator.synthesis(w)


def inversions(
    generator: Generator, perceptual: PerceptualDistance, pictures: np.ndarray, steps: int,
    keep: Path | None = None, bfloat16: bool = False,
) -> dict[str, float]:  # fmt: skip
    """Mean PSNR [dB] and LPIPS of inversions of `pictures`, and seconds a picture."""
    kept = Kept(keep, (generator, perceptual), [Path(__file__)])

    def piece(x: Tensor) -> dict[str, Tensor]:
        start = time.perf_counter()
        image = invert(generator, perceptual, x, steps, bfloat16=bfloat16)
        seconds = torch.tensor(time.perf_counter() - start)
        distance = perceptual(image, x).detach()
        return {"psnr": psnr(image.clamp(-1, 1), x), "lpips": distance, "seconds": seconds}

    found = []
    for i in here().part(range(0, len(pictures), AT_ONCE)):
        x = to_tensor(pictures[i : i + AT_ONCE])
        name = f"inverted-{steps}-{'half' if bfloat16 else 'full'}-{marked(x)}"
        found.append(kept(name, lambda x=x: piece(x)))
        print(".", end="", file=sys.stderr, flush=True)
    found = here().gather(found)
    decibels, distance = (torch.cat([p[key] for p in found]) for key in ("psnr", "lpips"))
    count = len(decibels)
    return {
        "psnr": float(decibels.mean()),
        "psnr_standard_error": float(decibels.std() / count**0.5) if count > 1 else None,
        "psnr_worst": float(decibels.min()),
        "lpips": float(distance.mean()),
        "seconds": sum(float(p["seconds"]) for p in found) / len(pictures),
    }


def measure(
    count: int, portraits: int, steps: int, folder: Path | None, keep: Path | None = None,
    bfloat16: bool = False,
) -> dict:  # fmt: skip
    """All figures; `count` samples, renders and further renders, `portraits` inversions."""
    generator = weights.load(Generator, "clay-heads/generator")
    perceptual = weights.load(PerceptualDistance, "clay-heads/perceptual")
    judge = weights.load(PortraitJudge, "clay-heads/judge")
    if bfloat16:
        generator, perceptual = fast(generator), fast(perceptual)
    rendered = renders(2 * count, folder)
    z = torch.randn(count, 512, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        samples = torch.cat(over(count, lambda a, b: z[a:b], generator)).clamp(-1, 1)
    first = over(count, lambda a, b: to_tensor(rendered[a:b]), perceptual.features)
    second = over(
        count, lambda a, b: to_tensor(rendered[count + a : count + b]), perceptual.features
    )
    drawn = over(count, lambda a, b: samples[a:b], perceptual.features)
    gaps = histogram_gap(
        over(count, lambda a, b: samples[a:b], judge),
        over(count, lambda a, b: to_tensor(rendered[a:b]), judge),
    )
    return {
        "count": count,
        "frechet": frechet_distance(torch.cat(drawn), torch.cat(first)),
        "frechet_renders": frechet_distance(torch.cat(second), torch.cat(first)),
        "attribute_gaps": gaps,
        "inversion": {"portraits": portraits, "steps": steps, "bfloat16": bfloat16}
        | inversions(generator, perceptual, rendered[:portraits], steps, keep, bfloat16),
        "speed": speed() if here().first else {},
    }


def speed() -> dict:
    """Figures of `synthesis_speed` at 256 px, both sides in one fresh process.

    After thousands of pictures the heap is in pieces and large tensors fault in page by page, which
    costs the faster side more: measured in this process it is 1.6 times as fast.
    """
    line = [sys.executable, "-m", "tests.benchmarks.synthesis_speed"]
    return json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    """Print the figures; write them to --json as well."""
    parser = argparse.ArgumentParser(description="Figures of the clay generator.")
    parser.add_argument("--count", type=int, default=5000, help="samples, and renders of each set")
    parser.add_argument("--portraits", type=int, default=100, help="inverted test portraits")
    parser.add_argument("--renders", type=Path, help="a rendered test split of 2 x count portraits")
    parser.add_argument("--quick", action="store_true", help="64 samples, 2 portraits, 100 steps")
    parser.add_argument("--keep", type=Path, help="go on from the inversions kept in this folder")
    parser.add_argument("--bfloat16", action="store_true", help="optimise in bfloat16")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    shard = here("cpu")
    size = (64, 2, 100) if options.quick else (options.count, options.portraits, STEPS)
    figures = measure(*size, options.renders, options.keep, options.bfloat16)
    if not shard.first:
        return
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
