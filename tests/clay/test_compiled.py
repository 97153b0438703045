"""Compiled code is kept apart for each state of the sources, where it can be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba import config

from examples.clay import compiled

PACKAGE = Path(compiled.__file__).parent


@pytest.fixture
def copy(tmp_path) -> Path:
    """The package's sources, to be edited."""
    return Path(
        shutil.copytree(PACKAGE, tmp_path / "clay", ignore=shutil.ignore_patterns("__*", "*.json"))
    )


def test_any_source_changes_the_fingerprint(copy):
    before = compiled.fingerprint(copy)
    assert before == compiled.fingerprint(copy) and len(before) == 16
    seen = {before}
    for name in ("shapes.py", "parameters.py"):
        (copy / name).write_text((copy / name).read_text() + "\n")
        seen.add(compiled.fingerprint(copy))
    (copy / "new.py").write_text("")
    assert len(seen | {compiled.fingerprint(copy)}) == 4


def test_a_changed_callee_is_compiled_anew(tmp_path):
    """What went wrong without it: numba sees no edit beyond a function's own file."""
    package = tmp_path / "examples" / "clay"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text("")
    shutil.copy(PACKAGE / "compiled.py", package)
    constant = "from .compiled import device\n\n@device\ndef inner(x):\n    return x + {}\n"
    (package / "outer.py").write_text(
        "from .compiled import device\nfrom .inner import inner\n\n"
        "@device\ndef outer(x):\n    return inner(x)\n\nprint(outer(0.0))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    printed = []
    for number in (1.0, 2.0):
        (package / "inner.py").write_text(constant.format(number))
        command = [sys.executable, "-m", "examples.clay.outer"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        printed.append(float(done.stdout))
    assert printed == [1.0, 2.0]
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_the_folder_is_numbas_own_setting_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    assert compiled.cache_folder("k") == tmp_path / "clay-k"
    assert (tmp_path / "clay-k").is_dir()


def test_without_a_home_the_temporary_folder_serves(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", "")
    (tmp_path / "home").write_text("a file, so that nothing can be made below it")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(compiled.tempfile, "gettempdir", lambda: str(tmp_path))
    found = compiled.cache_folder("k")
    assert found.is_dir() and found.parent.parent == tmp_path
    assert found.parent.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has a temporary folder a user")
def test_another_users_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", "")
    (tmp_path / "home").write_text("")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(compiled.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(compiled.os, "getuid", lambda: -5)
    with pytest.raises(PermissionError, match="must belong to you"):
        compiled.cache_folder("k")


def test_numbas_setting_is_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", "before")
    monkeypatch.setattr(compiled, "_folder", lambda: str(tmp_path))
    double = compiled.device(lambda x: 2.0 * x)
    assert config.CACHE_DIR == "before" and double(3.0) == 6.0
    assert list(tmp_path.rglob("*.nbi"))
