"""What several pages share: checked inputs, portrait input, loss curve, words, downloads."""

from __future__ import annotations

import html
import json
import math
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from demos.bridge import Progress
from demos.faces import face_panel, wire_faces
from demos.pictures import SIDE, open_picture, refuse, squared
from demos.portraits import DOMAIN, never_seen, random_seed, seeds_of

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
    """A gallery input whose handlers get a list of RGB PIL pictures."""

    is_template = True

    def preprocess(self, payload: Any) -> list[Image.Image]:
        items = payload.root if payload is not None else []
        return [
            open_picture(getattr(item, "image", None) and item.image.path or "") for item in items
        ]


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


@dataclass(frozen=True)
class PortraitInput:
    """A picture with its square crop.

    `inputs` are what a handler takes: picture, x, y, zoom; `origin` has the seed besides.
    """

    picture: Picture
    x: Dial
    y: Dial
    zoom: Dial
    seed: gr.Number
    button: gr.Button

    @property
    def inputs(self) -> list[gr.components.Component]:
        return [self.picture, self.x, self.y, self.zoom]

    @property
    def origin(self) -> list[gr.components.Component]:
        return [*self.inputs, self.seed]


def aligned(
    picture: Image.Image | None, x: float, y: float, zoom: float, side: int = SIDE
) -> Image.Image:
    """The square that the networks will see; raises `gr.Error` when there is no picture."""
    if picture is None:
        raise refuse("There is no picture yet. Upload one, or take a never-seen portrait.")
    return squared(picture, x, y, zoom, side)


def portrait_input(
    label: str,
    alt: str,
    api_name: str | None = None,
    value: Image.Image | None = None,
    seed_value: int | None = None,
    domain: str = DOMAIN,
    align_api: str | None = None,
    side: int = SIDE,
    faces: bool = True,
) -> PortraitInput:
    """A picture input with a never-seen button, a seed box and a crop by hand to `side` px.

    An own picture is replaced by its face, aligned as the pictures of `domain` are, where these
    show `faces`. Only clay heads can be drawn never seen. With `api_name`
    drawing a never-seen portrait is a public endpoint, with `align_api` the alignment.
    """
    picture = Picture(
        value, label=label, sources=SOURCES, alt_text=alt, height=366, format="png",
        elem_classes="filled", buttons=["fullscreen"],
    )  # fmt: skip
    with gr.Row(equal_height=True, visible=domain == DOMAIN):
        button = gr.Button("Never-seen portrait", size="md", min_width=140)
        seed = gr.Number(
            seed_value, label="Test seed", precision=0, min_width=140, placeholder="random"
        )
    panel = face_panel(domain, faces)
    with gr.Accordion("Crop by hand", open=False):
        what = "head" if faces else "subject"
        gr.Markdown(f"The networks see one square. Move it so that the {what} fills it.")
        x = Dial(0, 1, 0.5, step=0.01, label="Square, from left")
        y = Dial(0, 1, 0.5, step=0.01, label="Square, from top")
        zoom = Dial(1, 4, 1, step=0.05, label="Zoom")
        seen = gr.Image(
            value, label="What the networks see", interactive=False, height=220, format="png",
            alt_text="The square crop of the picture above.", buttons=[], elem_classes="filled",
        )  # fmt: skip
    portrait = PortraitInput(picture, x, y, zoom, seed, button)
    _wire_portrait(portrait, seen, api_name, side)
    replaced = [button.click, seed.submit]
    wire_faces(panel, picture, [x, y, zoom], replaced, QUIET, align_api)
    return portrait


def _wire_portrait(
    portrait: PortraitInput, seen: gr.Image, api_name: str | None, side: int
) -> None:
    drawn = [portrait.picture, portrait.seed]

    def draw(seed: int | None) -> tuple[Image.Image, int]:
        """A never-seen portrait of a test seed; without a seed, of a random one."""
        number = random_seed() if seed is None else int(seed)
        return never_seen(number), number

    portrait.button.click(lambda: draw(None), None, drawn, **QUIET)
    portrait.seed.submit(
        draw, portrait.seed, drawn, api_name=api_name,
        api_visibility="public" if api_name else "private",
    )  # fmt: skip
    portrait.picture.input(lambda: None, None, portrait.seed, **QUIET)
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
    domain: str = DOMAIN,
    seeds: Sequence[int] = (),
) -> tuple[Pictures, gr.State]:
    """Up to `most` pictures; for clay heads with a button that adds a never-seen portrait.

    The state holds the seeds of the portraits drawn into the gallery; `seeds`, those in `value`.
    """
    gallery = Pictures(
        list(value) or None, label=label, columns=columns, height=366, object_fit="contain",
        file_types=["image"], sources=SOURCES, buttons=[], format="png", interactive=True,
    )  # fmt: skip
    button = gr.Button("Add a never-seen portrait", size="md", visible=domain == DOMAIN)
    drawn = gr.State(list(seeds))

    def add(pictures: list[Image.Image], drawn: list[int]) -> tuple[list[tuple], list[int]]:
        if len(pictures) >= most:
            raise refuse(f"{most} pictures are the most here. Remove one first.")
        seed = random_seed()
        still = [there for there in seeds_of(pictures, drawn) if there is not None]  # not taken out
        shown = [*((p, "") for p in pictures), (never_seen(seed), f"seed {seed}")]
        return shown, [*still, seed]

    button.click(add, [gallery, drawn], [gallery, drawn], **QUIET)
    return gallery, drawn


def at_most(
    pictures: Sequence[Image.Image], most: int, what: str, side: int = SIDE
) -> list[Image.Image]:
    """The pictures, squares of `side` px; raises `gr.Error` when there are none or too many."""
    if not 1 <= len(pictures) <= most:
        raise refuse(f"Give 1 to {most} {what}; got {len(pictures)}.")
    return [squared(picture, side=side) for picture in pictures]


def run_buttons(label: str, fewest: int = 0, most: int = 300, steps: int = 100) -> tuple:
    """Steps dial, a run button and a Stop button."""
    dial = Dial(fewest, most, steps, step=10, label="Optimisation steps")
    with gr.Row():
        run = gr.Button(label, variant="primary", scale=3)
        halt = gr.Button("Stop", variant="stop", scale=1, min_width=90)
    return dial, run, halt


def stop_button(halt: gr.Button, stop: gr.State, *runs: gr.Button) -> None:
    """Let `halt` stop what each of `runs` starts, also while that still waits in the queue.

    To be called before they get their listeners: a page sends a click's events one after another.
    """
    at_once: dict[str, Any] = {"queue": False, "api_visibility": "private"}
    halt.click(lambda s: s.press(), stop, None, **at_once)
    for run in runs:
        run.click(lambda s: s.ask(), stop, None, **at_once)


def step_count(losses: Sequence[float]) -> str:
    """How many steps have a loss, in words."""
    return "1 step" if len(losses) == 1 else f"{len(losses)} steps"


def curve(losses: Sequence[float]) -> str:
    """The loss curve as inline SVG, described in words for those who cannot see it."""
    losses = [v for v in losses if math.isfinite(v)]
    if len(losses) < 2:
        return ""
    low, high = min(losses), max(losses)
    span = (high - low) or 1.0
    points = " L".join(
        f"{100 * i / (len(losses) - 1):.2f} {96 - 92 * (v - low) / span:.2f}"
        for i, v in enumerate(losses)
    )
    words = f"Loss from {losses[0]:.4g} to {losses[-1]:.4g} in {len(losses)} steps"
    return f"""<div class="curve"><figure><svg viewBox="0 0 100 100" preserveAspectRatio="none"
role="img" aria-label="{words}"><line x1="0" y1="99" x2="100" y2="99"/><path d="M{points}"/></svg>
<figcaption><span>{losses[0]:.4g}</span><span>loss, {len(losses)} steps</span>
<span>{losses[-1]:.4g}</span></figcaption></figure></div>"""


def running(progress: Progress) -> str:
    """A running stage in words, with its loss curve."""
    share = 100 * progress.index / max(progress.total, 1)
    return f"""<div role="status">{said(progress.words)}<div class="meter"><i style="width:
{share:.1f}%"></i></div>{curve(progress.losses)}</div>"""


def said(*sentences: str, outside: bool = False) -> str:
    """Sentences for the visitor; the caller escapes what is not its own."""
    kind = "said outside" if outside else "said"
    return "".join(f'<p class="{kind}">{sentence}</p>' for sentence in sentences)


def run_options(report: gr.HTML) -> dict[str, Any]:
    """Listener options of a long run: one at a time, the place in the queue shown at `report`."""
    return GPU | {"show_progress": "minimal", "show_progress_on": [report]}


def decibels(psnr: float) -> str:
    """A PSNR as a number; equal pictures have an infinite one."""
    return f"{psnr:.1f} dB" if math.isfinite(psnr) else "∞ dB"


def compared(measures: Any, first: str, second: str) -> str:
    """How alike two pictures are, in words and numbers."""
    pixels = _grade(measures.psnr, (30, "almost equal"), (24, "close"), (18, "roughly alike"))
    # On validation portraits a shift of 2 px is 0.4 away, a blur of 2 px 0.9, nineteen strangers
    # in twenty 2.8 or more.
    look = _grade(-measures.lpips, (-0.4, "the same"), (-0.9, "similar"), (-2.8, "related"))
    return said(
        f"Pixel for pixel, {first} and {second} are <b>{pixels or 'far apart'}</b> "
        f"({decibels(measures.psnr)}); to the eye they look <b>{look or 'different'}</b> "
        f"(LPIPS {measures.lpips:.3f}); on who it is: {same_person(measures.identity)}."
    )


# Cosines of the shipped judge that one in a thousand, and in a hundred, pairs of strangers exceed.
SAME, PERHAPS = 0.65, 0.52


def same_person(identity: float | None, graded: bool = True) -> str:
    """The judge's cosine between two portraits as a number, and in words that clay heads graded."""
    if identity is None:
        why = "it cannot tell people apart reliably yet" if graded else "there is none here"
        return f"<b>no verdict</b> ({why})"
    if not graded:
        return f"identity {identity:.2f}, from -1 to 1; no words are calibrated for this judge"
    word = _grade(identity, (SAME, "the same person"), (PERHAPS, "perhaps the same person"))
    return f"<b>{word or 'another person'}</b> (identity {identity:.2f})"


def _grade(value: float, *grades: tuple[float, str]) -> str:
    return next((word for least, word in grades if value >= least), "")


_OUTSIDE = "<b>outside the domain</b>: the networks know clay portraits only"


def faithful(fidelity: Any) -> str:
    """How faithful an inversion is, and honestly when the picture is outside the domain."""
    words = (
        f"The inversion is <b>{html.escape(fidelity.words)}</b>: pixel for pixel as far from the "
        f"picture as the picture blurred by {fidelity.blur:.1%} of its side."
    )
    if fidelity.inside is None:
        return said(f"{words} Whether the picture is inside the domain is not calibrated here.")
    if fidelity.inside:
        return said(words)
    return said(
        f"{words} This picture is {_OUTSIDE}, so the result is the nearest clay portrait, not this "
        "picture.",
        outside=True,
    )


def strangers(pipeline: Any, inputs: Mapping[str, tuple[Image.Image, Any]]) -> str:
    """Which inputs are outside the domain, in a sentence; nothing when all are inside.

    inputs: pictures by what the visitor calls them, each with any inversion, on which whether the
    picture is inside does not depend.
    """
    found = {name: pipeline.fidelity(*given).inside for name, given in inputs.items()}
    if None in found.values():
        return said("Whether the pictures are inside the domain is not calibrated here.")
    names = [name for name, inside in found.items() if not inside]
    if not names:
        return ""
    *others, last = names
    listed = f"{', '.join(others)} and {last}" if others else last
    listed = f"{listed[:1].upper()}{listed[1:]} {'are' if others else 'is'}"
    return said(f"{listed} {_OUTSIDE}.", outside=True)


def take_home(api_name: str, first: Keepsake | None = None) -> tuple[gr.State, gr.File]:
    """Files of the last result; `first`, of the one that the page starts with, if any.

    The state holds a `Keepsake` or None.
    """
    keep = gr.State(first)
    with gr.Accordion("Take it with you", open=False):
        with gr.Row(equal_height=True):
            sidecar = gr.Checkbox(label="With the parameters as JSON", value=False, scale=2)
            button = gr.Button("Prepare the files", scale=1, size="md")
        files = gr.File(label="Files", show_label=False, file_count="multiple", interactive=False)

    def prepare(keepsake: Keepsake | None, with_parameters: bool) -> list[str]:
        """Pictures and latent codes (.safetensors) of this session's last result, as files."""
        if keepsake is None:
            raise refuse("There is no result yet. Run the page first.")
        return keepsake.write(with_parameters)

    button.click(prepare, [keep, sidecar], files, api_name=api_name, show_progress="hidden")
    return keep, files


@dataclass(frozen=True)
class Keepsake:
    """What a visitor may take home: pictures and codes by file name, and the parameters.

    codes: those of a stored result stay in their file, which is handed out as it is.
    """

    pictures: Mapping[str, Image.Image]
    codes: Mapping[str, Any] | Path
    parameters: Mapping[str, Any]

    def write(self, with_parameters: bool) -> list[str]:
        """The files' paths. JSON is written on request only; nothing is hidden in a picture."""
        folder = fresh_folder()
        paths = [folder / f"{name}.png" for name in self.pictures]
        for path, picture in zip(paths, self.pictures.values(), strict=True):
            picture.save(path)
        if self.codes:
            paths.append(folder / "latent.safetensors")
            self._write_codes(paths[-1])
        if with_parameters:
            paths.append(folder / "parameters.json")
            paths[-1].write_text(json.dumps(dict(self.parameters), indent=2))
        return [str(path) for path in paths]

    def _write_codes(self, path: Path) -> None:
        if isinstance(self.codes, Path):
            shutil.copyfile(self.codes, path)
        else:
            save_file({name: np.asarray(w) for name, w in self.codes.items()}, path)


_FILES = tempfile.TemporaryDirectory(prefix="gan-inversion-")


def fresh_folder() -> Path:
    """A new folder for files to hand out; folders older than an hour are emptied."""
    for folder in Path(_FILES.name).iterdir():
        if time.time() - folder.stat().st_mtime > 3600:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
    return Path(tempfile.mkdtemp(dir=_FILES.name))


def bibtex(entry: str) -> None:
    """An accordion with a citation to copy."""
    with gr.Accordion("Cite the paper", open=False):
        gr.Code(entry, language=None, label="BibTeX", interactive=False)
