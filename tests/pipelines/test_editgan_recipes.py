"""The recipes of EditGAN: draws, losses, overlaps and edits with known answers."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from examples.clay.parameters import SEEDS, draw, latent
from examples.clay.part_edits import PART_EDITS, area, dilated_pupils, gaze, width
from examples.clay.parts import PART_PALETTE, PARTS
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.segmentation import SegmentationBranch
from pipelines.networks.stylegan2 import Generator
from pipelines.training import editing_vectors
from pipelines.training.editgan_encoder import encoder_loss
from pipelines.training.editing_vectors import (
    Truth,
    agreement,
    chosen,
    learn,
    measure,
    painted,
    reached,
)
from pipelines.training.segmentation_branch import (
    LABELLED,
    Labelled,
    Pixels,
    confusion,
    feature_maps,
    overlaps,
    step_loss,
)
from tests.pipelines import test_editgan as tiny

SIDE = 32


def labelled(labels: np.ndarray) -> Labelled:
    return Labelled({}, torch.from_numpy(labels).long())


# ---- the branch ----------------------------------------------------------------------------------


def test_rare_parts_are_drawn_more_often() -> None:
    labels = np.zeros((2, 10, 10), np.int64)
    labels[1, 3, 4] = 7  # one pixel of 200
    for balance, expected in ((0.0, 1 / 200), (0.5, 0.0662), (1.0, 0.5)):
        pixels = Pixels(labelled(labels), balance, seed=0)
        part, picture, row, column = pixels.draw(20_000)
        assert (part == 7).float().mean().item() == pytest.approx(expected, abs=0.01)
        assert torch.equal(torch.from_numpy(labels)[picture, row, column], part)
        assert set(part.tolist()) == {0, 7}
        q, p = torch.tensor([1 - expected, expected]), torch.tensor([199 / 200, 1 / 200])
        assert torch.allclose(pixels.preference[[0, 7]], (q / p).log(), atol=0.01)
    assert Pixels(labelled(labels), 0.0, seed=0).preference.abs().max() < 1e-5


def test_the_branch_learns_parts_from_features() -> None:
    torch.manual_seed(0)
    generator = Generator(SIDE, mapping_layers=1, channels=tiny.CHANNELS).requires_grad_(False)
    colours = [(i, 0, 0) for i in range(len(PARTS))]
    branch = SegmentationBranch(tiny.CHANNELS, PARTS, colours, members=2, widths=(16, 16))
    maps = feature_maps(generator, generator.mapping(torch.randn(3, 512)))
    assert set(maps) == set(branch.layout)
    labels = (maps["b32.conv1"][:, 0] > 0).long() + 1  # what a linear layer can tell
    data = Labelled(maps, labels)
    pixels, optimizer = Pixels(data, 0.5, 0), torch.optim.Adam(branch.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        loss, right = step_loss(branch.train(), data, pixels, 64)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0] and right > 0.8
    found = branch.eval()(maps).argmax(1)
    assert (found == labels).float().mean() > 0.8


def test_overlaps_with_a_known_answer() -> None:
    true = np.array([[[0, 0], [1, 1]]], np.uint8)
    found = np.array([[[0, 1], [1, 1]]], np.uint8)
    table = confusion(true, found, 3)
    assert table.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    result = overlaps(table, ("a", "b", "c"))
    assert result == pytest.approx({"miou": (1 / 2 + 2 / 3) / 2, "a": 1 / 2, "b": 2 / 3})


def test_the_labelled_portraits_are_sixteen_of_the_training_split() -> None:
    assert len(set(LABELLED)) == 16
    assert all(seed in SEEDS["train"] for seed in LABELLED)


def test_every_part_has_a_colour_of_its_own() -> None:
    gaps = np.linalg.norm(PART_PALETTE[:, None].astype(float) - PART_PALETTE, axis=2)
    assert PART_PALETTE.shape == (len(PARTS), 3)
    assert gaps[~np.eye(len(PARTS), dtype=bool)].min() > 50


# ---- the encoder ---------------------------------------------------------------------------------


def test_the_encoder_is_told_the_codes_of_samples_alone() -> None:
    torch.manual_seed(0)
    generator = Generator(SIDE, mapping_layers=1, channels=tiny.CHANNELS)
    encoder = LayerwiseEncoder(generator.num_ws, SIDE, width=8, level_size=16).eval()
    perceptual, real = PerceptualDistance(), torch.rand(3, 3, SIDE, SIDE)
    ws = generator.mapping(torch.randn(2, 512))
    pictures = generator.synthesis(ws)
    sampled = ws, pictures
    loss, terms = encoder_loss(encoder, generator, perceptual, real, sampled, (0.1, 3.0))
    x = torch.cat([real, pictures])
    rebuilt = generator.synthesis(encoder(x))
    assert terms["code"].item() == pytest.approx(F.mse_loss(encoder(pictures), ws).item(), rel=1e-4)
    expected = F.mse_loss(rebuilt, x) + 0.1 * perceptual(rebuilt, x).mean() + 3 * terms["code"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


# ---- the library ---------------------------------------------------------------------------------


def mask_of(**boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A mask of skin with boxes (top, bottom, left, right) of parts, underscores for spaces."""
    mask = np.full((SIDE, SIDE), PARTS.index("skin"), np.uint8)
    for name, (top, bottom, left, right) in boxes.items():
        mask[top:bottom, left:right] = PARTS.index(name.replace("_", " "))
    return mask


def test_statistics_of_masks() -> None:
    mask = mask_of(teeth=(2, 4, 0, 10))
    assert area("teeth")(mask) == 20 and area("hair")(mask) == 0
    assert width("teeth")(mask) == pytest.approx(2 * np.arange(10).std())
    left = mask_of(left_sclera=(5, 8, 4, 14), left_iris=(5, 8, 4, 8))
    right = mask_of(left_sclera=(5, 8, 4, 14), left_iris=(5, 8, 10, 14))
    assert gaze(left) == pytest.approx(-3) and gaze(right) == pytest.approx(3)
    assert np.isnan(gaze(mask))


def test_pupils_grow_inside_their_irises() -> None:
    mask = mask_of(left_iris=(4, 10, 4, 10), left_pupil=(4, 6, 6, 8))
    after = dilated_pupils(mask)
    pupil = PARTS.index("left pupil")
    grown = (after == pupil) & (mask != pupil)
    assert grown.sum() == 6 and (mask[grown] == PARTS.index("left iris")).all()


@pytest.mark.parametrize("name", PART_EDITS)
def test_edits_are_possible_on_what_suits_them(name: str) -> None:
    edit, count = PART_EDITS[name], 0
    assert set(edit.q_edit) <= set(PARTS)
    for seed in range(400):
        p = draw(latent(seed))
        if edit.suits(p):
            count += 1
            for scale in (-2.0, 0.5, 2.0):
                draw(latent(seed), edit.apply(p, scale))  # raises where a limit is passed
            changed = draw(latent(seed), edit.apply(p, 1.0))
            assert edit.paint or not np.array_equal(changed, p)
    assert count >= 5


def test_what_changes_in_truth_is_painted_on_the_prediction() -> None:
    before = mask_of(teeth=(4, 6, 4, 10), hair=(0, 2, 0, 32))
    after = mask_of(teeth=(4, 8, 4, 10), hair=(0, 3, 0, 32))
    predicted = mask_of(teeth=(4, 6, 5, 11), hair=(0, 1, 0, 32))
    found = painted(predicted, np.stack([before, after]), ("teeth",))
    expected = predicted.copy()
    expected[6:8, 4:10] = PARTS.index("teeth")
    expected[4:6, 10] = PARTS.index("skin")  # teeth that only the prediction has: gone
    assert np.array_equal(found, expected)
    assert agreement(predicted, before, ("teeth",)) == pytest.approx(10 / 14)
    assert agreement(predicted, before, ("hat",)) == 1


def test_half_of_the_true_change_is_success() -> None:
    edit = PART_EDITS["open mouth"]
    masks = [mask_of(teeth=(4, 4 + height, 4, 14)) for height in (0, 2, 4)]
    truth = np.stack([masks[0], masks[2]])
    assert reached(edit, np.stack([masks[0], masks[1]]), truth) == pytest.approx(0.5)
    assert reached(edit, np.stack([masks[1], masks[0]]), truth) == pytest.approx(-0.5)
    assert reached(edit, truth, np.stack([masks[0], masks[0]])) is None


def test_seeds_are_shared_between_edits() -> None:
    edits = [PART_EDITS["glasses on"], PART_EDITS["open eyes"]]
    found = chosen(edits, SEEDS["validation"], 4)
    assert {len(seeds) for seeds in found.values()} == {4}
    for edit in edits:
        assert all(edit.suits(draw(latent(seed))) for seed in found[edit.name])
    with pytest.raises(ValueError, match="must suit every edit"):
        chosen(edits, SEEDS["validation"][:3], 4)


def test_a_vector_is_learnt_from_the_better_source_and_measured(monkeypatch) -> None:
    pipeline = tiny.build()
    embedding = pipeline.embed(tiny.portrait(), steps=2)
    pipeline.masks = tiny.PartMasks(PARTS, SIDE)
    pipeline.parts = PARTS
    edit = PART_EDITS["open mouth"]
    before, after = mask_of(), mask_of(teeth=(10, 16, 10, 20))
    images = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    monkeypatch.setattr(
        editing_vectors, "truth", lambda edit, seed, size: Truth(images, np.stack([before, after]))
    )
    # The classifier of this test knows five parts: the painted label must be one of its own.
    monkeypatch.setattr(editing_vectors, "painted", lambda mask, true, q: tiny.painting(embedding))
    monkeypatch.setattr(editing_vectors, "agreement", lambda mask, true, q: mask is embedding.mask)
    monkeypatch.setattr(pipeline.masks.__class__, "region", lambda self, *_: after != before)
    other = tiny.replace(embedding, mask=embedding.mask.copy())
    vector = learn(pipeline, edit, {5: other, 7: embedding}, steps=2)
    assert (vector.name, vector.seed, vector.q_edit) == ("open mouth", 7, edit.q_edit)
    row = measure(pipeline, edit, vector, embedding.w.repeat(3, 1, 1), [1, 2, 3])
    assert row == {"success": 0.0, "median share": 0.0, "portraits": 3}


def test_vectors_that_are_known_are_only_measured(monkeypatch, tmp_path) -> None:
    pipeline, learnt = tiny.build(), []
    known = tiny.replace(tiny.vector_of(pipeline), name="smile", seed=9)
    path = known.save(tmp_path / "smile.safetensors")

    def learn_one(pipeline, edit, *_):
        learnt.append(edit.name)
        return tiny.replace(known, name=edit.name, seed=7)

    row = {"success": 0.75, "median share": 0.9, "portraits": 4}
    monkeypatch.setattr(editing_vectors, "learn", learn_one)
    monkeypatch.setattr(editing_vectors, "measure", lambda *_: row)
    monkeypatch.setattr(editing_vectors, "embeddings_of", lambda _, seeds, __: dict.fromkeys(seeds))
    monkeypatch.setattr(
        editing_vectors, "codes_of", lambda _, seeds, __: dict.fromkeys(seeds, torch.zeros(4, 8))
    )
    arg = argparse.Namespace(
        vectors=path, only=["smile", "open mouth"], candidates=1, held_out=2, embed_steps=1,
        steps=1, identity=True, keep=0.5,
    )  # fmt: skip
    kept, rows = editing_vectors.library(pipeline, arg)
    assert learnt == ["open mouth"]
    assert {v.name: v.seed for v in kept} == {"smile": 9, "open mouth": 7}
    assert rows["smile"]["success"] == kept[0].success["success"] == 0.75


def test_vectors_of_another_generator_are_carried_over() -> None:
    pipeline = tiny.build()
    embedding = pipeline.embed(tiny.portrait(), steps=1)
    other = tiny.replace(tiny.vector_of(pipeline), name="smile", generator="0" * 64)
    with pytest.raises(ValueError, match="must be for generator"):
        pipeline.check_vector(other)
    found = editing_vectors.carried(pipeline, other, embedding)
    pipeline.check_vector(found)
    assert torch.equal(found.delta, other.delta) and found.name == "smile"
    picture = pipeline.apply(embedding, [(found, 1.0)]).image.resize((64, 64))
    shown = np.asarray(found.thumbnail.crop((64, 0, 128, 64)).convert("RGB")).astype(int)
    assert np.abs(shown - np.asarray(picture)).mean() < 4
