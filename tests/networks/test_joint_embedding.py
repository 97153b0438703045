"""The joint embedding, tiny: its vectors, how it reads texts, FaRL's layout, and its file."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

import weights
from pipelines.networks.joint_embedding import (
    END,
    SIGNS,
    START,
    JointEmbedding,
    tokenizer_of,
    vocabulary_of,
)
from pipelines.runtime import Submodules
from tests.convert import published_farl as published
from tests.parity import reference_clip as reference
from weights.convert import farl

MERGES = ("h a", "ha t</w>", "r e", "re d</w>")
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def tiny(length: int = 12, **options: object) -> JointEmbedding:
    torch.manual_seed(0)
    size = len(vocabulary_of(MERGES))
    words = {"vocab_size": size, "bos_token_id": size - 2, "eos_token_id": size - 1}
    text = TOWER | words | {"max_position_embeddings": length}
    vision = TOWER | {"image_size": 32, "patch_size": 8}
    return JointEmbedding(text, vision, 16, merges=MERGES, **options).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def network() -> JointEmbedding:
    return tiny()


def pictures(count: int = 2, side: int = 32) -> torch.Tensor:
    return torch.linspace(-1, 1, count * 3 * side * side).reshape(count, 3, side, side)


def test_vectors_are_of_unit_length(network) -> None:
    images, texts = network.embed_images(pictures()), network.embed_texts(["hat", "red", ""])
    assert (images.shape, texts.shape) == ((2, 16), (3, 16))
    torch.testing.assert_close(images.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(3))
    logits = network(pictures(), ["hat", "red", ""])
    torch.testing.assert_close(logits, network.logit_scale.exp() * images @ texts.T)


def test_small_is_what_the_recipe_trains() -> None:
    network = JointEmbedding.small(MERGES)
    assert network.embed_texts(["a hat"]).shape == (1, 512)
    assert network.embed_images(pictures()).shape == (2, 512)
    assert sum(p.numel() for p in network.parameters()) < 6e6  # 12 MB in fp16


def test_pieces_name_the_states(network) -> None:
    assert network.tokens("Red  HAT!") == [START, "red", "hat", "!", END]
    states, own = network.token_states(["Red hat!", "hat"])
    assert states.shape == (2, 5, 32)
    assert own.sum(dim=1).tolist() == [5, len(network.tokens("hat"))]
    assert network.tokens("ça 日")[1:4] == ["�", "�", "a"]  # bytes that no merge has joined
    assert network.tokens("") == [START, END]


def test_company_changes_nothing(network) -> None:
    """A text is embedded alike beside a longer one."""
    alone, longer = network.embed_texts(["hat"]), network.embed_texts(["hat", "red hat red hat"])
    torch.testing.assert_close(alone, longer[:1])
    torch.testing.assert_close(
        network.token_states(["hat"])[0][0], network.token_states(["hat", "red hat"])[0][0, :3]
    )
    assert (longer[0] - longer[1]).abs().max() > 1e-3


def test_spelling_in_capitals_and_spaces_is_the_same_text(network) -> None:
    same = network.embed_texts(["red hat", "  RED\n\tHat "])
    torch.testing.assert_close(same[0], same[1])


@pytest.mark.parametrize(
    "prompt",
    ["", " ", "\n", "xyzzy", "ein roter Hut", "赤い帽子", "قبعة", "🎩" * 7, "\ud800x",
     "\x00", "x" * 10_000, "hat " * 2_500, "<|endoftext|>", "e\u0301" * 50, "İ" * 30],
)  # fmt: skip
def test_any_text_is_read(network, prompt: str) -> None:
    vector = network.embed_texts([prompt])
    assert vector.isfinite().all() and vector.shape == (1, 16)
    states, own = network.token_states([prompt])
    assert states.shape[1] == own.sum() == len(network.tokens(prompt)) <= 12


def test_what_is_not_read_is_told(network) -> None:
    assert network.left_out("red hat") == network.left_out("") == ""
    assert network.left_out("hat " * 10) == ""  # start, ten hats, end
    assert network.left_out("hat " * 10 + "and a RED  scarf ") == "and a RED  scarf"
    cut = network.embed_texts(["hat " * 10, "hat " * 10 + "red"])
    torch.testing.assert_close(cut[0], cut[1])


def test_a_text_cannot_name_a_token() -> None:
    """Typed marks are letters: what follows them is read too."""
    network = tiny(length=40)
    assert network.tokens(END).count(END) == 1
    one, other = network.embed_texts([f"{END} hat", f"{END} red"])
    assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("prompts", "message"),
    [("a hat", "list of texts"), ([], "must hold a text"), (["hat", None], "list of texts")],
)
def test_prompts_are_checked(network, prompts, message) -> None:
    with pytest.raises(ValueError, match=message):
        network.embed_texts(prompts)


def test_pictures_of_any_size_are_taken(network) -> None:
    small = network.embed_images(pictures())
    large = network.embed_images(F.interpolate(pictures(), scale_factor=4, mode="nearest"))
    assert (small * large).sum(dim=1).min() > 0.99
    with pytest.raises(ValueError, match="images must be RGB"):
        network.embed_images(pictures()[0])


def test_gradient_reaches_the_picture_and_not_its_neighbour(network) -> None:
    x = pictures().requires_grad_()
    (network.embed_images(x)[0] @ network.embed_texts(["hat"])[0]).backward()
    assert x.grad[0].abs().sum() > 0 and x.grad[1].abs().sum() == 0


def test_channels_are_normalised() -> None:
    x = pictures()
    given = tiny(mean=(0.4, 0.5, 0.6), deviation=(0.2, 0.3, 0.4)).embed_images(x)
    mean, deviation = (torch.tensor(c)[:, None, None] for c in ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)))
    # By default x is left as it is: its mean is 0.5 and its deviation 0.5 in [0, 1].
    torch.testing.assert_close(given, tiny().embed_images(((x + 1) / 2 - mean) / deviation))


def test_the_file_holds_the_words_too(network, tmp_path) -> None:
    weights.save(network, tmp_path / "joint.safetensors", {})
    again = weights.load_file(JointEmbedding, tmp_path / "joint.safetensors")
    prompts = ["a red hat", "日本", ""]
    assert again.tokens(prompts[0]) == network.tokens(prompts[0])
    torch.testing.assert_close(
        again.embed_texts(prompts), network.embed_texts(prompts), atol=2e-3, rtol=0
    )


def test_towers_are_called_as_modules() -> None:
    """Hooks that bring weights for one call see every call."""
    network = tiny()
    images, texts = network.embed_images(pictures()), network.embed_texts(["red hat"])
    for tower in (network.images, network.texts):
        Submodules(tower, torch.device("cpu"))
    assert network.texts.text_projection.weight.is_meta
    torch.testing.assert_close(network.embed_images(pictures()), images)
    torch.testing.assert_close(network.embed_texts(["red hat"]), texts)


def test_signs_are_those_of_clip() -> None:
    signs = list(SIGNS)
    assert len(signs) == 256 and sorted(SIGNS.values()) == list(range(256))
    assert (signs[0], signs[93], signs[94], signs[-1]) == ("!", "~", "¡", "Ń")
    vocabulary = vocabulary_of(["i n"])
    assert vocabulary["!"] == 0 and vocabulary["!</w>"] == 256 and vocabulary["in"] == 512
    assert tokenizer_of(["i n"]).encode("in").tokens == ["i", "n</w>"]


def farl_network(monkeypatch) -> tuple[dict, JointEmbedding]:
    monkeypatch.setattr(published, "VOCABULARY", len(vocabulary_of(MERGES)))
    torch.manual_seed(0)
    content = published.farl()
    tensors, config = farl.convert(content)
    network = JointEmbedding(**config).eval()
    network.load_state_dict(tensors)
    return content["state_dict"], network.requires_grad_(False)


def test_farl_embeds_as_published(monkeypatch) -> None:
    table, network = farl_network(monkeypatch)
    x = torch.rand(2, 3, published.SIDE, published.SIDE) * 2 - 1
    mean, deviation = (torch.tensor(c)[:, None, None] for c in (farl.MEAN, farl.DEVIATION))
    expected = reference.openai_image(
        table, ((x + 1) / 2 - mean) / deviation, published.IMAGE_BLOCKS
    )
    torch.testing.assert_close(
        network.embed_images(x), F.normalize(expected, dim=1), atol=1e-4, rtol=0
    )
    with pytest.raises(ValueError, match="need the merges"):
        network.embed_texts(["hat"])
    network.read_with(MERGES)
    end = published.VOCABULARY - 1
    ids = [end - 1, *tokenizer_of(MERGES).encode("red hat").ids, end]
    tokens = torch.tensor([ids + [end] * (published.WORDS - len(ids))])
    expected = reference.openai_text(table, tokens, published.TEXT_BLOCKS)
    torch.testing.assert_close(
        network.embed_texts(["red hat"]), F.normalize(expected, dim=1), atol=1e-4, rtol=0
    )


def test_other_merges_are_refused(network) -> None:
    with pytest.raises(ValueError, match="518 pieces; got 517"):
        tiny().read_with(MERGES[:3])


def test_importing_the_module_does_not_import_transformers() -> None:
    line = (
        "import sys, pipelines.networks.joint_embedding; "
        "sys.exit(any(m in sys.modules for m in ('transformers', 'tokenizers')))"
    )
    assert subprocess.run([sys.executable, "-c", line]).returncode == 0


def test_context_is_of_one_length_and_does_not_depend_on_the_batch():
    network, prompts = tiny(), ["", "a bald man", "a person with blue eyes and a hat"]
    states, spoken = network.context(prompts)
    assert states.shape[1] == spoken.shape[1] == network.length
    for i, prompt in enumerate(prompts):
        alone, its = network.context([prompt])
        torch.testing.assert_close(alone[0], states[i], rtol=1e-4, atol=1e-5)
        assert torch.equal(its[0], spoken[i])
        assert int(its.sum()) == len(network.words(prompt))
        assert not states[i, len(network.tokens(prompt)) :].any()
    full, its = network.context(["hat " * 500])
    assert int(its.sum()) == len(network.words("hat " * 500)) == network.length - 2
