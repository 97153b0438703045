"""The memory benchmark on the CPU: every stage runs with every offload; only the gauge is false."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.runtime import OFFLOADS, Runtime
from tests.benchmarks import memory
from tests.benchmarks.memory import Row, halved, measure, table
from tests.pipelines import test_editgan, test_indomain

BUILD = {"indomain": test_indomain.build, "editgan": test_editgan.build}
CPU = torch.device("cpu")


class Counter:
    """Bytes are the number of the call, seconds a tenth of it."""

    device, calls = CPU, 0

    def waiting(self) -> int:
        return 0

    def of(self, work) -> tuple[int, float]:
        work()
        self.calls += 1
        return self.calls * 10**6, self.calls / 10


@pytest.mark.parametrize(("page", "stages"), [("indomain", 11), ("editgan", 4)])
def test_every_stage_with_every_offload(page: str, stages: int) -> None:
    rows = list(measure(BUILD[page](), page, 1, Counter()))
    assert [row.offload for row in rows] == [o for o in OFFLOADS for _ in range(1 + stages)]
    names = [row.stage for row in rows]
    assert names[0] == "waiting" and len(set(names)) == 1 + stages
    text = table(rows, "a device")
    assert text.splitlines()[0] == "a device" and len(text.splitlines()) == 3 + stages
    assert f"{stages} MB" in text and "did not fit" not in text


def test_a_stage_that_did_not_fit_is_shown_where_it_ran(monkeypatch) -> None:
    pipeline = BUILD["editgan"]()

    class Tight(Counter):
        def of(self, work) -> tuple[int, float]:
            if pipeline.runtime.offload == "none" and self.calls == 1:
                pipeline.use(Runtime(CPU, "model"))
            return super().of(work)

    rows = list(measure(pipeline, "editgan", 1, Tight()))
    assert [row.offload for row in rows[:5]] == ["none", "none", "model", "none", "none"]
    line = next(line for line in table(rows, "a device").splitlines() if "editgan     edit" in line)
    assert line.count("did not fit") == 1


def test_half_precision_is_compared_in_bytes() -> None:
    pipeline = BUILD["indomain"]()
    gap = halved(pipeline, 2)
    assert 0 < gap["share"] < 0.2 and gap["largest"] >= 1
    pipeline.use(Runtime(CPU, "none", torch.float16))
    code = pipeline.invert(test_indomain.portrait(), method="domain-guided")
    pipeline.use(Runtime(CPU))
    exact = pipeline.manipulate(code, {})
    assert np.abs(np.asarray(code.image, int) - np.asarray(exact, int)).max() <= gap["largest"] + 1


def test_without_a_device_it_says_so(monkeypatch, capsys) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["memory"])
    memory.main()
    said = capsys.readouterr().out.strip()
    assert said.startswith("No CUDA device is here") and said.count(".") == 1


def test_the_table_has_a_cell_for_every_offload() -> None:
    rows = [Row("page", "stage", offload, 2 * 10**9, 1.5) for offload in OFFLOADS[:2]]
    assert "2000 MB    1.50 s" in table(rows, "device") and "did not fit" in table(rows, "device")
