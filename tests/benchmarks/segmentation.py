"""The segmentation branch with and without the full-size concatenation: equality, memory, time.

    python -m tests.benchmarks.segmentation [--resolution 512] [--quick] [--json FILE]

At the paper's size: 512 px, channels of config F, 16 maps of 6016 channels together, 10 members.
Each form runs in a process of its own, whose peak memory less that of its inputs is printed; the
concatenation alone takes 6.3 GB there. Random weights and maps: the arithmetic is the same.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines.networks.segmentation import SegmentationBranch
from pipelines.networks.stylegan2 import published_channels

FORMS = ("concatenated", "commuted")
PARTS = 32
ROWS = 64  # of the picture's logits that the two processes hand over to be compared


def branch_of(resolution: int) -> SegmentationBranch:
    """A branch with random weights and running statistics, of the paper's widths."""
    torch.manual_seed(0)
    colours = [(i, i, i) for i in range(PARTS)]
    branch = SegmentationBranch(
        published_channels(resolution), [f"part {i}" for i in range(PARTS)], colours
    )
    with torch.no_grad():
        for parameter in branch.parameters():
            parameter.mul_(3)  # logits of the size that trained ones have
    for name, buffer in branch.named_buffers():
        buffer.uniform_(0.5, 1.5) if name.endswith("var") else buffer.normal_(std=0.3)
    return branch.eval().requires_grad_(False)


def maps_of(branch: SegmentationBranch) -> dict[str, Tensor]:
    """Random feature maps of one picture."""
    random = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(1, count, level, level, generator=random)
        for name, (level, count) in branch.layout.items()
    }


def peak() -> float:
    """Largest resident memory of this process so far [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@torch.no_grad()
def measure(form: str, resolution: int, out: Path) -> dict[str, float]:
    """Seconds and additional megabytes of one form; its first rows of logits go to `out`."""
    branch = branch_of(resolution)
    maps = maps_of(branch)
    before, start = peak(), time.perf_counter()
    logits = branch.concatenated(maps) if form == "concatenated" else branch(maps)
    seconds = time.perf_counter() - start
    rows = logits[:, :, :: max(1, resolution // ROWS)].contiguous()
    save_file({"logits": rows}, out)
    return {"seconds": seconds, "megabytes": peak() - before, "channels": branch.channels}


def compare(resolution: int, folder: Path) -> dict[str, dict[str, float] | float]:
    """Both forms, each in a process of its own, and their largest difference."""
    rows: dict[str, dict[str, float] | float] = {}
    for form in FORMS:
        line = [sys.executable, "-m", "tests.benchmarks.segmentation", "--form", form]
        line += ["--resolution", str(resolution), "--folder", str(folder)]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        rows[form] = json.loads(done.stdout)
        print(f"{form:14}" + "".join(f"{k:>12} {v:10.2f}" for k, v in rows[form].items()))
    logits = [load_file(folder / f"{form}.safetensors")["logits"] for form in FORMS]
    rows["largest logit"] = logits[0].abs().max().item()
    rows["largest difference"] = (logits[0] - logits[1]).abs().max().item()
    print("largest logit and difference", rows["largest logit"], rows["largest difference"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="The branch with and without concatenation.")
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--quick", action="store_true", help="64 px: only whether it runs")
    parser.add_argument("--form", choices=FORMS, help="this form alone, in this process")
    parser.add_argument("--folder", type=Path, default=Path("runs/segmentation"))
    parser.add_argument("--json", type=Path, help="write the figures here")
    arg = parser.parse_args()
    resolution = 64 if arg.quick else arg.resolution
    arg.folder.mkdir(parents=True, exist_ok=True)
    if arg.form:
        found = measure(arg.form, resolution, arg.folder / f"{arg.form}.safetensors")
        print(json.dumps(found))
        return
    rows = compare(resolution, arg.folder)
    if arg.json:
        arg.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
