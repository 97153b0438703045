"""The recipes of in-domain inversion: losses, separators and layer lists with known answers."""

from __future__ import annotations

from argparse import Namespace

import pytest
import torch
from torch.nn import functional as F

import weights
from pipelines.networks.discriminator import Discriminator
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from pipelines.training.boundaries import accuracy, choose_layers, conditioned, separate
from pipelines.training.conventional_encoder import sample, train
from pipelines.training.indomain_encoder import GAMMA, LAZY, discriminator_loss, encoder_loss
from pipelines.training.loop import Loop

CHANNELS = {4: 8, 8: 8, 16: 8, 32: 8}


def planted(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes, an attribute that one direction decides, and the direction."""
    random = torch.Generator().manual_seed(seed)
    w = torch.randn(4000, 32, generator=random, dtype=torch.float64)
    n = F.normalize(torch.ones(32, dtype=torch.float64), dim=0)
    noise = torch.randn(4000, generator=random, dtype=torch.float64)
    return w, w @ n + 0.1 * noise, n


def test_the_separator_finds_the_planted_direction() -> None:
    (w, y, n), (w_test, y_test, _) = planted(0), planted(1)
    found = separate(w, y, w_test, y_test)
    assert found @ n > 0.99
    assert found.norm() == pytest.approx(1)
    assert accuracy(found, w, y, w_test, y_test, 0.0) > 0.95
    across = F.normalize(torch.eye(32, dtype=torch.float64)[0] - n * n[0], dim=0)
    assert abs(accuracy(across, w, y, w_test, y_test, 0.0) - 0.5) < 0.05


def test_conditioned_normals_are_orthogonal_to_the_others() -> None:
    normals = F.normalize(torch.randn(3, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    for i, n in enumerate(conditioned(normals)):
        others = torch.cat([normals[:i], normals[i + 1 :]])
        assert (others @ n).abs().max() < 1e-5
        assert n.norm() == pytest.approx(1)
        assert n @ normals[i] > 0


@pytest.mark.parametrize(
    ("shares", "chosen"),
    [((0.05, 0.9, 0.03, 0.02), [1]), ((0.3, 0.05, 0.6, 0.05), [0, 2]), ((0.25,) * 4, [0, 1, 2, 3])],
)
def test_the_fewest_layers_with_most_of_the_change(shares: tuple, chosen: list) -> None:
    weights = torch.tensor(shares)

    def effect(n: torch.Tensor, layers: torch.Tensor, distance: float) -> float:
        return -3 * (weights * layers).sum().item()  # a falling attribute counts as well

    layers = choose_layers(effect, torch.ones(8), 4, 1.0)
    assert layers.nonzero().flatten().tolist() == chosen


def test_the_encoder_is_pulled_by_three_terms() -> None:
    torch.manual_seed(0)
    x, rebuilt = torch.rand(2, 2, 3, 32, 32)
    perceptual, discriminator = PerceptualDistance(), Discriminator(32, CHANNELS)
    loss, terms = encoder_loss(x, rebuilt, perceptual, discriminator, (2.0, 0.5))
    expected = F.mse_loss(rebuilt, x) + 2 * perceptual(rebuilt, x).mean()
    expected = expected + 0.5 * F.softplus(-discriminator(rebuilt)).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    without, terms = encoder_loss(x, rebuilt, perceptual, None, (2.0, 0.5))
    assert terms["adversarial"] == 0 and without < loss


def test_the_penalty_is_half_gamma_times_the_squared_slope() -> None:
    class Plane(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x.sum((1, 2, 3))[:, None]

    x = torch.zeros(2, 3, 4, 4)
    plain, penalised = (discriminator_loss(Plane(), x, x, p).item() for p in (False, True))
    assert penalised - plain == pytest.approx(LAZY * GAMMA / 2 * 4 * 48, rel=1e-5)


def test_some_samples_mix_two_codes_at_one_layer() -> None:
    torch.manual_seed(0)
    generator = Generator(32, mapping_layers=1, channels=CHANNELS)
    ws, x = sample(generator, 32, torch.device("cpu"), torch.Generator().manual_seed(0))
    assert x.shape == (32, 3, 32, 32)
    changes = (ws[:, 1:] != ws[:, :-1]).any(2).sum(1)
    assert set(changes.tolist()) == {0, 1}


def test_the_conventional_encoder_goes_on_from_a_file(tmp_path) -> None:
    generator = Generator(32, mapping_layers=1, channels=CHANNELS)
    start = LayerwiseEncoder(generator.num_ws, 32, width=4, level_size=8)
    torch.nn.init.constant_(start.heads[0].bias, 0.5)
    weights.save(start, tmp_path / "start.safetensors", {})
    biases = []
    for file in (tmp_path / "start.safetensors", None):
        arg = Namespace(start=file, width=4, batch=2, rate=0.0)  # what it starts from stays
        loop = Loop(tmp_path / f"run-{file is None}", 1e-5, "cpu", progress=False)
        biases.append(train(arg, loop, generator).heads[0].bias.unique().tolist())
    assert biases == [[0.5], [0.0]]
