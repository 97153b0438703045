"""The generator's recipe in miniature: its stages on eight fake portraits, and its functions."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

import weights
from examples.clay.dataset import write
from examples.clay.parameters import CHOICES, DRAWN, LATENT, NAMES, draw
from examples.clay.parts import PARTS
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from pipelines.training import codes
from pipelines.training import generator as recipe
from tests.pipelines.test_training_loop import Clock, MemorySet

SIDE = 32
TINY = {4: 8, 8: 8, 16: 8, 32: 8}
STEPS = 3


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> Clock:
    """Networks of eight channels; a clock by which every loop takes three steps."""
    torch.manual_seed(0)
    monkeypatch.setattr(recipe, "CHANNELS", TINY)
    # A quarter of 32 px would be less than the perceptual trunk reads.
    monkeypatch.setattr(recipe, "GROWTH", ((1.0, 1),))
    clock, descend = Clock(), recipe.step

    def step(*arguments) -> None:
        descend(*arguments)
        clock.step(60 / STEPS)

    monkeypatch.setattr("pipelines.training.loop.time", clock)
    monkeypatch.setattr(recipe, "step", step)
    return clock


@pytest.fixture
def small() -> Generator:
    return Generator(SIDE, channels=TINY, mapping_layers=1)


@pytest.fixture
def trainer(tmp_path) -> recipe.Trainer:
    return recipe.Trainer(MemorySet(8, SIDE), PerceptualDistance(), tmp_path, "cpu", batch=4)


def snapshot(network: torch.nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def moved(network: torch.nn.Module, before: list[torch.Tensor]) -> bool:
    pairs = zip(network.parameters(), before, strict=True)
    return any(not torch.equal(a, b) for a, b in pairs)


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "log.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("stage", "mapping_moves", "synthesis_moves"),
    [("codes", True, False), ("regress", False, True)],
)
def test_a_stage_steps_and_moves_what_it_trains(trainer, stage, mapping_moves, synthesis_moves):
    mapping, synthesis = trainer.generator.mapping, trainer.generator.synthesis
    before = snapshot(mapping), snapshot(synthesis)
    options = {"batch": 8} if stage == "codes" else {}
    getattr(trainer, stage)(1.0, **options)
    assert moved(mapping, before[0]) is mapping_moves
    assert moved(synthesis, before[1]) is synthesis_moves
    (row, *_) = rows(trainer.out / stage)
    assert row["step"] == 1 and np.isfinite(list(row.values())).all()
    assert len(list((trainer.out / stage).glob("checkpoint-*.safetensors"))) == 1


def test_a_finished_stage_is_loaded_and_not_repeated(trainer):
    trainer.codes(1.0, batch=8)
    again = recipe.Trainer(trainer.data, trainer.perceptual, trainer.out, "cpu", batch=4)
    before = snapshot(trainer.generator)
    assert moved(again.generator, before)
    again.codes(1.0, batch=8)
    assert not moved(again.generator, before)


def test_regression_learns_the_pictures_of_its_codes(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "GROWTH", ((1.0, 1),))
    data = MemorySet(8, SIDE)
    data.images[:] = data.images.mean(axis=(1, 2), keepdims=True).astype(np.uint8)
    data.images[:4] //= 4  # two kinds of flat pictures
    trainer = recipe.Trainer(data, PerceptualDistance(), tmp_path, "cpu", batch=8)
    trainer.regress(10.0, rate=2e-2)
    found = recipe.evaluate(trainer.generator, trainer.perceptual, data)
    untrained = Generator(SIDE, channels=TINY, mapping_lr_multiplier=1.0)
    start = recipe.evaluate(untrained, trainer.perceptual, data)
    assert found["psnr"] > start["psnr"] + 3


def test_growth_starts_small_and_ends_whole():
    assert (shares := [share for share, _ in recipe.GROWTH]) == sorted(shares)
    assert recipe.GROWTH[-1] == (1.0, 1)


@pytest.mark.parametrize("size", [8, 16, 32])
def test_a_small_image_is_what_the_skips_hold(small, size):
    ws = small.mapping(torch.randn(2, 512))
    image = recipe.image_at(small.synthesis, ws, size)
    assert image.shape == (2, 3, size, size)
    if size == SIDE:
        torch.testing.assert_close(image, small.synthesis(ws, "none"))
        return
    # What later blocks add is only added: without their colour the image is this one, enlarged.
    for block in small.synthesis.blocks:
        if block.conv1.noise_const.shape[0] > size:
            torch.nn.init.zeros_(block.torgb.weight)
    enlarged = small.synthesis(ws, "none")
    within = F.avg_pool2d(enlarged, SIDE // size)
    inner = slice(2, -2) if size > 8 else slice(1, -1)
    blurred = F.avg_pool2d(F.pad(image, (1,) * 4, "replicate"), 3, stride=1)
    assert (within - image)[..., inner, inner].abs().mean() < (blurred - image).abs().mean()


def test_an_image_of_no_block_is_refused(small):
    with pytest.raises(ValueError, match="size must be one of .*got 24"):
        recipe.image_at(small.synthesis, small.mapping(torch.randn(1, 512)), 24)


def test_the_pixel_loss_is_zero_for_equal_and_counts_what_weighs():
    real = torch.rand(2, 3, 16, 16)
    weight = torch.ones(2, 1, 16, 16)
    assert recipe.multiscale_l1(real, real, weight) == 0
    # A constant difference is seen whole at each of three scales.
    assert recipe.multiscale_l1(real + 0.5, real, weight).item() == pytest.approx(1.5, rel=1e-5)
    weight[..., :8] = 3.0
    left, right = real.clone(), real.clone()
    left[..., :8] += 0.5
    right[..., 8:] += 0.5
    losses = [recipe.multiscale_l1(fake, real, weight).item() for fake in (left, right)]
    assert losses[0] == pytest.approx(3 * losses[1], rel=1e-4)


def test_statistics_set_the_average_code(small):
    found = recipe.w_statistics(small, count=3000)
    torch.testing.assert_close(small.mapping.w_avg, found["mean"])
    w = small.mapping(torch.randn(4000, 512, generator=torch.Generator().manual_seed(5)))[:, 0]
    assert (w.mean(0) - found["mean"]).norm() < 0.1 * w.std(0).norm()
    assert found["covariance"].shape == (512, 512)
    assert found["covariance"].trace() == pytest.approx(w.var(0).sum().item(), rel=0.05)


def test_every_part_weighs_sensibly():
    by_name = dict(zip(PARTS, recipe.part_weights().tolist(), strict=True))
    assert min(by_name, key=by_name.get) == "background"
    assert by_name["earring"] == 5 and by_name["left ear"] == 3 and by_name["beard"] == 3
    assert by_name["necklace"] == 4 and by_name["neck"] == 1 and by_name["nostrils"] == 6
    eye, mouth = by_name["left iris"], by_name["upper lip"]
    assert eye > mouth > by_name["nose tip"] > by_name["skin"] > by_name["background"]
    unused = [word for word in recipe.PART_WEIGHTS if not any(word in part for part in PARTS)]
    assert not unused
    assert all(by_name[f"left {part}"] == by_name[f"right {part}"] for part in ("brow", "pupil"))


def test_codes_are_written_linearly_and_share_the_variance():
    writer = codes.CodeWriter()
    parameters = torch.from_numpy(draw(np.random.RandomState(1).standard_normal((4000, LATENT))))
    written = writer(parameters)
    torch.testing.assert_close(writer.basis.T @ writer.basis, torch.eye(writer.basis.shape[1]))
    assert (written.mean(0) - codes.OFFSET).abs().max() < 0.1
    assert written.var(0).sum().item() == pytest.approx(
        512, rel=0.05
    )  # one for each of w's numbers
    # Twice as important, twice the variance along the parameter's own directions.
    yaw, age, jaw = (_variance(writer, written, name) for name in ("yaw", "age", "jaw_width"))
    assert yaw / jaw == pytest.approx(10, rel=0.15) and age / jaw == pytest.approx(2, rel=0.15)


def _variance(writer: codes.CodeWriter, written: torch.Tensor, name: str) -> float:
    assert name not in CHOICES and "hue" not in name
    before = writer.names[: writer.names.index(name)]
    column = sum(writer.columns(n, torch.zeros(1, len(NAMES))).shape[1] for n in before)
    return (written @ writer.basis[:, column]).var().item()


def test_a_hue_goes_round_and_what_is_repeated_is_not_written():
    writer, p = codes.CodeWriter(), torch.from_numpy(MemorySet(1).parameters()).repeat(3, 1)
    hue, repeated = NAMES.index("cloth_hue"), [NAMES.index(name) for name in codes.REPEATED]
    p[0, hue], p[1, hue], p[2, hue] = 0.0, 1.0, 0.5
    written = writer(p)
    assert (written[0] - written[1]).norm() < 1e-3 < 1 < (written[0] - written[2]).norm()
    changed = p[:1].clone()
    changed[:, repeated] += 1
    torch.testing.assert_close(writer(changed), written[:1])
    assert not set(codes.IMPORTANCE) - set(writer.names)


def test_the_first_layer_listens_to_every_drawn_coordinate(small):
    heard = [coordinate for coordinate, _ in codes.hinges()[: small.w_dim]]
    assert set(heard) == set(range(len(DRAWN)))
    assert np.isfinite([threshold for _, threshold in codes.hinges()]).all()
    codes.listen(small.mapping)
    loudest = small.mapping.fc0.weight.abs().argmax(dim=1)
    assert loudest[: len(heard)].tolist() == heard


@pytest.fixture
def command(tmp_path, monkeypatch) -> Callable[[str], None]:
    """The command line on eight rendered portraits, one step a stage."""
    few = functools.partial(recipe.w_statistics, count=1000)
    monkeypatch.setattr(recipe, "w_statistics", few)
    write(tmp_path / "data", "train", 8, size=SIDE)
    weights.save(PerceptualDistance(), tmp_path / "perceptual.safetensors", {})

    def run(name: str) -> None:
        words = ["generator", "--minutes", "1", "--shares", "0.5", "0.5", "--batch", "4"]
        for option in ("data", "out", "perceptual"):
            file = "perceptual.safetensors" if option == "perceptual" else option
            words += [f"--{option}", str(tmp_path / file)]
        words += ["--validation", str(tmp_path / "data"), "--weights", str(tmp_path / name)]
        monkeypatch.setattr("sys.argv", [*words, "--device", "cpu"])
        recipe.main()

    return run


def test_the_command_writes_the_generator_and_its_statistics(command, tmp_path):
    command("tiny-generator.safetensors")
    generator = weights.load_file(Generator, tmp_path / "tiny-generator.safetensors")
    assert generator.resolution == SIDE
    statistics = load_file(tmp_path / "tiny-w-statistics.safetensors")
    torch.testing.assert_close(statistics["mean"], generator.mapping.w_avg, atol=1e-3, rtol=1e-2)
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert 0 < found["psnr"] < 60 and found["lpips"] > 0
    assert "train 0 to 7" in (tmp_path / "tiny-generator.md").read_text()


def test_a_name_that_the_statistics_would_overwrite_is_refused(command, capsys):
    with pytest.raises(SystemExit):
        command("tiny.safetensors")
    assert 'must have "generator" in its name; got tiny.safetensors' in capsys.readouterr().err
