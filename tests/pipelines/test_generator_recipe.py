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
from examples.clay.parameters import CHOICES, LATENT, NAMES, draw
from examples.clay.parts import PARTS
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from pipelines.training import codes, views
from pipelines.training import generator as recipe
from pipelines.training.parts import rarity
from tests.pipelines.test_training_loop import Clock, MemorySet

SIDE = 64
TINY = {4: 8, 8: 8, 16: 8, 32: 8, 64: 8}
STEPS = 3


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> Clock:
    """Networks of eight channels; a clock by which every loop takes three steps."""
    torch.manual_seed(0)
    monkeypatch.setattr(recipe, "CHANNELS", TINY)
    # A quarter of 64 px would be less than the perceptual trunk reads.
    monkeypatch.setattr(recipe, "GROWTH", ((1.0, 1),))
    monkeypatch.setattr(recipe, "write", functools.partial(codes.write, count=2000))
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


@pytest.mark.parametrize("crop", [False, True])
def test_a_step_moves_the_synthesis_network_and_leaves_the_written_codes(trainer, crop):
    trainer.crop = crop
    mapping, synthesis = trainer.generator.mapping, trainer.generator.synthesis
    before = snapshot(mapping), snapshot(synthesis), snapshot(trainer.head)
    trainer.regress(1.0)
    assert not moved(mapping, before[0])
    assert moved(synthesis, before[1]) and moved(trainer.head, before[2])
    (row, *_) = rows(trainer.out / "regress")
    assert row["step"] == 1 and row["parts"] > 0 and np.isfinite(list(row.values())).all()
    assert len(list((trainer.out / "regress").glob("checkpoint-*.safetensors"))) == 1


def test_without_a_head_no_part_is_asked_for(trainer):
    trainer.parts = 0.0
    before = snapshot(trainer.head)
    trainer.regress(1.0)
    assert not moved(trainer.head, before)
    assert all(row["parts"] == 0 for row in rows(trainer.out / "regress"))


def test_a_finished_training_is_loaded_and_not_repeated(trainer):
    trainer.regress(1.0)
    torch.manual_seed(1)
    again = recipe.Trainer(trainer.data, trainer.perceptual, trainer.out, "cpu", batch=4)
    before = snapshot(again.generator.synthesis)
    again.regress(1.0)
    assert moved(again.generator.synthesis, before)  # by loading
    assert not moved(again.generator, snapshot(trainer.generator))


def test_a_crop_is_the_same_as_that_of_the_whole_picture(trainer):
    z = torch.randn(2, LATENT)
    batch = recipe.Batch(z, torch.rand(2, 3, SIDE, SIDE), torch.randint(0, 32, (2, SIDE, SIDE)))
    ws = trainer.generator.mapping(z)
    for block in trainer.generator.synthesis.blocks:
        torch.nn.init.normal_(block.torgb.weight)
    picture = trainer.generator.synthesis(ws, "none")
    random = np.random.default_rng(0)
    for _ in range(8):
        state = random.bit_generator.state
        half, crop = trainer.halved_and_cropped(ws, batch, random)
        random.bit_generator.state = state
        rows, columns = (views.window(random, SIDE // 2) for _ in range(2))
        own = (..., *(slice(2 * side.start, 2 * side.stop) for side in (rows, columns)))
        torch.testing.assert_close(crop.fake, picture[own])
        torch.testing.assert_close(crop.real, batch.real[own])
        assert torch.equal(crop.parts[SIDE], batch.parts[own])
        assert half.fake.shape[-1] == SIDE // 2


def test_crops_reach_every_row_and_visit_the_middle_more_often():
    random, seen = np.random.default_rng(0), np.zeros(64)
    for _ in range(400):
        seen[views.window(random, 64)] += 1
    assert seen.min() > 10 and seen[24:40].mean() > 2 * seen[[0, -1]].mean()


def test_thinned_parts_lie_where_they_lay():
    parts = torch.arange(8).repeat_interleave(4).repeat(32, 1)[None]
    assert torch.equal(views.thinned(parts, 8)[0, 0], torch.arange(8))


def test_the_head_learns_parts_from_features_and_rare_ones_weigh_more(trainer):
    data, head = trainer.data, trainer.head
    data.parts[:] = 0
    data.parts[:, :4, :4] = 5
    weights_ = rarity(data)
    assert weights_.argmin() == 0 and weights_[5] > 3 * weights_[0] and weights_.max() <= 10
    x, parts = torch.randn(2, 8, SIDE, SIDE), torch.zeros(2, SIDE, SIDE, dtype=torch.long)
    x[:, 0, :4, :4], parts[:, :4, :4] = 5.0, 5
    optimizer = torch.optim.Adam(head.parameters(), 0.05)
    start = head.loss(x, parts, SIDE).item()
    for _ in range(30):
        optimizer.zero_grad()
        head.loss(x, parts, SIDE).backward()
        optimizer.step()
    assert head.loss(x, parts, SIDE).item() < 0.3 * start
    assert head.loss(x, parts, 4).item() == 0  # not one of the finest three


def test_regression_learns_the_pictures_of_its_codes(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "GROWTH", ((1.0, 1),))
    data = MemorySet(8, SIDE)
    data.images[:] = data.images.mean(axis=(1, 2), keepdims=True).astype(np.uint8)
    data.images[:4] //= 4  # two kinds of flat pictures
    trainer = recipe.Trainer(data, PerceptualDistance(), tmp_path, "cpu", batch=8)
    trainer.regress(10.0, rate=2e-2)
    found = recipe.evaluate(trainer.generator, trainer.perceptual, data)
    untrained = Generator(SIDE, channels=TINY)
    start = recipe.evaluate(untrained, trainer.perceptual, data)
    assert found["psnr"] > start["psnr"] + 3


def test_growth_starts_small_and_ends_whole():
    assert (shares := [share for share, _ in recipe.GROWTH]) == sorted(shares)
    assert recipe.GROWTH[-1] == (1.0, 1)


@pytest.mark.parametrize("size", [8, 16, 64])
def test_a_small_image_is_what_the_skips_hold(small, size):
    ws = small.mapping(torch.randn(2, 512))
    image, features = views.draw(small.synthesis, ws, size)
    assert max(features) == size and features[size].shape == (2, 8, size, size)
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
        views.draw(small.synthesis, small.mapping(torch.randn(1, 512)), 24)


def test_the_pixel_loss_is_zero_for_equal_and_counts_what_weighs():
    real = torch.rand(2, 3, 16, 16)
    weight = torch.ones(2, 1, 16, 16)
    assert views.multiscale_l1(real, real, weight) == 0
    # A constant difference is seen whole at each of three scales.
    assert views.multiscale_l1(real + 0.5, real, weight).item() == pytest.approx(1.5, rel=1e-5)
    weight[..., :8] = 3.0
    left, right = real.clone(), real.clone()
    left[..., :8] += 0.5
    right[..., 8:] += 0.5
    losses = [views.multiscale_l1(fake, real, weight).item() for fake in (left, right)]
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
    # As important, as much variance along the parameter's own directions.
    yaw, age, lips = (_variance(writer, written, name) for name in ("yaw", "age", "lip_fullness"))
    assert yaw / lips == pytest.approx(10, rel=0.15) and age / lips == pytest.approx(2, rel=0.15)


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


@pytest.fixture(scope="module")
def written() -> tuple[torch.nn.Module, codes.CodeWriter]:
    """A mapping network with the closed form, as a file in half precision gives it back."""
    mapping = Generator(SIDE, channels=TINY, mapping_lr_multiplier=1.0, normalize_z=False).mapping
    writer = codes.CodeWriter()
    codes.write(mapping, writer)
    return mapping.half().float(), writer


def test_written_codes_say_every_parameter(written):
    mapping, writer = written
    found = codes.explained(lambda z: mapping(z)[:, 0], writer)
    assert set(found) == set(writer.names)
    assert min(found.values()) > 0.98, min(found, key=found.get)


def test_written_codes_are_where_they_should_be(written):
    mapping, writer = written
    z = torch.from_numpy(np.random.RandomState(9).standard_normal((4000, LATENT))).float()
    error = (mapping(z)[:, 0] - writer(torch.from_numpy(draw(z.numpy())))).square().mean()
    assert error < 0.01  # of a variance of 1


def test_explained_variance_falls_where_choices_are_blended(written):
    mapping, writer = written

    def blended(z: torch.Tensor) -> torch.Tensor:
        return mapping(z.clamp(-0.5, 0.5))[:, 0]

    found = codes.explained(blended, writer, count=4000)
    assert (
        found["hair_color"]
        < 0.6
        < codes.explained(lambda z: mapping(z)[:, 0], writer, count=4000)["hair_color"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "must take z as it is.*normalize_z=False"),
        ({"normalize_z": False, "w_dim": 64}, "mapping must be at least 512 wide.*got 64"),
    ],
)
def test_a_network_that_cannot_hold_the_codes_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        codes.write(Generator(SIDE, channels=TINY, **arguments).mapping, codes.CodeWriter())


@pytest.fixture
def command(tmp_path, monkeypatch) -> Callable[[str], None]:
    """The command line on eight rendered portraits, one step a stage."""
    few = functools.partial(recipe.w_statistics, count=1000)
    monkeypatch.setattr(recipe, "w_statistics", few)
    write(tmp_path / "data", "train", 8, size=SIDE)
    weights.save(PerceptualDistance(), tmp_path / "perceptual.safetensors", {})

    def run(name: str) -> None:
        words = ["generator", "--minutes", "1", "--batch", "4"]
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
