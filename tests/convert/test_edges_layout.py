"""PiDiNet and HED from their published layouts: loaded strictly, and what they compute."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor

from pipelines.networks.edge_annotator import EdgeAnnotator
from pipelines.runtime import Runtime
from tests.convert import published_edges as published
from tests.parity import reference_edges as reference
from weights import WeightsError, load_file
from weights.convert import annotators, convert_file


@pytest.fixture
def x() -> Tensor:
    return torch.rand(2, 3, 40, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


def loaded(content: dict, converter: str, folder) -> EdgeAnnotator:
    torch.save(content, folder / "published.pth")
    convert_file(converter, folder / "published.pth", folder / "ours.safetensors")
    return load_file(EdgeAnnotator, folder / "ours.safetensors")


def close(ours: Tensor, expected: Tensor) -> None:
    assert ours.shape == expected.shape and expected.std() > 1e-3
    assert (ours - expected).abs().max() < 1e-4


def test_pidinet(tmp_path, x) -> None:
    torch.manual_seed(0)
    content = published.pidinet()
    network = loaded(content, "pidinet", tmp_path)
    assert network.kind == "pidinet"
    close(network(x), reference.pidinet(content, (x.flip(1) + 1) / 2))


def test_hed(tmp_path, x) -> None:
    torch.manual_seed(0)
    content = published.hed()
    network = loaded(content, "controlnet-hed", tmp_path)
    assert network.kind == "hed"
    close(network(x), reference.hed(content, 127.5 * (x + 1), published.HED))


def test_sizes_are_those_of_the_published_files() -> None:
    """HED's file has 29,444,406 bytes: these numbers in half precision, and their names."""
    numbers = sum(t.numel() for t in EdgeAnnotator("hed").state_dict().values())
    assert 0 < 29_444_406 - 2 * numbers < 20_000
    config = annotators.pidinet(published.pidinet(60, 24))[1]
    assert config == {"kind": "pidinet", "width": 60, "dilation": 24}
    shapes = {k: tuple(v.shape) for k, v in EdgeAnnotator().state_dict().items()}
    found = annotators.pidinet(published.pidinet(60, 24))[0]
    assert shapes == {k: tuple(v.shape) for k, v in found.items()}


@pytest.mark.parametrize("kind", ["pidinet", "hed"])
@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_hooks_that_move_weights_are_called(kind, offload, x) -> None:
    """Every weight is moved by the call of a module that hooks see."""
    torch.manual_seed(0)
    network = EdgeAnnotator(kind, 4, 4).eval().requires_grad_(False)
    expected = network(x)
    (hook,) = Runtime(torch.device("cpu"), offload).place([network])
    assert (network(x) - expected).abs().max() < 1e-6
    hook.offload()


def test_the_package_is_quiet_and_other_input_is_refused(x) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = EdgeAnnotator("pidinet", 4, 4)
    with pytest.raises(ValueError, match=r"RGB pictures \(b, 3, h, w\), 32 pixels or more"):
        network(x[..., :16])
    with pytest.raises(ValueError, match="kind must be one of pidinet, hed; got 'canny'"):
        EdgeAnnotator("canny")


@pytest.mark.parametrize(
    ("make", "content", "lost"),
    [
        (annotators.pidinet, published.pidinet, "module.block3_1.shortcut.bias"),
        (annotators.pidinet, published.pidinet, "module.attentions.2.conv2.weight"),
        (annotators.hed, published.hed, "block5.projection.weight"),
    ],
)
def test_another_file_is_refused(make, content, lost) -> None:
    found = content()
    del found.get("state_dict", found)[lost]
    with pytest.raises(WeightsError, match=f"without {lost.removeprefix('module.')}"):
        make(found)
    with pytest.raises(WeightsError, match="edge detector|HED"):
        make([1, 2])
