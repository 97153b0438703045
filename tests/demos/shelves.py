"""Stored results made with the fake pipelines, from portraits that are not rendered for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from examples import stored
from examples.clay.parts import PARTS
from examples.editgan import __main__ as editgan
from examples.indomain import __main__ as indomain
from examples.indomain import results
from examples.portraits import TEST
from pipelines.training import editing_vectors
from tests.demos.fake_editgan import FakeEditGAN, face
from tests.demos.fake_pipeline import FakeInDomain

PORTRAITS = stored.EXAMPLES / "clay" / "portraits"


def shipped(seed: int, changes: dict | None = None) -> Image.Image:
    """A portrait of the test split from its file; its true answer is the same, mirrored."""
    with Image.open(PORTRAITS / f"{seed - TEST.start:04d}.png") as file:
        picture = file.convert("RGB")
    return ImageOps.mirror(picture) if changes else picture


def drawn_truth(edit, seed: int, size: int) -> editing_vectors.Truth:
    """The drawn face before and after an edit that makes all its parts larger."""
    growth, labels = np.zeros(len(PARTS)), [PARTS.index(part) for part in edit.q_edit]
    growth[labels] = 2
    after = face(growth)
    after[50:54, 46:50] = labels[0]  # the drawing has neither glasses nor lids to grow
    pictures = [np.asarray(shipped(seed, changes)) for changes in (None, {"any": 1})]
    return editing_vectors.Truth(np.stack(pictures), np.stack([face(), after]))


@contextmanager
def stocked(folder: Path) -> Iterator[None]:
    """Meanwhile stored results are read from this folder, and written to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "EXAMPLES", folder)
        yield


def make_all(folder: Path) -> None:
    """What `python -m examples.indomain` and `python -m examples.editgan` make."""
    with stocked(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "rendered", shipped)
        patch.setattr(editing_vectors, "truth", drawn_truth)
        indomain.make(FakeInDomain())
        editgan.make(FakeEditGAN())
