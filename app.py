"""The app: one page a paper, one queue. Start it with `python app.py`.

With --trust, visitors may also download files for which nobody states a checksum, from the https
addresses of their publishers: the first file is kept, a later change refused, nothing executed.
"""

from __future__ import annotations

import demos  # settles what Gradio reads from the environment as it is imported

# isort: split
import argparse
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

import pipelines  # noqa: F401 - decides how OpenMP waits, before anything loads torch
from demos import clay, holding, home
from demos.header import picker
from demos.header.readiness import Source
from demos.hub.borrowing import borrowed
from demos.kit import api, imaging, share, theme
from demos.kit.bridge import Pipelines
from demos.kit.introduction import citation
from demos.kit.paper import Paper, load
from demos.kit.portraits import warm_up_renderer
from demos.papers import PAPERS

PLACES = 256  # in the queue: for whole lecture halls, whose pages also ask for small things


def pipelines_of(papers: Sequence[Paper]) -> dict[str, Pipelines]:
    """The pipelines of all papers that have a page, by slug, each loaded at its first use."""
    return {p.slug: Pipelines(borrowed(load, p.pipeline)) for p in papers if p.page}


def build(
    loads: Mapping[str, Callable] | None = None,
    source: Source | None = None,
    papers: Sequence[Paper] = PAPERS,
) -> gr.Blocks:
    """All pages. `loads` take the place of those of the records, by slug: a function each that
    returns the pipeline of a domain, clay's by default, called at its first use; `source` lists the
    domains and fetches their files.
    """
    loads, source = pipelines_of(papers) | dict(loads or {}), source or Source()
    imaging.keep_files_whole()
    with demos.environment.one_server():
        with gr.Blocks(title=share.TITLE, delete_cache=(3600, 3600)) as demo:
            home.build(papers, loads, source)
            api.publish("clay", clay.FUNCTIONS)
        for paper in (paper for paper in papers if paper.page):
            with demo.route(paper.name, f"/{paper.slug}"):
                domain = picker.build([paper], loads[paper.slug], source)
                paper.build(loads[paper.slug], domain, source)
                citation([paper])
                api.publish(paper.slug, paper.functions(loads[paper.slug]))
        api.keep_private(demo)
    return demo.queue(max_size=PLACES)


def presented(papers: Sequence[Paper]) -> dict[str, Any]:
    """The options of `launch` by which every page has its own title and share card, and what it
    hands out holds for an hour."""
    middleware = [Middleware(share.Presented, papers=papers)]
    return {"app_kwargs": {"middleware": middleware, "lifespan": holding.lasting}}


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the app until it is stopped; `arguments` are those of the command line by default."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trust", action="store_true", help="as described above")
    options = parser.parse_args(arguments)
    demos.environment.outlast_restarts()
    loaded = pipelines_of(PAPERS)
    demo = build(loaded, Source.trusting() if options.trust else Source())
    demo.launch(**theme.LAUNCH, **presented(PAPERS), prevent_thread_lock=True)
    for task in (*(pipeline.warm_up for pipeline in loaded.values()), warm_up_renderer):
        threading.Thread(target=task, daemon=True).start()
    demo.block_thread()


if __name__ == "__main__":
    main()
