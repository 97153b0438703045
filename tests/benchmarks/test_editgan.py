"""EditGAN's benchmark: its own arithmetic, and the whole of it on tiny networks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np
import torch
from safetensors.torch import load_file

from pipelines.boundary import Boundary
from tests.benchmarks import editgan, segmentation
from tests.benchmarks.claims import VERDICTS, read
from tests.benchmarks.figure import SIZE, draw_curves, ticks
from tests.pipelines import test_editgan as tiny

SIDE = tiny.SIZE


def test_a_figure_has_a_line_for_every_curve() -> None:
    image = draw_curves({"a": [(0, 0), (1, 1)], "b": [(0, 1), (1, 0)]}, "x", "y")
    assert image.size == SIZE
    colours = {colour for _, colour in image.getcolors(SIZE[0] * SIZE[1])}
    assert {(0xD1, 0x49, 0x5B), (0x00, 0x79, 0x8C)} <= colours
    draw_curves({"a point": [(0.5, 0.5)]}, "x", "y")


def test_ticks_are_round_numbers() -> None:
    assert ticks(0.21, 0.8) == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert ticks(-3, 1000) == [0, 200, 400, 600, 800, 1000]


def test_both_forms_of_the_branch_are_measured(tmp_path) -> None:
    files = [tmp_path / f"{form}.safetensors" for form in segmentation.FORMS]
    pairs = zip(segmentation.FORMS, files, strict=True)
    rows = [segmentation.measure(form, 16, file) for form, file in pairs]
    assert all(row["seconds"] > 0 and row["channels"] == 3072 for row in rows)
    logits = [load_file(file)["logits"] for file in files]
    assert logits[0].std() > 0.1
    assert torch.allclose(*logits, atol=1e-4)


def test_the_whole_report_on_tiny_networks(monkeypatch, capsys) -> None:
    pipeline, asked = tiny.build(), []
    pipeline.library = {"smile": tiny.vector_of(pipeline, q_edit=("hair",))}
    for stage in ("project", "edit", "refine"):
        monkeypatch.setattr(pipeline, stage, hasty(getattr(pipeline, stage), asked))
    normal = torch.nn.functional.normalize(torch.ones(512), dim=0)
    boundary = Boundary(normal, torch.ones(tiny.LAYERS), 0.05, 0.9, -1.0, 1.0)
    monkeypatch.setattr(editgan.weights, "load_tensors", lambda name: name)
    monkeypatch.setattr(editgan, "boundaries_from", lambda tensors: {"smile": boundary})
    monkeypatch.setattr(editgan, "REFINEMENTS", (2, 30))
    monkeypatch.setattr(editgan, "REFERENCES", 2)

    def rendered(self, parameters: np.ndarray):
        random = np.random.RandomState(len(parameters))
        x = torch.from_numpy(random.uniform(-1, 1, (len(parameters), 3, SIDE, SIDE))).float()
        return x, random.randint(0, 5, (len(parameters), SIDE, SIDE)).astype(np.uint8)

    monkeypatch.setattr(editgan.Bench, "rendered", rendered)
    monkeypatch.setattr(editgan.weights, "load", _no_parser)
    threads = torch.get_num_threads()
    bench = editgan.Bench(pipeline, 3, batch=2, steps=2, strangers=6)
    arg = argparse.Namespace(attribute_labels=7, curve=2, quick=True, threads=threads)
    found = editgan.report(bench, arg)
    assert {each.verdict for each in read(found["claims"])} <= set(VERDICTS)
    assert {"no edit", "EditGAN", "EditGAN +30", "InterFaceGAN", "style mixing"} <= set(
        found["smile"]
    )
    assert found["smile"]["EditGAN"]["labels"] == 16
    assert found["smile"]["true smile"]["psnr to truth"] > 100
    assert found["smile"]["no edit"]["psnr outside"] > 100
    assert set(found["seconds"]) == {*editgan.V100, editgan.MASKED, editgan.EMBEDDING}
    assert found["seconds"]["apply"] < found["seconds"][editgan.MASKED]
    assert asked[-5:] == [100, 30, 60, 10, 30]  # the runs that are timed
    assert [len(curve) for curve in found["curves"].values()] == [2] * 4
    assert "No parser to compare with" in capsys.readouterr().out
    assert "matplotlib" not in sys.modules


def hasty(run: Callable, asked: list[int]) -> Callable:
    """The same in two steps; `asked` takes how many were asked for."""

    def few(*given, steps: int, **options):
        asked.append(steps)
        return run(*given, steps=min(steps, 2), **options)

    return few


def _no_parser(*_):
    raise editgan.weights.WeightsError("none")
