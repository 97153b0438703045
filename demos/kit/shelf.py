"""The prop shelf: a never-seen portrait with a thing before the face, and its true answers.

The renderer draws the same person with the same thing and one attribute changed: what an edit of
the picture ought to show.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from gradio.components import Component
from PIL import Image

from demos.kit.imaging import refuse
from demos.kit.inputs import FOLLOW, QUIET, Dial, PortraitInput, picture_of
from demos.kit.outputs import Values
from demos.kit.portraits import check_unseen, random_seed, seed_of
from examples.clay.edits import EDITS
from examples.clay.parameters import PROPS
from examples.portraits import room, unseen

NOTHING = PROPS[0]
NAMES = {NOTHING: "nothing", "caption": "lettering"}  # where the renderer's own word is unclear


@dataclass(frozen=True)
class Scene:
    """A portrait of the test split with a thing before the face, as the renderer takes it.

    look in [0, 1]: kind and colour of the thing; shift in [-1, 1]: its place; focus in [0, 1]: of
    the background, 0 behind a portrait lens.
    """

    seed: int
    thing: str = NOTHING
    look: float = 0.5
    shift: float = 0.3
    focus: float = 0.0

    def __post_init__(self) -> None:
        check_unseen(self.seed)
        if self.thing not in PROPS:
            raise refuse(f"The thing must be one of {', '.join(PROPS)}; got {self.thing!r}.")

    @property
    def overrides(self) -> dict[str, Any]:
        staged = {} if self.thing == NOTHING else {"prop_look": self.look, "prop_shift": self.shift}
        return {"prop": self.thing, "focus": self.focus, **staged}

    @property
    def image(self) -> Image.Image:
        return Image.fromarray(_rendered(self).image)

    @property
    def thing_mask(self) -> Image.Image:
        """Where the thing is seen, white on black."""
        return Image.fromarray((255 * _rendered(self).prop_mask).astype(np.uint8))

    @property
    def true_parts(self) -> np.ndarray:
        """A label a pixel, int (H, W): the renderer's own parts, 0 behind, and the thing."""
        truth = _rendered(self)
        return np.where(truth.prop_mask, truth.parts.max() + 1, truth.parts).astype(int)

    @property
    def person(self) -> np.ndarray:
        """Where the person is seen, bool (H, W): neither the background nor the thing."""
        return _rendered(self).parts > 0

    def room(self, edit: str, change: float) -> float:
        """By how much this person changes with one of EDITS, in its own unit: who wears glasses
        cannot put them on."""
        return room(self.seed, edit, change, self.overrides)

    def answer(self, edit: str, change: float) -> Image.Image:
        """The same person and thing with one of EDITS, `change` in its own unit."""
        return Image.fromarray(_rendered(self, edit, change).image)


@functools.lru_cache(maxsize=64)  # a picture goes to several handlers, one after another
def _rendered(scene: Scene, edit: str = "", change: float = 0.0) -> Any:
    from examples.clay import portrait  # numba is imported here, after the page is up

    changed = EDITS[edit].apply(_rendered(scene).parameters, change) if edit else {}
    return portrait(scene.seed, **scene.overrides, **changed)


def scene_of(picture: Image.Image, seed: int | None, *staged: Any) -> Scene | None:
    """The scene when the picture is exactly what the renderer draws of it, else None."""
    if seed is None or not unseen(int(seed)):
        return None
    scene = Scene(int(seed), *staged)
    drawn = scene.image
    return scene if (drawn.size, drawn.tobytes()) == (picture.size, picture.tobytes()) else None


def meant(picture: Image.Image | None, seed: int | None, *staged: Any) -> Image.Image | None:
    """The picture; for a portrait that has just been typed or drawn bare, that with its thing,
    which is on its way."""
    picture = picture_of(picture, seed)
    bare = picture is not None and seed_of(picture, seed) is not None
    return Scene(int(seed), *staged).image if bare else picture


def put(
    seed: int | None, thing: str, look: float, shift: float, focus: float
) -> tuple[Image.Image, int]:
    """A never-seen portrait of a test seed with a thing before the face.

    thing: what, or "none"; look: its kind and colour, from 0 to 1; shift: its place, from -1 to 1;
    focus: of the background, from 0 to 1. Without a seed, of a random one.
    """
    scene = Scene(random_seed() if seed is None else int(seed), thing, look, shift, focus)
    return scene.image, scene.seed


@dataclass(frozen=True)
class Shelf:
    """Its components, which go with a portrait input."""

    thing: gr.Radio
    look: Dial
    shift: Dial
    focus: Dial

    @property
    def outputs(self) -> dict[str, Component]:
        names = ("thing", "look", "shift", "focus")
        return {name: getattr(self, name) for name in names}

    @property
    def inputs(self) -> list[Component]:
        return list(self.outputs.values())


def build(visible: bool, first: Values) -> Shelf:
    """The shelf below a portrait input; only clay heads can be drawn. first: what stands there at
    the start, by name."""
    kinds = [(NAMES.get(prop, prop).capitalize(), prop) for prop in PROPS]
    with gr.Column(visible=visible):
        thing = gr.Radio(
            kinds, value=first.get("thing", "mug"), label="Before the face", elem_classes="pills",
            info="No generator has seen these.",
        )  # fmt: skip
        with gr.Accordion("Kind, place and background", open=False):
            look = Dial(0, 1, first.get("look", 0.5), step=0.01, label="Kind and colour")
            shift = Dial(-1, 1, first.get("shift", 0.3), step=0.05, label="Place, left to right")
            focus = Dial(
                0, 1, first.get("focus", 0), step=0.05, label="Background, blurred to sharp"
            )
    return Shelf(thing, look, shift, focus)


def wire(shelf: Shelf, portrait: PortraitInput, api_name: str) -> None:
    """Put the chosen thing before whichever portrait is drawn."""
    drawn = [portrait.picture, portrait.seed]
    inputs = [portrait.seed, *shelf.inputs]
    shelf.thing.input(put, inputs, drawn, api_name=api_name, show_progress="hidden")

    def again(seed: int | None, *staged: Any) -> Any:
        """The portrait with its thing; an own picture stays as it is."""
        if seed is None or not unseen(int(seed)):
            return gr.skip()
        return Scene(int(seed), *staged).image

    def follow(picture: Image.Image | None, seed: int | None, *staged: Any) -> Any:
        """A portrait that was drawn bare, by its own button or number, gets its thing."""
        if picture is None or seed_of(picture, seed) is None:
            return gr.skip()
        shown = Scene(int(seed), *staged).image
        return gr.skip() if shown.tobytes() == picture.tobytes() else shown

    changes: list[Callable] = [d.input for d in (shelf.look, shelf.shift, shelf.focus)]
    gr.on(changes, again, inputs, portrait.picture, **QUIET, **FOLLOW)
    portrait.picture.change(follow, [portrait.picture, *inputs], portrait.picture, **QUIET)
