"""From the button of the picker to a network that is loaded: size, progress, Stop, and again."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import httpx
import pytest
from torch import nn

import weights
from demos.header import picker, readiness
from demos.header.readiness import Source
from demos.kit.bridge import CLAY, Stop
from demos.papers import PAPERS
from tests.demos.visitor import until
from tests.test_weights import CARD, Tiny
from tests.weights.conftest import left, parts

DOMAIN = """
[clay-heads]
title = "Clay heads"
pixels = [64, 64]
[clay-heads.needs]
indomain = []
[photo]
title = "Photographs"
pixels = [64, 64]
[photo.needs]
indomain = ["net"]
[photo.extras]
indomain = ["more"]
"""


@pytest.fixture
def manifest(hub, listed, tmp_path) -> Path:
    """Domain photo: a network on the Hub, and an extra at an address for which nobody vouches."""
    file = weights.save(Tiny(300), tmp_path / "net.safetensors", CARD)
    hub.content = file.read_bytes()
    keys = {"sha256": "", "bytes": 0, "state": "hub", "converter": None}
    path = listed(**keys, repo="someone/nets", url=None, file=file.name, licence="MIT")
    listed("photo/more", sha256="", bytes=0)
    path.write_text(DOMAIN + path.read_text())
    return path


@pytest.fixture
def loaded() -> list[nn.Module]:
    return []


@pytest.fixture
def desk(manifest, loaded) -> picker._Desk:
    """The picker of the in-domain page over that list, which loads what it brought."""

    def load(domain: str) -> None:
        loaded.append(weights.load(Tiny, f"{domain}/net", manifest=manifest))

    about = (weights.domains, weights.fetch)
    source = Source(*(functools.partial(do, manifest=manifest) for do in about),
                    lambda names: weights.sizes(names, manifest))  # fmt: skip
    return picker._Desk([PAPERS[0]], load, source, readiness.Sizes(source))


def test_one_click_brings_a_domain_of_the_hub(hub, desk, loaded) -> None:
    size = readiness.size(len(hub.content))
    shown = desk.show("photo")
    assert shown["run"] == {"value": f"Download {size}, then use it", "interactive": True,
                            "__type__": "update"}  # fmt: skip
    assert "<dt>Licences</dt><dd>MIT</dd>" in shown["card"] and not hub.sent
    answers = list(desk.use("photo", CLAY, Stop()))
    assert answers[-1]["domain"] == "photo" and loaded[0].layer.in_features == 300
    assert re.search(rf"Downloading file 1 of 1: .* of {size}", answers[0]["words"])
    assert desk.show("photo")["run"]["value"] == "Use it" and len(hub.sent) == 1
    list(desk.use(CLAY, "photo", Stop()))
    assert list(desk.use("photo", CLAY, Stop()))[-1]["domain"] == "photo" and len(hub.sent) == 1


def test_a_stopped_download_goes_on_at_the_next_click(hub, desk, loaded, cache) -> None:
    hub.gate.clear()
    stop = Stop()
    handler = desk.use("photo", CLAY, stop)
    next(handler)
    until(lambda: sum(part.stat().st_size for part in parts(cache)))
    stop.press()
    hub.gate.set()
    last = list(handler)[-1]
    assert picker.STOPPED in last["words"] and not loaded and left(cache) == parts(cache)
    (part,) = parts(cache)
    came = part.stat().st_size
    assert list(desk.use("photo", CLAY, Stop()))[-1]["domain"] == "photo" and loaded
    assert hub.sent[-1] == f"bytes={came}-"


def test_what_the_publisher_replaced_is_said_and_not_used(hub, desk, loaded, cache) -> None:
    list(desk.use("photo", CLAY, Stop()))
    (file,) = (path for path in left(cache) if path.suffix == ".safetensors")
    file.unlink()
    hub.content = hub.content[:-1] + b"!"
    last = list(desk.use("photo", CLAY, Stop()))[-1]
    assert "is not the one that was expected" in last["words"] and len(loaded) == 1
    assert not re.search(r"sha256|/|_|python", last["words"].partition("in use. ")[2][:-4])


def test_trust_is_of_whoever_runs_the_app(hub, desk, manifest, loaded, https) -> None:
    """The extra is not offered to a visitor before; then it is, and is left out if it fails."""
    assert "It does without 1 of its extras." in desk.show("photo")["card"]
    trusting = Source.trusting()
    about = (functools.partial(do, manifest=manifest) for do in (trusting.domains, trusting.fetch))
    source = Source(*about, lambda names: {})
    allowed = picker._Desk(desk.papers, desk.load, source, readiness.Sizes(source))
    assert allowed.show("photo")["run"]["value"] == "Download 2 files of unknown size, then use it"
    weights.fetch("photo/net", manifest=manifest)
    asked = https(lambda request: httpx.Response(404))
    last = list(allowed.use("photo", CLAY, Stop()))[-1]
    assert asked and last["domain"] == "photo" and picker.LEFT_OUT in last["words"]
