"""Masks and sketches in every form that a visitor may bring them in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from examples.clay.parts import CLASSES
from pipelines.multimodal_inputs import as_mask, as_sketch, painted, sketch_of
from tests.pipelines.test_indomain import portrait
from tests.pipelines.test_mm2latent import SIZE, face, lines


def forms() -> dict[str, Image.Image | np.ndarray]:
    """One mask in every form that is read."""
    mask = face(64)
    palette = painted(mask).quantize(len(CLASSES))
    clear = Image.fromarray(
        np.dstack([np.asarray(painted(mask)), np.full(mask.shape, 255, np.uint8)])
    )
    return {
        "numbers": mask,
        "int64": mask.astype(np.int64),
        "grey numbers": Image.fromarray(mask),
        "tens": Image.fromarray(10 * mask),
        "colours": painted(mask),
        "palette": palette,
        "alpha": clear,
        "large": painted(mask).resize((512, 512), Image.Resampling.NEAREST),
        "jpeg-like": Image.fromarray(
            np.clip(np.asarray(painted(mask)).astype(int) + 5, 0, 255).astype(np.uint8)
        ),
        "wide": painted(np.pad(mask, ((0, 0), (20, 20)))),
    }


@pytest.mark.parametrize("form", list(forms()))
def test_masks_of_every_form_are_the_same_mask(form: str) -> None:
    assert (as_mask(forms()[form], SIZE) == as_mask(face(64), SIZE)).all()


BAD_MASKS = {
    "empty": np.zeros((64, 64), np.uint8),
    "empty picture": Image.new("RGB", (64, 64), (32, 34, 40)),
    "photograph": portrait(),
    "too high": np.full((64, 64), 400),
    "negative": np.full((64, 64), -1),
    "floats": np.ones((64, 64)),
    "planes": np.zeros((64, 64, 7), np.uint8),
    "nothing": np.zeros((0, 0), np.uint8),
    "odd grey": Image.fromarray(np.full((64, 64), 77, np.uint8)),
}


@pytest.mark.parametrize("name", list(BAD_MASKS))
def test_what_is_no_mask_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"mask must .*; got .*\. "):
        as_mask(BAD_MASKS[name], SIZE)


def test_sketches_of_every_form_are_the_same_sketch() -> None:
    drawn = lines(64)
    white = Image.fromarray(drawn.astype(np.uint8) * 255)
    clear = Image.fromarray(
        np.dstack([np.zeros((64, 64, 3), np.uint8), drawn.astype(np.uint8) * 255])
    )
    black = Image.fromarray(255 - np.asarray(white))
    for form in (drawn, white, white.convert("RGB"), white.convert("1"), black, clear):
        assert (as_sketch(form, 64) == drawn).all()
    small = as_sketch(white, SIZE)
    assert small[SIZE // 2].all() and small.any(0).all()


@pytest.mark.parametrize("value", [0, 255])
def test_an_empty_sheet_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="sketch must have lines"):
        as_sketch(np.full((64, 64), value, np.uint8), SIZE)


def test_a_surface_is_no_sketch() -> None:
    noise = np.random.RandomState(0).randint(0, 2, (512, 512)).astype(np.uint8) * 255
    noise[0] = 0
    with pytest.raises(ValueError, match="thin lines"):
        as_sketch(noise, SIZE)
    with pytest.raises(TypeError, match="PIL image"):
        as_sketch("lines.png", SIZE)


def test_a_pictures_sketch_is_its_edges() -> None:
    x = torch.full((1, 3, 64, 64), -1.0)
    x[..., 32:] = 1
    found = sketch_of(x)[0]
    assert found[:, 31:33].any(1)[2:-2].all() and not found[:, :28].any()
