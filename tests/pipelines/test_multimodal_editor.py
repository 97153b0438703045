"""MM2Latent's editing on tiny networks: sources, both kinds of edits, codes in files."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pipelines.mm2latent import MM2Latent
from pipelines.multimodal_editor import PIVOT
from tests.pipelines.test_indomain import difference, portrait
from tests.pipelines.test_mm2latent import GIVEN, LAYERS, SIZE, build


@pytest.fixture(scope="module")
def pipeline() -> MM2Latent:
    return build()


@pytest.fixture(scope="module")
def source(pipeline: MM2Latent):
    return pipeline.invert(portrait())


def test_a_source_is_the_encoders_code_and_what_its_picture_shows(pipeline, source) -> None:
    x = torch.from_numpy(np.asarray(source.image).copy())
    assert source.w.shape == (1, LAYERS, 512) and x.shape == (SIZE, SIZE, 3)
    assert source.given["mask"].shape == (SIZE, SIZE) == source.given["sketch"].shape
    assert source.given["morphable"].shape == (3,)
    assert source.embedding.norm().item() == pytest.approx(1, abs=1e-5)
    again = pipeline.placed(source.w)
    assert difference(again.image, source.image) == 0 and again.measures is None
    assert (again.given["mask"] == again.classes.numpy()).all()
    assert torch.equal(again.classes, source.classes)


@pytest.mark.parametrize("kind", list(GIVEN))
def test_a_condition_is_read_without_a_code(pipeline, source, kind: str, monkeypatch) -> None:
    for network in ("encoder", "generator", "embedding"):
        monkeypatch.setattr(pipeline, network, None)
    found = pipeline.read(portrait(), kind)
    assert found.dtype == source.given[kind].dtype
    assert np.allclose(found, source.given[kind], atol=1e-5)
    with pytest.raises(ValueError, match="condition must be one of mask, sketch, morphable"):
        pipeline.read(portrait(), "text")


def test_codes_are_kept_and_read_again(pipeline: MM2Latent, source, tmp_path) -> None:
    edited = pipeline.edit(source, "a hat")
    path = pipeline.keep(tmp_path / "two.safetensors", {"inverted": source, "edited": edited})
    found = pipeline.read_codes(path)
    assert set(found) == {"inverted", "edited"}
    for name, kept in (("inverted", source), ("edited", edited)):
        assert torch.equal(found[name].w, kept.w) and difference(found[name].image, kept.image) == 0
    with pytest.raises(ValueError, match="must hold one code"):
        pipeline.reopen(path)
    one = pipeline.keep(tmp_path / "one.safetensors", {"code": edited})
    again = pipeline.edit(pipeline.reopen(one), "a hat", beta=0.0)
    assert torch.equal(again.w, edited.w) and again.kept == 1
    other = build()
    other.fingerprint = "0" * 64
    with pytest.raises(ValueError, match="made with other weights"):
        other.read_codes(path)


def test_a_code_that_comes_as_numbers_stands_for_its_picture(pipeline, source) -> None:
    found = pipeline.placed(source.w.numpy(), portrait())
    assert torch.equal(found.w, source.w) and found.measures == source.measures
    assert all((found.given[k] == source.given[k]).all() for k in pipeline.conditions)
    assert torch.equal(found.embedding, source.embedding)


TARGETS = {"text": "a person with a hat", **GIVEN}


@pytest.mark.parametrize("kind", list(TARGETS))
def test_beta_0_gives_the_source_back(pipeline, source, kind: str) -> None:
    edited = pipeline.edit(source, TARGETS[kind], kind=kind, beta=0.0)
    assert torch.equal(edited.w, source.w) and difference(edited.image, source.image) == 0
    assert edited.kept == 1 and edited.identity == pytest.approx(1, abs=1e-5)
    assert edited.direction.norm() > 0


def test_edits_by_text_follow_eq_8(pipeline, source) -> None:
    edited = pipeline.edit(source, "a hat", beta=1.5, through="sketch")
    f_cond = pipeline.codes.coded(torch.from_numpy(source.given["sketch"])[None], "sketch")
    f_tar, f_piv = pipeline.embedding.embed_texts(["a hat", PIVOT]).split(1)
    net = pipeline.mappings["sketch"]
    expected = net(f_tar, f_cond) - net(f_piv, f_cond)
    assert torch.allclose(edited.direction, expected, atol=1e-6)
    assert torch.allclose(edited.w, source.w + 1.5 * expected[:, None], atol=1e-5)
    back = pipeline.edit(source, PIVOT, pivot="a hat", beta=1.5, through="sketch")
    assert torch.allclose(back.direction, -expected, atol=1e-6)


@pytest.mark.parametrize("kind", list(GIVEN))
def test_edits_by_a_condition_follow_eq_9(pipeline, source, kind: str) -> None:
    edited = pipeline.edit(source, GIVEN[kind], kind=kind)
    net, codes = pipeline.mappings[kind], pipeline.codes
    wanted = GIVEN[kind]
    if kind == "morphable":
        wanted = np.append(source.given[kind][:2], np.float32(12.0))
    tar, piv = (
        codes.coded(torch.from_numpy(given)[None], kind) for given in (wanted, source.given[kind])
    )
    expected = net(source.embedding, tar) - net(source.embedding, piv)
    assert torch.allclose(edited.direction, expected, atol=1e-6)
    same = pipeline.edit(source, GIVEN[kind], kind=kind, pivot=GIVEN[kind])
    assert same.direction.abs().max() == 0


@pytest.mark.parametrize(("kind", "texts"), [("text", 1), ("mask", 0)])
def test_an_edit_makes_one_picture_and_reads_it_once(source, kind: str, texts: int) -> None:
    editor, ran = build(), []
    networks = {
        "synthesis": editor.generator.synthesis, "parser": editor.parser, "judge": editor.judge,
        "pictures": editor.embedding.images, "texts": editor.embedding.texts,
        "encoder": editor.encoder, "perceptual": editor.perceptual.lpips.net,
    }  # fmt: skip
    for name, network in networks.items():
        network.register_forward_hook(lambda *_, name=name: ran.append(name))
    editor.edit(source, TARGETS[kind], kind=kind)
    once = ["judge", "parser", "synthesis", *["pictures", "texts"] * texts]
    assert sorted(ran) == sorted(once)


@pytest.mark.parametrize("beta", [5.1, -6.0, math.nan, math.inf])
def test_a_wrong_beta_is_refused(pipeline, source, beta: float) -> None:
    with pytest.raises(ValueError, match="beta must lie"):
        pipeline.edit(source, "a hat", beta=beta)


@pytest.mark.parametrize("kind", ["text", "mask", "sketch"])
def test_a_target_of_another_kind_is_refused(pipeline, source, kind: str) -> None:
    with pytest.raises(TypeError, match="must be"):
        pipeline.edit(source, None, kind=kind)


def test_a_code_of_another_shape_is_refused(pipeline: MM2Latent) -> None:
    with pytest.raises(ValueError, match="w must be"):
        pipeline.placed(torch.zeros(1, LAYERS + 1, 512))
    with pytest.raises(ValueError, match="w must be"):
        pipeline.placed(torch.full((1, LAYERS, 512), math.nan))
