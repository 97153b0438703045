"""A prompt with chips that write it: words of attributes, one of a group at a time.

The text is what counts. A chip is lit where the text says its words, whoever wrote them; a press
adds them to the list, puts them in the place of others of the group, or takes them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from demos.kit.imaging import refuse

MOST = 1000  # characters; what reads prompts takes fewer
Groups = Mapping[str, Mapping[str, str]]  # name of a group -> what a chip shows -> what it writes

_SCRIPT = Path(__file__).with_suffix(".js").read_text()

# As the captions of clay portraits say it when they are lists (`examples.clay.wording`).
CLAY_GROUPS: Groups = {
    "Age": {age: f"{article} {age} person" for age, article in (
        ("young", "a"), ("middle-aged", "a"), ("older", "an"))},
    "Hair colour": {color: f"{color} hair" for color in (
        "black", "brown", "blond", "red", "white", "blue", "pink")},
    "Hair": {
        "short": "short hair", "long": "long hair", "wavy": "long wavy hair",
        "curly": "curly hair", "fringe": "hair with a fringe", "bun": "hair in a bun",
        "bald": "a bald head",
    },
    "Face": {
        "calm": "a calm face", "gentle smile": "a gentle smile", "broad smile": "a broad smile",
        "surprised": "a surprised face", "frown": "a frown",
    },
    "Beard": {
        "stubble": "stubble", "moustache": "a moustache", "goatee": "a goatee",
        "full beard": "a full beard",
    },
    "Glasses": {
        "none": "no glasses", "round": "round glasses", "square": "square glasses",
        "cat-eye": "cat-eye glasses", "sunglasses": "sunglasses",
    },
    "Hat": {"beanie": "a beanie", "cap": "a cap", "brimmed hat": "a brimmed hat"},
    "Behind": {
        "plain wall": "in front of a plain wall", "lights": "in front of blurred lights",
        "bookshelf": "in front of a bookshelf", "leaves": "in front of a wall of leaves",
        "window": "in front of a window",
    },
}  # fmt: skip


class Prompt(gr.HTML):
    """The box and its chips; handlers get a text, maybe empty, of at most `most` characters."""

    is_template = True

    def preprocess(self, payload: Any) -> str:
        text, most = "" if payload is None else payload, self.props["most"]
        if not isinstance(text, str):
            raise refuse(f"The prompt must be text; got {type(text).__name__}. Write a caption.")
        if len(text) > most:
            raise refuse(
                f"The prompt must have at most {most} characters; got {len(text)}. A list of what "
                "is to be seen is enough: shorten it."
            )
        return " ".join(text.split())

    def postprocess(self, value: str | None) -> str:
        return value or ""

    def api_info(self) -> dict[str, Any]:
        return {
            "type": "string",
            "description": f"a caption of at most {self.props['most']} characters",
        }


def prompt_box(
    value: str = "",
    groups: Groups = CLAY_GROUPS,
    label: str = "Prompt",
    info: str = "Write, or press words. An empty prompt is a prompt too.",
    most: int = MOST,
    **options: Any,
) -> Prompt:
    """A text box with the chips of `groups` below it; without groups a box alone.

    most: characters; a page whose results say what was not read may let more through.
    """
    chips = "".join(_group(name, chips) for name, chips in groups.items())
    template = f"""<div class="prompt"><label><span>{escape(label)}</span>
<textarea rows="2" spellcheck="false" placeholder="{escape(info)}"></textarea></label>
<div class="chips">{chips}</div><p class="status" aria-live="polite"></p></div>"""
    return Prompt(
        value, html_template=template, js_on_load=_SCRIPT, apply_default_css=False, most=most,
        **options,
    )  # fmt: skip


def _group(name: str, chips: Mapping[str, str]) -> str:
    buttons = "".join(
        f'<button type="button" aria-pressed="false" data-words="{escape(words)}">{escape(shown)}'
        "</button>"
        for shown, words in chips.items()
    )
    return f"<fieldset><legend>{escape(name)}</legend>{buttons}</fieldset>"
