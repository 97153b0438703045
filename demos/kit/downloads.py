"""What a visitor takes home from a page: pictures, latent codes, parameters."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from demos.kit.imaging import refuse


def take_home(api_name: str, first: Keepsake | None = None) -> tuple[gr.State, gr.File]:
    """Files of the last result; `first`, of the one that the page starts with, if any.

    The state holds a `Keepsake` or None.
    """
    keep = gr.State(first)
    with gr.Accordion("Take it with you", open=False):
        with gr.Row(equal_height=True):
            sidecar = gr.Checkbox(label="With the parameters as JSON", value=False, scale=2)
            button = gr.Button("Prepare the files", scale=1, size="md")
        files = gr.File(label="Files", show_label=False, file_count="multiple", interactive=False)

    def prepare(keepsake: Keepsake | None, with_parameters: bool) -> list[str]:
        """Pictures and latent codes (.safetensors) of this session's last result, as files."""
        if keepsake is None:
            raise refuse("There is no result yet. Run the page first.")
        return keepsake.write(with_parameters)

    button.click(prepare, [keep, sidecar], files, api_name=api_name, show_progress="hidden")
    return keep, files


@dataclass(frozen=True)
class Keepsake:
    """What a visitor may take home: pictures and codes by file name, and the parameters.

    codes: those of a stored result stay in their file, which is handed out as it is.
    """

    pictures: Mapping[str, Image.Image]
    codes: Mapping[str, Any] | Path
    parameters: Mapping[str, Any]

    def write(self, with_parameters: bool) -> list[str]:
        """The files' paths. JSON is written on request only; nothing is hidden in a picture."""
        folder = fresh_folder()
        paths = [folder / f"{name}.png" for name in self.pictures]
        for path, picture in zip(paths, self.pictures.values(), strict=True):
            picture.save(path)
        if self.codes:
            paths.append(folder / "latent.safetensors")
            self._write_codes(paths[-1])
        if with_parameters:
            paths.append(folder / "parameters.json")
            paths[-1].write_text(json.dumps(dict(self.parameters), indent=2))
        return [str(path) for path in paths]

    def _write_codes(self, path: Path) -> None:
        if isinstance(self.codes, Path):
            shutil.copyfile(self.codes, path)
        else:
            save_file({name: np.asarray(w) for name, w in self.codes.items()}, path)


class _Files:
    """The folder of all folders with files to hand out, made anew where it was cleaned away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # handlers ask at once; one of them clears up
        self._folder: tempfile.TemporaryDirectory | None = None

    def fresh(self) -> Path:
        with self._lock:
            if self._folder is None or not Path(self._folder.name).is_dir():
                # The system's own may be gone, too.
                Path(tempfile.gettempdir()).mkdir(parents=True, exist_ok=True)
                self._folder = tempfile.TemporaryDirectory(prefix="gan-inversion-")
            for folder in Path(self._folder.name).iterdir():
                if time.time() - folder.stat().st_mtime > 3600:
                    shutil.rmtree(folder, ignore_errors=True)
            return Path(tempfile.mkdtemp(dir=self._folder.name))


_FILES = _Files()


def fresh_folder() -> Path:
    """A new folder for files to hand out; folders older than an hour are removed."""
    return _FILES.fresh()
