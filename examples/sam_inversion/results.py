"""Results of SAM inversion to store, each computed by the real pipeline, and by how much each keeps
what the page says of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from examples.clay.edits import EDITS
from examples.portraits import changed
from examples.stored import Stored, StoredResults, alike, new_file

STORED = StoredResults(
    "sam_inversion",
    ("scene",),
    ("clay-heads/generator", "clay-heads/invertibility", "clay-heads/sam-encoders"),
)
STEPS = 100  # of an optimisation
SAM, RIVAL = "sam", "hybrid"  # the two that are compared: RIVAL is W+ from the encoder's code
UNEDITED = "unedited"
MOST_SEGMENTS = 256  # that a picture of labels can tell apart
GREYS = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)  # the palette of labels and errors


@dataclass(frozen=True)
class Staging:
    """A thing before the face, and an edit: look in [0, 1], its kind and colour; shift in [-1, 1],
    its place; strength in [-1, 1], of the edit's range."""

    thing: str
    edit: str
    strength: float
    look: float = 0.5
    shift: float = 0.3
    focus: float = 0.0

    @property
    def overrides(self) -> dict[str, Any]:
        """The renderer's parameters of the thing and of the background."""
        return {
            "prop": self.thing, "focus": self.focus, "prop_look": self.look,
            "prop_shift": self.shift,
        }  # fmt: skip

    @property
    def change(self) -> float:
        """The edit in its own unit."""
        edit = EDITS[self.edit]
        return self.strength * (edit.high if self.strength > 0 else -edit.low)


@dataclass(frozen=True, eq=False)
class StoredMaps:
    """`InvertibilityMaps` of a stored scene; torch comes with the first map of latents that is
    asked of it."""

    latents: tuple[str, ...]
    errors: np.ndarray
    segments: np.ndarray
    means: np.ndarray
    brightest: float

    def latent_map(self, tau: float, forced: Mapping[int, str] | None = None) -> np.ndarray:
        from pipelines.invertibility import InvertibilityMaps

        known = InvertibilityMaps(self.latents, self.errors, self.segments, self.means)
        return known.latent_map(tau, forced)


def scene(pipeline: Any, name: str, seed: int, staging: Staging) -> Stored:
    """A portrait with a thing before the face: the map of latents, SAM's inversion and that in W+,
    an edit of both, and the true answer, which is the same person with the same thing."""
    start = changed(seed, **staging.overrides)
    picture, tau = Image.fromarray(start.image), pipeline.tuning.tau
    begun = time.perf_counter()
    maps = pipeline.invertibility(picture)
    seconds, chosen = time.perf_counter() - begun, maps.latent_map(tau)
    runs = {
        SAM: lambda seen: pipeline.invert(picture, chosen=chosen, steps=STEPS, on_step=seen),
        RIVAL: lambda seen: pipeline.baseline(picture, method=RIVAL, steps=STEPS, on_step=seen),
    }
    found, curves = {}, {}
    for method, run in runs.items():
        found[method], curves[method] = _watched(pipeline, picture, run)
    # What both are changed into, and what is right.
    after = staging.overrides | EDITS[staging.edit].apply(start.parameters, staging.change)
    truth = Image.fromarray(changed(seed, **after).image)
    edited = {m: pipeline.edit(r, staging.edit, staging.change) for m, r in found.items()}
    compared = {UNEDITED: picture, **edited}
    values = {
        "seed": seed, "thing": staging.thing, "look": staging.look, "shift": staging.shift,
        "focus": staging.focus, "edit": staging.edit, "strength": staging.strength,
        "change": staging.change, "tau": tau, "steps": STEPS, "seconds": seconds,
        "white": maps.brightest, "latents": list(maps.latents),
        "means": np.round(maps.means, 5).tolist(),
        "numbers": {
            m: alike(r.measures) | {"seconds": r.seconds, "losses": list(r.losses)}
            for m, r in found.items()
        },
        "verdict": {m: alike(pipeline.measure(image, truth)) for m, image in compared.items()},
        "curves": curves,
    }  # fmt: skip
    shown = {"picture": picture, "truth": truth, **{m: r.image for m, r in found.items()}}
    shown |= {f"edited-{method}": image for method, image in edited.items()}
    shown |= _labels(maps, chosen, start)
    return Stored(name, values, shown, pipeline.keep(new_file(), found))


def promise(pipeline: Any, made: Stored) -> float:
    """By how much SAM is better where the page says so (LPIPS): nearer to the picture than W+; its
    edit nearer to the true answer than no edit is, and than W+'s edit.

    The sum of the three, or the smallest one where it is not above 0.
    """
    numbers, verdict = made.values["numbers"], made.values["verdict"]
    nothing = pipeline.measure(made.pictures[SAM], made.pictures["truth"]).lpips
    edited = verdict[SAM]["lpips"]
    gains = (
        numbers[RIVAL]["lpips"] - numbers[SAM]["lpips"],
        nothing - edited,
        verdict[RIVAL]["lpips"] - edited,
    )
    return float(sum(gains) if min(gains) > 0 else min(gains))


def _watched(
    pipeline: Any, picture: Image.Image, run: Callable[[Callable], Any]
) -> tuple[Any, list[tuple[float, float]]]:
    """A run's result, and seconds and PSNR of its pictures on the way, measured at the end."""
    begun, seen = time.perf_counter(), []

    def on_step(step: Any) -> None:
        if step.images:
            seen.append((time.perf_counter() - begun, step.images[0]))

    result = run(on_step)
    points = [(seconds, pipeline.measure(image, picture).psnr) for seconds, image in seen]
    return result, [*points, (result.seconds, result.measures.psnr)]


def _labels(maps: Any, chosen: np.ndarray, start: Any) -> dict[str, Image.Image]:
    """Pictures whose bytes are numbers: segments, latents, errors up to the brightest, and where
    person and thing are seen."""
    if maps.means.shape[1] > MOST_SEGMENTS:
        raise ValueError(
            f"segments must be at most {MOST_SEGMENTS} to be stored; got {maps.means.shape[1]}. "
            "Let the parser find them."
        )
    grey = np.clip(255 * maps.errors / maps.brightest, 0, 255)
    found = {f"error-{i}": error for i, error in enumerate(grey, 1)}
    found |= {"segments": maps.segments, "latents": chosen}
    found |= {"thing": start.prop_mask, "person": start.parts > 0}
    for name, numbers in found.items():
        found[name] = Image.fromarray(np.ascontiguousarray(numbers, np.uint8), "P")
        found[name].putpalette(GREYS.tobytes())
    return found
