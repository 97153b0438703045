"""The sharpening recipe in miniature: what moves, what stays, and what is written."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch

import weights
from examples.clay.dataset import write
from pipelines.networks.discriminator import PatchDiscriminator
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from pipelines.training import generator
from pipelines.training import sharpen as recipe
from pipelines.training.generator import BACKGROUND
from pipelines.training.loop import Loop
from tests.pipelines.test_generator_recipe import SIDE, TINY, moved, rows, snapshot
from tests.pipelines.test_training_loop import Clock, MemorySet

STEPS = 4
RATES = (1e-3, 1e-3, 1e-3)


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> None:
    """A clock by which the loop takes four steps, of D and of G and E each."""
    torch.manual_seed(0)
    clock, descend = Clock(), recipe.step

    def step(*arguments) -> None:
        descend(*arguments)
        clock.step(60 / STEPS / 2)

    monkeypatch.setattr("pipelines.training.loop.time", clock)
    monkeypatch.setattr(recipe, "step", step)


def small() -> Generator:
    return Generator(SIDE, channels=TINY, mapping_layers=1)


def reader(generator: Generator) -> LayerwiseEncoder:
    return LayerwiseEncoder(generator.num_ws, SIDE, width=4, level_size=8)


def judge() -> PatchDiscriminator:
    return PatchDiscriminator((4, 4, 4))


@pytest.fixture
def trainer(tmp_path) -> recipe.Sharpener:
    data, distance = MemorySet(8, SIDE), PerceptualDistance()
    return recipe.Sharpener(data, distance, tmp_path, "cpu", 8, small())


def test_all_three_learn_and_the_mapping_stays(trainer) -> None:
    encoder, critic = reader(trainer.generator), judge()
    networks = (trainer.generator.mapping, trainer.generator.synthesis, encoder, critic)
    before = [snapshot(network) for network in networks]
    trainer.sharpen(encoder, critic, 1.0, RATES, share=0.5)
    found = [moved(network, old) for network, old in zip(networks, before, strict=True)]
    assert found == [False, True, True, True]
    (first, *_) = rows(trainer.out / "sharpen")
    assert first["pixels"] > 0 and np.isfinite(list(first.values())).all()
    assert first["adversarial"] == 0  # D has learned nothing yet


def batch_of(trainer: recipe.Sharpener) -> tuple[Loop, recipe.Batch, torch.Tensor]:
    loop = trainer.loop("wishes", 1.0)
    z, real, weight = next(iter(trainer.batches(loop)))
    batch = trainer.encoded_and_paired(loop, reader(trainer.generator), z, real, weight)
    return loop, batch, trainer.generator.synthesis(batch.ws, "none")


def test_half_is_encoded_and_some_of_the_rest_is_mixed(trainer) -> None:
    _, batch, _ = batch_of(trainer)
    assert batch.known == 7 and len(batch.residual) == 4 and len(batch.ws) == 8
    person = batch.weight > trainer.weights.min()
    assert person.any() and not person.all()
    assert (batch.seen[person] == 1).all() and (batch.seen[~person] == BACKGROUND).all()
    layers = [len({tuple(w.tolist()) for w in ws[:, :4]}) for ws in batch.ws.detach()]
    assert all(count > 1 for count in layers[:4])  # E says something else to every layer
    assert layers[4:7] == [1, 1, 1] and layers[7] <= 2


def test_without_the_discriminator_nothing_is_mixed(trainer, monkeypatch) -> None:
    critic, mixed = judge(), []
    before = snapshot(critic)
    monkeypatch.setattr(recipe, "mix_styles", lambda ws, share: (mixed.append(share), (ws, 4))[1])
    trainer.sharpen(reader(trainer.generator), critic, 1.0, RATES, share=0.0)
    assert set(mixed) == {0} and not moved(critic, before)


def test_the_leash_pulls_codes_to_where_the_latent_is(trainer) -> None:
    loop, batch, _ = batch_of(trainer)
    z, *_ = next(iter(trainer.batches(loop)))
    expected = batch.ws[:4] - trainer.generator.mapping(z)[:4]
    torch.testing.assert_close(batch.residual, expected)


def test_the_discriminator_asks_its_share(trainer) -> None:
    loop, batch, fake = batch_of(trainer)
    critic = judge()
    alone, _ = trainer.wishes(loop, batch, fake, critic, 0.0)
    assert (alone[7] == 0).all() and (alone[:7].flatten(1).norm(dim=1) > 0).all()
    together, losses = trainer.wishes(loop, batch, fake, critic, 0.5)
    asked = (together - alone).norm() / alone.norm()
    assert asked.item() == pytest.approx(0.5, rel=1e-3)
    assert (together[7] != 0).any() and losses["adversarial"] > 0
    assert all(p.requires_grad and p.grad is None for p in critic.parameters())


def test_mixing_leaves_the_paired_rows() -> None:
    ws = torch.randn(8, 1, 4).repeat(1, 6, 1)
    mixed, paired = recipe.mix_styles(ws, share=0.25)
    assert paired == 6 and torch.equal(mixed[:6], ws[:6])
    torch.testing.assert_close(mixed[6:, 0], ws[6:, 0])
    for row in mixed[6:]:
        assert sum(bool((a != b).any()) for a, b in zip(row[1:], row[:-1], strict=True)) <= 1
        assert any(torch.equal(row[-1], other) for other in ws[:, 0])
    assert torch.equal(recipe.mix_styles(ws, share=0.0)[0], ws)


def test_the_penalty_comes_every_few_steps(tmp_path) -> None:
    class Slope(torch.nn.Module):
        """One patch's score, which rises by `rise` with every channel of every pixel."""

        def __init__(self) -> None:
            super().__init__()
            self.rise = torch.nn.Parameter(torch.tensor(0.5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.rise * x.sum((1, 2, 3))[:, None, None, None]

    loop, real = Loop(tmp_path, 1.0, "cpu", bfloat16=False), torch.zeros(4, 3, 4, 4)
    slopes = []
    for loop.step in (1, recipe.LAZY):
        critic = Slope()
        optimizer = torch.optim.SGD(critic.parameters(), 1e-3)
        recipe.judge_step(loop, critic, optimizer, real, real)
        slopes.append((0.5 - critic.rise.item()) / 1e-3)
    # d/d rise of LAZY gamma / 2 * 48 rise^2; the logistic terms of equal black pictures cancel.
    expected = recipe.LAZY * recipe.GAMMA * 48 * 0.5
    assert slopes == pytest.approx([0.0, expected], abs=1e-2)


def test_behind_the_person_less_is_seen(trainer) -> None:
    weight = trainer.weights[torch.tensor([[0, 1, 2]])][None]
    seen = trainer.seen(weight).flatten().tolist()
    assert seen == pytest.approx([recipe.BACKGROUND, 1, 1])


def test_the_command_goes_on_from_a_generator(tmp_path, monkeypatch, capsys) -> None:
    few = functools.partial(generator.w_statistics, count=1000)
    monkeypatch.setattr(generator, "w_statistics", few)
    write(tmp_path / "data", "train", 8, size=SIDE)
    weights.save(PerceptualDistance(), tmp_path / "perceptual.safetensors", {})
    weights.save(small(), tmp_path / "old-generator.safetensors", {})
    words = ["sharpen", "--minutes", "1", "--batch", "4", "--device", "cpu"]
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
