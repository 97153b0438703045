"""The app: one page a paper, one queue. Start it with `python app.py`."""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import threading
from collections.abc import Callable

import gradio as gr

from demos import home, indomain, theme
from demos.bridge import Lazy
from demos.portraits import warm_up_renderer


def _load_indomain():
    from pipelines.indomain import InDomain  # torch is imported here, after the page is up

    return InDomain.from_pretrained()


def build(indomain_pipeline: Callable) -> gr.Blocks:
    """All pages; `indomain_pipeline()` returns the pipeline and is called at the first use."""
    with gr.Blocks(title="GAN inversion, live", delete_cache=(3600, 3600)) as demo:
        home.build()
    with demo.route("In-domain inversion", "/indomain"):
        indomain.build(indomain_pipeline)
    return demo.queue(max_size=32)


def main() -> None:
    pipeline = Lazy(_load_indomain)
    demo = build(pipeline)
    demo.launch(**theme.LAUNCH, prevent_thread_lock=True)
    for task in (pipeline.warm_up, warm_up_renderer):
        threading.Thread(target=task, daemon=True).start()
    demo.block_thread()


if __name__ == "__main__":
    main()
