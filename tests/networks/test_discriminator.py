"""The StyleGAN2 discriminator on tiny components."""

from __future__ import annotations

import pytest
import torch

from pipelines.networks.discriminator import (
    Discriminator,
    FeatureDiscriminator,
    minibatch_deviation,
)
from pipelines.networks.perceptual import PerceptualDistance

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


def of_features() -> FeatureDiscriminator:
    torch.manual_seed(0)
    return FeatureDiscriminator((6, 8))


def test_features_are_scored_by_what_is_near():
    network, stages = of_features(), (torch.randn(1, 6, 16, 16), torch.randn(1, 8, 8, 8))
    changed = stages[0].clone()
    changed[..., :2, :2] += 1
    old, new = network(stages), network((changed, stages[1]))
    moved = (new[0] - old[0]).abs()[0, 0] > 1e-7
    assert moved.shape == (16, 16) and torch.equal(old[1], new[1])
    assert moved[0, 0] and not moved[4:].any() and not moved[:, 4:].any()


def test_pictures_are_told_apart_by_the_trunk():
    """Sixty steps on the trunk's features tell noise that is finer by a pixel."""
    torch.manual_seed(0)
    trunk, network = PerceptualDistance(), FeatureDiscriminator((64, 128))
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(60):
        fine = torch.randn(4, 3, 32, 32)
        coarse = torch.nn.functional.avg_pool2d(torch.randn(4, 3, 34, 34), 3, 1) * 3
        scores = network(trunk.stages(torch.cat([fine, coarse])))
        loss = sum((s[4:] - s[:4]).mean() + 0.1 * s.square().mean() for s in scores)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(s[:4].mean() > s[4:].mean() + 1 for s in scores)


def test_too_few_stages_are_refused():
    with pytest.raises(ValueError, match="must be 2 tensors or more; got 1"):
        of_features()((torch.zeros(1, 6, 4, 4),))
