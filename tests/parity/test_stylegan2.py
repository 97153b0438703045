"""Our StyleGAN2 networks against a literal second formulation with the same weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from pipelines.networks.discriminator import Discriminator
from pipelines.networks.stylegan2 import Generator

# By path: the tests directory is no package.
_spec = importlib.util.spec_from_file_location(
    "reference_stylegan2", Path(__file__).with_name("reference_stylegan2.py")
)
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

CHANNELS = {4: 24, 8: 24, 16: 20, 32: 16, 64: 8}


@pytest.fixture(params=[32, 64])
def generator(request):
    """A generator whose every parameter and buffer differs from its trivial initial value."""
    torch.manual_seed(0)
    network = Generator(request.param, z_dim=16, w_dim=16, channels=CHANNELS).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                parameter.add_(torch.randn_like(parameter) * 0.5)
        network.mapping.w_avg.normal_()
    return network.requires_grad_(False)


@pytest.mark.parametrize("noise", ["const", "none"])
def test_synthesis_equals_the_literal_formulation(generator, noise):
    ws = torch.randn(3, generator.num_ws, 16)
    expected = reference.synthesis(
        generator.state_dict(), ws, generator.resolution, noise == "const"
    )
    difference = (generator.synthesis(ws, noise=noise) - expected).abs().max()
    assert difference < 1e-4 * max(1, expected.abs().max())


def test_gradients_to_w_equal_the_literal_formulation(generator):
    ws = torch.randn(1, generator.num_ws, 16, requires_grad=True)
    direction = torch.randn(1, 3, generator.resolution, generator.resolution)
    ours = torch.autograd.grad((generator.synthesis(ws) * direction).sum(), ws)[0]
    image = reference.synthesis(generator.state_dict(), ws, generator.resolution)
    theirs = torch.autograd.grad((image * direction).sum(), ws)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize(("truncation", "cutoff"), [(1.0, None), (0.5, None), (0.3, 4)])
def test_mapping_equals_the_literal_formulation(generator, truncation, cutoff):
    z = torch.randn(3, 16)
    expected = reference.mapping(generator.state_dict(), z, generator.num_ws, truncation, cutoff)
    torch.testing.assert_close(
        generator.mapping(z, truncation, cutoff), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(("resolution", "batch"), [(32, 8), (64, 2)])
def test_discriminator_equals_the_literal_formulation(resolution, batch):
    torch.manual_seed(1)
    network = Discriminator(resolution, channels=CHANNELS).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.normal_()
    image = torch.randn(batch, 3, resolution, resolution)
    expected = reference.discriminator(network.state_dict(), image)
    torch.testing.assert_close(network(image), expected, rtol=1e-4, atol=1e-4)


def test_a_mapping_without_normalisation_takes_z_as_it_is(generator):
    plain = Generator(32, 16, 16, channels=CHANNELS, normalize_z=False).mapping
    plain.load_state_dict(generator.mapping.state_dict())
    z = torch.randn(3, 16)
    unit = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    torch.testing.assert_close(plain(unit)[:, 0], generator.mapping(z)[:, 0])
    assert (plain(z)[:, 0] - generator.mapping(z)[:, 0]).abs().max() > 0.01


def test_a_clamp_limits_every_layer_and_the_colour_of_every_block(generator):
    limited = Generator(
        generator.resolution, 16, 16, channels=CHANNELS, conv_clamp=0.4
    ).synthesis  # fmt: skip
    limited.load_state_dict(generator.synthesis.state_dict())
    ws = torch.randn(2, generator.num_ws, 16)
    (_, free), (image, bound) = generator.synthesis(ws, features=True), limited(ws, features=True)
    torch.testing.assert_close(bound["b4.conv1"], free["b4.conv1"].clamp(-0.4, 0.4))
    assert all(maps.abs().max() <= 0.4 for maps in bound.values())
    assert image.abs().max() <= 0.4 * len(limited.blocks)
