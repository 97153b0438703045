"""What one visitor's session holds: an embedded picture, and the edits that are in it, in order.

Editing vectors add up (Sec. 3.4), so one edit can be taken back from the middle: the picture is
made anew from the embedding and the remaining ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from examples.stored import Stored

WHOLE = (0.5, 0.5, 1.0)  # x, y and zoom of a picture that is not cropped
LOW, HIGH = -2.0, 2.0  # of a scale: the paper's slider, and the other way round

Vectors = Mapping[str, Any]  # editing vectors by name
Edits = Mapping[str, tuple[Any, float]]  # vectors with their scales, by name


@dataclass(frozen=True)
class Made:
    """An edit that was optimised here: steps asked for and done; whether it refines the others."""

    steps: int
    steps_done: int
    refinement: bool = False


@dataclass(frozen=True)
class Subject:
    """An embedded picture and its edits; `now` is the embedding or the pipeline's last edit.

    seed is that of a never-seen portrait, else None; crop is x, y and zoom of the input; steps were
    asked for to embed it. made: the edits that were optimised here, by name. sample: the number of
    a picture of the generator's own, else None.
    """

    embedding: Any
    source: Image.Image
    seed: int | None
    crop: tuple[float, float, float]
    edits: Edits
    now: Any
    steps: int = 0
    made: Mapping[str, Made] = field(default_factory=dict)
    sample: int | None = None

    @property
    def base(self) -> Any:
        """The picture as it is, to paint on: the next vector is its own."""
        return self.now.go_on(self.embedding) if self.edits else self.embedding

    @property
    def scales(self) -> dict[str, float]:
        """The edits that are in the picture, by name."""
        return {name: scale for name, (_, scale) in self.edits.items()}

    @property
    def asked(self) -> dict[str, float]:
        """The edits that ask for a change; a refinement only makes them come out better."""
        refining = {name for name, made in self.made.items() if made.refinement}
        return {name: scale for name, scale in self.scales.items() if name not in refining}

    @property
    def from_library(self) -> bool:
        """Whether every change was learnt by the library's recipe, and none painted here."""
        return all(self.edits[name][0].seed is not None for name in self.asked)

    def made_of(self, pipeline: Any, edits: Edits, on_step: Callable | None = None) -> Subject:
        """The same picture with these edits instead, made anew from the embedding."""
        now, strengths = self.embedding, list(edits.values())
        if strengths:
            now = pipeline.apply(self.embedding, strengths, on_step=on_step)
        made = {name: how for name, how in self.made.items() if name in edits}
        return replace(self, edits=dict(edits), now=now, made=made)

    def edited(self, name: str, edit: Any, steps: int, refinement: bool = False) -> Subject:
        """The picture after one more edit, which stands in the history under this name."""
        vector = replace(edit.vector, name=name)
        made = {**self.made, name: Made(steps, len(edit.losses), refinement)}
        return replace(self, edits={**self.edits, name: (vector, 1.0)}, now=edit, made=made)

    def refined(self, name: str, edit: Any, steps: int) -> Subject:
        """The picture after refinement: what that added to the edits is an entry of its own."""
        added = replace(edit.vector, delta=(edit.w - self.now.w)[0])
        return self.edited(name, replace(edit, vector=added), steps, refinement=True)

    def renamed(self, old: str, new: str) -> Subject:
        """The same with one edit under another name, at its place in the history."""
        pairs = [(new if name == old else name, entry) for name, entry in self.edits.items()]
        edits = {name: (replace(vector, name=name), scale) for name, (vector, scale) in pairs}
        made = {new if name == old else name: how for name, how in self.made.items()}
        return replace(self, edits=edits, made=made)


def opened(pipeline: Any, entry: Stored) -> Subject:
    """A stored example as if the visitor had made it; ValueError where the pipeline's generator is
    not the one that it comes from."""
    v = entry.values
    embedding, edit = pipeline.restore(entry.codes, *kept_fields(entry), v["q_edit"])
    # The painted mask is the renderer's, which therefore knows the true answer.
    edit = replace(edit, vector=replace(edit.vector, seed=v["seed"]))
    steps = len(embedding.losses)
    start = Subject(embedding, embedding.source, v["seed"], WHOLE, {}, embedding, steps)
    return start.edited(v["edit"], edit, len(edit.losses))


def kept_fields(entry: Stored) -> tuple[dict[str, Any], dict[str, Any]]:
    """Everything but the codes of a stored example's embedding and of its edit."""
    p, v = entry.pictures, entry.values
    labels = {name: np.array(p[name]) for name in ("mask", "edited-mask", "region")}
    embedding = {"image": p["embedding"], "mask": labels["mask"], "source": p["picture"]}
    edit = {"image": p["edited"], "mask": labels["edited-mask"], "region": labels["region"] > 0}
    numbers = [{**v[key], "losses": tuple(v[key]["losses"])} for key in ("of_embedding", "of_edit")]
    measures = {"measures": SimpleNamespace(**v["of_embedding"]["measures"])}
    return embedding | numbers[0] | measures, edit | numbers[1]


def with_library(edits: Edits, scales: Mapping[str, float], library: Vectors) -> Edits:
    """The edits with the library's sliders moved: a slider at zero takes its vector out."""
    kept = {name: entry for name, entry in edits.items() if name not in library or name in scales}
    moved = {name: (library[name], scale) for name, scale in scales.items() if name in library}
    return {**kept, **moved}


def with_scales(edits: Edits, scales: Mapping[str, float]) -> Edits:
    """The edits with other scales; those that are not named are taken back."""
    return {name: (vector, scales[name]) for name, (vector, _) in edits.items() if name in scales}


def free_name(wanted: str, *taken: Mapping) -> str:
    """The name, or the name with the first number that makes it new."""
    used = {name for names in taken for name in names}
    number, name = 1, wanted
    while name in used:
        number += 1
        name = f"{wanted} {number}"
    return name


def named_after(parts: tuple[str, ...]) -> str:
    """A name for an edit of these parts, such as "upper lip and teeth"."""
    return " and ".join(parts[:2]) + (" and more" if len(parts) > 2 else "")
