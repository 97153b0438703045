"""The sharpening recipe in miniature: what moves, what stays, and what is written."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch

import weights
from examples.clay.dataset import write
from pipelines.networks.discriminator import FeatureDiscriminator
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


def judge() -> FeatureDiscriminator:
    return FeatureDiscriminator((64, 128))


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
    read = next(iter(trainer.batches(loop)))
    z, real, weight = read.z, read.real, trainer.weights[read.parts][:, None]
    batch = trainer.encoded_and_paired(loop, reader(trainer.generator), z, real, weight)
    return loop, batch, weight


def wishes(trainer: recipe.Sharpener, critic: FeatureDiscriminator, share: float):
    """The batch, then gradient and losses with the discriminator's share and without it."""
    loop, batch, _ = batch_of(trainer)
    drawn = trainer.generator.synthesis(batch.ws, "none").detach().requires_grad_(True)
    rendered, found = trainer.perceptual.stages(batch.real), []
    for asked in (share, 0.0):
        stages = trainer.perceptual.stages(drawn)
        found.append(trainer.wishes(loop, batch, drawn, stages, rendered, critic, asked))
    return batch, *found


def test_half_is_encoded_and_some_of_the_rest_is_mixed(trainer) -> None:
    _, batch, weight = batch_of(trainer)
    assert batch.known == 7 and len(batch.residual) == 4 and len(batch.ws) == 8
    person = weight > trainer.weights.min()
    assert person.any() and not person.all()
    assert (batch.seen[person] == 1).all() and (batch.seen[~person] == BACKGROUND).all()
    told = batch.weight / weight
    assert (told[:4] == 1).all() and (told[4:][person[4:]] == 1).all()
    torch.testing.assert_close(told[4:][~person[4:]].unique(), torch.tensor([recipe.BEHIND]))
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
    z = next(iter(trainer.batches(loop))).z
    expected = batch.ws[:4] - trainer.generator.mapping(z)[:4]
    torch.testing.assert_close(batch.residual, expected)


def test_the_discriminator_asks_its_share(trainer) -> None:
    critic = judge()
    _, (together, losses), (alone, _) = wishes(trainer, critic, 0.5)
    assert (alone[7] == 0).all() and (alone[:7].flatten(1).norm(dim=1) > 0).all()
    asked = (together - alone).norm() / alone.norm()
    assert asked.item() == pytest.approx(0.5, rel=1e-3)
    assert (together[7] != 0).any() and losses["adversarial"] != 0
    assert all(p.requires_grad and p.grad is None for p in critic.parameters())


def test_the_distance_is_that_of_the_perceptual_network_on_the_person(trainer) -> None:
    trainer.seen = lambda weight: torch.ones_like(weight)
    batch, _, (_, losses) = wishes(trainer, judge(), 0.5)
    drawn = trainer.generator.synthesis(batch.ws, "none")[:7]
    expected = trainer.perceptual(drawn, batch.real[:7]).mean()
    torch.testing.assert_close(losses["perceptual"], expected, rtol=1e-4, atol=1e-4)


def test_mixing_leaves_the_paired_rows() -> None:
    ws = torch.randn(8, 1, 4).repeat(1, 6, 1)
    mixed, paired = recipe.mix_styles(ws, share=0.25)
    assert paired == 6 and torch.equal(mixed[:6], ws[:6])
    torch.testing.assert_close(mixed[6:, 0], ws[6:, 0])
    for row in mixed[6:]:
        assert sum(bool((a != b).any()) for a, b in zip(row[1:], row[:-1], strict=True)) <= 1
        assert any(torch.equal(row[-1], other) for other in ws[:, 0])
    assert torch.equal(recipe.mix_styles(ws, share=0.0)[0], ws)


def test_the_discriminator_learns_by_the_hinge(tmp_path) -> None:
    class Slope(torch.nn.Module):
        """One score, `rise` times the sum of the features."""

        def __init__(self) -> None:
            super().__init__()
            self.rise = torch.nn.Parameter(torch.tensor(0.5))

        def forward(self, stages: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            return tuple(self.rise * stage.sum((1, 2, 3)) for stage in stages)

    def learned(real: float, fake: float) -> float:
        critic = Slope()
        sets = (torch.full((2, 1, 1, 1), value) for value in (real, fake))
        recipe.judge_step(
            Loop(tmp_path, 1.0, "cpu", bfloat16=False), critic,
            torch.optim.SGD(critic.parameters(), 1e-3), *((stage,) for stage in sets),
        )  # fmt: skip
        return (critic.rise.item() - 0.5) / 1e-3

    # -d/d rise of max(0, 1 - rise real) + max(0, 1 + rise fake)
    assert learned(1.0, 1.0) == pytest.approx(0.0, abs=1e-2)
    assert learned(1.0, -1.0) == pytest.approx(2.0, abs=1e-2)
    assert learned(3.0, -3.0) == pytest.approx(0.0, abs=1e-2)  # told apart well enough


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
