"""torchvision's VGG16 becomes the published LPIPS distance, number for number."""

from __future__ import annotations

import warnings
from pathlib import Path

import lpips
import pytest
import torch

from pipelines.networks.perceptual import PerceptualDistance
from tests.convert.published_vgg16 import stages, vgg16
from weights import WeightsError, load_file
from weights.convert import convert_file, torchvision


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return vgg16()


@pytest.fixture(scope="module")
def distance(state, tmp_path_factory) -> PerceptualDistance:
    folder = tmp_path_factory.mktemp("vgg16")
    torch.save(state, folder / "vgg16.pth")
    config = convert_file("torchvision-vgg16", folder / "vgg16.pth", folder / "ours.safetensors")
    assert config == {"net": "vgg", "learned": True}
    assert (folder / "ours.safetensors").stat().st_size < 60e6, "the classifier was kept"
    return load_file(PerceptualDistance, folder / "ours.safetensors")


@pytest.fixture
def pair() -> torch.Tensor:
    x = torch.rand(2, 3, 40, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return torch.stack([x, x.roll(3, 3)])


def published_heads() -> list[torch.Tensor]:
    file = Path(lpips.__file__).with_name("weights") / "v0.1" / "vgg.pth"
    stored = torch.load(file, map_location="cpu", weights_only=True)
    return [stored[f"lin{i}.model.1.weight"] for i in range(5)]


def test_equals_the_literal_formulation(distance, state, pair) -> None:
    expected = torch.zeros(2)
    for head, *features in zip(published_heads(), *(stages(state, x) for x in pair), strict=True):
        a, b = (f / f.square().sum(1, keepdim=True).sqrt().clamp(min=1e-10) for f in features)
        expected += (head * (a - b) ** 2).sum(1).mean((1, 2))
    assert expected.min() > 1e-3
    torch.testing.assert_close(distance(*pair), expected, rtol=1e-4, atol=1e-6)


def test_equals_the_package(distance, pair) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's and torch.load's, of the package
        theirs = lpips.LPIPS(net="vgg", pnet_rand=True, lpips=True, verbose=False).eval()
    theirs.net.load_state_dict(distance.lpips.net.state_dict())
    with torch.no_grad():
        expected = theirs(*pair).flatten()
    torch.testing.assert_close(distance(*pair), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(distance(pair[0], distance.stages(pair[1])), distance(*pair))
    assert distance(pair[0], pair[0]).abs().max() == 0


def test_weights_of_channels_move_with_the_constants(distance) -> None:
    """Pipelines move the trunk and the constants to a device, and nothing else."""
    names = [name for name, _ in distance.lpips.scaling_layer.named_buffers()]
    assert names == ["shift", "scale", *(f"root{i}" for i in range(5))]
    assert not [name for name in distance.state_dict() if "root" in name]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s | {"features.1.running_mean": torch.zeros(64)}, "batch normalisation"),
        (lambda s: {k: v for k, v in s.items() if "features.28" not in k}, "features.28.weight"),
        (lambda s: {"features.0.weight": s["features.0.weight"]}, "VGG16"),
        (lambda s: [1, 2], "VGG16"),
    ],
    ids=["batch norm", "shorter", "another", "no table"],
)
def test_another_file_is_refused(state, change, said) -> None:
    with pytest.raises(WeightsError, match=said):
        torchvision.vgg16(change(dict(state)))
