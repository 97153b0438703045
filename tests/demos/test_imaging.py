"""Pictures that the pages serve."""

from __future__ import annotations

import threading

import gradio as gr
import numpy as np
from PIL import Image

from demos.kit.imaging import open_picture


def test_a_picture_shown_again_is_never_half_a_file(served, tmp_path):
    shown = gr.Image(format="png")
    shown.GRADIO_CACHE = str(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (512, 512, 3), dtype=np.uint8)
    path = shown.postprocess(Image.fromarray(noise)).path
    done = threading.Event()

    def show_again() -> None:
        while not done.is_set():
            shown.postprocess(Image.fromarray(noise))

    again = threading.Thread(target=show_again)
    again.start()
    try:
        for _ in range(200):
            assert open_picture(path).size == (512, 512)
    finally:
        done.set()
        again.join()
    assert [file.name for file in tmp_path.rglob("*.*")] == ["image.png"]
