"""Stored scenes: a portrait with a thing before the face, inverted and edited, at the page's start.

To show one, no network runs and nothing is rendered. The first thing that a visitor does with it
goes on as if the visitor had made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
from gradio.components import Component
from PIL import Image

from demos.kit import stored
from demos.kit.downloads import Keepsake
from demos.kit.outputs import Values
from demos.kit.runs import mark
from demos.kit.shelf import Scene
from demos.sam_inversion import edit, invert, maps
from demos.sam_inversion.chart import figure
from demos.sam_inversion.invert import OPTIMISE, OTHER
from demos.sam_inversion.latents import opened
from demos.sam_inversion.maps import PARSER
from demos.sam_inversion.session import SAM, Seen, Subject
from demos.sam_inversion.setting import CLAY_HEADS, LABELS
from demos.sam_inversion.tables import table
from examples.sam_inversion.results import RIVAL, StoredMaps
from examples.stored import Stored

WHOLE = (0.5, 0.5, 1)
STAGED = ("thing", "look", "shift", "focus")


def page(entry: Stored) -> dict[str, Any]:
    """Everything that a stored scene puts on the page, by name."""
    v, p = entry.values, entry.pictures
    seen = _seen(entry)
    subject = _subject(entry, seen)
    (left, right), names = invert.pair_of(subject, OTHER)
    edits = {name: p[f"edited-{name}"] for name in (RIVAL, SAM)}
    return {
        "picture": p["picture"], "seed": v["seed"], **{name: v[name] for name in STAGED},
        **dict(zip(("x", "y", "zoom"), WHOLE, strict=True)), "of": mark(p["picture"], *WHOLE),
        "looked": mark(p["picture"], *WHOLE, PARSER), "segments": PARSER, "seen": seen,
        "view": opened(p["picture"], seen.maps, v["tau"], seen.session, _labels(p["person"]) > 0),
        "report": maps.report(seen.maps, PARSER, v["seconds"]),
        "how": OPTIMISE, "rival": RIVAL, "steps": v["steps"], "regularise": True,
        "subject": subject, "pair": (left, right), "names": names, "side": OTHER,
        "chart": figure(subject.curves), "table": table(subject),
        "edit": v["edit"], "strength": v["strength"], "other": edits[RIVAL], "sam": edits[SAM],
        "truth": p["truth"], "words": _verdict(entry, seen, edits),
        "keep": _kept(entry, subject, edits),
    }  # fmt: skip


def _seen(entry: Stored) -> Seen:
    """The picture and its map, as a session holds them."""
    v, p = entry.values, entry.pictures
    errors = np.stack([_labels(picture) for picture in entry.row("error")]) * (v["white"] / 255)
    found = StoredMaps(
        tuple(v["latents"]), errors, _labels(p["segments"]), np.array(v["means"], np.float32),
        v["white"],
    )  # fmt: skip
    scene, thing = Scene(v["seed"], *(v[name] for name in STAGED)), _labels(p["thing"]) > 0
    session = f"stored {v['seed']}"
    return Seen(p["picture"], found, scene, WHOLE, PARSER, session, thing if thing.any() else None)


def _subject(entry: Stored, seen: Seen) -> Subject:
    """Both inversions as they are shown; what can be edited of them is in the entry's file."""
    v, p = entry.values, entry.pictures
    parameters = {
        **seen.origin, "how": OPTIMISE, "rival": RIVAL, "steps": v["steps"], "regularise": True,
        "tau": v["tau"], "by_hand": 0,
    }  # fmt: skip
    chosen = _labels(p["latents"]).astype(np.uint8)
    methods = {SAM: (chosen, "optimised"), RIVAL: (np.zeros_like(chosen), RIVAL)}
    sam, other = (
        SimpleNamespace(
            image=p[name], measures=SimpleNamespace(**v["numbers"][name]), method=method,
            seconds=v["numbers"][name]["seconds"], losses=tuple(v["numbers"][name]["losses"]),
            latent_map=latent_map, latents=seen.maps.latents,
        )
        for name, (latent_map, method) in methods.items()
    )  # fmt: skip
    labels = {SAM: invert.label_of(parameters), RIVAL: LABELS[RIVAL]}
    curves = {labels[name]: tuple(map(tuple, points)) for name, points in v["curves"].items()}
    return Subject(seen, sam, RIVAL, other, curves, parameters, entry=entry)


def _verdict(entry: Stored, seen: Seen, edits: Mapping[str, Image.Image]) -> str:
    v = entry.values
    found = {name: SimpleNamespace(**numbers) for name, numbers in v["verdict"].items()}
    attribute = CLAY_HEADS.attribute(v["edit"])
    words = edit.against(seen, edits, found, entry.pictures["truth"])
    return edit.in_words(attribute, v["change"]) + words


def _kept(entry: Stored, subject: Subject, edits: Mapping[str, Image.Image]) -> Keepsake:
    pictures = invert.pictures_of(subject) | {f"edited-{n}": image for n, image in edits.items()}
    told = {"edit": {entry.values["edit"]: entry.values["change"]}}
    parameters, about = {**subject.parameters, **told}, CLAY_HEADS.about()
    return Keepsake(pictures, entry.codes, parameters, about, titles=invert.TITLES)


def _labels(picture: Image.Image) -> np.ndarray:
    """The numbers that a picture of labels holds."""
    return np.array(picture).astype(int)


def wire(names: gr.HTML | None, found: list[Stored], outputs: Mapping[str, Component]) -> None:
    """Choosing a stored scene by its name puts all of it on the page."""
    if names is None:
        return

    def show(entry: Stored) -> Values:
        values = page(entry)
        label = f"{LABELS[RIVAL]}, edited"
        return values | {
            "view": gr.update(**values["view"]),
            "pair": gr.update(value=values["pair"], label=values.pop("names")),
            "other": gr.update(value=values["other"], label=label, visible=True),
            "truth": gr.update(value=values["truth"], visible=True),
        }

    stored.wire(names, found, show, outputs)
