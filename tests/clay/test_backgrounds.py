"""The backdrops behind the portraits: bounded, different, repeatable, steered by parameters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from examples.clay import draw, latent
from examples.clay.backgrounds import background
from examples.clay.parameters import (
    BACKGROUND_VARIANTS,
    BACKGROUNDS,
    CHOICES,
    GROUPS,
    INDEX,
    limits,
)

CLUTTERED = BACKGROUNDS[2:]
CONTINUOUS = [name for name in GROUPS["background"] if name not in CHOICES]
BOUND = 0.12  # of `longest_step`


def picture(seed: int = 21, side: int = 24, **overrides: object) -> np.ndarray:
    return shown_by(draw(latent(seed), overrides), side)


def shown_by(p: np.ndarray, side: int) -> np.ndarray:
    at = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    return np.array([[background(x, y, p) for x in at] for y in at])


def fine_share(focus: float, kind: str, count: int, side: int = 128) -> float:
    """Share of the pictures' variance at wavelengths shorter than 8 px at 128 px, in a window."""
    window = np.outer(np.hanning(side + 2)[1:-1], np.hanning(side + 2)[1:-1])[..., None]
    across = np.fft.fftfreq(side) * side / 128
    fine = np.hypot(across[:, None], across) > 1 / 8
    whole = above = 0.0
    for seed in range(count):
        shown = np.sqrt(picture(seed, side, background=kind, focus=focus))  # about as displayed
        spectrum = np.fft.fft2((shown - shown.mean((0, 1))) * window, axes=(0, 1))
        energy = (np.abs(spectrum) ** 2).sum(2)
        whole, above = whole + energy.sum(), above + energy[fine].sum()
    return float(above / whole)


def longest_step(kind: str, name: str, variant: int, focus: float, steps: int = 60) -> float:
    """Largest change of a colour between neighbouring values of one parameter."""
    p = draw(latent(4), {"background": kind, "variant": variant, "focus": focus})
    pictures = []
    for value in np.linspace(*limits(name), steps + 1):
        p[INDEX[name]] = value
        pictures.append(shown_by(p, 11))
    return float(np.abs(np.diff(np.stack(pictures), axis=0)).max())


@pytest.mark.parametrize("kind", CLUTTERED)
def test_the_lens_leaves_no_detail_finer_than_eight_pixels(kind):
    assert fine_share(0.0, kind, 8) < 0.005
    assert fine_share(1.0, kind, 4) > 0.02


@pytest.mark.parametrize("kind", BACKGROUNDS)
@pytest.mark.parametrize("name", CONTINUOUS)
def test_what_is_drawn_moves_smoothly_with_every_number(kind, name):
    assert max(longest_step(kind, name, variant, 0.0) for variant in (0, 3)) < BOUND


def test_the_bound_on_steps_is_one_that_sharp_edges_break():
    assert min(longest_step(kind, "bg_x", 0, 1.0) for kind in CLUTTERED) > BOUND


def test_the_spot_is_the_brighter_colour_and_passes_evenly_from_one_to_the_other():
    def spot(value: float) -> np.ndarray:
        look = {"bg_saturation": 1.0, "bg_hue": 0.0, "bg_hue2": 0.5, "bg_value2": 0.5}
        place = {"variant": 0, "bg_x": 0.0, "bg_y": 0.0, "bg_scale": 0.0}
        return picture(background="gradient", bg_value=value, **look, **place)

    assert np.abs(spot(0.499) - spot(0.501)).max() < 0.005
    for value in (0.1, 0.5, 0.9):
        shown = spot(value).mean(2)
        assert shown[12, 12] > 1.1 * shown[0, 0]


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_focus_is_soft_unless_set_and_blends(kind):
    drawn, soft, half, sharp = (
        picture(background=kind, **focus)
        for focus in ({}, {"focus": 0.0}, {"focus": 0.5}, {"focus": 1.0})
    )
    np.testing.assert_array_equal(drawn, soft)
    np.testing.assert_allclose(half, (soft + sharp) / 2, atol=1e-5)
    assert (np.abs(soft - sharp).mean() > 0.01) == (kind in CLUTTERED)


def test_sharp_pictures_keep_more_layouts_than_are_drawn():
    three = [picture(background="shelves", focus=1.0, bg_scale=s) for s in (0.3, 0.34, 0.67)]
    assert np.abs(three[0] - three[1]).mean() > 0.03
    assert np.abs(three[1] - three[2]).mean() > 0.03


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_light_is_finite_and_moderate(kind):
    for variant in range(BACKGROUND_VARIANTS):
        for focus in (0.0, 1.0):
            shown = picture(variant, background=kind, variant=variant, focus=focus)
            assert np.isfinite(shown).all() and shown.min() >= 0 and shown.max() < 1.2
            assert shown.mean() > 0.01


def test_a_sample_is_three_float32():
    sample = background(np.float32(0), np.float32(0), draw(latent(1)))
    assert len(sample) == 3
    np.testing.assert_array_equal(picture(background="leaves"), picture(background="leaves"))


def test_kinds_differ():
    shown = [picture(background=kind) for kind in BACKGROUNDS]
    for a, b in itertools.combinations(shown, 2):
        assert np.abs(a - b).mean() > 0.01


@pytest.mark.parametrize("kind", CLUTTERED)
def test_layouts_and_shifts_change_a_cluttered_backdrop(kind):
    here = picture(background=kind, variant=0, bg_x=0.0)
    for variant in range(1, BACKGROUND_VARIANTS):
        assert np.abs(here - picture(background=kind, variant=variant, bg_x=0.0)).mean() > 0.005
    assert np.abs(here - picture(background=kind, variant=0, bg_x=0.7)).mean() > 0.005


def test_plain_is_nearly_flat_and_clutter_is_not():
    def detail(kind: str) -> float:
        shown = picture(background=kind)
        return float(np.abs(np.diff(shown, axis=1)).mean() / shown.mean())

    assert detail("plain") < 0.02
    assert min(detail(kind) for kind in CLUTTERED) > 0.05


def test_value_brightens_a_plain_wall():
    dark, bright = (picture(background="plain", bg_value=value) for value in (0.0, 1.0))
    assert bright.mean() > 2 * dark.mean()
