"""3DMM numbers as sliders in groups, with a wireframe of the head that follows them at once.

The browser draws; handlers get the numbers by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from demos.kit.imaging import refuse
from demos.mm2latent.setting import Setting

_SCRIPT = Path(__file__).with_suffix(".js").read_text()
_TEMPLATE = """<div class="head3d"><figure><svg viewBox="-1.5 -1.6 3 3.2" role="img"
aria-label="A head of lines with these numbers"></svg><figcaption>A sketch of the numbers, not a
result</figcaption><button type="button" data-action="rest">All at rest</button></figure>
<div class="groups"></div></div>"""


class HeadDials(gr.HTML):
    """The sliders; handlers get {name: number}, each finite and within its range."""

    is_template = True

    def preprocess(self, payload: Any) -> dict[str, float]:
        ranges = {name: (low, high) for name, _, low, high, _ in self.props["rows"]}
        found: dict[str, float] = {}
        for pair in payload or []:
            name, number = pair if isinstance(pair, list | tuple) and len(pair) == 2 else ("", None)
            low, high = ranges.get(str(name), (math.nan, math.nan))
            value = number if type(number) in (int, float) else math.nan
            if not (math.isfinite(value) and low - 1e-6 <= value <= high + 1e-6):
                raise refuse(
                    "The head's numbers must be a list of [name, number] within their ranges; "
                    f"got {str(pair)[:60]}."
                )
            found[str(name)] = float(value)
        return found

    def postprocess(self, value: Mapping[str, float] | list | None) -> list:
        return [[n, v] for n, v in value.items()] if isinstance(value, Mapping) else value or []

    def api_info(self) -> dict[str, Any]:
        pair = {"type": "array", "items": {}}
        return {"type": "array", "items": pair, "description": "pairs of name and number"}


def head_dials(
    at: Setting, numbers: Mapping[str, float] | None = None, **options: Any
) -> HeadDials:
    """Sliders of all numbers of a domain, at rest where `numbers` names none."""
    rows = [[n.name, n.group, n.low, n.high, n.rest] for n in at.numbers]
    value = {n.name: n.rest for n in at.numbers} | dict(numbers or {})
    return HeadDials(
        value, html_template=_TEMPLATE, js_on_load=_SCRIPT, apply_default_css=False, rows=rows,
        **options,
    )  # fmt: skip
