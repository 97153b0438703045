"""Codes of diffusion-driven inversion in files: opened again as they were, refused elsewhere."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipelines.conditions import Condition
from pipelines.diffusion_inversion import DiffusionInversion
from pipelines.latents import load_codes, save_codes
from tests.pipelines.test_diffusion_inversion import LAYERS, PALETTE, SIZE, build
from tests.pipelines.test_indomain import difference


@pytest.fixture(scope="module")
def pipeline() -> DiffusionInversion:
    return build()


@pytest.fixture(scope="module")
def mask() -> Condition:
    return Condition.mask(np.eye(8, dtype=np.uint8), PALETTE)


def test_a_kept_reading_is_opened_again_without_the_u_net(
    pipeline, mask, tmp_path, monkeypatch
) -> None:
    reading = pipeline.read("red", mask)
    path = pipeline.keep(tmp_path / "latent.safetensors", {"ours": reading})
    monkeypatch.setattr(pipeline, "encoders", {})
    for found in (pipeline.reopen(path), pipeline.read_codes(path)["ours"]):
        assert torch.equal(found.w, reading.w) and found.image.size == (SIZE, SIZE)
        assert difference(found.image, reading.image) == 0 and found.seconds > 0


def test_several_codes_keep_their_names(pipeline, mask, tmp_path) -> None:
    reading = pipeline.read("red", mask)
    bronze = pipeline.read("red", mask, style="bronze")
    results = {
        "ours": reading,
        "mapped": pipeline.redraw(reading, mapped_only=True),
        "bronze": bronze,
    }
    path = pipeline.keep(tmp_path / "latent.safetensors", results)
    found = pipeline.read_codes(path)
    assert list(found) == sorted(results)  # a safetensors file orders its names
    assert torch.equal(found["mapped"].w, reading.mapped)
    assert difference(found["bronze"].image, bronze.image) == 0
    with pytest.raises(ValueError, match="must hold one code; got bronze, mapped, ours"):
        pipeline.reopen(path)


def test_the_file_is_that_of_the_other_methods(pipeline, tmp_path) -> None:
    """Codes of another page are opened here, and its reader takes the codes of this one."""
    w = torch.randn(1, LAYERS, 512)
    theirs = save_codes(tmp_path / "theirs.safetensors", {"edited": w}, pipeline.fingerprint)
    assert torch.equal(pipeline.reopen(theirs).w, w)
    ours = pipeline.keep(tmp_path / "ours.safetensors", {"code": SimpleNamespace(w=w)})
    assert torch.equal(load_codes(ours, pipeline.fingerprint, (LAYERS, 512))["code"], w)


def test_another_generators_codes_are_refused(pipeline, tmp_path) -> None:
    w = torch.zeros(1, LAYERS, 512)
    other = save_codes(tmp_path / "other.safetensors", {"code": w}, "0" * 64)
    with pytest.raises(ValueError, match="must be for the generator"):
        pipeline.read_codes(other)
    short = save_codes(tmp_path / "short.safetensors", {"code": w[:, :2]}, pipeline.fingerprint)
    with pytest.raises(ValueError, match="a code must be"):
        pipeline.reopen(short)
