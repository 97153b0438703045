"""The one page of what the papers claim: made of kept figures, one benchmark after another."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from PIL import Image

from demos.papers import PAPERS
from tests.benchmarks import __main__ as page
from tests.benchmarks.claims import Claim, claim, said

IN_DOMAIN, EDITGAN = PAPERS[:2]
CURVES = {"a": [(0.9, 0.1), (0.5, 0.6)], "b": [(0.8, 0.2), (0.4, 0.9)]}
EDITS = {"age": {"curves": {"image2stylegan": CURVES["a"], "in-domain": CURVES["b"]}}}
FOUND = {
    "indomain": {"portraits": 7, "manipulation": EDITS | {"hat": {"curves": {}}}},
    "editgan": {"portraits": 9, "curves": CURVES},
}
CLAIMS = [claim("higher", 2.0, 1.0), claim("lower", 0.25, 0.125, below=True),
          Claim("silent", None, None, "not comparable")]  # fmt: skip


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder with the figures of two papers, and a room for the page."""
    monkeypatch.setattr(page, "EXAMPLES", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "README.md")
    for slug, found in FOUND.items():
        (tmp_path / slug).mkdir()
        (tmp_path / f"{slug}.json").write_text(json.dumps(found | {"claims": said(CLAIMS)}))
    return tmp_path


def test_the_page_tells_every_claim_with_its_figures(kept) -> None:
    page.write(kept, [IN_DOMAIN, EDITGAN])
    text = (kept / "README.md").read_text()
    assert text.count("| higher | 2 | 1 | holds |") == 2
    assert text.count("| lower | 0.25 | 0.125 | does not hold |") == 2
    assert text.count("| silent |  |  |  |") == 2
    assert "1 holds, 1 does not hold, 1 not comparable" in text
    assert "on 7 portraits" in text and "on 9 portraits" in text
    assert f"Not measured: {', '.join(p.name for p in PAPERS[2:])}." in text
    for slug in FOUND:
        assert f"({slug}/measured.png)" in text
        assert len(Image.open(kept / slug / "measured.png").getcolors(2**20)) > 4


def test_a_page_needs_the_figures_of_all(kept) -> None:
    (kept / "editgan.json").unlink()
    with pytest.raises(ValueError, match="editgan.json is not there"):
        page.write(kept, [IN_DOMAIN, EDITGAN])
    assert not (kept / "README.md").exists()


def test_what_is_whole_is_not_measured_again(kept, monkeypatch, capsys) -> None:
    run = []
    monkeypatch.setattr(page.subprocess, "run", lambda line, **options: run.append((line, options)))
    off = [replace(paper, page="") if paper is PAPERS[4] else paper for paper in PAPERS]
    monkeypatch.setattr(page, "PAPERS", off)
    (kept / "editgan.json").unlink()
    line = f"x --keep {kept} --only indomain editgan --threads 3"
    monkeypatch.setattr(sys, "argv", line.split())
    page.main()
    ((command, options),) = run
    assert command[1:3] == ["-m", "tests.benchmarks.editgan"] and "--quick" not in command
    assert str(kept / "editgan.json") in command and options["env"]["OMP_NUM_THREADS"] == "3"
    said = capsys.readouterr().out
    assert f"{IN_DOMAIN.name}: its figures are there" in said
    assert f"{PAPERS[4].name}: left out" in said


def test_quick_figures_are_kept_apart(kept, monkeypatch) -> None:
    run = []
    monkeypatch.setattr(page.subprocess, "run", lambda line, **options: run.append(line))
    monkeypatch.setattr(sys, "argv", f"x --keep {kept} --only indomain --quick".split())
    page.main()
    ((*command, last),) = run
    assert last == "--quick" and str(kept / "quick" / "indomain.json") in command


def test_every_benchmark_takes_what_the_command_gives(tmp_path) -> None:
    """Each paper has a module with these options and a figure."""
    for paper in PAPERS:
        line = page.command(paper, SimpleNamespace(keep=tmp_path, quick=True, processes=1))
        name = line[2].replace(".", "/")
        text = (page.EXAMPLES.parent / f"{name}.py").read_text()
        options = [word for word in line if word.startswith("--")]
        assert all(f'"{option}"' in text for option in options), name
        assert "\ndef curves(" in text, name


def test_benchmarks_that_share_work_start_in_several_processes(tmp_path) -> None:
    for paper in PAPERS:
        line = page.command(paper, SimpleNamespace(keep=tmp_path, quick=False, processes=2))
        module = f"tests.benchmarks.{paper.slug}"
        shares = (
            "sharding import"
            in (page.EXAMPLES.parent / f"{module.replace('.', '/')}.py").read_text()
        )
        assert ("accelerate.commands.launch" in line) == (paper.slug in page.SHARING) == shares
        assert line[line.index(module) - 1] == "-m"
