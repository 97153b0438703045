"""Stored results as files: what a page shows at once, without running a network.

`python -m examples.<paper>` makes a paper's with the real networks. A result is a folder of
lossless pictures, with its latent codes where there is more to do with it, and an entry in
`stored.json`. It says which weights it comes from, and is not read beside others: a code means
nothing to another generator.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from weights.manifest import find

EXAMPLES = Path(__file__).parent
CODES = "codes.safetensors"
NUMBERS = ("psnr", "lpips", "identity")
PICTURES = ("*.webp", "*.png")  # a part mask is a PNG, for its palette


@dataclass(frozen=True)
class Stored:
    """One stored result: its name for visitors, its numbers, its pictures by file name, its codes.

    codes is a file for the pipeline that wrote it; None where nothing is left to do with it.
    """

    name: str
    values: Mapping[str, Any]
    pictures: Mapping[str, Image.Image] = field(repr=False)
    codes: Path | None = None

    def __deepcopy__(self, memo: dict) -> Stored:
        return self  # nothing in it changes, so that all sessions may hold the same

    def row(self, stem: str) -> list[Image.Image]:
        """The pictures stem-1, stem-2, ... in order."""
        names = [n for n in self.pictures if n.rpartition("-")[0] == stem]
        return [self.pictures[n] for n in sorted(names, key=lambda n: int(n.rpartition("-")[2]))]


@dataclass(frozen=True)
class StoredResults:
    """A paper's stored results: a folder of the examples, and the weights that they come from."""

    paper: str
    kinds: tuple[str, ...]
    weights: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return EXAMPLES / self.paper

    @property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of the weights as the manifest has them now; what is loaded must have these."""
        return {name: find(name).sha256 for name in self.weights}

    def entries(self) -> dict[str, list[dict]]:
        """What `stored.json` says of each kind; nothing before the first results were made."""
        index = self.folder / "stored.json"
        found = json.loads(index.read_text()) if index.exists() else {}
        return {kind: found.get(kind, []) for kind in self.kinds}

    def read(self, kind: str) -> list[Stored]:
        """The results of a kind that come from the present weights."""
        now = self.checksums
        found = [entry for entry in self.entries()[kind] if entry.get("weights") == now]
        return [_stored(entry, self.folder / entry["folder"]) for entry in found]

    @property
    def current(self) -> bool:
        """Whether all that is stored comes from the present weights."""
        now = self.checksums
        every = [entry for entries in self.entries().values() for entry in entries]
        return all(entry.get("weights") == now for entry in every)

    def write(self, results: Mapping[str, Iterable[Stored]]) -> None:
        """Replace what is stored of the kinds that `results` has; other kinds stay.

        Everything is written beside the old results first, which stay whole if that is cut short.
        """
        index = self.entries()
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="unfinished-") as unfinished:
            for kind, made in results.items():
                index[kind] = []
                for i, result in enumerate(made, 1):
                    place = Path(unfinished, f"{kind}-{i}")
                    _write(result, place)
                    index[kind].append(
                        {
                            "name": result.name,
                            "folder": place.name,
                            "weights": self.checksums,
                            "values": result.values,
                        }
                    )
            for old in (old for kind in results for old in self.folder.glob(f"{kind}-*")):
                shutil.rmtree(old)
            for place in Path(unfinished).iterdir():
                place.rename(self.folder / place.name)
        (self.folder / "stored.json").write_text(json.dumps(index) + "\n")


def new_file() -> Path:
    """Where a pipeline may write the codes of a result that is then stored."""
    return Path(tempfile.mkdtemp(prefix="codes-")) / CODES


def alike(measures: Any) -> dict[str, float | None]:
    """How near a result is to what it is to be, as numbers to store."""
    return {key: getattr(measures, key) for key in NUMBERS}


def _stored(entry: Mapping[str, Any], folder: Path) -> Stored:
    codes = folder / CODES
    return Stored(
        entry["name"], entry["values"], _pictures(folder), codes if codes.exists() else None
    )


def _pictures(folder: Path) -> dict[str, Image.Image]:
    found = {}
    for path in sorted(path for kind in PICTURES for path in folder.glob(kind)):
        with Image.open(path) as file:
            # A part mask keeps its labels: they are the indices into its palette.
            found[path.stem] = file.copy() if file.mode == "P" else file.convert("RGB")
    return found


def _write(result: Stored, place: Path) -> None:
    place.mkdir()
    for name, picture in result.pictures.items():
        if picture.mode == "P":
            picture.save(place / f"{name}.png", optimize=True)
        else:
            # At full effort files are 2 % smaller and take 50 times longer.
            picture.save(place / f"{name}.webp", lossless=True)
    if result.codes is not None:
        shutil.copyfile(result.codes, place / CODES)
