"""The lectures' notebooks: they run from top to bottom, show pictures, and are stored bare.

A notebook runs with the shipped networks where its paper has a page, whose networks are shipped:
that of a paper in preparation waits for the line in the paper's record.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

import weights
from demos.papers import PAPERS
from examples import clay, portraits
from examples.clay import portrait
from pipelines.diffusion_inversion import DiffusionInversion
from pipelines.images import as_images
from pipelines.mm2latent import MM2Latent
from tests.benchmarks.test_mm2latent import pipeline
from tests.pipelines.test_diffusion_inversion import build as untrained

FOLDER = Path(__file__).parents[1] / "examples" / "notebooks"
BOOKS = sorted(FOLDER.glob("*.ipynb"))
PAGES = {paper.slug for paper in PAPERS if paper.page}
GIVEN = [book for book in BOOKS if book.stem in PAGES]  # with the shipped networks
FEWER = {"steps=40": "steps=3", "steps=20": "steps=2", "steps=15": "steps=2"}  # for the tests


def test_every_paper_with_a_page_has_a_notebook_and_the_networks_for_it() -> None:
    assert {book.stem for book in GIVEN} == PAGES
    clay = next(domain for domain in weights.domains() if domain.name == "clay-heads")
    assert all(clay.page(slug).ready for slug in PAGES)


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code)
    said = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    assert "$$" in said and "## Exercise" in said and "An answer" in said


@pytest.mark.parametrize("path", GIVEN, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path) -> None:
    """With few steps, from its own folder, as a lecturer opens it."""
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        for many, few in FEWER.items():
            cell.source = cell.source.replace(many, few)
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    client = NotebookClient(
        book, timeout=600, resources={"metadata": {"path": str(FOLDER)}}, kernel_name="python3"
    )
    client.execute(env=environment)
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 3
    assert not any("Traceback" in output.get("text", "") for output in outputs)


def test_the_cells_of_mm2latent_do_the_same_as_the_pipeline(monkeypatch, capsys) -> None:
    """On networks that nobody trained: what is made by hand there is what the stages make."""
    tiny = pipeline()
    monkeypatch.setattr(MM2Latent, "from_pretrained", lambda *_: tiny)
    drawn = functools.partial(portrait, size=tiny.size)
    monkeypatch.setattr(portraits, "changed", drawn)
    monkeypatch.setattr(clay, "portrait", drawn)
    monkeypatch.chdir(FOLDER)
    book = nbformat.read(FOLDER / "mm2latent.ipynb", as_version=4)
    cells: dict = {}
    for cell in book.cells:
        if cell.cell_type == "code":
            few = cell.source.replace("samples(96", "samples(9").replace("samples(48", "samples(5")
            exec(few, cells)
    mm, words, mask, source = (cells[name] for name in ("mm", "WORDS", "start", "source"))
    for noise in (0.0, 1.0):
        made = mm.generate(words, mask=mask.mask, variety=noise, seed=3)
        assert _away(cells["generate"](words, noise, seed=3), made.image) <= 1
    target, longer = f"{cells['PIVOT']} with round glasses", cells["longer"].mask
    by_hand = cells["directions"].values()
    stages = (mm.edit(source, target), mm.edit(source, longer, kind="mask"))
    for direction, edited in zip(by_hand, stages, strict=True):
        assert torch.allclose(direction, edited.direction, rtol=1e-2, atol=1e-6)
        assert direction.abs().max() > 1e-5
    assert cells["losses"][-1] < cells["losses"][0]
    assert "noise 1.0: cosine 0.7" in capsys.readouterr().out


def test_the_cells_of_diffusion_inversion_do_the_same_as_the_pipeline(monkeypatch, capsys) -> None:
    tiny = untrained()
    monkeypatch.setattr(DiffusionInversion, "from_pretrained", lambda *_: tiny)
    monkeypatch.setattr(portraits, "changed", functools.partial(portrait, size=tiny.size))
    monkeypatch.chdir(FOLDER)
    book = nbformat.read(FOLDER / "diffusion_inversion.ipynb", as_version=4)
    cells: dict = {}
    for cell in book.cells:
        if cell.cell_type == "code":
            exec(cell.source.replace("steps=10", "steps=2").replace("steps=20", "steps=6"), cells)
    by_hand = as_images(tiny.generator.synthesis(cells["read"](seed=3)[0]))[0]
    assert _away(by_hand, tiny.read(cells["WORDS"], cells["mask"], seed=3).image) <= 1
    assert cells["losses"][-1] < cells["losses"][0]
    assert "one call" in capsys.readouterr().out


def _away(a, b) -> int:
    """The largest difference of two pictures, of 255."""
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())
