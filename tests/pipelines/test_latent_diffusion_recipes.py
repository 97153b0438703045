"""The recipes of the diffusion model and of M and T: what they read, that they learn, go on."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel

import weights
from examples.clay.dataset import latents
from examples.clay.parts import PALETTE, PART_TO_CLASS
from pipelines.conditions import MASK, SCRIBBLE
from pipelines.diffusion_inversion import TASKS
from pipelines.latent_diffusion import SCHEDULE, STEPS
from pipelines.networks.diffusion_encoder import DiffusionEncoder
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from pipelines.training import (
    denoising_ways,
    diffusion_styles,
    latent_autoencoder,
    latent_diffusion,
)
from pipelines.training import diffusion_inversion as inversion
from pipelines.training.loop import Loop, to_tensor
from tests.networks.test_joint_embedding import tiny as tiny_text
from tests.pipelines.test_training_loop import MemorySet

AUTOENCODER = {
    "block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4, "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
}  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> MemorySet:
    return MemorySet(24)


@pytest.fixture(scope="module")
def autoencoder() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(**AUTOENCODER).eval()


@pytest.fixture(scope="module")
def text():
    return tiny_text()


def unet_for(data: MemorySet, text) -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=data.images.shape[1] // 8, block_out_channels=(8, 16), layers_per_block=1,
        norm_num_groups=4, attention_head_dim=4, cross_attention_dim=text.texts.config.hidden_size,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
    )  # fmt: skip


def column(loop: Loop, name: str) -> list[float]:
    with (loop.out / "log.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def test_the_autoencoder_learns_and_its_file_keeps_the_scale(data, tmp_path):
    torch.manual_seed(0)
    loop = Loop(tmp_path, 1, "cpu", progress=False, steps=51)
    perceptual = PerceptualDistance()
    network = latent_autoencoder.train(data, loop, AutoencoderKL(**AUTOENCODER), perceptual, 4)
    pixels = column(loop, "pixels")
    assert pixels[-1] < 0.97 * pixels[0]  # of noise, as these pictures are
    file = weights.save(network, tmp_path / "autoencoder.safetensors",
                        {"recipe": "a test", "seeds": "0", "minutes": 0, "device": "cpu",
                         "held_out": {}}, latent_autoencoder.plain(network))  # fmt: skip
    read = weights.load_file(AutoencoderKL, file)
    assert read.config.scaling_factor == network.config.scaling_factor != 0.18215
    z = latent_diffusion.latents_of(data.images, network, CPU)
    assert float(z.float().std()) == pytest.approx(1, abs=0.02)
    measured = latent_autoencoder.evaluate(network, perceptual, data, CPU)
    assert set(measured) == {"psnr", "lpips"} and measured["psnr"] > 3


def test_the_autoencoder_starts_by_handing_the_picture_through():
    """Colours of flat pictures come back in their order before a step of training."""
    torch.manual_seed(0)
    network = latent_autoencoder.hand_through(AutoencoderKL(**latent_autoencoder.CONFIG))
    colours = torch.tensor([[0.8, -0.6, -0.6], [-0.6, 0.8, -0.6], [-0.6, -0.6, 0.8]])
    x = colours[:, :, None, None].expand(3, 3, 32, 32)
    latent = network.encode(x).latent_dist
    y = network.decode(latent.mode()).sample
    assert y.mean((2, 3)).argmax(1).tolist() == [0, 1, 2]
    assert latent.std.mean() < 0.25


def test_conditions_are_those_of_the_portraits(data, autoencoder):
    rows = np.array([3, 5])
    masks = latent_diffusion.Portraits(data, autoencoder, CPU, MASK).conditions(rows)
    expected = PALETTE[PART_TO_CLASS[data.parts[rows]]]
    assert np.array_equal((masks * 255).round().byte().permute(0, 2, 3, 1).numpy(), expected)
    drawn = latent_diffusion.Portraits(data, autoencoder, CPU, SCRIBBLE).conditions(rows)
    assert set(drawn.unique().tolist()) <= {0.0, 1.0} and drawn.shape == masks.shape


def test_captions_are_left_empty_as_often_as_said(data, autoencoder):
    random, rows = np.random.default_rng(0), np.arange(len(data)).repeat(20)
    for task, share in latent_diffusion.NO_CAPTION.items():
        portraits = latent_diffusion.Portraits(data, autoencoder, CPU, task)
        given = portraits.read(rows, random, CPU)
        empty = np.mean([caption == "" for caption in given.captions])
        assert empty == pytest.approx(share, abs=0.06), task
        assert (given.visual is None) == (task is None)
    spoken = latent_diffusion.Portraits(data, autoencoder, CPU, MASK, empty=0.0)
    assert all(spoken.asked(rows, random, CPU)[0])


def test_the_denoiser_starts_with_a_prediction_of_nothing(data, text):
    unet = latent_diffusion.quieted(unet_for(data, text))
    side = unet.config.sample_size
    states, _ = text.context(["a man"])
    predicted = unet(torch.randn(1, 4, side, side), 500, states).sample
    assert predicted.abs().max() == 0
    learnt = [p for p in unet.parameters() if p.abs().max() > 0]
    assert len(learnt) > len(list(unet.parameters())) / 2


@pytest.mark.parametrize("task", [None, MASK])
def test_denoiser_and_controlnet_learn_and_go_on(data, autoencoder, text, tmp_path, task):
    portraits = latent_diffusion.Portraits(data, autoencoder, CPU, task)
    denoiser = unet_for(data, text).requires_grad_(False) if task else None
    if task:
        network = ControlNetModel.from_unet(
            denoiser, conditioning_embedding_out_channels=(4, 4, 8, 8)
        ).requires_grad_(True)
        before = {k: v.clone() for k, v in denoiser.state_dict().items()}
    else:
        network = unet_for(data, text)
    start = {k: v.clone() for k, v in network.state_dict().items()}
    for steps in (2, 4):
        loop = Loop(tmp_path, 1, "cpu", progress=False, steps=steps)
        latent_diffusion.train(portraits, loop, network, text, denoiser, 4)
        assert loop.step == steps
    assert any(not torch.equal(v, start[k]) for k, v in network.state_dict().items())
    if task:  # the denoiser stays as it was
        assert all(torch.equal(v, before[k]) for k, v in denoiser.state_dict().items())
    found = latent_diffusion.evaluate(portraits, network.eval(), text, denoiser, CPU)
    assert all(0 < found[name] < 3 for name in found)
    assert list(found)[1:] == ["at the first step", "at the first step without words"]


def test_the_first_step_shows_noise_alone_and_asks_for_the_latents(data, autoencoder, text):
    """A prediction of nothing is wrong by all of the noise at the end of the way, by z_0 there."""
    portraits = latent_diffusion.Portraits(data, autoencoder, CPU, None)
    silent = latent_diffusion.quieted(unet_for(data, text))
    found = latent_diffusion.evaluate(portraits, silent, text, None, CPU)
    size = portraits.z.float().square().mean().item()
    assert found["at the first step"] == pytest.approx(size, abs=1e-3)
    process = DDIMScheduler(**SCHEDULE)
    z, noise = torch.randn(2, 1, 4, 8, 8)
    t = torch.tensor([SCHEDULE["num_train_timesteps"] - 1])
    assert torch.equal(process.add_noise(z, noise, t), noise)
    assert torch.equal(process.get_velocity(z, noise, t), -z)


def test_a_controlnet_learns_where_there_is_noise():
    torch.manual_seed(0)
    alike, noisy = (latent_diffusion.steps_drawn(4000, task).float() for task in (None, MASK))
    for t in (alike, noisy):
        assert t.min() >= 0 and t.max() == 999
        assert (t == 999).float().mean() == pytest.approx(latent_diffusion.FIRST, abs=0.02)
    alike, noisy = alike[alike < 999], noisy[noisy < 999]
    assert alike.mean() == pytest.approx(500, abs=20)
    assert noisy.mean() == pytest.approx(667, abs=20)  # two thirds: density grows with t


def test_the_condition_is_let_in_from_the_first_step(data, text):
    """Behind it, the branches still add nothing; but they learn of it at once."""
    unet = unet_for(data, text)
    control = latent_diffusion.opened(
        ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 8, 8))
    )
    side = unet.config.sample_size
    z, states = torch.randn(1, 4, side, side), text.context(["a man"])[0]
    picture = torch.ones(1, 3, 8 * side, 8 * side)
    white = control(z, 900, states, picture, return_dict=False)
    assert all(residual.abs().max() == 0 for residual in (*white[0], white[1]))
    assert control.controlnet_cond_embedding(picture).std() > 0


@pytest.fixture(scope="module")
def networks(data, autoencoder, text) -> denoising_ways.Networks:
    unet = unet_for(data, text).eval().requires_grad_(False)
    encoders = {}
    for task in TASKS:
        control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 8, 8))
        encoders[task] = DiffusionEncoder(unet, control).eval().requires_grad_(False)
    side = data.images.shape[1]
    generator = Generator(side, mapping_layers=2, channels={2**i: 8 for i in range(2, 8)})
    encoder = LayerwiseEncoder(generator.num_ws, side, width=4, level_size=16)
    judge = PortraitJudge({"glasses": 2}, ("age",), channels=(4, 8), embedding=16)
    own = (generator, encoder, PerceptualDistance(), judge)
    frozen = [net.eval().requires_grad_(False) for net in own]
    return denoising_ways.Networks(encoders, text, autoencoder, *frozen)


def test_ways_are_made_once_and_go_on(data, autoencoder, networks, tmp_path, monkeypatch):
    portraits = latent_diffusion.Portraits(data, autoencoder, CPU, MASK, slice(4))
    more = latent_diffusion.Portraits(data, autoencoder, CPU, MASK, slice(6))
    monkeypatch.setattr(denoising_ways, "CHUNK", 2)
    whole = denoising_ways.Ways(tmp_path / "whole", portraits, networks)
    assert whole.z.shape[:2] == (4, STEPS) and len(whole) == 4
    assert np.abs(whole.z[:, 0].astype(float)).std() > 0  # noise first
    assert whole.ends.any()
    assert np.allclose(whole.codes, networks.encoder(to_tensor(whole.ends, CPU)).numpy(), atol=2e-3)
    calls = []
    made = denoising_ways.Ways._denoised

    def failing(self, *given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return made(self, *given)

    monkeypatch.setattr(denoising_ways.Ways, "_denoised", failing)
    with pytest.raises(KeyboardInterrupt):
        denoising_ways.Ways(tmp_path / "part", portraits, networks)
    part = denoising_ways.Ways(tmp_path / "part", portraits, networks)
    assert len(calls) == 3  # two, and the one that failed again
    assert np.array_equal(part.z, whole.z) and np.array_equal(part.ends, whole.ends)
    assert part.captions == whole.captions
    with pytest.raises(ValueError, match="to go on; got"):
        denoising_ways.Ways(tmp_path / "part", more, networks)
    silent = latent_diffusion.Portraits(data, autoencoder, CPU, MASK, slice(4), empty=1.0)
    with pytest.raises(ValueError, match="must hold the captions of these 4"):
        denoising_ways.Ways(tmp_path / "part", silent, networks)


def test_each_task_has_portraits_of_its_own(data, networks, tmp_path):
    mask, scribble = denoising_ways.all_ways(tmp_path, data, "train", 4, networks)
    assert (mask.task, scribble.task, mask.first, scribble.first) == (MASK, SCRIBBLE, 0, 4)
    given = denoising_ways.read(scribble, np.array([0, 3]), np.array([0, 5]), networks)
    assert given.rows.tolist() == [4, 7]
    assert torch.equal(given.truth, to_tensor(data.images[[4, 7]]))
    own = torch.from_numpy(latents(data.seeds[[4, 7]], data.identities[[4, 7]]))
    assert torch.equal(given.codes, networks.generator.mapping(own))
    assert np.array_equal(given.denoised_codes, scribble.codes[[0, 3]].astype(np.float32))
    assert given.t.tolist() == scribble.scheduler.timesteps[[0, 5]].tolist()


def test_the_first_step_is_read_without_a_way(data, autoencoder, networks):
    portraits, rows = latent_diffusion.Portraits(data, autoencoder, CPU, MASK), np.array([1, 6])
    given = denoising_ways.read_first(portraits, rows, np.random.default_rng(0), networks)
    assert given.denoised is None and given.denoised_codes is None and given.t.unique().item() > 900
    assert torch.equal(given.truth, to_tensor(data.images[rows]))
    again = denoising_ways.read_first(portraits, rows, np.random.default_rng(1), networks)
    assert not torch.equal(again.found.h, given.found.h)  # other noise


@pytest.fixture(autouse=True)
def few_readings(monkeypatch) -> None:
    monkeypatch.setattr(inversion, "SOLVED", 8)


@pytest.mark.parametrize("targets", inversion.TARGETS)
def test_m_and_t_learn_in_turn(data, autoencoder, networks, tmp_path: Path, targets):
    ways = [
        denoising_ways.Ways(
            tmp_path / task,
            latent_diffusion.Portraits(data, autoencoder, CPU, task, slice(4)),
            networks,
        )
        for task in TASKS
    ]
    mapping, modulation = inversion.fresh(networks, plain=False)
    start = [{k: v.clone() for k, v in net.state_dict().items()} for net in (mapping, modulation)]
    loop = Loop(tmp_path / "run", 1, "cpu", progress=False, steps=3)
    inversion.train(data, ways, loop, mapping, modulation, networks, 2, targets)
    for net, before in zip((mapping, modulation), start, strict=True):
        assert any(not torch.equal(v, before[k]) for k, v in net.state_dict().items())
    for frozen in (networks.generator, networks.encoders[MASK]):
        assert all(p.grad is None for p in frozen.parameters())
    found = inversion.evaluate(ways, mapping.eval(), modulation.eval(), networks)
    assert {"mask m psnr", "mask w to I_0^d psnr", "scribble w lpips"} <= set(found)


def test_codes_are_learnt_first(data, autoencoder, networks, tmp_path, monkeypatch):
    """T's are those of I_0^d; no picture is drawn until then."""
    portraits = latent_diffusion.Portraits(data, autoencoder, CPU, MASK, slice(4))
    ways = [denoising_ways.Ways(tmp_path / "ways", portraits, networks)]
    ways[0].codes[:] = 1
    mapping, modulation = inversion.fresh(networks, plain=False)
    monkeypatch.setattr(inversion, "EARLY", 1.0)
    monkeypatch.setattr(inversion, "loss", None)
    loop = Loop(tmp_path / "run", 1, "cpu", progress=False, steps=61)
    inversion.train(data, ways, loop, mapping, modulation, networks, 2, "both")
    assert column(loop, "codes_of_t")[-1] < 0.2 < column(loop, "codes_of_t")[0]


def test_the_first_step_is_read_more_often(data, autoencoder, networks, tmp_path):
    portraits = latent_diffusion.Portraits(data, autoencoder, CPU, MASK, slice(4))
    ways = [denoising_ways.Ways(tmp_path / "ways", portraits, networks)]
    loop = Loop(tmp_path / "run", 1, "cpu", progress=False, steps=1)
    first = ways[0].scheduler.timesteps[0]
    batches = zip(range(60), denoising_ways.drawn(ways, loop, networks, 4), strict=False)
    t = torch.cat([given.t for _, given in batches])
    expected = denoising_ways.FIRST + (1 - denoising_ways.FIRST) / STEPS
    assert (t == first).float().mean() == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("targets", inversion.TARGETS)
def test_t_s_linear_map_begins_where_least_squares_end(
    data, autoencoder, networks, tmp_path, monkeypatch, targets
):
    """Of fewer readings than it has ranks, it gives the codes that they ask for."""
    monkeypatch.setattr(inversion, "RIDGE", 1e-3)
    portraits = latent_diffusion.Portraits(data, autoencoder, CPU, MASK, slice(4))
    ways = denoising_ways.Ways(tmp_path / "ways", portraits, networks)
    mapping, modulation = inversion.fresh(networks, plain=False)
    random = torch.Generator().manual_seed(0)
    readings = []
    for i in range(4):  # features of their own: those of a tiny U-Net are nearly equal
        given = denoising_ways.read(ways, np.array([i]), np.zeros(1, int), networks)
        f = [torch.randn(x.shape, generator=random) for x in given.found.f]
        readings.append(replace(given, found=replace(given.found, f=f)))
    monkeypatch.setattr(inversion, "SOLVED", len(readings))

    def lacks() -> float:
        """The mean square of what codes lack, beside what they have in common."""
        codes = [inversion.modulated(mapping(g.found.h), modulation, g) for g in readings]
        like = [g.codes if targets == "truth" else g.denoised_codes for g in readings]
        return torch.cat([a - b for a, b in zip(like, codes, strict=True)]).square().mean().item()

    before, silent = lacks(), modulation.line.silent
    inversion.solve(mapping, modulation, iter(readings), targets)
    assert silent and not modulation.line.silent
    assert lacks() < 0.02 * before


def test_what_is_solved_is_trained_with_a_small_rate(networks):
    _, modulation = inversion.fresh(networks, plain=False)
    of = {id(p): group["lr"] for group in inversion.groups(modulation) for p in group["params"]}
    assert {
        name for name, p in modulation.named_parameters() if of[id(p)] == inversion.LINE_RATE
    } == {f"line.{part}.{kind}" for part in ("inward", "outward") for kind in ("weight", "bias")}
    assert len(of) == len(list(modulation.parameters()))


def test_t_without_attention_learns_beside_an_m_that_stays(data, autoencoder, networks, tmp_path):
    portraits = latent_diffusion.Portraits(data, autoencoder, CPU, MASK, slice(4))
    ways = [denoising_ways.Ways(tmp_path / "ways", portraits, networks)]
    mapping, modulation = inversion.fresh(networks, plain=True)
    mapping.requires_grad_(False)
    start = [{k: v.clone() for k, v in net.state_dict().items()} for net in (mapping, modulation)]
    loop = Loop(tmp_path / "run", 1, "cpu", progress=False, steps=3)
    m, t = inversion.train(data, ways, loop, mapping, modulation, networks, 2, "both")
    assert all(torch.equal(v, start[0][k]) for k, v in m.state_dict().items())
    assert any(not torch.equal(v, start[1][k]) for k, v in t.state_dict().items())
    assert not t.attentive


def test_eq_6_grows_with_each_of_its_terms(networks, data):
    like = torch.zeros(2, 3, *data.images.shape[1:3])
    w = networks.generator.mapping.w_avg.expand(2, networks.generator.num_ws, -1)
    near, pixels = inversion.loss(networks, w, networks.generator.synthesis(w, noise="const"), None)
    assert pixels == 0 and near == pytest.approx(0, abs=1e-5)
    other, _ = inversion.loss(networks, w, like + 1, None)
    person, _ = inversion.loss(networks, w, like + 1, like + 1)
    moved, _ = inversion.loss(networks, w + 3, networks.generator.synthesis(w + 3), None)
    assert (
        other > 0.1 and person > other and moved == pytest.approx(9 * inversion.REGULAR, abs=0.02)
    )


def test_only_portraits_that_are_learnt_from_are_drawn_in_a_style(
    data, autoencoder, networks, tmp_path, monkeypatch
):
    def styled(parameters, style, size):
        return np.full((len(parameters), size, size, 3), 255, np.uint8)

    monkeypatch.setattr(diffusion_styles, "styled", styled)
    monkeypatch.setattr(diffusion_styles, "CHUNK", 2)
    rows = slice(8, 12)
    portraits = latent_diffusion.Portraits(data, autoencoder, CPU, MASK, rows)
    way = denoising_ways.Ways(tmp_path / "ways", portraits, networks, rows.start)
    fewer = way.first_of(2)
    assert len(fewer) == 2 and len(way) == 4 and fewer.captions == way.captions[:2]
    targets = diffusion_styles.pictures(data, "bronze", tmp_path / "styled", [fewer])
    assert [bool(picture.all()) for picture in targets] == 8 * [False] + 2 * [True]
    given = denoising_ways.read(fewer, np.array([0, 1]), np.zeros(2, int), networks)
    assert given.rows.tolist() == [8, 9] and targets[given.rows].min() == 255


def test_a_style_s_t_goes_on_from_that_of_portraits(
    data, autoencoder, networks, tmp_path, monkeypatch
):
    """Its pictures are made once; T alone moves, towards them."""
    side, rendered = data.images.shape[1], []

    def styled(parameters, style, size):
        rendered.extend(parameters)
        return np.full((len(parameters), size, size, 3), 255, np.uint8)

    monkeypatch.setattr(diffusion_styles, "styled", styled)
    portraits = latent_diffusion.Portraits(data, autoencoder, CPU, MASK, slice(4))
    ways = [denoising_ways.Ways(tmp_path / "ways", portraits, networks)]
    for _ in range(2):
        targets = diffusion_styles.pictures(data, "bronze", tmp_path / "styled", ways)
    assert targets.shape == (4, side, side, 3) and targets.min() == 255 and len(rendered) == 4
    mapping, modulation = (net.eval() for net in inversion.fresh(networks, plain=False))
    first = {k: v.clone() for k, v in mapping.state_dict().items()}
    loop = Loop(tmp_path / "run", 1, "cpu", progress=False, steps=41)
    trained = diffusion_styles.train(ways, targets, loop, mapping, modulation, networks, 2)
    assert all(torch.equal(v, first[k]) for k, v in mapping.state_dict().items())
    assert column(loop, "of_t")[-1] < column(loop, "of_t")[0]
    modulations = {"bronze": trained, "T of portraits": inversion.fresh(networks, plain=False)[1]}
    found = diffusion_styles.evaluate(ways, targets, mapping, modulations, networks)
    assert set(found) == {
        f"mask {name} {number}" for name in modulations for number in ("psnr", "lpips")
    }
