"""3 x 3 convolution by minimal filtering, against the direct one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pipelines.networks import winograd
from pipelines.networks.modulation import FrozenLayer, inner, modulated_layer
from tests.benchmarks.synthesis_speed import compare


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def close(ours: torch.Tensor, exact: torch.Tensor) -> bool:
    """Rounding alone tells them apart, by the largest entry."""
    ours, exact = ours.detach(), exact.detach()
    return float((ours - exact).abs().max()) < 5e-5 * float(exact.abs().max())


@pytest.mark.parametrize("batch, height, width", [(1, 4, 4), (2, 8, 20), (3, 24, 12)])
@pytest.mark.parametrize("strip", [1, 4000, winograd.STRIP])
@pytest.mark.parametrize("biased", [False, True])
def test_equals_the_direct_convolution(monkeypatch, batch, height, width, strip, biased):
    monkeypatch.setattr(winograd, "STRIP", strip)
    x, weight = torch.randn(batch, 5, height, width), torch.randn(7, 5, 3, 3)
    bias = torch.randn(7) if biased else None
    exact = F.conv2d(
        x.double(), weight.double(), None if bias is None else bias.double(), padding=1
    )
    assert close(winograd.convolve(x, weight, bias).double(), exact)


def test_pays_for_wide_layers_of_large_float32_features_alone():
    weight = torch.randn(128, 128, 3, 3)

    def pays(*shape: int, weight=weight, dtype=torch.float32):
        return winograd.pays(torch.zeros(1, 1, 1, 1, dtype=dtype).expand(shape), weight)

    assert pays(1, 128, 256, 256)
    assert pays(8, 128, 32, 32)
    assert not pays(1, 128, 32, 32)  # the weights' transform would cost more
    assert not pays(1, 128, 256, 258)
    assert not pays(1, 128, 256, 256, dtype=torch.bfloat16)
    assert not pays(1, 48, 256, 256, weight=torch.randn(48, 48, 3, 3))


@pytest.mark.parametrize("batch", [1, 2])
def test_a_frozen_layer_takes_it_both_ways(monkeypatch, batch):
    sides = []
    direct = winograd.convolve
    monkeypatch.setattr(
        winograd, "convolve", lambda x, *a: (sides.append(x.shape), direct(x, *a))[1]
    )
    weight, bias, noise = torch.randn(88, 96, 3, 3) / 30, torch.randn(88), torch.randn(1, 1, 96, 96)
    inputs = [t.requires_grad_() for t in (torch.randn(batch, 96, 96, 96), torch.randn(batch, 96))]
    inputs.append((torch.rand(batch, 88) + 0.5).requires_grad_())
    frozen = modulated_layer(*inputs, weight, bias, noise)
    assert isinstance(frozen.grad_fn, FrozenLayer._backward_cls)
    direction = torch.randn_like(frozen)
    ours = torch.autograd.grad((frozen * direction).sum(), inputs)
    assert [shape[1] for shape in sides] == [96, 88]
    trained = modulated_layer(*inputs, weight.requires_grad_(), bias, noise)
    theirs = torch.autograd.grad((trained * direction).sum(), inputs)
    assert len(sides) == 2
    assert close(frozen, trained)
    assert all(close(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("side", [3, 1200])
def test_inner_products_of_channels(side):
    a, b = torch.randn(2, 3, side, side), torch.randn(2, 3, side, side)
    exact = (a.double() * b.double()).sum((2, 3))
    torch.testing.assert_close(inner(a, b).double(), exact, rtol=1e-4, atol=1e-2)


def test_a_wide_network_equals_the_grouped_formulation(monkeypatch):
    taken = []
    pays = winograd.pays
    monkeypatch.setattr(winograd, "pays", lambda *a: (taken.append(pays(*a)), taken[-1])[1])
    figures = compare(64, {4: 32, 8: 32, 16: 32, 32: 64, 64: 128}, repeats=1)
    assert sum(taken) == 4  # the last layer, forwards and backwards, in both passes
    assert figures["image_difference"] < 1e-4 * figures["image_deviation"]
    assert figures["gradient_difference"] < 1e-4
