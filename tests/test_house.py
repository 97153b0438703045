"""The house keeps its one direction: app -> demos -> pipelines -> networks -> torch."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from demos.papers import PAPERS, SLUGS

ROOT = Path(__file__).parent.parent
FOLDERS = ("app.py", "demos", "pipelines", "weights", "examples")
# folder -> what its files may not import
FORBIDDEN = {
    "app.py": ("torch", "pipelines.networks", "pipelines.training"),
    "demos": ("torch", "diffusers", "lpips", "pipelines.networks", "pipelines.training"),
    "pipelines": ("gradio", "demos", "app"),
    # Networks alone: nothing of pictures, files or the methods that use them.
    "pipelines/networks": ("gradio", "demos", "weights", "examples", "PIL", "safetensors"),
    "weights": ("gradio", "demos", "pipelines", "examples"),
    "examples": ("gradio", "demos", "app"),
    "examples/clay": ("gradio", "demos", "pipelines", "weights", "torch"),
}

ARITHMETIC = {"cameras", "modulation", "winograd"}  # of several networks' forward passes


def sources() -> list[Path]:
    found = [ROOT / "app.py"]
    for folder in FOLDERS[1:]:
        found += sorted((ROOT / folder).rglob("*.py"))
    return [path for path in found if path.exists()]


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            module = ".".join(
                [*(base if node.level else []), *([node.module] if node.module else [])]
            )
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_direction(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    for folder, forbidden in FORBIDDEN.items():
        if relative == folder or relative.startswith(folder + "/"):
            for name in imports(path):
                hit = [bad for bad in forbidden if name == bad or name.startswith(bad + ".")]
                assert not hit, f"{relative} imports {name}, which {folder} must not"


def test_no_pipeline_imports_another() -> None:
    papers = {p.stem for p in (ROOT / "pipelines").glob("*.py")} & set(SLUGS)
    assert papers, "no pipeline found"
    for paper in papers:
        names = imports(ROOT / "pipelines" / f"{paper}.py")
        others = {f"pipelines.{other}" for other in papers - {paper}}
        assert not names & others


def networks() -> list[Path]:
    return sorted(p for p in (ROOT / "pipelines" / "networks").glob("*.py") if p.stem[0] != "_")


@pytest.mark.parametrize("path", networks(), ids=lambda p: p.stem)
def test_networks_are_networks_alone(path: Path) -> None:
    """A file defines modules, and knows of the pipelines nothing but other networks."""
    used = {name for name in imports(path) if name.startswith("pipelines.")}
    assert all(name.startswith("pipelines.networks") for name in used)
    classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    found = {ast.unparse(base) for node in classes for base in node.bases}
    assert ("nn.Module" in found) != (path.stem in ARITHMETIC)


def test_one_file_lists_the_papers() -> None:
    """Outside its own folder a paper is named in demos/papers.py, by one line, and nowhere else."""
    named = re.compile(rf"\b({'|'.join(SLUGS)})\b")
    own = {ROOT / "demos" / slug for slug in SLUGS}
    files = [path for path in sources() if path.relative_to(ROOT).parts[0] in ("app.py", "demos")]
    found = {path: named.findall(path.read_text()) for path in files if path.parent not in own}
    assert found.pop(ROOT / "demos" / "papers.py") == list(SLUGS)
    assert not {str(path): slugs for path, slugs in found.items() if slugs}
    assert [paper.slug for paper in PAPERS] == list(SLUGS)


def test_folders_are_two_deep_at_most() -> None:
    for path in (ROOT / "demos").rglob("*.py"):
        assert len(path.relative_to(ROOT / "demos").parts) <= 2, path


def test_top_level_is_the_plan() -> None:
    plan = {
        "app.py", "requirements.txt", "README.md", "demos", "pipelines", "weights", "examples",
        "tests", "pyproject.toml", "LICENSE", "CONTRIBUTING.md",
    }  # fmt: skip
    present = {p.name for p in ROOT.iterdir() if not p.name.startswith((".", "__pycache__"))}
    assert present - {"runs"} <= plan


def test_figures_keep_their_font() -> None:
    """A browser drops a `font:` with a variable whose rule goes on with one of its longhands."""
    rules = re.findall(r"\{[^{}]*\}", (ROOT / "demos/kit/theme.css").read_text())
    lost = [rule for rule in rules if re.search(r"\bfont:[^;]*var\(.*font-variant", rule, re.S)]
    assert len(rules) > 100 and not lost
