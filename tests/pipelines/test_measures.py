"""How good a result is: measures of pictures and of sets of features."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from pipelines.images import as_tensor, box_mask
from pipelines.measures import (
    WIDEST,
    equal_blur,
    frechet_distance,
    identity,
    inside,
    kernel_distance,
    ms_ssim,
    psnr,
)
from pipelines.networks.judge import PortraitJudge

SIDE = 32


def test_decibels() -> None:
    x, y = torch.zeros(2, 3, SIDE, SIDE), torch.zeros(2, 3, SIDE, SIDE)
    y[0, ..., : SIDE // 2] = 0.2
    left = box_mask((0, 0, 0.5, 1), SIDE)
    assert psnr(x, y, left).tolist() == [pytest.approx(20, abs=1e-3), math.inf]
    assert psnr(x, y)[0].item() == pytest.approx(20 + 10 * np.log10(2), abs=1e-3)
    assert psnr(x, y, 1 - left)[0].item() == math.inf
    each = torch.cat([left, 1 - left])
    assert psnr(x, y.flip(3), each).tolist() == [math.inf, math.inf]


def test_identity_is_the_cosine_of_two_embeddings() -> None:
    torch.manual_seed(0)
    judge = PortraitJudge({"glasses": 2}, ("age",), channels=(4, 8, 8), embedding=16).eval()
    x, y = (torch.rand(2, 3, SIDE, SIDE) * 2 - 1 for _ in range(2))
    expected = (judge(x).embedding * judge(y).embedding).sum(1)
    torch.testing.assert_close(identity(judge, x, y), expected)
    assert identity(judge, x, x).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_inside_is_below_ninety_nine_in_a_hundred() -> None:
    calibration = torch.linspace(0, 1, 101)
    told = inside(torch.tensor([0.5, 0.98, 0.995]), calibration)
    assert told.tolist() == [True, True, False]


def test_a_blur_is_recognised() -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    image = Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC)

    def blur_like(other: Image.Image) -> float:
        return equal_blur(image, psnr(*(as_tensor(p, 128) for p in (image, other))).item())

    for blur in (0.005, 0.02, 0.06):
        blurred = image.filter(ImageFilter.GaussianBlur(128 * blur))
        assert blur_like(blurred) == pytest.approx(blur, abs=0.001)
    assert blur_like(image) == 0
    assert blur_like(Image.new("RGB", (128, 128), "red")) == pytest.approx(WIDEST)


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


def test_ms_ssim_agrees_with_scikit_image_at_one_scale_and_falls_with_noise() -> None:
    from skimage.metrics import structural_similarity

    random = torch.Generator().manual_seed(0)
    x = torch.nn.functional.interpolate(
        torch.rand(2, 3, 5, 5, generator=random) * 2 - 1, size=(16, 16), mode="bilinear"
    )
    y = (x + 0.2 * torch.randn(x.shape, generator=random)).clamp(-1, 1)
    theirs = [
        structural_similarity(
            a.numpy(), b.numpy(), channel_axis=0, data_range=2, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True,
        )[1][:, 5:-5, 5:-5].mean()
        for a, b in zip(x, y, strict=True)
    ]  # fmt: skip
    assert ms_ssim(x, y).tolist() == pytest.approx(theirs, abs=1e-3)
    large = torch.nn.functional.interpolate(x, size=(128, 128), mode="bilinear")
    noise = torch.randn(large.shape, generator=random)
    found = [ms_ssim(large, large + s * noise).mean() for s in (0.0, 0.05, 0.3)]
    assert found[0] == pytest.approx(1) and found[0] > found[1] > found[2] > 0
    with pytest.raises(ValueError, match="11 px"):
        ms_ssim(x[..., :8, :8], y[..., :8, :8])
