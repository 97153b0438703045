"""Our StyleGAN of 2019 and its in-domain encoder, converted from published names, against a literal
second formulation that reads those names itself.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file as load_safetensors

from pipelines.networks.indomain_encoder import InDomainEncoder
from pipelines.networks.stylegan1 import Generator
from weights import WeightsError, load_file
from weights.convert import convert_file, genforce

# By path: the tests directory is no package.
_spec = importlib.util.spec_from_file_location(
    "reference_stylegan1", Path(__file__).with_name("reference_stylegan1.py")
)
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

CHANNELS = (12, 10, 8, 6)  # 4 to 32 px
W = 16


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape)


def published_generator(layerwise: bool, fused_layers: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Random numbers under the names of idinvert_pytorch, as its state dict orders them."""
    torch.manual_seed(0)
    count = 2 * len(CHANNELS)
    state = {}
    for i in range(8):
        out = W * count if layerwise and i == 7 else W
        state[f"mapping.dense{i}.fc.weight"] = draw(out, W) / 0.01
        state[f"mapping.dense{i}.wscale.bias"] = draw(out) / 0.01
    state["truncation.w_avg"] = draw(W)
    state["truncation.truncation"] = torch.full((1, count, 1), 0.7)
    state["synthesis.lod"] = torch.zeros(())
    for i in range(count):
        name, c, size = f"synthesis.layer{i}", CHANNELS[i // 2], 4 * 2 ** (i // 2)
        before = CHANNELS[(i - 1) // 2]
        if i == 0:
            state[f"{name}.const"] = draw(1, c, 4, 4)
        elif i in fused_layers:
            state[f"{name}.weight"] = draw(3, 3, before, c)
        else:
            state[f"{name}.conv.weight"] = draw(c, before, 3, 3)
        if i and i % 2 == 0:
            taps = torch.tensor([1.0, 2.0, 1.0]) / 4
            state[f"{name}.blur.kernel"] = torch.outer(taps, taps).repeat(c, 1, 1, 1)
        state[f"{name}.epilogue.apply_noise.noise"] = draw(1, 1, size, size)
        state[f"{name}.epilogue.apply_noise.weight"] = draw(c)
        state[f"{name}.epilogue.bias"] = draw(c)
        state[f"{name}.epilogue.style_mod.dense.fc.weight"] = draw(2 * c, W)
        state[f"{name}.epilogue.style_mod.dense.wscale.bias"] = draw(2 * c)
        if i % 2:
            state[f"synthesis.output{i // 2}.conv.weight"] = draw(3, c, 1, 1)
            state[f"synthesis.output{i // 2}.bias"] = draw(3)
    return state


def as_genforce(state: dict[str, torch.Tensor]) -> dict[str, object]:
    """The same numbers as GenForce's checkpoints hold them."""
    plain = {}
    for key, value in state.items():
        parts = key.split(".")
        if parts[1] == "truncation":
            continue
        if parts[0] == "mapping":
            parts = [*parts[:2], parts[-1]]
        elif "style_mod" in parts:
            parts = [*parts[:2], "style", parts[-1]]
        elif len(parts) > 3 and parts[2] == "epilogue":
            parts = [*parts[:2], *parts[3:]]
        elif parts[2:] == ["weight"]:
            value = value.permute(3, 2, 0, 1)
        elif parts[2:] == ["conv", "weight"]:
            parts = [*parts[:2], "weight"]
        plain[".".join(parts)] = value
    return {"generator": {"not": torch.zeros(1)}, "generator_smooth": plain}


def load(network_class, converted):
    """The network, filled strictly, in evaluation."""
    tensors, config = converted
    assert all(v.dtype in (torch.float32, torch.int64) for v in tensors.values())
    network = network_class(**config).eval().requires_grad_(False)
    network.load_state_dict(tensors, strict=True)
    return network


def close(ours, theirs):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 1e-4 * max(1, theirs.abs().max())


@pytest.mark.parametrize("layout", ["idinvert", "genforce"])
@pytest.mark.parametrize(
    ("layerwise", "fused_layers", "fused_from"),
    [(True, (4, 6), 16), (False, (), 64), (True, (6,), 32)],
)
def test_generator_equals_the_literal_formulation(layout, layerwise, fused_layers, fused_from):
    state = published_generator(layerwise, fused_layers)
    content = state if layout == "idinvert" else as_genforce(state)
    arguments = {} if layout == "idinvert" else {"fused_from": fused_from}
    generator = load(Generator, genforce.stylegan1(content, **arguments))
    z, ws = draw(3, W), draw(3, 8, W)
    for noise in (True, False):
        expected = reference.synthesis(state, ws, noise, tanh=layerwise)
        close(generator.synthesis(ws, "const" if noise else "none"), expected)
    for truncation, cutoff in ((1.0, None), (0.7, 5), (0.3, 8)):
        expected = reference.mapping(state, z, 8, W, truncation, cutoff or 0)
        close(generator.mapping(z, truncation, cutoff), expected)
    expected = reference.mapping(state, z, 8, W, 0.4, 8)
    close(generator.mapping(z, 0.4), expected)
    close(generator(z, 0.4), reference.synthesis(state, expected, tanh=layerwise))


def test_mapping_without_normalisation():
    state = published_generator(False, ())
    tensors, config = genforce.stylegan1(state)
    generator = load(Generator, (tensors, {**config, "normalise_z": False}))
    z = 3 * draw(2, W)
    close(generator.mapping(z), reference.mapping(state, z, 8, W, normalise=False))
    assert (generator.mapping(z) - reference.mapping(state, z, 8, W)).abs().max() > 0.1


def test_gradients_to_ws_equal_the_literal_formulation():
    state = published_generator(True, (6,))
    generator = load(Generator, genforce.stylegan1(state))
    ws = draw(1, 8, W).requires_grad_()
    direction = draw(1, 3, 32, 32)
    ours = torch.autograd.grad((generator.synthesis(ws) * direction).sum(), ws)[0]
    theirs = reference.synthesis(state, ws, tanh=True)
    theirs = torch.autograd.grad((theirs * direction).sum(), ws)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))


def test_random_noise_differs_and_is_seeded():
    generator = load(Generator, genforce.stylegan1(published_generator(False, ())))
    ws = draw(2, 8, W)
    images = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        images.append(generator.synthesis(ws, "random"))
    assert torch.equal(images[0], images[1])
    assert (images[0] - images[2]).abs().max() > 0.1


def test_published_files_convert_and_load(tmp_path):
    generator, encoder = published_generator(True, (6,)), published_encoder()
    z, x = draw(2, W), draw(2, 3, 32, 32)
    for name, network_class, state, convert, given in (
        ("genforce-stylegan1", Generator, generator, genforce.stylegan1, z),
        ("genforce-indomain-encoder", InDomainEncoder, encoder, genforce.indomain_encoder, x),
    ):
        source, target = tmp_path / "published.pth", tmp_path / "ours.safetensors"
        torch.save(state, source)
        convert_file(name, source, target)
        expected = load(network_class, convert(state))(given)
        assert torch.equal(load_file(network_class, target)(given), expected)


def test_published_boundary_converts(tmp_path):
    vector = np.random.default_rng(0).normal(size=(1, 14, 512)).astype(np.float32)
    content = {"boundary": vector, "meta_data": {"manipulate_layers": [4, 5]}}
    np.save(tmp_path / "age.npy", content, allow_pickle=True)
    convert_file("genforce-boundaries", tmp_path / "age.npy", tmp_path / "age.safetensors")
    tensors = load_safetensors(tmp_path / "age.safetensors")
    assert tensors["age.layers"].nonzero().flatten().tolist() == [4, 5]
    torch.testing.assert_close(
        tensors["age.normal"] / tensors["age.slope"], torch.from_numpy(vector[0])
    )


def test_half_grown_generator_is_refused():
    state = published_generator(True, ())
    state["synthesis.lod"] = torch.tensor(1.5)
    with pytest.raises(WeightsError, match="lod 1.5"):
        genforce.stylegan1(state)


def test_another_file_is_refused():
    with pytest.raises(WeightsError, match="StyleGAN generator of 2019"):
        genforce.stylegan1({"block0.conv.weight": draw(1)})
    with pytest.raises(WeightsError, match="in-domain"):
        genforce.indomain_encoder(published_generator(True, ()))


def shapes(network) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


@pytest.mark.parametrize(("resolution", "layers"), [(128, 12), (256, 14), (512, 16), (1024, 18)])
def test_published_generator_has_the_published_shapes(resolution, layers):
    with torch.device("meta"):
        network = Generator(resolution, layerwise_mapping=True, tanh=True)
    found = shapes(network)
    assert network.num_ws == layers
    assert found["mapping.dense0.weight"] == (512, 512)
    assert found["mapping.dense7.weight"] == (512 * layers, 512)
    assert found["synthesis.layer0.const"] == (512, 4, 4)
    last, side = f"synthesis.layer{layers - 2}", min(512, 16384 // resolution)
    assert found[f"{last}.weight"] == (side, min(512, 2 * side), 3, 3)
    assert found[f"{last}.style.weight"] == (2 * side, 512)
    assert found["synthesis.torgb.weight"] == (3, side, 1, 1)
    fused = [level.fused for name, level in network.synthesis.named_children() if "layer" in name
             and getattr(level, "up", False)]  # fmt: skip
    assert fused == [8 * 2**i >= 128 for i in range(layers // 2 - 1)]


# 256 px as in-domain inversion publishes it, 1024 px as TensorFlow's summary lists it.
@pytest.mark.parametrize(
    ("resolution", "layerwise", "parameters"), [(256, True, 29_500_757), (1024, False, 26_219_627)]
)
def test_published_number_of_parameters(resolution, layerwise, parameters):
    with torch.device("meta"):
        network = Generator(resolution, layerwise_mapping=layerwise)
    # Ours has one colour layer, theirs one a resolution; their level of detail is not counted.
    lower = [4 * 2**i for i in range(resolution.bit_length() - 3)]
    colours = sum(3 * min(512, 16384 // level) + 3 for level in lower)
    assert sum(p.numel() for p in network.parameters()) + colours == parameters


def published_encoder() -> dict[str, torch.Tensor]:
    """Random numbers under the names of idinvert_pytorch: 32 px, widths 4, 8, 12, 12."""
    torch.manual_seed(3)
    state = {}

    def norm(name: str, count: int) -> None:
        state[f"{name}.bn.weight"], state[f"{name}.bn.bias"] = 1 + 0.3 * draw(count), draw(count)
        state[f"{name}.bn.running_mean"] = draw(count)
        state[f"{name}.bn.running_var"] = 0.1 + torch.rand(count)

    widths = (4, 8, 12, 12)
    state["block0.conv.weight"] = draw(4, 3, 3, 3)
    norm("block0.bn", 4)
    for i in (1, 2, 3):
        a, b = widths[i - 1], widths[i]
        if a != b:
            state[f"block{i}.conv.weight"] = draw(b, a, 1, 1)
            norm(f"block{i}.bn", b)
        for half, inputs, outputs in ((1, a, min(a, b)), (2, min(a, b), b)):
            state[f"block{i}.conv{half}.weight"] = draw(outputs, inputs, 3, 3)
            state[f"block{i}.wscale{half}.bias"] = draw(outputs)
            norm(f"block{i}.bn{half}", outputs)
    state["block4.fc.weight"] = draw(8 * W, 12 * 16)
    norm("block4.bn", 8 * W)
    return state


@pytest.mark.parametrize("counted", [True, False])
def test_encoder_equals_the_literal_formulation(counted):
    state = published_encoder()
    content = dict(state)
    if counted:  # files since torch 0.4.1
        for key in state:
            if key.endswith("running_mean"):
                name = key.replace("running_mean", "num_batches_tracked")
                content[name] = torch.tensor(7)
    encoder = load(InDomainEncoder, genforce.indomain_encoder(content))
    x = draw(2, 3, 32, 32)
    close(encoder(x), reference.encoder(state, x, W))
    assert encoder.num_ws == 8


def test_published_encoder_has_the_published_shapes():
    with torch.device("meta"):
        network = InDomainEncoder()
    found = shapes(network)
    assert found["block0.conv.weight"] == (64, 3, 3, 3)
    assert found["block4.conv1.weight"] == (512, 512, 3, 3)
    assert found["block4.conv2.weight"] == (1024, 512, 3, 3)
    assert found["block7.fc.weight"] == (14 * 512, 1024 * 16)
    assert sum(p.numel() for p in network.parameters()) == 165_326_848
    assert [f"block{i}.conv.weight" in found for i in range(1, 7)] == [True] * 4 + [False] * 2


@pytest.mark.parametrize("layerwise", [True, False])
@pytest.mark.parametrize(
    ("told", "moved"),
    [([3, 0], [0, 3]), ("0-2, 5", [0, 1, 2, 5]), (4, [4]), ([], range(6)), (None, range(6))],
)
def test_boundaries_move_codes_as_published(layerwise, told, moved):
    vector = draw(1, 6, W) if layerwise else draw(1, W)
    content = {"boundary": vector.double(), "meta_data": {"manipulate_layers": told}}
    tensors, _ = genforce.boundaries({"age": content}, layers=6)
    ws, distance = draw(2, 6, W), 1.7
    expected = ws.clone()
    expected[:, list(moved)] += distance * vector.expand(1, 6, W)[:, list(moved)]
    layers, normal = tensors["age.layers"], tensors["age.normal"]
    move = distance / tensors["age.slope"] * layers[:, None] * normal  # as Boundary.move does
    close(ws + move, expected)
    torch.testing.assert_close(normal.norm(), torch.tensor(1.0))
    assert (tensors["age.low"], tensors["age.high"]) == (-3, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"boundary": torch.ones(1, 5, 8)}, "got \\(1, 5, 8\\)"),
        ({"boundary": torch.zeros(1, 8)}, "zeros"),
        ({"boundary": torch.ones(1, 8), "meta_data": {"manipulate_layers": [6]}}, "0 to 5"),
        ({"boundary": torch.ones(1, 8), "meta_data": {"manipulate_layers": "low"}}, "'low'"),
        ({"boundary": "text"}, "other values"),
    ],
)
def test_broken_boundaries_are_refused(content, message):
    with pytest.raises(WeightsError, match=message):
        genforce.boundaries({"age": content}, layers=6)
