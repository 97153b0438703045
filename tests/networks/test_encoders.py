"""The layer-wise encoder: its size, its start and which layers read what."""

from __future__ import annotations

import pytest
import torch

from pipelines.networks.encoders import LEVELS, LayerwiseEncoder


@pytest.fixture
def encoder() -> LayerwiseEncoder:
    torch.manual_seed(0)
    return LayerwiseEncoder(num_ws=8, resolution=32, width=8, level_size=16).eval()


def test_a_code_for_each_layer(encoder: LayerwiseEncoder) -> None:
    assert encoder(torch.randn(2, 3, 32, 32)).shape == (2, 8, 512)


def test_starts_near_the_mean_code(encoder: LayerwiseEncoder) -> None:
    encoder.w_mean.fill_(5.0)
    assert (encoder(torch.randn(1, 3, 32, 32)) - 5).abs().mean() < 0.3


def test_coarse_layers_read_the_deepest_features_alone(encoder: LayerwiseEncoder) -> None:
    x = torch.randn(1, 3, 32, 32)
    before = encoder(x)
    torch.nn.init.zeros_(encoder.levels[LEVELS - 1].project.weight)  # of the shallowest features
    moved = (encoder(x) - before).abs().amax(dim=(0, 2)) > 0
    assert not moved[:6].any() and moved[6:].all()


def test_gradients_reach_the_picture(encoder: LayerwiseEncoder) -> None:
    x = torch.randn(1, 3, 32, 32, requires_grad=True)
    encoder(x).square().sum().backward()
    assert x.grad.abs().sum() > 0


def test_the_default_is_small() -> None:
    parameters = sum(p.numel() for p in LayerwiseEncoder().parameters())
    assert parameters < 6.1e6


@pytest.mark.parametrize("arguments", [{"resolution": 100}, {"resolution": 16}, {"num_ws": 2}])
def test_impossible_arguments(arguments: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        LayerwiseEncoder(**arguments)


def test_wrong_size(encoder: LayerwiseEncoder) -> None:
    with pytest.raises(ValueError, match="picture must be"):
        encoder(torch.randn(1, 3, 64, 64))
