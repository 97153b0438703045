"""Our BigGAN-deep, converted from published names, against a literal second formulation."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from pipelines.networks.biggan import F2, BigGAN, truncated_normal
from weights import WeightsError, load_file
from weights.convert import biggan, convert_file

# By path: the tests directory is no package.
_spec = importlib.util.spec_from_file_location(
    "reference_biggan", Path(__file__).with_name("reference_biggan.py")
)
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

Z, WIDTH, CLASSES, STATS = 6, 8, 5, 11
LAYERS = ((4, 4), (4, 4), (4, 4), (4, 2), (2, 2), (2, 1))  # channels of each block / WIDTH
ATTENTION = 4
SIDES = (4, 8, 8, 16, 16, 16, 32)  # after each layer, the attention included


def published() -> dict[str, torch.Tensor]:
    """Random numbers under the names of pytorch_pretrained_biggan, 32 px."""
    torch.manual_seed(0)
    state = {"embeddings.weight": torch.randn(Z, CLASSES)}

    def spectral(name: str, *shape: int, bias: bool = True) -> None:
        weight = torch.randn(shape)
        left, _, right = torch.linalg.svd(weight.flatten(1), full_matrices=False)
        # Stored vectors are estimates that miss by a little; evaluation takes them as they are.
        u, v = left[:, 0] + 0.05 * torch.randn(len(left)), right[0]
        if bias:
            state[f"{name}.bias"] = 0.3 * torch.randn(shape[0])
        state[f"{name}.weight_orig"] = weight
        state[f"{name}.weight_u"], state[f"{name}.weight_v"] = u / u.norm(), v

    def statistics(name: str, count: int) -> None:
        state[f"{name}.running_means"] = torch.randn(STATS, count)
        state[f"{name}.running_vars"] = 0.05 + torch.rand(STATS, count)

    spectral("generator.gen_z", 16 * 4 * WIDTH, 2 * Z)
    places = [i for i in range(len(LAYERS) + 1) if i != ATTENTION]
    for place, (before, after) in zip(places, LAYERS, strict=True):
        name, middle = f"generator.layers.{place}", before * WIDTH // 4
        for index, count in enumerate((before * WIDTH, middle, middle, middle)):
            statistics(f"{name}.bn_{index}", count)
            spectral(f"{name}.bn_{index}.scale", count, 2 * Z, bias=False)
            spectral(f"{name}.bn_{index}.offset", count, 2 * Z, bias=False)
        spectral(f"{name}.conv_0", middle, before * WIDTH, 1, 1)
        spectral(f"{name}.conv_1", middle, middle, 3, 3)
        spectral(f"{name}.conv_2", middle, middle, 3, 3)
        spectral(f"{name}.conv_3", after * WIDTH, middle, 1, 1)
    name, count = f"generator.layers.{ATTENTION}.snconv1x1", 2 * WIDTH
    spectral(f"{name}_theta", count // 8, count, 1, 1, bias=False)
    spectral(f"{name}_phi", count // 8, count, 1, 1, bias=False)
    spectral(f"{name}_g", count // 2, count, 1, 1, bias=False)
    spectral(f"{name}_o_conv", count, count // 2, 1, 1, bias=False)
    state[f"generator.layers.{ATTENTION}.gamma"] = torch.tensor([0.7])
    statistics("generator.bn", WIDTH)
    state["generator.bn.weight"], state["generator.bn.bias"] = torch.randn(2, WIDTH)
    spectral("generator.conv_to_rgb", WIDTH, WIDTH, 3, 3)
    return state


@pytest.fixture(scope="module")
def state():
    return published()


@pytest.fixture(scope="module")
def network(state):
    tensors, config = biggan.convert(state)
    built = BigGAN(**config).eval().requires_grad_(False)
    built.load_state_dict(tensors, strict=True)
    return built


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    return torch.randn(3, Z), torch.tensor([4, 0, 2])


def close(ours, theirs):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 1e-4 * max(1, theirs.abs().max())


# Multiples of 1 / 10, what lies between them, and 0.3, whose quotient by 0.1 rounds below 3.
@pytest.mark.parametrize("truncation", [1.0, 1, 0.5, 0.3, 0.37, 0.04, 0.999])
def test_images_equal_the_literal_formulation(state, network, inputs, truncation):
    z, classes = inputs
    expected = reference.generate(state, z, torch.eye(CLASSES)[classes], truncation)
    close(network(z, classes, truncation), expected)
    assert expected.std() > 0.1 and expected.abs().mean() < 0.95  # neither flat nor saturated


def test_classes_may_be_mixed(state, network, inputs):
    z, mixture = inputs[0], torch.rand(3, CLASSES)
    close(network(z, mixture, 0.5), reference.generate(state, z, mixture, 0.5))


def test_gradients_equal_the_literal_formulation(state, network, inputs):
    z, classes = inputs[0].requires_grad_(), torch.eye(CLASSES)[inputs[1]]
    direction = torch.randn(3, 3, 32, 32)
    ours = torch.autograd.grad((network(z, classes, 0.5) * direction).sum(), z)[0]
    theirs = (reference.generate(state, z, classes, 0.5) * direction).sum()
    theirs = torch.autograd.grad(theirs, z)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))


def test_features_move_after_their_layer(state, network, inputs):
    z, classes = inputs
    one_hot = torch.eye(CLASSES)[classes]
    latents = network.mapping(z, network.mapping.embed(classes))
    for index, side in enumerate(SIDES):
        channels, *place = network.synthesis.shapes[f"layers.{index}"]
        assert place == [side, side]
        delta, mask = torch.randn(3, channels, side, side), torch.rand(3, 1, side, side)
        name = f"layers.{index}"
        moved = network.synthesis(latents, 0.5, {name: delta}, masks={name: mask})
        close(moved, reference.generate(state, z, one_hot, 0.5, {index: mask * delta}))
        inert = network.synthesis(latents, 0.5, {name: delta}, masks={name: 0 * mask})
        assert torch.equal(inert, network.synthesis(latents, 0.5))


def test_features_give_the_image_back(network, inputs):
    z, classes = inputs
    latents = network.mapping(z, network.mapping.embed(classes))
    image, seen = network.synthesis(latents, 0.5, features=True)
    other = network.mapping(torch.randn_like(z), network.mapping.embed(classes))
    mixed = torch.cat([other[:, :4], latents[:, 4:]], dim=1)  # first layer, blocks 0, 1 and 2
    _, before = network.synthesis(mixed, 0.5, features=True)
    rebuilt, after = network.synthesis(mixed, 0.5, {F2: seen[F2] - before[F2]}, features=True)
    close(rebuilt, image)
    close(after[F2], seen[F2])
    assert (before[F2] - seen[F2]).abs().max() > 0.1
    assert list(seen) == [f"layers.{i}" for i in range(len(SIDES))]
    assert {name: tuple(x.shape[1:]) for name, x in seen.items()} == network.synthesis.shapes


def test_every_layer_reads_its_own_latent(network, inputs):
    z, classes = inputs
    embedding = network.mapping.embed(classes)
    many = z[:, None].repeat(1, network.mapping.num_latents, 1)
    same = network.synthesis(network.mapping(many, embedding))
    assert torch.equal(same, network.synthesis(network.mapping(z, embedding)))
    for layer in range(network.mapping.num_latents):
        other = many.clone()
        other[:, layer] += 1
        changed = network.synthesis(network.mapping(other, embedding))
        assert (changed - same).abs().max() > 1e-3


def test_wrong_inputs_are_refused(network, inputs):
    z, classes = inputs
    latents = network.mapping(z, network.mapping.embed(classes))
    for truncation in (0, 1.01):
        with pytest.raises(ValueError, match="truncation must be over 0"):
            network.synthesis(latents, truncation)
    with pytest.raises(ValueError, match="deltas must be named"):
        network.synthesis(latents, deltas={"layers.9": torch.zeros(1)})
    with pytest.raises(ValueError, match="delta must be"):
        network.synthesis(latents, deltas={F2: torch.zeros(3, 1, 8, 8)})
    with pytest.raises(ValueError, match="without delta"):
        network.synthesis(latents, masks={F2: torch.zeros(3, 1, 8, 8)})
    with pytest.raises(ValueError, match="latents must be"):
        network.synthesis(latents[:, 1:])
    with pytest.raises(ValueError, match="z must be"):
        network.mapping(z[:, 1:], network.mapping.embed(classes))
    with pytest.raises(ValueError, match="0 to 4"):
        network.mapping.embed(torch.tensor([5]))
    with pytest.raises(ValueError, match="widths must hold"):
        BigGAN(64)


def test_truncated_latents_stay_inside_and_spread():
    z = truncated_normal((4000, 4), 0.5, torch.Generator().manual_seed(0))
    assert z.abs().max() <= 1 and z.abs().max() > 0.95
    assert abs(z.std() - 0.5 * 0.8796) < 0.01  # deviation of a normal cut at 2: 0.8796


def test_published_file_converts_and_loads(state, network, inputs, tmp_path):
    torch.save(state, tmp_path / "pytorch_model.bin")
    target = tmp_path / "biggan.safetensors"
    convert_file("biggan-deep", tmp_path / "pytorch_model.bin", target)
    assert torch.equal(load_file(BigGAN, target)(*inputs, 0.5), network(*inputs, 0.5))


def test_another_file_is_refused(state):
    with pytest.raises(WeightsError, match="BigGAN-deep"):
        biggan.convert({"synthesis.layer0.const": torch.zeros(1)})
    cut = {k: v for k, v in state.items() if not k.endswith("conv_2.weight_u")}
    with pytest.raises(WeightsError, match="weight_u"):
        biggan.convert(cut)
    with pytest.raises(WeightsError, match="attention"):
        biggan.convert({k: v for k, v in state.items() if not k.endswith("gamma")})


# resolution [px], parameters of the published network, layers with the attention
@pytest.mark.parametrize(
    ("resolution", "parameters", "layers"),
    [(128, 50_388_609, 11), (256, 55_880_833, 13), (512, 56_163_905, 15)],
)
def test_published_sizes(resolution, parameters, layers):
    with torch.device("meta"):
        network = BigGAN(resolution)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    ours = sum(p.numel() for p in network.parameters())
    dropped = 125 * (9 * 128 + 1)  # channels of the colour layer that are never shown
    assert ours + dropped == parameters
    assert shapes["mapping.embeddings.weight"] == (128, 1000)
    assert shapes["synthesis.gen_z.weight"] == (4 * 4 * 2048, 256)
    assert shapes["synthesis.layers.0.bn_0.running_means"] == (51, 2048)
    assert shapes["synthesis.layers.8.gamma"] == (1,)
    assert shapes[f"synthesis.layers.{layers - 1}.conv_3.weight"][0] == 128
    assert network.synthesis.shapes[F2] == (2048, 8, 8)
    assert network.synthesis.shapes["layers.8"][1] == 64
    assert network.synthesis.resolution == resolution == network.synthesis.shapes[
        f"layers.{layers - 1}"][1]  # fmt: skip
