"""Another paper costs one folder and one line: a sixth one in a scratch copy of the app."""

from __future__ import annotations

import json
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from demos.hub.borrowing import START, STEP
from demos.kit.paper import Paper
from demos.papers import PAPERS

ROOT = Path(__file__).parents[2]

RECORD = """
from demos.kit.paper import Paper

PAPER = Paper(
    slug="sixth", name="A sixth page", title="The sixth paper", authors="A. Uthor", year=2026,
    says="It does nothing.", article="https://example.org", code="", citation="@misc{sixth}",
    pipeline="demos.sixth.pipeline:Sixth", page="demos.sixth.page:build", kinds=("one",),
    comparison="demos.sixth.comparison:METHOD",
)
"""
METHOD = """
from demos.comparison.method import Method

METHOD = Method("In no time", lambda *given: None, None, {}, "It edits nothing.")
"""
PAGE = """
import gradio as gr
from demos.sixth import PAPER

def build(load, domain, source):
    gr.HTML(f"<p>An empty page with {len(PAPER.stored.read('one'))} stored result.</p>")
"""
PIPELINE = """
class Sixth:
    device = "cpu"

    @classmethod
    def from_pretrained(cls, domain):
        return cls()

    def move_to(self, device):
        self.device = device

    def count(self, *, steps=100, on_step=None):
        return steps, self.device

    count.is_stage, count.steps = True, lambda *, steps=100: steps
"""
# Stands in for the Space's package: what is asked for is kept.
SPACES = """
asked = []

def GPU(duration):
    def lend(task):
        def run(*args):
            asked.append(duration(*args))
            return task(*args)

        return run

    return lend
"""
COUNTED = ("No", "One", "Two", "Three", "Four", "Five", "Six")
LOOK = """
import json
import app, spaces
from demos.papers import PAPERS

demo = app.build()
load = app.pipelines_of(PAPERS)["sixth"]
counted = load().count(steps=7, on_step=lambda step: False)
on = lambda path: [str(getattr(b, "value", "")) for b in demo.blocks.values() if b.page == path]
print(json.dumps({
    "pages": demo.pages, "home": on(""), "page": on("sixth"), "counted": counted,
    "asked": spaces.asked,
}))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The app as it is, with links to what a page does not touch."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyi")
    shutil.copytree(ROOT / "demos", tmp_path / "demos", ignore=ignored)
    shutil.copy(ROOT / "app.py", tmp_path)
    (tmp_path / "examples").mkdir()
    for path in ("pipelines", "weights", *(f"examples/{p.name}" for p in ROOT.glob("examples/*"))):
        (tmp_path / path).symlink_to(ROOT / path)
    (tmp_path / "spaces.py").write_text(SPACES)
    return tmp_path


def add_sixth(copy: Path) -> None:
    """One folder and one line, and a result as `python -m examples.sixth` would store it."""
    folder = copy / "demos" / "sixth"
    folder.mkdir()
    files = {"__init__": RECORD, "page": PAGE, "pipeline": PIPELINE, "comparison": METHOD}
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    listed = copy / "demos" / "papers.py"
    lines = listed.read_text().splitlines(keepends=True)
    last = next(i for i, line in enumerate(lines) if line == ")\n")
    listed.write_text("".join([*lines[:last], '    "sixth",\n', *lines[last:]]))
    stored = copy / "examples" / "sixth"
    (stored / "one-1").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(stored / "one-1" / "picture.webp")
    entry = {"name": "One", "folder": "one-1", "weights": {}, "values": {}}
    (stored / "stored.json").write_text(json.dumps({"one": [entry]}))


def test_a_sixth_paper_is_one_folder_and_one_line(copy: Path) -> None:
    add_sixth(copy)
    environment = os.environ | {"SPACES_ZERO_GPU": "true", "PYTHONPATH": str(copy)}
    ran = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=copy, env=environment, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert not ran.returncode, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    paths = {page[0]: page[1] for page in found["pages"]}
    running = 1 + sum(bool(paper.page) for paper in PAPERS)
    assert paths["sixth"] == "A sixth page" and len(paths) == 1 + running  # navigation shows these
    compared = 1 + sum(bool(paper.page and paper.comparison) for paper in PAPERS)
    running_there = f"One picture, {COUNTED[compared].lower()} papers"
    assert any(running_there in words for words in found["home"])
    cards = [words for words in found["home"] if '<figure class="shot' in words]
    assert sum('<a href="sixth">A sixth page</a>' in words for words in cards) == 2
    (home,) = (words for words in found["home"] if "papers, run live" in words)
    counted = f"{COUNTED[running]} papers, run live"
    if coming := len(PAPERS) + 1 - running:
        counted += f"; {COUNTED[coming].lower()} in preparation"
    assert counted in home and "The sixth paper" in home
    assert '<a class="go" href="sixth">' in home
    shown = " ".join(found["page"])
    assert "An empty page with 1 stored result" in shown and "@misc{sixth}" in shown
    assert found["counted"] == [7, "cuda:0"]
    assert found["asked"] == [START + 7 * STEP]


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.slug)
def test_a_record_is_complete(paper: Paper) -> None:
    assert paper.article.startswith("https://") and paper.code[:8] in ("", "https://")
    surname = paper.authors.split(",")[0].split()[-1]
    assert surname in paper.citation and str(paper.year) in paper.citation
    if paper.pipeline:
        assert pkgutil.resolve_name(paper.pipeline).from_pretrained
    if paper.page:
        assert paper.build and paper.pipeline
        assert all((paper.stored.folder / "stored.json").exists() for _ in paper.kinds)


def test_records_are_told_apart() -> None:
    for field in ("slug", "name", "title", "citation"):
        assert len({getattr(paper, field) for paper in PAPERS}) == len(PAPERS)
