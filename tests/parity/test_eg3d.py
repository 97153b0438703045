"""Our EG3D against a literal second formulation with the same weights."""

from __future__ import annotations

import pytest
import torch

from pipelines.networks import cameras
from pipelines.networks.eg3d import TriPlaneGenerator
from tests.parity import reference_eg3d as reference

SETTINGS = {
    "depth_resolution": 7,
    "depth_resolution_importance": 5,
    "ray_start": 2.25,
    "ray_end": 3.3,
    "box_warp": 1,
    "decoder_lr_mul": 0.5,
}
LIMIT = 1.5  # low enough that many values meet it
SIDE = 4


def build(side: int = SIDE, importance: int = 5) -> TriPlaneGenerator:
    """A generator whose every parameter and buffer differs from its trivial initial value."""
    torch.manual_seed(0)
    network = TriPlaneGenerator(
        16, z_dim=8, w_dim=8, c_scale=0.7, plane_resolution=16, plane_channels=5,
        channels={4: 12, 8: 10, 16: 8}, rendering_resolution=side, samples=7,
        importance_samples=importance, decoder_channels=6, decoder_lr_multiplier=0.5,
        superresolution_channels=(8, 6), superresolution_limit=LIMIT,
    )  # fmt: skip
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                parameter.add_(torch.randn_like(parameter) * 0.5)
        network.decoder.net[2].weight.mul_(16)  # opaque in places, thin in others
        network.decoder.net[2].bias[0] -= 8
        network.backbone.mapping.w_avg.normal_()
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def generator():
    return build()


@pytest.fixture
def c():
    """Two cameras; the second has a lens of its own with skew and an off-centre picture."""
    lens = torch.tensor([[4.0, 0.1, 0.52], [0, 4.4, 0.47], [0, 0, 1]])
    side = cameras.look_at(torch.tensor([0.6]), torch.tensor([-0.3]))
    return torch.cat([cameras.camera(-0.2, 0.1), cameras.as_camera(side, lens)])


def view(generator, ws, c, side=SIDE, jitter=False):
    """The reference's image, raw image and depth."""
    weights = generator.state_dict()
    settings = {**SETTINGS, "depth_resolution_importance": generator.renderer.importance_samples}
    codes = reference.planes(weights, ws, 16)
    features, depth = reference.render(weights, codes, c, side, settings, jitter)
    image = reference.superresolution(weights, features, ws, SIDE, LIMIT)
    return image, features[:, :3], depth


def assert_same(ours, theirs):
    for mine, expected in zip(ours, theirs, strict=True):
        assert mine.shape == expected.shape
        assert expected.std() > 0.02  # not a flat picture
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("truncation", "cutoff"), [(1.0, None), (0.5, None), (0.3, 2)])
def test_mapping_equals_the_literal_formulation(generator, c, truncation, cutoff):
    z = torch.randn(2, 8)
    expected = reference.mapping(generator.state_dict(), z, c, 6, 0.7, truncation, cutoff)
    ours = generator.backbone.mapping(z, c, truncation, cutoff)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("noise", ["const", "none"])
def test_planes_equal_the_literal_formulation(generator, noise):
    ws = torch.randn(2, 6, 8)
    expected = reference.planes(generator.state_dict(), ws, 16, noise == "const")
    ours = generator.backbone.synthesis(ws, noise)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(("side", "importance"), [(4, 5), (4, 0), (6, 5), (3, 5)])
def test_views_equal_the_literal_formulation(c, side, importance):
    generator = build(side, importance)
    ws = torch.randn(2, 6, 8)
    ours = generator.render(generator.backbone.synthesis(ws), ws, c)
    assert_same(ours, view(generator, ws, c, side))


def test_jittered_views_take_their_numbers_in_the_published_order(generator, c):
    ws = torch.randn(2, 6, 8)
    planes = generator.backbone.synthesis(ws)
    torch.manual_seed(3)
    ours = generator.render(planes, ws, c, jitter=True)
    torch.manual_seed(3)
    assert_same(ours, view(generator, ws, c, jitter=True))
    assert (ours.raw - generator.render(planes, ws, c).raw).abs().max() > 1e-3


def test_whole_network_equals_the_literal_formulation(generator, c):
    z = torch.randn(2, 8)
    ws = reference.mapping(generator.state_dict(), z, c, 6, 0.7)
    assert_same(generator(z, c), view(generator, ws, c))


def test_gradients_equal_the_literal_formulation(generator, c):
    ws = torch.randn(2, 6, 8, requires_grad=True)
    c = c.requires_grad_(True)
    ours = generator.render(generator.backbone.synthesis(ws), ws, c)
    directions = [torch.randn_like(part) for part in ours]

    def gradients(parts):
        loss = sum((part * way).sum() for part, way in zip(parts, directions, strict=True))
        return torch.autograd.grad(loss, (ws, c))

    for mine, expected in zip(gradients(ours), gradients(view(generator, ws, c)), strict=True):
        scale = float(expected.abs().max())
        torch.testing.assert_close(mine, expected, rtol=1e-3, atol=2e-4 * scale)


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (0.4, -0.2), (-0.7, 0.3), (2.0, 1.2)])
def test_poses_equal_the_literal_formulation(yaw, pitch):
    ours = cameras.look_at(torch.tensor([yaw]), torch.tensor([pitch]))[0]
    torch.testing.assert_close(
        ours, reference.pose(yaw, pitch, cameras.PIVOT, cameras.RADIUS), rtol=1e-5, atol=1e-5
    )
