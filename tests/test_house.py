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
    "pipelines/networks": ("gradio", "demos", "weights", "examples", "pipelines.training"),
    "weights": ("gradio", "demos", "pipelines", "examples"),
    "examples/clay": ("gradio", "demos", "pipelines", "weights", "torch"),
}


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
