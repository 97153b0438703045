"""Two processes compute what one does: benchmark figures to the bit, training to 1e-5."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.training.sharding import Shard, here
from tests.pipelines.sharded import BATCH, ITEMS, STEPS

ROOT = Path(__file__).parents[2]


def run(line: list[str]) -> str:
    """What a process prints. One thread each: sums depend on how they are divided."""
    told = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(line, cwd=ROOT, env=told, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict:
    """What one process found, as fresh as the two are."""
    folder = tmp_path_factory.mktemp("alone")
    run([sys.executable, "-m", "tests.pipelines.sharded", str(folder)])
    return torch.load(folder / "found-0.pt", weights_only=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What two processes wrote."""
    folder = tmp_path_factory.mktemp("together")
    line = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    line += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    line += ["--dynamo_backend", "no", "--main_process_port", "0"]
    line += ["-m", "tests.pipelines.sharded", str(folder)]
    (folder / "said.txt").write_text(run(line))
    return folder


@pytest.fixture(scope="module")
def together(folder: Path) -> list[dict]:
    return [torch.load(folder / f"found-{rank}.pt", weights_only=False) for rank in (0, 1)]


def test_there_were_two(alone: dict, together: list[dict]) -> None:
    assert (alone["rank"], alone["count"]) == (0, 1)
    assert [(found["rank"], found["count"]) for found in together] == [(0, 2), (1, 2)]
    assert [found["agreed"] for found in together] == [0.0, 0.0]


def test_benchmark_figures_are_equal_to_the_bit(alone: dict, together: list[dict]) -> None:
    for found in together:
        for key in ("codes", "portraits"):
            assert torch.equal(found["benchmark"][key], alone["benchmark"][key])
        one, other = (json.dumps(f["benchmark"]["report"]) for f in (alone, found))
        assert one == other
        assert torch.equal(found["features"], alone["features"])


def test_labelled_samples_are_equal_to_the_bit(alone: dict, together: list[dict]) -> None:
    for found in together:
        for ours, theirs in zip(found["labels"], alone["labels"], strict=True):
            assert len(ours) == 150 and torch.equal(ours, theirs)


def test_a_batch_of_samples_is_made_in_parts(alone: dict, together: list[dict]) -> None:
    for found in together:
        assert torch.equal(found["samples"][0], alone["samples"][0])
        torch.testing.assert_close(found["samples"][1], alone["samples"][1], rtol=0, atol=1e-5)


def test_processes_share_every_batch_of_the_same_epochs(alone: dict, together: list[dict]) -> None:
    for found in together:
        assert np.array_equal(found["training"]["rows"], alone["training"]["rows"])
    rows = alone["training"]["rows"]
    assert rows.shape == (STEPS, BATCH)
    assert len(set(rows[:2].ravel())) == 2 * BATCH <= ITEMS


def test_averaged_gradients_train_alike(alone: dict, together: list[dict]) -> None:
    for name in ("network", "average"):
        for key, value in alone["training"][name].items():
            first, second = (found["training"][name][key] for found in together)
            assert torch.equal(first, second)
            torch.testing.assert_close(first, value, rtol=0, atol=1e-5)
    assert together[0]["training"]["seconds"] == together[1]["training"]["seconds"]
    assert together[0]["training"]["facts"]["processes"] == 2
    assert "processes" not in alone["training"]["facts"]


def test_the_first_process_speaks_and_writes(folder: Path, together: list[dict]) -> None:
    run = folder / "run"
    assert len((run / "log.csv").read_text().splitlines()) == 1 + STEPS
    assert json.loads((run / "metrics.json").read_text()) == {"steps": STEPS}
    assert len(list(run.glob("checkpoint-*.pt"))) == 1
    assert (folder / "said.txt").read_text().count("Semantic diffusion") == 1


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("items", [0, 1, 5, 12])
def test_parts_follow_each_other(count: int, items: int) -> None:
    parts = [Shard(rank, count).part(range(items)) for rank in range(count)]
    assert [i for part in parts for i in part] == list(range(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_rows_divide_a_batch() -> None:
    assert [Shard(rank, 3).rows(6) for rank in range(3)] == [slice(0, 2), slice(2, 4), slice(4, 6)]
    with pytest.raises(ValueError, match="multiple of 3.*got 8. Give --batch 9"):
        Shard(0, 3).rows(8)


def test_one_process_asks_nobody() -> None:
    assert here("cpu") == Shard(0, 1) and here().first
    assert here().gather(iter([1, 2])) == [1, 2]
