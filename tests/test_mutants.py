"""Mutants stay applicable as the code changes, and the command tells killed ones from survivors."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests import mutants
from tests.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{Path(m.file).stem}: {m.name}")
def test_a_mutant_changes_its_file_and_leaves_it_python(mutant: Mutant, tmp_path) -> None:
    path = tmp_path / "pipelines" / mutant.file
    path.parent.mkdir(parents=True)
    shutil.copy(mutants.ROOT / "pipelines" / mutant.file, path)
    before = path.read_text()
    mutant.apply(tmp_path)
    assert path.read_text() != before
    compile(path.read_text(), mutant.file, "exec")
    with pytest.raises(ValueError, match="must be in"):
        mutant.apply(tmp_path)  # the line is gone
    assert all((mutants.ROOT / "tests" / "pipelines" / name).exists() for name in mutant.tests)


@pytest.mark.parametrize(("bound", "survives"), [("< 4", True), ("< 3", False)])
def test_a_survivor_is_told_from_a_killed_one(tmp_path, monkeypatch, bound, survives) -> None:
    tree, folder = tmp_path / "house", tmp_path / "copy"
    for name, text in (
        ("pipelines/__init__.py", ""), ("pipelines/a.py", "SIZE = 2\n"),
        ("tests/pipelines/test_a.py",
         f"from pipelines.a import SIZE\ndef test_size(): assert SIZE {bound}\n"),
        ("conftest.py", ""),
    ):  # fmt: skip
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    monkeypatch.setattr(mutants, "ROOT", tree)
    mutant = Mutant("larger", "a.py", (("SIZE = 2", "SIZE = 3"),), ("test_a.py",))
    monkeypatch.setattr(mutants, "MUTANTS", (mutant,))
    assert mutants.survives(mutant, folder) == survives
    assert not (folder / "tree").exists()
    monkeypatch.setattr(sys, "argv", ["mutants"])
    with pytest.raises(SystemExit) as end:
        mutants.main()
    assert end.value.code == int(survives)
