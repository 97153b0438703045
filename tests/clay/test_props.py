"""Things that no generator has seen: where they are, what they cover, what they leave alone."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import pytest
from PIL import Image

from examples.clay import EDITS, SEEDS, draw, latent, portrait
from examples.clay.__main__ import run
from examples.clay.lettering import lettering
from examples.clay.parameters import PROPS
from examples.clay.parts import PARTS, PROP
from examples.clay.render import render

SIDE = 64
SEED = SEEDS["test"][0]
POSES = ((0, 0, 0), (24, 8, 4), (-24, -6, -4))
THINGS = PROPS[1:]
LIMITS = {"sticker": (0.005, 0.06)}  # of the picture; the cheek may be on the far side


@functools.cache
def pair(thing: str, k: int):
    """(with the thing, without it): another seed, pose, look and place for each k."""
    seed, staged = SEED + 3 * k, {"prop_look": (k + 0.5) / 3, "prop_shift": (0.6, -0.9, 0.2)[k]}
    return tuple(
        portrait(seed, SIDE, camera=POSES[k], prop=name, **staged) for name in (thing, "none")
    )


def near(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask with everything within `pixels` of it."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1,) * 2)) > 0


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("k", range(len(POSES)))
def test_a_thing_is_seen_in_its_mask_and_belongs_to_nobody(thing, k):
    seen, bare = pair(thing, k)
    mask = seen.prop_mask
    assert (seen.prop, bare.prop) == (thing, "none")
    assert mask.shape == (SIDE, SIDE) and mask.dtype == bool and not bare.prop_mask.any()
    low, high = LIMITS.get(thing, (0.03, 0.25))
    assert low < mask.mean() < high
    assert not seen.parts[mask].any() and not seen.mask[mask].any()
    assert (seen.image != bare.image).any(axis=2)[mask].mean() > 0.9
    # a ray that grazes two surfaces may end on either
    assert (seen.parts != bare.parts)[~mask].mean() < 0.002


@pytest.mark.parametrize("thing", THINGS)
def test_outside_its_mask_a_thing_leaves_no_more_than_a_soft_shadow(thing):
    """Mean change beyond two pixels of the mask; 1.4 of 255 at most when written."""
    for k in range(len(POSES)):
        seen, bare = pair(thing, k)
        change = np.abs(seen.image.astype(int) - bare.image).mean(axis=2)
        outside = ~near(seen.prop_mask, 2)
        assert change[outside].mean() < (0.2 if thing in ("sticker", "caption") else 2.0)
        assert (change[outside] > 12).mean() < 0.06


def test_without_a_thing_its_look_and_place_change_nothing():
    plain = portrait(SEED, SIDE)
    other = portrait(SEED, SIDE, prop="none", prop_look=0.8, prop_shift=-0.7)
    np.testing.assert_array_equal(plain.image, other.image)
    np.testing.assert_array_equal(plain.parts, other.parts)
    assert plain.prop == "none" and plain.caption == other.caption


@pytest.mark.parametrize("thing", THINGS)
def test_look_and_place_change_the_thing(thing):
    front = {"prop": thing, "camera": (0, 0, 0)}
    looks = [portrait(SEED, SIDE, **front, prop_look=look) for look in (0.1, 0.25, 0.5, 0.9)]
    # a hand has the portrait's skin: three poses and no hue
    assert len({p.image.tobytes() for p in looks}) == (3 if thing == "hand" else 4)
    left, right = (portrait(SEED, SIDE, **front, prop_shift=shift) for shift in (-0.8, 0.8))
    if thing != "headphones":  # these sit on the ears
        assert (left.prop_mask != right.prop_mask).mean() > 0.004


def test_words_and_true_edits_keep_to_the_person():
    seen, bare = pair("mug", 0)
    assert (seen.caption, seen.attributes) == (bare.caption, bare.attributes)
    change = EDITS["smile"].apply(seen.parameters, 0.5)
    after = portrait(SEED, SIDE, camera=POSES[0], prop="mug", **change)
    assert after.prop == "mug" and after.prop_mask.any()


def test_only_a_set_prop_gives_labels_beyond_the_parts():
    z = np.stack([latent(SEED), latent(SEED + 1)])
    _, bare = render(draw(z), SIDE)
    _, seen = render(draw(z, {"prop": "scarf"}), SIDE)
    assert bare.max() < len(PARTS) == PROP == seen.max()


def test_letters_are_strokes_between_blanks():
    rows = np.linspace(-0.12, 0.12, 60)
    inked = [any(lettering(x, y, 0) < 0.5 for y in rows) for x in np.linspace(-0.9, 0.9, 200)]
    changes = np.diff(np.array(inked, int))
    assert (changes == 1).sum() + inked[0] == len("BREAKINGNEWS")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"prop": "umbrella"}, "prop must be one of .*got 'umbrella'"),
        ({"prop_look": 1.5}, r"prop_look must lie in \[0, 1\]"),
        ({"prop_shift": -2}, r"prop_shift must lie in \[-1, 1\]"),
    ],
)
def test_errors_say_what_was_expected(overrides, message):
    with pytest.raises(ValueError, match=message):
        portrait(SEED, SIDE, **overrides)


def test_sheets_show_props_and_identities(tmp_path):
    arguments = ["sheet", "--count", "4", "--columns", "2", "--size", "32"]
    pages = {}
    for name, more in (("bare", []), ("props", ["--props"]), ("faces", ["--per-identity", "2"])):
        run([*arguments, *more, "--out", str(tmp_path / f"{name}.png")])
        pages[name] = np.asarray(Image.open(tmp_path / f"{name}.png"))
    assert {page.shape for page in pages.values()} == {(64, 64, 3)}
    assert len({page.tobytes() for page in pages.values()}) == 3
    np.testing.assert_array_equal(
        pages["faces"][:32, 32:], portrait(SEED + 1, 32, identity=SEED).image
    )
