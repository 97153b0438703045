"""What the benchmark of EditGAN's buffer says of pictures that are made up."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from pipelines.networks.perceptual import PerceptualDistance
from tests.benchmarks.edit_buffer import EQUAL, figures, pooled, summary


def test_what_changes_inside_alone_is_no_change_outside() -> None:
    torch.manual_seed(0)
    pipeline = SimpleNamespace(perceptual=PerceptualDistance().eval().requires_grad_(False))
    source = torch.rand(2, 3, 32, 32) * 2 - 1
    inside = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    inside[..., 8:16, 8:16] = True
    within = torch.where(inside, source.clamp(-0.5, 0.5) * -1, source)
    without = torch.where(inside, source, source * 0.9)
    kept = figures(pipeline, within, source, within, inside)
    assert kept["PSNR outside"].tolist() == [pytest.approx(EQUAL)] * 2
    assert kept["LPIPS outside"].abs().max() < 1e-6 and kept["LPIPS to truth"].abs().max() < 1e-6
    spilt = figures(pipeline, without, source, within, inside)
    assert spilt["PSNR outside"].max() < 40 and spilt["LPIPS outside"].min() > 0
    assert spilt["PSNR to truth inside"].max() < kept["PSNR to truth inside"].min()


def test_differences_are_to_the_largest_buffer_with_two_standard_errors() -> None:
    rows = {
        "no edit": {"PSNR to truth": torch.tensor([20.0, 20.0])},
        "1 px": {"PSNR to truth": torch.tensor([22.0, 26.0])},
        "5 px": {"PSNR to truth": torch.tensor([21.0, 22.0])},
    }
    found = summary(pooled([rows]))
    assert found["no edit"] == {"PSNR to truth": 20.0} and found["5 px"]["PSNR to truth"] == 21.5
    assert found["1 px"]["PSNR to truth, difference"] == pytest.approx(2.5)
    spread = torch.tensor([1.0, 4.0]).std().item()
    assert found["1 px"]["PSNR to truth, two errors"] == pytest.approx(2 * spread / math.sqrt(2))
