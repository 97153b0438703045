"""The Space kit: a tree that passes its own check, and a check that fails on each bad key."""

from __future__ import annotations

from pathlib import Path

import pytest

from demos.hub import space
from demos.hub.__main__ import main
from demos.hub.check import LARGE, faults, split
from tests.test_weights import refused

PRELOADED = ("akhaliq/jojogan-stylegan2-ffhq-config-f", "public-data/e4e")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small Space in order, for one ZeroGPU."""
    root = tmp_path / "root"
    for folder in ("demos", "pipelines", "weights", "examples"):
        (root / folder).mkdir(parents=True)
    (root / "weights" / "a.safetensors").write_bytes(b"small")
    for name in ("README.md", "requirements.txt"):
        (root / name).write_text((space.ROOT / name).read_text())
    for name in ("app.py", "LICENSE", "pyproject.toml"):
        (root / name).write_text("")
    monkeypatch.setattr(space, "ROOT", root)
    space.assemble(tmp_path / "space", "zero")
    assert faults(tmp_path / "space") == []
    return tmp_path / "space"


@pytest.mark.parametrize("hardware", sorted(space.HARDWARE))
def test_the_assembled_tree_is_in_order(tmp_path, capsys, hardware) -> None:
    out = tmp_path / "space"
    ask = ["--out", str(out), "--hardware", hardware]
    assert main([*ask, "--domain", "ffhq"]) == 0, capsys.readouterr().err
    front, text = split((out / "README.md").read_text())
    assert front["suggested_hardware"] == space.HARDWARE[hardware] and text.strip()
    assert {line.split()[0] for line in front["preload_from_hub"]} >= set(PRELOADED)
    needs = (out / "requirements.txt").read_text()
    assert ("\nspaces" in needs) == (hardware == "zero") == ("torch>=2.8,<2.12\n" in needs)
    assert (out / "app.py").is_file() and (out / "weights" / "manifest.toml").is_file()
    assert not (out / "tests").exists() and not list(out.rglob("__pycache__"))
    assert "*.safetensors filter=lfs" in (out / ".gitattributes").read_text()
    assert main(["--out", str(out), "--check"]) == 0
    assert main(ask) == 1
    assert "expected an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("title", ""), ("title", None), ("emoji", "mirror"), ("emoji", ""),
        ("colorFrom", "white"), ("colorTo", "grey"), ("sdk", "streamlit"),
        ("sdk_version", 6.3), ("sdk_version", "6"), ("python_version", 3.12),
        ("python_version", "3.9"), ("app_file", "main.py"), ("license", "Apache-2.0"),
        ("license", ["mit"]), ("tags", "gan"), ("tags", [1]), ("short_description", "x" * 61),
        ("suggested_hardware", "h100"), ("models", ["stylegan"]), ("models", "a/b"),
        ("preload_from_hub", ["a/b f1, f2"]), ("preload_from_hub", ["nets f.safetensors"]),
        ("preload_from_hub", ["a/b f.pt main"]), ("preload_from_hub", "a/b"),
    ],
)  # fmt: skip
def test_each_bad_key_is_named(tree: Path, key: str, value: object) -> None:
    front, text = split((tree / "README.md").read_text())
    (tree / "README.md").write_text(space.join(front | {key: value}, text))
    found = [fault for fault in faults(tree) if fault.startswith("README.md")]
    assert len(found) == 1 and f" as {key}; got {value!r}" in found[0]


def test_keys_the_hub_does_not_know(tree: Path, capsys) -> None:
    front, text = split((tree / "README.md").read_text())
    (tree / "README.md").write_text(space.join(front | {"color": "red", "license": "other"}, text))
    unknown, unnamed = faults(tree)
    assert "'color'" in unknown and "license_name" in unnamed
    assert main(["--out", str(tree), "--check"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_readme_without_front_matter(tree: Path) -> None:
    for text in ("# A title\n", "---\n[\n---\n", "---\ntext\n---\n"):
        (tree / "README.md").write_text(text)
        assert len(faults(tree)) == 1
    (tree / "README.md").unlink()
    assert "expected README.md" in faults(tree)[0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("spaces>=0.40\n", "", "expected spaces"),
        ("torch>=2.8,<2.12", "torch>=2.8,<2.15", "torch>=2.8,<2.12 for ZeroGPU"),
        ("gradio[mcp]==", "gradio[mcp]==9", "as sdk_version says"),
    ],
)
def test_requirements(tree: Path, old: str, new: str, said: str) -> None:
    path = tree / "requirements.txt"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    (fault,) = faults(tree)
    assert said in fault


def test_large_files_need_lfs(tree: Path) -> None:
    with (tree / "examples" / "film.dat").open("wb") as file:
        file.truncate(LARGE + 1)
    (fault,) = faults(tree)
    assert "examples/film.dat" in fault and "Git LFS" in fault
    attributes = tree / ".gitattributes"
    attributes.write_text(attributes.read_text() + "examples/*.dat filter=lfs -text\n")
    assert faults(tree) == []


def test_large_files_get_lfs(tree: Path, tmp_path: Path) -> None:
    with (space.ROOT / "examples" / "film.dat").open("wb") as file:
        file.truncate(LARGE + 1)
    space.assemble(tmp_path / "again")
    assert "examples/film.dat filter=lfs" in (tmp_path / "again" / ".gitattributes").read_text()
    assert faults(tmp_path / "again") == []


def test_no_pickles_and_no_tests(tree: Path) -> None:
    (tree / "tests").mkdir()
    (tree / "tests" / "test_a.py").write_text("")
    (tree / "weights" / "net.pkl").write_bytes(b"")
    assert [fault.partition(":")[0] for fault in faults(tree)] == [
        "tests/test_a.py", "weights/net.pkl",
    ]  # fmt: skip


def test_a_clone_may_hold_its_git_folder(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    space.assemble(tmp_path / "clone")
    assert faults(tmp_path / "clone") == []


def test_unknown_domain(tmp_path: Path) -> None:
    with refused("ffhq", "got faces"):
        space.assemble(tmp_path / "space", domains=["faces"])


def test_preload_groups_files_of_one_revision() -> None:
    from weights.manifest import Row

    def row(name: str, file: str, revision: str = "", beside: tuple[str, ...] = ()) -> Row:
        return Row(name, Path(), file, "hub", "MIT", repo="a/b", revision=revision, beside=beside)

    rows = [row("x/1", "f1", "c" * 40, ("j.json",)), row("x/2", "f2", "c" * 40), row("x/3", "f3")]
    assert space.preload(rows) == [f"a/b j.json,f1,f2 {'c' * 40}", "a/b f3"]
