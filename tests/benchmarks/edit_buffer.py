"""What the buffer around the parts of Q_edit changes (Eq. 1, Sec. 3.3), on validation portraits.

    python -m tests.benchmarks.edit_buffer [--count 8] [--buffers 1 2 5] [--edits EDIT ...]
        [--steps 40] [--embed-steps 60] [--threads 1] [--quick] [--json FILE]

Each edit is painted as the renderer says that the mask changes, then optimised with each buffer
from the same embedding. Figures: the region's share of the picture; PSNR and LPIPS to the embedding
outside the region of the largest buffer, the same pixels for all; PSNR and LPIPS to the true
answer, the same portrait rendered with the edit, and PSNR to it inside that largest region; how
much of the painted parts came out. Differences to the largest buffer are printed with two standard
errors over portraits.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from examples.clay.parameters import SEEDS
from examples.clay.part_edits import PART_EDITS, PartEdit
from pipelines.editgan import EditGAN
from pipelines.measures import psnr
from pipelines.training.editing_vectors import agreement, chosen, painted, truth
from pipelines.training.loop import to_tensor
from pipelines.training.segmentation_branch import masks_of
from pipelines.training.threads import use_threads

EDITS = ("smile", "glasses on", "raise brows")
EQUAL = 106.0  # dB that equal pictures count as
Figures = dict[str, Tensor]  # one number a portrait


@torch.no_grad()
def measure(
    pipeline: EditGAN, edit: PartEdit, seeds: Sequence[int], buffers: Sequence[int], steps: int,
    embed_steps: int,
) -> dict[str, Figures]:  # fmt: skip
    """Figures by buffer, and those of no edit at all; buffers are in pixels."""
    truths = [truth(edit, seed, pipeline.size) for seed in seeds]
    before, after = (to_tensor(np.stack([t.images[i] for t in truths])) for i in (0, 1))
    codes, _ = pipeline.project(before.to(pipeline.device), steps=embed_steps)
    source, masks = pipeline.generator.synthesis(codes).clamp(-1, 1), masks_of(pipeline, codes)
    asked = [
        painted(mask, t.masks, edit.q_edit) for mask, t in zip(masks, truths, strict=True)
    ]  # fmt: skip

    def regions(buffer: int) -> np.ndarray:
        pairs = zip(masks, asked, strict=True)
        return np.stack([pipeline.region(a, b, edit.q_edit, buffer) for a, b in pairs])

    widest = torch.from_numpy(regions(max(buffers)))[:, None].to(pipeline.device)
    known = source, after.to(pipeline.device), widest
    rows = {"no edit": figures(pipeline, source, *known)}
    for buffer in buffers:
        delta, _ = pipeline.optimise(
            codes, np.stack(asked), regions(buffer), steps=steps, start=torch.zeros_like(codes)
        )
        changed = pipeline.generator.synthesis(codes + delta).clamp(-1, 1)
        new = masks_of(pipeline, codes + delta)
        shares = [agreement(a, b, edit.q_edit) for a, b in zip(new, asked, strict=True)]
        rows[f"{buffer} px"] = figures(pipeline, changed, *known) | {
            "region": torch.from_numpy(regions(buffer).mean((1, 2))).float(),
            "as painted": torch.tensor(shares),
        }
    return rows


def figures(
    pipeline: EditGAN, pictures: Tensor, source: Tensor, true: Tensor, inside: Tensor
) -> Figures:
    """How far pictures are from their source outside the edit, and from the true answer."""
    kept = torch.where(inside, source, pictures)
    return {
        "PSNR outside": psnr(pictures, source, 1 - inside.float()).clamp(max=EQUAL).cpu(),
        "LPIPS outside": pipeline.perceptual(kept, source).cpu(),
        "PSNR to truth": psnr(pictures, true).cpu(),
        "LPIPS to truth": pipeline.perceptual(pictures, true).cpu(),
        "PSNR to truth inside": psnr(pictures, true, inside.float()).cpu(),
    }


def summary(rows: Mapping[str, Figures]) -> dict[str, dict[str, float]]:
    """Means over portraits, and mean differences to the last row with two standard errors."""
    found = {
        name: {key: value.mean().item() for key, value in row.items()} for name, row in rows.items()
    }
    *others, last = [name for name in rows if name != "no edit"]
    for name in others:
        for key, value in rows[name].items():
            difference = value - rows[last][key]
            found[name][f"{key}, difference"] = difference.mean().item()
            error = 2 * difference.std() / len(difference) ** 0.5
            found[name][f"{key}, two errors"] = error.item()
    return found


def pooled(rows: Sequence[Mapping[str, Figures]]) -> dict[str, Figures]:
    """The portraits of all edits together."""
    return {
        name: {key: torch.cat([row[name][key] for row in rows]) for key in rows[0][name]}
        for name in rows[0]
    }


def show(title: str, found: Mapping[str, Mapping[str, float]]) -> None:
    """Print the means, and the differences below."""
    keys = [key for key in found[list(found)[-1]] if "," not in key]
    print(f"\n{title}\n{'':9}" + "".join(f"{key:>22}" for key in keys))
    for name, row in found.items():
        print(f"{name:9}" + "".join(f"{row.get(key, float('nan')):22.4f}" for key in keys))
        if f"{keys[0]}, difference" in row:
            pairs = [(row[f"{key}, difference"], row[f"{key}, two errors"]) for key in keys]
            print(" " * 9 + "".join(f"{f'{d:+.4f} ± {e:.4f}':>22}" for d, e in pairs))


def main() -> None:
    parser = argparse.ArgumentParser(description="What EditGAN's buffer changes.")
    parser.add_argument("--count", type=int, default=8, help="validation portraits an edit")
    parser.add_argument("--buffers", type=int, nargs="+", default=(1, 2, 5), help="pixels")
    parser.add_argument("--edits", nargs="+", choices=PART_EDITS, default=EDITS, metavar="EDIT")
    parser.add_argument("--steps", type=int, default=40, help="of optimisation")
    parser.add_argument("--embed-steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="2 portraits: only whether it runs")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arg = parser.parse_args()
    use_threads(arg.threads)
    count, steps, embed_steps = (2, 2, 2) if arg.quick else (arg.count, arg.steps, arg.embed_steps)
    pipeline = EditGAN.from_pretrained()
    edits = [PART_EDITS[name] for name in arg.edits]
    seeds = chosen(edits, SEEDS["validation"], count)
    found, buffers = {}, sorted(arg.buffers)
    for edit in edits:
        found[edit.name] = measure(pipeline, edit, seeds[edit.name], buffers, steps, embed_steps)
        show(f"{edit.name}, {count} portraits", summary(found[edit.name]))
    show("all of them", summary(pooled(list(found.values()))))
    if arg.json:
        told = {name: summary(rows) for name, rows in found.items()}
        arg.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
