"""What stands above and below a demo: a short heading with its links, and the citation."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr

from demos.kit.paper import Paper


def links(paper: Paper) -> str:
    """Where the paper and its authors' code are."""
    places = {"Paper": paper.article, "Authors’ code": paper.code}
    title = escape(paper.title)
    return "".join(
        f'<a href="{url}" target="_blank" rel="noopener" aria-label="{name} of {title}">{name}</a>'
        for name, url in places.items()
        if url
    )


def introduction(paper: Paper, says: str, how: str) -> None:
    """The heading of a paper's page: name, links and a sentence; `how`, with equations, folded."""
    gr.HTML(
        f"""<div class="prose-page heading"><div class="title"><h1>{paper.name}</h1>
<p class="links">{links(paper)}<a href="#cite">Citation</a></p></div><p>{says}</p>
<details><summary>How it works</summary>{how}</details></div>""",
        elem_classes="around",
    )


def citation(papers: Sequence[Paper]) -> None:
    """BibTeX to copy, below the demo."""
    with gr.Accordion("Citation", open=False, elem_id="cite", elem_classes="around"):
        for paper in papers:
            gr.Code(paper.citation, language=None, label=paper.name, interactive=False)
