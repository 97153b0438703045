"""A cache of its own for each test, a stand-in for the converters, https without sockets."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from tests.weights.hub import Hub
from weights import transfer
from weights.manifest import WeightsError

SOURCE = b"a file in the layout of its authors"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project cache and an empty Hub cache; returns the first."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GAN_INVERSION_CACHE", str(folder))
    monkeypatch.delenv("GAN_INVERSION_MIRROR", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return folder


@pytest.fixture
def converters(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """In place of `weights.convert`: knows one layout, "plain", and counts its calls."""

    def convert_file(converter: str, source: Path, target: Path) -> dict:
        fake.calls.append(source)
        if source.read_bytes() != SOURCE:
            raise WeightsError(f"expected the plain layout; got another in {source}; look at it.")
        width = len(fake.calls) + 1
        tensors = {
            "layer.weight": torch.zeros(width, width),
            "layer.bias": torch.zeros(width),
            "steps": torch.tensor(7),
        }
        save_file(tensors, target, {"config": json.dumps({"width": width})})
        return {"width": width}

    fake = SimpleNamespace(CONVERTERS={"plain": ""}, convert_file=convert_file, calls=[])
    monkeypatch.setitem(sys.modules, "weights.convert", fake)
    return fake


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., Path]:
    """Add a published row "photo/net" of that SOURCE to a manifest; keywords replace its keys."""
    path = tmp_path / "weights" / "manifest.toml"
    path.parent.mkdir()
    path.write_text("# a comment\n")

    def add(name: str = "photo/net", **keys: object) -> Path:
        row = {
            "url": "https://example.org/net.pt", "file": "net.pt", "state": "published",
            "sha256": hashlib.sha256(SOURCE).hexdigest(), "bytes": len(SOURCE), "licence": "MIT",
            "converter": "plain",
        } | keys  # fmt: skip
        lines = [f"{key} = {json.dumps(value)}" for key, value in row.items() if value is not None]
        path.write_text(path.read_text() + f'\n["{name}"]\n' + "\n".join(lines) + "\n")
        return path

    return add


@pytest.fixture
def https(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Answer all https requests of downloads by a function; returns the addresses asked for."""

    def answer_by(handler: Callable[[httpx.Request], httpx.Response]) -> list[str]:
        asked: list[str] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(str(request.url))
            return handler(request)

        def client() -> httpx.Client:
            return httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True)

        monkeypatch.setattr(transfer, "_client", client)
        return asked

    return answer_by


@pytest.fixture
def hub(cache, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub of this machine, that serves SOURCE, instead of the real one."""
    server = Hub(SOURCE)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(transfer, "PAUSE", 0.01)
    yield server
    server.gate.set()
    server.shutdown()
    server.server_close()


def left(folder: Path) -> list[Path]:
    """Every file under a folder but locks, hidden ones too; [] if there is no folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in found if ".locks" not in path.parts]


def parts(folder: Path) -> list[Path]:
    """What is kept of unfinished downloads under a folder."""
    return [path for path in left(folder) if path.suffix == ".part"]
