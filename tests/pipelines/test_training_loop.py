"""The shared training loop and the judges' recipes, on sets of noise held in memory."""

from __future__ import annotations

import csv
import json
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from examples.clay.dataset import write
from examples.clay.parameters import SEEDS, draw, latent
from examples.clay.parts import PART_TO_CLASS, PARTS
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.parser import FaceParser
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.training import augment, checkpoints, identity, parser, perceptual
from pipelines.training.loop import (
    Average,
    Loop,
    autocast,
    command,
    cosine,
    finish,
    prefetch,
    shuffled,
    to_tensor,
)


class MemorySet:
    """What `ClaySet` offers, with random pictures of the true parameters' number."""

    def __init__(self, count: int = 16, size: int = 32, split: str = "train") -> None:
        random = np.random.default_rng(count)
        index = np.arange(count)
        self.seeds = SEEDS[split].start + index
        self.identities = SEEDS[split].start + index // 4
        self.images = random.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        self.parts = random.integers(0, len(PARTS), (count, size, size)).astype(np.uint8)

    def __len__(self) -> int:
        return len(self.seeds)

    def latents(self) -> np.ndarray:
        pairs = zip(self.seeds, self.identities, strict=True)
        return np.stack([latent(int(s), int(i)) for s, i in pairs])

    def parameters(self) -> np.ndarray:
        return draw(self.latents())

    def masks(self, index) -> np.ndarray:
        return PART_TO_CLASS[self.parts[index]]


class Clock:
    """A clock that only the test moves; `step` is what a training step is said to take."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def step(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("pipelines.training.loop.time", clock)
    return clock


def quiet(out, minutes: float = 0.002, **options) -> Loop:
    return Loop(out, minutes, "cpu", progress=False, **options)


def test_fraction_rises_to_the_budget_and_stops(tmp_path, clock) -> None:
    loop = quiet(tmp_path, 1.0)
    fractions = []
    for fraction in loop:
        fractions.append(fraction)
        clock.step(25.0)
    assert fractions == pytest.approx([0, 25 / 60, 50 / 60])
    assert (loop.step, loop.fraction) == (3, 1)
    assert list(loop) == []


def test_time_outside_the_steps_costs_nothing_and_saves_come_on_time(tmp_path, clock) -> None:
    loop = quiet(tmp_path, 1.0, save_every=20.0)
    loop.keep(network=nn.Linear(1, 1))
    for _ in loop:
        saved = sorted(path.stem for path in tmp_path.glob("checkpoint-*.pt"))
        steps = range(2, loop.step, 2)[-2:]  # the last two
        assert saved == [f"checkpoint-{step:08d}" for step in steps]
        clock.step(10.0)
    clock.step(1000.0)
    assert (loop.step, loop.elapsed) == (6, 60.0)


def test_resume_continues_steps_seconds_and_states(tmp_path, clock) -> None:
    def build(minutes: float) -> tuple[Loop, nn.Linear, torch.optim.Adam]:
        torch.manual_seed(int(minutes))
        network = nn.Linear(2, 1)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
        loop = quiet(tmp_path, minutes)
        loop.keep(network=network, optimizer=optimizer)
        return loop, network, optimizer

    def run(loop: Loop, network: nn.Linear, optimizer: torch.optim.Adam) -> None:
        for _ in loop:
            loop.anneal(optimizer)
            network(torch.ones(4, 2)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            clock.step(10.0)

    first, network, optimizer = build(1.0)
    assert not first.resume()
    run(first, network, optimizer)
    second, again, restored = build(2.0)
    assert second.resume()
    assert (second.step, second.elapsed) == (first.step, first.elapsed) == (6, 60.0)
    torch.testing.assert_close(again.state_dict(), network.state_dict())
    steps = {float(s["step"]) for s in restored.state_dict()["state"].values()}
    assert steps == {float(first.step)}
    assert second.fraction == 0.5
    run(second, again, restored)
    assert second.step == 12
    assert restored.param_groups[0]["initial_lr"] == 0.1
    assert len(list(tmp_path.glob("checkpoint-*"))) == 4


def kept_at(folder: Path, *steps: int) -> Loop:
    """A loop with checkpoints after these steps."""
    loop = quiet(folder)
    loop.keep(network=nn.Linear(2, 1))
    for loop.step in steps:
        loop.save()
    return loop


def resumed(folder: Path) -> int:
    """The step at which another process goes on."""
    other = quiet(folder)
    other.keep(network=nn.Linear(2, 1))
    assert other.resume()
    return other.step


def test_half_written_checkpoint_is_ignored(tmp_path) -> None:
    kept_at(tmp_path, 5)
    (tmp_path / "checkpoint-00000009.safetensors").write_bytes(b"half")
    (tmp_path / "checkpoint-00000009.pt.partial").write_bytes(b"half")
    assert resumed(tmp_path) == 5


@pytest.mark.parametrize("left", [0, 10, 500])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_read(
    tmp_path, capsys, suffix: str, left: int
) -> None:
    kept_at(tmp_path, 3, 5, 9)
    newest = tmp_path / f"checkpoint-00000009{suffix}"
    newest.write_bytes(newest.read_bytes()[: min(left, newest.stat().st_size - 1)])
    assert resumed(tmp_path) == 5
    assert "checkpoint-00000009" in capsys.readouterr().err
    (tmp_path / "checkpoint-00000005.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"got 2 that cannot be read.*Delete them"):
        resumed(tmp_path)


def test_a_full_disk_costs_no_checkpoint(tmp_path, monkeypatch) -> None:
    loop = kept_at(tmp_path, 3, 5)

    def full(_: object, path: Path) -> None:
        path.write_bytes(b"a part")
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(checkpoints.torch, "save", full)
    loop.step = 9
    with pytest.raises(OSError, match=r"00009.pt must be written whole.*Free some space"):
        loop.save()
    assert resumed(tmp_path) == 5
    assert not list(tmp_path.glob("*.partial"))


def test_log_has_a_header_once_and_refuses_other_columns(tmp_path) -> None:
    loop = quiet(tmp_path)
    loop.log(loss=torch.tensor(0.5, requires_grad=True), right=1)
    loop.step = 7
    quiet(tmp_path).log(loss=0.25, right=0)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [float(row["loss"]) for row in rows] == [0.5, 0.25]
    with pytest.raises(ValueError, match="has columns"):
        loop.log(other=1.0)


def test_schedule_and_due() -> None:
    values = [cosine(f) for f in np.linspace(0, 1, 101)]
    assert max(values) == pytest.approx(1, abs=1e-3)
    assert 0 < values[0] < 0.05
    assert values[-1] == pytest.approx(0, abs=1e-9)
    assert values[3:] == sorted(values[3:], reverse=True)


def test_average_moves_towards_the_network() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    average = Average(network, decay=0.9)
    with torch.no_grad():
        network[0].weight += 1
    before = average.network[0].weight.item()
    average.update(network, step=10**6)
    assert average.network[0].weight.item() - before == pytest.approx(0.1, abs=1e-5)
    average.update(network, step=1)
    assert average.network[0].weight.item() > before + 0.8
    assert not any(p.requires_grad for p in average.network.parameters())


def test_shuffled_covers_each_epoch_and_repeats_by_seed() -> None:
    batches = list(islice(shuffled(10, 5, seed=3), 4))
    assert sorted(np.concatenate(batches[:2])) == list(range(10))
    again = list(islice(shuffled(10, 5, seed=3), 4))
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))
    with pytest.raises(ValueError, match="1 to 10"):
        next(shuffled(10, 11))


def test_prefetch_keeps_order_and_raises_the_threads_error() -> None:
    assert list(prefetch(iter(range(20)))) == list(range(20))

    def broken():
        yield 1
        raise RuntimeError("disk gone")

    items = prefetch(broken())
    assert next(items) == 1
    with pytest.raises(RuntimeError, match="disk gone"):
        next(items)


def test_prefetch_of_an_endless_source_can_be_left() -> None:
    items = prefetch(shuffled(10, 5))
    next(items)
    items.close()
    assert list(items) == []


def test_bytes_to_tensor() -> None:
    images = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1).repeat(3, axis=3)
    assert to_tensor(images)[:, 0, 0, 0].tolist() == [-1, 1]


def test_shift_moves_masks_with_pictures() -> None:
    torch.manual_seed(0)
    masks = torch.arange(64).reshape(1, 8, 8).repeat(8, 1, 1)
    images = (masks / 32 - 1)[:, None].repeat(1, 3, 1, 1)
    moved, labels = augment.shift(images, masks, most=3)
    torch.testing.assert_close(moved[:, 0], labels / 32 - 1)
    assert len({tuple(m.flatten().tolist()) for m in labels}) > 4


def test_colours_and_noise_stay_in_range_and_change_pictures() -> None:
    torch.manual_seed(0)
    images = 2 * torch.rand(8, 3, 16, 16) - 1
    for change in (augment.recolour, augment.degrade):
        changed = change(images)
        assert changed.shape == images.shape
        assert changed.abs().max() <= 1
        assert not torch.equal(changed, images)


def test_hidden_choices_are_neither_trained_nor_counted() -> None:
    z = np.zeros((1, 512), np.float32)
    bald = draw(z, {"hair_style": "bald", "hat": "none", "glasses": "sunglasses"})
    labels, values = identity.targets(bald)
    assert labels["hair_color"].item() == -100
    assert labels["eye_color"].item() == -100
    assert labels["hair_style"].item() == 0
    assert values.shape == (1, len(identity.VALUES))
    shown = draw(z, {"hair_style": "long", "hat": "none", "glasses": "none"})
    labels, _ = identity.targets(shown)
    assert labels["hair_color"].item() >= 0
    assert labels["eye_color"].item() >= 0


def test_verification_counts_pairs_above_the_strangers() -> None:
    people = np.repeat(np.arange(6), 2)
    perfect = np.eye(6)[people]
    assert identity.verification(perfect, people)[0] == 1
    swapped = np.eye(6)[np.tile(np.arange(6), 2)]
    assert identity.verification(swapped, people)[0] == 0
    with pytest.raises(ValueError, match="two pictures"):
        identity.verification(perfect[::2], people[::2])


def test_parser_scores_by_hand() -> None:
    class Fixed:
        def parse(self, x):
            return torch.ones(x.shape[0], *x.shape[2:], dtype=torch.long)

    data = MemorySet(4)
    data.parts[:] = PARTS.index("skin")
    data.parts[:, :16] = PARTS.index("hair")
    held_out = parser.evaluate(Fixed(), data, torch.device("cpu"))
    assert held_out == {"miou": 0.25, "accuracy": 0.5, "iou skin": 0.5, "iou hair": 0.0}


RECIPES = {
    "identity": (
        identity,
        lambda: PortraitJudge(identity.JUDGED, identity.VALUES, (8, 8, 16)),
        "tar at far 1e-3",
    ),
    "parser": (parser, lambda: FaceParser(19, (8, 8)), "miou"),
    "perceptual": (perceptual, PerceptualDistance, "in order"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_trains_evaluates_and_saves(name: str, tmp_path) -> None:
    recipe, build, number = RECIPES[name]
    torch.manual_seed(0)
    network = build()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    loop = quiet(tmp_path, 0.3 / 60)
    trained = recipe.train(MemorySet(), loop, network, batch=8)
    assert loop.step >= 1
    assert any(not torch.equal(v, before[k]) for k, v in trained.state_dict().items())
    held_out = recipe.evaluate(trained, MemorySet(16, split="validation"), loop.device)
    assert all(np.isfinite(v) for v in held_out.values())
    assert 0 <= held_out[number] <= 1
    finish(tmp_path, held_out, trained, tmp_path / "out.safetensors", **loop.facts())
    assert json.loads((tmp_path / "metrics.json").read_text()) == held_out
    assert (tmp_path / "out.safetensors").stat().st_size > 0
    assert len((tmp_path / "log.csv").read_text().splitlines()) >= 2


def test_a_command_trains_measures_and_writes_its_card(tmp_path, clock, monkeypatch) -> None:
    write(tmp_path / "set", "train", 4, size=32)
    seen = []

    def train(data, loop, network, batch):
        seen.append((len(data), network.resolution, batch))
        for _ in loop:
            clock.step(45.0)
        return network

    def measure(network, data, device) -> dict[str, float]:
        return {"pictures": float(len(data))}

    folder, file = str(tmp_path / "set"), tmp_path / "encoder.safetensors"
    words = ["--data", folder, "--validation", folder, "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["encoder", *words, "--weights", str(file), "--device", "cpu"])
    build = partial(LayerwiseEncoder, num_ws=8, resolution=32, width=4, level_size=8)
    command("encoder", "Train it.", build, train, measure, minutes=1, batch=3)
    assert seen == [(4, 32, 3)]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == {"pictures": 4.0}
    card = file.with_suffix(".md").read_text()
    for fact in ("python -m pipelines.training.encoder", "| steps | 2 |", "| pictures | 4 |"):
        assert fact in card


@pytest.mark.parametrize("units", [True, False])
def test_bfloat16_where_the_processor_multiplies_it(monkeypatch, units):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": units}, raising=False)
    with autocast(torch.device("cpu")):
        assert torch.is_autocast_enabled("cpu") == units
    with autocast(torch.device("cpu"), wanted=False):
        assert not torch.is_autocast_enabled("cpu")
