"""SAM's benchmark: its own arithmetic, and the whole of it on tiny networks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pipelines.baselines import BASELINES
from pipelines.boundary import Boundary
from pipelines.training import hard_portraits as hard
from tests.benchmarks import sam_inversion as sam
from tests.benchmarks.claims import VERDICTS, read
from tests.pipelines.test_sam_inversion import LAYERS, SIZE, build


@pytest.fixture
def bench(monkeypatch, tmp_path) -> sam.Bench:
    def portraits(split: str, indices, size: int) -> hard.HardPortraits:
        images = np.random.RandomState(0).randint(0, 255, (len(indices), size, size, 3))
        classes = np.tile(np.arange(size) // 8, (len(images), size, 1)).astype(np.uint8)
        kinds = np.array([hard.KINDS.index(hard.kind_of(i)) for i in indices], np.uint8)
        props = np.array(["prop" in hard.kind_of(i) for i in indices])
        classes[props, :8] = hard.PROP_CLASS
        return hard.HardPortraits(images.astype(np.uint8), classes, kinds)

    def render(parameters: np.ndarray, size: int):
        return np.random.RandomState(1).randint(0, 255, (len(parameters), size, size, 3)).astype(
            np.uint8
        ), None

    monkeypatch.setattr(hard, "hard_portraits", portraits)
    monkeypatch.setattr(sam, "render", render)
    monkeypatch.setattr(sam, "judged", lambda output: output.embedding[:, : len(sam.EDITS)])
    monkeypatch.setattr(sam, "HELD_BACK", "F2")
    monkeypatch.setattr(sam, "COUNTS", 0.0)
    pipeline = build()
    normal = torch.nn.functional.normalize(torch.ones(512), dim=0)
    boundary = Boundary(normal, torch.ones(LAYERS), 0.05, 0.9, -1.0, 1.0)
    pipeline.boundaries = {"age": boundary}
    return sam.Bench(pipeline, 6, quick=True, keep=tmp_path, few=2)


def test_pictures_are_measured_inside_and_outside_of_props(bench: sam.Bench) -> None:
    y = bench.portraits.images.copy()
    y[:, :8] = 255 - y[:, :8]  # wrong where props are, right elsewhere
    row = {"rebuilt": torch.from_numpy(y), "seconds": torch.ones(6), "w+": torch.ones(6)}
    found = bench.figures(row)
    props = torch.tensor(["prop" in hard.kind_of(i) for i in range(6)])
    assert found["psnr outside"][props].isinf().all()
    assert (found["psnr inside"][props] < 12).all()
    assert (found["lpips inside"][props] > found["lpips outside"][props]).all()
    assert all(found[key][~props].isnan().all() for key in ("psnr inside", "lpips outside"))


def test_an_edit_is_right_where_it_reads_as_the_renderers(bench: sam.Bench) -> None:
    truth = bench.truths["age"][1]
    read = truth[:, 1:].repeat(1, len(sam.EDITS))
    same = torch.nn.functional.normalize(torch.ones(6, 4), dim=1)
    bench.judge = lambda x: (read, same)
    row = {"rebuilt": torch.zeros(6, 1), "edited": torch.zeros(6, 1, SIZE, SIZE, 3).byte()}
    found = bench.edit_figures(row)
    assert (found["edit right"] == 1).all()
    assert found["identity after edit"] == pytest.approx(torch.ones(6))
    read = truth[:, :1].repeat(1, len(sam.EDITS))
    assert (bench.edit_figures(row)["edit right"] == 0).all()


def test_the_whole_report_on_tiny_networks(bench: sam.Bench, capsys, monkeypatch) -> None:
    found = sam.report(bench)
    json.dumps(found)
    assert {each.verdict for each in read(found["claims"])} <= set(VERDICTS)
    assert set(found["table"]["all"]) == {*BASELINES, sam.OURS, sam.ENCODER}
    assert set(found["table"]) == {*hard.KINDS, "all"}
    assert {sam.NO_FEATURE, sam.NO_REFINING, sam.TRUE_SEGMENTS, sam.CLASS_MAP} < set(
        found["ablations"]
    )
    assert found["ablations"]["W+ alone"]["share of w+"] == 1
    assert found["left out"] == [] and len(found["curves"]["w+"]) == 2
    # Everything was kept: nothing is inverted twice.
    for stage in ("invert", "encode", "baseline"):
        monkeypatch.setattr(bench.pipeline, stage, None)
    again = sam.report(bench)
    assert again["table"]["all"][sam.OURS] == found["table"]["all"][sam.OURS]
    assert "this only ran it all" in capsys.readouterr().out
