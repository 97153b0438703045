"""Never-seen portraits: rendered here and now from a seed of the test split.

No network was trained on these seeds, and the renderer knows the true answer to every edit.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Collection, Sequence

from PIL import Image

from demos.kit.imaging import refuse
from examples.portraits import TEST, rendered, unseen

_MARKS: dict[int, str] = {}  # the marks of portraits that were rendered here, by seed


def check_unseen(seed: int) -> None:
    """Raise `gr.Error` for the seed of a portrait that a network was trained on."""
    if not unseen(seed):
        raise refuse(
            f"The portrait's number must be one that no network has seen, {TEST.start} to "
            f"{TEST.stop - 1}; got {seed}. Press the button for a random one."
        )


def random_seed() -> int:
    """A seed of the test split, another one each time."""
    return random.SystemRandom().choice(TEST)


def never_seen(seed: int, changes: dict[str, float] | None = None) -> Image.Image:
    """The portrait of a test seed; with `changes` (edit name to change), the true answer to them.

    Raises `gr.Error` for the seed of a portrait that a network was trained on.
    """
    check_unseen(seed)
    picture = rendered(seed, changes)
    if not any((changes or {}).values()):
        _MARKS[seed] = _mark(picture)
    return picture


def seed_of(picture: Image.Image, seed: int | None) -> int | None:
    """The seed when the picture is exactly the never-seen portrait of it, else None."""
    if seed is None or not unseen(int(seed)):
        return None
    return seeds_of([picture], [int(seed)])[0]


def seeds_of(pictures: Sequence[Image.Image], seeds: Collection[int]) -> list[int | None]:
    """For each picture that of the seeds whose never-seen portrait it exactly is, else None.

    What was drawn in this process is known; another seed's portrait is rendered, once.
    """
    for seed in seeds if pictures else ():
        if seed not in _MARKS:
            never_seen(seed)
    known = {_MARKS[seed]: seed for seed in seeds if seed in _MARKS}
    return [known.get(_mark(picture)) for picture in pictures]


def drawn_seed(picture: Image.Image) -> int | None:
    """Whose never-seen portrait a picture is, of those that were drawn in this process."""
    mark = _mark(picture)
    return next((seed for seed, known in _MARKS.copy().items() if known == mark), None)


def _mark(picture: Image.Image) -> str:
    """What tells pictures apart: their size and every byte."""
    return hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()


def warm_up_renderer() -> None:
    """Compile the renderer ahead of the first visitor."""
    try:
        never_seen(TEST.start)
    except Exception:
        logging.getLogger(__name__).exception("the renderer's warm-up failed")
