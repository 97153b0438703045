"""The residual recipe in miniature: what moves, what stays, and what is written."""

from __future__ import annotations

import functools
import json

import pytest
import torch

import weights
from examples.clay.dataset import write
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from pipelines.training import generator
from pipelines.training import residual as recipe
from tests.pipelines.test_generator_recipe import SIDE, TINY, moved, rows, snapshot
from tests.pipelines.test_training_loop import Clock, MemorySet

STEPS = 4


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> None:
    """A clock by which the loop takes four steps, two of each kind."""
    torch.manual_seed(0)
    clock, descend = Clock(), recipe.step

    def step(*arguments) -> None:
        descend(*arguments)
        clock.step(60 / STEPS)

    monkeypatch.setattr("pipelines.training.loop.time", clock)
    monkeypatch.setattr(recipe, "step", step)


def small() -> Generator:
    return Generator(SIDE, channels=TINY, mapping_layers=1)


def reader(generator: Generator) -> LayerwiseEncoder:
    return LayerwiseEncoder(generator.num_ws, SIDE, width=4, level_size=8)


def test_both_networks_learn_and_the_mapping_stays(tmp_path) -> None:
    start = small()
    trainer = recipe.Companion(MemorySet(8, SIDE), PerceptualDistance(), tmp_path, "cpu", 4, start)
    encoder, generator = reader(start), trainer.generator
    before = [snapshot(n) for n in (generator.mapping, generator.synthesis, encoder)]
    trainer.follow(encoder, 1.0, (1e-3, 1e-3))
    now = (generator.mapping, generator.synthesis, encoder)
    found = [moved(network, old) for network, old in zip(now, before, strict=True)]
    assert found == [False, True, True]
    (first, *_) = rows(tmp_path / "together")
    assert first["paired"] > 0 and first["told"] == 0  # the first batch is a pair


def test_a_silenced_encoder_keeps_its_features() -> None:
    encoder = reader(small()).eval()
    x = torch.rand(2, 3, SIDE, SIDE)
    before, features = encoder(x) - encoder.w_mean, encoder._features(x)
    recipe.silence(encoder)
    after = encoder(x) - encoder.w_mean
    assert after.norm() < 0.2 * before.norm()
    assert all(torch.equal(a, b) for a, b in zip(features, encoder._features(x), strict=True))


def test_behind_the_person_less_is_seen(tmp_path) -> None:
    trainer = recipe.Companion(
        MemorySet(8, SIDE), PerceptualDistance(), tmp_path, "cpu", 4, small()
    )
    weight = trainer.weights[torch.tensor([[0, 1, 2]])][None]
    seen = trainer.seen(weight).flatten().tolist()
    assert seen == pytest.approx([recipe.BACKGROUND, 1, 1])


def test_the_command_goes_on_from_a_generator(tmp_path, monkeypatch, capsys) -> None:
    few = functools.partial(generator.w_statistics, count=1000)
    monkeypatch.setattr(generator, "w_statistics", few)
    write(tmp_path / "data", "train", 8, size=SIDE)
    weights.save(PerceptualDistance(), tmp_path / "perceptual.safetensors", {})
    weights.save(small(), tmp_path / "old-generator.safetensors", {})
    words = ["residual", "--minutes", "1", "--batch", "4", "--device", "cpu"]
    for option, name in {
        "data": "data", "validation": "data", "out": "out",
        "perceptual": "perceptual.safetensors", "weights": "new-generator.safetensors",
    }.items():  # fmt: skip
        words += [f"--{option}", str(tmp_path / name)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit):
        recipe.main()
    assert "--start must name a trained generator" in capsys.readouterr().err
    monkeypatch.setattr(
        "sys.argv", [*words, "--start", str(tmp_path / "old-generator.safetensors")]
    )
    recipe.main()
    old, new = (
        weights.load_file(Generator, tmp_path / f"{name}-generator.safetensors")
        for name in ("old", "new")
    )
    assert moved(new.synthesis, snapshot(old.synthesis))
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert 0 < found["psnr"] < 60
    assert (tmp_path / "new-w-statistics.safetensors").exists()
