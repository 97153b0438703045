"""The lectures' notebooks: they run from top to bottom, show pictures, and are stored bare.

A notebook runs with the shipped networks where its paper has a page, whose networks are shipped:
that of a paper in preparation waits for the line in the paper's record.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from pipelines.invertibility import latent_map
from pipelines.mm2latent import MM2Latent
from pipelines.sam_inversion import SAMInversion
from tests.benchmarks.test_mm2latent import pipeline
from tests.pipelines import test_diffusion_inversion as diffusion_inversion
from tests.pipelines import test_sam_inversion as sam_inversion

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
    fewer = {"samples(96": "samples(9", "samples(48": "samples(5"}
    cells = _cells(monkeypatch, "mm2latent", MM2Latent, pipeline(), fewer)
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
    """Likewise: the forward pass, and the loop."""
    tiny, fewer = diffusion_inversion.build(), {"steps=10": "steps=2", "steps=20": "steps=6"}
    cells = _cells(monkeypatch, "diffusion_inversion", DiffusionInversion, tiny, fewer)
    by_hand = as_images(tiny.generator.synthesis(cells["read"](seed=3)[0]))[0]
    assert _away(by_hand, tiny.read(cells["WORDS"], cells["mask"], seed=3).image) <= 1
    assert cells["losses"][-1] < cells["losses"][0]
    assert "one call" in capsys.readouterr().out


def test_the_cells_of_sam_inversion_do_the_same_as_the_pipeline(monkeypatch, capsys) -> None:
    """Likewise: the choice of latents, the optimisation and the edit."""
    cells = _cells(monkeypatch, "sam_inversion", SAMInversion, sam_inversion.build(), FEWER)
    sam, x, maps = (cells[name] for name in ("sam", "x", "maps"))
    tau = float(np.median(maps.means[0]))  # so that several latents are chosen
    chosen = cells["choose"](tau)
    assert (chosen == latent_map(maps, tau)).all() and len(np.unique(chosen)) > 1
    w, deltas, masks = cells["invert"](x, chosen, steps=6)
    known, changes, losses = sam.project(x, torch.from_numpy(chosen)[None], steps=6)
    assert len(losses) == 6 and deltas.keys() == changes.keys() == masks.keys()
    assert torch.allclose(w, known, atol=2e-3) and (w - sam.encoder(x)).abs().max() > 0.01
    assert all(torch.allclose(deltas[name], changes[name], atol=2e-3) for name in deltas)
    inversion = sam.invert(cells["picture"], chosen=chosen, steps=6)
    by_stage = sam.edit(inversion, cells["ATTRIBUTE"], cells["CHANGE"])
    assert _away(cells["edited"]((w, deltas, masks)), by_stage) <= 2
    assert capsys.readouterr().out.count("edited within") == 5


def _cells(monkeypatch, name: str, kind: type, tiny: Any, fewer: Mapping[str, str]) -> dict:
    """What the cells of a notebook leave behind, run with a tiny pipeline in place of the shipped
    one; fewer: what of their text is replaced."""
    monkeypatch.setattr(kind, "from_pretrained", lambda *_: tiny)
    drawn = functools.partial(portrait, size=tiny.size)
    monkeypatch.setattr(portraits, "changed", drawn)
    monkeypatch.setattr(clay, "portrait", drawn)
    monkeypatch.chdir(FOLDER)
    cells: dict = {}
    for cell in nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            for many, few in fewer.items():
                cell.source = cell.source.replace(many, few)
            exec(cell.source, cells)
    return cells


def _away(a, b) -> int:
    """The largest difference of two pictures, of 255."""
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())
