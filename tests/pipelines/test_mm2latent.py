"""MM2Latent on tiny networks: generation, what is left out, other methods, wrong inputs."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from PIL import Image

import weights
from examples.clay.parts import CLASSES
from pipelines import multimodal_unsaid
from pipelines.mm2latent import FUSIONS, MM2Latent
from pipelines.morphable import CLAY, DECA, Layout
from pipelines.multimodal_baselines import METHODS, Bank
from pipelines.networks.condition_autoencoder import ConditionAutoencoder
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.mm_mapping import MultimodalMapping
from pipelines.networks.morphable import MorphableNet
from pipelines.networks.parser import FaceParser
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from tests.pipelines.test_indomain import difference, portrait
from tests.pipelines.tiny_embedding import LENGTH, TinyEmbedding

SIZE, LAYERS = 32, 8
LAYOUT = Layout(
    {"shape": ("width", "chin"), "pose": ("yaw",)},
    {"width": (-2.0, 2.0), "chin": (-2.0, 2.0), "yaw": (-30.0, 30.0)},
)


def build(offload: bool | str = False, **given) -> MM2Latent:
    torch.manual_seed(0)
    generator = Generator(SIZE, mapping_layers=2, channels={4: 16, 8: 16, 16: 8, 32: 8})
    encoder = LayerwiseEncoder(LAYERS, SIZE, width=8, level_size=16)
    torch.nn.init.normal_(encoder.heads[0].weight, std=0.2)
    judge = PortraitJudge({"glasses": 5}, ("age",), channels=(4, 8, 8), embedding=16, verifies=True)
    sizes = {"mask": 512, "sketch": 512, "morphable": len(LAYOUT.names)}
    networks = {
        "mappings": {k: MultimodalMapping(k, n, layers=3, width=32) for k, n in sizes.items()},
        "autoencoders": {k: ConditionAutoencoder(k, SIZE) for k in ("mask", "sketch")},
        "parser": FaceParser(len(CLASSES), channels=(8, 8)),
        "judge": judge,
        "morphable": MorphableNet(LAYOUT.names, channels=(4, 8, 8)),
        "layout": LAYOUT,
    } | given
    return MM2Latent(
        generator, encoder, TinyEmbedding(), perceptual=PerceptualDistance(), device="cpu",
        offload=offload, **networks,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pipeline() -> MM2Latent:
    return build()


def face(size: int = SIZE) -> np.ndarray:
    """A mask: hair above skin, on background."""
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 :, size // 4 : -size // 4] = CLASSES.index("skin")
    mask[: size // 3, size // 4 : -size // 4] = CLASSES.index("hair")
    return mask


def lines(size: int = SIZE) -> np.ndarray:
    sketch = np.zeros((size, size), bool)
    sketch[size // 2], sketch[:, size // 3] = True, True
    return sketch


GIVEN = {"mask": face(), "sketch": lines(), "morphable": {"yaw": 12.0}}


# ---- generation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(GIVEN))
def test_generation_is_one_code_for_all_layers(pipeline: MM2Latent, kind: str) -> None:
    found = pipeline.generate("a young person", **{kind: GIVEN[kind]})
    assert found.w.shape == (1, LAYERS, 512) and (found.w == found.w[:, :1]).all()
    assert found.w.device.type == "cpu" and not found.w.requires_grad
    assert found.image.size == (SIZE, SIZE) and found.condition == kind
    assert -1 <= found.scores.text <= 1 and found.scores.condition <= 1
    assert set(found.scores.attributes) == {"glasses"}
    with pytest.raises(FrozenInstanceError):
        found.prompt = "another"


def test_the_same_inputs_and_seed_give_the_same_picture(pipeline: MM2Latent) -> None:
    def go(**options) -> Image.Image:
        return pipeline.generate("a hat", mask=face(), **options).image

    assert difference(go(), go(seed=5)) == 0
    assert difference(go(variety=1.0, seed=3), go(variety=1.0, seed=3)) == 0
    a, b = (pipeline.generate("a hat", mask=face(), variety=1.0, seed=s).w for s in (3, 4))
    assert not torch.equal(a, b)


def test_what_is_left_open_is_that_of_a_sample(pipeline: MM2Latent, monkeypatch) -> None:
    """A sample's own picture and condition, with what they leave open, are the sample."""
    z = torch.randn(1, pipeline.generator.z_dim, generator=torch.Generator().manual_seed(7))
    w = pipeline.generator.mapping(z)
    x = pipeline.generator.synthesis(w).clamp(-1, 1)
    f_img, labels = pipeline.embedding.embed_images(x), pipeline.codes.read(x, "mask")
    for f, kind, given in ((f_img, "mask", labels), (f_img, None, None), (None, "mask", labels)):
        rest = pipeline.unsaid((7,), kind, worded=f is not None)
        assert torch.allclose(pipeline.project(f, kind, given) + rest, w, atol=1e-4)
    # Half of it is half way, another seed another person, and a mask needs no words.
    mean, half, whole = (
        pipeline.generate("a hat", mask=face(), unsaid=u, seed=7).w for u in (0.0, 0.5, 1.0)
    )
    assert torch.allclose(half, (mean + whole) / 2, atol=1e-5) and not torch.equal(mean, whole)
    first, second = pipeline.vary(mask=face(), unsaid=1.0, seeds=(7, 8))
    assert difference(first.image, second.image) > 0
    # A sample is read once.
    monkeypatch.setattr(pipeline.generator.mapping, "forward", None)
    assert torch.equal(pipeline.generate("a hat", mask=face(), unsaid=1.0, seed=7).w, whole)


def test_few_samples_are_remembered(pipeline: MM2Latent, monkeypatch) -> None:
    monkeypatch.setattr(multimodal_unsaid, "KEPT", 3)
    found = pipeline.unsaid(range(5), None, worded=True)
    assert len(found) == 5 and len(pipeline.unsaid.known) == 3
    assert torch.allclose(pipeline.unsaid((0, 4), None, worded=True), found[[0, 4]], atol=1e-5)


def test_prompt_and_condition_both_matter(pipeline: MM2Latent) -> None:
    found = pipeline.leave_one_out("a bald person", mask=face())
    assert list(found) == ["both", "prompt alone", "mask alone"]
    ws = [each.w for each in found.values()]
    assert all(not torch.equal(ws[i], ws[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert found["prompt alone"].scores.condition is None
    assert found["mask alone"].scores.text is None
    with pytest.raises(ValueError, match="condition must be given"):
        pipeline.leave_one_out("a bald person")


def test_numbers_that_are_not_named_are_the_mean(pipeline: MM2Latent) -> None:
    net = pipeline.mappings["morphable"]
    given = pipeline.generate(morphable={"yaw": 12.0}).given
    rest = net.neutral(1)[0].numpy()
    assert given.tolist() == pytest.approx([rest[0], rest[1], 12.0])
    whole = pipeline.generate(morphable=[*rest[:2], 12.0])
    assert torch.equal(whole.w, pipeline.generate(morphable={"yaw": 12.0}).w)


def test_a_batch_of_seeds_is_what_each_gives_alone(pipeline: MM2Latent, monkeypatch) -> None:
    read = []
    embed = pipeline.embedding.embed_texts
    monkeypatch.setattr(
        pipeline.embedding, "embed_texts", lambda texts: read.append(texts) or embed(texts)
    )
    found = pipeline.vary("a hat", seeds=range(2, 12), variety=1.0, mask=face())
    assert len(found) == 10 and read == [["a hat"]]  # the words are read once
    for seed, each in zip(range(2, 12), found, strict=True):
        alone = pipeline.generate("a hat", mask=face(), variety=1.0, seed=seed)
        assert torch.allclose(each.w, alone.w, atol=1e-5)
        assert difference(each.image, alone.image) <= 1
        assert each.scores.text == pytest.approx(alone.scores.text, abs=1e-4)
        assert each.scores.condition == pytest.approx(alone.scores.condition, abs=0.02)
    assert len(pipeline.vary(seeds=(0, 1, 2), sketch=lines())) == 3
    with pytest.raises(ValueError, match="seeds must hold"):
        pipeline.vary("a hat", seeds=())


def test_fusion_by_hand_takes_layers_or_the_mean(pipeline: MM2Latent) -> None:
    _, text, mask = pipeline.leave_one_out("a hat", mask=face()).values()
    layered = pipeline.ablate("a hat", by="layers", share=0.25, mask=face())
    assert layered.method == "layers" and layered.scores.text is not None
    first = LAYERS // 4
    assert torch.equal(layered.w[:, :first], mask.w[:, :first])
    assert torch.equal(layered.w[:, first:], text.w[:, first:])
    mean = pipeline.ablate("a hat", by="mean", share=0.25, mask=face())
    assert torch.allclose(mean.w, 0.75 * text.w + 0.25 * mask.w, atol=1e-6)
    for by in FUSIONS[:2]:
        ends = [pipeline.ablate("a hat", by=by, share=s, mask=face()).w for s in (0, 1)]
        assert torch.equal(ends[0], text.w) and torch.equal(ends[1], mask.w)


def test_a_picture_stands_in_the_place_of_the_words_as_in_training(pipeline: MM2Latent) -> None:
    source = pipeline.invert(portrait())
    found = pipeline.ablate("a hat", by="picture", picture=portrait(), mask=face())
    given = torch.from_numpy(face())[None]
    assert torch.allclose(found.w, pipeline.project(source.embedding, "mask", given), atol=1e-5)
    assert found.prompt == "a hat" and found.scores.text is not None


def test_ablations_ask_for_both_inputs(pipeline: MM2Latent) -> None:
    with pytest.raises(ValueError, match="got one alone"):
        pipeline.ablate("a hat", by="mean")
    with pytest.raises(ValueError, match="by must be one of layers, mean, picture"):
        pipeline.ablate("a hat", by="sum", mask=face())
    with pytest.raises(ValueError, match="share must lie"):
        pipeline.ablate("a hat", by="mean", share=math.nan, mask=face())
    with pytest.raises(TypeError, match="PIL image"):
        pipeline.ablate("a hat", by="picture", mask=face())


# ---- baselines -----------------------------------------------------------------------------------


def test_tedigan_takes_the_layout_of_the_condition(pipeline: MM2Latent) -> None:
    seen = []
    found = pipeline.baseline(
        "a hat", method="tedigan", mask=face(), steps=6, on_step=lambda s: seen.append(s.loss)
    )
    assert found.method == "tedigan" and len(seen) == 6 and seen[-1] < seen[0]
    text = pipeline.baseline("a hat", method="tedigan", steps=6)
    half = LAYERS // 2
    assert torch.allclose(found.w[:, half:], text.w[:, half:], atol=1e-4)
    assert not torch.allclose(found.w[:, :half], text.w[:, :half], atol=1e-3)


@pytest.mark.parametrize("kind", list(GIVEN))
def test_tedigan_descends_towards_a_condition_alone(pipeline: MM2Latent, kind: str) -> None:
    seen = []
    pipeline.baseline(
        method="tedigan", steps=8, on_step=lambda s: seen.append(s.loss), **{kind: GIVEN[kind]}
    )
    assert min(seen[1:]) < seen[0]


def test_the_nearest_sample_is_the_nearest(pipeline: MM2Latent, monkeypatch) -> None:
    bank = Bank.explore(pipeline.generator, pipeline.embedding, pipeline.device, samples=6, batch=4)
    assert torch.equal(bank.nearest(bank.embedding[[4, 1]]), bank.w[[4, 1]])
    monkeypatch.setitem(pipeline.__dict__, "bank", bank)
    found = pipeline.baseline("a hat", method="nearest", mask=face())
    assert any(torch.allclose(found.w[0, 0], w, atol=1e-6) for w in bank.w)
    with pytest.raises(ValueError, match="must have a prompt"):
        pipeline.baseline(method="nearest", mask=face())
    with pytest.raises(ValueError, match=METHODS[0]):
        pipeline.baseline("a hat", method="controlnet")


# ---- inputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["", " \n\t "])
def test_an_empty_prompt_is_refused(pipeline: MM2Latent, prompt: str) -> None:
    with pytest.raises(ValueError, match="prompt must say something"):
        pipeline.generate(prompt)


def test_nothing_and_too_much_are_refused(pipeline: MM2Latent) -> None:
    with pytest.raises(ValueError, match="got neither"):
        pipeline.generate()
    with pytest.raises(ValueError, match="mask and sketch"):
        pipeline.generate("a hat", mask=face(), sketch=lines())
    with pytest.raises(TypeError, match="prompt must be text"):
        pipeline.generate(7)


def test_a_long_prompt_is_cut_and_that_is_said(pipeline: MM2Latent) -> None:
    found = pipeline.generate("hat " * 2500, mask=face())
    assert len(found.notes) == 1 and f"{9999 - LENGTH} of 9999" in found.notes[0]
    assert pipeline.generate("a hat").notes == ()


@pytest.mark.parametrize("prompt", ["\u0000", "😀 帽子", "'; DROP TABLE", "a\u202eb", "<b>hat</b>"])
def test_odd_prompts_are_words_like_others(pipeline: MM2Latent, prompt: str) -> None:
    assert pipeline.generate(prompt).prompt == prompt


@pytest.mark.parametrize("unsaid", [-0.1, 1.5, math.nan])
def test_a_wrong_share_of_the_unsaid_is_refused(pipeline: MM2Latent, unsaid: float) -> None:
    with pytest.raises(ValueError, match="unsaid must lie"):
        pipeline.generate("a hat", unsaid=unsaid)


@pytest.mark.parametrize("variety", [-0.1, 2.5, math.nan])
def test_a_wrong_variety_is_refused(pipeline: MM2Latent, variety: float) -> None:
    with pytest.raises(ValueError, match="variety must lie"):
        pipeline.generate("a hat", variety=variety)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"yaw": 31.0}, r"yaw must be a number in \[-30, 30\]"),
        ({"yaw": math.nan}, "yaw must be"),
        ({"nose": 1.0}, "must be among"),
        ({}, "at least one"),
        ([1.0, 2.0], r"3 numbers; got shape \(2,\)"),
        (["a", "b", "c"], "3 numbers"),
        ([0.0, 0.0, math.inf], "yaw must be"),
    ],
)
def test_wrong_3dmm_numbers_are_refused(pipeline: MM2Latent, given, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        pipeline.generate(morphable=given)


def test_layouts_say_every_number_once() -> None:
    assert len(DECA.names) == 159 and len(CLAY.names) == 33
    for layout in (CLAY, DECA):
        assert len(set(layout.names)) == len(layout.names) and set(layout.ranges) == set(
            layout.names
        )
        ends = [layout.columns(group) for group in layout.groups]
        assert ends[0].start == 0 and ends[-1].stop == len(layout.names)
    assert CLAY.names[CLAY.columns("pose")] == ("yaw", "pitch", "roll")
    assert {name: DECA.columns(name).stop - DECA.columns(name).start for name in DECA.groups} == {
        "shape": 100, "expression": 50, "pose": 9,
    }  # fmt: skip


# ---- what a domain has ---------------------------------------------------------------------------


def test_a_domain_without_a_condition_says_so() -> None:
    torch.manual_seed(0)
    only = build(
        mappings={"mask": MultimodalMapping("mask", 512, layers=2, width=16)},
        missing={"mm2latent-sketch": "not trained yet"},
    )
    assert only.conditions == ("mask",)
    with pytest.raises(ValueError, match=r"not trained yet.*--condition sketch"):
        only.generate("a hat", sketch=lines())
    with pytest.raises(ValueError, match="condition must be one of mask"):
        only.edit(only.invert(portrait()), "a hat", kind="pose")


def test_networks_that_do_not_go_together_are_refused() -> None:
    wrong = {"mask": MultimodalMapping("mask", 100, layers=2, width=16)}
    with pytest.raises(weights.WeightsError, match="512 numbers"):
        build(mappings=wrong)
    with pytest.raises(weights.WeightsError, match="go together"):
        build(mappings={})
    with pytest.raises(weights.WeightsError, match="3DMM numbers"):
        build(morphable=MorphableNet(("a", "b", "c"), channels=(4, 8, 8)))


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloaded_networks_give_the_same(pipeline: MM2Latent, offload: str) -> None:
    other = build(offload)
    for given in ({"mask": face()}, {"sketch": lines()}, {"morphable": {"yaw": 3.0}}):
        a, b = (p.generate("a hat", **given) for p in (pipeline, other))
        assert difference(a.image, b.image) <= 1
