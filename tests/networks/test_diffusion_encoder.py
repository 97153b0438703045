"""The U-Net that is read while it denoises, and the networks that turn what is read into codes."""

from __future__ import annotations

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel, UNet2DModel
from diffusers.models.attention_processor import AttnProcessor2_0

from pipelines.networks.diffusion_encoder import DiffusionEncoder, listening
from pipelines.networks.diffusion_mapping import (
    MappingNetwork,
    ModulationMaps,
    StyleModulation,
    modulate,
)

TOKENS, WIDTH, LAYERS = 6, 16, 4


@pytest.fixture(scope="module")
def encoder() -> DiffusionEncoder:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16, 16),
        layers_per_block=1, norm_num_groups=4, cross_attention_dim=WIDTH, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 8, 8))
    first = control.controlnet_cond_embedding.conv_out
    for layer in (*control.controlnet_down_blocks, control.controlnet_mid_block, first):
        torch.nn.init.normal_(layer.weight, std=0.1)  # as after training
    return DiffusionEncoder(unet, control).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def given() -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(1)
    z = torch.randn(2, 4, 8, 8, generator=random)
    states = torch.randn(2, TOKENS, WIDTH, generator=random)
    return z, torch.tensor([999, 400]), states, torch.rand(2, 3, 64, 64, generator=random)


def test_one_call_reads_middle_and_decoder(encoder, given):
    found = encoder(*given)
    assert found.h.shape == (2, 16, 2, 2)
    assert [tuple(x.shape) for x in found.f] == [(2, 16, 8, 8), (2, 8, 8, 8)]
    assert [tuple(x.shape) for x in found.a] == [(2, 16, 4, 4), (2, 8, 8, 8)]
    assert [tuple(x.shape) for x in found.words] == [(2, TOKENS, 4, 4), (2, TOKENS, 8, 8)]
    for words in found.words:  # the largest probability is at least an even share
        assert 0 <= words.min() and words.max() <= 1
        assert (words.sum(1) >= 1 - 1e-5).all()


def test_reading_leaves_no_trace(encoder, given):
    before = encoder.unet(*given[:3]).sample
    quiet = encoder(*given, read=False)
    found = encoder(*given)
    torch.testing.assert_close(found.predicted, quiet.predicted, rtol=1e-4, atol=1e-5)
    assert torch.equal(encoder(*given, read=False).predicted, quiet.predicted)
    assert torch.equal(encoder.unet(*given[:3]).sample, before)
    assert all(isinstance(p, AttnProcessor2_0) for p in encoder.unet.attn_processors.values())
    assert not any(module._forward_hooks for module in encoder.unet.modules())


def test_reading_that_fails_leaves_no_trace(encoder, given):
    z, t, states, visual = given
    with pytest.raises(RuntimeError):
        encoder(z, t, states[..., :-1], visual)
    assert all(isinstance(p, AttnProcessor2_0) for p in encoder.unet.attn_processors.values())
    assert not any(module._forward_hooks for module in encoder.unet.modules())


def test_what_is_read_follows_text_condition_and_step(encoder, given):
    z, t, states, visual = given
    found = encoder(*given)
    others = {
        "text": (z, t, states.flip(0), visual),
        "condition": (z, t, states, 1 - visual),
        "step": (z, t - 100, states, visual),
    }
    for name, inputs in others.items():
        other = encoder(*inputs)
        assert (other.h - found.h).abs().max() > 1e-5, name
        assert (other.f[0] - found.f[0]).abs().max() > 1e-5, name


def test_a_unet_without_cross_attention_is_refused():
    unet = UNet2DModel(
        sample_size=8, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    with pytest.raises(ValueError, match="cross-attention.*got UpBlock2D"), listening(unet):
        pass


def test_mapping_starts_near_the_average_code(encoder, given):
    torch.manual_seed(0)
    mapping = MappingNetwork(16, 2, LAYERS, 32, width=8)
    mapping.w_mean.copy_(torch.linspace(-1, 1, 32))
    w = mapping(encoder(*given).h)
    assert w.shape == (2, LAYERS, 32)
    assert 0 < (w - mapping.w_mean).abs().max() < 0.2


@pytest.mark.parametrize("attentive", [True, False])
def test_modulation_refines_features_by_attention(encoder, given, attentive):
    torch.manual_seed(0)
    modulation = StyleModulation((16, 8), 8, LAYERS, 32, width=8, attentive=attentive)
    found, spoken = encoder(*given), torch.tensor([[0, 1, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0]]).bool()
    refined, averaged, bar = modulation.refine(found.f, found.a, found.words, spoken)
    assert refined.shape == (2, 24, 8, 8) and averaged.shape == bar.shape == (2, 1, 8, 8)
    # A-bar: the mean over blocks of the mean over words
    fine = found.words[1][0, 1:3].mean(0)
    coarse = torch.nn.functional.interpolate(found.words[0], size=(8, 8), mode="bilinear")
    torch.testing.assert_close(bar[0, 0], (fine + coarse[0, 1:3].mean(0)) / 2)
    gamma, beta = modulation(found.f, found.a, found.words, spoken, given[1].float())
    assert gamma.shape == beta.shape == (2, LAYERS, 32)
    other = [torch.flip(x, (2,)) for x in found.a]
    moved, _ = modulation(found.f, other, found.words, spoken, given[1].float())
    assert torch.equal(moved, gamma) is not attentive


def test_a_linear_map_says_nothing_until_it_is_solved(encoder, given):
    torch.manual_seed(0)
    modulation = StyleModulation((16, 8), 8, LAYERS, 32, width=8, line=5)
    found, spoken = encoder(*given), torch.ones(2, 6, dtype=torch.bool)
    inputs = found.f, found.a, found.words, spoken, given[1].float()
    gamma, beta = modulation(*inputs)
    assert modulation.line.silent
    modulation.line.outward.bias.data.fill_(1.0)
    torch.testing.assert_close(modulation(*inputs)[1], beta + 1)
    modulation.line.outward.weight.data.normal_()
    assert not modulation.line.silent
    after, moved = modulation(*inputs)
    assert torch.equal(after, gamma) and not torch.allclose(moved, beta + 1)
    refined, _, _ = modulation.refine(*inputs[:4])
    assert modulation.line.pooled(refined).shape == (2, 24 * 16)


def test_attention_keeps_what_a_whole_map_says(encoder, given):
    """A goes about one: the mean of a feature stays, and is told apart from its opposite."""
    modulation = StyleModulation((16, 8), 8, LAYERS, 32, width=8)
    spoken = torch.ones(2, 6, dtype=torch.bool)
    found = encoder(*given)
    a = [torch.randn(x.shape, generator=torch.Generator().manual_seed(i))
         for i, x in enumerate(found.a)]  # fmt: skip
    plain = StyleModulation((16, 8), 8, LAYERS, 32, width=8, attentive=False)
    before, _, _ = plain.refine(found.f, a, found.words, spoken)
    after, _, _ = modulation.refine(found.f, a, found.words, spoken)
    means = before.mean((2, 3)), after.mean((2, 3))
    assert torch.corrcoef(torch.stack([m.flatten() for m in means]))[0, 1] > 0.9
    assert not torch.allclose(before, after, atol=0.1)


def test_alpha_is_a_share_that_may_follow_the_step():
    maps = ModulationMaps(3, 4)
    t = torch.tensor([0.0, 1000.0])
    assert maps.alpha(t).tolist() == [0.5, 0.5]
    with torch.no_grad():
        maps.line.copy_(torch.tensor([0.0, 2.0]))
    assert maps.alpha(t)[1] > 0.8
    with torch.no_grad():
        maps.line.copy_(torch.tensor([-50.0, 0.0]))  # all of the average
    average = torch.rand(1, 1, 8, 8)
    one, other = (maps(torch.rand(1, 3, 8, 8), average, t[:1]) for _ in range(2))
    torch.testing.assert_close(one, other)


def test_modulation_is_a_product_and_a_sum():
    w, gamma, beta = (torch.tensor([[[x]]]) for x in (2.0, 3.0, 0.5))
    assert modulate(w, gamma, beta).item() == 6.5


def test_a_map_that_is_no_power_of_two_is_refused():
    with pytest.raises(ValueError, match="power of two from 2; got 12"):
        MappingNetwork(4, 12)
