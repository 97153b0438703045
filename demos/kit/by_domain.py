"""The parts of a page for the domain in use: clay heads' from the start, others' when chosen."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gradio as gr

from demos.header.readiness import Source
from demos.kit.bridge import CLAY
from demos.kit.inputs import QUIET
from demos.kit.paper import Paper
from demos.kit.stored import notice


def by_domain(
    paper: Paper,
    load: Callable,
    domain: gr.State,
    source: Source,
    parts: Callable[[Callable, Any], None],
    clay: Any,
    setting_of: Callable[..., Any],
) -> None:
    """Put the parts of a page into the open route, anew when the domain in use changes.

    load: gives the pipeline of a domain, `load()` clay's; nothing is loaded to show clay heads.
    domain: the domain in use, which the header holds. parts(load, setting): puts them there.
    clay: the setting of clay heads; setting_of(name, pipeline, extras): that of another domain.
    """
    with gr.Column() as heads:
        if paper.kinds and (words := notice(paper.stored)):
            gr.HTML(words)
        parts(load, clay)
    domain.change(lambda name: gr.update(visible=name == CLAY), domain, heads, **QUIET)

    @gr.render(inputs=domain, show_progress="hidden")
    def photographs(name: str) -> None:
        if name != CLAY:
            entry = next(entry for entry in source.domains() if entry.name == name)
            extras = entry.page(paper.slug).extras
            parts(functools.partial(load, name), setting_of(name, load(name), extras))
