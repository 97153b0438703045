"""A set of clay portraits on disk, memory-mapped, and the writer that can be stopped and resumed.

A folder holds images.npy (N, S, S, 3) and parts.npy (N, S, S), uint8; seeds.npy and identities.npy
(N,), int64; progress.json. Latent codes and parameters are recomputed from the seeds. Portrait i of
a split has seed SEEDS[split][i] and the face of SEEDS[split][i // per_identity].
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from tqdm import tqdm

from examples.clay.parameters import SEEDS, draw, latent

CHUNK = 64


class ClaySet:
    """A rendered folder: arrays `images`, `parts` (memory-mapped), `seeds`, `identities`.

    Raises FileNotFoundError where there is no set, ValueError where it is not finished.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        _check_finished(self.directory)
        self.images = np.load(self.directory / "images.npy", mmap_mode="r")
        self.parts = np.load(self.directory / "parts.npy", mmap_mode="r")
        self.seeds = np.load(self.directory / "seeds.npy")
        self.identities = np.load(self.directory / "identities.npy")
        self.overrides = _progress(self.directory)["recipe"].get("overrides", {})

    def __len__(self) -> int:
        return len(self.seeds)

    def latents(self) -> np.ndarray:
        """The latent codes z, float32 (N, 512)."""
        return latents(self.seeds, self.identities)

    def parameters(self) -> np.ndarray:
        """The parameter vectors, float32 (N, 97)."""
        return draw(self.latents(), self.overrides)

    def masks(self, index: int | slice | np.ndarray) -> np.ndarray:
        """The 19 face-parsing classes, uint8 (..., S, S), of the portraits at `index`."""
        from examples.clay.parts import PART_TO_CLASS

        return PART_TO_CLASS[self.parts[index]]


def latents(seeds: np.ndarray, identities: np.ndarray) -> np.ndarray:
    """The latent codes z, float32 (N, 512), of seeds with the faces of other seeds."""
    pairs = zip(seeds, identities, strict=True)
    return np.stack([latent(int(seed), int(identity)) for seed, identity in pairs])


def split_seeds(split: str, count: int, per_identity: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Seeds and identities, int64 (count,) each, of the first portraits of a split."""
    if split not in SEEDS:
        raise ValueError(f"split must be one of {', '.join(SEEDS)}; got {split!r}. Choose one.")
    seeds = SEEDS[split]
    if not 1 <= count <= len(seeds):
        raise ValueError(
            f"count must lie in 1..{len(seeds)} for {split}; got {count}. Ask for fewer."
        )
    if per_identity < 1:
        raise ValueError(f"per_identity must be at least 1; got {per_identity}. Use 1 for all new.")
    index = np.arange(count, dtype=np.int64)
    return seeds.start + index, seeds.start + index // per_identity


def write(
    directory: str | Path,
    split: str,
    count: int,
    *,
    per_identity: int = 1,
    size: int = 128,
    overrides: Mapping[str, float | str] | None = None,
) -> ClaySet:
    """Render the first `count` portraits of a split into a folder, going on where it stopped.

    overrides: parameters that all of them share, as `parameters.draw` takes them. A folder with
    another count of the same is grown, or cut.
    """
    from examples.clay.render import render

    directory = Path(directory)
    seeds, identities = split_seeds(split, count, per_identity)
    recipe = {"split": split, "count": count, "per_identity": per_identity, "size": size}
    if overrides:
        recipe["overrides"] = dict(overrides)
    done = _start(directory, recipe, seeds, identities)
    images = open_memmap(directory / "images.npy", mode="r+")
    parts = open_memmap(directory / "parts.npy", mode="r+")
    with tqdm(total=count, initial=done, unit="portrait") as bar:
        for start in range(done, count, CHUNK):
            rows = slice(start, min(start + CHUNK, count))
            z = latents(seeds[rows], identities[rows])
            images[rows], parts[rows] = render(draw(z, overrides), size)
            images.flush()
            parts.flush()
            _save_progress(directory, recipe, rows.stop)
            bar.update(rows.stop - start)
    return ClaySet(directory)


def _start(directory: Path, recipe: dict, seeds: np.ndarray, identities: np.ndarray) -> int:
    """How many portraits are there already; creates the files where there are none."""
    progress = _progress(directory)
    done = 0
    if progress is not None:
        if {**progress["recipe"], "count": 0} != {**recipe, "count": 0}:
            raise ValueError(
                f"{directory} must hold {recipe} to go on; got {progress['recipe']}. "
                "Choose another folder or delete this one."
            )
        done = min(progress["done"], recipe["count"])
        if progress["recipe"]["count"] == recipe["count"]:
            return done
    directory.mkdir(parents=True, exist_ok=True)
    shape = (recipe["count"], recipe["size"], recipe["size"])
    _resize(directory / "images.npy", (*shape, 3), done)
    _resize(directory / "parts.npy", shape, done)
    np.save(directory / "seeds.npy", seeds)
    np.save(directory / "identities.npy", identities)
    _save_progress(directory, recipe, done)
    return done


def _resize(path: Path, shape: tuple[int, ...], done: int) -> None:
    """Make a file for so many portraits, the first `done` of which are there."""
    partial = path.with_name(f"partial-{path.name}")
    array = open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
    if done:
        array[:done] = np.load(path, mmap_mode="r")[:done]
    array.flush()
    partial.replace(path)


def _progress(directory: Path) -> dict | None:
    path = directory / "progress.json"
    return json.loads(path.read_text()) if path.exists() else None


def _save_progress(directory: Path, recipe: dict, done: int) -> None:
    partial = directory / "progress.json.part"
    partial.write_text(json.dumps({"done": done, "recipe": recipe}))
    partial.replace(directory / "progress.json")  # never half written


def _check_finished(directory: Path) -> None:
    progress = _progress(directory)
    if progress is None:
        raise FileNotFoundError(
            f"{directory} must hold a rendered set; got no progress.json there. "
            f"Render one: python -m examples.clay render --out {directory}"
        )
    done, count = progress["done"], progress["recipe"]["count"]
    if done < count:
        raise ValueError(
            f"{directory} must hold {count} portraits; got {done}. Run the same render command "
            "again to finish it."
        )
