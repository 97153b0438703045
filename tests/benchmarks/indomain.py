"""The figures of in-domain inversion on portraits that no training saw, and what they say.

    python -m tests.benchmarks.indomain [--count 200] [--quick] [--patients 24] [--keep DIR]
                                        [--json FILE]

Reconstruction by the four methods, and by Image2StyleGAN with five times the steps, since it was
published with thousands; then in-domain against Image2StyleGAN: attribute accuracy of manipulation
at equal identity, realism of interpolation midpoints and of semantic diffusion. A claim of the
paper "holds" or "does not hold" by these numbers, and is "undecided" where a mean difference over
portraits (for manipulation, attributes) is within two standard errors; distances between sets are
compared as they are. Portraits are rendered on the fly from the test split. Frechet distances in
the perceptual network's 512 features need several hundred pictures; below 500 they are printed as
unreliable, beside the unbiased kernel distance.
--quick: 8 portraits, 32 held-out ones, 4 steps: whether everything runs, no more. --keep: a folder
for the codes of each batch, from which an interrupted run goes on (see `kept`).
Under `accelerate launch` the processes share portraits, batch by batch; the figures are the same.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from examples.clay.edits import EDITS
from examples.clay.parameters import SEEDS, draw, latent
from examples.clay.render import render
from pipelines.images import box_mask
from pipelines.indomain import InDomain
from pipelines.indomain_codes import METHODS
from pipelines.measures import frechet_distance, kernel_distance, psnr
from pipelines.training.boundaries import judged
from pipelines.training.indomain_encoder import fast
from pipelines.training.loop import to_tensor
from pipelines.training.sharding import here
from tests.benchmarks.claims import Claim, claim, said
from tests.benchmarks.figure import Drawn, mean_curve
from tests.benchmarks.kept import PIPELINES, Kept, marked

RIVALS = ("image2stylegan", "in-domain")
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # in units of the change that is asked for
BOX = (70 / 256, 90 / 256, 180 / 256, 200 / 256)  # the published crop: 110 px at (125, 145)
STRANGERS = 256  # held-out portraits for thresholds and Frechet distances, at least
PATIENT, PATIENCE = "image2stylegan x5", 500  # steps, for the first portraits
PATIENTS = 24
STEPS = 100
KEPT = 0.85  # share of an inversion's likeness at which edits are compared
RELIABLE = 500  # pictures from which on Frechet distances are taken seriously
FALSE_ACCEPTS = 1e-3
Map = Callable[[Tensor], Tensor]


@dataclass
class Bench:
    """What every figure needs: the pipeline, portraits x with parameters p, and strangers."""

    pipeline: InDomain
    count: int
    batch: int
    bfloat16: bool
    quick: bool = False
    keep: Path | None = None
    patients: int = PATIENTS

    def __post_init__(self) -> None:
        self.shard = here(self.pipeline.device)
        pipeline = self.pipeline
        rivals = (pipeline.generator, pipeline.perceptual)
        networks = {
            "conventional": (pipeline.conventional,),
            "domain-guided": (pipeline.encoder,),
            "image2stylegan": rivals,
            "in-domain": (*rivals, pipeline.encoder),
        }
        source = [PIPELINES / "indomain.py"]
        self.kept = {m: Kept(self.keep, networks[m], source) for m in METHODS}
        self.steps = 4 if self.quick else STEPS
        seeds = SEEDS["test"]
        others = 32 if self.quick else max(STRANGERS, self.count)
        self.strengths = STRENGTHS[::3] if self.quick else STRENGTHS
        self.patients = 0 if self.quick else min(self.patients, self.count)
        self.parameters = draw(np.stack([latent(s) for s in seeds[: self.count]]))
        self.x = self.rendered(self.parameters)
        strangers = draw(np.stack([latent(s) for s in seeds[self.count : self.count + others]]))
        self.strangers = self.rendered(strangers)
        unlike = self.over(self.strangers, lambda x: self.pipeline.judge(x).embedding)
        cosines = (unlike @ unlike.T)[torch.triu(torch.ones(others, others), 1).bool()]
        self.threshold = torch.quantile(cosines[:1_000_000], 1 - FALSE_ACCEPTS).item()
        self.held_out = self.over(self.strangers, self.pipeline.perceptual.features)

    def rendered(self, parameters: np.ndarray) -> Float[Tensor, "n 3 h w"]:
        chunks = [part for part in np.array_split(parameters, 8) if len(part)]
        own = (np.asarray(render(p, self.pipeline.size)[0]) for p in self.shard.part(chunks))
        return to_tensor(np.concatenate(self.shard.gather(own)))

    @torch.no_grad()
    def over(self, items: Tensor, function: Map) -> Tensor:
        """`function` of batches on the device, gathered on the CPU."""
        device, parts = self.pipeline.device, self.shard.part(items.split(32))
        own = (function(part.to(device)).float().cpu() for part in parts)
        return torch.cat(self.shard.gather(own))

    def pictures(self, ws: Float[Tensor, "n layers 512"]) -> Float[Tensor, "n 3 h w"]:
        return self.over(ws, lambda w: self.pipeline.generator.synthesis(w).clamp(-1, 1))

    def project(
        self, x: Tensor, method: str, mask: Tensor | None = None, steps: int | None = None
    ) -> tuple[Tensor, float]:
        """Codes by a method, and seconds a portrait, of one process."""
        steps, device = steps or self.steps, self.pipeline.device
        half = self.bfloat16 and method in RIVALS  # one pass of an encoder gains nothing by it

        def piece(part: Tensor) -> dict[str, Tensor]:
            start = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, half):
                ws, _ = self.pipeline.project(
                    part.to(device), method=method, mask=mask, steps=steps
                )
            seconds = torch.tensor(time.perf_counter() - start)
            return {"codes": ws.float().cpu(), "seconds": seconds}

        found = []
        for part in self.shard.part(x.split(self.batch)):
            inputs = part if mask is None else torch.cat([part.flatten(), mask.cpu().flatten()])
            name = f"{method}-{steps}-{'half' if half else 'full'}-{marked(inputs)}"
            found.append(self.kept[method](name, lambda part=part: piece(part)))
            print(".", end="", flush=True)
        seconds = sum(self.shard.gather([float(p["seconds"]) for p in found]))
        return torch.cat(self.shard.gather([p["codes"] for p in found])), seconds / len(x)

    def likeness(self, x: Tensor, y: Tensor) -> Float[Tensor, " n"]:
        """Cosine of the judge's embeddings."""
        a, b = (self.over(p, lambda q: self.pipeline.judge(q).embedding) for p in (x, y))
        return (a * b).sum(1)

    def distances(self, pictures: Tensor) -> dict[str, float]:
        """Frechet and kernel distance to held-out renders."""
        found = self.over(pictures, self.pipeline.perceptual.features)
        return {
            "frechet": frechet_distance(found, self.held_out),
            "kernel": kernel_distance(found, self.held_out),
        }


def reconstruction(bench: Bench) -> tuple[dict[str, dict[str, Tensor | float]], dict[str, Tensor]]:
    """Per-portrait figures of each method, and its codes."""
    rows, codes = {}, {}
    for method in METHODS:
        codes[method], seconds = bench.project(bench.x, method)
        rows[method] = rebuilding(bench, bench.x, codes[method]) | {"seconds": seconds}
    if bench.patients:
        x = bench.x[: bench.patients]
        ws, seconds = bench.project(x, "image2stylegan", steps=PATIENCE)
        rows[PATIENT] = rebuilding(bench, x, ws) | {"seconds": seconds}
    return rows, codes


def rebuilding(bench: Bench, x: Tensor, codes: Tensor) -> dict[str, Tensor]:
    """How well codes rebuild pictures x; "outside": squared distance of codes to E(G(codes))."""
    rebuilt = bench.pictures(codes)
    both = torch.cat([x, rebuilt], dim=1)
    identity = bench.likeness(x, rebuilt)
    back = bench.over(rebuilt, bench.pipeline.encoder)
    return {
        "psnr": psnr(x, rebuilt),
        "lpips": bench.over(both, lambda p: bench.pipeline.perceptual(p[:, :3], p[:, 3:])),
        "identity": identity,
        "same person": (identity > bench.threshold).float(),
        "outside": (codes - back).square().mean((1, 2)),
    }


def wanted_changes(bench: Bench, name: str) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 2"]]:
    """The change to ask of each portrait, and the judge's reading of the renders before and after.

    It is the edit's full range towards the side where the portrait is not.
    """
    edit, column = EDITS[name], list(EDITS).index(name)
    values = edit.value(bench.parameters)
    middle = 0.0 if edit.high > 1 else 0.5
    changes = np.where(values > middle, edit.low, edit.high)
    seeds = SEEDS["test"][: bench.count]
    after = [
        draw(latent(seed), edit.apply(p, change))
        for seed, p, change in zip(seeds, bench.parameters, changes, strict=True)
    ]
    true = bench.rendered(np.stack(after))
    readings = [
        bench.over(x, lambda q: judged(bench.pipeline.judge(q)))[:, column] for x in (bench.x, true)
    ]
    return torch.from_numpy(changes).float(), torch.stack(readings, dim=1)


def manipulation(bench: Bench, codes: dict[str, Tensor]) -> dict[str, dict]:
    """Accuracy and likeness along STRENGTHS, for each attribute and rival method.

    An edit is right where the judge's reading is nearer to the renderer's edited portrait than to
    the portrait itself; portraits that the renderer's edit leaves alone do not count.
    """

    def look(ws: Tensor) -> Tensor:
        """What the judge reads from G(ws), and its embedding, in one pass."""
        output = bench.pipeline.judge(bench.pipeline.generator.synthesis(ws).clamp(-1, 1))
        return torch.cat([judged(output), output.embedding], dim=1)

    embedding = bench.over(bench.x, lambda x: bench.pipeline.judge(x).embedding)
    found: dict[str, dict] = {}
    for name in EDITS:
        column, boundary = list(EDITS).index(name), bench.pipeline.boundaries[name]
        changes, readings = wanted_changes(bench, name)
        before, after = readings.unbind(1)
        counts = (after - before).abs() > 0.1 * (EDITS[name].high - EDITS[name].low) / 2
        changes, before, after = changes[counts], before[counts], after[counts]
        original = embedding[counts]
        curves: dict[str, list] = {}
        for method in RIVALS if counts.any() else ():
            curve = []
            for strength in bench.strengths:
                move = boundary.move(1.0) * changes[:, None, None] * strength
                seen = bench.over(codes[method][counts] + move, look)
                now = seen[:, column]
                right = ((now - after).abs() < (now - before).abs()).float()
                like = (seen[:, len(EDITS) :] * original).sum(1)
                curve.append((like.mean().item(), right.mean().item()))
            curves[method] = curve
        found[name] = {"portraits": int(counts.sum()), "curves": curves}
    return found


def at_equal_identity(found: dict[str, dict]) -> dict[str, dict[str, float]]:
    """Accuracy of each attribute where an edit has cost both methods' pictures the same likeness:
    KEPT of that of the worse one's unedited inversion, or the next that both reach."""
    rows = {}
    for name, row in found.items():
        curves = {method: np.array(curve) for method, curve in row["curves"].items()}
        if not curves:
            continue
        low = max(curve[:, 0].min() for curve in curves.values())
        high = min(curve[:, 0].max() for curve in curves.values())
        if low < high:
            level = float(np.clip(KEPT * high, low, high))
            rows[name] = {"identity": float(level)}
            for method, curve in curves.items():
                rows[name][method] = float(np.interp(level, *curve[curve[:, 0].argsort()].T))
    return rows


def interpolation(bench: Bench, codes: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """Distances of the midpoints between neighbours to held-out renders."""
    return {
        method: bench.distances(bench.pictures((codes[method] + codes[method].roll(1, 0)) / 2))
        for method in RIVALS
    }


def diffusion(bench: Bench) -> dict[str, dict[str, Tensor | float]]:
    """Each portrait's crop diffused into its neighbour: realism, target's crop, context around it.

    Image2StyleGAN rebuilds the whole stitched picture (suppl. Fig. 12).
    """
    mask = box_mask(BOX, bench.pipeline.size)
    target, context = bench.x, bench.x.roll(1, 0)
    stitched = torch.where(mask > 0, target, context)
    free, ours = RIVALS
    codes = {
        "encoder alone": bench.project(stitched, "domain-guided"),
        free: bench.project(stitched, free),
        ours: bench.project(stitched, ours, mask.to(bench.pipeline.device)),
    }
    rows: dict[str, dict] = {"copy and paste": bench.distances(stitched)}
    for name, (ws, seconds) in codes.items():
        images = bench.pictures(ws)
        rows[name] = bench.distances(images) | {
            "crop identity": bench.likeness(cropped(target, mask), cropped(images, mask)),
            "crop psnr": psnr(target, images, mask),
            "context psnr": psnr(context, images, 1 - mask),
            "seconds": seconds,
        }
    return rows


def cropped(x: Float[Tensor, "n 3 h w"], mask: Tensor) -> Float[Tensor, "n 3 h w"]:
    """The mask's rectangle, enlarged to the whole picture."""
    rows, columns = mask[0, 0].any(1).nonzero()[:, 0], mask[0, 0].any(0).nonzero()[:, 0]
    part = x[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return F.interpolate(part, x.shape[2:], mode="bilinear", align_corners=False)


def claims(rows: dict, equal: dict, midpoints: dict, fused: dict) -> Iterator[Claim]:
    """Each claim of the paper."""
    conventional, guided, free, ours = METHODS
    for text, better, worse in (
        ("the domain-guided encoder rebuilds better than the conventional", guided, conventional),
        ("optimisation rebuilds better than the domain-guided encoder", ours, guided),
        ("in-domain inversion rebuilds better than Image2StyleGAN", ours, free),
    ):
        a, b = rows[better], rows[worse]
        yield claim(f"{text} (PSNR)", a["psnr"], b["psnr"])
        yield claim(f"{text} (LPIPS)", a["lpips"], b["lpips"], below=True)
        yield claim(f"{text} (identity)", a["identity"], b["identity"])
    if PATIENT in rows:
        text = "in-domain inversion rebuilds better than Image2StyleGAN in 5 x the steps"
        patient = rows[PATIENT]
        yield claim(f"{text} (PSNR)", rows[ours]["psnr"], patient["psnr"])
        yield claim(f"{text} (LPIPS)", rows[ours]["lpips"], patient["lpips"], below=True)
    text = "in-domain codes stay nearer to the domain (by the term they were optimised for)"
    yield claim(text, rows[ours]["outside"], rows[free]["outside"], below=True)
    ranks = [torch.tensor([row[method] for row in equal.values()]) for method in (ours, free)]
    yield claim("manipulation is more accurate at equal identity", *ranks)
    for key in ("frechet", "kernel"):
        text = f"interpolation midpoints are more realistic ({key})"
        yield claim(text, midpoints[ours][key], midpoints[free][key], below=True)
        text = f"semantic diffusion is more realistic ({key})"
        yield claim(text, fused[ours][key], fused[free][key], below=True)
    for key in ("crop identity", "crop psnr", "context psnr"):
        for other in ("encoder alone", free):
            text = f"semantic diffusion keeps more of its pictures than {other} ({key})"
            yield claim(text, fused[ours][key], fused[other][key])


def table(rows: dict[str, dict]) -> str:
    """Methods down, figures across."""
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    lines = [f"{'':18}" + "".join(f"{column:>15}" for column in columns)]
    for name, row in rows.items():
        cells = (f"{row[c]:15.4f}" if c in row else f"{'':>15}" for c in columns)
        lines.append(f"{name:18}" + "".join(cells))
    return "\n".join(lines)


def means(rows: dict[str, dict]) -> dict[str, dict[str, float]]:
    return {
        name: {key: float(torch.as_tensor(value).mean()) for key, value in row.items()}
        for name, row in rows.items()
    }


def report(bench: Bench) -> dict[str, object]:
    """Measure everything, print it, return it."""
    rows, codes = reconstruction(bench)
    print(f"\n\nReconstruction of {bench.count} portraits\n{table(means(rows))}")
    edits = manipulation(bench, codes)
    equal = at_equal_identity(edits)
    print("\nManipulation: (identity, accuracy) for strengths", *bench.strengths)
    for name, row in edits.items():
        for method, curve in row["curves"].items():
            print(f"{name:12}{method:15}", *(f"({a:.2f}, {b:.2f})" for a, b in curve))
    print(f"\nAccuracy at equal identity\n{table(equal)}")
    midpoints = interpolation(bench, codes)
    print(f"\nInterpolation midpoints\n{table(midpoints)}")
    fused = diffusion(bench)
    print(f"\n\nSemantic diffusion\n{table(means(fused))}\n")
    found = list(claims(rows, equal, midpoints, fused))
    small = bench.count < RELIABLE
    if bench.quick:
        print(f"--quick: {bench.count} portraits, {bench.steps} steps: this only ran it all.")
    for each in found:
        note = f" (unreliable: {bench.count} pictures)" if small and "frechet" in each.text else ""
        print(f"{each}{note}")
    return {
        "portraits": bench.count, "bfloat16": bench.bfloat16, "threshold": bench.threshold,
        "reconstruction": means(rows), "manipulation": edits, "equal identity": equal,
        "interpolation": midpoints, "diffusion": means(fused), "claims": said(found),
    }  # fmt: skip


def curves(found: Mapping[str, Any]) -> Drawn:
    """Accuracy against likeness along the strengths of edits, the mean of all attributes."""
    edits = [row["curves"] for row in found["manipulation"].values() if row["curves"]]
    return {m: mean_curve([edit[m] for edit in edits]) for m in RIVALS}, "identity", "accuracy"


def main() -> None:
    """Print the figures; write them to --json as well."""
    parser = argparse.ArgumentParser(description="Figures of in-domain inversion.")
    parser.add_argument("--count", type=int, default=200, help="test portraits")
    parser.add_argument("--quick", action="store_true", help="8 portraits: only whether it runs")
    parser.add_argument("--batch", type=int, default=8, help="portraits optimised at a time")
    parser.add_argument("--bfloat16", action="store_true", help="optimise in bfloat16")
    parser.add_argument("--device", help="cpu or cuda:0; a GPU where there is one by default")
    parser.add_argument(
        "--patients", type=int, default=PATIENTS,
        help="portraits that Image2StyleGAN gets five times the steps for",
    )  # fmt: skip
    parser.add_argument("--keep", type=Path, help="go on from what is kept in this folder")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arg = parser.parse_args()
    pipeline = InDomain.from_pretrained(device=arg.device)
    if arg.bfloat16:
        for network in (pipeline.generator, pipeline.encoder, pipeline.perceptual):
            fast(network)
    count = 8 if arg.quick else arg.count
    bench = Bench(
        pipeline, count, arg.batch, arg.bfloat16, arg.quick, arg.keep, arg.patients
    )  # fmt: skip
    with bench.shard.speaking():
        figures = report(bench)
    if arg.json and bench.shard.first:
        arg.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
