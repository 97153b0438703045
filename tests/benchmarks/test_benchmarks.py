"""The benchmarks' own arithmetic, on tiny networks and on numbers with known answers."""

from __future__ import annotations

import pytest
import torch

from pipelines.images import box_mask
from pipelines.networks.judge import JudgeOutput
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from tests.benchmarks import generator as figures
from tests.benchmarks import indomain
from tests.benchmarks.claims import FAILS, HOLDS, NOT_COMPARABLE, UNDECIDED, VERDICTS, claim, read
from tests.benchmarks.kept import Kept
from tests.pipelines.test_indomain import build

SIDE = 32


def seen(*chosen: int) -> JudgeOutput:
    logits = torch.nn.functional.one_hot(torch.tensor(chosen), 3).float()
    return JudgeOutput(torch.ones(len(chosen), 1), {"hat": logits}, {})


def test_the_gap_of_histograms_is_a_total_variation() -> None:
    assert figures.histogram_gap([seen(0, 1), seen(2, 2)], [seen(2, 0, 2, 1)]) == {"hat": 0.0}
    assert figures.histogram_gap([seen(0, 0)], [seen(1, 2)]) == {"hat": 1.0}
    assert figures.histogram_gap([seen(0, 1)], [seen(0, 0)])["hat"] == pytest.approx(0.5)


def test_inversion_reduces_the_error() -> None:
    torch.manual_seed(0)
    generator = Generator(SIDE, mapping_layers=1, channels={4: 8, 8: 8, 16: 8, 32: 8})
    generator.eval().requires_grad_(False)
    x = generator(torch.randn(2, 512)).clamp(-1, 1)
    perceptual = PerceptualDistance()
    errors = [
        (figures.invert(generator, perceptual, x, steps) - x).square().mean((1, 2, 3))
        for steps in (1, 40)
    ]
    assert (errors[1] < 0.5 * errors[0]).all()
    assert not errors[1].requires_grad


def test_finished_pieces_are_kept_until_weights_change(tmp_path) -> None:
    made: list[int] = []

    def make() -> dict[str, torch.Tensor]:
        made.append(1)
        return {"x": torch.full((2,), float(len(made)))}

    network = torch.nn.Linear(2, 2)
    for expected in (1, 1):  # the second time from disk
        assert (Kept(tmp_path, [network])("a", make)["x"] == expected).all()
    assert (Kept(tmp_path, [network])("b", make)["x"] == 2).all()
    with torch.no_grad():
        network.weight[0, 0] += 1
    assert (Kept(tmp_path, [network])("a", make)["x"] == 3).all()
    assert (Kept(None, [network])("a", make)["x"] == 4).all()


def test_an_interrupted_piece_does_not_count(tmp_path) -> None:
    def stops() -> dict[str, torch.Tensor]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Kept(tmp_path)("a", stops)
    assert (Kept(tmp_path)("a", lambda: {"x": torch.ones(1)})["x"] == 1).all()


def test_a_verdict_needs_two_standard_errors() -> None:
    torch.manual_seed(0)
    noise = torch.randn(100)
    for better, worse, expected in (
        (noise + 1, noise, HOLDS), (noise, noise + 1, FAILS),
        (noise, torch.randn(100), UNDECIDED), (0.2, 0.1, HOLDS), (0.1, 0.1, FAILS),
    ):  # fmt: skip
        assert claim("", better, worse).verdict == expected
        assert claim("", -torch.as_tensor(better), -torch.as_tensor(worse), below=True).verdict == (
            expected
        )


def test_a_claim_tells_the_figures_of_portraits_that_both_know() -> None:
    nan = float("nan")
    few, many = torch.tensor([1.0, nan, 5.0]), torch.tensor([0.0, 7.0, 4.0, 100.0])
    found = claim("a", few, many)
    assert (found.better, found.worse) == (3.0, 2.0)
    assert str(found) == "HOLDS          a: 3 against 2"
    for better, worse in ((few[:1], many), (few[:2], many), (nan, 1.0)):
        assert claim("", better, worse).verdict == NOT_COMPARABLE
    against_an_aim = claim("", torch.tensor([0.1, 0.2]), 0.3, below=True)
    assert against_an_aim.verdict == HOLDS and against_an_aim.better == pytest.approx(0.15)


def test_accuracy_is_compared_where_identities_meet() -> None:
    curves = {
        "image2stylegan": [(0.9, 0.0), (0.5, 0.4), (0.3, 0.6)],
        "in-domain": [(0.8, 0.1), (0.5, 0.9)],
    }
    found = indomain.at_equal_identity({"age": {"curves": curves}, "yaw": {"curves": {}}})
    assert set(found) == {"age"}
    assert found["age"] == pytest.approx(
        {"identity": 0.68, "image2stylegan": 0.22, "in-domain": 0.42}
    )
    apart = {"a": [(0.9, 0.0), (0.8, 1.0)], "b": [(0.2, 0.0), (0.1, 1.0)]}
    assert indomain.at_equal_identity({"age": {"curves": apart}}) == {}


def test_a_crop_fills_the_picture() -> None:
    x = torch.zeros(1, 3, SIDE, SIDE)
    x[..., 8:24, 8:24] = 1
    assert (indomain.cropped(x, box_mask((0.25, 0.25, 0.75, 0.75), SIDE)) == 1).all()


def test_the_whole_report_on_tiny_networks(monkeypatch, capsys, tmp_path) -> None:
    pipeline = build()
    boundary = pipeline.boundaries["age"]
    pipeline.boundaries = dict.fromkeys(indomain.EDITS, boundary)
    readings = len(indomain.EDITS)
    monkeypatch.setattr(indomain, "judged", lambda output: output.embedding[:, :readings])
    project, steps = pipeline.project, []

    def hasty(x, **options):
        steps.append((options["method"], options["steps"], options["mask"] is not None))
        return project(x, **{**options, "steps": 2})

    monkeypatch.setattr(pipeline, "project", hasty)
    monkeypatch.setattr(indomain, "STRANGERS", 6)
    monkeypatch.setattr(indomain, "PATIENTS", 2)
    bench = indomain.Bench(pipeline, 3, batch=2, bfloat16=False, keep=tmp_path)
    found = indomain.report(bench)
    assert {each.verdict for each in read(found["claims"])} <= set(VERDICTS)
    assert set(found["reconstruction"]) == {*indomain.METHODS, indomain.PATIENT}
    masked = {method for method, _, mask in steps if mask}
    assert masked == {"in-domain"}
    assert {count for _, count, _ in steps} == {100, indomain.PATIENCE}
    steps.clear()
    assert indomain.report(bench)["reconstruction"] == found["reconstruction"]
    assert steps == []  # everything was kept
    assert "unreliable: 3 pictures" in capsys.readouterr().out
