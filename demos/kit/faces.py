"""The face in an own picture: found, aligned as the domain's pictures are, chosen among several.

The page shows the aligned crop in place of the upload, so that every handler gets it; the upload
is kept beside it and comes back when the visitor wants the picture as it is.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from demos.kit.imaging import SIDE
from demos.kit.outputs import Values, filling

CROP = 4 * SIDE  # px, so that a further zoom by hand still has something to show
MOST = 8  # faces to choose from
WHOLE = {"x": 0.5, "y": 0.5, "zoom": 1}  # the square of a picture that is not cropped
BY_HAND = "The picture is used as it is; “Crop by hand” moves the square."


@dataclass(frozen=True)
class Look:
    """What was found in an upload: its aligned crops, largest face first, and words about it."""

    upload: Image.Image
    crops: tuple[Image.Image, ...]
    notes: tuple[str, ...]  # one a crop, or one that says why there is none

    def holds(self, picture: Image.Image | None) -> bool:
        """Whether a picture is this upload or one of its crops."""
        return picture is not None and any(
            picture.size == own.size and picture.tobytes() == own.tobytes()
            for own in (self.upload, *self.crops)
        )


def look(picture: Image.Image, domain: str) -> Look:
    """Find and align the faces of an upload; what stands in the way is said in the notes."""
    from pipelines import alignment  # OpenCV and torch are imported here, after the page is up

    try:
        faces = alignment.find_faces(picture)[:MOST]
        frame = alignment.frame_of(domain)
        found = [alignment.align(picture, face.landmarks, CROP, frame) for face in faces]
    except ValueError as error:  # no face, no finder, or a domain without faces
        words = f"Not aligned: {html.escape(str(error))} {BY_HAND}"
        return Look(picture, (), (words,))
    if len(found) == 1 and found[0].framed:
        note = "The face already sits where the networks expect it: the picture is used as it is."
        return Look(picture, (), (note,))
    notes = tuple(_note(i, aligned.mirrored, len(found)) for i, aligned in enumerate(found))
    return Look(picture, tuple(aligned.image for aligned in found), notes)


def _note(index: int, mirrored: float, count: int) -> str:
    which = "the face" if count == 1 else f"face {index + 1} of {count}"
    words = f"Aligned to {which}: eyes level, where the networks expect them."
    if mirrored >= 0.01:
        words += f" {mirrored:.0%} of the square lay outside the picture and is mirrored."
    return words


@dataclass(frozen=True)
class FacePanel:
    """The switch, the words and the choice of a face below a picture input."""

    domain: str
    switch: gr.Checkbox
    words: gr.HTML
    choice: gr.Gallery
    state: gr.State

    def align(self, picture: Image.Image | None, wanted: bool = True) -> Values:
        """Align a picture to its largest face; the other faces come as crops to choose from.

        Returns the aligned crop (no change when there is no face), the words about it and one crop
        a face when there are several.
        """
        if picture is None or not wanted:
            return self._shown(None)
        return self._shown(look(picture, self.domain))

    def turn(self, wanted: bool, picture: Image.Image | None, found: Look | None) -> Values:
        """The switch: back to the upload, or on to its face."""
        known = found is not None and found.holds(picture)
        if wanted:
            return self._shown(found) if known else self.align(picture)
        if not known:
            return self._shown(None)
        return self._shown(None) | {"picture": found.upload, "found": found, **WHOLE}

    def choose(self, found: Look | None, event: gr.SelectData) -> Values:
        """Another face of the same upload."""
        shown = self._shown(found, event.index)
        del shown["choice"]
        return shown

    def _shown(self, found: Look | None, index: int = 0) -> dict[str, Any]:
        """Words, choice and state; with a face the picture too, and the square crop's dials."""
        if found is None:
            hidden = gr.update(value=None, visible=False)
            return {"words": "", "choice": hidden, "found": None}
        several = len(found.crops) > 1
        choice = gr.update(value=list(found.crops) if several else None, visible=several)
        words = f'<p class="said" role="status">{found.notes[index]}</p>'
        shown = {"words": words, "choice": choice, "found": found}
        return shown | {"picture": found.crops[index], **WHOLE} if found.crops else shown


def face_panel(domain: str, faces: bool = True) -> FacePanel:
    """The components, put where the page is open; without `faces` nothing shows or happens."""
    switch = gr.Checkbox(
        faces, label="Align an own picture to its face", visible=faces, elem_classes="fine"
    )
    words = gr.HTML()
    choice = gr.Gallery(
        label="Choose the face", visible=False, columns=4, height=220, object_fit="cover",
        allow_preview=False, interactive=False, format="png", buttons=[],
    )  # fmt: skip
    return FacePanel(domain, switch, words, choice, gr.State(None))


def wire_faces(
    panel: FacePanel,
    picture: gr.Image,
    dials: Mapping[str, gr.components.Component],
    replaced: Sequence[Callable],
    options: dict[str, Any],
    api_name: str | None = None,
) -> None:
    """Connect a panel to its picture and the dials of its square, by the names of `WHOLE`;
    `replaced` are events that put another picture there.

    With `api_name` aligning is a public endpoint.
    """
    shown = {
        "picture": picture, "words": panel.words, "choice": panel.choice, "found": panel.state,
        **dials,
    }  # fmt: skip
    public = {"api_name": api_name, "api_visibility": "public"} if api_name else {}
    align, turn = filling(panel.align, shown), filling(panel.turn, shown)
    picture.input(**align, inputs=[picture, panel.switch], **options | public)
    panel.switch.input(**turn, inputs=[panel.switch, picture, panel.state], **options)
    panel.choice.select(**filling(panel.choose, shown), inputs=panel.state, **options)
    for event in replaced:
        event(**filling(lambda: panel.align(None), shown), **options)
