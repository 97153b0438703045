"""A Hugging Face Space from this repository: its front matter, its files, and a check of both.

    python -m demos.hub --out DIR --hardware zero --domain ffhq
    python -m demos.hub --out DIR --check

The Hub reads the front matter of README.md (docs: "Spaces Configuration Reference"), refuses files
over 10 MB that Git LFS does not hold, and builds from requirements.txt.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from demos.hub.check import LARGE, ZERO_TORCH, files, matches, split
from weights.catalogue import needed
from weights.manifest import Row, WeightsError, read, read_domains

ROOT = Path(__file__).parents[2]
HARDWARE = {"cpu": "cpu-basic", "zero": "zero-a10g", "cuda": "l4x1"}
KEPT = ("app.py", "LICENSE", "pyproject.toml", "demos", "pipelines", "weights", "examples")
_BINARY = (".safetensors", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".npy", ".npz", ".mp4")


def assemble(
    out: Path, hardware: str = "cpu", domains: Iterable[str] = (), manifest: Path | None = None
) -> None:
    """Write into `out` the files of a Space for `hardware` (a key of HARDWARE).

    The files of `domains` that the Hub has are preloaded while the Space is built. `out` must be
    empty but for a `.git` folder; otherwise `WeightsError`.
    """
    if out.exists() and (found := sorted(p.name for p in out.iterdir() if p.name != ".git")):
        raise WeightsError(
            f"expected an empty folder (or a new clone) as --out; got {', '.join(found[:5])} in "
            f"{out}; empty it, or check what is there with --check."
        )
    _copy_tree(out)
    front, text = split((ROOT / "README.md").read_text(encoding="utf-8"))
    front |= {"suggested_hardware": HARDWARE[hardware]}
    if hardware == "zero":
        front["python_version"] = "3.12.12"  # ZeroGPU offers few Python versions, named in full
    rows = _preloaded(domains, manifest)
    if rows:
        front["models"] = list(dict.fromkeys(row.repo for row in rows))
        front["preload_from_hub"] = preload(rows)
    (out / "README.md").write_text(join(front, text), encoding="utf-8")
    needs = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    (out / "requirements.txt").write_text(_requirements(needs, hardware), encoding="utf-8")
    (out / ".gitattributes").write_text("\n".join(_lfs(out)) + "\n", encoding="utf-8")


def join(front: Mapping[str, Any], text: str) -> str:
    """A README of front matter and text."""
    import yaml

    lines = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{lines}---\n{text}"


def preload(rows: Iterable[Row]) -> list[str]:
    """One line `repo file1,file2 revision` for each Hub repository and revision."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        wanted.setdefault((row.repo, row.revision), []).extend((*row.beside, row.file))
    return [f"{repo} {','.join(names)} {at}".strip() for (repo, at), names in wanted.items()]


def _preloaded(domains: Iterable[str], manifest: Path | None) -> list[Row]:
    """The Hub rows of the domains that the app can use; the Hub vouches for them."""
    rows, known, domains = read(manifest), read_domains(manifest), list(domains)
    if unknown := [domain for domain in domains if domain not in known]:
        raise WeightsError(f"expected a domain of {', '.join(known)}; got {', '.join(unknown)}.")
    names = dict.fromkeys(name for domain in domains for name in needed(domain, "", manifest))
    found = [rows[n] for n in names if rows[n].repo]
    return [row for row in found if row.state == "hub" or row.converter]


def _copy_tree(out: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", ".*", "*.pyc", "*.nbi", "*.nbc", "*.pyi")
    out.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, out / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, out / name)


def _requirements(text: str, hardware: str) -> str:
    """The requirements of this project, for ZeroGPU with its package and its range of torch."""
    if hardware != "zero":
        return text
    lines = [ZERO_TORCH if re.match(r"torch\b", line) else line for line in text.split("\n")]
    return "\n".join(lines).rstrip("\n") + "\nspaces>=0.40\n"


def _lfs(tree: Path) -> list[str]:
    """LFS patterns for the binary kinds of file in a tree, and for each larger file besides."""
    found = files(tree)
    kinds = {path.suffix for path in found if path.suffix in _BINARY}
    patterns = [f"*{kind}" for kind in sorted(kinds | {".safetensors"})]
    large = [path.as_posix() for path in found if (tree / path).stat().st_size > LARGE]
    patterns += [name for name in large if not any(matches(name, p) for p in patterns)]
    return [f"{pattern} filter=lfs diff=lfs merge=lfs -text" for pattern in patterns]
