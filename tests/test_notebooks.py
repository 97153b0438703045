"""The lectures' notebooks: they run from top to bottom, show pictures, and are stored bare."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from demos.papers import PAPERS

FOLDER = Path(__file__).parents[1] / "examples" / "notebooks"
BOOKS = sorted(FOLDER.glob("*.ipynb"))
FEWER = {"steps=40": "steps=3", "steps=20": "steps=2", "steps=15": "steps=2"}  # for the tests


def test_every_paper_with_a_page_has_a_notebook() -> None:
    assert {paper.slug for paper in PAPERS if paper.page} <= {book.stem for book in BOOKS}


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code)
    said = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    assert "$$" in said and "## Exercise" in said and "An answer" in said


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
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
