"""Mask operations on masks small enough to be read."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from demos.kit import part_masks

PALETTE = np.array([(0, 0, 0), (200, 40, 40), (100, 20, 20), (40, 40, 220)], np.uint8)


def drawn(*rows: str) -> np.ndarray:
    return np.array([[int(c) for c in row] for row in rows], np.uint8)


BLOCK = drawn("000000", "011110", "011110", "011110", "000000", "000000")


def test_colours_snap_to_the_nearest_label():
    mask = drawn("0123", "3210")
    near = part_masks.coloured(mask, PALETTE).astype(int) + np.array([9, -9, 9])
    assert (part_masks.snapped(np.clip(near, 0, 255).astype(np.uint8), PALETTE) == mask).all()


def test_soft_edges_bring_in_no_third_label():
    """Half way between 0 and 1 lies the colour of 2, or near it."""
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 30:] = 1
    soft = part_masks.coloured(mask, PALETTE).copy()
    soft[:, 29] = PALETTE[1] * 0.25
    soft[:, 30] = PALETTE[1] * 0.75
    assert set(np.unique(part_masks.snapped(soft, PALETTE))) == {0, 1}


def test_a_smoothly_scaled_mask_comes_back():
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20, 6:28] = 3
    large = Image.fromarray(part_masks.coloured(mask, PALETTE)).resize((256, 256), Image.BILINEAR)
    back = part_masks.reduced(part_masks.snapped(np.asarray(large), PALETTE), 32)
    assert (back != mask).mean() < 0.02 and set(np.unique(back)) == {0, 3}


def test_a_photograph_is_no_mask():
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="colours of a mask must be those of the legend; .*%"):
        part_masks.snapped(noise, PALETTE)


def test_enlarged_and_back():
    mask = np.random.default_rng(1).integers(0, 4, (8, 8), np.uint8)
    large = part_masks.enlarged(mask, 4)
    assert large.shape == (32, 32) and (part_masks.reduced(large, 8) == mask).all()
    large[::4, ::4] = 0  # one pixel in sixteen is another label
    assert (part_masks.reduced(large, 8) == mask).all()


@pytest.mark.parametrize("shape", [(12, 8), (12, 12), (0, 0), (4, 4)])
def test_other_sizes_are_refused(shape):
    with pytest.raises(ValueError, match="8 x 8 pixels or a whole multiple"):
        part_masks.reduced(np.zeros(shape, np.uint8), 8)


def test_grown_and_shrunk():
    larger = part_masks.grown(BLOCK, 1)
    assert (larger == 1).sum() > (BLOCK == 1).sum() and (larger[BLOCK == 1] == 1).all()
    smaller = part_masks.shrunk(BLOCK, 1)
    assert (smaller == drawn("000000", "000000", "001100", *["000000"] * 3)).all()
    assert not (part_masks.shrunk(BLOCK, 1, 2) == 1).any()


def test_what_a_part_leaves_goes_to_its_neighbours():
    between = drawn("2221133", "2221133", "2221133")
    gone = part_masks.shrunk(between, 1, 2)
    assert set(np.unique(gone)) == {2, 3}
    alone = np.ones((4, 4), np.uint8)
    assert (part_masks.shrunk(alone, 1) == alone).all()


def test_a_part_at_the_border_shrinks_from_inside_only():
    half = drawn("1110", "1110", "1110")
    assert (part_masks.shrunk(half, 1) == drawn("1100", "1100", "1100")).all()


@pytest.mark.parametrize(("right", "down"), [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1)])
def test_moved(right, down):
    to = part_masks.moved(BLOCK, 1, right, down)
    assert (to == np.roll(BLOCK, (down, right), (0, 1))).all()


def test_moved_out_of_the_picture_is_cut():
    to = part_masks.moved(BLOCK, 1, 3, 0)
    assert (to == drawn("000000", *["000011"] * 3, "000000", "000000")).all()
    assert not part_masks.moved(BLOCK, 1, 9, 0).any()


def test_moved_leaves_no_gap():
    eye = drawn("33333", "31113", "33333")
    assert (part_masks.moved(eye, 1, 0, 1) == drawn("33333", "33333", "31113")).all()


def test_an_outline_is_filled():
    ring = drawn("00000", "01110", "01210", "01110", "00003")
    assert (part_masks.filled(ring, 1) == drawn("00000", *["01110"] * 3, "00003")).all()
    open_ring = drawn("00000", "01110", "01200", "01110", "00000")
    assert (part_masks.filled(open_ring, 1) == open_ring).all()


def test_strokes_are_carried_over_to_a_new_prediction():
    before, after = drawn("0011"), drawn("0111")
    painted = drawn("2011")
    assert (part_masks.carried(painted, before, after) == drawn("2111")).all()


def test_agreement():
    region = drawn("1100").astype(bool)
    assert part_masks.agreement(drawn("1200"), drawn("1000"), region) == 0.5
    assert part_masks.agreement(drawn("12"), drawn("00"), np.zeros((1, 2), bool)) == 1


def test_operations_leave_their_input_alone():
    before = BLOCK.copy()
    part_masks.grown(BLOCK, 1), part_masks.shrunk(BLOCK, 1), part_masks.moved(BLOCK, 1, 1, 0)
    part_masks.filled(BLOCK, 1), part_masks.enlarged(BLOCK, 2)
    assert (before == BLOCK).all()
