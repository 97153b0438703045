"""MM2Latent's benchmark: its own arithmetic, and the whole of it on tiny networks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from examples.clay.parameters import CHOICES
from examples.clay.parts import CLASSES, PART_TO_CLASS
from examples.clay.phrases import BY_FACT
from examples.clay.wording import Caption
from pipelines.measures import cmmd, edge_f1
from pipelines.mm2latent import MM2Latent
from pipelines.morphable import CLAY
from pipelines.multimodal_inputs import sketch_of
from pipelines.networks.judge import JudgeOutput, PortraitJudge
from pipelines.networks.mm_mapping import MultimodalMapping
from pipelines.networks.morphable import MorphableNet
from pipelines.training.mm_samples import Samples
from tests.benchmarks import mm2latent, mm2latent_bench
from tests.benchmarks.claims import VERDICTS, read
from tests.benchmarks.kept import marked
from tests.pipelines.test_diffusion_inversion import build as diffusion_inversion
from tests.pipelines.test_mm2latent import SIZE, build

JUDGED = ("glasses", "expression", "beard", "hat", "hair_color")


def pipeline() -> MM2Latent:
    torch.manual_seed(0)
    judge = PortraitJudge(
        {name: len(CHOICES[name]) for name in JUDGED}, ("age", "skin_tone", "yaw"),
        channels=(4, 8, 8), embedding=16,
    )  # fmt: skip
    sizes = {"mask": 512, "sketch": 512, "morphable": len(CLAY.names)}
    found = build(
        judge=judge,
        morphable=MorphableNet(CLAY.names, channels=(4, 8, 8)),
        layout=CLAY,
        mappings={k: MultimodalMapping(k, n, layers=2, width=16) for k, n in sizes.items()},
    )
    return found


@pytest.fixture
def bench(monkeypatch, tmp_path) -> mm2latent_bench.Bench:
    def render(parameters: np.ndarray, size: int):
        random = np.random.RandomState(len(parameters))
        images = random.randint(0, 255, (len(parameters), size, size, 3)).astype(np.uint8)
        parts = random.randint(0, len(PART_TO_CLASS), (len(parameters), size, size))
        return images, parts.astype(np.uint8)

    monkeypatch.setattr(mm2latent_bench, "render", render)
    random = torch.Generator().manual_seed(0)
    samples = Samples(
        2.5 + torch.randn(40, 512, generator=random),
        torch.nn.functional.normalize(torch.randn(40, 512, generator=random), dim=1),
        {"mask": torch.randn(40, 512, generator=random)},
    )
    return mm2latent_bench.Bench(pipeline(), 16, quick=True, keep=tmp_path, samples=samples)


def test_only_what_a_caption_names_is_asked_of_the_judge(bench) -> None:
    said = {p.words: p for fact in JUDGED for p in BY_FACT[fact]}
    logits = {name: torch.zeros(3, len(CHOICES[name])) for name in JUDGED}
    logits["glasses"][:, CHOICES["glasses"].index("round")] = 1
    logits["hair_color"][:, CHOICES["hair_color"].index("red")] = 1
    values = {"age": torch.full((3,), 0.1), "skin_tone": torch.full((3,), 0.9)}
    bench.pipeline.judge = lambda x: JudgeOutput(torch.zeros(3, 4), logits, values)
    captions = [
        Caption("", (said["round glasses"], said["red"])),
        Caption("", (said["shades"], said["greying red"])),
        Caption("", ()),
    ]
    right = bench.named_right(torch.zeros(3, 3, SIZE, SIZE), captions)
    assert right[:2].tolist() == [1.0, 0.5] and right[2].isnan()


def test_agreement_is_the_share_of_pixels_f1_and_nearness_of_numbers(bench) -> None:
    x = bench.x[:3]
    codes = bench.pipeline.codes
    for kind in bench.pipeline.conditions:
        own = bench.read(x, kind)
        assert torch.allclose(codes.agreement(x, kind, own), torch.ones(3), atol=1e-5)
    mask = codes.read(x, "mask")
    mask[:, : SIZE // 2] = (mask[:, : SIZE // 2] + 1) % len(CLASSES)
    assert torch.allclose(codes.agreement(x, "mask", mask), torch.full((3,), 0.5))
    lines = sketch_of(x)
    assert (edge_f1(lines, torch.zeros_like(lines)) == 0).all()


def test_edges_count_within_their_reach() -> None:
    a, b = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    a[0, 8], b[0, 9] = True, True
    assert edge_f1(a, b, reach=1).item() == pytest.approx(1)
    assert edge_f1(a, b, reach=0).item() == 0


def test_cmmd_is_zero_for_equal_sets_and_grows() -> None:
    a = torch.nn.functional.normalize(torch.randn(50, 8), dim=1)
    assert cmmd(a, a) == pytest.approx(0, abs=1e-6)
    assert 0 < cmmd(a, torch.nn.functional.normalize(a + 0.3, dim=1)) < cmmd(a, a[:1].repeat(50, 1))


def test_the_whole_report_on_tiny_networks(bench, capsys, monkeypatch) -> None:
    made, pictures = [], bench.pictures
    monkeypatch.setattr(bench, "pictures", lambda ws: made.append(marked(ws)) or pictures(ws))
    found = mm2latent.report(bench, diffusion_inversion())
    json.dumps(found)
    assert len(set(made)) == len(made)  # no pictures are made twice
    assert {each.verdict for each in read(found["claims"])} <= set(VERDICTS)
    assert set(found["table 1"]) == {
        mm2latent.OURS, mm2latent.TEXT, mm2latent.MASK, mm2latent.CROSSED, mm2latent.NEAREST,
        mm2latent.TEDIGAN, mm2latent.ITSELF,
    }  # fmt: skip
    assert set(found["tables 2 and 3"]) == {*mm2latent.TABLE_2, *mm2latent.TABLE_3}
    assert set(found["conditions"]) == {"mask", "sketch", "morphable"}
    assert {"error shape", "error pose"} < set(found["conditions"]["morphable"])
    assert {"mask: smile", "sketch: smile", "3dmm: yaw"} < set(found["edits"])
    assert found["left out"] == []
    both = {"batch 1", "batch 16"}
    assert {name: set(row) for name, row in found["milliseconds"].items()} == {
        mm2latent.OURS: both, mm2latent.NEAREST: both, mm2latent.TEDIGAN: both,
        "diffusion-driven": {"batch 1"}, "controlnet alone": {"batch 1"},
    }  # fmt: skip
    assert all(value > 0 for row in found["milliseconds"].values() for value in row.values())
    assert "this only ran it all" in capsys.readouterr().out
    # Codes were kept: nothing is projected or trained twice.
    for stage in (bench.pipeline, "project"), (mm2latent, "trained"):
        monkeypatch.setattr(*stage, None)
    again, *_ = mm2latent.table_1(bench)
    assert again[mm2latent.OURS]["text"].mean().item() == found["table 1"][mm2latent.OURS]["text"]
    assert set(mm2latent.ablations(bench)[1]) == set(found["tables 2 and 3"]) - {"8 layers, all"}
