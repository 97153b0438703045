"""Stored results made with the fake pipelines, from portraits that are not rendered for it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from demos.comparison import __main__ as comparison
from demos.comparison.session import Entrant, entrants
from demos.kit import shelf
from demos.kit.paper import Paper
from demos.kit.shelf import NOTHING, Scene
from demos.papers import PAPERS
from examples import choosing, stored
from examples.clay import captions
from examples.clay.parameters import draw, latent
from examples.clay.parts import PARTS
from examples.diffusion_inversion import __main__ as diffusion
from examples.diffusion_inversion import results as diffusion_results
from examples.editgan import __main__ as editgan
from examples.indomain import __main__ as indomain
from examples.indomain import results
from examples.mm2latent import __main__ as mm2latent
from examples.mm2latent import results as mm2latent_results
from examples.portraits import TEST
from examples.sam_inversion import __main__ as sam
from examples.sam_inversion import results as sam_results
from pipelines.training import editing_vectors
from tests.demos.fake_diffusion import FakeDiffusion
from tests.demos.fake_editgan import FakeEditGAN, face, vector
from tests.demos.fake_mm2latent import FakeMM2Latent, oval
from tests.demos.fake_pipeline import FakeInDomain
from tests.demos.fake_sam import FakeSAM

PORTRAITS = stored.EXAMPLES / "clay" / "portraits"


def shipped(seed: int, changes: dict | None = None) -> Image.Image:
    """A portrait of the test split from its file; its true answer is the same, mirrored."""
    with Image.open(PORTRAITS / f"{seed - TEST.start:04d}.png") as file:
        picture = file.convert("RGB")
    return ImageOps.mirror(picture) if changes else picture


def changed(seed: int, **overrides: object) -> SimpleNamespace:
    """A portrait of the test split with an oval mask and a thing below; with parameters set,
    mirrored."""
    numbers = {group: np.zeros(n, np.float32) for group, n in (("shape", 20), ("pose", 3))}
    numbers["expression"] = np.eye(10, dtype=np.float32)[7]  # eyes open, all else at rest
    image = np.asarray(shipped(seed, overrides or None))
    mask, thing = oval(len(image)).astype(np.uint8), np.zeros(image.shape[:2], bool)
    thing[90:120, 50:80] = overrides.get("prop", "none") != "none"
    numbers |= {"parameters": draw(latent(seed)), "parts": mask * ~thing, "prop_mask": thing}
    told = captions.attributes(numbers["parameters"])
    told = {"attributes": told, "caption": captions.captions(told)[0]}
    return SimpleNamespace(image=image, mask=mask, **numbers, **told)


def bronzed(parameters: np.ndarray, style: str) -> np.ndarray:
    """A portrait in a style: the same whoever it is."""
    return np.full((1, 128, 128, 3), 90 + 10 * len(style), np.uint8)


def drawn_scene(scene: Scene, edit: str = "", change: float = 0.0) -> SimpleNamespace:
    """A scene of the shelf as `changed` has it; its true answers are lighter."""
    told = {} if scene.thing == NOTHING else scene.overrides
    found = changed(scene.seed, **told)
    if edit:
        found.image = np.asarray(Image.fromarray(found.image).point(lambda v: min(v + 30, 255)))
    return found


def taking_part(papers: Sequence[Paper] = PAPERS, **others: Any) -> tuple[Entrant, ...]:
    """The papers of the comparison with fake pipelines; others: in place of these, by slug."""
    made = {
        "indomain": FakeInDomain, "editgan": with_glasses, "mm2latent": FakeMM2Latent,
        "sam_inversion": FakeSAM, "diffusion_inversion": FakeDiffusion,
    }  # fmt: skip
    loads = {slug: functools.cache(make) for slug, make in made.items()}
    return entrants(papers, loads | {slug: lambda fake=fake: fake for slug, fake in others.items()})


def with_glasses() -> FakeEditGAN:
    """The fake with one more vector: the drawing has no glasses, its lids stand for them."""
    fake = FakeEditGAN()
    fake.library["glasses on"] = vector("glasses on", 7, left_sclera=5.0, right_sclera=5.0)
    return fake


def drawn_truth(edit, seed: int, size: int) -> editing_vectors.Truth:
    """The drawn face before and after an edit that makes all its parts larger."""
    growth, labels = np.zeros(len(PARTS)), [PARTS.index(part) for part in edit.q_edit]
    growth[labels] = 2
    after = face(growth)
    after[50:54, 46:50] = labels[0]  # the drawing has neither glasses nor lids to grow
    pictures = [np.asarray(shipped(seed, changes)) for changes in (None, {"any": 1})]
    return editing_vectors.Truth(np.stack(pictures), np.stack([face(), after]))


def first_of_all(pipeline, compute, candidates, number) -> stored.Stored:
    """The first candidate: what the fake pipelines make keeps no promise."""
    made = compute(candidates[0])
    return replace(made, values={**made.values, "promise": 1.0})


def shelved_groups(count: int, first: int, suits=None) -> Iterator[tuple[int, ...]]:
    """Portraits of the test split that are there as files, others for another place."""
    places = {0: (3, 8, 15), 100: (21, 30, 4), 200: (3,), 300: (8,), 400: (15,)}
    start = places.get(first, (first // 100, 24, 53, 8))
    yield tuple(TEST.start + place for place in start[:count])


@contextmanager
def stocked(folder: Path) -> Iterator[None]:
    """Meanwhile stored results are read from this folder, and written to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "EXAMPLES", folder)
        yield


def make_all(folder: Path) -> None:
    """What `python -m examples.<paper>` makes, of every paper."""
    with stocked(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "rendered", shipped)
        patch.setattr(choosing, "best", first_of_all)
        patch.setattr(choosing, "groups", shelved_groups)
        patch.setattr(editing_vectors, "truth", drawn_truth)
        patch.setattr(mm2latent_results, "changed", changed)
        patch.setattr(sam_results, "changed", changed)
        patch.setattr(diffusion_results, "changed", changed)
        patch.setattr(diffusion_results, "styled", bronzed)
        indomain.make(FakeInDomain())
        editgan.make(FakeEditGAN())
        mm2latent.make(FakeMM2Latent())
        sam.make(FakeSAM())
        diffusion.make(FakeDiffusion())
        patch.setattr(shelf, "_rendered", drawn_scene)
        comparison.make(taking_part())
