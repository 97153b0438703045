"""Reduced-rank regression: what it finds, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from pipelines.training.least_squares import reduced_rank


def plane(count: int, inputs: int, outputs: int, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs, and outputs that depend on them by a matrix of a rank, and a constant."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(count, inputs, generator=random) + 2
    a, b = (torch.randn(*shape, generator=random) for shape in ((inputs, rank), (rank, outputs)))
    return x, x @ a @ b - 3


@pytest.mark.parametrize(("count", "inputs", "outputs"), [(80, 6, 9), (20, 40, 9), (20, 40, 50)])
def test_a_matrix_of_low_rank_is_found(count: int, inputs: int, outputs: int) -> None:
    x, y = plane(count, inputs, outputs, rank=3)
    inward, outward, offset = reduced_rank(x, y, 3, 1e-7)
    assert inward.shape == (3, inputs) and outward.shape == (outputs, 3)
    between = x @ inward.T
    assert (between @ outward.T + offset - y).abs().max() < 2e-2 * y.abs().max()
    assert between.var(0, unbiased=False) == pytest.approx(torch.ones(3), abs=1e-3)


def test_fewer_directions_are_the_strongest() -> None:
    x, y = plane(200, 8, 8, rank=8)
    left = []
    for rank in range(1, 9):
        inward, outward, offset = reduced_rank(x, y, rank, 1e-7)
        left.append((x @ inward.T @ outward.T + offset - y).square().sum().item())
    exact = torch.linalg.svdvals(y - y.mean(0)).square()
    assert left == pytest.approx(
        [exact[rank:].sum().item() for rank in range(1, 9)], rel=1e-2, abs=1
    )


def test_more_directions_than_data_have_add_nothing() -> None:
    """Four samples differ in three directions; the fourth is rounding."""
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, 40, generator=random), torch.randn(4, 50, generator=random)
    inward, outward, offset = reduced_rank(x, y, 4, 1e-4)
    assert (x @ inward.T @ outward.T + offset - y).abs().max() < 1e-2


def test_a_penalty_keeps_noise_small() -> None:
    x, _ = plane(30, 60, 4, rank=2)
    noise = torch.randn(30, 4, generator=torch.Generator().manual_seed(1))
    sizes = [reduced_rank(x, noise, 2, ridge) for ridge in (1e-6, 10.0)]
    free, held = ((found.outward @ found.inward).norm() for found in sizes)
    assert held < 0.2 * free


@pytest.mark.parametrize("rank", [0, 7])
def test_a_rank_that_data_do_not_have_is_refused(rank: int) -> None:
    with pytest.raises(ValueError, match="rank must lie in 1..6"):
        reduced_rank(torch.randn(20, 6), torch.randn(20, 9), rank, 0.1)
