"""Portraits in another style: same person and pose, other colours."""

from __future__ import annotations

import numpy as np
import pytest

from examples.clay.dataset import latents, split_seeds
from examples.clay.parameters import draw
from examples.clay.render import render
from examples.clay.styles import MATERIALS, STYLES, styled
from pipelines.diffusion_inversion import STYLES as OFFERED


@pytest.fixture(scope="module")
def people() -> np.ndarray:
    return draw(latents(*split_seeds("validation", 2)))


def test_the_pipeline_offers_what_can_be_drawn():
    assert OFFERED == STYLES


@pytest.mark.parametrize("style", STYLES)
def test_a_style_changes_the_picture(people, style):
    plain, drawn = render(people, 48)[0], styled(people, style, 48)
    assert drawn.shape == plain.shape and drawn.dtype == np.uint8
    assert np.abs(drawn.astype(int) - plain).mean() > 8


@pytest.mark.parametrize("material", MATERIALS)
def test_a_statue_keeps_shape_and_backdrop(people, material):
    plain, parts = render(people, 48)
    statue, same = render(people, 48, material=material)
    assert np.array_equal(parts, same)
    behind = (parts == 0) & (np.abs(np.gradient(parts.astype(float), axis=2)) == 0)
    assert np.abs(statue.astype(int) - plain)[behind].mean() < 2
    colours = statue[np.isin(parts, [1, 23, 26])].astype(float)  # skin, hair, clothing
    hue = colours / colours.sum(1, keepdims=True)
    assert hue.std(0).max() < 0.04 < (plain[np.isin(parts, [1, 23, 26])] / 255).std(0).max()


def test_an_unknown_style_is_named(people):
    with pytest.raises(ValueError, match="must be one of bronze, marble.*got 'gold'"):
        styled(people, "gold")
