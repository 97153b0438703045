"""The backdrops behind the portraits: bounded, different, repeatable, steered by parameters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from examples.clay import draw, latent
from examples.clay.backgrounds import background
from examples.clay.parameters import BACKGROUND_VARIANTS, BACKGROUNDS

CLUTTERED = BACKGROUNDS[2:]


def picture(seed: int = 21, side: int = 24, **overrides: object) -> np.ndarray:
    p = draw(latent(seed), overrides)
    at = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    return np.array([[background(x, y, p) for x in at] for y in at])


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_light_is_finite_and_moderate(kind):
    for variant in range(0, BACKGROUND_VARIANTS, 3):
        shown = picture(seed=variant, background=kind, variant=variant)
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
    assert np.abs(here - picture(background=kind, variant=5, bg_x=0.0)).mean() > 0.005
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
