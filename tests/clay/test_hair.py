"""Hair and beards: locks stay where style and parting put them, and grow without steps."""

from __future__ import annotations

import numpy as np
import pytest

from examples.clay import SEEDS, draw, latent
from examples.clay.parameters import HAIR_STYLES
from examples.clay.parts import PARTS
from examples.clay.render import render

SIDE = 64
SEED = SEEDS["test"][0]
BARE = {"hat": "none", "glasses": "none"}


def pictures(settings: list[dict], seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, SIDE, SIDE, 3) in [0, 1] and parts of one portrait under each setting."""
    images, parts = render(np.stack([draw(latent(seed), {**BARE, **s}) for s in settings]), SIDE)
    return images / 255, parts


def change(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a - b) ** 2).mean())


@pytest.mark.parametrize("style", ["short", "fringe", "afro", "long wavy"])
def test_the_strand_phase_moves_only_a_soft_sheen(style):
    settings = [{"hair_style": style, "strand_phase": v} for v in (0.02, 0.5, 0.98)]
    images, parts = pictures(settings)
    np.testing.assert_array_equal(parts[0], parts[2])
    assert max(change(images[0], images[1]), change(images[0], images[2])) < 1e-4


def test_every_style_is_another_picture_and_another_shape():
    images, parts = pictures([{"hair_style": style} for style in HAIR_STYLES])
    hair = parts == PARTS.index("hair")
    for i in range(len(HAIR_STYLES)):
        for j in range(i):
            names = (HAIR_STYLES[i], HAIR_STYLES[j])
            assert change(images[i], images[j]) > 5e-4, names
            assert (hair[i] != hair[j]).mean() > 0.004, names


@pytest.mark.parametrize(
    ("style", "name", "low", "high"),
    [
        ("short", "hair_volume", 0.2, 0.6),
        ("long", "hair_volume", 0.3, 0.7),
        ("bob", "hair_length", 0.48, 0.6),
        ("side part", "part", -0.6, 0.6),
    ],
)
def test_hair_changes_smoothly(style, name, low, high):
    values = np.linspace(low, high, 13)
    images, _ = pictures([{"hair_style": style, name: v} for v in values])
    steps = [change(a, b) for a, b in zip(images, images[1:], strict=False)]
    # Twelve smooth steps share the way; one jump would take most of it.
    assert max(steps) < 0.25 * change(images[0], images[-1])


def test_a_beard_covers_more_than_stubble_and_stubble_is_even():
    settings = [{"beard": b, "hair_color": "black", "grey": 0.0, "skin_tone": 0.1, "yaw": 0.0}
                for b in ("none", "stubble", "full beard")]  # fmt: skip
    images, parts = pictures(settings)
    beard = parts[2] == PARTS.index("beard")
    shades = images.mean(axis=3)[:, beard].mean(axis=1)
    assert shades[0] > shades[1] + 0.02 and shades[1] > shades[2] + 0.02
