"""The recipes of SAM inversion: hard portraits, inversions kept on disk, regression, encoders."""

from __future__ import annotations

import contextlib
from argparse import Namespace

import numpy as np
import pytest
import torch

import weights
from examples.clay.parameters import PROPS, SEEDS
from pipelines.networks.encoders import GuidedEncoder, LayerwiseEncoder, OffsetEncoder
from pipelines.sam_inversion import SAMInversion
from pipelines.training import baseline_encoders as baselines
from pipelines.training import hard_portraits as hard
from pipelines.training import invertibility, sam_encoders, single_latents
from pipelines.training.loop import Loop
from tests.pipelines.test_sam_inversion import LATENTS, LAYERS, SIZE, build


@pytest.fixture(scope="module")
def pipeline() -> SAMInversion:
    return build()


@pytest.fixture
def rendered(monkeypatch) -> list[int]:
    """Portraits that cost nothing: noise, with a prop in a corner; the numbers asked for."""
    asked: list[int] = []

    def portraits(split: str, indices, size: int) -> hard.HardPortraits:
        asked.extend(indices)
        images = [np.random.RandomState(i).randint(0, 255, (size, size, 3)) for i in indices]
        classes = np.ones((len(images), size, size), np.uint8)
        classes[:, :4, :4] = hard.PROP_CLASS
        kinds = np.array([hard.KINDS.index(hard.kind_of(i)) for i in indices], np.uint8)
        return hard.HardPortraits(np.stack(images).astype(np.uint8), classes, kinds)

    monkeypatch.setattr(hard, "hard_portraits", portraits)
    monkeypatch.setattr(single_latents, "hard_portraits", portraits)
    return asked


def test_half_of_the_portraits_are_hard_and_every_prop_occurs() -> None:
    kinds = [hard.kind_of(i) for i in range(96)]
    assert kinds.count("plain") == 48 and set(kinds) == set(hard.KINDS)
    staged = [hard.staging(i) for i in range(96)]
    assert {s.get("prop", "none") for s in staged} == set(PROPS)
    for kind, s in zip(kinds, staged, strict=True):
        assert ("prop" in s) is ("prop" in kind) and ("focus" in s) is ("clutter" in kind)
    assert all(first in SEEDS[split] for split, first in hard.FIRST.items())


def test_hard_portraits_are_kept(rendered, tmp_path) -> None:
    found = [hard.kept(tmp_path / "x" / "a.npz", "train", 4, SIZE) for _ in range(2)]
    assert rendered == [0, 1, 2, 3]
    assert np.array_equal(found[0].images, found[1].images)
    assert found[1].props[:, :4, :4].all() and found[1].props.sum() == 4 * 16
    hard.kept(tmp_path / "x" / "a.npz", "train", 5, SIZE)
    assert rendered[4:] == [0, 1, 2, 3, 4]


def test_inversions_are_kept_and_go_on(pipeline, rendered, tmp_path, monkeypatch) -> None:
    single_latents.invert_all(pipeline, tmp_path, 4, batch=2, steps=2)
    assert rendered == [0, 1, 2, 3]
    (tmp_path / "00002-00004.safetensors").unlink()
    single_latents.invert_all(pipeline, tmp_path, 4, batch=2, steps=2)
    assert rendered[4:] == [2, 3]
    data = single_latents.read_all(pipeline, tmp_path, steps=2)
    assert data.images.shape == (4, SIZE, SIZE, 3)
    assert data.errors.shape == (4, len(LATENTS), SIZE, SIZE) and (data.errors >= 0).all()
    assert data.psnr.shape == (4, len(LATENTS))
    with pytest.raises(ValueError, match="of this generator in 3 steps"):
        single_latents.read_all(pipeline, tmp_path, steps=3)


def test_errors_are_those_of_single_latents(monkeypatch) -> None:
    pipeline = build(encoders=None)  # they are trained after it
    whole = contextlib.nullcontext()
    monkeypatch.setattr(single_latents, "autocast", lambda device: whole)
    x = torch.rand(1, 3, SIZE, SIZE)
    errors, _ = single_latents.single_latents(pipeline, x, steps=10)
    w, _, _ = pipeline.project(x, torch.zeros((1, SIZE, SIZE), dtype=torch.uint8), steps=10)
    rebuilt = pipeline.generator.synthesis(w).clamp(-1, 1)
    expected = pipeline.perceptual(rebuilt, x, spatial=True)
    assert torch.allclose(errors[:, :1], expected, atol=1e-3)


def test_a_feature_latent_starts_at_the_picture_of_its_codes_and_changes_what_follows(
    pipeline,
) -> None:
    x = torch.rand(1, 3, SIZE, SIZE)
    w = pipeline.encoder(x)
    first = pipeline.generator.synthesis(w)
    distance = []
    for name in pipeline.latents:
        _, start = single_latents.in_latent(pipeline, x, w, name, steps=0)
        assert torch.allclose(start, first, atol=1e-4), name
        _, moved = single_latents.in_latent(pipeline, x, w, name, steps=15)
        distance.append((moved - x).square().mean().item())
    assert max(distance) < (first - x).square().mean().item()


def test_feature_latents_go_on_from_what_layer_wise_codes_reached(pipeline, monkeypatch) -> None:
    given, inner = {}, single_latents.in_latent

    def watched(pipeline, x, w, name, steps):
        given[name] = w
        return inner(pipeline, x, w, name, steps)

    monkeypatch.setattr(single_latents, "in_latent", watched)
    x = torch.rand(1, 3, SIZE, SIZE)
    single_latents.single_latents(pipeline, x, steps=5)
    first, *others = (given[name] for name in pipeline.latents)
    assert torch.equal(first, pipeline.encoder(x)) and not torch.equal(first, others[0])
    assert all(torch.equal(others[0], codes) for codes in others)


def test_the_network_learns_where_errors_are(pipeline, tmp_path) -> None:
    """Pictures are black with a white square, whose latents have another error."""
    images = np.zeros((32, SIZE, SIZE, 3), np.uint8)
    for i, (row, column) in enumerate(np.random.RandomState(0).randint(0, 16, (32, 2))):
        images[i, row : row + 16, column : column + 16] = 255
    inside = torch.from_numpy(images[..., 0] > 0).float()[:, None]
    errors = 0.2 + inside * torch.tensor([0.8, 0.6, 0.4, 0.2])[:, None, None]
    data = single_latents.Inverted(images, errors, torch.zeros(32, 4))
    held_out, kept = data.rows(True), data.rows(False)
    assert len(held_out) == 4 and not set(held_out) & set(kept)
    loop = Loop(tmp_path, 1, "cpu", progress=False, steps=60)
    net = invertibility.fresh(LATENTS, errors)
    start = torch.cat(list(net.eval()(torch.zeros(1, 3, SIZE, SIZE)).values()), 1)
    assert torch.allclose(start.mean((0, 2, 3)), errors.mean((0, 2, 3)), atol=1e-5)
    net = invertibility.train(data, net, loop, batch=8, rate=3e-3)
    found = invertibility.evaluate(pipeline, net, data)
    assert max(found["unexplained"].values()) < 0.9
    assert 0 <= found["same latent"] <= 1
    assert set(found["error in W+"]) <= set(hard.KINDS)


def test_encoders_learn_to_rebuild(pipeline, rendered, tmp_path) -> None:
    data = hard.kept(tmp_path / "a.npz", "train", 4, SIZE)
    ours = build()
    loop = Loop(tmp_path / "run", 1, "cpu", progress=False, steps=25)
    x = invertibility.to_tensor(data.images)
    chosen = torch.full((4, SIZE, SIZE), 3, dtype=torch.uint8)
    before, terms = sam_encoders.encoder_loss(ours, x, chosen, ours.tuning)
    assert terms["feature"] > 0 and terms["rebuilt"] < before
    ours.encoders = sam_encoders.train(ours, data, loop, batch=4, rate=3e-3)
    after, _ = sam_encoders.encoder_loss(ours, x, chosen, ours.tuning)
    assert after < before
    numbers = sam_encoders.evaluate(ours, {"plain": data.images[:1]})
    assert set(numbers) == {"psnr, plain", "lpips, plain"}


def test_fresh_encoders_fit_their_generator(pipeline) -> None:
    found = sam_encoders.fresh(pipeline)
    assert found.names == tuple(pipeline.blocks.values())
    x, y = torch.rand(2, 1, 3, SIZE, SIZE)
    w, deltas = found.eval()(x, y, torch.rand(1, 4, SIZE, SIZE))
    assert w.shape == (1, LAYERS, 512)
    shapes = {name: tuple(d.shape[1:]) for name, d in deltas.items()}
    assert shapes == {"b4.conv1": (16, 4, 4), "b8.conv1": (16, 8, 8), "b16.conv1": (8, 16, 16)}


@pytest.mark.parametrize("kind", baselines.KINDS)
def test_baseline_encoders_learn(pipeline, tmp_path, monkeypatch, kind: str) -> None:
    images = np.random.RandomState(0).randint(0, 255, (4, SIZE, SIZE, 3)).astype(np.uint8)

    class Few:
        def __init__(self) -> None:
            self.images = images

        def __len__(self) -> int:
            return len(images)

    monkeypatch.setattr(baselines, "pictures", lambda folder, side: Few())
    monkeypatch.setattr(baselines, "WIDTH", 4)
    monkeypatch.setattr(baselines, "LEVEL_SIZE", 16)
    arg = Namespace(
        kind=kind,
        data=None,
        start=None,
        begin=None,
        batch=4,
        rate=2e-3,
        passes=2,
        perceptual_weight=0.25,
    )
    fresh = baselines.fresh(kind, pipeline.generator, torch.device("cpu")).eval()
    device, parts = torch.device("cpu"), (pipeline.generator, pipeline.perceptual, Few())
    before = baselines.evaluate(kind, fresh, *parts, device)
    loop = Loop(tmp_path, 1, "cpu", progress=False, steps=25)
    trained = baselines.train(arg, loop, pipeline.generator, pipeline.perceptual)
    after = baselines.evaluate(kind, trained, *parts, device)
    assert after["psnr"] > before["psnr"]
    weights.save(trained, tmp_path / "trained.safetensors", {})
    network = {"e4e": OffsetEncoder, "restyle": GuidedEncoder}[kind]
    again = weights.load_file(network, tmp_path / "trained.safetensors")
    assert again.num_ws == LAYERS


@torch.no_grad()
def test_baseline_encoders_begin_with_a_conventional_encoder(pipeline) -> None:
    torch.manual_seed(1)
    begin = LayerwiseEncoder(LAYERS, SIZE, 4, 16).eval()
    begin.w_mean.copy_(baselines.mean_code(pipeline.generator, torch.device("cpu")))
    x, guide = torch.rand(2, 2, 3, SIZE, SIZE) * 2 - 1
    e4e, revising = (
        baselines.fresh(kind, pipeline.generator, torch.device("cpu"), begin).eval()
        for kind in baselines.KINDS
    )
    assert torch.allclose(revising(x, guide), begin(x) - begin.w_mean, atol=1e-5)
    assert torch.allclose(e4e(x), begin(x)[:, :1].expand_as(e4e(x)), atol=1e-5)


def test_offsets_are_let_in_one_after_another() -> None:
    counts = [baselines.let_in(fraction, LAYERS) for fraction in (0, 0.1, 0.25, 0.5, 0.9)]
    assert counts == [0, 1, 4, LAYERS - 1, LAYERS - 1]


def test_the_critics_penalty_is_half_gamma_times_the_squared_slope() -> None:
    critic = torch.nn.Linear(4, 1)
    codes = torch.zeros(2, 4)
    plain, penalised = (
        baselines.critic_loss(critic, codes, codes, p).item() for p in (False, True)
    )
    expected = baselines.LAZY * baselines.GAMMA / 2 * critic.weight.square().sum().item()
    assert penalised - plain == pytest.approx(expected, rel=1e-4)
