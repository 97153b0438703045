"""The face parser."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from pipelines.networks.parser import FaceParser


def tiny() -> FaceParser:
    torch.manual_seed(0)
    return FaceParser(classes=3, channels=(8, 8, 16))


def portraits(*size: int) -> torch.Tensor:
    return torch.linspace(-1, 1, 2 * 3 * size[0] * size[1]).reshape(2, 3, *size)


@pytest.mark.parametrize("size", [(32, 32), (16, 24), (34, 50)])
def test_one_logit_a_class_and_pixel(size: tuple[int, int]) -> None:
    parser = tiny().eval()
    assert parser(portraits(*size)).shape == (2, 3, *size)
    labels = parser.parse(portraits(*size))
    assert labels.shape == (2, *size)
    assert labels.max() < 3


def test_fixed_slice() -> None:
    logits = tiny().eval()(portraits(32, 32))
    torch.testing.assert_close(
        logits[0, :, 8, 8], torch.tensor([0.38019, 0.18500, -0.14402]), atol=1e-4, rtol=0
    )


def test_gradient_reaches_the_picture() -> None:
    parser = tiny().eval().requires_grad_(False)
    x = portraits(32, 32).requires_grad_()
    F.cross_entropy(parser(x), torch.zeros(2, 32, 32, dtype=torch.long)).backward()
    assert (x.grad.abs().sum(dim=(1, 2, 3)) > 0).all()


def test_learns_to_tell_single_pixels_apart() -> None:
    """A checkerboard of one-pixel squares needs the information of every pixel."""
    parser = tiny().train()
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2
    x = (2.0 * board - 1).expand(4, 3, 32, 32) + 0.2 * torch.randn(4, 3, 32, 32)
    masks = board.expand(4, 32, 32).contiguous()
    optimizer = torch.optim.Adam(parser.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(parser(x), masks).backward()
        optimizer.step()
    assert (parser.parse(x) == masks).float().mean() > 0.95


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 4, 32, 32), (1, 3, 33, 32), (3, 32, 32)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="even size"):
        tiny()(torch.zeros(shape))


def test_full_size_fits_the_budget() -> None:
    weights = sum(p.numel() for p in FaceParser().parameters())
    assert 0.9e6 < weights < 1.5e6
