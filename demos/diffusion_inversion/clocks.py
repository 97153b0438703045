"""Two clocks that run: seconds since the press, and calls of the U-Net so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

_SCRIPT = Path(__file__).with_suffix(".js").read_text()
_TEMPLATE = """<div class="clock"><p><b class="seconds" aria-hidden="true"></b>
<span class="unit">s</span><span class="calls"></span></p><div class="pips" aria-hidden="true">
</div><p class="spoken" role="status"></p></div>"""
STOPPED: dict[str, Any] = {"seconds": 0.0, "calls": 0, "of": 1, "running": False, "words": ""}


class Clock(gr.HTML):
    """Shows `at`; the browser counts the seconds on while `running`."""

    is_template = True

    @property
    def skip_api(self) -> bool:
        return True


def clock(elem_id: str, value: dict[str, Any] | None = None) -> Clock:
    return Clock(
        value or STOPPED, html_template=_TEMPLATE, js_on_load=_SCRIPT, apply_default_css=False,
        elem_id=elem_id,
    )  # fmt: skip


def at(seconds: float, calls: int, of: int, running: bool = False, words: str = "") -> dict:
    """A clock's value: `calls` of `of` calls of the U-Net after so many seconds."""
    return {
        "seconds": seconds, "calls": calls, "of": max(of, calls, 1), "running": running,
        "words": words,
    }  # fmt: skip
