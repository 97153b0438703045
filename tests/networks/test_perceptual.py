"""The perceptual distance."""

from __future__ import annotations

import socket

import pytest
import torch

from pipelines.networks.perceptual import STAGE_CHANNELS, PerceptualDistance


@pytest.fixture(scope="module")
def distance() -> PerceptualDistance:
    torch.manual_seed(0)
    return PerceptualDistance()


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return tuple(2 * torch.rand(2, 3, 48, 48, generator=random) - 1 for _ in range(2))


def test_building_it_downloads_nothing(monkeypatch) -> None:
    def refuse(*_args, **_options) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    PerceptualDistance()


def test_equals_the_package(distance, pair) -> None:
    torch.testing.assert_close(distance(*pair), distance.lpips(*pair).flatten())


def test_spatial_equals_the_package_and_shares_the_trunk(distance, pair) -> None:
    found = distance(*pair, spatial=True)
    assert found.shape == (2, 1, 48, 48)
    distance.lpips.spatial = True
    try:
        torch.testing.assert_close(found, distance.lpips(*pair))
    finally:
        distance.lpips.spatial = False


def test_is_zero_for_equal_pictures_and_symmetric(distance, pair) -> None:
    x, y = pair
    assert distance(x, x).abs().max() == 0
    torch.testing.assert_close(distance(x, y), distance(y, x))
    assert (distance(x, y) > 0).all()


def test_ready_stages_give_the_same_distance(distance, pair) -> None:
    x, y = pair
    stages = distance.stages(y)
    assert tuple(s.shape[1] for s in stages) == STAGE_CHANNELS
    torch.testing.assert_close(distance(x, stages), distance(x, y))


def test_gradients_flow_to_pictures_and_not_to_weights(distance, pair) -> None:
    x = pair[0].clone().requires_grad_()
    distance(x, pair[1]).sum().backward()
    assert (x.grad.abs().sum(dim=(1, 2, 3)) > 0).all()
    assert all(p.grad is None for p in distance.parameters())


def test_gradient_is_finite_where_all_features_are_zero(pair) -> None:
    dead = PerceptualDistance()
    with torch.no_grad():
        for weight in dead.lpips.net.parameters():
            weight.zero_()
    x = pair[0].clone().requires_grad_()
    dead(x, pair[1]).sum().backward()
    assert x.grad.isfinite().all()


def test_features_and_saved_weights(distance, pair, tmp_path) -> None:
    distance.save_pretrained(tmp_path)
    again = PerceptualDistance.from_pretrained(tmp_path)
    assert again.features(pair[0]).shape == (2, 512)
    torch.testing.assert_close(again.features(pair[0]), distance.features(pair[0]))
    torch.testing.assert_close(again(*pair), distance(*pair))


def test_too_small_pictures_are_refused(distance) -> None:
    with pytest.raises(ValueError, match="32 pixels"):
        distance.features(torch.zeros(1, 3, 16, 16))
