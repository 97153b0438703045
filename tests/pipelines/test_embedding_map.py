"""The map of an embedding: its axes, and where a result stands among samples."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from pipelines.embedding_map import EmbeddingMap


def spread(count: int = 200, dims: int = 16) -> torch.Tensor:
    """Unit vectors around one direction, that differ most along the second number."""
    random = torch.Generator().manual_seed(0)
    x = 0.02 * torch.randn(count, dims, generator=random)
    x[:, 0] += 1
    x[:, 1] += 0.3 * torch.randn(count, generator=random)
    return F.normalize(x, dim=1)


def test_the_first_axis_is_where_samples_differ_most() -> None:
    e = spread()
    found = EmbeddingMap.of(e)
    assert found.axes[0, 1].abs() > 0.95 and found.explained[0] > 0.8
    assert found.axes @ found.axes.T == pytest.approx(torch.eye(2).numpy(), abs=1e-5)
    placed = found.locate(e[:1])
    assert placed.samples == pytest.approx(found.at(e)) and placed.text is None
    assert placed.samples.mean(0) == pytest.approx([0, 0], abs=1e-5)
    assert placed.image == pytest.approx(placed.samples[0], abs=1e-5)
    assert abs(placed.samples[:, 0]).mean() > 3 * abs(placed.samples[:, 1]).mean()


def test_nearer_counts_the_samples_that_are_farther_from_the_words() -> None:
    e = spread()
    found, words = EmbeddingMap.of(e), F.normalize(torch.eye(16)[1:2] + 0.5, dim=1)
    order = (e @ words[0]).argsort()
    assert found.locate(e[order[-1:]], words).nearer == pytest.approx(1 - 1 / len(e))
    assert found.locate(e[order[:1]], words).nearer == 0
    assert found.locate(e[:1], words, words.expand(3, -1)).cosine == pytest.approx(1)
    assert found.locate(e[:1], words).cosine is None
