"""A folder of photographs in the place of a rendered set, for recipes that need pictures alone.

Pictures are cropped to a square about their middle and resized as they are read. Faces should have
been aligned before: `pipelines.alignment` does it as FFHQ's were.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from examples.clay.dataset import ClaySet
from pipelines.networks.pictures import as_rgb

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class Photographs:
    """The pictures in a folder and below it, in order of their names; `images[rows]` reads some.

    Raises FileNotFoundError where there is none.
    """

    def __init__(self, folder: str | Path, side: int) -> None:
        found = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES)
        if not found:
            raise FileNotFoundError(
                f"{folder} must hold pictures ({', '.join(SUFFIXES)}) or a rendered set; got "
                "neither. Give another folder."
            )
        self.paths, self.side = found, side

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def images(self) -> Photographs:
        """Itself, which is indexed as the array of a rendered set is."""
        return self

    def __getitem__(self, rows: np.ndarray | slice) -> UInt8[np.ndarray, "n side side 3"]:
        return np.stack([self._read(path) for path in np.array(self.paths)[rows]])

    def _read(self, path: Path) -> UInt8[np.ndarray, "side side 3"]:
        with Image.open(path) as file:
            square = ImageOps.fit(as_rgb(file), (self.side,) * 2, Image.Resampling.LANCZOS)
        return np.array(square)


def pictures(folder: str | Path, side: int) -> ClaySet | Photographs:
    """The rendered set or the photographs of a folder, for a generator of pictures of `side` px.

    Raises ValueError for a rendered set of another size.
    """
    if not (Path(folder) / "progress.json").exists():
        return Photographs(folder, side)
    rendered = ClaySet(folder)
    if rendered.images.shape[1] != side:
        raise ValueError(
            f"{folder} must hold pictures of {side} px, as the generator makes them; got "
            f"{rendered.images.shape[1]} px. Render with --size {side}."
        )
    return rendered
