"""Find attribute boundaries in W: one hyperplane an attribute, the layers it acts on, its slope.

    python -m pipelines.training.boundaries --out RUN --weights FILE

As InterFaceGAN (Shen, Gu, Tang, Zhou; CVPR 2020, Sec. 3) and the manipulation part of in-domain
inversion: sample codes, label their pictures, separate the codes linearly, move along the unit
normal. Labels come from the judge's view of G(w); `--labels truth` takes them from the parameters
that z draws instead, which is right only for a generator trained on pairs of z and picture.

Symbols: w, a code; y, an attribute's value; n, unit normal; b, offset; s, the slope: change of y
for one unit along n, moved in the chosen layers alone; sd, deviation of n . w over samples.

Departs from paper: least squares instead of a support vector machine, because it has a closed form
and uses the values of graded attributes, not just their sides; layers are chosen by a rule.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

import weights
from examples.clay import parameters
from examples.clay.edits import BEARDED, EDITS
from pipelines.networks.judge import JudgeOutput, PortraitJudge
from pipelines.networks.stylegan2 import Generator
from pipelines.runtime import choose_device
from pipelines.training.indomain_encoder import network_of, network_options
from pipelines.training.loop import autocast
from pipelines.training.sharding import here
from pipelines.training.threads import use_threads

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # in units of the mean variance of w
TOLERANCE = 0.02  # of held-out R^2 that a larger ridge may cost
ENOUGH = 0.9  # share of the full change that the chosen layers must reach
VALUES = {"light": "light_azimuth"}  # edits that the judge knows by another name
Effect = Callable[[Tensor, Tensor, float], float]


def judged(output: JudgeOutput) -> Float[Tensor, "b attributes"]:
    """The value of every edit's attribute as the judge sees it, in the edit's unit."""
    columns = []
    for name in EDITS:
        if name == "glasses":
            columns.append(1 - output.choices["glasses"].softmax(1)[:, 0])
        elif name == "beard":
            columns.append(output.choices["beard"].softmax(1)[:, list(BEARDED)].sum(1))
        else:
            columns.append(output.values[VALUES.get(name, name)])
    return torch.stack(columns, dim=1)


@torch.no_grad()
def look(
    generator: Generator, judge: PortraitJudge, ws: Float[Tensor, "b layers 512"]
) -> Float[Tensor, "b attributes"]:
    """What the judge sees of the pictures of layer-wise codes."""
    # Means over many pictures: speed counts.
    with autocast(ws.device):
        views = [judged(judge(generator.synthesis(part))) for part in ws.split(32)]
    return torch.cat(views).float()


@torch.no_grad()
def label(
    generator: Generator, judge: PortraitJudge, count: int, seed: int, truth: bool
) -> tuple[Float[Tensor, "n 512"], Float[Tensor, "n attributes"]]:
    """Codes of random latents and the values of their attributes."""
    device = generator.mapping.w_avg.device
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    shard, found = here(device), []
    for part in tqdm(shard.part(z.split(64)), desc="label", disable=not shard.first):
        ws = generator.mapping(part.to(device))
        if truth:
            p = parameters.draw(part.numpy())
            known = np.stack([edit.value(p) for edit in EDITS.values()], axis=1)
            seen = torch.from_numpy(known).float()
        else:
            seen = look(generator, judge, ws)
        found.append((ws[:, 0].cpu(), seen.cpu()))
    codes, values = zip(*shard.gather(found), strict=True)
    return torch.cat(codes).to(device), torch.cat(values).to(device)


def separate(
    w: Float[Tensor, "n d"], y: Float[Tensor, " n"], w_test: Tensor, y_test: Tensor
) -> Float[Tensor, " d"]:
    """The unit normal of a least-squares separator of centred codes and values, in float64.

    Of all ridges, the largest whose held-out R^2 is within TOLERANCE of the best: it explains as
    much and leaves the directions alone in which codes hardly vary.
    """
    gram, moment = w.T @ w, w.T @ y
    unit = gram.trace() / len(gram)
    eye = torch.eye(len(gram), dtype=w.dtype, device=w.device)
    found = []
    for ridge in RIDGES:
        n = torch.linalg.solve(gram + ridge * unit * eye, moment)
        n = F.normalize(n, dim=0)
        found.append((torch.corrcoef(torch.stack([w_test @ n, y_test]))[0, 1].item() ** 2, n))
    best = max(r2 for r2, _ in found)
    return next(n for r2, n in reversed(found) if r2 >= best - TOLERANCE)


def conditioned(normals: Float[Tensor, "a d"]) -> Float[Tensor, "a d"]:
    """Each normal without its part in the span of the others (InterFaceGAN, Sec. 3.3)."""
    rows = []
    for i, n in enumerate(normals):
        others = torch.cat([normals[:i], normals[i + 1 :]])
        q = torch.linalg.qr(others.T).Q
        rows.append(F.normalize(n - q @ (q.T @ n), dim=0))
    return torch.stack(rows)


def accuracy(
    n: Tensor, w: Tensor, y: Tensor, w_test: Tensor, y_test: Tensor, middle: float
) -> float:
    """Share of held-out codes on the side of the hyperplane where their value lies."""
    projection, side = w @ n, y > middle
    if side.all() or not side.any():
        return 1.0
    # The offset that puts as many training codes above the plane as there are values above.
    offset = torch.quantile(projection, 1 - side.double().mean())
    return ((w_test @ n > offset) == (y_test > middle)).double().mean().item()


def effect_of(
    generator: Generator, judge: PortraitJudge, ws: Float[Tensor, "b layers 512"], column: int
) -> Effect:
    """A function (n, layers, distance) -> mean change of an attribute per unit of distance."""

    def effect(n: Tensor, layers: Tensor, distance: float) -> float:
        move = distance * layers[:, None] * n
        up, down = (look(generator, judge, ws + s * move)[:, column] for s in (1, -1))
        return ((up - down).mean() / (2 * distance)).item()

    return effect


def choose_layers(effect: Effect, n: Tensor, count: int, distance: float) -> Tensor:
    """The fewest layers, strongest first, that reach ENOUGH of the change of all layers."""
    eye = torch.eye(count, device=n.device)
    full = effect(n, eye.sum(0), distance)
    alone = torch.tensor([effect(n, layer, distance) for layer in eye]) / full
    order = alone.argsort(descending=True).tolist()
    low, high = 1, count  # bisection: the change grows with the set, strongest first
    while low < high:
        middle = (low + high) // 2
        reached = effect(n, eye[order[:middle]].sum(0), distance) / full
        low, high = (low, middle) if reached >= ENOUGH else (middle + 1, high)
    return eye[order[:low]].sum(0)


def fit(
    generator: Generator, judge: PortraitJudge, arg: argparse.Namespace
) -> tuple[dict[str, Tensor], dict[str, dict[str, object]]]:
    """Tensors of all boundaries, and a readable row each."""
    truth = arg.labels == "truth"
    w, y = label(generator, judge, arg.count, 0, truth)
    held_out = max(arg.count // 5, 3 * arg.samples)
    w_test, y_test = label(generator, judge, held_out, 1, truth)
    mean, level = w.double().mean(0), y.double().mean(0)
    w, w_test, y, y_test = w - mean, w_test - mean, y - level, y_test - level
    normals = torch.stack([separate(w, y[:, i], w_test, y_test[:, i]) for i in range(len(EDITS))])
    if arg.condition:
        normals = conditioned(normals)
    codes = (w_test + mean).float()[:, None].repeat(1, generator.num_ws, 1)
    choosing, measuring = codes[: arg.samples], codes[arg.samples : 3 * arg.samples]
    shard, found = here(w.device), []
    own = shard.part(list(enumerate(EDITS.items())))
    for i, (name, edit) in tqdm(own, desc="layers and slopes", disable=not shard.first):
        n, sd = normals[i].float(), (w @ normals[i]).std().item()
        layers = choose_layers(effect_of(generator, judge, choosing, i), n, generator.num_ws, sd)
        slope = effect_of(generator, judge, measuring, i)(n, layers, sd)
        middle = (
            (0.5 - level[i]).item() if name in ("glasses", "beard") else y[:, i].median().item()
        )
        right = accuracy(normals[i], w, y[:, i], w_test, y_test[:, i], middle)
        numbers = {"slope": slope, "accuracy": right, "low": edit.low, "high": edit.high}
        tensors = {f"{name}.{key}": torch.tensor(float(v)) for key, v in numbers.items()}
        tensors |= {f"{name}.normal": n.cpu(), f"{name}.layers": layers.cpu()}
        chosen = layers.nonzero().flatten().tolist()
        row = {"accuracy": right, "slope": slope, "sd": sd, "layers": chosen}
        found.append((tensors, {name: row}))
    found = shard.gather(found)
    tensors = {key: value for mine, _ in found for key, value in mine.items()}
    return tensors, {name: row for _, mine in found for name, row in mine.items()}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Find attribute boundaries in W.")
    parser.add_argument("--out", type=Path, required=True, help="folder for metrics.json")
    parser.add_argument("--weights", type=Path, help="write the boundaries here")
    network_options(parser, "generator", "judge")
    parser.add_argument("--labels", choices=("judge", "truth"), default="judge")
    parser.add_argument("--condition", action="store_true", help="project the others out of each")
    parser.add_argument("--count", type=int, default=20_000, help="labelled training samples")
    parser.add_argument("--samples", type=int, default=64, help="pictures a layer is tried on")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    return parser.parse_args()


def main() -> None:
    arg = parse()
    use_threads(arg.threads)
    device, start = choose_device(arg.device), time.monotonic()
    generator = network_of(arg, "generator", device)
    judge = network_of(arg, "judge", device)
    tensors, rows = fit(generator, judge, arg)
    if not here(device).first:
        return
    card = {
        "recipe": "pipelines.training.boundaries",
        "seeds": "torch seeds 0 (training) and 1 (held out)",
        "minutes": (time.monotonic() - start) / 60,
        "device": str(device),
        "samples": arg.count,
        "labels": arg.labels,
        "conditioned": arg.condition,
        "held_out": rows,
    }
    text = json.dumps(card, indent=2)
    print(text)
    arg.out.mkdir(parents=True, exist_ok=True)
    (arg.out / "metrics.json").write_text(text + "\n")
    if arg.weights:
        weights.save(tensors, arg.weights, card, half=False)


if __name__ == "__main__":
    main()
