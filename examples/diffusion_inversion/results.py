"""Results of diffusion-driven inversion to store, each computed by the real pipeline, and by how
much each keeps what the page says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from examples.clay.parameters import CHOICES
from examples.clay.parts import PALETTE
from examples.clay.styles import STYLES, styled
from examples.portraits import changed
from examples.stored import Stored, StoredResults, alike, new_file

NETWORKS = (
    "generator", "latent-autoencoder", "denoiser", "controlnet-mask", "controlnet-scribble",
    "joint-embedding", "diffusion-mapping", "diffusion-modulation",
)  # fmt: skip
STORED = StoredResults(
    "diffusion_inversion",
    ("request", "style"),
    tuple(f"clay-heads/{name}" for name in (*NETWORKS, *(f"style-{style}" for style in STYLES))),
)
MASK, SCRIBBLE = "mask", "scribble"  # the pipeline's tasks
PAPER_AND_INK = np.array([(255, 255, 255), (20, 20, 24)], np.uint8)
NOISE, STRENGTH, STEPS = 0, 1.0, 20  # STEPS: of ControlNet
OURS, MAPPED = "ours", "mapped"  # codes that are kept: w, and w^m of M alone
# What captions name, where it is there, and the judge sees at this size.
NAMED = (
    "hair_color", "hair_style", "beard", "glasses", "hat", "expression", "clothes", "background",
)  # fmt: skip
GREYS = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)


@dataclass(frozen=True, eq=False)
class StoredReading:
    """A pipeline's `Reading` without its codes, which are in the entry's file until the pipeline
    opens it (`mapped` and `w`); torch comes then."""

    image: Image.Image
    t: int
    words: tuple[str, ...]
    maps: np.ndarray
    average: np.ndarray
    refined: np.ndarray
    sizes: Mapping[str, list[float]]
    calls: int
    seconds: float
    w: Any = None
    mapped: Any = None


def request(pipeline: Any, name: str, seed: int, task: str) -> Stored:
    """A portrait's own caption with its mask or scribble, by one call of the U-Net, and what
    ControlNet makes of the same in all of its steps."""
    values, pictures, found = _made(pipeline, seed, task)
    pictures["edited"] = pictures.pop(OURS)
    return Stored(name, values, pictures, pipeline.keep(new_file(), found))


def style(pipeline: Any, name: str, seed: int, style: str) -> Stored:
    """The same by a mask, and by the T of a style beside the renderer's portrait in it."""
    values, pictures, found = _made(pipeline, seed, MASK)
    condition = pipeline.condition(MASK, np.asarray(pictures["asked"]), PALETTE)
    made = pipeline.read(values["prompt"], condition, style=style, **_options())
    true = Image.fromarray(styled(changed(seed).parameters[None], style)[0])
    found[style] = made
    values |= {"style": style, "styled": {"calls": made.calls, "seconds": made.seconds}}
    pictures |= {"edited": made.image, "truth": true}
    return Stored(name, values, pictures, pipeline.keep(new_file(), found))


def _made(
    pipeline: Any, seed: int, task: str
) -> tuple[dict[str, Any], dict[str, Image.Image], dict[str, Any]]:
    """Values, pictures and results with codes of a portrait's request."""
    start = changed(seed)
    picture, prompt = Image.fromarray(start.image), start.caption
    labels = start.mask if task == MASK else pipeline.traced(picture, len(start.mask))
    labels = np.asarray(labels, np.uint8)
    asked = labelled(labels, task)
    given = (labels, PALETTE) if task == MASK else (asked.convert("RGB"),)
    condition = pipeline.condition(task, *given)
    ours = pipeline.read(prompt, condition, **_options())
    theirs = pipeline.denoise(prompt, condition, steps=STEPS, **_options())
    # What either input says alone.
    words = pipeline.read(prompt, condition, seed=NOISE, strength=0.0).image
    drawn = pipeline.read("", condition, **_options()).image
    told = {name: start.attributes[name] for name in NAMED}
    wanted = {n: value for n, value in told.items() if value in CHOICES[n] and value != "none"}
    inside, peaks = _inside(ours)
    values = {
        "seed": seed, "prompt": prompt, "task": task, "noise": NOISE, "strength": STRENGTH,
        "t": ours.t, "words": list(ours.words), "peaks": peaks,
        "sizes": {k: np.round(v, 4).tolist() for k, v in ours.sizes.items()},
        "made": {n: {"calls": r.calls, "seconds": r.seconds}
                 for n, r in ((OURS, ours), ("controlnet", theirs))},
        "measures": alike(pipeline.measure(picture, ours.image)), "tracer": pipeline.tracer,
        "seen": {n: _granted(pipeline.seen(image), wanted)
                 for n, image in ((OURS, ours.image), ("condition alone", drawn))},
        "agreement": {n: pipeline.agreement(image, task, labels)
                      for n, image in ((OURS, ours.image), ("words alone", words))},
    }  # fmt: skip
    pictures = {
        "picture": picture, "asked": asked, OURS: ours.image, "controlnet": theirs.image,
        "inside": inside,
    }  # fmt: skip
    alone = pipeline.redraw(ours, mapped_only=True)
    return values, pictures, {OURS: ours, MAPPED: alone}


def _options() -> dict[str, Any]:
    return {"seed": NOISE, "strength": STRENGTH}


# ---- by how much a result keeps its promise ------------------------------------------------------


def both_count(pipeline: Any, made: Stored) -> float:
    """What the words add to the mask or scribble alone, and it to the words alone.

    The words: the share of what the caption names that the judge sees; the other: `agreement`. The
    sum of both, or the smaller one where it is not above 0.
    """
    seen, agreement = made.values["seen"], made.values["agreement"]
    gains = (
        seen[OURS] - seen["condition alone"],
        agreement[OURS] - agreement["words alone"],
    )
    return float(sum(gains) if min(gains) > 0 else min(gains))


def near(pipeline: Any, made: Stored) -> float:
    """How near the picture is to the renderer's portrait in the style, 1 / LPIPS; 0 where the style
    brings it no nearer."""
    before, after = (
        pipeline.measure(made.pictures[name], made.pictures["truth"]).lpips
        for name in (OURS, "edited")
    )
    return 1 / after if after < before else 0.0


def _granted(seen: Mapping[str, str], wanted: Mapping[str, str]) -> float:
    """The share of what is wanted that the judge sees; 0 where nothing is."""
    return float(np.mean([seen.get(name) == v for name, v in wanted.items()])) if wanted else 0.0


# ---- what is stored as pictures ------------------------------------------------------------------


def labelled(labels: np.ndarray, task: str) -> Image.Image:
    """A mask in the legend's colours, or a scribble in ink on paper; its bytes stay the labels."""
    picture = Image.fromarray(np.ascontiguousarray(labels, np.uint8), "P")
    picture.putpalette((PALETTE if task == MASK else PAPER_AND_INK).tobytes())
    return picture


def reading(entry: Stored) -> StoredReading:
    """What was read, as the page shows it."""
    v, words = entry.values, tuple(entry.values["words"])
    side = entry.pictures["inside"].width
    maps = np.asarray(entry.pictures["inside"], np.float32).reshape(-1, side, side) / 255
    maps = maps * np.array(v["peaks"], np.float32)[:, None, None]
    image = entry.pictures[OURS if OURS in entry.pictures else "edited"]
    count = len(words)
    return StoredReading(
        image, v["t"], words, maps[:count], maps[count], maps[count + 1 :], v["sizes"],
        **v["made"][OURS],
    )  # fmt: skip


def _inside(ours: Any) -> tuple[Image.Image, list[float]]:
    """Maps of the words, their mean and the blocks' features, one below the other, in 256 steps
    up to the largest number of each; and those numbers."""
    maps = np.concatenate([ours.maps, ours.average[None], ours.refined])
    peaks = np.maximum(maps.max((1, 2)), 1e-9)
    steps = np.round(255 * maps / peaks[:, None, None]).clip(0, 255)
    picture = Image.fromarray(steps.reshape(-1, maps.shape[-1]).astype(np.uint8), "P")
    picture.putpalette(GREYS.tobytes())
    return picture, [float(peak) for peak in peaks]
