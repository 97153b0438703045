"""The renderer: repeatable to the byte, every part drawn, overrides moving only what they say."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numba import cuda

from examples.clay import SEEDS, draw, latent, portrait
from examples.clay.parts import PARTS
from examples.clay.render import render

SIDE = 64
SEED = SEEDS["test"][0]


def vectors(count: int) -> np.ndarray:
    return draw(np.stack([latent(seed) for seed in SEEDS["test"][:count]]))


def digest(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask with everything within `pixels` of it, in steps along rows and columns."""
    for _ in range(pixels):
        wide = np.pad(mask, 1)
        mask = (
            wide[1:-1, 1:-1] | wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
        )
    return mask


def of(parts: np.ndarray, *words: str) -> np.ndarray:
    return np.isin(parts, [i for i, part in enumerate(PARTS) if any(w in part for w in words)])


def test_equal_parameters_give_equal_bytes_alone_and_in_company():
    p = vectors(5)
    first, again = (digest(*render(p, 40)) for _ in range(2))
    one_by_one = [render(row[None], 40) for row in p]
    alone = digest(*(np.concatenate(arrays) for arrays in zip(*one_by_one, strict=True)))
    assert first == again == alone
    assert first != digest(*render(p[::-1], 40))


def test_every_part_is_drawn_in_some_portrait():
    _, parts = render(vectors(48), SIDE)
    seen = np.array([np.isin(np.arange(len(PARTS)), labels) for labels in parts])
    missing = [part for part, count in zip(PARTS, seen.sum(0), strict=True) if count < 3]
    assert not missing
    assert seen[:, [PARTS.index(part) for part in ("background", "skin", "clothing")]].all()
    assert parts.max() < len(PARTS)


@pytest.mark.parametrize(
    ("name", "values", "words", "others"),
    [
        ("background", ("plain", "leaves"), ("background",), {"glasses": "none"}),
        ("cloth_hue", (0.1, 0.6), ("clothing",), {}),
        ("eye_color", ("blue", "brown"), ("iris",), {"glasses": "none"}),
        ("frame_hue", (0.1, 0.6), ("glasses",), {"glasses": "square", "frame_value": 1.0}),
    ],
)
def test_a_colour_changes_its_own_part_and_no_label(name, values, words, others):
    for seed in (SEED, SEED + 1):
        a, b = (portrait(seed, SIDE, **{**others, name: value}) for value in values)
        np.testing.assert_array_equal(a.parts, b.parts)
        changed, own = (a.image != b.image).any(axis=2), of(a.parts, *words)
        assert changed[own].mean() > 0.3
        # A pixel at an edge is the mean of rays that may meet the neighbouring part.
        assert not (changed & ~grown(own, 3)).any()


def test_light_moves_no_label_and_leaves_the_backdrop():
    a, b = (portrait(SEED, SIDE, light_azimuth=angle) for angle in (-60, 60))
    np.testing.assert_array_equal(a.parts, b.parts)
    changed, head = (a.image != b.image).any(axis=2), a.parts > 0
    assert changed[head].mean() > 0.5
    assert not (changed & ~grown(head, 2)).any()


def test_glasses_cover_the_eyes_and_leave_the_rest():
    for seed in (SEED, SEED + 1, SEED + 2):
        bare = portrait(seed, SIDE, glasses="none", hat="none", roll=0, pitch=0)
        worn = portrait(seed, SIDE, glasses="round", hat="none", roll=0, pitch=0)
        assert not of(bare.parts, "glasses").any() and of(worn.parts, "glasses").sum() > 40
        glasses = of(worn.parts, "glasses")
        assert glasses[of(bare.parts, "sclera", "iris", "pupil")].mean() > 0.9
        # Their shadow is near; further off only a ray that grazes an edge may end elsewhere.
        strong = np.abs(worn.image.astype(int) - bare.image).max(axis=2) > 12
        near = grown(glasses, 8)
        assert strong[near].mean() > 0.1 > 20 * strong[~near].mean()
        assert ((bare.parts != worn.parts) & ~glasses).mean() < 0.005


@pytest.mark.parametrize(
    ("parameters", "arguments", "message"),
    [
        (np.zeros((1, 96)), {}, r"parameters must be \(N, 97\); got \(1, 96\)"),
        (np.zeros(97), {}, r"parameters must be \(N, 97\); got \(97,\)"),
        (np.zeros((1, 97)), {"size": 0}, "size must be a whole number .*got 0"),
        (np.zeros((1, 97)), {"size": 32.0}, r"size must be a whole number .*got 32\.0"),
        (np.zeros((1, 97)), {"device": "tpu"}, "device must be .*got 'tpu'"),
    ],
)
def test_errors_say_what_was_expected(parameters, arguments, message):
    with pytest.raises(ValueError, match=message):
        render(parameters, **arguments)


@pytest.mark.skipif(
    not cuda.is_available(),
    reason="needs a GPU: numba's simulator cannot pass records to compiled functions",
)
def test_the_gpu_draws_the_same_portraits():
    (images, parts), (on_gpu, gpu_parts) = (
        render(vectors(4), SIDE, device=d) for d in ("cpu", "cuda")
    )
    assert (parts == gpu_parts).mean() > 0.995
    assert np.abs(images.astype(int) - on_gpu).mean() < 1.5  # five rays everywhere, not at edges
