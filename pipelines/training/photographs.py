"""A folder of photographs in the place of a rendered set, for recipes that need pictures alone.

Pictures are cropped to a square about their middle and resized as they are read. Faces should have
been aligned before: `pipelines.alignment` does it as FFHQ's were.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from examples.clay.dataset import ClaySet
from pipelines.images import as_rgb

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
        square = ImageOps.fit(whole(path, as_rgb), (self.side,) * 2, Image.Resampling.LANCZOS)
        return np.array(square)


def whole(
    path: Path, converted: Callable[[Image.Image], Image.Image] = lambda picture: picture
) -> Image.Image:
    """The picture of a file, read to its end.

    ValueError names the file that is none, is cut short or cannot be converted: one of thousands
    must not end a training without a name.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            return converted(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{path} must be a whole picture; got: {error} Save it again, or take it away."
        ) from error


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


@dataclass(frozen=True)
class LabelledPhotographs:
    """Photographs with a part mask each; parts and palette: names and colours of the labels."""

    images: UInt8[np.ndarray, "n side side 3"]
    masks: UInt8[np.ndarray, "n side side"]
    parts: tuple[str, ...]
    palette: list[list[int]]


def labelled(folder: str | Path, side: int) -> LabelledPhotographs:
    """The labelled photographs of a folder: NAME.jpg or .png beside NAME-mask.png, whose pixels are
    labels, and parts.json, {"name of a part": [red, green, blue], ...} in label order.

    Both are cropped to a square about their middle. Raises FileNotFoundError for what is not there,
    ValueError for masks that are no label maps of these parts.
    """
    folder = Path(folder)
    if not (folder / "parts.json").is_file():
        raise FileNotFoundError(
            f'{folder} must hold parts.json, {{"skin": [246, 200, 160], ...}}; got none. Write it.'
        )
    parts = json.loads((folder / "parts.json").read_text(encoding="utf-8"))
    paths = sorted(folder.glob("*-mask.png"))
    if not paths:
        raise FileNotFoundError(f"{folder} must hold NAME-mask.png files; got none. Add them.")
    pairs = [_labelled(path, side, len(parts)) for path in paths]
    images, masks = (np.stack(column) for column in zip(*pairs, strict=True))
    return LabelledPhotographs(images, masks, tuple(parts), [list(c) for c in parts.values()])


def _labelled(path: Path, side: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A photograph and its mask, given the mask's path."""
    stem = path.name.removesuffix("-mask.png")
    found = [f for f in (path.with_name(stem + suffix) for suffix in SUFFIXES) if f.is_file()]
    if not found:
        raise FileNotFoundError(f"{path} must lie beside {stem}.jpg or .png; got none. Add it.")
    mask, image = whole(path), whole(found[0], as_rgb)
    if mask.mode not in ("L", "P") or mask.size != image.size:
        raise ValueError(
            f"{path} must hold a label a pixel (mode L or P) in {image.size}; got mode "
            f"{mask.mode} in {mask.size}. Save it again."
        )
    labels = ImageOps.fit(mask, (side,) * 2, Image.Resampling.NEAREST)
    picture = ImageOps.fit(image, (side,) * 2, Image.Resampling.LANCZOS)
    labels = np.array(labels)
    if labels.max() >= count:
        raise ValueError(
            f"{path} must hold labels below {count}, the parts of parts.json; got {labels.max()}. "
            "Name its part, or paint it over."
        )
    return np.array(picture), labels
