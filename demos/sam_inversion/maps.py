"""Which latent for which place: predicted errors as soon as there is a picture (Secs. 3.1, 3.2)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from gradio.components import Component

from demos.kit.bridge import spoken_errors
from demos.kit.imaging import refuse
from demos.kit.inputs import FOLLOW, GPU, PortraitInput, aligned
from demos.kit.outputs import Values, filling
from demos.kit.runs import mark
from demos.kit.shelf import Scene, scene_of
from demos.kit.words import said
from demos.sam_inversion.latents import EMPTY, LatentView, latent_view, opened
from demos.sam_inversion.session import Seen, thing_seen
from demos.sam_inversion.setting import Setting

PARSER, TRUE, PIXELS = "parser", "true parts", "pixels"
SEGMENTS = {
    PARSER: "What a parser names, superpixels elsewhere",
    TRUE: "The renderer's true parts",
    PIXELS: "None: every pixel for itself (Fig. 4.6)",
}


@dataclass(frozen=True)
class _Part:
    load: Callable
    at: Setting

    def predict(
        self, picture, x: float, y: float, zoom: float, segments: str, looked: str | None,
        seed: int | None = None, *staged: Any,
    ) -> Values:  # fmt: skip
        """Predict the error of each latent at each place of a picture; it stays in this session.

        segments: "parser", "true parts" of a never-seen portrait, or "pixels". seed, and what
        stands before the face: of the picture, if it was drawn here. Returns the map at the
        domain's own tau and a report.
        """
        if picture is None:
            return {"view": gr.update(**EMPTY), "seen": None, "report": "", "looked": None}
        if looked == mark(picture, x, y, zoom, segments):  # a stored example's own
            return {}
        image = aligned(picture, x, y, zoom, self.at.side)
        scene = scene_of(picture, seed, *staged) if self.at.rendered else None
        options, start = _options(scene, segments, (x, y, zoom), self.at.side), time.perf_counter()
        with spoken_errors():
            pipeline = self.load()
            maps = pipeline.invertibility(image, **options)
        words, crop = report(maps, segments, time.perf_counter() - start), (x, y, zoom)
        thing = thing_seen(scene, crop, self.at.side)
        seen = Seen(image, maps, scene, crop, segments, secrets.token_hex(4), thing)
        person = _person(scene, crop, maps.segments.shape)
        view = gr.update(**opened(image, maps, pipeline.tuning.tau, seen.session, person))
        return {"view": view, "seen": seen, "report": words, "looked": None}


def _options(scene: Scene | None, segments: str, crop: Sequence, side: int) -> dict[str, Any]:
    """What the pipeline is told of segments."""
    if segments != TRUE:
        return {"refine": segments != PIXELS}
    if scene is None:
        raise refuse("Only a never-seen portrait has true parts: nobody knows those of this one.")
    return {"segments": _cropped(scene.true_parts, crop, side)}


def _cropped(labels: np.ndarray, crop: Sequence[float], side: int) -> np.ndarray:
    """Labels of a picture in its square crop, nearest pixel first."""
    x, y, zoom = crop
    length = len(labels) / zoom
    left = min(max(x * len(labels) - length / 2, 0), len(labels) - length)
    above = min(max(y * len(labels) - length / 2, 0), len(labels) - length)
    steps = (np.arange(side) + 0.5) * length / side
    return labels[(above + steps).astype(int)][:, (left + steps).astype(int)]


def _person(scene: Scene | None, crop: Sequence[float], shape: tuple) -> np.ndarray | None:
    return None if scene is None else _cropped(scene.person, crop, shape[0])


def report(maps: Any, segments: str, seconds: float) -> str:
    """What was predicted, in words."""
    count = len(maps.means[0])
    found = "every pixel for itself" if segments == PIXELS else f"{count} segments"
    return said(f'<span class="quiet">Predicted in {seconds:.2f} s, for {found}.</span>')


@dataclass(frozen=True)
class MapControls:
    """The map's components and the session's picture with its predicted errors.

    looked: what tells the picture of a stored example that stands here, None for an own one.
    """

    view: LatentView
    segments: gr.Radio
    report: gr.HTML
    seen: gr.State
    looked: gr.State

    @property
    def outputs(self) -> dict[str, Component]:
        names = ("view", "seen", "report", "looked")
        return {name: getattr(self, name) for name in names}


def build(at: Setting, first: Values) -> MapControls:
    """The map with its report, and what segments it is refined by; first: what stands there at the
    start, by name."""
    view = latent_view(first.get("view", {}), elem_id="sam-map")
    words = gr.HTML(first.get("report"), elem_id="sam-map-report")
    kinds = [(words, kind) for kind, words in SEGMENTS.items() if at.rendered or kind != TRUE]
    with gr.Accordion("Ablation: other segments", open=False):
        segments = gr.Radio(
            kinds, value=PARSER, label="Errors are averaged over", elem_classes="stacked",
            elem_id="sam-segments",
        )  # fmt: skip
    states = (gr.State(first.get(name)) for name in ("seen", "looked"))
    return MapControls(view, segments, words, *states)


def wire(
    load: Callable, at: Setting, ui: MapControls, portrait: PortraitInput, staged: Sequence
) -> None:
    """Predict the map anew whenever the picture, its crop or the segments change."""
    changes = [portrait.picture.change, ui.segments.input]
    changes += [dial.input for dial in (portrait.x, portrait.y, portrait.zoom)]
    gr.on(
        changes, **filling(_Part(load, at).predict, ui.outputs),
        inputs=[*portrait.inputs, ui.segments, ui.looked, portrait.seed, *staged],
        api_name="sam_map",
        **GPU | {"show_progress": "minimal", "show_progress_on": [ui.report]}, **FOLLOW,
    )  # fmt: skip
