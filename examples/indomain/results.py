"""Results of in-domain inversion to store, each computed by the real pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from PIL import Image

from examples.portraits import rendered
from examples.stored import Stored, StoredResults, alike, new_file

STORED = StoredResults(
    "indomain",
    ("diffuse", "invert", "interpolate", "manipulate", "mix"),
    ("clay-heads/generator",),
)
STEPS = 100  # of an optimisation
MIX_STEPS = 50  # colours need fewer than a likeness
MIX_LAYERS = 4  # from the style, as in the paper
PUBLISHED_CROP = (0.49, 0.57, 0.43, 0.43)  # centre and size: 110 px at (125, 145) of 256 px
METHODS = ("conventional", "domain-guided", "image2stylegan", "in-domain")


def diffuse(pipeline: Any, name: str, seeds: Sequence[int]) -> Stored:
    """The first portrait is the target, the others are the contexts."""
    target, *contexts = map(rendered, seeds)
    x, y, width, height = PUBLISHED_CROP
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    result = pipeline.diffuse(target, contexts, box, steps=STEPS)
    other = pipeline.diffuse(target, contexts, box, method="image2stylegan", steps=STEPS)
    kept, whole = pipeline.measure_within(target, result.images[0], box)
    shown = {"target-1": target}
    for stem, row in (
        ("context", contexts), ("stitched", result.stitched), ("encoded", result.encoded),
        ("diffused", result.images), ("rival", other.images),
    ):  # fmt: skip
        shown |= {f"{stem}-{i}": picture for i, picture in enumerate(row, 1)}
    for i, way in enumerate(result.intermediate, 1):
        shown |= {f"way-{i}-{k}": picture for k, picture in enumerate(way, 1)}
    values = {
        "seed": seeds[0], "seeds": {"contexts": list(seeds[1:])}, "crop": PUBLISHED_CROP,
        "losses": result.losses, "seconds": result.seconds, "psnr": kept.psnr, "lpips": kept.lpips,
        "identity": whole.identity,
    }  # fmt: skip
    return Stored(name, values, shown)


def invert(pipeline: Any, name: str, seeds: Sequence[int]) -> Stored:
    """The portrait, inverted by every method."""
    picture = rendered(seeds[0])
    found = {method: pipeline.invert(picture, method=method, steps=STEPS) for method in METHODS}
    values = {
        "seed": seeds[0],
        "numbers": {
            method: alike(inversion.measures) | {"seconds": inversion.seconds}
            for method, inversion in found.items()
        },
        "fidelity": asdict(pipeline.fidelity(picture, found["in-domain"])),
    }
    shown = {"picture-1": picture} | {f"{method}-1": i.image for method, i in found.items()}
    return Stored(name, values, shown)


def interpolate(pipeline: Any, name: str, seeds: Sequence[int]) -> Stored:
    """Seven pictures between two portraits, by two methods."""
    portraits = [rendered(seed) for seed in seeds]
    shown = {"first-1": portraits[0], "second-1": portraits[1]}
    for method in ("in-domain", "image2stylegan"):
        ends = [pipeline.invert(picture, method=method, steps=STEPS) for picture in portraits]
        frames = pipeline.interpolate(*ends, count=7)
        shown |= {f"{method}-{k}": frame for k, frame in enumerate(frames, 1)}
    return Stored(name, {"seeds": list(seeds)}, shown)


def manipulate(pipeline: Any, name: str, seed: int, changes: Mapping[str, float]) -> Stored:
    """The portrait, inverted, with attributes changed, and the true answer."""
    picture, truth = rendered(seed), rendered(seed, changes)
    inversion = pipeline.invert(picture, steps=STEPS)
    edited = pipeline.manipulate(inversion, changes)
    values = {
        "seed": seed, "changes": dict(changes), "method": inversion.method,
        "seconds": inversion.seconds, "losses": inversion.losses,
        "measures": alike(pipeline.measure(edited, truth)),
        "fidelity": asdict(pipeline.fidelity(picture, inversion)),
    }  # fmt: skip
    shown = {"picture": picture, "inverted": inversion.image, "edited": edited, "truth": truth}
    # The edited picture's code goes along with it to other parts, so that none is searched again.
    changed = replace(inversion, w=pipeline.changed(inversion, changes), image=edited)
    codes = pipeline.keep(new_file(), {"w": inversion, "edited": changed})
    return Stored(name, values, shown, codes)


def mix(
    pipeline: Any,
    name: str,
    contents: Sequence[int],
    styles: Sequence[int],
    layers: int = MIX_LAYERS,
) -> Stored:
    """Every portrait of contents with the colours and the light of every portrait of styles."""
    seeds = {f"content-{i}": seed for i, seed in enumerate(contents, 1)}
    seeds |= {f"style-{i}": seed for i, seed in enumerate(styles, 1)}
    shown: dict[str, Image.Image] = {key: rendered(seed) for key, seed in seeds.items()}
    found = {key: pipeline.invert(face, steps=MIX_STEPS) for key, face in shown.items()}
    shown |= {f"inverted-{key}": inversion.image for key, inversion in found.items()}
    for i in range(1, len(styles) + 1):
        for j in range(1, len(contents) + 1):
            pair = found[f"content-{j}"], found[f"style-{i}"]
            shown[f"mix-{i}-{j}"] = pipeline.mix(*pair, layers=layers)
    values = {
        "layers": layers, "method": found["content-1"].method,
        "seconds": {key: inversion.seconds for key, inversion in found.items()},
        "seeds": {"contents": list(contents), "styles": list(styles)},
    }  # fmt: skip
    return Stored(name, values, shown, pipeline.keep(new_file(), found))
