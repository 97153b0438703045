"""Named sliders whose names are known only at run time: editing vectors and their scales."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from demos.kit.imaging import refuse

_SCRIPT = Path(__file__).with_suffix(".js").read_text()


class Dials(gr.HTML):
    """Handlers get {name: scale} in order, each scale finite and within the limits.

    With `rows`, as `relisted` has them, there is a slider a row and a scale of zero is left out;
    without it every entry of the value is a row that can be taken back.
    """

    is_template = True

    def preprocess(self, payload: Any) -> dict[str, float]:
        low, high = self.props["low"], self.props["high"]
        scales: dict[str, float] = {}
        for pair in payload or []:
            name, scale = pair if isinstance(pair, list | tuple) and len(pair) == 2 else ("", None)
            number = scale if type(scale) in (int, float) else math.nan
            if not (math.isfinite(number) and low <= number <= high):
                raise refuse(
                    "Scales must be a list of [name, scale], each scale a number from "
                    f"{low:g} to {high:g}; got {pair!r}."
                )
            scales[str(name)] = float(number)
        return scales

    def postprocess(self, value: Mapping[str, float] | list | None) -> list:
        return [[n, v] for n, v in value.items()] if isinstance(value, Mapping) else value or []

    def api_info(self) -> dict[str, Any]:
        pair = {"type": "array", "items": {}}
        return {"type": "array", "items": pair, "description": "pairs of name and scale"}


def dials(
    low: float,
    high: float,
    empty: str,
    rows: list | None = None,
    value: Mapping[str, float] | None = None,
    **options: Any,
) -> Dials:
    """Sliders from low to high, set to `value`; `empty` is said where there are none."""
    template = f'<div class="dials"></div><p class="none">{escape(empty)}</p>'
    return Dials(
        value or {}, html_template=template, js_on_load=_SCRIPT, apply_default_css=False, low=low,
        high=high, rows=rows, rest=[], **options,
    )  # fmt: skip


def relisted(
    low: float,
    high: float,
    rows: list[list],
    value: Mapping[str, float] | None = None,
    rest: Sequence[str] = (),
) -> Any:
    """An update to other rows: [name, note, thumbnail as a data URI or empty, scale] each.

    With `value` every slider is set anew. Without it those that are there stay as they were moved,
    which may be later than what the list was made of, but for those that `rest` names, which go to
    zero; and a new one is set to its scale.
    """
    set_anew = {} if value is None else {"value": value}
    return gr.update(rows=rows, rest=list(rest), low=low, high=high, **set_anew)
