"""The app as tests of one page need it: switched on, with stored results or without, and served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

import app
from demos.kit import theme
from demos.kit.paper import Paper
from demos.papers import PAPERS
from tests.demos.shelves import stocked


def switched_on(paper: Paper, page: Mapping[str, str], fake: Any) -> gr.Blocks:
    """All pages and that of `paper`, whose record gets `page` and whose pipeline is `fake`."""
    papers = [replace(paper, **page) if p is paper else p for p in PAPERS]
    others = {p.slug: lambda *_: pytest.fail("another page's pipeline") for p in papers if p.page}
    return app.build({**others, paper.slug: lambda *_: fake}, papers=papers)


def started(paper: Paper, page: Mapping[str, str], fake: Any, shelves: Path) -> gr.Blocks:
    """`switched_on`, whose pages start with the stored results of a folder; empty without any."""
    with stocked(shelves):
        return switched_on(paper, page, fake)


@contextmanager
def serving(demo: gr.Blocks) -> Iterator[str]:
    """Its address, meanwhile."""
    _, url, _ = demo.launch(**theme.LAUNCH, prevent_thread_lock=True, quiet=True)
    try:
        yield url.rstrip("/")
    finally:
        demo.close()
