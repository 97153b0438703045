"""Stored results on a page: their names to choose from, and words where there are none to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from demos.kit.outputs import Values, filling
from demos.kit.words import said
from examples.stored import Stored, StoredResults


def notice(stored: StoredResults) -> str:
    """Words for the page where results of other weights are left out; else nothing."""
    if stored.current:
        return ""
    return said(
        "The stored examples of this page were made with other weights than those that are "
        "installed, so they are not shown: nothing stands here until you run it. "
        f"<code>python -m examples.{stored.paper}</code> makes them anew.",
        outside=True,
    )


def choice(found: list[Stored]) -> gr.Radio | None:
    """The stored results by name; nothing where none are stored."""
    if not found:
        return None
    names = [entry.name for entry in found]
    return gr.Radio(names, value=names[0], label="Stored results", elem_classes="bare")


def wire(
    names: gr.Radio,
    found: list[Stored],
    example: Callable[[Stored], Values],
    outputs: Mapping[str, Component],
    api: str,
) -> Any:
    """Choosing a name fills `outputs` with what `example` makes of that entry."""

    def show(name: str) -> Values:
        """A stored result by its name: the inputs, the pictures and the numbers."""
        return example(next(entry for entry in found if entry.name == name))

    return names.input(**filling(show, outputs), inputs=names, api_name=api, show_progress="hidden")
