"""The perceptual distance, and distances between sets of features."""

from __future__ import annotations

import socket

import pytest
import torch

from pipelines.networks.perceptual import (
    STAGE_CHANNELS,
    PerceptualDistance,
    frechet_distance,
    kernel_distance,
)


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


def test_frechet_distance_of_equal_sets_is_zero() -> None:
    a = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_shifted_and_scaled_sets() -> None:
    """N(m, C) against N(m + d, k^2 C) is |d|^2 + (k - 1)^2 tr C, exactly for these samples."""
    a = torch.randn(200, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    move = torch.arange(6, dtype=torch.float64)
    assert frechet_distance(a, a + move) == pytest.approx(55.0, rel=1e-6)
    centred = a - a.mean(dim=0)
    trace = torch.cov(a.T).trace().item()
    assert frechet_distance(centred, 3 * centred + move) == pytest.approx(55.0 + 4 * trace)


def test_frechet_distance_with_fewer_rows_than_features() -> None:
    a = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-4)
    assert frechet_distance(a, a + 1) == pytest.approx(32.0, rel=1e-4)


def test_kernel_distance_by_hand() -> None:
    """With d = 1: k(0, 0) = 1, k(1, 1) = 8, k(0, 1) = 1, so 1 + 8 - 2."""
    assert kernel_distance(torch.zeros(3, 1), torch.ones(2, 1)) == pytest.approx(7.0)


def test_kernel_distance_of_like_sets_is_about_zero() -> None:
    a, b = torch.randn(2, 400, 8, generator=torch.Generator().manual_seed(0)).unbind()
    assert abs(kernel_distance(a, b)) < 0.05
    assert kernel_distance(a, b + 1) > 1


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance])
def test_sets_of_different_width_are_refused(measure) -> None:
    with pytest.raises(ValueError, match=r"got \(4, 8\) and \(4, 7\)"):
        measure(torch.zeros(4, 8), torch.zeros(4, 7))
