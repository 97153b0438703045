"""The figures of MM2Latent on captions, masks, sketches and 3DMM numbers that no training saw.

    python -m tests.benchmarks.mm2latent [--count 1000] [--samples DIR] [--quick] [--keep DIR]
                                         [--json FILE]

Table 1: pictures from held-out captions and masks by MM2Latent, by what it is compared with, and
from one of the two inputs alone or from those of two portraits; beside it the portraits themselves,
which is as good as the measuring networks allow. Text: cosine of the joint embedding. Attributes:
of those that the caption names, what the judge sees. Mask: share of pixels in their class by the
parser. CMMD: of joint embeddings, to other portraits. Sketches: F1 of edges; 3DMM numbers: errors
as shares of their ranges; beside both, the same for another portrait's condition. Tables 2 and 3
train each of their rows anew on the samples of --samples (`pipelines.training.mm_mapping` makes
them), for equally many steps from random numbers, as published; without --samples they are left
out. Edits by text, mask, sketch and
3DMM numbers: whether they succeed, and what they leave. Milliseconds from words and a mask to
a picture, beside every other generator of the house.

A claim of the paper "holds" or "does not hold" by these numbers, and is "undecided" where a mean
difference over pictures is within two standard errors. --quick: 16 portraits, few steps: whether
everything runs, no more. --keep: a folder for finished codes, from which a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter as now
from typing import Any

import torch
from torch import Tensor

import weights
from pipelines.condition_codes import CONDITIONS
from pipelines.diffusion_inversion import DiffusionInversion
from pipelines.measures import cmmd
from pipelines.mm2latent import MM2Latent
from pipelines.training import mm_mapping
from pipelines.training.loop import Loop
from pipelines.training.mm_samples import kept
from pipelines.training.threads import use_threads
from tests.benchmarks.claims import Claim, claim, said
from tests.benchmarks.figure import Drawn, points
from tests.benchmarks.indomain import table
from tests.benchmarks.mm2latent_bench import Bench, Pictures, Project, Row
from tests.benchmarks.mm2latent_edits import edits
from tests.benchmarks.mm2latent_seconds import NEAREST, OURS, TEDIGAN, milliseconds

ITSELF = "the portraits themselves"
TEXT, MASK, CROSSED = "text alone", "mask alone", "text and mask of two portraits"
TABLE_2 = {  # row -> pseudo texts, batch normalisation, dropout; all of 8 layers
    "8 layers": (False, False, 0.0),
    "pseudo": (True, False, 0.0),
    "pseudo, norm": (True, True, 0.0),
    "pseudo, dropout": (True, False, 0.5),
    "pseudo, norm, dropout": (True, True, 0.5),
}
TABLE_3 = {"4 layers": 4, "8 layers, all": 8, "12 layers": 12}


# ---- Table 1 and what stands beside it -----------------------------------------------------------


def ways(bench: Bench) -> dict[str, tuple[int, Project, list[int] | None]]:
    """Table 1: portraits, codes by rows, and the captions that pictures are compared with."""
    p, f_text, masks = bench.pipeline, bench.f_text, bench.given["mask"]
    shifted = [(i + 1) % bench.count for i in range(bench.count)]

    def text(rows: slice) -> Tensor:
        return f_text[rows].to(p.device)

    def mask(rows: slice) -> Tensor:
        return masks[rows].to(p.device)

    def tedigan(rows: slice) -> Tensor:
        rows = slice(rows.start, min(rows.stop, bench.few))
        return p.rivals.tedigan(text(rows), "mask", mask(rows), steps=bench.steps)[0]

    def nearest(rows: slice) -> Tensor:
        return bench.bank.nearest(text(rows))[:, None].expand(-1, p.generator.num_ws, -1)

    def crossed(rows: slice) -> Tensor:
        return p.project(f_text[shifted[rows]].to(p.device), "mask", mask(rows))

    return {
        OURS: (bench.count, lambda rows: p.project(text(rows), "mask", mask(rows)), None),
        TEXT: (bench.count, lambda rows: p.project(text(rows)), None),
        MASK: (bench.count, lambda rows: p.project(None, "mask", mask(rows)), None),
        CROSSED: (bench.count, crossed, shifted),
        NEAREST: (bench.count, nearest, None),
        TEDIGAN: (bench.few, tedigan, None),
    }


def table_1(bench: Bench) -> tuple[dict[str, Row], dict[str, float], dict[str, Pictures]]:
    """Figures of each picture by each way, and the CMMD of each way's pictures; then our pictures
    and the portraits themselves, of which more is measured."""
    rows, distances, kept = {}, {}, {}
    for name, (count, project, texts) in ways(bench).items():
        made = bench.figures(bench.pictures(bench.codes(name, count, project)), texts)
        rows[name], distances[name] = made.row, cmmd(made.f_img, bench.others)
        kept |= {name: made} if name == OURS else {}
        print(".", end="", flush=True)
    kept[ITSELF] = bench.figures(bench.x)
    rows[ITSELF], distances[ITSELF] = kept[ITSELF].row, cmmd(kept[ITSELF].f_img, bench.others)
    return rows, distances, kept


def conditions(bench: Bench, masks: Mapping[str, Pictures]) -> dict[str, dict[str, float]]:
    """Conditions with captions: agreement, and that with another's condition.

    masks: what Table 1 has of them, by OURS and ITSELF; sketches and 3DMM numbers are made here.
    """
    p, found = bench.pipeline, {}
    for kind in p.conditions:
        given = bench.given[kind]

        def project(rows: slice, kind=kind, given=given) -> Tensor:
            return p.project(bench.f_text[rows].to(p.device), kind, given[rows].to(p.device))

        if kind == "mask":
            made, itself = masks[OURS], masks[ITSELF].row[kind]
        else:
            ws = bench.codes(f"{kind} and text", bench.count, project)
            made = bench.figures(bench.pictures(ws), kind=kind)
            itself = p.codes.alike(bench.read(bench.x, kind), kind, given)
        row = made.row | {
            "with another's": p.codes.alike(made.read, kind, given.roll(1, 0)), "itself": itself,
        }  # fmt: skip
        numbers = {key.replace(kind, "agreement"): v.nanmean().item() for key, v in row.items()}
        found[kind] = numbers | {"cmmd": cmmd(made.f_img, bench.others)}
        if kind == "morphable":
            found[kind] |= errors(bench, made)
        print(".", end="", flush=True)
    return found


def errors(bench: Bench, made: Pictures) -> dict[str, float]:
    """Mean error of each group of 3DMM numbers as a share of their ranges, as the morphable network
    reads them, and of the yaw in degrees as the judge does."""
    p, given = bench.pipeline, bench.given["morphable"]
    spans = torch.tensor([p.layout.span(name) for name in p.layout.names])
    away = (made.read - given).abs() / spans
    found = {f"error {g}": away[:, p.layout.columns(g)].mean().item() for g in p.layout.groups}
    if "yaw" in p.judge.value_names:
        yaw = bench.over(made.x, lambda part: p.judge(part).values["yaw"])
        column = p.layout.names.index("yaw")
        found["degrees of yaw, by the judge"] = (yaw - given[:, column]).abs().mean().item()
    return found


# ---- Tables 2 and 3 ------------------------------------------------------------------------------


def ablations(bench: Bench) -> tuple[dict[str, Row], dict[str, float]]:
    """Tables 2 and 3: figures of pictures by mappings trained alike but for one part."""
    todo = {name: (8, *parts) for name, parts in TABLE_2.items()}
    todo |= {name: (n, True, True, 0.5) for name, n in TABLE_3.items() if n != 8}
    p, rows, distances = bench.pipeline, {}, {}
    f_conds = bench.over(bench.given["mask"], lambda part: p.codes.coded(part, "mask"))
    for name, (layers, pseudo, norm, dropout) in todo.items():
        net = None

        def project(part: slice, name=name, parts=(layers, pseudo, norm, dropout)) -> Tensor:
            nonlocal net
            net = trained(bench, *parts) if net is None else net
            f_cond = f_conds[part].to(p.device)
            with torch.no_grad():
                w = net(bench.f_text[part].to(p.device), f_cond)
            return w[:, None].repeat(1, p.generator.num_ws, 1)

        count = min(bench.ablated, bench.count)
        ws = bench.codes(f"{name} {bench.train_steps} steps", count, project)
        made = bench.figures(bench.pictures(ws))
        rows[name], distances[name] = made.row, cmmd(made.f_img, bench.others)
        print(".", end="", flush=True)
    rows["8 layers, all"] = rows["pseudo, norm, dropout"]
    return rows, distances


def trained(bench: Bench, layers: int, pseudo: bool, norm: bool, dropout: float):
    """A mapping for masks, trained on the samples for as many steps as all others."""
    samples = bench.samples.part(held_out=False)
    mean = samples.w.float().mean(0)
    net = mm_mapping.fresh(
        samples, "mask", mean, layers=layers, normalise=norm, dropout=dropout
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(
            folder, 1, str(bench.pipeline.device), progress=False, steps=bench.train_steps,
            save_every=1e9,
        )  # fmt: skip
        return mm_mapping.train(samples, net, loop, pseudo=pseudo).eval()


# ---- the whole -----------------------------------------------------------------------------------


def claims(rows: Mapping[str, Row], ablated: Mapping[str, Row]) -> Iterator[Claim]:
    """Each claim of the paper."""
    pairs = [
        (f"MM2Latent beats {other} (Table 1, {key})", rows, OURS, other, key)
        for other in (TEDIGAN, NEAREST)
        for key in ("text", "attributes", "mask")
    ]
    pairs += [
        ("the mask adds to the text (mask)", rows, OURS, TEXT, "mask"),
        ("the text adds to the mask (text)", rows, OURS, MASK, "text"),
    ]
    if ablated:
        full, plain = "pseudo, norm, dropout", "8 layers"
        pairs += [
            ("pseudo texts help the mask (Table 2)", ablated, "pseudo", plain, "mask"),
            ("all three parts help the mask (Table 2)", ablated, full, plain, "mask"),
            (
                "dropout alone harms the mask (Table 2)",
                ablated,
                "pseudo",
                "pseudo, dropout",
                "mask",
            ),
            ("8 layers beat 4 (Table 3, text)", ablated, full, "4 layers", "text"),
            ("8 layers beat 4 (Table 3, mask)", ablated, full, "4 layers", "mask"),
            ("12 layers beat 8 (Table 3, text)", ablated, "12 layers", full, "text"),
            ("12 layers beat 8 (Table 3, mask)", ablated, "12 layers", full, "mask"),
        ]
    for text, found, better, worse, key in pairs:
        yield claim(text, found[better][key], found[worse][key])


def report(bench: Bench, diffusion: DiffusionInversion | None = None) -> dict[str, object]:
    """Measure everything, print it, return it."""
    start = now()
    rows, distances, masks = table_1(bench)
    ablated, ablated_distances = ablations(bench) if bench.samples is not None else ({}, {})
    compared = list(claims(rows, ablated))
    found = {
        "portraits": bench.count,
        "table 1": _with(rows, distances),
        "tables 2 and 3": _with(ablated, ablated_distances),
        "conditions": conditions(bench, masks),
        "edits": edits(bench),
        "milliseconds": milliseconds(bench, diffusion),
        "left out": [kind for kind in CONDITIONS if kind not in bench.pipeline.conditions],
        "claims": said(compared),
        "minutes": (now() - start) / 60,
    }
    for name in ("table 1", "tables 2 and 3", "conditions", "edits"):
        if found[name]:
            print(f"\n\n{name}\n{table(found[name])}")
    print(f"\nMilliseconds a picture\n{table(found['milliseconds'])}")
    if not ablated:
        print("Tables 2 and 3 are left out: give --samples.")
    if found["left out"]:
        print("Not trained, hence left out:", ", ".join(found["left out"]))
    if bench.quick:
        print(f"--quick: {bench.count} portraits, few steps: this only ran it all.")
    print(*compared, sep="\n")
    return found


def _with(rows: Mapping[str, Row], distances: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Means of each row's figures, and its distance."""
    return {
        name: {key: value.nanmean().item() for key, value in row.items()}
        | ({"cmmd": distances[name]} if name in distances else {})
        for name, row in rows.items()
    }


def curves(found: Mapping[str, Any]) -> Drawn:
    """What each method keeps of the text and of the mask (Table 1)."""
    return points(found["table 1"], "text", "mask"), "text score", "mask accuracy"


def main() -> None:
    """Print the figures; write them to --json as well."""
    parser = argparse.ArgumentParser(description="Figures of MM2Latent.")
    parser.add_argument("--count", type=int, default=1000, help="test portraits")
    parser.add_argument("--samples", type=Path, help="folder that holds one set of samples")
    parser.add_argument("--quick", action="store_true", help="16 portraits: only whether it runs")
    parser.add_argument("--device", help="cpu or cuda:0; a GPU where there is one by default")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--keep", type=Path, help="go on from what is kept in this folder")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arg = parser.parse_args()
    use_threads(arg.threads)
    pipeline = MM2Latent.from_pretrained(device=arg.device)
    samples = kept(arg.samples) if arg.samples else None
    try:
        diffusion = DiffusionInversion.from_pretrained(device=arg.device)
    except weights.WeightsError as error:
        print(f"without diffusion-driven inversion: {error}")
        diffusion = None
    figures = report(Bench(pipeline, arg.count, arg.quick, arg.keep, samples), diffusion)
    if arg.json:
        arg.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
