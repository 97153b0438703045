"""What several processes compute together, for test_sharding: run by `accelerate launch`.

accelerate launch --multi_gpu --num_processes 2 -m tests.pipelines.sharded FOLDER
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.networks.judge import PortraitJudge
from pipelines.networks.stylegan2 import Generator
from pipelines.training import boundaries
from pipelines.training.conventional_encoder import sample
from pipelines.training.loop import Average, Loop, finish, shuffled
from pipelines.training.sharding import here
from tests.benchmarks import generator as figures
from tests.benchmarks import indomain
from tests.pipelines.test_indomain import build

STEPS, BATCH, ITEMS = 5, 4, 10


def attributes(output) -> Tensor:
    """As many readings as there are edits, of a judge that knows none of them."""
    return output.embedding[:, : len(indomain.EDITS)]


def benchmark() -> dict:
    """The in-domain figures of 5 portraits, 2 at a time, without seconds, and the codes."""
    pipeline = build()
    pipeline.boundaries = dict.fromkeys(indomain.EDITS, pipeline.boundaries["age"])
    project = pipeline.project
    pipeline.project = lambda x, **options: project(x, **{**options, "steps": 2})
    with mock.patch.multiple(
        indomain, judged=attributes, STRANGERS=6, PATIENTS=2, STRENGTHS=(0.0, 1.0)
    ):
        bench = indomain.Bench(pipeline, 5, batch=2, bfloat16=False)
        with bench.shard.speaking():
            found = indomain.report(bench)
        codes, seconds = bench.project(bench.x, "in-domain")
    assert seconds > 0
    for part in ("reconstruction", "diffusion"):
        for row in found[part].values():
            row.pop("seconds", None)
    return {"report": found, "codes": codes, "portraits": bench.x}


def features() -> Tensor:
    """Pooled colours of 100 generated pictures, in batches of 32."""
    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(2))
    return torch.cat(figures.over(len(x), lambda a, b: x[a:b], lambda part: part @ part[0]))


def labels() -> tuple[Tensor, Tensor]:
    """Codes and readings of 150 samples."""
    torch.manual_seed(0)
    generator = Generator(32, mapping_layers=1, channels={4: 8, 8: 8, 16: 8, 32: 8}).eval()
    judge = PortraitJudge({"glasses": 2}, ("age",), channels=(4, 8, 8), embedding=16).eval()
    with mock.patch.object(boundaries, "judged", attributes):
        return boundaries.label(generator, judge, 150, 0, truth=False)


def training(out: Path) -> dict:
    """Five steps on ten items, and the items of each."""
    shard = here("cpu")
    torch.manual_seed(shard.rank)  # as of processes that nobody told to begin alike
    network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    if shard.count == 1:
        torch.manual_seed(0)
    data = torch.randn(ITEMS, 6, generator=torch.Generator().manual_seed(3))
    loop = Loop(out, minutes=10, device="cpu", progress=False)
    average = Average(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    loop.keep(network=network, average=average.network, optimizer=optimizer)
    rows = []
    for _, own in islice(zip(loop, shuffled(ITEMS, BATCH), strict=False), STEPS):
        rows.append(own)
        loss = (network(data[own]) - data[own][:, :3]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        loop.average_gradients(optimizer)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
        average.update(network, loop.step)
        loop.log(loss=loss)
    loop.save()
    finish(out, {"steps": loop.step}, network)
    every = np.stack([np.concatenate(step) for step in zip(*gathered(rows), strict=True)])
    return {"network": network.state_dict(), "average": average.network.state_dict(),
            "rows": every, "seconds": loop.elapsed, "facts": loop.facts()}  # fmt: skip


def gathered(rows: list[np.ndarray]) -> list[list[np.ndarray]]:
    """Each process's list, in order of rank."""
    return here("cpu").gather([rows])


def samples() -> tuple[Tensor, Tensor]:
    """A batch that is drawn by all and made by each in part."""
    torch.manual_seed(0)
    generator = Generator(8, mapping_layers=1, channels={4: 4, 8: 4}).eval()
    shard, random = here("cpu"), torch.Generator().manual_seed(1)
    ws, x = sample(generator, 4, torch.device("cpu"), random, shard.rows(4))
    return torch.cat(shard.gather([ws])), torch.cat(shard.gather([x]))


def everything(out: Path) -> dict:
    shard = here("cpu")
    return {
        "rank": shard.rank, "count": shard.count, "benchmark": benchmark(), "features": features(),
        "labels": labels(), "training": training(out), "samples": samples(),
        "agreed": shard.agree(float(shard.rank)),
    }  # fmt: skip


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    found = everything(folder / "run")
    torch.save(found, folder / f"found-{found['rank']}.pt")
