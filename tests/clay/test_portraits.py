"""Whole portraits, small ones: determinism, what each argument keeps, errors, sets on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from examples.clay import EDITS, SEEDS, ClaySet, portrait
from examples.clay.__main__ import run
from examples.clay.dataset import split_seeds, write
from examples.clay.parameters import IDENTITY, INDEX
from examples.clay.parts import CLASSES, PART_TO_CLASS
from examples.clay.portraits import pose_of

SIDE = 32
SEED = SEEDS["test"][0]


@pytest.fixture(scope="module")
def one():
    return portrait(SEED, SIDE)


def test_shapes_and_types(one):
    assert one.image.shape == (SIDE, SIDE, 3) and one.image.dtype == np.uint8
    for labels in (one.parts, one.mask, one.sketch):
        assert labels.shape == (SIDE, SIDE) and labels.dtype == np.uint8
    assert one.parameters.shape == (97,) and one.latent.shape == (512,)
    assert one.shape.shape == (20,) and one.expression.shape == (10,)
    assert one.pose.shape == (3,) and one.camera.shape == (25,)
    assert len(one.paraphrases) == 3


def test_the_same_seed_gives_the_same_portrait(one):
    again = portrait(SEED, SIDE)
    np.testing.assert_array_equal(again.image, one.image)
    np.testing.assert_array_equal(again.parts, one.parts)
    np.testing.assert_array_equal(again.sketch, one.sketch)
    assert (again.caption, again.attributes) == (one.caption, one.attributes)
    assert not np.array_equal(portrait(SEED + 1, SIDE).image, one.image)


def test_mask_and_sketch_fit_the_picture(one):
    np.testing.assert_array_equal(one.mask, PART_TO_CLASS[one.parts])
    assert {"bg", "skin", "nose", "cloth"} <= {CLASSES[i] for i in np.unique(one.mask)}
    assert set(np.unique(one.sketch)) == {0, 255}
    assert 0.03 < (one.sketch > 0).mean() < 0.5


def test_identity_keeps_the_face_and_redraws_the_rest(one):
    other = portrait(SEED + 1, SIDE, identity=SEED)
    face = [INDEX[name] for name in IDENTITY]
    np.testing.assert_array_equal(other.parameters[face], one.parameters[face])
    np.testing.assert_array_equal(other.shape, one.shape)
    assert not np.array_equal(other.pose, one.pose) and other.identity == SEED


def test_expression_by_name_and_by_numbers(one):
    assert portrait(SEED, SIDE, expression="surprise").attributes["expression"] == "surprise"
    donor = portrait(SEED + 1, SIDE, expression="open smile")
    np.testing.assert_allclose(
        portrait(SEED, SIDE, expression=donor.expression).expression, donor.expression, atol=1e-6
    )


@pytest.mark.parametrize("pose", [(0, 0, 0), (25, -10, 6), (-33.0, 12.0, -7.0)])
def test_a_camera_record_gives_the_pose_back(pose):
    seen = portrait(SEED, SIDE, camera=pose)
    np.testing.assert_allclose(seen.pose, pose, atol=1e-5)
    np.testing.assert_allclose(pose_of(seen.camera), pose, atol=1e-3)
    other = portrait(SEED + 1, SIDE, camera=seen.camera)
    np.testing.assert_allclose(other.camera, seen.camera, atol=1e-5)


def test_overrides_reach_the_picture_and_the_words(one):
    worn = portrait(SEED, SIDE, glasses="sunglasses", hat="none")
    assert worn.attributes["glasses"] == "sunglasses" and "sunglasses" in worn.caption
    assert (worn.mask == CLASSES.index("eye_g")).sum() > 10
    bare = portrait(SEED, SIDE, glasses="none")
    assert (bare.mask == CLASSES.index("eye_g")).sum() == 0


@pytest.mark.parametrize("name", ["glasses", "beard", "yaw", "light", "smile"])
def test_the_true_answer_of_an_edit_is_another_picture(name):
    start = {
        "glasses": "none",
        "beard": "none",
        "yaw": 0,
        "light_azimuth": 0,
        "expression": "neutral",
    }
    before = portrait(SEED, SIDE, **start)
    change = EDITS[name].high
    after = portrait(SEED, SIDE, **{**start, **EDITS[name].apply(before.parameters, change)})
    moved = EDITS[name].value(after.parameters) - EDITS[name].value(before.parameters)
    assert moved == pytest.approx(change, abs=1e-5)
    assert np.abs(after.image.astype(int) - before.image).max() > 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": "7"}, "seed must be a whole number; got str"),
        ({"seed": True}, "seed must be a whole number; got bool"),
        ({"seed": -1}, "seed must lie in 0"),
        ({"size": 8}, r"size must lie in 16\.\.1024; got 8"),
        ({"size": 64.0}, "size must be a whole number; got float"),
        ({"identity": 1.5}, "identity must be a whole number"),
        ({"camera": (1, 2)}, "camera must be 3 degrees .*got shape"),
        ({"camera": np.zeros(25)}, "3x3 part is a rotation"),
        ({"camera": (0, 0, 0), "yaw": 3}, "yaw must be given once"),
        ({"camera": (80, 0, 0)}, r"yaw must lie in \[-35, 35\]"),
        ({"expression": "angry"}, "expression must be one of .*got 'angry'"),
        ({"expression": [0.0] * 4}, "expression must be a name or 10 numbers"),
        ({"moustache": 1}, "override must name one of"),
    ],
)
def test_errors_say_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        portrait(**{"seed": SEED, "size": SIDE, **arguments})


def test_a_set_on_disk_is_the_portraits_themselves(tmp_path):
    arguments = ["render", "--split", "test", "--count", "4", "--per-identity", "2"]
    run([*arguments, "--size", str(SIDE), "--out", str(tmp_path)])
    clay = ClaySet(tmp_path)
    assert len(clay) == 4 and clay.images.shape == (4, SIDE, SIDE, 3)
    assert clay.identities.tolist() == [SEED, SEED, SEED + 1, SEED + 1]
    whole = portrait(int(clay.seeds[3]), SIDE, identity=int(clay.identities[3]))
    np.testing.assert_array_equal(clay.images[3], whole.image)
    np.testing.assert_array_equal(clay.masks(3), whole.mask)
    np.testing.assert_array_equal(clay.parameters()[3], whole.parameters)
    np.testing.assert_array_equal(clay.latents()[3], whole.latent)


def test_a_set_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("examples.clay.dataset.CHUNK", 2)
    write(tmp_path, "test", 4, size=SIDE)
    kept = np.load(tmp_path / "images.npy")
    images = np.lib.format.open_memmap(tmp_path / "images.npy", mode="r+")
    images[:2], images[2:] = 7, 0
    images.flush()
    progress = json.loads((tmp_path / "progress.json").read_text())
    (tmp_path / "progress.json").write_text(json.dumps({**progress, "done": 2}))
    with pytest.raises(ValueError, match="must hold 4 portraits; got 2"):
        ClaySet(tmp_path)
    again = write(tmp_path, "test", 4, size=SIDE)
    assert (again.images[:2] == 7).all()  # was there, so it is not rendered again
    np.testing.assert_array_equal(again.images[2:], kept[2:])
    with pytest.raises(ValueError, match="to go on; got"):
        write(tmp_path, "validation", 4, size=SIDE)


def test_a_set_grows_and_what_was_there_stays(tmp_path):
    write(tmp_path, "test", 2, size=SIDE)
    images = np.lib.format.open_memmap(tmp_path / "images.npy", mode="r+")
    images[:] = 7
    images.flush()
    grown = write(tmp_path, "test", 4, size=SIDE)
    assert len(grown) == 4 and (grown.images[:2] == 7).all() and not (grown.images[2:] == 7).all()
    assert grown.parts.shape == (4, SIDE, SIDE) and len(grown.seeds) == 4


def test_a_set_shares_its_overrides(tmp_path):
    sharp = write(tmp_path, "test", 2, size=SIDE, overrides={"focus": 1.0, "background": "leaves"})
    alone = portrait(int(sharp.seeds[1]), SIDE, focus=1.0, background="leaves")
    np.testing.assert_array_equal(sharp.images[1], alone.image)
    np.testing.assert_array_equal(ClaySet(tmp_path).parameters()[1], alone.parameters)
    with pytest.raises(ValueError, match="to go on; got"):
        write(tmp_path, "test", 2, size=SIDE)


def test_split_errors(tmp_path):
    with pytest.raises(ValueError, match="split must be one of"):
        split_seeds("holdout", 4)
    with pytest.raises(ValueError, match="count must lie in"):
        split_seeds("test", 0)
    with pytest.raises(FileNotFoundError, match="must hold a rendered set"):
        ClaySet(tmp_path)


def test_examples_hold_the_ground_truth(tmp_path):
    run(["examples", "--count", "2", "--size", str(SIDE), "--out", str(tmp_path)])
    records = json.loads((tmp_path / "portraits.json").read_text())
    whole = portrait(SEEDS["test"][1], SIDE)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "0001.png")), whole.image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "0001-mask.png")), whole.mask)
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "0001-sketch.png")), whole.sketch
    )
    assert records[1]["caption"] == whole.caption and records[1]["seed"] == whole.seed
    np.testing.assert_allclose(records[1]["camera"], whole.camera, atol=1e-5)
    np.testing.assert_allclose(pose_of(records[1]["camera"]), whole.pose, atol=0.01)
