"""The benchmark of diffusion-driven inversion on tiny networks: it runs on, and can say no."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipelines.images import as_images
from pipelines.networks.parser import FaceParser
from tests.benchmarks import diffusion_bench
from tests.benchmarks import diffusion_inversion as benchmark
from tests.benchmarks.claims import VERDICTS, read
from tests.benchmarks.memory import peak
from tests.benchmarks.test_mm2latent import pipeline as mm2latent
from tests.pipelines.test_diffusion_inversion import build


@pytest.fixture(scope="module")
def bench() -> diffusion_bench.Bench:
    pipeline = build()
    other = {"c": (pipeline.mapping, pipeline.styles["bronze"])}
    parser = FaceParser(channels=(8, 8)).eval()
    return diffusion_bench.Bench(pipeline, parser, mm2latent(), quick=True, other=other)


def test_every_row_and_claim_is_there(bench, capsys):
    found = benchmark.report(bench)
    assert list(found["Table 1"]) == [
        f"{task}: {method}" for task in ("mask", "scribble")
        for method in ("ours", "controlnet", "mm2latent")
    ]  # fmt: skip
    assert {
        "frechet",
        "lpips",
        "ms-ssim",
        "identity",
        "accuracy",
        "miou",
        "text",
        "seconds",
        "peak MB",
    } == set(found["Table 1"]["mask: ours"])
    assert "miou" not in found["Table 1"]["scribble: ours"]
    assert list(found["Table 2"]) == [benchmark.ROWS[k] for k in "abce"]
    assert found["Table 2"][benchmark.ROWS["e"]]["lpips"] == pytest.approx(
        found["Table 1"]["mask: ours"]["lpips"]
    )
    assert len(found["claims"]) == 6 + 2 + 4 + 2 + 3
    assert {each.verdict for each in read(found["claims"])} <= set(VERDICTS)
    assert all(row["peak MB"] > 0 for row in found["Table 1"].values())
    assert any("than ControlNet's 3 steps" in each["text"] for each in found["claims"])
    json.dumps(found)
    assert "Table 2" in capsys.readouterr().out


def test_all_of_table_2_may_be_trained_alike(bench, monkeypatch):
    """Then its last row is not that of the networks that ship."""
    monkeypatch.setattr(bench, "other", {"e": bench.other["c"]})
    rows, _ = benchmark.table_2(bench)
    ours = benchmark.report(bench)
    assert list(rows) == [benchmark.ROWS[k] for k in "abe"]
    now = ours["Table 2"][benchmark.ROWS["e"]]
    assert now["lpips"] == pytest.approx(rows[benchmark.ROWS["e"]]["lpips"].mean().item())
    assert now["lpips"] != pytest.approx(ours["Table 1"]["mask: ours"]["lpips"])


def test_claims_can_fail():
    good = {"lpips": torch.full((4,), 0.1), "ms-ssim": torch.full((4,), 0.9)}
    good |= {k: torch.full((4,), 0.9) for k in ("identity", "text", "accuracy", "miou")}
    bad = {k: 1 - v for k, v in good.items()}
    fast, slow = {"seconds": torch.ones(4)}, {"seconds": torch.full((4,), 20.0)}
    for ours, theirs, said in ((good | fast, bad | slow, "holds"),
                               (bad | slow, good | fast, "does not hold")):  # fmt: skip
        rows = {f"{task}: {name}": row for task in ("mask", "scribble")
                for name, row in (("ours", ours), ("controlnet", theirs))}  # fmt: skip
        distances = {name: (2.0 if ("ours" in name) == (said == "holds") else 5.0) for name in rows}
        assert {each.verdict for each in benchmark.claims(rows, {}, distances)} == {said}


def test_mm2latent_gets_the_same_captions_and_portraits(bench, monkeypatch):
    """Their masks, and in a scribble's place its own lines of the same portrait."""
    asked = []

    def generate(text, **condition):
        asked.append((text, condition))
        return SimpleNamespace(image=None, seconds=0.0)

    monkeypatch.setattr(bench.rival, "generate", generate)
    for task in ("mask", "scribble"):
        benchmark.ways(bench, task)["mm2latent"](bench.captions[2].text, None, 2)
    (text, mask), (again, lines) = asked
    assert text == again == bench.captions[2].text
    assert np.array_equal(mask["mask"], bench.classes[2].numpy()) and list(mask) == ["mask"]
    portrait = as_images(bench.x[2:3])[0]
    assert np.array_equal(lines["sketch"], bench.rival.read(portrait, "sketch"))
    bench.rival.conditions, whole = ("mask",), bench.rival.conditions
    assert "mm2latent" not in benchmark.ways(bench, "scribble")
    bench.rival.conditions = whole


def test_memory_is_what_is_held_at_once_and_no_more():
    def held():
        a = torch.zeros(1000, 1000)
        b = a + 1
        del a
        return b.square().sum()

    once, often = (peak(lambda n=n: [held() for _ in range(n)], torch.device("cpu"))
                   for n in (1, 9))  # fmt: skip
    assert 8_000_000 <= once < 8_100_000 and abs(often - once) < 10_000


def test_overlap_is_that_of_the_classes_that_occur():
    truth = torch.tensor([[[0, 0], [1, 1]]])
    assert diffusion_bench.overlap(truth, truth).item() == 1
    assert diffusion_bench.overlap(torch.tensor([[[0, 0], [0, 1]]]), truth).item() == pytest.approx(
        (2 / 3 + 1 / 2) / 2
    )
    assert diffusion_bench.overlap(torch.full((1, 2, 2), 5), truth).item() == 0


def test_finished_pictures_are_not_drawn_again(tmp_path):
    bench = diffusion_bench.Bench(
        build(), FaceParser(channels=(8, 8)).eval(), quick=True, keep=tmp_path
    )
    drawn = []

    def draw_one(text, condition, seed):
        drawn.append(seed)
        return bench.pipeline.read(text, condition, seed=seed).image, 0.5

    first = bench.pictures("ours", "mask", draw_one)
    again = bench.pictures("ours", "mask", draw_one)
    assert torch.equal(first, again) and drawn == list(range(bench.count))
    # Seconds are those of the process that tells them, pictures of its own.
    assert bench.seconds(draw_one, "mask").tolist() == [0.5] * bench.count
    assert len(drawn) == 2 * bench.count
    # Another T leaves what ControlNet drew where it is.
    bench.pictures("controlnet", "mask", draw_one)
    assert len(drawn) == 3 * bench.count
    other = build()
    with torch.no_grad():
        other.modulation.to_beta.linear.bias.add_(1)
    later = diffusion_bench.Bench(other, bench.parser, quick=True, keep=tmp_path)
    later.pictures("controlnet", "mask", draw_one)
    assert len(drawn) == 3 * bench.count
    later.pictures("ours", "mask", draw_one)
    assert len(drawn) == 4 * bench.count
