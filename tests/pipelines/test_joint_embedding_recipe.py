"""The joint embedding's recipe: its loss, what it leaves out, and that it learns."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from examples.clay.facts import FACTS, NAMES, facts
from examples.clay.phrases import PHRASES
from examples.clay.wording import truth, write
from pipelines.networks.joint_embedding import JointEmbedding, tokenizer_of, vocabulary_of
from pipelines.training import joint_embedding as recipe
from pipelines.training.loop import Loop
from tests.networks.test_joint_embedding import pictures, tiny
from tests.pipelines.test_training_loop import MemorySet


def test_without_shared_captions_the_loss_is_that_of_clip() -> None:
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    own = torch.arange(5)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(recipe.contrast(logits, torch.eye(5, dtype=torch.bool)), expected)


def test_the_loss_is_zero_where_all_is_known() -> None:
    """Logits of log p(text, picture) give both softmaxes what they should be."""
    true = torch.tensor([[1, 0, 1], [1, 1, 1], [0, 0, 1]], dtype=torch.bool)
    joint = true.float() / true.sum(0)
    logits = (joint + 1e-12).log()
    assert recipe.contrast(logits, true).abs() < 1e-5
    assert recipe.contrast(torch.zeros(3, 3), true) > 0.1


def test_equal_captions_do_not_count_against_each_other() -> None:
    logits = torch.full((2, 2), 3.0)
    alike, different = torch.ones(2, 2, dtype=torch.bool), torch.eye(2, dtype=torch.bool)
    assert recipe.contrast(logits, alike) == pytest.approx(0, abs=1e-6)
    assert recipe.contrast(logits, different) == pytest.approx(math.log(2))


def test_facts_that_are_not_said_cost_nothing() -> None:
    rows = facts(MemorySet(count=6).parameters())
    caption = write(rows[0], np.random.default_rng(0), 1)
    (phrase,) = caption.phrases
    possible, seen = recipe.stated([caption]), recipe.shown(rows)
    start = sum(len(values) for values in list(FACTS.values())[: NAMES.index(phrase.fact)])
    own = possible[0, start : start + len(FACTS[phrase.fact])]
    assert (~possible).sum() == (~own).sum() == len(FACTS[phrase.fact]) - len(phrase.values)
    assert (seen[0] & possible[0])[start : start + len(own)].sum() == 1
    reader = recipe.FactReader(4)
    torch.nn.init.zeros_(reader.layer.weight)
    torch.nn.init.zeros_(reader.layer.bias)
    expected = math.log(len(own) / len(phrase.values))
    assert reader.loss_of(torch.ones(1, 4), possible).item() == pytest.approx(expected, abs=1e-5)
    # A row of all values is one of nothing seen: only the other fact counts.
    reader.layer.bias.data[:start] = 5 * torch.randn(start)
    assert reader.loss_of(torch.ones(1, 4), possible).item() == pytest.approx(expected, abs=1e-5)


def test_half_of_the_patches_are_left_out_only_while_open() -> None:
    network, seen = tiny(), []
    layer = network.images.vision_model.encoder
    layer.register_forward_pre_hook(
        lambda _, __, given: seen.append(given["inputs_embeds"].shape[1]), with_kwargs=True
    )
    whole = network.embed_images(pictures())
    with recipe.DroppedPatches(network, 0.5) as patches:
        half = network.embed_images(pictures())
        patches.kept = 1.0
        torch.testing.assert_close(network.embed_images(pictures()), whole)
    torch.testing.assert_close(network.embed_images(pictures()), whole)
    assert seen == [17, 9, 17, 17]
    assert (half - whole).abs().max() > 1e-4


def test_groups_of_like_length_keep_their_order() -> None:
    prompts = ["red hat", "a", "hat hat hat hat", "", "re", "hat!", "h", "red", "ha", "xyz", "e"]
    network = tiny()
    torch.testing.assert_close(recipe.embed_grouped(network, prompts), network.embed_texts(prompts))
    assert recipe.embed_grouped(network, ["hat"]).shape == (1, 16)


def test_words_of_captions_become_whole_pieces() -> None:
    merges = recipe.learn_merges(captions=200)
    assert merges == recipe.learn_merges(captions=200)
    assert len(vocabulary_of(merges)) <= 514 + 800
    tokenizer = tokenizer_of(merges)
    words = {word for phrase in PHRASES for word in phrase.words.split() if word.isalpha()}
    whole = [word for word in words if len(tokenizer.encode(word).tokens) == 1]
    assert len(whole) > 0.9 * len(words)


def learner() -> JointEmbedding:
    network = tiny(length=64)
    return network.requires_grad_(True)


def test_training_lowers_the_loss_and_moves_both_towers(tmp_path) -> None:
    network, data = learner(), MemorySet(count=32)
    before = {name: p.clone() for name, p in network.named_parameters()}
    loop = Loop(tmp_path, 1, "cpu", progress=False, steps=60)
    average = recipe.train(data, loop, network, batch=16)
    with (tmp_path / "log.csv").open() as file:
        logged = list(csv.DictReader(file))
    for loss in ("contrast", "pictures", "texts"):
        assert float(logged[-1][loss]) < float(logged[0][loss]), loss
    moved = {
        name.split(".")[0] for name, p in network.named_parameters() if (p != before[name]).any()
    }
    assert moved == {"texts", "images", "logit_scale"}
    assert not any(p.requires_grad for p in average.parameters())


def test_training_goes_on_where_it_stopped(tmp_path) -> None:
    data = MemorySet(count=16)
    recipe.train(data, Loop(tmp_path, 1, "cpu", progress=False, steps=3), learner(), batch=8)
    again = Loop(tmp_path, 1, "cpu", progress=False, steps=5)
    recipe.train(data, again, learner(), batch=8)
    assert again.step == 5


def test_held_out_numbers() -> None:
    data = MemorySet(count=24, split="validation")
    found = recipe.evaluate(tiny(length=64), data, torch.device("cpu"))
    assert all(0 <= number <= 1 for number in found.values())
    assert {"accuracy", "accuracy of the most frequent", "retrieval at 1 of 64"} < set(found)
    assert {"accuracy glasses", "accuracy age", "accuracy clothes_color"} < set(found)


class Knowing:
    """Stands for a network that embeds each fact's text and picture as what they say."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    def embed_texts(self, prompts: list[str]) -> torch.Tensor:
        found = truth([self.captions[prompt] for prompt in prompts], self.rows)
        return torch.from_numpy(found.T.astype(np.float32))


def test_who_knows_every_picture_finds_it(monkeypatch) -> None:
    """With the truth itself as embedding a caption's own picture is the nearest, or an equal."""
    rows = facts(MemorySet(count=64, split="validation").parameters())
    knowing = Knowing(rows)
    knowing.captions = {}

    def noting(row, random, count):
        caption = write(row, random, count)
        knowing.captions[caption.text] = caption
        return caption

    monkeypatch.setattr(recipe, "write", noting)
    share = recipe.retrieval(knowing, torch.eye(len(rows)), rows)
    assert share > 0.9
