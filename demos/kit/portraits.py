"""Never-seen portraits: rendered here and now from a seed of the test split.

No network was trained on these seeds, and the renderer knows the true answer to every edit.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Sequence

from PIL import Image

from demos.kit.imaging import refuse
from examples.clay.parameters import SEEDS

TEST = SEEDS["test"]


def random_seed() -> int:
    """A seed of the test split, another one each time."""
    return random.SystemRandom().choice(TEST)


def never_seen(seed: int, changes: dict[str, float] | None = None) -> Image.Image:
    """The portrait of a test seed; with `changes` (edit name to change), the true answer to them.

    Raises `gr.Error` for a seed outside the test split.
    """
    from examples.clay import portrait  # numba is imported here, after the page is up
    from examples.clay.edits import EDITS

    if seed not in TEST:
        raise refuse(
            f"The seed must lie in the test split, {TEST.start} to {TEST.stop - 1}; got {seed}. "
            "Press the button for a random one."
        )
    original = portrait(seed)
    overrides: dict[str, object] = {}
    for name, change in (changes or {}).items():
        if change:
            overrides |= EDITS[name].apply(original.parameters, change)
    shown = portrait(seed, **overrides) if overrides else original
    return Image.fromarray(shown.image)


def seed_of(picture: Image.Image, seed: int | None) -> int | None:
    """The seed when the picture is exactly the never-seen portrait of it, else None."""
    if seed is None or int(seed) not in TEST:
        return None
    return seeds_of([picture], [int(seed)])[0]


def seeds_of(pictures: Sequence[Image.Image], seeds: Collection[int]) -> list[int | None]:
    """For each picture that of the seeds whose never-seen portrait it exactly is, else None."""
    portraits = {seed: never_seen(seed) for seed in seeds} if pictures else {}
    known = {(portrait.size, portrait.tobytes()): seed for seed, portrait in portraits.items()}
    return [known.get((picture.size, picture.tobytes())) for picture in pictures]


def warm_up_renderer() -> None:
    """Compile the renderer ahead of the first visitor."""
    try:
        never_seen(TEST.start)
    except Exception:
        logging.getLogger(__name__).exception("the renderer's warm-up failed")
