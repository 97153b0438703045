"""Make what the EditGAN page shows at once: paintings, and stored results of the real networks.

    python -m examples.editgan

The stored results take about a quarter of an hour on two CPU cores: portraits of the validation
split, embedded, painted as the renderer says that their part masks change with an edit, and
optimised. Of several candidates that is stored which comes nearest to the true answer.

The paintings are test portraits in colours and strokes that the generator never saw. They are
filtered renders, not paintings by hand. The picture is enlarged; then its colours become
few and plain (poster), it is laid in strokes along its edges (brush strokes), washed out and
outlined (watercolour), or cut into three tones (lino print). Shape and pose stay as rendered;
shading, texture and colour do not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from examples import choosing
from examples.choosing import Compute
from examples.clay.parameters import draw, latent
from examples.clay.part_edits import PART_EDITS, PartEdit
from examples.editgan import results
from examples.stored import Stored

FOLDER = Path(__file__).parent / "paintings"
PORTRAITS = Path(__file__).parents[1] / "clay" / "portraits"
SIDE = 128  # pixels of a portrait
LARGE, SMALL = 512, 256  # pixels a side while painting, and of the file


def flat(picture: np.ndarray) -> np.ndarray:
    """Twenty plain colours with clean edges, as in a poster."""
    calm = cv2.pyrMeanShiftFiltering(picture, 8, 18)
    twenty = Image.fromarray(calm).quantize(20, kmeans=4, dither=Image.Dither.NONE)
    return cv2.medianBlur(np.asarray(twenty.convert("RGB")), 7)


def brush(picture: np.ndarray) -> np.ndarray:
    """Short strokes along the edges: every pixel of a stroke has the colour of its middle."""
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), 4).astype(np.float32)
    along = np.arctan2(cv2.Sobel(grey, cv2.CV_32F, 1, 0), -cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    random, painted = np.random.default_rng(0), picture.copy()
    for size, count in ((9, 9000), (4, 26000)):
        for x, y in random.integers(0, LARGE, (count, 2)):
            light = 0.9 + 0.2 * random.random()
            colour = np.clip(picture[y, x] * light, 0, 255).tolist()
            angle = float(np.degrees(along[y, x]))
            box = ((float(x), float(y)), (2.6 * size, 0.8 * size), angle)
            cv2.ellipse(painted, box, colour, -1, cv2.LINE_AA)
    return painted


def water(picture: np.ndarray) -> np.ndarray:
    """Pale washes with dark rims."""
    washed = cv2.stylization(picture, sigma_s=60, sigma_r=0.45)
    return (255 - (255 - washed.astype(np.float32)) * 0.72).astype(np.uint8)


def ink(picture: np.ndarray) -> np.ndarray:
    """Three tones of sepia, as in a lino print."""
    grey = ImageOps.autocontrast(Image.fromarray(cv2.medianBlur(picture, 11)).convert("L"), 2)
    tones = np.array([(52, 36, 30), (170, 118, 78), (240, 226, 198)], np.uint8)
    return tones[np.digitize(np.asarray(grey), (86, 160))]


PAINTINGS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "poster": ("0013", flat),
    "brush strokes": ("0016", brush),
    "watercolour": ("0015", water),
    "lino print": ("0021", ink),
}


# name for visitors: the edit, and the place in the pool from where candidates are taken
CHOSEN = {
    "Glasses off": ("glasses off", 0),
    "Longer hair": ("longer hair", 100),
    "A smile": ("smile", 200),
    "Eyes closed": ("close eyes", 300),
}


def make(pipeline: Any) -> None:
    """Compute and write every stored result that keeps its promise."""
    made = {name: _best(PART_EDITS[edit], first) for name, (edit, first) in CHOSEN.items()}
    choosing.make(results.STORED, pipeline, {"edit": made})


def _best(edit: PartEdit, first: int) -> Compute:
    def made(pipeline: Any, name: str) -> Stored | None:
        seeds = choosing.candidates(1, first, lambda seed: edit.suits(draw(latent(seed))))
        compute = functools.partial(_edited, pipeline, name, edit)
        return choosing.best(pipeline, compute, [seed for (seed,) in seeds], results.promise)

    return made


def _edited(pipeline: Any, name: str, edit: PartEdit, seed: int) -> Stored:
    # Here, so that the paintings need no torch.
    from pipelines.training.editing_vectors import painted, truth

    known = truth(edit, seed, SIDE)
    paint = functools.partial(painted, true=known.masks, q_edit=edit.q_edit)
    return results.edit(pipeline, name, seed, edit, known.images, paint)


def paintings() -> None:
    for name, (portrait, paint) in PAINTINGS.items():
        with Image.open(PORTRAITS / f"{portrait}.png") as file:
            large = file.convert("RGB").resize((LARGE, LARGE), Image.Resampling.LANCZOS)
        painted = Image.fromarray(paint(np.asarray(large)))
        small = painted.resize((SMALL, SMALL), Image.Resampling.LANCZOS)
        small.save(FOLDER / f"{name.replace(' ', '-')}.png", optimize=True)


def main() -> None:
    from pipelines.editgan import EditGAN

    paintings()
    make(EditGAN.from_pretrained())


if __name__ == "__main__":
    main()
