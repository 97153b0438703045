"""Peak device memory and seconds of every page's stages, with each kind of offload.

    python -m tests.benchmarks.memory [--domain clay-heads] [--steps 100] [--json FILE]

Needs a CUDA device and says so without one. "waiting" is what stays on the device between stages;
a stage's peak holds it too. Pictures are the generator's own samples. The last lines say how far
pictures in float16 are from those in float32, in bytes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.profiler import ProfilerActivity, profile

import weights
from pipelines.editgan import EditGAN
from pipelines.images import as_images
from pipelines.indomain import InDomain
from pipelines.runtime import OFFLOADS, Placed, Runtime

BOX = (0.25, 0.25, 0.75, 0.75)
Stage = tuple[str, Callable[[], object]]


@dataclass(frozen=True)
class Row:
    """A stage of a page: peak in bytes, and seconds of its second run."""

    page: str
    stage: str
    offload: str
    peak: int
    seconds: float


class Gauge:
    """Memory and time on a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def name(self) -> str:
        return torch.cuda.get_device_name(self.device)

    def waiting(self) -> int:
        """Bytes allocated now."""
        torch.cuda.synchronize(self.device)
        return torch.cuda.memory_allocated(self.device)

    def of(self, work: Callable[[], object]) -> tuple[int, float]:
        """Peak bytes and seconds; a first run, not measured, loads the device's kernels."""
        work()
        torch.cuda.synchronize(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        start = time.perf_counter()
        work()
        torch.cuda.synchronize(self.device)
        return torch.cuda.max_memory_allocated(self.device), time.perf_counter() - start


@torch.no_grad()
def samples(pipeline: Placed, count: int = 2) -> list[Image.Image]:
    """Pictures that the generator makes of the first latents of seed 0."""
    generator = pipeline.generator
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(0))
    ws = generator.mapping(z.to(generator.mapping.w_avg.device), truncation=0.7)
    pictures = as_images(generator.synthesis(ws.to(pipeline.device)))
    pipeline.rest()
    return pictures


def peak(work: Callable[[], object], device: torch.device) -> int:
    """Bytes that work needs at once beside what is there already.

    On a GPU by its allocator's count; on the CPU by torch's record of every tensor's memory, in
    which what other libraries take for themselves is missing.
    """
    if device.type == "cuda":
        before = Gauge(device).waiting()
        return Gauge(device).of(work)[0] - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        work()
    events = record.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return max(accumulate((change for _, change in changes), initial=0))


def indomain(pipeline: InDomain, steps: int) -> Iterator[Stage]:
    """Every stage of the in-domain page."""
    a, b = samples(pipeline)
    found = [pipeline.invert(x, method="domain-guided") for x in (a, b)]
    for method in pipeline.methods:
        yield f"invert, {method}", lambda m=method: pipeline.invert(a, method=m, steps=steps)
    yield "diffuse into one", lambda: pipeline.diffuse(a, [b], BOX, steps=steps)
    yield "diffuse into four", lambda: pipeline.diffuse(a, [b] * 4, BOX, steps=steps)
    yield "interpolate, 7", lambda: pipeline.interpolate(*found)
    yield "manipulate", lambda: pipeline.manipulate(found[0], {})
    yield "mix", lambda: pipeline.mix(*found)
    yield "measure", lambda: pipeline.measure(a, b)
    yield "inside", lambda: pipeline.inside([a, b])


def editgan(pipeline: EditGAN, steps: int) -> Iterator[Stage]:
    """Every stage of EditGAN's page."""
    (a,) = samples(pipeline, 1)
    found = pipeline.embed(a, steps=0)
    mask = np.array(found.mask)
    middle = slice(len(mask) // 3, len(mask) // 2)
    # One part painted over the middle of the picture, another one than is there.
    mask[middle, middle] = (int(mask[middle, middle].max()) + 1) % len(pipeline.parts)
    edit = pipeline.edit(found, mask, steps=1)
    yield "embed", lambda: pipeline.embed(a, steps=steps)
    yield "edit", lambda: pipeline.edit(found, mask, steps=steps)
    yield "apply", lambda: pipeline.apply(found, [(edit.vector, 1.0)])
    few = min(steps, 30)  # the page's middle choice
    yield f"refine, {few}", lambda: pipeline.refine(found, [(edit.vector, 1.0)], steps=few)


PAGES = {"indomain": (InDomain, indomain), "editgan": (EditGAN, editgan)}


def measure(pipeline: Placed, page: str, steps: int, gauge: Gauge) -> Iterator[Row]:
    """The rows of a page, for each kind of offload; the pipeline is moved from one to the next."""
    for offload in OFFLOADS:
        pipeline.use(Runtime(gauge.device, offload))
        yield Row(page, "waiting", offload, gauge.waiting(), 0.0)
        for name, work in PAGES[page][1](pipeline, steps):
            peak, seconds = gauge.of(work)
            # A stage that did not fit has gone on with more offload, and belongs there.
            yield Row(page, name, pipeline.runtime.offload, peak, seconds)
            if pipeline.runtime.offload != offload:
                pipeline.use(Runtime(gauge.device, offload))


@torch.no_grad()
def halved(pipeline: InDomain, count: int = 16) -> dict[str, float]:
    """How float16 pictures differ from float32 ones: by how many bytes at most, and how often."""
    generator = pipeline.generator
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(1))
    ws = generator.mapping(z.to(generator.mapping.w_avg.device)).to(pipeline.device)
    half = replace(pipeline.runtime, dtype=torch.float16)
    exact, near = (
        np.stack([np.asarray(p, int) for w in ws.split(1) for p in as_images(r(w))])
        for r in (generator.synthesis, lambda w: half.picture(generator.synthesis, w))
    )
    gap = np.abs(exact - near)
    return {"largest": float(gap.max()), "share": float((gap > 0).mean())}


def table(rows: list[Row], device: str) -> str:
    """Stages down; megabytes and seconds of each kind of offload across."""
    lines = [device, f"{'':36}" + "".join(f"{offload:>22}" for offload in OFFLOADS)]
    cells = {(row.page, row.stage, row.offload): row for row in rows}
    for page, stage in dict.fromkeys((row.page, row.stage) for row in rows):
        line = f"{page:12}{stage:24}"
        for offload in OFFLOADS:
            row = cells.get((page, stage, offload))
            shown = f"{row.peak / 1e6:.0f} MB {row.seconds:7.2f} s" if row else "did not fit"
            line += f"{shown:>22}"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    """Print the table; write its rows to --json as well."""
    parser = argparse.ArgumentParser(description="Device memory and seconds of every stage.")
    parser.add_argument("--domain", default="clay-heads")
    parser.add_argument("--page", choices=PAGES, nargs="+", default=list(PAGES))
    parser.add_argument("--steps", type=int, default=100, help="of optimisation")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arg = parser.parse_args()
    if not torch.cuda.is_available():
        print("No CUDA device is here: device memory can only be measured on a machine with one.")
        return
    gauge, rows, notes = Gauge(torch.device("cuda:0")), [], []
    for page in arg.page:
        try:
            pipeline = PAGES[page][0].from_pretrained(arg.domain, device="cpu", offload="model")
        except weights.WeightsError as error:
            notes.append(f"{page} is left out: {error}")
            continue
        rows += measure(pipeline, page, arg.steps, gauge)
        if page == "indomain":
            pipeline.use(Runtime(gauge.device))
            notes.append(f"float16 against float32, in bytes: {halved(pipeline)}")
        del pipeline
    print(table(rows, gauge.name), *notes, sep="\n")
    if arg.json:
        found = {"device": gauge.name, "rows": [asdict(row) for row in rows], "notes": notes}
        arg.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
