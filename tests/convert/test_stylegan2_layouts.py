"""StyleGAN2 files in every published layout, converted, against the layout evaluated as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import weights
from pipelines.networks.stylegan2 import Generator
from tests.convert import published_stylegan2 as published
from tests.parity import reference_stylegan2 as reference
from tests.parity import reference_stylegan2_layouts as layouts
from weights.convert import CONVERTERS, convert_file, converter
from weights.convert.reader import read
from weights.manifest import WeightsError

WIDTHS = [10, 8, 6, 4]  # 32 px
TRUNCATIONS = [(1.0, None), (0.6, None), (0.3, 3)]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def converted(name, source, tmp_path) -> Generator:
    target = tmp_path / "out" / "net.safetensors"
    config = convert_file(name, source, target)
    assert [path.name for path in target.parent.iterdir()] == ["net.safetensors"]
    network = weights.load_file(Generator, target)
    assert config["channels"] == {4 * 2**i: width for i, width in enumerate(WIDTHS)}
    assert network.num_ws == 2 * len(WIDTHS)
    return network


def same(ours, theirs):
    """Equal to 1e-4 of the largest number, and not trivially so."""
    assert theirs.abs().max() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * max(1, float(theirs.abs().max())))


@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "stream"])
def test_the_pytorch_port(tmp_path, zipped):
    state, average = published.port_state(WIDTHS), torch.randn(12)
    path = tmp_path / "stylegan2.pt"
    content = {"g_ema": state, "latent_avg": average, "g": state}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    network = converted("rosinality-stylegan2", path, tmp_path)
    z = torch.randn(2, 12)
    for truncation, cutoff in TRUNCATIONS:
        ws = layouts.port_mapping(state, z, average, network.num_ws, truncation, cutoff)
        same(network.mapping(z, truncation, cutoff), ws)
        same(network.synthesis(ws), layouts.port_synthesis(state, ws))
    same(network.synthesis(ws, noise="none"), layouts.port_synthesis(state, ws, noise=False))


def test_small_styles_are_demodulated_with_the_same_epsilon(tmp_path):
    state = published.port_state(WIDTHS)
    for name in state:
        if "conv.modulation" in name and "rgb" not in name:
            state[name] = state[name] * 1e-4
    torch.save({"g_ema": state, "latent_avg": torch.zeros(12)}, tmp_path / "a.pt")
    network = converted("rosinality-stylegan2", tmp_path / "a.pt", tmp_path)
    ws = torch.randn(2, network.num_ws, 12)
    same(network.synthesis(ws), layouts.port_synthesis(state, ws))


def test_a_port_checkpoint_without_average_gets_the_mean(tmp_path):
    state = published.port_state(WIDTHS)
    torch.save({"g_ema": state, "d": {}, "g_optim": {"state": {}}}, tmp_path / "a.pt")
    network = converted("rosinality-stylegan2", tmp_path / "a.pt", tmp_path)
    z = torch.randn(20_000, 12)
    mean = layouts.port_mapping(state, z, torch.zeros(12), 1)[:, 0].mean(dim=0)
    assert (network.mapping.w_avg - mean).abs().max() < 0.1 * mean.abs().max()


def test_a_generator_nested_beside_its_encoder(tmp_path):
    state, average = published.port_state(WIDTHS), torch.randn(12)
    nested = {f"decoder.{name}": tensor for name, tensor in state.items()}
    nested["encoder.input_layer.0.weight"] = torch.randn(3)
    content = {"state_dict": nested, "latent_avg": average.repeat(8, 1)}
    torch.save(content, tmp_path / "e4e.pt")
    network = converted("rosinality-stylegan2", tmp_path / "e4e.pt", tmp_path)
    ws = torch.randn(1, network.num_ws, 12)
    same(network.synthesis(ws), layouts.port_synthesis(state, ws))
    assert torch.equal(network.mapping.w_avg, average)


def test_nvidia_pickle(tmp_path):
    sentinel = tmp_path / "executed"
    source = f"open({str(sentinel)!r}, 'w').close()\nclass Generator: pass\n"
    with published.published_modules():
        saved = published.nvidia_generator(WIDTHS, 16, 12, multiplier=0.05, source=source)
        other = published.nvidia_generator(WIDTHS, 16, 12, source=source)
        content = {"G": other, "D": None, "G_ema": saved, "training_set_kwargs": {"path": "x"}}
        path = published.write(tmp_path / "ffhq.pkl", content)
    network = converted("nvidia-stylegan2", path, tmp_path)
    state = published.state_of(saved)
    z = torch.randn(2, 16)
    for truncation, cutoff in TRUNCATIONS:
        ws = reference.mapping(state, z, network.num_ws, truncation, cutoff, lr_multiplier=0.05)
        same(network.mapping(z, truncation, cutoff), ws)
        same(network.synthesis(ws), reference.synthesis(state, ws, 32))
    assert not sentinel.exists()


def test_nvidia_without_noise_and_as_a_state_dict(tmp_path):
    with published.published_modules():
        silent = published.nvidia_generator(WIDTHS, noise=False)
        path = published.write(tmp_path / "silent.pkl", {"G_ema": silent}, protocol=2)
        plain = published.nvidia_generator(WIDTHS)
    network = converted("nvidia-stylegan2", path, tmp_path)
    ws = torch.randn(1, network.num_ws, 12)
    same(network.synthesis(ws), reference.synthesis(published.state_of(silent), ws, 32, False))
    state = published.state_of(plain)
    torch.save(state, tmp_path / "plain.pt")
    network = converted("nvidia-stylegan2", tmp_path / "plain.pt", tmp_path)
    same(network.synthesis(ws), reference.synthesis(state, ws, 32))


@pytest.mark.parametrize("form", ["networks", "names"])
def test_tensorflow(tmp_path, form):
    sentinel, rate = tmp_path / "executed", 0.02 if form == "networks" else 0.01
    variables = published.graph_variables(WIDTHS, 16, 12, multiplier=rate)
    if form == "networks":
        with published.published_modules():
            source = f"open({str(sentinel)!r}, 'w').close()"
            settings = {"resolution": 32, "mapping_lrmul": rate, "resample_kernel": [1, 3, 3, 1]}
            nets = [published.tf_network(variables, source, **settings) for _ in range(3)]
            path = published.write(tmp_path / "f.pkl", tuple(nets))
    else:
        scoped = {f"G_{name}" if "/" in name else name: v for name, v in variables.items()}
        np.savez(tmp_path / "f.npz", **{f"{name}:0": value for name, value in scoped.items()})
        path = tmp_path / "f.npz"
    network = converted("tensorflow-stylegan2", path, tmp_path)
    table = {name: torch.as_tensor(value) for name, value in variables.items()}
    z = torch.randn(2, 16)
    for truncation, cutoff in TRUNCATIONS:
        ws = layouts.graph_mapping(table, z, network.num_ws, truncation, cutoff, rate)
        same(network.mapping(z, truncation, cutoff), ws)
        same(network.synthesis(ws), layouts.graph_synthesis(table, ws))
    same(network.synthesis(ws, noise="none"), layouts.graph_synthesis(table, ws, noise=False))
    assert not sentinel.exists()


@pytest.mark.parametrize(
    ("resolution", "multiplier", "layers"), [(1024, 2, 18), (512, 2, 16), (256, 1, 14)]
)
def test_published_sizes(resolution, multiplier, layers):
    sides = [2**level for level in range(2, resolution.bit_length())]
    widths = [min(512, 16384 * multiplier // side) for side in sides]
    state = published.port_state(
        widths, 512, 8, make=lambda *shape: torch.empty(shape, device="meta")
    )
    content = {"g_ema": state, "latent_avg": torch.empty(512, device="meta")}
    tensors, config = converter("rosinality-stylegan2")(content)
    with torch.device("meta"):
        network = Generator(**config)
    assert network.num_ws == layers
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    assert {name: tensor.shape for name, tensor in tensors.items()} == expected
    assert {4 * 2**i: w for i, w in enumerate(widths)} == config["channels"]


def test_other_generators_are_refused(tmp_path):
    state = published.port_state(WIDTHS)
    convert = converter("rosinality-stylegan2")
    with pytest.raises(WeightsError, match="unexpected: convs.9.extra"):
        convert({"g_ema": state | {"convs.9.extra": torch.zeros(1)}, "latent_avg": torch.ones(12)})
    with pytest.raises(WeightsError, match="noises.noise_3"):
        convert({"g_ema": {k: v for k, v in state.items() if k != "noises.noise_3"}})
    crooked = state | {"to_rgbs.0.upsample.kernel": kernel_of_one_side()}
    with pytest.raises(WeightsError, match="symmetric kernel"):
        convert({"g_ema": crooked, "latent_avg": torch.ones(12)})
    narrow = state | {"conv1.activate.bias": torch.zeros(7)}
    with pytest.raises(WeightsError, match="shape:"):
        convert({"g_ema": narrow, "latent_avg": torch.ones(12)})
    with pytest.raises(WeightsError, match="latent_avg of 12 numbers"):
        convert({"g_ema": state, "latent_avg": torch.ones(5)})
    with published.published_modules():
        saved = published.nvidia_generator(WIDTHS)
        mapping = saved.meta["state"]["_modules"]["mapping"].meta["state"]["_modules"]
        mapping["embed"] = published.dense(10, 12)
        path = published.write(tmp_path / "labels.pkl", {"G_ema": saved})
        variables = published.graph_variables(WIDTHS)
        network = published.tf_network(variables, architecture="resnet")
        raw = published.write(tmp_path / "raw.pkl", (network, network, network))
    with pytest.raises(WeightsError, match="conditioned on labels"):
        convert_file("nvidia-stylegan2", path, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="architecture"):
        convert_file("tensorflow-stylegan2", raw, tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


def kernel_of_one_side():
    kernel = published.kernel(4)
    kernel[0, 0] += 0.5
    kernel[1, 1] -= 0.5
    return kernel


def test_a_conversion_is_whole_or_absent(tmp_path):
    state = published.port_state(WIDTHS)
    state["conv1.noise.weight"] = torch.tensor([float("nan")])
    torch.save({"g_ema": state, "latent_avg": torch.zeros(12)}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="finite numbers.*noise_strength"):
        convert_file("rosinality-stylegan2", tmp_path / "a.pt", tmp_path / "b.safetensors")
    with pytest.raises(WeightsError, match="converter of"):
        convert_file("nonsense", tmp_path / "a.pt", tmp_path / "b.safetensors")
    with pytest.raises(WeightsError, match=".safetensors"):
        convert_file("rosinality-stylegan2", tmp_path / "a.pt", tmp_path / "b.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_half_precision_is_written_where_asked(tmp_path):
    state = published.port_state(WIDTHS)
    torch.save({"g_ema": state, "latent_avg": torch.zeros(12)}, tmp_path / "a.pt")
    sizes = []
    for half in (False, True):
        convert_file(
            "rosinality-stylegan2", tmp_path / "a.pt", tmp_path / "b.safetensors", half=half
        )
        sizes.append((tmp_path / "b.safetensors").stat().st_size)
        assert weights.load_file(Generator, tmp_path / "b.safetensors").num_ws == 8
    assert sizes[1] < 0.7 * sizes[0]


def test_a_boundary_file_is_converted_by_its_name(tmp_path):
    content = {"boundary": np.ones((1, 512)), "meta_data": {"manipulate_layers": "0-3"}}
    np.save(tmp_path / "age.npy", content)
    convert_file("genforce-boundaries", tmp_path / "age.npy", tmp_path / "age.safetensors")
    from safetensors.torch import load_file

    tensors = load_file(tmp_path / "age.safetensors")
    assert tensors["age.layers"].tolist() == [1] * 4 + [0] * 10
    assert read(tmp_path / "age.npy")["boundary"].shape == (1, 512)


@pytest.mark.parametrize("name", sorted(CONVERTERS))
def test_every_registered_converter_is_there(name):
    assert callable(converter(name))


def test_settings_of_the_mapping_and_of_half_precision_are_kept(tmp_path: Path) -> None:
    with published.published_modules():
        saved = published.nvidia_generator(WIDTHS)
        synthesis = saved.meta["state"]["_modules"]["synthesis"].meta["state"]["_modules"]
        first = synthesis["b4"].meta["state"]["_modules"]["conv1"].meta["state"]
        first["conv_clamp"] = 256
        clamped = published.write(tmp_path / "clamped.pkl", {"G_ema": saved})
        network = published.tf_network(published.graph_variables(WIDTHS), normalize_latents=False)
        raw = published.write(tmp_path / "raw.pkl", (network, network, network))
    target = tmp_path / "a.safetensors"
    assert convert_file("nvidia-stylegan2", clamped, target)["conv_clamp"] == 256
    assert convert_file("tensorflow-stylegan2", raw, target)["normalize_z"] is False
