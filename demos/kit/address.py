"""What an address asks of a page: `?part=manipulate&seed=2000037` opens a part with its input.

`?embed=1`, the demo alone for the frame of a lecture, is the browser's own business (`page.js`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.context import Context

from demos.kit.inputs import QUIET, Pictures, PortraitInput
from demos.kit.portraits import TEST, never_seen

_READ = "() => [Object.fromEntries(new URLSearchParams(location.search))]"
_SELECT = """() => {{
    const part = new URLSearchParams(location.search).get('part'), parts = {parts};
    return {{ __type__: 'update', ...(parts.includes(part) && {{ selected: part }}) }};
}}"""


@dataclass(frozen=True)
class Opening:
    """A part's first input: its components, and their values for a portrait and its seed."""

    components: tuple[Component, ...]
    values: Callable[[Any, int], tuple]


def into_portrait(portrait: PortraitInput) -> Opening:
    """The portrait becomes the picture."""
    return Opening((portrait.picture, portrait.seed), lambda picture, seed: (picture, seed))


def into_gallery(gallery: Pictures, drawn: gr.State) -> Opening:
    """The portrait becomes the only picture of a gallery."""
    return Opening(
        (gallery, drawn), lambda picture, seed: ([(picture, f"portrait {seed}")], [seed])
    )


def asked_seed(value: Any) -> int | None:
    """The portrait that an address names, the nearest one for a number out of range.

    Both are said on the page: what was corrected, and what is no number.
    """
    try:
        seed = int(str(value))
    except ValueError:
        gr.Warning(f"The address must name a portrait by its number; got {str(value)[:40]}.")
        return None
    nearest = min(max(seed, TEST.start), TEST.stop - 1)
    if nearest != seed:
        words = f"Portraits are numbered from {TEST.start} to {TEST.stop - 1}"
        gr.Info(f"{words}: {nearest} is used in place of {seed}.")
    return nearest


def opened(address: Mapping[str, Any], parts: Mapping[str, Opening]) -> Any:
    """The input of the part that an address names, by component; nothing where it names no seed.

    Without a part the seed is for the first one.
    """
    part = address.get("part", next(iter(parts)))
    seed = asked_seed(address["seed"]) if part in parts and "seed" in address else None
    if seed is None:
        return gr.skip()
    values = parts[part].values(never_seen(seed), seed)
    return dict(zip(parts[part].components, values, strict=True))


def follow(tabs: gr.Tabs | None, parts: Mapping[str, Opening]) -> None:
    """Let the open page follow its address; `parts` by the ids of their tabs, if it has tabs."""
    address = gr.JSON({}, visible="hidden")
    components = dict.fromkeys(c for part in parts.values() for c in part.components)
    load = Context.root_block.load
    if tabs is not None:
        load(None, None, tabs, js=_SELECT.format(parts=json.dumps(list(parts))))  # at once
    load(lambda asked: opened(asked or {}, parts), address, [*components], js=_READ, **QUIET)
