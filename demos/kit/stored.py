"""Stored results on a page: their names to choose from, and words where there are none to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component

from demos.kit.imaging import data_uri, refuse, row
from demos.kit.inputs import QUIET
from demos.kit.outputs import Values, filling
from demos.kit.runs import Belonging
from demos.kit.words import said
from examples.stored import Stored, StoredResults

THUMBNAIL = 96  # px
_TEMPLATE = """<fieldset><legend>Examples</legend>{cards}</fieldset>"""
# A click chooses also what is chosen already: it brings the example back over an own result.
_SCRIPT = """
element.addEventListener('click', (event) => {
  if (!event.target.matches('input')) return;
  props.value = event.target.value;
  trigger('input');
});
const show = () => element.querySelectorAll('input').forEach((radio) => {
  radio.checked = radio.value === props.value; });
watch('value', show);
show();
"""


def notice(stored: StoredResults) -> str:
    """Words for the page where results of other weights are left out; else nothing."""
    if stored.current:
        return ""
    return said(
        "The examples of this page were made with other networks than those that are in use, so "
        "they are not shown: nothing stands here until you run it.",
        outside=True,
    )


class Examples(gr.HTML):
    """Stored results to choose from, each by its name beside two of its pictures; handlers get the
    name.

    `api` names the endpoint that fills a page with one.
    """

    is_template = True
    names: tuple[str, ...] = ()
    api = ""

    def preprocess(self, payload: Any) -> str:
        if payload not in self.names:
            raise refuse(f"The example must be one of {', '.join(self.names)}; got {payload!r}.")
        return payload

    def api_info(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.names), "description": "an example's name"}


def choice(found: list[Stored], api: str, shown: tuple[str, str]) -> Examples | None:
    """The stored results as thumbnails; nothing where none are stored.

    shown: which two of a result's pictures, before and after.
    """
    if not found:
        return None
    cards = "".join(_card(entry, api, shown) for entry in found)
    names = tuple(entry.name for entry in found)
    examples = Examples(
        names[0], html_template=_TEMPLATE.format(cards=cards), js_on_load=_SCRIPT,
        apply_default_css=False, elem_classes="examples",
    )  # fmt: skip
    examples.names, examples.api = names, api
    return examples


def _card(entry: Stored, api: str, shown: tuple[str, str]) -> str:
    pair = [entry.pictures[name].convert("RGB").resize((THUMBNAIL,) * 2) for name in shown]
    name, source = escape(entry.name), data_uri(row(pair, gap=2), "WEBP")
    return f"""<label><input type="radio" name="{api}" value="{name}"><img src="{source}" alt="">
<span>{name}</span></label>"""


def marked(examples: Examples | None, results: Belonging) -> Belonging:
    """The same results, with which the mark goes from the example that was chosen."""
    if examples is None:
        return results
    outputs, cleared = {**results.outputs, "example": examples}, results.cleared
    return replace(results, outputs=outputs, cleared=lambda: {**cleared(), "example": None})


def unmark(examples: Examples | None, *events: Callable) -> None:
    """Let events that bring another picture take the mark from the example that was chosen."""
    for event in events if examples is not None else ():
        event(None, None, examples, js="() => null", **QUIET)


def wire(
    names: Examples,
    found: list[Stored],
    example: Callable[[Stored], Values],
    outputs: Mapping[str, Component],
) -> Any:
    """Choosing a name fills `outputs` with what `example` makes of that entry."""

    def show(name: str) -> Values:
        """A stored result by its name: the inputs, the pictures and the numbers."""
        return example(next(entry for entry in found if entry.name == name))

    options = {"api_name": names.api, "show_progress": "hidden"}
    return names.input(**filling(show, outputs), inputs=names, **options)
