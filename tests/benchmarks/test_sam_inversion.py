"""SAM's benchmark: its own arithmetic, and the whole of it on tiny networks."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch

from examples.clay.edits import EDITS
from pipelines.baselines import BASELINES
from pipelines.boundary import Boundary
from pipelines.training import hard_portraits as hard
from pipelines.training.sharding import Shard
from tests.benchmarks import sam_bench
from tests.benchmarks import sam_inversion as sam
from tests.benchmarks.claims import VERDICTS, read
from tests.pipelines.test_sam_inversion import LAYERS, SIZE, build


@pytest.fixture
def bench(monkeypatch, tmp_path) -> sam_bench.Bench:
    def portraits(split: str, indices, size: int) -> hard.HardPortraits:
        images = np.random.RandomState(0).randint(0, 255, (len(indices), size, size, 3))
        classes = np.tile(np.arange(size) // 8, (len(images), size, 1)).astype(np.uint8)
        kinds = np.array([hard.KINDS.index(hard.kind_of(i)) for i in indices], np.uint8)
        props = np.array(["prop" in hard.kind_of(i) for i in indices])
        classes[props, :8] = hard.PROP_CLASS
        return hard.HardPortraits(images.astype(np.uint8), classes, kinds)

    def render(parameters: np.ndarray, size: int):
        """The portraits with the lower half changed, as if that were the edit."""
        images = np.random.RandomState(0).randint(0, 255, (len(parameters), size, size, 3))
        images[:, size // 2 :] = 255 - images[:, size // 2 :]
        return images.astype(np.uint8), None

    monkeypatch.setattr(hard, "hard_portraits", portraits)
    monkeypatch.setattr(sam_bench, "render", render)
    monkeypatch.setattr(sam_bench, "judged", lambda output: output.embedding[:, : len(EDITS)])
    monkeypatch.setattr(sam, "HELD_BACK", "F2")
    monkeypatch.setattr(sam_bench, "COUNTS", 0.0)
    pipeline = build()
    normal = torch.nn.functional.normalize(torch.ones(512), dim=0)
    boundary = Boundary(normal, torch.ones(LAYERS), 0.05, 0.9, -1.0, 1.0)
    pipeline.boundaries = {"age": boundary}
    return sam_bench.Bench(pipeline, quick=True, keep=tmp_path)


def test_as_many_portraits_of_every_kind() -> None:
    found = sam_bench.numbers(100)
    kinds = Counter(hard.kind_of(i) for i in found)
    assert kinds == {"plain": 100, "clutter": 50, "prop": 50, "prop and clutter": 50}
    assert found == sorted(set(found))


def test_pictures_are_measured_inside_and_outside_of_props(bench: sam_bench.Bench) -> None:
    y, count = bench.portraits.images.copy(), len(bench)
    y[:, :8] = 255 - y[:, :8]  # wrong where props are, right elsewhere
    row = {"rebuilt": torch.from_numpy(y), "seconds": torch.ones(count), "w+": torch.ones(count)}
    found = bench.figures(row)
    props = torch.tensor(["prop" in hard.kind_of(i) for i in bench.numbers])
    assert found["psnr outside"][props].isinf().all()
    assert (found["psnr inside"][props] < 12).all()
    assert (found["lpips inside"][props] > found["lpips outside"][props]).all()
    assert all(found[key][~props].isnan().all() for key in ("psnr inside", "lpips outside"))


def test_an_edit_is_right_where_it_reads_as_the_renderers(bench: sam_bench.Bench) -> None:
    truth = bench.truths["age"]
    same = torch.nn.functional.normalize(torch.ones(bench.edited, 4), dim=1)
    true = ((truth.x + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    row = {"edited": true[:, None, None].repeat(1, 1, len(sam_bench.STRENGTHS), 1, 1, 1)}
    for column, expected in ((1, 1.0), (0, 0.0)):
        seen = truth.readings[:, column : column + 1].repeat(1, len(EDITS))
        bench.judge = lambda x, seen=seen: (seen, same)
        found = bench.edit_figures(row)
        assert (found["right"] == expected).all()
        assert found["identity"] == pytest.approx(torch.ones_like(found["identity"]))
    # The renderer changed the lower half alone, and this edit is its own.
    assert found["to the true edit"].max() == pytest.approx(0, abs=1e-6)
    assert found["outside"].isinf().all()
    row["edited"] = row["edited"].clone()
    row["edited"][..., : SIZE // 2, :, :] = 0  # the upper half is spoilt
    assert (bench.edit_figures(row)["outside"] < 12).all()


def test_methods_are_compared_where_they_succeed_equally_often() -> None:
    """One that succeeds at once is taken at a lesser strength, where it changed less."""
    right = torch.tensor([[[0.0, 0.0, 1.0]], [[0.0, 0.0, 0.0]]])  # half, at full strength
    bold = torch.tensor([[[0.0, 1.0, 1.0]], [[0.0, 1.0, 1.0]]])
    identity = torch.tensor([[[1.0, 0.8, 0.4]], [[1.0, 0.8, 0.4]]])
    found = sam_bench.at_equal_success({
        "shy": {"right": right, "identity": identity}, "bold": {"right": bold, "identity": identity}
    })  # fmt: skip
    assert found["shy"]["identity"].tolist() == pytest.approx([0.4, 0.4])
    assert found["bold"]["identity"].tolist() == pytest.approx([0.9, 0.9])  # half way to 1
    assert found["bold"]["right"].mean() == found["shy"]["right"].mean() == 0.5
    assert found["bold"]["strength"].item() == pytest.approx(0.375)


@pytest.mark.parametrize(
    ("shares", "level", "place"),
    [((0.1, 0.5, 0.9), 0.7, 1.5), ((0.8, 0.9), 0.7, 0), ((0, 0), 1, 1)],
)
def test_a_level_is_reached_between_strengths(shares, level: float, place: float) -> None:
    assert sam_bench.crossing(shares, level) == pytest.approx(place)


def test_processes_need_a_folder_to_share(bench: sam_bench.Bench, monkeypatch) -> None:
    monkeypatch.setattr(sam_bench, "here", lambda: Shard(0, 2))
    with pytest.raises(ValueError, match="must be a folder"):
        sam_bench.Bench(bench.pipeline, quick=True)


def test_the_whole_report_on_tiny_networks(bench: sam_bench.Bench, capsys, monkeypatch) -> None:
    found = sam.report(bench)
    json.dumps(found)
    assert {each.verdict for each in read(found["claims"])} <= set(VERDICTS)
    assert set(found["table"]["all"]) == {*BASELINES, sam.OURS, sam.ENCODER}
    assert set(found["edits at equal success"]) == {*BASELINES, sam.OURS, sam.ENCODER}
    assert set(found["table"]) == set(sam.GROUPS)
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


def test_pieces_belong_to_the_encoder_that_made_them(bench: sam_bench.Bench) -> None:
    names = ("w+", sam.OURS, "e4e", "restyle", sam.ENCODER)
    before = {name: bench.kept(name).folder for name in names}
    assert len(set(before.values())) == 4 and before[sam.ENCODER] == before[sam.OURS]
    with torch.no_grad():
        next(bench.pipeline.encoders.parameters()).add_(1)
    bench._kept.clear()
    after = {name: bench.kept(name).folder for name in names}
    assert [name for name in names if after[name] != before[name]] == [sam.OURS, sam.ENCODER]


def test_the_first_of_several_processes_measures_what_all_made(bench, monkeypatch) -> None:
    class Waiting(Shard):
        """A process that waits for nobody: what its fellows lack it makes itself."""

        def gather(self, items):
            return list(items)

    made: list[int] = []
    one = bench._one
    monkeypatch.setattr(bench, "_one", lambda i, *rest: made.append(i) or one(i, *rest))
    bench.shard = Waiting(1, 2)
    assert sam.report(bench) == {}
    count = len(made)
    bench.shard = Waiting(0, 2)
    assert sam.report(bench)["portraits"] == len(bench)
    assert len(made) == count  # it found them all
