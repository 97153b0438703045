"""The StyleGAN2 generator on tiny components."""

from __future__ import annotations

import pytest
import torch

from pipelines.networks.modulation import FrozenLayer, modulated_layer
from pipelines.networks.stylegan2 import Generator, published_channels

CHANNELS = {4: 16, 8: 16, 16: 12, 32: 8}
FIXED = [[0.4253, 0.4203, 0.4923], [0.6239, 0.3777, 0.0795], [0.9057, 0.3888, -0.1613]]


def build(**arguments) -> Generator:
    torch.manual_seed(0)
    return Generator(32, z_dim=8, w_dim=8, channels=CHANNELS, **arguments).eval()


@pytest.fixture
def generator():
    return build()


@pytest.fixture
def ws(generator):
    return generator.mapping(torch.randn(2, 8, generator=torch.Generator().manual_seed(1)))


def test_fixed_slice(generator, ws):
    with torch.no_grad():
        image = generator.synthesis(ws)
    assert image.shape == (2, 3, 32, 32)
    expected = torch.tensor(FIXED)
    torch.testing.assert_close(image[0, :, 15, 14:17], expected, rtol=0, atol=1e-4)


def test_published_names_of_a_64_pixel_generator():
    network = Generator(64, channels=dict.fromkeys((4, 8, 16, 32, 64), 8), z_dim=8, w_dim=8)
    layer = {
        "weight", "bias", "noise_const", "noise_strength", "resample_filter",
        "affine.weight", "affine.bias",
    }  # fmt: skip
    torgb = {"weight", "bias", "affine.weight", "affine.bias"}
    expected = {"mapping.w_avg", "synthesis.b4.const"}
    expected |= {f"mapping.fc{i}.{end}" for i in range(8) for end in ("weight", "bias")}
    for level in (4, 8, 16, 32, 64):
        block = f"synthesis.b{level}"
        expected |= {f"{block}.resample_filter"} | {f"{block}.torgb.{end}" for end in torgb}
        for name in ("conv1",) if level == 4 else ("conv0", "conv1"):
            expected |= {f"{block}.{name}.{end}" for end in layer}
    assert set(network.state_dict()) == expected
    assert network.state_dict()["synthesis.b8.conv0.noise_strength"].shape == ()


def test_published_channels():
    assert published_channels(1024) == {
        4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32,
    }  # fmt: skip


@pytest.mark.parametrize(("resolution", "num_ws"), [(16, 6), (128, 12), (256, 14), (1024, 18)])
def test_one_w_per_layer_and_colour(resolution, num_ws):
    levels = dict.fromkeys(published_channels(resolution), 1)
    with torch.device("meta"):
        assert Generator(resolution, channels=levels).num_ws == num_ws


def test_truncation(generator):
    generator.mapping.w_avg.normal_()
    z = torch.randn(2, 8)
    full, none = generator.mapping(z), generator.mapping(z, truncation=0.0)
    torch.testing.assert_close(none, generator.mapping.w_avg.expand_as(none))
    partly = generator.mapping(z, truncation=0.0, truncation_cutoff=3)
    torch.testing.assert_close(partly[:, :3], none[:, :3])
    torch.testing.assert_close(partly[:, 3:], full[:, 3:])


def test_average_moves_towards_the_batch(generator, ws):
    generator.mapping.update_average(ws, beta=0.75)
    torch.testing.assert_close(generator.mapping.w_avg, 0.25 * ws[:, 0].mean(dim=0).detach())


def test_features_are_every_convolution(generator, ws):
    image, features = generator.synthesis(ws, features=True)
    torch.testing.assert_close(image, generator.synthesis(ws))
    assert list(features) == [
        "b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b32.conv0", "b32.conv1",
    ]  # fmt: skip
    assert features["b16.conv0"].shape == (2, 12, 16, 16)


def test_zero_mask_makes_deltas_inert_and_no_mask_does_not(generator, ws):
    name = "b16.conv1"
    deltas = {name: torch.randn(2, 12, 16, 16)}
    plain = generator.synthesis(ws)
    masked = generator.synthesis(ws, deltas=deltas, masks={name: torch.zeros(2, 1, 16, 16)})
    assert torch.equal(masked, plain)
    moved, features = generator.synthesis(ws, deltas=deltas, features=True)
    assert (moved - plain).abs().max() > 0.01
    _, before = generator.synthesis(ws, features=True)
    torch.testing.assert_close(features[name], before[name] + deltas[name])


def test_edited_codes_take_over_after_the_block_of_a_mask(generator, ws):
    edited = ws + torch.randn(ws.shape, generator=torch.Generator().manual_seed(2))
    deltas = {"b8.conv1": torch.randn(2, 16, 8, 8)}
    masks = {"b8.conv1": torch.zeros(2, 1, 8, 8)}
    synthesis = generator.synthesis
    with torch.no_grad():
        # Nowhere masked: the image of the edited codes. Not edited: the image of the codes.
        assert torch.equal(synthesis(ws, edited=edited), synthesis(edited))
        found = synthesis(ws, deltas=deltas, masks=masks, edited=edited)
        assert torch.equal(found, synthesis(edited))
        masks["b8.conv1"].uniform_()
        plain = synthesis(ws, deltas=deltas, masks=masks)
        assert torch.equal(synthesis(ws, deltas=deltas, masks=masks, edited=ws), plain)
        # Masked everywhere: what changes up to that block, its colour included, is not seen.
        early, late = ws.clone(), ws.clone()
        early[:, :3], late[:, 4:] = edited[:, :3], edited[:, 4:]
        assert torch.equal(synthesis(ws, deltas=deltas, edited=early), synthesis(ws, deltas=deltas))
        assert torch.equal(
            synthesis(ws, deltas=deltas, edited=late), synthesis(late, deltas=deltas)
        )
    with pytest.raises(ValueError, match="edited ws need"):
        synthesis(ws, noise="random", edited=edited)


def test_gradients_reach_deltas_of_a_frozen_generator(generator, ws):
    generator.requires_grad_(False)
    delta = torch.zeros(2, 12, 8 * 2, 16, requires_grad=True)
    generator.synthesis(ws.detach(), deltas={"b16.conv1": delta}).square().sum().backward()
    assert delta.grad.abs().max() > 0


def test_styles_mix_by_layer(generator, ws):
    mixed = ws[:1].clone()
    mixed[:, -2:] = ws[1:, -2:]
    _, features = generator.synthesis(mixed, features=True)
    _, content = generator.synthesis(ws[:1], features=True)
    # The last two of eight w drive b32.conv1 and colour: all before is the content's.
    torch.testing.assert_close(features["b32.conv0"], content["b32.conv0"])
    assert (features["b32.conv1"] - content["b32.conv1"]).abs().max() > 1e-3


def test_noise(generator, ws):
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.5)
        const, again = generator.synthesis(ws), generator.synthesis(ws)
        none, random = (generator.synthesis(ws, noise=noise) for noise in ("none", "random"))
    assert torch.equal(const, again)
    assert (const - none).abs().max() > 0.01 and (const - random).abs().max() > 0.01


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("side", [4, 24])  # weights larger, and smaller, than activations
def test_frozen_gradient_equals_autograd(batch, up, side):
    torch.manual_seed(2)
    kernel = build().synthesis.b8.resample_filter if up else None
    out = 2 * side if up else side
    x, style = torch.randn(batch, 6, side, side), torch.randn(batch, 6)
    inputs = [t.requires_grad_(True) for t in (x, style, torch.rand(batch, 5) + 0.5)]
    weight, bias, noise = torch.randn(5, 6, 3, 3), torch.randn(5), torch.randn(1, 1, out, out)
    frozen = modulated_layer(*inputs, weight, bias, noise, kernel)
    assert isinstance(frozen.grad_fn, FrozenLayer._backward_cls)
    trained = modulated_layer(*inputs, weight.requires_grad_(True), bias, noise, kernel)
    torch.testing.assert_close(frozen, trained, rtol=1e-4, atol=1e-4)
    direction = torch.randn_like(frozen)
    ours = torch.autograd.grad((frozen * direction).sum(), inputs)
    theirs = torch.autograd.grad((trained * direction).sum(), inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-2)


def test_training_can_be_differentiated_twice(generator, ws):
    ws = ws.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(generator.synthesis(ws).sum(), ws, create_graph=True)
    slope.square().sum().backward()
    assert generator.synthesis.b16.conv0.weight.grad.abs().max() > 0


@pytest.mark.parametrize("frozen", [False, True])
def test_bfloat16_autocast_stays_close(generator, ws, frozen):
    generator.requires_grad_(not frozen)
    ws = ws.detach().requires_grad_(True)
    expected = generator.synthesis(ws)
    with torch.autocast("cpu", torch.bfloat16):
        image = generator.synthesis(ws)
    image.square().mean().backward()
    assert image.dtype == torch.float32 and ws.grad.abs().max() > 0
    assert (image - expected).abs().mean() < 0.05 * expected.std()


def test_round_trip(generator, ws, tmp_path):
    generator.save_pretrained(tmp_path)
    restored = Generator.from_pretrained(tmp_path).eval()
    assert torch.equal(restored.synthesis(ws), generator.synthesis(ws))


def call(**arguments):
    network = build()
    return network.synthesis(torch.zeros(1, 8, 8), **arguments)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: Generator(48), "resolution must be one of"),
        (lambda: Generator(32, channels={4: 8, 8: 8}), r"\[16, 32\] missing"),
        (lambda: build()(torch.zeros(1, 7)), r"z must be \(batch, 8\); got \(1, 7\)"),
        (lambda: build().synthesis(torch.zeros(1, 8)), r"ws must be \(batch, 8, 8\)"),
        (lambda: call(noise="some"), "noise must be"),
        (lambda: call(deltas={"b32.conv1": torch.zeros(1, 8, 32, 32)}), "named among"),
        (lambda: call(deltas={"b8.conv1": torch.zeros(1, 16, 4, 4)}), "delta must be"),
        (lambda: call(masks={"b8.conv1": torch.zeros(1, 1, 8, 8)}), "without delta"),
        (
            lambda: call(
                deltas={"b8.conv1": torch.zeros(1, 16, 8, 8)},
                masks={"b8.conv1": torch.zeros(1, 8, 8)},
            ),
            "mask must be",
        ),
    ],
)
def test_errors_say_what_was_expected(action, words):
    with pytest.raises(ValueError, match=words):
        action()
