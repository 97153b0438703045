"""Seconds of in-domain inversion on a quiet machine and beside another busy process.

    python -m tests.benchmarks.neighbour [--steps 30] [--cores 2] [--repeats 3] [--json FILE]

Each run is a process of its own on the same cores; the neighbour is a process that counts. The best
of the repeats is taken. Settings in the environment (GOMP_SPINCOUNT, OMP_WAIT_POLICY,
OMP_NUM_THREADS) are the runs' own. What else runs on the machine is measured along.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

BUSY = "while True: pass"
INVERT = """
import sys, time
from pipelines.indomain import InDomain
from pipelines.images import as_images
pipeline = InDomain.from_pretrained(device="cpu")
image = as_images(pipeline.generator.synthesis(pipeline.generator.mapping.w_avg.expand(
    1, pipeline.generator.num_ws, -1)))[0]
pipeline.invert(image, steps=2)
start = time.perf_counter()
pipeline.invert(image, steps=int(sys.argv[1]))
print(time.perf_counter() - start)
"""


@contextlib.contextmanager
def neighbour() -> Iterator[None]:
    """Another busy process while the block runs."""
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def seconds(steps: int) -> float:
    """Of one inversion, in a process of its own."""
    command = [sys.executable, "-c", INVERT, str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def measured(steps: int, repeats: int) -> dict[str, float]:
    """Best seconds quiet, then beside a busy process."""
    quiet = min(seconds(steps) for _ in range(repeats))
    with neighbour():
        return {"quiet": quiet, "busy": min(seconds(steps) for _ in range(repeats))}


def main() -> None:
    """Print the seconds as JSON; write them to --json as well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--cores", type=int, default=2, help="that both processes share")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arg = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # inherited by the runs
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arg.cores])
    found = json.dumps(measured(arg.steps, arg.repeats), indent=2)
    print(found)
    if arg.json:
        arg.json.write_text(found + "\n")


if __name__ == "__main__":
    main()
