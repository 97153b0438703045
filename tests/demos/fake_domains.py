"""A list of domains, a download and a photo pipeline that need no network and no weights.

Used by the tests of the pages only.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np

from demos.header.readiness import Source
from tests.demos.fake_pipeline import FakeInDomain, Inversion
from weights import Altered, Domain, Missing, Offline, Page

MB = 1_000_000
NET = Missing("photos/net", "not downloaded", "Fetch it: hub photos/net.pt.", "", 80 * MB, True)
JUDGE = Missing("faces/judge", "not downloaded", "Fetch it: hub judge.pt.", "", 20 * MB, True)
AGE = Missing("photos/boundary-age", "not pinned", "Run python -m weights pin photos/boundary-age "
              "once, if you trust example.org age.npy.", "", 0)  # fmt: skip
BRANCH = Missing("photos/branch", "not trained yet", "Train it: python -m pipelines.training.seg.",
                 "python -m pipelines.training.seg", 0)  # fmt: skip
PAIR = Missing("towers/pair", "to be placed by hand", "Take pair.pth from https://example.org, "
               "then run python -m weights pin towers/pair.", "", 0)  # fmt: skip


@dataclass
class FakeShelf:
    """`online` says whether a download succeeds; `fetched` what it brought; `gate` holds it up."""

    online: bool = True
    damaged: bool = False
    blocks: int = 4
    told: dict = field(default_factory=dict)  # sizes that publishers state when they are asked
    sized: list = field(default_factory=list)
    fetched: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def source(self) -> Source:
        return Source(self.domains, self.fetch, self.sizes)

    def sizes(self, names) -> dict:
        self.sized.append(list(names))
        return {name: self.told[name] for name in names if name in self.told}

    def domains(self) -> list[Domain]:
        here = {lack.name for lack in (NET, JUDGE) if lack.name in self.fetched}

        def lacking(*lacks: Missing) -> tuple[Missing, ...]:
            return tuple(lack for lack in lacks if lack.name not in here)

        def page(paper, needs, extras=()) -> Page:
            names = [tuple(lack.name for lack in lacks) for lacks in (needs, extras)]
            licences = ("NVIDIA-NC", "MIT") if needs else ("Apache-2.0",)
            extra = (*names[1], "faces/yunet")
            return Page(paper, names[0], lacking(*needs), extra, lacking(*extras), licences)

        def domain(name, title, *pages) -> Domain:
            licences = tuple(dict.fromkeys(n for p in pages for n in p.licences))
            return Domain(name, title, (64, 64), licences, 0, 0, pages)

        return [
            domain("clay-heads", "Clay heads", page("indomain", ()), page("editgan", ())),
            domain("photos", "Photographs of faces", page("indomain", (NET,), (JUDGE, AGE)),
                   page("editgan", (NET, BRANCH))),
            domain("towers", "Photographs of towers", page("indomain", (PAIR,))),
            domain("classes", "Photographs of classes", page("sam_inversion", (NET,))),
        ]  # fmt: skip

    def fetch(self, name: str, *, on_progress) -> None:
        self.asked.append(name)
        if not self.online:
            raise Offline(f"{name}: expected net.pt of hub; got no connection; connect once.")
        for i in range(self.blocks):
            on_progress(name, (i + 1) * 20 * MB, self.blocks * 20 * MB)
            self.gate.wait(20)
            time.sleep(0.01)
        if self.damaged:
            raise Altered(f"{name}: expected sha256 1234; got 5678; fetch it again.")
        self.fetched.append(name)


@dataclass
class FakePhotos(FakeInDomain):
    """A photo domain of 64 px: no conventional encoder, two attributes, nothing calibrated."""

    size: int = 64
    layers: int = 14
    methods: tuple = ("domain-guided", "image2stylegan", "in-domain")
    boundaries: dict = field(default_factory=lambda: {
        "pose": SimpleNamespace(low=-3.0, high=3.0),
        "eyeglasses": SimpleNamespace(low=-3.0, high=3.0),
    })  # fmt: skip
    missing: dict = field(default_factory=lambda: {
        "conventional-encoder": "photos/conventional-encoder: expected a file; got no such file, "
        "and nobody publishes it; train it with `python -m pipelines.training.conventional`.",
        "boundary-age": "photos/boundary-age: expected a sha256 in the manifest; got none.",
    })  # fmt: skip

    def invert(self, image, **options) -> Inversion:
        assert image.size == (self.size, self.size), "the picture has another domain's size"
        return super().invert(image, **options)

    def inside(self, images):
        return [None] * len(images)

    def measure(self, a, b):
        return replace(super().measure(a, b), identity=0.6)


def noise(side: int = 90) -> np.ndarray:
    """A picture with structure, as bytes."""
    y, x = np.mgrid[:side, :side]
    return np.stack([x, y, (x * y) % 255], -1).astype(np.uint8)
