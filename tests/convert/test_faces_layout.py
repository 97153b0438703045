"""Published face checkpoints: converted, loaded strictly, and compared with what they compute."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipelines.networks.bisenet import BiSeNet
from pipelines.networks.invertibility import InvertibilityNet
from pipelines.networks.irse import FaceRecogniser
from pipelines.networks.psp import Encoder4Editing, GradualStyleEncoder
from tests.convert import published_faces as published
from tests.parity import reference_faces as reference
from weights import load_file
from weights.convert import bisenet, convert_file, e4e, invertibility, irse50, reader
from weights.manifest import WeightsError

Converted = tuple[dict[str, Tensor], dict[str, object]]
ENCODERS = {"Encoder4Editing": Encoder4Editing, "GradualStyleEncoder": GradualStyleEncoder}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def load(network_class: type[nn.Module], converted: Converted) -> nn.Module:
    tensors, config = converted
    network = network_class(**config)
    assert tensors.keys() == network.state_dict().keys()  # torch itself forgives lost counters
    network.load_state_dict(tensors, strict=True)
    floating = [tensor for tensor in tensors.values() if tensor.is_floating_point()]
    assert all(tensor.dtype == torch.float32 and tensor.is_contiguous() for tensor in floating)
    return network.eval().requires_grad_(False)


def close(ours: Tensor, expected: Tensor) -> None:
    assert ours.shape == expected.shape
    assert expected.std() > 1e-3
    assert (ours - expected).abs().max() < 1e-4 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize(("counter", "affine"), [(True, True), (False, True), (True, False)])
def test_irse50(counter: bool, affine: bool) -> None:
    content = published.irse50(counter, affine)
    network = load(FaceRecogniser, irse50.convert(content))
    x = torch.randn(2, 3, 32, 32)
    close(network(x), reference.embedding(content, x, published.DEPTHS))


def test_names_of_a_network_trained_in_parallel_lose_their_prefix() -> None:
    content = published.irse50()
    doubled = {k: v.double() if v.is_floating_point() else v for k, v in content.items()}
    parallel = {f"module.{name}": tensor for name, tensor in doubled.items()}
    ours, theirs = irse50.convert({"state_dict": parallel}), irse50.convert(content)
    assert ours[1] == theirs[1]
    torch.testing.assert_close(ours[0], theirs[0])


def inert(state: dict[str, object]) -> reader.Record:
    return reader.Record("argparse.Namespace", state)


def encoder_part(content: dict) -> dict[str, Tensor]:
    table = content["state_dict"].items()
    return {k.removeprefix("encoder."): v for k, v in table if k.startswith("encoder.")}


@pytest.mark.parametrize("average", ["one a style", "one for all", None])
@pytest.mark.parametrize(("kind", "compute"), [
    ("Encoder4Editing", reference.e4e), ("GradualStyleEncoder", reference.psp),
])  # fmt: skip
def test_encoders(kind: str, compute: Callable, average: str | None) -> None:
    content = published.encoder_checkpoint(kind, average=average)
    network = load(ENCODERS[kind], e4e.convert(content, kind))
    x = torch.randn(2, 3, 32, 32)
    added = content.get("latent_avg", torch.zeros(64))
    close(network(x), compute(encoder_part(content), x, published.DEPTHS, added))


@pytest.mark.parametrize(("styles", "channels"), [(8, 3), (14, 3), (18, 19)])
def test_the_number_of_styles_and_of_label_channels_are_read_off(
    styles: int, channels: int
) -> None:
    content = published.encoder_checkpoint("GradualStyleEncoder", styles, channels)
    network = load(GradualStyleEncoder, e4e.psp(content))
    assert network(torch.zeros(1, channels, 32, 32)).shape == (1, styles, 64)


def test_an_average_that_training_did_not_start_from_is_not_added() -> None:
    content = published.encoder_checkpoint("Encoder4Editing")
    content["opts"] = inert(content["opts"] | {"start_from_latent_avg": False})
    assert not e4e.convert(content)[0]["latent_avg"].any()


def test_an_encoder_is_not_taken_for_the_other_kind() -> None:
    content = published.encoder_checkpoint("GradualStyleEncoder")
    with pytest.raises(WeightsError, match="got one of GradualStyleEncoder"):
        e4e.convert(content, "Encoder4Editing")
    content["opts"] = inert({"encoder_type": "BackboneEncoderUsingLastLayerIntoW"})
    with pytest.raises(WeightsError, match="BackboneEncoderUsingLastLayerIntoW"):
        e4e.convert(content, "GradualStyleEncoder")
    with pytest.raises(WeightsError, match="expected encoder in"):
        e4e.convert(content, "ReStyle")


def test_a_missing_or_misshapen_average_is_an_error() -> None:
    content = published.encoder_checkpoint("Encoder4Editing")
    content["latent_avg"] = torch.zeros(7, 64)
    with pytest.raises(WeightsError, match=r"got \(7, 64\)"):
        e4e.convert(content)
    del content["latent_avg"]
    with pytest.raises(WeightsError, match="complete published file"):
        e4e.convert(content)


def test_the_nested_generator_comes_in_its_own_layout() -> None:
    content = published.encoder_checkpoint("Encoder4Editing")
    nested = e4e.generator(content)
    assert sorted(nested["g_ema"]) == ["conv1.conv.weight", "input.input"]
    torch.testing.assert_close(nested["latent_avg"], content["latent_avg"][0])
    with pytest.raises(WeightsError, match=r"without input\.input"):
        e4e.generator({"state_dict": encoder_part(content)})


@pytest.mark.parametrize("classes", [19, 5])
def test_bisenet(classes: int) -> None:
    content = published.bisenet(classes=classes)
    network = load(BiSeNet, bisenet.convert(content))
    x = torch.randn(1, 3, 64, 96)
    for ours, expected in zip(network(x), reference.bisenet(content, x), strict=True):
        close(ours, expected)


@pytest.mark.parametrize("dropouts", [True, False])
def test_invertibility(dropouts: bool) -> None:
    content = published.invertibility(("F10", "W+", "F4"), dropouts)
    converted = invertibility.convert(content)
    assert converted[1]["latents"] == ["W+", "F4", "F10"]
    network = load(InvertibilityNet, converted)
    x = torch.randn(1, 3, 64, 96)
    features = reference.deeplab(content["sd_base"], x, (1, 2, 1), dropouts)
    for name, ours in network(x).items():
        close(ours, reference.head(content[name], features))


@pytest.mark.parametrize(
    ("convert", "content", "message"),
    [
        (irse50.convert, [1, 2], "got list"),
        (irse50.convert, {"epoch": 3}, "other values under epoch"),
        (irse50.convert, {}, "a table of nothing"),
        (irse50.convert, {"conv.weight": torch.zeros(1)}, r"without output_layer\.0\.weight"),
        (bisenet.convert, {"conv.weight": torch.zeros(1)}, r"cp\.resnet\.conv1\.weight"),
        (e4e.convert, {"state_dict": {"encoder.a": torch.zeros(1)}}, r"latlayer1\.weight"),
        (invertibility.convert, {"W+": {}}, "sd_base"),
        (invertibility.convert, {"sd_base": {"a": torch.zeros(1)}, "W": {}}, "backbone"),
    ],
)
def test_another_file_is_refused_in_one_sentence(
    convert: Callable, content: object, message: str
) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        convert(content)
    assert str(caught.value).startswith("expected ")
    assert str(caught.value).endswith("check that this is the published file.")


def test_an_unknown_latent_is_refused() -> None:
    content = published.invertibility(("W+",))
    content["Z"] = content["W+"]
    with pytest.raises(WeightsError, match="got 'Z'"):
        invertibility.convert(content)


def test_a_body_without_squeeze_and_excitation_is_refused() -> None:
    content = {k: v for k, v in published.irse50().items() if ".fc" not in k}
    with pytest.raises(WeightsError, match=r"res_layer\.5\.fc1"):
        irse50.convert(content)


@pytest.mark.parametrize("legacy", [False, True])
def test_from_the_published_file_to_a_loaded_network(legacy: bool, tmp_path: Path) -> None:
    content = published.encoder_checkpoint("Encoder4Editing")
    stored = content | {"opts": argparse.Namespace(**content["opts"])}
    source, target = tmp_path / "e4e.pt", tmp_path / "e4e.safetensors"
    torch.save(stored, source, _use_new_zipfile_serialization=not legacy)
    convert_file("e4e", source, target)
    network = load_file(Encoder4Editing, target)
    x = torch.randn(1, 3, 32, 32)
    expected = reference.e4e(encoder_part(content), x, published.DEPTHS, content["latent_avg"])
    close(network(x), expected)
