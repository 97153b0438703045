"""EG3D and its cameras on tiny components."""

from __future__ import annotations

import math

import pytest
import torch
from accelerate import cpu_offload_with_hook
from torch._subclasses.fake_tensor import FakeTensorMode

from pipelines.networks import cameras
from pipelines.networks.eg3d import TriPlaneGenerator
from pipelines.networks.rendering import Renderer, important_depths, march, rays, sample_planes
from pipelines.networks.stylegan2 import published_channels

FIXED = [[0.2376, 0.2131, 0.1896], [-0.0891, -0.1598, -0.3124], [0.1523, 0.1989, 0.2673]]


def build(**arguments) -> TriPlaneGenerator:
    torch.manual_seed(0)
    settings = {
        "resolution": 16, "z_dim": 8, "w_dim": 8, "plane_resolution": 16, "plane_channels": 4,
        "channels": {4: 8, 8: 8, 16: 8}, "rendering_resolution": 4, "samples": 6,
        "importance_samples": 6, "decoder_channels": 8, "superresolution_channels": (8, 4),
    }  # fmt: skip
    network = TriPlaneGenerator(**{**settings, **arguments}).eval()
    with torch.no_grad():
        network.decoder.net[2].bias[0] = 4.0  # solid enough to see
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def generator():
    return build()


@pytest.fixture
def ws(generator):
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(1))
    return generator.backbone.mapping(z, cameras.camera())


def test_fixed_slice(generator, ws):
    view = generator.render(generator.backbone.synthesis(ws), ws, cameras.camera(0.3, -0.1))
    assert view.image.shape == (1, 3, 16, 16)
    assert view.raw.shape == (1, 3, 4, 4) and view.depth.shape == (1, 1, 4, 4)
    torch.testing.assert_close(view.image[0, :, 7, 6:9], torch.tensor(FIXED), rtol=0, atol=1e-4)


def test_cached_planes_give_the_same_picture(generator):
    z, c = torch.randn(1, 8), cameras.camera(0.4)
    ws = generator.backbone.mapping(z, c)
    planes = generator.backbone.synthesis(ws)
    first, again = generator.render(planes, ws, c), generator.render(planes, ws, c)
    for whole, one, other in zip(generator(z, c), first, again, strict=True):
        assert torch.equal(whole, one) and torch.equal(one, other)


def test_one_code_seen_by_an_orbit(generator, ws):
    planes, path = generator.backbone.synthesis(ws), cameras.orbit(4)
    together = generator.render(planes, ws, path)
    assert together.image.shape == (4, 3, 16, 16)
    for index, c in enumerate(path.split(1)):
        for many, one in zip(together, generator.render(planes, ws, c), strict=True):
            torch.testing.assert_close(many[index : index + 1], one, rtol=1e-4, atol=1e-5)
    assert (together.raw[0] - together.raw[2]).abs().max() > 0.01


def test_each_code_meets_its_own_camera(generator):
    z, c = torch.randn(2, 8), cameras.orbit(2)
    both = generator(z, c, conditioning=cameras.camera())
    for index in range(2):
        part = slice(index, index + 1)
        alone = generator(z[part], c[part], conditioning=cameras.camera())
        torch.testing.assert_close(both.image[part], alone.image, rtol=1e-4, atol=1e-5)


def test_few_rays_at_once_change_nothing(generator, ws):
    planes, c = generator.backbone.synthesis(ws), cameras.orbit(2)
    whole = generator.render(planes, ws, c)
    pieces = generator.render(planes, ws, c, rays_at_once=5)
    for expected, got in zip(whole, pieces, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_jitter_follows_its_generator(generator, ws):
    planes, c = generator.backbone.synthesis(ws), cameras.camera()

    def drawn(seed: int) -> torch.Tensor:
        source = torch.Generator().manual_seed(seed)
        return generator.render(planes, ws, c, jitter=True, generator=source).raw

    assert torch.equal(drawn(1), drawn(1))
    assert (drawn(1) - drawn(2)).abs().max() > 1e-4


def test_gradient_reaches_every_w(generator, ws):
    ws = ws.detach().requires_grad_(True)
    view = generator.render(generator.backbone.synthesis(ws), ws, cameras.camera())
    (slope,) = torch.autograd.grad(view.image.square().mean(), ws)
    assert slope.isfinite().all() and (slope.abs().amax(dim=(0, 2)) > 0).all()
    step = 1e-2 * slope / slope.norm()
    with torch.no_grad():
        ahead, behind = (
            generator.render(generator.backbone.synthesis(w), w, cameras.camera()).image
            for w in (ws + step, ws - step)
        )
    rise = (ahead.square().mean() - behind.square().mean()) / 2e-2
    torch.testing.assert_close(rise, slope.norm(), rtol=0.05, atol=1e-4)


def test_gradient_of_the_depth_of_emptiness_is_finite():
    density = torch.full((1, 1, 4), -200.0, requires_grad=True)
    t = torch.linspace(1, 2, 4)[None, None]
    features, depth, weights = march(t, density, torch.rand(1, 1, 4, 3))
    depth.clamp(1, 2).sum().backward()
    assert torch.isinf(depth).all() and weights.sum() == 0 and (features == -1).all()
    assert density.grad.isfinite().all()


def test_every_stage_is_called_as_a_module(generator):
    stages = {
        name: generator.get_submodule(name)
        for name in (
            "backbone.mapping", "backbone.synthesis", "renderer", "decoder", "superresolution",
        )
    }  # fmt: skip
    calls = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: calls.append(name))
        for name, module in stages.items()
    ]
    generator(torch.randn(1, 8), cameras.camera())
    for hook in hooks:
        hook.remove()
    assert calls == [*list(stages)[:3], "decoder", "decoder", "superresolution"]


def test_offload_hooks_on_every_stage_with_weights():
    network, z, c = build(), torch.randn(1, 8), cameras.camera()
    expected = network(z, c)
    names = ("backbone.mapping", "backbone.synthesis", "decoder", "superresolution")
    hooks = [cpu_offload_with_hook(network.get_submodule(name), "cpu")[1] for name in names]
    for one, other in zip(network(z, c), expected, strict=True):
        assert torch.equal(one, other)
    covered = sum(p.numel() for name in names for p in network.get_submodule(name).parameters())
    assert covered == sum(p.numel() for p in network.parameters())
    for hook in hooks:
        hook.remove()


def test_conditioning_changes_the_person_and_zero_scale_ignores_it():
    z, cs = torch.randn(1, 8), (cameras.camera(0.5), cameras.camera(-0.5))
    one, other = (build().backbone.mapping(z, c) for c in cs)
    assert (one - other).abs().max() > 1e-3
    blind = build(c_scale=0).backbone.mapping
    assert torch.equal(blind(z, cs[0]), blind(z, cs[1]))


def test_truncation_zero_is_the_average(generator):
    mapping = build().backbone.mapping
    mapping.w_avg.normal_()
    ws = mapping(torch.randn(2, 8), cameras.camera(), truncation=0.0, truncation_cutoff=2)
    assert torch.equal(ws[:, :2], mapping.w_avg.expand(2, 2, 8))
    assert (ws[:, 2:] - mapping.w_avg).abs().max() > 1e-3


def test_a_solid_ball_is_found_where_it_is():
    """Density that is a ball of radius 0.2 gives its front as depth, and nothing beside it."""

    class Ball(torch.nn.Module):
        def forward(self, features):
            # The planes hold their own coordinates: x, y, z of every point come back.
            inside = features.norm(dim=2) < 0.2
            return torch.where(inside, 400.0, -400.0), features

    ramp = torch.linspace(-1, 1, 65)[1::2] / 2  # pixel centres of a box of side 1
    planes = torch.zeros(1, 3, 3, 32, 32)
    planes[0, 0, 0], planes[0, 0, 1] = 3 * ramp, 3 * ramp[:, None]
    planes[0, 1, 2] = 3 * ramp[:, None]
    renderer = Renderer(48, 48)
    _, depth = renderer(planes, Ball(), cameras.camera(), 9)
    straight = math.hypot(cameras.RADIUS, 0)
    # The camera looks at z = 0.2, the ball's front on the axis of the view.
    assert abs(float(depth[0, 0, 4, 4]) - (straight - 0.2)) < 0.03
    assert float(depth[0, 0, 0, 0]) == pytest.approx(3.3)


def test_points_outside_the_box_are_empty_and_inside_bilinear():
    planes = torch.ones(1, 3, 2, 8, 8)
    points = torch.tensor([[[0.0, 0, 0], [0.3, -0.2, 0.1], [0.8, 0, 0], [0.0, 0.8, 0]]])
    found = sample_planes(planes, points)
    torch.testing.assert_close(found[0, :2], torch.ones(2, 2))
    # x lies on all three published planes, y on the first alone.
    torch.testing.assert_close(found[0, 2:], torch.tensor([[0.0, 0], [2 / 3, 2 / 3]]))
    wide = sample_planes(planes, points, box=2.0)
    torch.testing.assert_close(wide, torch.ones(1, 4, 2))


def test_second_pass_gathers_where_the_weight_is():
    t = torch.linspace(0, 1, 21)[None, None]
    weights = torch.zeros(1, 1, 20)
    weights[..., 10] = 1.0
    fine = important_depths(t, weights, torch.linspace(0, 1, 50)[None, None])
    assert (fine.diff() >= 0).all()
    # At 0.5, less the half step that the published intervals lag behind.
    assert ((fine - 0.5).abs() < 0.1).float().mean() > 0.8


def test_centre_ray_of_the_frontal_camera_looks_down_the_axis():
    origins, directions = rays(cameras.camera(), 3)
    torch.testing.assert_close(origins[0, 4], torch.tensor([0.0, 0, cameras.RADIUS]))
    torch.testing.assert_close(directions[0, 4], torch.tensor([0.0, 0, -1]), rtol=0, atol=1e-6)
    assert directions[0, 5, 0] > 0 and directions[0, 7, 1] < 0  # right is +x, down is -y
    torch.testing.assert_close(directions.norm(dim=2), torch.ones(1, 9))


def test_lens():
    assert cameras.focal_length(18.83) == pytest.approx(cameras.FOCAL, abs=1e-3)
    across = 2 * math.degrees(math.atan(math.hypot(0.5, 0.5) / cameras.FOCAL))
    assert across == pytest.approx(18.83, abs=0.01)


def test_poses_are_rotations_that_see_the_pivot():
    pose = cameras.look_at(torch.tensor([0.0, 0.5, 3.0]), torch.tensor([0.0, -0.4, 1.5]))
    turn = pose[:, :3, :3]
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3).expand(3, 3, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(3))
    seen = turn.mT @ (torch.tensor(cameras.PIVOT) - pose[:, :3, 3])[..., None]
    assert (seen[:, :2].abs() < 1e-5).all() and (seen[:, 2] > 2).all()
    torch.testing.assert_close(pose[:, :3, 3].norm(dim=1), torch.full((3,), cameras.RADIUS))
    assert pose[1, 0, 3] > 0 and pose[1, 1, 3] > 0  # towards +x, above


def test_published_size():
    with FakeTensorMode():  # shapes without memory or arithmetic
        network = TriPlaneGenerator()
        c, ws = torch.zeros(1, 25), torch.zeros(1, 14, 512)
        planes = network.backbone.synthesis(network.backbone.mapping(torch.zeros(1, 512), c))
        view = network.render(planes, ws, c)
    assert planes.shape == (1, 3, 32, 256, 256) and network.num_ws == 14
    assert view.image.shape == (1, 3, 512, 512) and view.raw.shape == (1, 3, 128, 128)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    expected = {
        "backbone.mapping.embed.weight": (512, 25),
        "backbone.mapping.fc0.weight": (512, 1024),
        "backbone.mapping.fc1.weight": (512, 512),
        "backbone.synthesis.b256.torgb.weight": (96, 128, 1, 1),
        "decoder.net.0.weight": (64, 32),
        "decoder.net.2.bias": (33,),
        "superresolution.block0.conv0.weight": (256, 32, 3, 3),
        "superresolution.block0.conv0.noise_const": (256, 256),
        "superresolution.block1.conv1.weight": (128, 128, 3, 3),
        "superresolution.block1.torgb.weight": (3, 128, 1, 1),
    }
    assert {name: shapes[name] for name in expected} == expected
    assert "backbone.mapping.fc2.weight" not in shapes
    assert published_channels(256)[256] == 128


def test_round_trip(generator, ws, tmp_path):
    generator.save_pretrained(tmp_path)
    restored = TriPlaneGenerator.from_pretrained(tmp_path).eval().requires_grad_(False)
    c, planes = cameras.camera(0.2), generator.backbone.synthesis(ws)
    assert torch.equal(restored.backbone.synthesis(ws), planes)
    assert torch.equal(restored.render(planes, ws, c).image, generator.render(planes, ws, c).image)


def render(planes: int, seen: int):
    return build().render(
        torch.zeros(planes, 3, 4, 8, 8), torch.zeros(1, 6, 8), torch.ones(seen, 25)
    )


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: build(samples=3), "samples must be at least 4"),
        (lambda: build(ray_start=3.4), "rays must start before they end; got 3.4 to 3.3"),
        (lambda: build(resolution=18), "resolution divisible by 4"),
        (lambda: build()(torch.zeros(1, 7), torch.zeros(1, 25)), r"z must be \(batch, 8\)"),
        (lambda: build()(torch.zeros(1, 8), torch.zeros(2, 25)), "1 or batch cameras"),
        (lambda: build()(torch.zeros(1, 8), torch.zeros(1, 16)), r"c must be \(batch, 25\)"),
        (lambda: build().backbone.synthesis(torch.zeros(1, 8)), r"ws must be \(batch, 6, 8\)"),
        (lambda: render(3, 2), r"planes must be \(1 or 2, 3"),
        (lambda: cameras.focal_length(200), "0 to 180 degrees; got 200"),
        (lambda: cameras.orbit(0), "frames must be at least 1"),
    ],
)
def test_errors_say_what_was_expected(action, words):
    with pytest.raises(ValueError, match=words):
        action()
