"""What several pages share: checked inputs, portrait and gallery input."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from demos.kit.bridge import CLAY
from demos.kit.faces import face_panel, wire_faces
from demos.kit.imaging import KEPT_OF_MANY, SIDE, open_picture, refuse, squared
from demos.kit.portraits import TEST, drawn_seed, never_seen, random_seed, seeds_of

SOURCES = ["upload", "webcam", "clipboard"]

# Listener options: all heavy work waits in one queue; small updates are silent and not in the API.
GPU = {"concurrency_id": "gpu", "concurrency_limit": 1, "show_progress": "hidden"}
QUIET = {"api_visibility": "private", "show_progress": "hidden"}
FOLLOW = {"trigger_mode": "always_last"}  # a dragged slider: the last position counts


class Picture(gr.Image):
    """An image input whose handlers get an RGB PIL picture, or the page a clear error."""

    is_template = True

    def preprocess(self, payload: Any) -> Image.Image | None:
        if payload is None:
            return None
        if not payload.path:
            raise refuse("The picture must be an uploaded file.")
        return open_picture(payload.path)


class Pictures(gr.Gallery):
    """A gallery input whose handlers get a list of RGB PIL pictures, `most` at most."""

    is_template = True
    most = 12

    def preprocess(self, payload: Any) -> list[Image.Image]:
        items = payload.root if payload is not None else []
        if len(items) > self.most:  # before any is decoded
            raise refuse(f"{self.most} pictures are the most here; got {len(items)}. Remove some.")
        paths = [getattr(item, "image", None) and item.image.path or "" for item in items]
        opened = {path: open_picture(path, KEPT_OF_MANY) for path in dict.fromkeys(paths)}
        return [opened[path] for path in paths]


class Dial(gr.Slider):
    """A slider that refuses what is not a finite number within its limits."""

    is_template = True

    def preprocess(self, payload: Any) -> float:
        number = payload if isinstance(payload, int | float) else math.nan
        if not (math.isfinite(number) and self.minimum <= number <= self.maximum):
            raise refuse(
                f"{self.label} must be a number from {self.minimum:g} to {self.maximum:g}; "
                f"got {payload}."
            )
        return super().preprocess(number)


class Seed(gr.Number):
    """The box of a portrait's number, which the browser keeps within its limits (`page.js`).

    A number beside an own picture means nothing, so that handlers get it whatever it is.
    """

    is_template = True

    def preprocess(self, payload: float | None) -> int | None:
        if payload is None or not math.isfinite(payload):
            return None
        return round(payload)


@dataclass(frozen=True)
class PortraitInput:
    """A picture with its square crop.

    `inputs` are what a handler takes: picture, x, y, zoom; `origin` has the seed besides. other:
    the button of another source of pictures, where the page has one.
    """

    picture: Picture
    x: Dial
    y: Dial
    zoom: Dial
    seed: gr.Number
    button: gr.Button
    other: gr.Button | None = None

    @property
    def inputs(self) -> list[gr.components.Component]:
        return [self.picture, self.x, self.y, self.zoom]

    @property
    def origin(self) -> list[gr.components.Component]:
        return [*self.inputs, self.seed]

    @property
    def brought(self) -> list[Callable]:
        """The events by which a visitor brings another picture."""
        more = [self.other.click] if self.other else []
        own = [self.picture.input, self.picture.upload]
        return [*own, self.button.click, self.seed.input, self.seed.submit, *more]

    @property
    def named(self) -> dict[str, gr.components.Component]:
        """`origin` by name."""
        return dict(zip(("picture", "x", "y", "zoom", "seed"), self.origin, strict=True))

    @staticmethod
    def meant(
        picture: Image.Image | None, x: float, y: float, zoom: float, seed: int | None
    ) -> tuple[Image.Image | None, float, float, float]:
        """What values of `origin` stand for: a seed that has just been typed, for its portrait."""
        return picture_of(picture, seed), x, y, zoom


def aligned(
    picture: Image.Image | None, x: float, y: float, zoom: float, side: int = SIDE
) -> Image.Image:
    """The square that the networks will see; raises `gr.Error` when there is no picture."""
    if picture is None:
        raise refuse("There is no picture yet. Upload one, or press New portrait.")
    return squared(picture, x, y, zoom, side)


def picture_of(picture: Image.Image | None, seed: int | None) -> Image.Image | None:
    """The picture; the portrait of a seed that has just been typed, where there is none yet or it
    is still that of another number."""
    typed = seed is not None and (picture is None or drawn_seed(picture) not in (None, seed))
    return never_seen(seed) if typed else picture


def portrait_input(
    label: str,
    alt: str,
    api_name: str | None = None,
    value: Image.Image | None = None,
    seed_value: int | None = None,
    domain: str = CLAY,
    align_api: str | None = None,
    side: int = SIDE,
    faces: bool = True,
    new_seed: Callable[[], int] = random_seed,
    other: str = "",
) -> PortraitInput:
    """A picture input with a never-seen button, a seed box and a crop by hand to `side` px.

    An own picture is replaced by its face, aligned as the pictures of `domain` are, where these
    show `faces`. Only clay heads can be drawn never seen. With `api_name`
    drawing a never-seen portrait is a public endpoint, with `align_api` the alignment. new_seed:
    whose portrait the button draws. other: the name of one more button beside it, whose pictures
    the page puts there itself.
    """
    picture = Picture(
        value, label=label, sources=SOURCES, alt_text=alt, height=366, format="png",
        elem_classes=["filled", "portrait"], buttons=["fullscreen"],
    )  # fmt: skip
    with gr.Row(equal_height=True, visible=domain == CLAY):
        button = gr.Button("New portrait", size="md", min_width=140)
        seed = Seed(
            seed_value, label="Portrait number", precision=0, min_width=140, placeholder="random",
            minimum=TEST.start, maximum=TEST.stop - 1, elem_classes="seed",
        )  # fmt: skip
        more = gr.Button(other, size="md", min_width=260) if other else None
    panel = face_panel(domain, faces)
    with gr.Accordion("Crop by hand", open=False, elem_classes="fine"):
        what = "head" if faces else "subject"
        gr.Markdown(f"The networks see one square. Move it so that the {what} fills it.")
        x = Dial(0, 1, 0.5, step=0.01, label="Square, from left")
        y = Dial(0, 1, 0.5, step=0.01, label="Square, from top")
        zoom = Dial(1, 4, 1, step=0.05, label="Zoom")
        seen = gr.Image(
            value, label="What the networks see", interactive=False, height=220, format="png",
            alt_text="The square crop of the picture above.", buttons=[], elem_classes="filled",
        )  # fmt: skip
    portrait = PortraitInput(picture, x, y, zoom, seed, button, more)
    _wire_portrait(portrait, seen, api_name, side, new_seed)
    replaced = [button.click, seed.submit, seed.input, *([more.click] if more else [])]
    wire_faces(panel, picture, {"x": x, "y": y, "zoom": zoom}, replaced, QUIET, align_api)
    return portrait


def _wire_portrait(
    portrait: PortraitInput,
    seen: gr.Image,
    api_name: str | None,
    side: int,
    new_seed: Callable[[], int],
) -> None:
    shown = [portrait.picture, portrait.seed]

    def draw(seed: int | None) -> tuple[Image.Image, int]:
        """A never-seen portrait of a test seed; without a seed, of a random one."""
        number = new_seed() if seed is None else int(seed)
        return never_seen(number), number

    portrait.button.click(lambda: draw(None), None, shown, **QUIET)
    # A typed number counts at once: no run may take the picture that was there before.
    emptied = "(seed, picture) => seed == null ? picture : null"
    portrait.seed.input(None, [portrait.seed, portrait.picture], portrait.picture, js=emptied)
    portrait.seed.input(  # the box is the visitor's, who may have typed on
        lambda seed: gr.skip() if seed is None else draw(seed)[0], portrait.seed, portrait.picture,
        **QUIET, **FOLLOW,
    )  # fmt: skip
    portrait.seed.submit(
        draw, portrait.seed, shown, api_name=api_name,
        api_visibility="public" if api_name else "private",
    )  # fmt: skip
    portrait.picture.input(lambda: None, None, portrait.seed, **QUIET)
    # What cannot be opened is said, and does not stay.
    opening = portrait.picture.upload(lambda picture: None, portrait.picture, None, **QUIET)
    opening.failure(lambda: None, None, portrait.picture, **QUIET)
    changes = [
        portrait.picture.change,
        *(d.input for d in (portrait.x, portrait.y, portrait.zoom)),
    ]
    gr.on(
        changes,
        lambda picture, *crop: picture and squared(picture, *crop, side),
        portrait.inputs,
        seen,
        **QUIET,
    )


def gallery_input(
    label: str,
    most: int,
    columns: int = 2,
    value: Sequence[Image.Image] = (),
    domain: str = CLAY,
    seeds: Sequence[int] = (),
) -> tuple[Pictures, gr.State]:
    """Up to `most` pictures; for clay heads with a button that adds a never-seen portrait.

    The state holds the seeds of the portraits drawn into the gallery; `seeds`, those in `value`.
    """
    gallery = Pictures(
        list(value) or None, label=label, columns=columns, height=366, object_fit="contain",
        file_types=["image"], sources=SOURCES, buttons=[], format="png", interactive=True,
        elem_classes="portrait",
    )  # fmt: skip
    gallery.most = most
    button = gr.Button("Add a new portrait", size="md", visible=domain == CLAY)
    drawn = gr.State(list(seeds))

    def add(pictures: list[Image.Image], drawn: list[int]) -> tuple[list[tuple], list[int]]:
        if len(pictures) >= most:
            raise refuse(f"{most} pictures are the most here. Remove one first.")
        seed = random_seed()
        still = [there for there in seeds_of(pictures, drawn) if there is not None]  # not taken out
        shown = [*((p, "") for p in pictures), (never_seen(seed), f"seed {seed}")]
        return shown, [*still, seed]

    button.click(add, [gallery, drawn], [gallery, drawn], **QUIET)
    gallery.upload(lambda pictures: None, gallery, None, **QUIET)  # what cannot be opened is said
    return gallery, drawn


def at_most(
    pictures: Sequence[Image.Image], most: int, what: str, side: int = SIDE
) -> list[Image.Image]:
    """The pictures, squares of `side` px; raises `gr.Error` when there are none or too many."""
    if not 1 <= len(pictures) <= most:
        raise refuse(f"Give 1 to {most} {what}; got {len(pictures)}.")
    return [squared(picture, side=side) for picture in pictures]


def halt_button() -> gr.Button:
    """Stop beside a run button, which cannot be pressed while nothing waits or runs."""
    return gr.Button("Stop", variant="stop", scale=1, min_width=90, interactive=False)


def stop_button(halt: gr.Button, stop: gr.State, *runs: gr.Button) -> None:
    """Let `halt` stop what each of `runs` starts, also while that still waits in the queue.

    To be called before they get their listeners: a page sends a click's events one after another.
    """
    at_once: dict[str, Any] = {"queue": False, "api_visibility": "private"}
    halt.click(lambda s: s.press(), stop, None, **at_once)
    for run in runs:
        run.click(lambda s: s.ask() or gr.update(interactive=True), stop, halt, **at_once)
