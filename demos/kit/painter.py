"""A mask painter that knows its labels: a picture, its part mask over it, and a legend of names.

The browser paints whole labels, never colours, on the mask's own pixels, which the screen shows
enlarged. Brush, eraser, bucket, undo and redo answer there at once, by mouse, pen, finger or keys;
everything else is an operation of `part_masks` whose result is handed back to the painter.
"""

from __future__ import annotations

import base64
import binascii
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demos.kit.imaging import data_uri, refuse

_SCRIPT = Path(__file__).with_suffix(".js").read_text()
_TOOLS = {
    "brush": "Brush", "eraser": "Eraser", "fill": "Fill", "pick": "Pick", "move": "Hand",
}  # fmt: skip


def _tool(name: str, label: str) -> str:
    checked = " checked" if name == "brush" else ""
    return f'<label><input type="radio" name="tool" value="{name}"{checked}>{label}</label>'


def _dial(name: str, label: str, low: int, high: int, value: int, step: float = 1) -> str:
    return f"""<label class="dial">{label}<input type="range" name="{name}" min="{low}"
max="{high}" step="{step}" value="{value}"></label>"""


# A form, so that the radio buttons of two painters on a page are two groups.
_TEMPLATE = f"""<form class="painter" inert>
<div class="tools"><fieldset class="choice"><legend>Tool</legend>
{"".join(_tool(*item) for item in _TOOLS.items())}</fieldset>
<div class="acts"><button type="button" data-action="undo">Undo</button>
<button type="button" data-action="redo">Redo</button>
<button type="button" data-action="reset">Reset</button></div>
{_dial("size", "Brush", 1, 24, 4)}{_dial("cover", "Mask over picture", 0, 100, 60)}
{_dial("zoom", "Zoom", 1, 6, 1, 0.5)}
<label class="check"><input type="checkbox" name="region" checked>Outline what may change</label>
</div><div class="stage"><canvas width="512" height="512" tabindex="0" role="application"
aria-label="Mask painter. Arrow keys move the brush, with Shift by eight pixels; Space paints;
Control Z undoes."></canvas><p class="empty">The part mask appears here</p>
<p class="status" aria-live="polite"></p></div>
<fieldset class="legend"><legend>Part</legend></fieldset></form>"""


@dataclass(frozen=True)
class Painting:
    """What the painter holds: labels, uint8 (H, W), and the chosen part's label.

    `asked`: the labels that these were made of, so that strokes since then lie over these.
    """

    labels: np.ndarray
    part: int
    asked: np.ndarray | None = None

    @property
    def value(self) -> dict[str, Any]:
        """What the browser holds of it."""
        asked = {} if self.asked is None else {"asked": _packed(self.asked)}
        return {"labels": _packed(self.labels), "part": self.part, **asked}


class MaskPainter(gr.HTML):
    """The painter; handlers get a `Painting`, or None before there is a mask."""

    is_template = True
    side: int | None = None  # of a mask; None is not checked
    parts = 256  # labels below this are known

    def preprocess(self, payload: Any) -> Painting | None:
        if not isinstance(payload, dict) or not payload.get("labels"):
            return None
        part = payload.get("part")
        if type(part) is not int or not 0 <= part < self.parts:
            raise refuse(
                f"The chosen part must be a whole number below {self.parts}; got {part!r}."
            )
        labels = _unpacked(payload["labels"])
        if self.side not in (None, len(labels)):
            raise refuse(
                f"The painted mask must measure {self.side} pixels a side; got {len(labels)}."
            )
        if labels.max() >= self.parts:
            raise refuse(
                f"The painted mask must hold labels below {self.parts}; got {labels.max()}."
            )
        return Painting(labels, part)

    def postprocess(self, value: Painting | dict | None) -> dict | None:
        return value.value if isinstance(value, Painting) else value

    def api_info(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"labels": {"type": "string"}, "part": {"type": "integer"}},
            "description": "labels: base64 of one byte a pixel, row by row; part: a label",
        }


EMPTY = {
    "value": {"labels": "", "part": 0}, "picture": "", "predicted": "", "names": [], "palette": [],
    "session": "", "region": "",
}  # fmt: skip


def mask_painter(holds: Mapping[str, Any] = EMPTY, **options: Any) -> MaskPainter:
    """A painter that starts with what `opened` makes, or empty; `begun` opens a picture in it."""
    return MaskPainter(
        html_template=_TEMPLATE, js_on_load=_SCRIPT, apply_default_css=False, **holds, **options
    )


def opened(
    picture: Image.Image,
    predicted: np.ndarray,
    names: Sequence[str],
    palette: np.ndarray,
    part: int,
) -> dict[str, Any]:
    """What the painter holds of a picture with its predicted mask, before any stroke."""
    return {
        "value": Painting(predicted, part), "picture": data_uri(picture),
        "predicted": _packed(predicted), "names": list(names),
        "palette": np.asarray(palette).tolist(), "session": secrets.token_hex(4), "region": "",
    }  # fmt: skip


def begun(*picture: Any) -> Any:
    """An update to what `opened` makes of a picture; all earlier strokes are forgotten."""
    return gr.update(**opened(*picture))


def continued(picture: Image.Image, predicted: np.ndarray, painting: Painting) -> Any:
    """An update to another picture of the same person; undo still reaches the earlier strokes."""
    return gr.update(
        value=painting, picture=data_uri(picture), predicted=_packed(predicted), region=""
    )


def outlined(region: np.ndarray) -> Any:
    """An update that outlines what may change, bool (H, W)."""
    return gr.update(region=_packed(region.astype(np.uint8)) if region.any() else "")


def _packed(labels: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(labels, np.uint8).tobytes()).decode()


def _unpacked(text: Any) -> np.ndarray:
    try:
        labels = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except (TypeError, ValueError, binascii.Error) as error:
        raise refuse("The painted mask must be base64 text of one byte a pixel.") from error
    side = math.isqrt(labels.size)
    if side * side != labels.size or not side:
        raise refuse(f"The painted mask must be square; got {labels.size} labels.")
    return labels.reshape(side, side)
