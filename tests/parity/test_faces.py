"""The face networks against a literal second formulation with the same random weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from examples.clay import parts
from pipelines.networks.bisenet import CLASSES, BiSeNet
from pipelines.networks.invertibility import InvertibilityNet
from pipelines.networks.irse import FaceRecogniser, crop_face, identity_loss
from pipelines.networks.psp import Encoder4Editing, GradualStyleEncoder
from tests.parity import reference_faces as reference

WIDTHS, DEPTHS = (16, 16, 32, 48, 64), (2, 1, 2, 1)
ENCODER = {"styles": 9, "resolution": 32, "widths": WIDTHS, "depths": DEPTHS}


def scrambled(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network in evaluation, none of whose numbers has its trivial initial value."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                tensor.normal_(std=0.3)
            elif tensor.is_floating_point() and tensor.ndim < 2:
                tensor.add_(0.3 * torch.randn_like(tensor))
            elif name == "latent_avg":
                tensor.normal_()
            elif tensor.ndim in (2, 4):  # wide enough for signals to survive all layers
                tensor.normal_(std=tensor[0].numel() ** -0.5)
    return network.eval().requires_grad_(False)


def close(ours: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal to 1e-4 of the largest value, which is not all the same."""
    assert ours.shape == expected.shape
    assert expected.std() > 1e-3
    assert (ours - expected).abs().max() < 1e-4 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("affine", [True, False])
def test_face_recogniser(affine: bool) -> None:
    network = scrambled(FaceRecogniser(WIDTHS, DEPTHS, 24, 32, affine=affine))
    x = torch.randn(3, 3, 32, 32)
    expected = reference.embedding(network.state_dict(), x, DEPTHS)
    close(network(x), expected)
    torch.testing.assert_close(network(x).norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("side", [256, 300, 128])
def test_the_face_is_cut_as_the_identity_loss_cuts_it(side: int) -> None:
    x = torch.randn(1, 1, side, side)
    aligned = x if side == 256 else reference.cells(x, 256)
    close(crop_face(x), reference.cells(aligned[:, :, 35:223, 32:220], 112))


def test_identity_loss_is_nought_for_the_same_face_and_two_for_its_opposite() -> None:
    face = F.normalize(torch.randn(2, 8), dim=1)
    torch.testing.assert_close(identity_loss(face, face), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(identity_loss(face, -face), torch.full((2,), 2.0))


@pytest.mark.parametrize("size", [(32, 32), (24, 32), (16, 16)])
def test_psp(size: tuple[int, int]) -> None:
    network = scrambled(GradualStyleEncoder(**ENCODER))
    x = torch.randn(2, 3, *size)
    weights = network.state_dict()
    close(network(x), reference.psp(weights, x, DEPTHS, weights["latent_avg"]))


@pytest.mark.parametrize("size", [(32, 32), (24, 32)])
@pytest.mark.parametrize("deltas", [None, 0, 1, 5, 8])
def test_e4e(size: tuple[int, int], deltas: int | None) -> None:
    network = scrambled(Encoder4Editing(**ENCODER))
    x = torch.randn(2, 3, *size)
    weights = network.state_dict()
    close(network(x, deltas), reference.e4e(weights, x, DEPTHS, weights["latent_avg"], deltas))


def test_e4e_without_offsets_is_one_code_around_the_mean() -> None:
    network = scrambled(Encoder4Editing(**ENCODER))
    codes = network(torch.randn(2, 3, 32, 32), 0) - network.latent_avg
    torch.testing.assert_close(codes, codes[:, :1].expand_as(codes))


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (72, 88)])
def test_bisenet(size: tuple[int, int]) -> None:
    network = scrambled(BiSeNet(width=8))
    x = torch.randn(2, 3, *size)
    expected = reference.bisenet(network.state_dict(), x)
    for ours, theirs in zip(network(x), expected, strict=True):
        close(ours, theirs)


# 352 px are 22 deep features: enough for the widest dilation, 18, to reach from one to another.
@pytest.mark.parametrize("size", [(64, 64), (48, 72), (32, 352)])
def test_invertibility(size: tuple[int, int]) -> None:
    network = scrambled(InvertibilityNet(("W+", "F4"), width=8, depths=(1, 2, 1)))
    for head in network.heads.values():
        head[3].bias.fill_(1.0)  # else the last ReLU may leave nothing to compare
    x = torch.randn(2, 3, *size)
    weights = network.state_dict()
    base = {k.removeprefix("base."): v for k, v in weights.items() if k.startswith("base.")}
    features = reference.deeplab(base, x, (1, 2, 1))
    errors = network(x)
    assert list(errors) == ["W+", "F4"]
    for name, ours in errors.items():
        own = f"heads.{name}."
        head = {f"m.{k.removeprefix(own)}": v for k, v in weights.items() if k.startswith(own)}
        close(ours, reference.head(head, features))


@pytest.mark.parametrize(
    ("network", "size"),
    [
        (FaceRecogniser(WIDTHS, DEPTHS, 24, 32), 32),
        (Encoder4Editing(**ENCODER), 32),
        (GradualStyleEncoder(**ENCODER), 32),
        (BiSeNet(width=8), 64),
        (InvertibilityNet(("W+",), width=8, depths=(1, 1, 1)), 32),
    ],
    ids=lambda value: type(value).__name__,
)
def test_gradients_reach_the_picture_and_the_configuration_rebuilds_it(
    network: nn.Module, size: int, tmp_path
) -> None:
    scrambled(network)
    x = torch.randn(2, 3, size, size, requires_grad=True)
    output = network(x)
    first = output["W+"] if isinstance(output, dict) else output
    first = first.out if isinstance(first, tuple) else first
    (first * torch.randn_like(first)).sum().backward()
    assert x.grad.abs().sum() > 0
    network.save_pretrained(tmp_path)
    again = type(network).from_pretrained(tmp_path).eval()
    assert again.state_dict().keys() == network.state_dict().keys()
    close(_tensor(again(x.detach())), _tensor(output).detach())


def _tensor(output: object) -> torch.Tensor:
    if isinstance(output, dict):
        return output["W+"]
    return output.out if isinstance(output, tuple) else output


def test_parse_normalises_resizes_and_gives_back_the_size_of_the_picture() -> None:
    network = scrambled(BiSeNet(width=8))
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    sd = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    normalised = ((x + 1) / 2 - mean) / sd
    expected = reference.bisenet(network.state_dict(), normalised)[0].argmax(dim=1)
    assert (network.parse(x, side=64) == expected).float().mean() > 0.999
    larger = network.parse(F.interpolate(x, scale_factor=2), side=64)
    assert larger.shape == (1, 128, 128)
    assert (larger == expected.repeat_interleave(2, 1).repeat_interleave(2, 2)).float().mean() > 0.8


def test_photo_and_clay_parsers_number_their_classes_alike() -> None:
    assert CLASSES == parts.CLASSES


@pytest.mark.parametrize(
    ("network", "x", "message"),
    [
        (FaceRecogniser(WIDTHS, DEPTHS, 24, 32), torch.zeros(1, 3, 48, 48), "crop_face"),
        (Encoder4Editing(**ENCODER), torch.zeros(1, 3, 64, 32), "sides up to 32"),
        (GradualStyleEncoder(**ENCODER), torch.zeros(1, 1, 32, 32), r"got \(1, 1, 32, 32\)"),
    ],
    ids=["recogniser", "too large", "channels"],
)
def test_wrong_pictures_are_refused(network: nn.Module, x: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(x)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 8; got 9"):
        Encoder4Editing(**ENCODER)(torch.zeros(1, 3, 32, 32), 9)
    with pytest.raises(ValueError, match="power of two"):
        GradualStyleEncoder(resolution=48)
    with pytest.raises(ValueError, match="4 numbers for these depths; got 2"):
        FaceRecogniser((16, 32), (1, 1, 1))


def numbers(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# In float32 the IR-SE50 and the BiSeNet are 175,296,688 and 53,252,600 bytes; the published files,
# with under 200 bytes of archive an entry, 175,367,323 and 53,289,463.
@pytest.mark.parametrize(
    ("build", "parameters", "entries"),
    [
        (FaceRecogniser, 43_797_696, 397),
        (Encoder4Editing, 267_136_704, 622),
        (lambda: Encoder4Editing(styles=16), 238_293_696, 594),
        (GradualStyleEncoder, 267_136_704, 622),
        (BiSeNet, 13_300_416, 191),
        (InvertibilityNet, 59_342_493, 725),
    ],
    ids=["IR-SE50", "e4e 18", "e4e 16", "pSp", "BiSeNet", "invertibility"],
)
def test_full_size(build, parameters: int, entries: int) -> None:
    with torch.device("meta"):
        network = build()
    assert (numbers(network), len(network.state_dict())) == (parameters, entries)
