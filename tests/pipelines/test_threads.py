"""How the process uses its CPU: how OpenMP waits, and one number of threads for all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PORTRAIT = """
import numpy as np
from examples.clay import draw, latent
from examples.clay.render import render
render(draw(np.stack([latent(1)])), 8)
"""
RENDER_TWICE_AT_ONCE = (
    PORTRAIT
    + """
import threading
table = draw(np.stack([latent(seed) for seed in range(8)]))
threads = [threading.Thread(target=render, args=(table, 32)) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("stands")
"""
)
SETTINGS = (
    "GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS",
    "NUMBA_THREADING_LAYER", "THP_MEM_ALLOC_ENABLE", "MKL_CBWR",
)  # fmt: skip


def only(settings: dict[str, str]) -> dict[str, str]:
    """The environment with these settings alone."""
    return {k: v for k, v in os.environ.items() if k not in SETTINGS} | settings


def run(code: str, **settings: str) -> subprocess.CompletedProcess:
    """The code in a process of its own, with these settings alone."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=only(settings), capture_output=True, text=True
    )


def spin_count(code: str, **settings: str) -> str:
    """What GNU OpenMP says that it took, as it loads; what the code does after that is cut off."""
    environment = only({"OMP_DISPLAY_ENV": "verbose"} | settings)
    line = [sys.executable, "-c", code]
    with subprocess.Popen(
        line, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        for said in process.stderr:
            if "SPIN" in said:
                process.kill()
                return said.partition("=")[2].strip(" '\n")
    pytest.skip("torch is not built with GNU OpenMP here")


@pytest.mark.parametrize(
    "code",
    [
        "import app; import torch",
        "import pipelines.training.loop",
        "import tests.benchmarks.indomain",
        "import tests.pipelines.test_indomain",
        "import pipelines.indomain",
        PORTRAIT + "import torch",
    ],
    ids=["app", "recipes", "benchmarks", "tests", "pipelines", "numba first"],
)
def test_waiting_threads_leave_their_core_soon(code: str) -> None:
    assert spin_count(code) == "3000"


GRADIENTS = """
import torch
torch.manual_seed(0)
layer = torch.nn.Conv2d(432, 192, 1)
x = torch.randn(1, 432, 1, 1).requires_grad_()
print(len({torch.autograd.grad(layer(x).square().sum(), x)[0].sum().item() for _ in range(400)}))
"""


def test_the_same_gradient_comes_out_each_time() -> None:
    """Where MKL computes it as it likes, these are one to four numbers."""
    assert run("import pipelines" + GRADIENTS).stdout == "1\n"


def test_the_users_own_setting_stays() -> None:
    assert spin_count("import pipelines.indomain", GOMP_SPINCOUNT="7") == "7"
    assert spin_count("import pipelines.indomain", OMP_WAIT_POLICY="PASSIVE") == "0"


def test_a_portrait_leaves_torchs_number_of_threads() -> None:
    count = "\nimport torch\nprint(torch.get_num_threads())"
    told = "import torch\ntorch.set_num_threads(1)\n"
    assert run(told + PORTRAIT + count, NUMBA_NUM_THREADS="3").stdout == "1\n"
    numbers = "\nimport numba\nprint(numba.get_num_threads())"
    assert run(PORTRAIT + count + numbers, OMP_NUM_THREADS="1").stdout == "1\n1\n"


def test_one_number_of_threads_for_all() -> None:
    use = "from pipelines.training.threads import use_threads\nuse_threads(2)\n"
    counts = "import torch, numba\nprint(torch.get_num_threads(), numba.get_num_threads())\n"
    assert run(use + PORTRAIT + counts, NUMBA_NUM_THREADS="3").stdout == "2 2\n"
    assert run(use + counts, NUMBA_NUM_THREADS="1").stdout == "2 1\n"
    none = use.replace("(2)", "(None)")
    assert run(none + counts, OMP_NUM_THREADS="1").stdout == "1 1\n"


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_visitors_draw_portraits_at_once(layer: str) -> None:
    done = run(RENDER_TWICE_AT_ONCE, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "stands\n"


def test_the_seconds_are_measured_quiet_and_beside_a_busy_process(monkeypatch) -> None:
    from tests.benchmarks import neighbour

    running = []
    with neighbour.neighbour():
        assert neighbour.seconds(1) > 0
    real = neighbour.neighbour

    def counted():
        running.append("busy")
        return real()

    monkeypatch.setattr(neighbour, "neighbour", counted)
    monkeypatch.setattr(neighbour, "seconds", lambda steps: steps + len(running))
    assert neighbour.measured(1, 2) == {"quiet": 1, "busy": 2}
