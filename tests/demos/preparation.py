"""The app with a page switched on that its record does not name yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gradio as gr
import pytest

import app
from demos.kit.paper import Paper
from demos.papers import PAPERS


def switched_on(paper: Paper, page: Mapping[str, str], fake: Any) -> gr.Blocks:
    """All pages and that of `paper`, whose record gets `page` and whose pipeline is `fake`."""
    papers = [replace(paper, **page) if p is paper else p for p in PAPERS]
    others = {p.slug: lambda *_: pytest.fail("another page's pipeline") for p in papers if p.page}
    return app.build({**others, paper.slug: lambda *_: fake}, papers=papers)
