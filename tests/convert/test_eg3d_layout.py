"""Files in EG3D's published layout, converted, loaded and compared."""

from __future__ import annotations

import pytest
import torch

import weights
from pipelines.networks import cameras
from pipelines.networks.eg3d import TriPlaneGenerator
from tests.convert.published_eg3d import (
    CHANNELS,
    PLANE,
    RENDERING,
    Module,
    W,
    Z,
    content,
    write,
    written,
)
from tests.parity import reference_eg3d as reference
from weights import WeightsError
from weights.convert import convert_file
from weights.convert.eg3d import convert


def test_converted_generator_equals_the_published_formulation():
    tree = written()
    tensors, config = convert(content(tree))
    network = TriPlaneGenerator(**config).eval().requires_grad_(False)
    network.load_state_dict(tensors, strict=True)
    published = tree.named()
    z, c = torch.randn(2, Z), torch.cat([cameras.camera(0.3), cameras.camera(-0.4, 0.2)])
    ws = reference.mapping(published, z, c, 6, 0.8, 0.6, 3)
    codes = reference.planes(published, ws, 16)
    features, depth = reference.render(published, codes, c, 5, RENDERING)
    image = reference.superresolution(published, features, ws, 4, 256)
    view = network(z, c, truncation=0.6, truncation_cutoff=3)
    for ours, expected in zip(view, (image, features[:, :3], depth), strict=True):
        scale = float(expected.abs().max())
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4 * max(1, scale))


def test_published_file_is_read_converted_and_loaded(tmp_path, monkeypatch):
    tree, source = written(), tmp_path / "ffhqrebalanced512-128.pkl"
    write(tree, source, monkeypatch)
    config = convert_file("nvidia-eg3d", source, tmp_path / "eg3d.safetensors")
    network = weights.load_file(TriPlaneGenerator, tmp_path / "eg3d.safetensors")
    tensors, expected = convert(content(tree))
    assert config == expected
    loaded = network.state_dict()
    assert set(loaded) == set(tensors)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_configuration_is_the_files():
    _, config = convert(content(written()))
    assert config == {
        "resolution": 16, "z_dim": Z, "w_dim": W, "mapping_layers": 2,
        "mapping_lr_multiplier": 0.01, "c_scale": 0.8, "plane_resolution": 16,
        "plane_channels": PLANE, "channels": CHANNELS, "rendering_resolution": 5, "samples": 6,
        "importance_samples": 5, "ray_start": 2.3, "ray_end": 3.2, "box_warp": 1.1,
        "plane_axes": ["xy", "xz", "zx"], "decoder_channels": 8, "decoder_lr_multiplier": 2.0,
        "superresolution_channels": [6, 5], "superresolution_limit": 256,
    }  # fmt: skip


def test_corrected_planes_and_absent_conditioning_are_noticed():
    tree = written()
    tree.parts["renderer"].attributes["plane_axes"][2] = torch.tensor(
        [[0.0, 0, 1], [0, 1, 0], [1, 0, 0]]
    )
    tree.attributes["rendering_kwargs"]["c_gen_conditioning_zero"] = True
    _, config = convert(content(tree))
    assert config["plane_axes"] == ["xy", "xz", "zy"] and config["c_scale"] == 0


def test_half_precision_becomes_float32():
    tree = written()
    layer = tree.parts["decoder"].parts["net"].parts["0"].parameters
    layer["weight"] = layer["weight"].half()
    tensors, _ = convert(content(tree))
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert torch.equal(tensors["decoder.net.0.weight"], layer["weight"].float())


def other_kind(tree: Module) -> None:
    tree.kind = "persistence:Generator"


def other_enlargement(tree: Module) -> None:
    tree.parts["superresolution"].kind = "persistence:SuperresolutionHybrid4X"


def tilted(tree: Module) -> None:
    tree.parts["renderer"].attributes["plane_axes"][0, 0, 1] = 0.5


def clamped(tree: Module) -> None:
    tree.parts["backbone"].parts["synthesis"].parts["b8"].parts["conv0"].attributes[
        "conv_clamp"
    ] = 256


def setting(name: str, value: object):
    return lambda tree: tree.attributes["rendering_kwargs"].__setitem__(name, value)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_kind, "under G_ema; got persistence:Generator"),
        (other_enlargement, "got persistence:SuperresolutionHybrid4X"),
        (tilted, "planes along the axes"),
        (clamped, "planes without a limit"),
        (setting("white_back", True), "'white_back': True"),
        (setting("ray_start", "auto"), "'ray_start': 'auto'"),
        (setting("depth_resolution", 40_000), "'depth_resolution': 40000"),
        (setting("disparity_space_sampling", True), "'disparity_space_sampling': True"),
        (lambda tree: tree.attributes.pop("rendering_kwargs"), "states its rendering_kwargs"),
        (lambda tree: tree.attributes["rendering_kwargs"].pop("box_warp"), "box_warp.*got image"),
        (lambda tree: tree.parts["decoder"].parts.clear(), "without decoder.net.0.weight"),
        (lambda tree: tree.parts.pop("renderer"), "with renderer; got a part with ray_sampler"),
    ],
)
def test_other_files_are_refused_in_words(spoil, words):
    tree = written()
    spoil(tree)
    with pytest.raises(WeightsError, match=words):
        convert(content(tree))


def test_a_table_of_tensors_is_refused():
    with pytest.raises(WeightsError, match="under G_ema; got NoneType"):
        convert({"state_dict": {}})
