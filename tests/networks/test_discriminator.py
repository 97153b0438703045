"""The StyleGAN2 discriminator on tiny components."""

from __future__ import annotations

import pytest
import torch

from pipelines.networks.discriminator import (
    Discriminator,
    PatchDiscriminator,
    minibatch_deviation,
)

CHANNELS = {4: 8, 8: 8, 16: 6}
FIXED = [0.0179, -0.018, -0.108, -0.129]


def build(**arguments) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(16, channels=CHANNELS, **arguments)


@pytest.fixture
def image():
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_fixed_slice(image):
    torch.testing.assert_close(
        build()(image)[:, 0].detach(), torch.tensor(FIXED), rtol=0, atol=1e-4
    )


def test_published_names():
    expected = {"b16.fromrgb.bias", "b16.fromrgb.weight", "b16.fromrgb.resample_filter"}
    for level in (16, 8):
        expected |= {f"b{level}.resample_filter", f"b{level}.skip.weight"}
        expected |= {f"b{level}.skip.resample_filter"}
        for name in ("conv0", "conv1"):
            expected |= {f"b{level}.{name}.{e}" for e in ("weight", "bias", "resample_filter")}
    expected |= {f"b4.conv.{end}" for end in ("weight", "bias", "resample_filter")}
    expected |= {f"b4.{name}.{end}" for name in ("fc", "out") for end in ("weight", "bias")}
    assert set(build().state_dict()) == expected


def test_features_are_block_outputs(image):
    score, features = build()(image, features=True)
    assert score.shape == (4, 1)
    shapes = {name: tuple(feature.shape) for name, feature in features.items()}
    assert shapes == {"b16": (4, 8, 8, 8), "b8": (4, 8, 4, 4)}


def test_gradient_penalty_can_be_differentiated(image):
    network, image = build(), image.requires_grad_(True)
    (slope,) = torch.autograd.grad(network(image).sum(), image, create_graph=True)
    slope.square().sum(dim=(1, 2, 3)).mean().backward()
    without = {n for n, p in network.named_parameters() if p.grad is None}
    # A constant added to the score has no slope; all else bends it.
    assert without <= {"b4.out.bias"}
    assert network.b16.conv0.weight.grad.abs().max() > 0


def test_bfloat16_autocast_stays_close(image):
    network = build()
    expected = network(image)
    with torch.autocast("cpu", torch.bfloat16):
        score = network(image)
        (slope,) = torch.autograd.grad(score.sum(), network.b16.conv0.weight)
    assert score.dtype == torch.float32 and slope.abs().max() > 0
    assert (score - expected).abs().max() < 0.05 * max(1, expected.abs().max())


def test_deviation_is_zero_for_equal_pictures_and_grows_with_their_difference():
    one = torch.randn(1, 4, 2, 2)
    same = minibatch_deviation(one.repeat(4, 1, 1, 1))[:, -1]
    near = minibatch_deviation(one + 0.1 * torch.randn(4, 4, 2, 2))[:, -1]
    far = minibatch_deviation(one + torch.randn(4, 4, 2, 2))[:, -1]
    assert same.max() < 1e-3 < near.mean() < far.mean()


def test_round_trip(image, tmp_path):
    network = build()
    network.save_pretrained(tmp_path)
    assert torch.equal(Discriminator.from_pretrained(tmp_path)(image), network(image))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 3, 8, 8), r"image must be \(batch, 3, 16, 16\); got \(1, 3, 8, 8\)"),
        ((6, 3, 16, 16), "batch must be a multiple of 4; got 6"),
    ],
)
def test_errors_say_what_was_expected(shape, words):
    with pytest.raises(ValueError, match=words):
        build()(torch.zeros(shape))


def patches() -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator((4, 6, 8, 8))


def test_a_patch_is_judged_by_what_is_near():
    network, image = patches(), torch.randn(1, 3, 128, 128)
    changed = image.clone()
    changed[..., :8, :8] += 1
    moved = (network(changed) - network(image)).abs()[0, 0] > 1e-6
    assert moved.shape == (16, 16)
    assert moved[0, 0] and not moved[5:].any() and not moved[:, 5:].any()


def test_the_penalty_of_patches_can_be_differentiated():
    network, image = patches(), torch.randn(2, 3, 32, 32, requires_grad=True)
    (slope,) = torch.autograd.grad(network(image).sum(), image, create_graph=True)
    slope.square().sum().backward()
    assert all(p.grad.abs().max() > 0 for n, p in network.named_parameters() if "weight" in n)
