"""By how much a stored result keeps what the page says of it: a number, above 0 where it does."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from examples.portraits import hair
from examples.stored import Stored

VISIBLE = 0.4  # LPIPS: as far as a validation portrait is from itself shifted by 2 px
SEEN = 10.0  # levels of 0 to 255: a change of colour that an eye finds without looking for it


def diffused(pipeline: Any, made: Stored) -> float:
    """How much nearer optimisation brings the crop to the target than encoding alone (LPIPS)."""
    x, y, width, height = made.values["crop"]
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    target, encoded = made.pictures["target-1"], made.pictures["encoded-1"]
    return pipeline.measure_within(target, encoded, box)[0].lpips - made.values["lpips"]


def inverted(_: Any, made: Stored) -> float:
    """How much nearer to the picture the in-domain inversion is than the nearest encoder's."""
    numbers = {method: n["lpips"] for method, n in made.values["numbers"].items()}
    encoders = min(numbers["conventional"], numbers["domain-guided"])
    return encoders - numbers["in-domain"]


def interpolated(pipeline: Any, made: Stored) -> float:
    """How far apart the two ways are between their ends (LPIPS), beyond what is hardly visible."""
    ways = (made.row(method)[1:-1] for method in ("in-domain", "image2stylegan"))
    apart = [pipeline.measure(*pair).lpips for pair in zip(*ways, strict=True)]
    return float(np.mean(apart)) - VISIBLE


def manipulated(pipeline: Any, made: Stored) -> float:
    """How much nearer the edit is to the true answer than doing nothing is (LPIPS)."""
    pictures = made.pictures
    nothing, edit = (
        pipeline.measure(pictures[name], pictures["truth"]).lpips for name in ("inverted", "edited")
    )
    return nothing - edit


def mixed(_: Any, made: Stored) -> float:
    """How much nearer than by SEEN the hair's mean colour came to the style's, in the mixture that
    did so least.

    In levels of 0 to 255, as a distance in RGB; the hair is where the renderer has it, in a mixture
    where its content has it.
    """
    seeds, nearer = made.values["seeds"], []
    for i, style in enumerate(seeds["styles"], 1):
        wanted = _colour(made.pictures[f"inverted-style-{i}"], hair(style))
        for j, content in enumerate(seeds["contents"], 1):
            region = hair(content)
            before = _colour(made.pictures[f"inverted-content-{j}"], region)
            after = _colour(made.pictures[f"mix-{i}-{j}"], region)
            nearer.append(np.linalg.norm(before - wanted) - np.linalg.norm(after - wanted))
    return float(min(nearer)) - SEEN


def _colour(picture: Image.Image, region: Bool[np.ndarray, "h w"]) -> np.ndarray:
    """The mean colour of a region, (3,)."""
    return np.asarray(picture.convert("RGB"), float)[region].mean(0)
