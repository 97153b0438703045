"""Stored results: pictures and numbers that a page shows at once, without running a network.

`python -m examples.indomain` makes them with the real networks. A result is a folder of PNG files
and an entry in `stored.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

FOLDER = Path(__file__).parents[2] / "examples" / "indomain"
KINDS = ("diffuse", "invert", "interpolate")


@dataclass(frozen=True)
class Stored:
    """One stored result: its name for visitors, its numbers, and its pictures by file name."""

    name: str
    values: Mapping[str, Any]
    pictures: Mapping[str, Image.Image] = field(repr=False)

    def row(self, stem: str) -> list[Image.Image]:
        """The pictures stem-1, stem-2, ... in order."""
        names = [n for n in self.pictures if n.rpartition("-")[0] == stem]
        return [self.pictures[n] for n in sorted(names, key=lambda n: int(n.rpartition("-")[2]))]


def read(kind: str, folder: Path = FOLDER) -> list[Stored]:
    """All stored results of a kind; none before they were made."""
    index = folder / "stored.json"
    if not index.exists():
        return []
    return [
        Stored(entry["name"], entry["values"], _pictures(folder / entry["folder"]))
        for entry in json.loads(index.read_text())[kind]
    ]


def _pictures(folder: Path) -> dict[str, Image.Image]:
    found = {}
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as file:
            found[path.stem] = file.convert("RGB")
    return found


def write(results: Mapping[str, list[Stored]], folder: Path = FOLDER) -> None:
    """Replace everything that is stored; `results` holds a list for each of KINDS."""
    index = {}
    for kind in KINDS:
        index[kind] = []
        for i, result in enumerate(results[kind], 1):
            place = f"{kind}-{i}"
            (folder / place).mkdir(parents=True, exist_ok=True)
            for old in (folder / place).glob("*.png"):
                old.unlink()
            for name, picture in result.pictures.items():
                picture.save(folder / place / f"{name}.png", optimize=True)
            index[kind].append({"name": result.name, "folder": place, "values": result.values})
    (folder / "stored.json").write_text(json.dumps(index, indent=1) + "\n")


def choice(found: list[Stored]) -> gr.Radio | None:
    """The stored results by name; nothing where none are stored."""
    if not found:
        return None
    names = [entry.name for entry in found]
    return gr.Radio(names, value=names[0], label="Stored results", elem_classes="bare")


def wire(
    names: gr.Radio,
    found: list[Stored],
    example: Callable[[Stored], tuple],
    outputs: list,
    api: str,
) -> Any:
    """Choosing a name fills `outputs` with what `example` makes of that entry."""

    def show(name: str) -> tuple:
        """A stored result by its name: the inputs, the pictures and the numbers."""
        return example(next(entry for entry in found if entry.name == name))

    return names.input(show, names, outputs, api_name=api, show_progress="hidden")
