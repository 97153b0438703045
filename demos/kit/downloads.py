"""What a visitor takes home from a page: pictures, latent codes, parameters."""

from __future__ import annotations

import io
import json
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from demos import holding
from demos.kit.imaging import refuse


def take_home(
    api_name: str, first: Keepsake | None = None, offer: Callable | None = None
) -> tuple[gr.State, gr.File]:
    """Files of the last result; `first`, of the one that the page starts with, if any.

    The state holds a `Keepsake` or None; `offer(keep, first)` shows where else it can be used.
    """
    keep = gr.State(first)
    if offer is not None:
        offer(keep, first)
    with gr.Accordion("Take it with you", open=False, elem_classes="fine"):
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


@dataclass(frozen=True, eq=False)  # each its own, so that Gradio sees a state change
class Keepsake:
    """What a visitor may take home: pictures and codes by file name, and the parameters.

    codes: those of a stored result stay in their file, where `called` has other names for some;
    what belongs to a code beside it is called "name.something".
    about: what a file of codes says of itself, such as the fingerprint of its `generator`.
    titles: what a reader calls a picture, where the name of its file does not say it.
    """

    pictures: Mapping[str, Image.Image]
    codes: Mapping[str, Any] | Path
    parameters: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)
    called: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)

    @property
    def sendable(self) -> list[str]:
        """The pictures that another part can take: all but part masks."""
        return [name for name, picture in self.pictures.items() if picture.mode != "P"]

    def sent(self, name: str) -> Sent:
        """A picture with its code, where it has one that makes it alone."""
        codes, about = self._held()
        w = None if any(key.startswith(f"{name}.") for key in codes) else codes.get(name)
        return Sent(self.pictures[name], w, str(about.get("generator", "")))

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
        """A file that the pages read again: it says whose codes these are, and of what."""
        codes, about = self._held()
        says = {"format": "pt", "config": json.dumps(about)}
        save_file({name: np.asarray(w) for name, w in codes.items()}, path, says)

    def _held(self) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """The codes by name, and what is to be said of them."""
        if not isinstance(self.codes, Path):
            return self.codes, dict(self.about)
        with safe_open(self.codes, framework="numpy") as file:
            config = json.loads((file.metadata() or {}).get("config", "{}"))
            codes = {self.called.get(key, key): file.get_tensor(key) for key in file.keys()}
        return codes, {**config, **self.about}


@dataclass(frozen=True)
class Sent:
    """A picture on its way to another part: w is its code in a generator, None without one."""

    picture: Image.Image
    w: Any | None
    generator: str

    def __deepcopy__(self, memo: dict) -> Sent:
        return self  # nothing in it changes

    def write(self, path: Path) -> None:
        """A file for `read`, of the picture as it is."""
        buffer = io.BytesIO()
        self.picture.save(buffer, "PNG", compress_level=1)
        held = {"picture": np.frombuffer(buffer.getvalue(), np.uint8)}
        if self.w is not None:
            held["w"] = np.asarray(self.w)
        save_file(held, path, {"generator": self.generator})

    @classmethod
    def read(cls, path: Path) -> Sent:
        with safe_open(path, framework="numpy") as file:
            picture = Image.open(io.BytesIO(file.get_tensor("picture").tobytes()))
            picture.load()
            w = file.get_tensor("w") if "w" in file.keys() else None
            return cls(picture, w, file.metadata()["generator"])


class _Files:
    """The folder of all folders with what visitors sent inside a call, which is served to nobody;
    made anew where it was cleaned away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # handlers ask at once; one of them clears up
        self._folder: tempfile.TemporaryDirectory | None = None

    def fresh(self) -> Path:
        with self._lock:
            if self._folder is None or not Path(self._folder.name).is_dir():
                # The system's own may be gone, too.
                Path(tempfile.gettempdir()).mkdir(parents=True, exist_ok=True)
                self._folder = tempfile.TemporaryDirectory(
                    prefix="gan-inversion-", dir=holding.private()
                )
            for folder in Path(self._folder.name).iterdir():
                if time.time() - folder.stat().st_mtime > holding.HOLDS:
                    shutil.rmtree(folder, ignore_errors=True)
            return Path(tempfile.mkdtemp(dir=self._folder.name))


_SENT = _Files()


def fresh_folder() -> Path:
    """A new folder for files to hand out, where they hold for an hour."""
    folder = holding.handed_out(get_upload_folder()) / secrets.token_urlsafe(16)
    folder.mkdir(mode=0o700)
    return folder


def folder_for_sent() -> Path:
    """A new folder for what a visitor sent; folders older than an hour are removed."""
    return _SENT.fresh()
