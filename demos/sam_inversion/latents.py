"""The map of latents over its picture: tau re-colours it in the browser, a click forces a segment.

The browser decides as the paper does (Sec. 3.2), from the predicted error of each latent averaged
over each segment, and hands back what was chosen: tau, and segments that were given a latent by
hand. `Choice.latent_map` makes the map of it for a run.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demos.kit.imaging import data_uri, refuse

_SCRIPT = Path(__file__).with_suffix(".js").read_text()
# From where everything can be edited to where everything can be rebuilt.
COLOURS = ("#1f6f8b", "#47a08d", "#a9bf5a", "#e8a838", "#cf4d2e")

_TEMPLATE = """<div class="latents" inert>
<fieldset class="choice views"><legend>Show</legend></fieldset>
<div class="stage"><canvas class="map" width="512" height="512" tabindex="0" role="application"
aria-label="Map of latents. Arrow keys move from segment to segment, with Shift farther; Space gives
the segment the latent that is picked in the list."></canvas>
<p class="empty">The map appears here as soon as there is a picture</p></div>
<div class="side">
<div class="threshold"><label><span>Threshold τ</span><output class="tau"></output></label>
<canvas class="strip" height="72" aria-hidden="true"></canvas>
<input type="range" name="tau" min="0" max="1" step="0.002" value="0.5" aria-label="Threshold tau">
<p class="ends"><span>0: rebuild everything</span><span>edit everything</span></p></div>
<dl class="account"><div class="gain"><dt>Gained</dt><dd><b></b> <span></span></dd></div>
<div class="loss"><dt>Editable</dt><dd><b></b> <span></span></dd></div></dl>
<fieldset class="legend"><legend>Pick a latent, then click a segment</legend></fieldset>
<div class="acts"><button type="button" data-action="everywhere">Give it to all</button>
<button type="button" data-action="release">Let τ decide</button>
<button type="button" data-action="own">τ of this domain</button>
<button type="button" data-action="trust">Person in W+ (Fig. 4.7)</button></div>
<label class="dial">Map over picture<input type="range" name="cover" min="0" max="100"
value="62"></label></div>
<p class="status" aria-live="polite"></p></div>"""


@dataclass(frozen=True)
class Choice:
    """What the visitor chose: tau, latents by hand (segment -> index), of the map `session`."""

    tau: float
    forced: Mapping[int, int] = field(default_factory=dict)
    session: str = ""

    def latent_map(self, maps: Any, session: str) -> np.ndarray:
        """The latent of each pixel, an index into `maps.latents`; of another map tau alone."""
        own = self.session in ("", session)
        forced = {s: self.name(maps, i) for s, i in self.forced.items()} if own else {}
        return maps.latent_map(self.tau, forced)

    @staticmethod
    def name(maps: Any, index: int) -> str:
        if not 0 <= index < len(maps.latents):
            raise refuse(
                f"A latent must be a number from 0 to {len(maps.latents) - 1}; got {index}."
            )
        return maps.latents[index]


class LatentView(gr.HTML):
    """The map; handlers get a `Choice`, or None before there is a map."""

    is_template = True

    def preprocess(self, payload: Any) -> Choice | None:
        if not isinstance(payload, dict) or payload.get("tau") is None:
            return None
        tau, pairs = payload["tau"], payload.get("forced") or []
        if type(tau) not in (int, float) or not (math.isfinite(tau) and tau >= 0):
            raise refuse(f"tau must be a number, 0 or more; got {tau!r}.")
        if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
            raise refuse("Segments by hand must be a list of [segment, latent], whole numbers.")
        return Choice(float(tau), {s: i for s, i in pairs}, str(payload.get("session") or ""))

    def api_info(self) -> dict[str, Any]:
        pairs = {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}
        return {
            "type": "object",
            "properties": {"tau": {"type": "number"}, "forced": pairs},
            "description": "tau: the threshold; forced: pairs of segment and latent, by number",
        }


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(type(v) is int for v in pair)


EMPTY: dict[str, Any] = {
    "value": None, "picture": "", "segments": "", "means": "", "errors": "", "names": [],
    "colours": list(COLOURS), "tau": 0.0, "person": [], "session": "",
    "brightest": 0.0,
}  # fmt: skip


def latent_view(shown: Mapping[str, Any] = MappingProxyType({}), **options: Any) -> LatentView:
    """A view of what `opened` made, empty without it."""
    return LatentView(
        html_template=_TEMPLATE, js_on_load=_SCRIPT, apply_default_css=False, **{**EMPTY, **shown},
        **options,
    )  # fmt: skip


def opened(
    picture: Image.Image, maps: Any, tau: float, session: str, person: np.ndarray | None
) -> dict[str, Any]:
    """What shows a picture with its predicted errors (`InvertibilityMaps`), at threshold tau.

    person: where the person is seen, bool (H, W), at the maps' size; None where nobody knows.
    """
    side = maps.errors.shape[-1]
    heat = np.clip(255 * maps.errors / maps.brightest, 0, 255).astype(np.uint8)
    return {
        "value": {"tau": tau, "forced": [], "session": session},
        "picture": data_uri(picture.resize((2 * side, 2 * side), Image.Resampling.BICUBIC)),
        "segments": _packed(maps.segments, np.uint16), "means": _packed(maps.means, np.float32),
        "errors": _packed(heat, np.uint8), "names": list(maps.latents),
        "colours": list(colours(len(maps.latents))), "tau": tau, "session": session,
        "brightest": maps.brightest,
        "person": [] if person is None else _mostly(maps.segments, person),
    }  # fmt: skip


def _mostly(segments: np.ndarray, inside: np.ndarray) -> list[int]:
    """The segments of which more than half is inside."""
    parts = np.bincount(segments.ravel(), inside.ravel()) / np.bincount(segments.ravel())
    return np.flatnonzero(parts > 0.5).tolist()


def colours(count: int) -> tuple[str, ...]:
    """A colour a latent, W+ first; the last one is always the least editable one's."""
    if count > len(COLOURS):
        raise ValueError(f"count must be at most {len(COLOURS)}; got {count}. Add colours.")
    return (*COLOURS[: count - 1], COLOURS[-1])


def painted(chosen: np.ndarray, count: int) -> Image.Image:
    """A map of latents in their colours."""
    picture = Image.fromarray(chosen, "P")
    picture.putpalette([v for c in colours(count) for v in bytes.fromhex(c[1:])])
    return picture.convert("RGB")


def overlaid(picture: Image.Image, chosen: np.ndarray, count: int, cover: float) -> Image.Image:
    """A map of latents over its picture; cover: 0 shows the picture alone, 1 the map."""
    colour = painted(chosen, count).resize(picture.size, Image.Resampling.NEAREST)
    return Image.blend(picture, colour, cover)


def _packed(numbers: np.ndarray, kind: type) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers, kind).tobytes()).decode()
