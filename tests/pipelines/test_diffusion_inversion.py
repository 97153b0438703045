"""Diffusion-driven inversion on tiny networks: reading, denoising, switches, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from PIL import Image, ImageDraw

from pipelines.conditions import MASK, SCRIBBLE, Condition
from pipelines.diffusion_inversion import DiffusionInversion
from pipelines.latent_diffusion import SCHEDULE, Text, guided
from pipelines.latents import load_codes
from pipelines.networks.diffusion_encoder import DiffusionEncoder
from pipelines.networks.diffusion_mapping import MappingNetwork, StyleModulation
from pipelines.networks.joint_embedding import vocabulary_of
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from tests.pipelines.test_indomain import difference

SIZE, LAYERS, TOKENS, WIDTH = 32, 8, 7, 16
PALETTE = np.array([(0, 0, 0), (250, 200, 160), (90, 50, 20)], np.uint8)


class LetterText(torch.nn.Module):
    """A state a letter: the text encoder of these tests."""

    def __init__(self) -> None:
        super().__init__()
        self.texts = torch.nn.Embedding(128, WIDTH)

    def context(self, prompts: list[str]):
        ids = torch.zeros(len(prompts), TOKENS, dtype=torch.long)
        for row, prompt in zip(ids, prompts, strict=True):
            codes = [min(ord(c), 127) for c in prompt[: TOKENS - 1]]
            row[1 : 1 + len(codes)] = torch.tensor(codes, dtype=torch.long)
        return self.texts(ids), ids > 0

    def words(self, prompt: str) -> list[str]:
        return list(prompt[: TOKENS - 1])


def build(size: int = SIZE, text: Text | None = None, **given) -> DiffusionInversion:
    """The pipeline on networks that nobody trained; size: of its pictures [px]."""
    torch.manual_seed(0)
    sides = [2**i for i in range(2, size.bit_length())]
    layers, shape = 2 * len(sides), (16, 8)

    def modulation(**options) -> StyleModulation:
        return StyleModulation(shape, 16, layers, 512, width=8, **options)

    unet = UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=(8, 16),
        layers_per_block=1, norm_num_groups=4, cross_attention_dim=WIDTH, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    encoders = {}
    for task in (MASK, SCRIBBLE):
        control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4))
        first = control.controlnet_cond_embedding.conv_out
        for layer in (*control.controlnet_down_blocks, control.controlnet_mid_block, first):
            torch.nn.init.normal_(layer.weight, std=0.3)  # as if trained
        encoders[task] = DiffusionEncoder(unet, control)
    autoencoder = AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    networks = {
        "judge": PortraitJudge({"glasses": 2}, ("age",), channels=(4, 8), embedding=16),
        "ablated": modulation(attentive=False), "styles": {"bronze": modulation()},
    } | given  # fmt: skip
    channels = {side: 16 if side < 16 else 8 for side in sides}
    return DiffusionInversion(
        Generator(size, mapping_layers=2, channels=channels), autoencoder, encoders,
        text or LetterText(), MappingNetwork(16, 8, layers, 512, width=8), modulation(),
        PerceptualDistance(), device="cpu", **networks,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pipeline() -> DiffusionInversion:
    return build()


@pytest.fixture(scope="module")
def mask() -> Condition:
    labels = np.zeros((64, 64), np.uint8)
    labels[20:50, 16:48] = 1
    labels[10:24, 16:48] = 2
    return Condition.mask(labels, PALETTE)


@pytest.fixture(scope="module")
def scribble() -> Condition:
    paper = Image.new("RGB", (90, 64), "white")
    ImageDraw.Draw(paper).ellipse((25, 10, 65, 55), outline="black", width=3)
    return Condition.scribble(paper)


def test_one_call_gives_codes_and_picture(pipeline, mask):
    found = pipeline.read("old", mask, seed=3)
    assert found.calls == 1 and found.t == pipeline.steps_to(None)[0] > 900
    assert found.image.size == (SIZE, SIZE)
    assert found.w.shape == found.mapped.shape == found.gamma.shape == (1, LAYERS, 512)
    torch.testing.assert_close(found.w, found.mapped * found.gamma + found.beta)  # Eq. 4
    again = pipeline.read("old", mask, seed=3)
    assert difference(found.image, again.image) == 0 and torch.equal(found.w, again.w)
    assert not torch.equal(found.w, pipeline.read("old", mask, seed=4).w)
    assert not found.w.requires_grad and found.w.device.type == "cpu"


def test_noise_says_nothing_of_the_colours(pipeline):
    """It is of the seed, and each of its channels has mean 0."""
    z, again, other = (pipeline.noise(seed) for seed in (3, 3, 4))
    assert torch.equal(z, again) and not torch.equal(z, other)
    assert z.mean((2, 3)).abs().max() < 1e-6 and z.std() > 0.7


def test_prompt_and_condition_both_count(pipeline, mask, scribble):
    found = pipeline.read("old", mask)
    for other in (
        pipeline.read("bald", mask),
        pipeline.read("old", Condition(MASK, np.ascontiguousarray(mask.pixels[::-1]))),
        pipeline.read("old", mask, strength=0.0),
        pipeline.read("old", scribble),
    ):
        assert (other.w - found.w).abs().max() > 1e-5


def test_a_smaller_step_asks_for_the_steps_before_it(pipeline, mask):
    seen = []
    found = pipeline.read("old", mask, t=600, on_step=lambda step: seen.append(step.index))
    assert abs(found.t - 600) <= 25
    assert found.calls == len(seen) + 1 == len(pipeline.steps_to(600))
    assert pipeline.read("old", mask, t=999).calls == 1


def test_what_is_shown_inside_is_of_the_prompt(pipeline, mask):
    found = pipeline.read("wig", mask)
    assert found.words == ("w", "i", "g") and found.maps.shape == (3, 16, 16)
    assert found.maps.min() >= 0 and found.maps.max() <= 1
    np.testing.assert_allclose(found.average, found.maps.mean(0), atol=1e-5)
    assert found.refined.shape == (2, 16, 16) and found.refined.max() == pytest.approx(1)
    empty = pipeline.read("", mask)
    assert empty.words == () and not empty.average.any()


def test_denoising_takes_a_call_a_step_with_guidance_too(pipeline, mask):
    shown = []
    plain = pipeline.denoise("old", mask, steps=4, image_every=2, on_step=lambda s: shown.append(s))
    assert plain.calls == 4 and plain.image.size == (32, 32)
    assert [bool(step.images) for step in shown] == [False, True, False, True]
    assert pipeline.denoise("old", mask, steps=4, on_step=lambda s: s.index == 2).calls == 2
    guided = build(guidance=9.0).denoise("old", mask, steps=4)
    assert guided.calls == 4 and difference(guided.image, plain.image) > 0


def test_guidance_leads_away_from_what_an_empty_prompt_gives(pipeline, mask):
    torch.manual_seed(0)
    encoder, z = pipeline.encoders[MASK], torch.randn(1, 4, pipeline.side, pipeline.side)
    (states, _), (empty, _) = (pipeline.text.context([prompt]) for prompt in ("old", ""))
    visual = pipeline._visual(mask)
    told, untold = (encoder(z, 500, s, visual, read=False).predicted for s in (states, empty))
    assert (told - untold).abs().max() > 1e-6
    for guidance in (1.0, 4.0):
        found = guided(encoder, z, 500, states, empty, visual, guidance=guidance)
        torch.testing.assert_close(found, untold + guidance * (told - untold))


def test_reading_leaves_sampling_as_it_was(pipeline, mask):
    before = pipeline.denoise("old", mask, steps=3).image
    pipeline.read("bald", mask, seed=9)
    assert difference(pipeline.denoise("old", mask, steps=3).image, before) == 0


def test_mixtures_of_codes(pipeline, mask):
    found = pipeline.read("old", mask)
    alone = pipeline.redraw(found, mapped_only=True)
    assert torch.equal(alone.w, found.mapped)
    assert torch.equal(pipeline.redraw(found, keep=0.0).w, found.mapped)
    torch.testing.assert_close(pipeline.redraw(found).w, found.w)
    with pytest.raises(ValueError, match="keep must lie in 0..1; got 1.5"):
        pipeline.redraw(found, keep=1.5)


def test_ablation_and_styles_are_other_modulations(pipeline, mask):
    found = pipeline.read("old", mask)
    plain = pipeline.read("old", mask, attentive=False)
    bronze = pipeline.read("old", mask, style="bronze")
    assert torch.equal(plain.mapped, found.mapped) and torch.equal(bronze.mapped, found.mapped)
    assert not torch.equal(plain.gamma, found.gamma)
    assert not torch.equal(bronze.gamma, found.gamma)
    assert torch.equal(pipeline.read("old", mask).gamma, found.gamma)
    with pytest.raises(ValueError, match="style must be one of bronze; got 'gold'"):
        pipeline.read("old", mask, style="gold")
    bare = build(ablated=None)
    with pytest.raises(ValueError, match="must have its own T; got none"):
        bare.read("old", mask, attentive=False)


@pytest.mark.parametrize(
    ("prompt", "options", "said"),
    [
        (None, {}, "prompt must be text; got NoneType"),
        ("old", {"seed": -1}, "seed must be a whole number from 0; got -1"),
        ("old", {"seed": 0.5}, "seed must be a whole number"),
        ("old", {"strength": float("nan")}, "strength must lie in 0..2; got nan"),
        ("old", {"t": 1000}, "t must lie in 0..999; got 1000"),
    ],
)
def test_what_is_out_of_range_is_said(pipeline, mask, prompt, options, said):
    with pytest.raises((ValueError, TypeError), match=said):
        pipeline.read(prompt, mask, **options)


@pytest.mark.parametrize("prompt", ["", "x" * 10_000, "Ein alter Mann 老人 \U0001f475"])
def test_any_text_is_read(pipeline, mask, prompt):
    assert pipeline.read(prompt, mask).image.size == (SIZE, SIZE)


def test_masks_are_checked():
    for labels, said in (
        (np.zeros((4, 5), np.uint8), r"square of class indices; got \(4, 5\)"),
        (np.full((8, 8), 3), "classes 0 to 2; got 3 to 3"),
        (np.full((8, 8), 0.5), "of type float64"),
        (np.zeros((0, 0), np.uint8), "got no pixel"),
    ):
        with pytest.raises(ValueError, match=said):
            Condition.mask(labels, PALETTE)


def test_a_mask_keeps_its_colours_at_every_size(mask):
    colours = {tuple(c) for c in PALETTE}
    for size in (8, 32, 100):
        x = (mask.picture(size)[0] * 255).round().byte().permute(1, 2, 0).reshape(-1, 3)
        assert {tuple(c) for c in x.tolist()} <= colours


def test_scribbles_are_white_on_black_whatever_the_paper(scribble):
    assert scribble.pixels.shape == (64, 64, 3)
    black = Image.new("RGB", (90, 64), "black")
    ImageDraw.Draw(black).ellipse((25, 10, 65, 55), outline="yellow", width=3)
    assert np.array_equal(Condition.scribble(black).pixels, scribble.pixels)
    assert 0.01 < (scribble.pixels > 0).mean() < 0.3
    assert not Condition.scribble(Image.new("RGB", (64, 64), "grey")).pixels.any()


def test_the_scribble_of_a_picture_follows_its_edges():
    picture = Image.new("RGB", (128, 128), (200, 180, 160))
    ImageDraw.Draw(picture).rectangle((40, 30, 90, 100), fill=(60, 40, 30))
    drawn = Condition.scribble_of(picture).pixels[..., 0] > 0
    assert drawn[60, 37:44].any() and drawn[60, 87:94].any()  # left and right edge
    assert not drawn[50:80, 50:80].any() and not drawn[:20].any()


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offload_changes_nothing_but_where_networks_wait(pipeline, mask, offload):
    moving = build(offload=offload)
    for attentive in (True, False):
        found = moving.read("old", mask, seed=3, attentive=attentive)
        stays = pipeline.read("old", mask, seed=3, attentive=attentive)
        assert difference(found.image, stays.image) <= 1
    denoised = moving.denoise("old", mask, steps=3)
    assert difference(denoised.image, pipeline.denoise("old", mask, steps=3).image) <= 1


def stable_diffusion(folder: Path, pipeline: DiffusionInversion) -> Path:
    """A tiny Stable Diffusion on disk, in the Hub's layout, whose U-Net and VAE are another's."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    vocabulary = vocabulary_of(["h e", "a t</w>"])
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\nh e\na t</w>\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"),
                              model_max_length=TOKENS)  # fmt: skip
    tokenizer.save_pretrained(folder / "tokenizer")
    torch.manual_seed(1)
    CLIPTextModel(CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=WIDTH, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=TOKENS,
        bos_token_id=len(vocabulary) - 2, eos_token_id=len(vocabulary) - 1,
    )).save_pretrained(folder / "text_encoder")  # fmt: skip
    DDIMScheduler(**SCHEDULE).save_pretrained(folder / "scheduler")
    pipeline.encoders[MASK].unet.save_pretrained(folder / "unet")
    pipeline.autoencoder.save_pretrained(folder / "vae")
    pipeline.encoders[MASK].controlnet.save_pretrained(folder / "controlnet")
    return folder


def test_a_stable_diffusion_drops_in_by_id(pipeline, mask, tmp_path):
    base = stable_diffusion(tmp_path, pipeline)
    dropped = DiffusionInversion.from_stable_diffusion(
        str(base), {MASK: str(base / "controlnet")}, generator=pipeline.generator,
        mapping=pipeline.mapping, modulation=pipeline.modulation, perceptual=pipeline.perceptual,
        device="cpu",
    )  # fmt: skip
    found = dropped.read("the hat", mask)
    assert found.image.size == (SIZE, SIZE) and found.calls == 1
    assert "".join(found.words) == "thehat"[: len("".join(found.words))] and found.words
    assert len(found.maps) == len(found.words)
    assert dropped.denoise("hat", mask, steps=2).calls == 2
    assert dropped.read("hat " * 100, mask).words  # cut to fit
    states, spoken = dropped.text.context(["hat", ""])
    assert states.shape == (2, TOKENS, WIDTH) and spoken.sum(1).tolist() == [2, 0]
    with pytest.raises(ValueError, match="condition must be one of mask; got a scribble"):
        dropped.read("hat", Condition(SCRIBBLE, mask.pixels))


# ---- what a page holds ---------------------------------------------------------------------------


def test_conditions_are_made_of_what_a_page_holds(pipeline: DiffusionInversion) -> None:
    labels = np.eye(8, dtype=np.uint8)
    assert (pipeline.condition(MASK, labels, PALETTE).pixels == PALETTE[labels]).all()
    drawn = Image.new("RGB", (32, 32), "white")
    with pytest.raises(ValueError, match="must have strokes; got an empty one"):
        pipeline.condition(SCRIBBLE, drawn)
    ImageDraw.Draw(drawn).line((4, 4, 28, 28), fill="black", width=2)
    assert 0 < (pipeline.condition(SCRIBBLE, drawn).pixels > 0).mean() < 0.2
    with pytest.raises(ValueError, match="task must be mask or scribble; got 'song'"):
        pipeline.condition("song", drawn)


def test_strokes_of_a_picture_lie_on_its_edges(pipeline: DiffusionInversion) -> None:
    picture = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(picture).rectangle((16, 16, 47, 47), fill="navy")
    traced = pipeline.traced(picture, 64)
    assert traced[30, 14:19].any() and not traced[26:38, 26:38].any() and not traced[:8].any()


def test_codes_are_measured_by_layer_and_kept(
    pipeline: DiffusionInversion, mask: Condition, tmp_path
) -> None:
    reading = pipeline.read("red", mask)
    assert reading.sizes["beta"] == pytest.approx(reading.beta[0].abs().mean(-1).tolist())
    assert [len(sizes) for sizes in reading.sizes.values()] == [LAYERS] * 3
    path = pipeline.keep(tmp_path / "latent.safetensors", {"code": reading})
    found = load_codes(path, pipeline.fingerprint, (LAYERS, 512))
    assert torch.equal(torch.as_tensor(found["code"]), reading.w)
