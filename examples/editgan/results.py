"""Results of EditGAN to store, each computed by the real pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from examples.stored import Stored, StoredResults, alike, new_file

STORED = StoredResults(
    "editgan", ("edit",), ("clay-heads/generator", "clay-heads/segmentation-branch")
)
PAINTED = "painted "  # before the name of an edit towards the renderer's own mask
AS_PAINTED = 0.85  # of the region where the picture may change
STEPS = 60  # of an edit: fewer than the paper's 100, and enough on these portraits
FREE = np.array([(0, 0, 0), (255, 255, 255)], np.uint8)  # the palette of a region


def edit(
    pipeline: Any,
    name: str,
    seed: int,
    part_edit: Any,
    truth: np.ndarray,
    paint: Callable[[np.ndarray], np.ndarray],
) -> Stored:
    """A portrait embedded, and one edit of it.

    part_edit is one of PART_EDITS; truth holds the portrait before and after it, uint8 (2, H, W,
    3); paint makes the painted mask from the predicted one.
    """
    face, answer = (Image.fromarray(np.asarray(picture)) for picture in truth)
    embedding = pipeline.embed(face)
    asked = paint(embedding.mask)
    done = pipeline.edit(embedding, asked, q_edit=part_edit.q_edit, steps=STEPS)
    shown = {"picture": face, "embedding": embedding.image, "edited": done.image, "truth": answer}
    for stem, labels in (("mask", embedding.mask), ("painted", asked), ("edited-mask", done.mask)):
        shown[stem] = _labels(labels, pipeline.palette)
    shown["region"] = _labels(done.region.astype(np.uint8), FREE)
    values = {
        "seed": seed,
        "edit": PAINTED + part_edit.name,
        "q_edit": list(done.vector.q_edit),
        "of_embedding": {
            "losses": embedding.losses,
            "seconds": embedding.seconds,
            "measures": alike(embedding.measures),
        },
        "of_edit": {key: getattr(done, key) for key in ("losses", "seconds")},
    }
    codes = pipeline.keep(new_file(), {"embedding": embedding, "edited": done})
    return Stored(name, values, shown, codes)


def promise(_: Any, made: Stored) -> float:
    """How much nearer the edit is to the true answer than the embedding is, in dB.

    Below 0 also where less than AS_PAINTED of the region became what was painted.
    """
    pictures = made.pictures
    region = np.asarray(pictures["region"]) > 0
    same = np.asarray(pictures["painted"]) == np.asarray(pictures["edited-mask"])
    if not region.any() or same[region].mean() < AS_PAINTED:
        return -1.0
    truth = np.asarray(pictures["truth"], float)
    errors = [
        np.square(np.asarray(pictures[name], float) - truth).mean()
        for name in ("embedding", "edited")
    ]
    return float(10 * np.log10(errors[0] / errors[1]))


def _labels(labels: np.ndarray, palette: np.ndarray) -> Image.Image:
    """A mask in its palette's colours; its bytes stay the labels."""
    picture = Image.fromarray(labels, "P")
    picture.putpalette(np.asarray(palette, np.uint8).tobytes())
    return picture
