"""The app: one page a paper, one queue. Start it with `python app.py`."""

from __future__ import annotations

import demos  # noqa: F401 - settles what Gradio reads from the environment as it is imported

# isort: split
import threading
from collections.abc import Callable

import gradio as gr

import pipelines  # noqa: F401 - decides how OpenMP waits, before anything loads torch
from demos import editgan, home, indomain, pictures, theme
from demos.bridge import Pipelines
from demos.domains import Source
from demos.portraits import warm_up_renderer
from demos.spaces import borrowed


def _load_indomain(domain: str):
    from pipelines.indomain import InDomain  # torch is imported here, after the page is up

    return InDomain.from_pretrained(domain)


def _load_editgan(domain: str):
    from pipelines.editgan import EditGAN

    return EditGAN.from_pretrained(domain)


def build(
    indomain_pipeline: Callable, editgan_pipeline: Callable, source: Source | None = None
) -> gr.Blocks:
    """All pages; the first two return their paper's pipeline for a domain, clay's by default.

    They are called at the first use; `source` lists the domains and fetches their files.
    """
    pictures.keep_files_whole()
    with gr.Blocks(title="GAN inversion, live", delete_cache=(3600, 3600)) as demo:
        home.build(source)
    with demo.route("In-domain inversion", "/indomain"):
        indomain.build(indomain_pipeline, source)
    with demo.route("EditGAN", "/editgan"):
        editgan.build(editgan_pipeline, source)
    return demo.queue(max_size=32)


def main() -> None:
    loaded = Pipelines(borrowed(_load_indomain)), Pipelines(borrowed(_load_editgan))
    demo = build(*loaded)
    demo.launch(**theme.LAUNCH, prevent_thread_lock=True)
    for task in (*(pipeline.warm_up for pipeline in loaded), warm_up_renderer):
        threading.Thread(target=task, daemon=True).start()
    demo.block_thread()


if __name__ == "__main__":
    main()
