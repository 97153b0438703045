"""MM2Latent's networks: condition autoencoders, the mapping with its pseudo texts, 3DMM numbers."""

from __future__ import annotations

import pytest
import torch

import weights
from pipelines.networks.condition_autoencoder import CLASSES, ConditionAutoencoder
from pipelines.networks.mm_mapping import MultimodalMapping, pseudo_text
from pipelines.networks.morphable import MorphableNet


def stripes(size: int) -> torch.Tensor:
    """A mask of all classes, in bands."""
    return (torch.arange(size) * CLASSES // size)[None, :, None].expand(2, size, size)


@pytest.mark.parametrize("resolution", [256, 128, 32])
@pytest.mark.parametrize("given", [64, 300])
def test_codes_have_512_numbers_at_every_size(resolution: int, given: int) -> None:
    net = ConditionAutoencoder("mask", resolution).eval()
    assert net.size == 512 and net.encode(stripes(given)).shape == (2, 512)
    assert net(stripes(given)).shape == (2, resolution, resolution)


def test_the_published_layout_at_256_px() -> None:
    net = ConditionAutoencoder("mask", 256)
    convolutions = [m for m in net.encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    shapes = [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions]
    widths = (1, 16, 32, 32, 16, 8)
    expected = []
    for a, b in zip(widths[:-1], widths[1:], strict=True):
        expected += [(a, b, 3, 1), (b, b, 2, 2)]
    assert shapes == expected
    assert all(m.stride == (2, 2) for m in net.decoder if isinstance(m, torch.nn.ConvTranspose2d))


def test_a_mask_is_one_grey_channel_of_class_times_ten() -> None:
    seen = ConditionAutoencoder("mask", 128).seen(stripes(128))
    assert seen.shape == (2, 1, 128, 128)
    assert torch.allclose(seen[0, 0, :, 0] * 255, 10.0 * stripes(128)[0, :, 0])


def test_lines_survive_when_a_sketch_shrinks() -> None:
    lines = torch.zeros(1, 256, 256)
    lines[0, 101] = 1
    seen = ConditionAutoencoder("sketch", 32).seen(lines)
    assert (seen[0, 0].sum(0) == 1).all()


@pytest.mark.parametrize(("kind", "one_hot"), [("mask", False), ("mask", True), ("sketch", False)])
def test_autoencoders_learn_to_rebuild(kind: str, one_hot: bool) -> None:
    torch.manual_seed(0)
    net = ConditionAutoencoder(kind, 32, one_hot=one_hot).train()
    x = stripes(32) if kind == "mask" else (torch.arange(32) % 8 == 0).expand(2, 32, 32)
    seen = net.seen(x)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    before = net.loss(seen).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = net.loss(seen)
        loss.backward()
        optimizer.step()
    assert loss < 0.5 * before


@pytest.mark.parametrize("bad", [{"kind": "pose"}, {"resolution": 100}, {"resolution": 512}])
def test_what_cannot_be_built_is_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        ConditionAutoencoder(**bad)


def test_pseudo_texts_are_eq_2() -> None:
    f_img = torch.nn.functional.normalize(torch.randn(400, 512), dim=1)
    f_text = pseudo_text(f_img, torch.Generator().manual_seed(0))
    assert torch.allclose(f_text.norm(dim=1), torch.ones(400), atol=1e-5)
    noise = torch.randn(400, 512, generator=torch.Generator().manual_seed(0))
    y = f_img + noise / noise.norm(dim=1, keepdim=True)
    assert torch.allclose(f_text, y / y.norm(dim=1, keepdim=True), atol=1e-6)
    # In 512 dimensions the noise is nearly orthogonal to f_img.
    assert (f_img * f_text).sum(1).mean().item() == pytest.approx(2**-0.5, abs=0.01)
    again = pseudo_text(f_img, torch.Generator().manual_seed(0))
    assert torch.equal(f_text, again)
    assert torch.allclose(pseudo_text(f_img, strength=0.0), f_img, atol=1e-6)


@pytest.mark.parametrize("layers", [4, 8, 12])
def test_a_mapping_has_so_many_layers_and_starts_at_the_mean(layers: int) -> None:
    torch.manual_seed(0)
    net = MultimodalMapping(layers=layers).eval()
    assert sum(p.ndim == 2 for p in net.layers.parameters()) == layers
    net.start_at(torch.full((512,), 2.5))
    w = net(torch.randn(64, 512), torch.randn(64, 512))
    assert w.shape == (64, 512) and w.mean().item() == pytest.approx(2.5, abs=0.2)


def test_what_is_left_out_is_the_mean_of_training() -> None:
    torch.manual_seed(0)
    net = MultimodalMapping(layers=2, condition_size=7, embedding=5, width=16, w_dim=4)
    for _ in range(200):
        net(torch.randn(64, 5) + 3, torch.randn(64, 7) - 2)
    net.eval()
    f = torch.randn(3, 5)
    alone = net(f, None)
    assert torch.allclose(alone, net(f, net.neutral(1).expand(3, -1)))
    assert net.neutral(0).mean().item() == pytest.approx(3, abs=0.3)
    assert net.neutral(1).mean().item() == pytest.approx(-2, abs=0.3)
    with pytest.raises(ValueError, match="neither"):
        net(None, None)
    with pytest.raises(ValueError, match="f_cond must be"):
        net(f, f)


def test_fixed_slice_and_round_trip(tmp_path) -> None:
    torch.manual_seed(0)
    net = MultimodalMapping("sketch", 6, 4, layers=3, width=8, w_dim=5).eval()
    x = torch.linspace(-1, 1, 10)[None]
    w = net(x[:, :4], x[:, 4:])
    weights.save(net, tmp_path / "net.safetensors", {}, half=False)
    again = weights.load_file(MultimodalMapping, tmp_path / "net.safetensors")
    assert again.condition == "sketch" and torch.allclose(again(x[:, :4], x[:, 4:]), w)


def test_3dmm_numbers_come_in_their_own_units() -> None:
    torch.manual_seed(0)
    net = MorphableNet(("yaw", "smile"), channels=(4, 8, 8)).train()
    net.set_scale(torch.tensor([[-20.0, 0.0], [20.0, 1.0]]))
    x = torch.rand(8, 3, 32, 32)
    x[::2, :, :, :16] = -1
    truth = torch.tensor([[-20.0, 1.0], [20.0, 0.0]]).repeat(4, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        ((net(x) - truth) / net.sd).square().mean().backward()
        optimizer.step()
    assert (net.eval()(x) - truth).abs()[:, 0].mean() < 8
    with pytest.raises(ValueError, match="x must be"):
        net(x[0])
