"""FaRL from OpenAI's layout to that of transformers: both compute the same embeddings."""

from __future__ import annotations

import pytest
import torch

from tests.convert import published_farl as published
from tests.parity import reference_clip as reference
from weights.convert import farl
from weights.manifest import WeightsError


@pytest.fixture
def content() -> dict:
    torch.manual_seed(0)
    return published.farl()


def clip(tensors: dict) -> dict:
    """The tensors under the names of transformers' `CLIPModel`."""
    return {name.removeprefix("texts.").removeprefix("images."): t for name, t in tensors.items()}


def close(ours: torch.Tensor, expected: torch.Tensor) -> None:
    assert expected.std() > 0.1
    assert (ours - expected).abs().max() < 1e-4


def test_pictures_have_the_same_embeddings(content: dict) -> None:
    tensors, config = farl.convert(content)
    pixels = torch.randn(2, 3, published.SIDE, published.SIDE)
    expected = reference.openai_image(content["state_dict"], pixels, published.IMAGE_BLOCKS)
    close(reference.transformers_image(clip(tensors), pixels, config), expected)


def test_texts_have_the_same_embeddings(content: dict) -> None:
    tensors, config = farl.convert(content)
    end = published.VOCABULARY - 1  # the largest number marks the end of a text
    tokens = torch.tensor([[28, 3, 7, end, 0, 0], [28, 9, 9, 9, 9, end]])
    expected = reference.openai_text(content["state_dict"], tokens, published.TEXT_BLOCKS)
    close(reference.transformers_text(clip(tensors), tokens, config), expected)
    assert tensors["logit_scale"].item() == pytest.approx(4.6)


def test_configuration_is_read_off_the_shapes(content: dict) -> None:
    config = farl.convert(content)[1]
    assert config["projection_dim"] == 24
    assert config["vision_config"] == {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": 24,
        "hidden_act": "quick_gelu",
        "image_size": 12,
        "patch_size": 4,
    }
    text = config["text_config"]
    assert (text["hidden_size"], text["num_hidden_layers"]) == (64, 3)
    assert (text["vocab_size"], text["max_position_embeddings"]) == (30, 6)


def test_names_are_those_of_the_clip_model(content: dict) -> None:
    tensors = clip(farl.convert(content)[0])
    assert len(tensors) == 14 + 16 * (published.IMAGE_BLOCKS + published.TEXT_BLOCKS)
    assert not [name for name in tensors if "lm_" in name or "mask_token" in name]
    shape = tensors["vision_model.encoder.layers.1.self_attn.k_proj.weight"].shape
    assert shape == (128, 128)
    assert tensors["visual_projection.weight"].shape == (24, 128)
    assert all(tensor.is_contiguous() for tensor in tensors.values())


def test_half_precision_becomes_float32(content: dict) -> None:
    half = {name: tensor.half() for name, tensor in content["state_dict"].items()}
    assert {t.dtype for t in farl.convert({"state_dict": half})[0].values()} == {torch.float32}


@pytest.mark.parametrize("lost", ["visual.proj", "transformer.resblocks.1.attn.in_proj_bias"])
def test_an_incomplete_file_is_refused(content: dict, lost: str) -> None:
    del content["state_dict"][lost]
    with pytest.raises(WeightsError, match="without"):
        farl.convert(content)


@pytest.mark.parametrize("name", ["head.weight", "visual.transformer.resblocks.0.attn.q.weight"])
def test_an_unknown_name_is_refused(content: dict, name: str) -> None:
    content["state_dict"][name] = torch.zeros(1)
    with pytest.raises(WeightsError, match=f"named '{name}'"):
        farl.convert(content)
