"""What the parts of the page must know of the domain they work in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from demos.kit.bridge import CLAY
from demos.kit.handover import known
from demos.kit.imaging import SIDE
from demos.kit.portraits import seed_of, seeds_of
from examples.clay.edits import EDITS

WHOLE = (0.5, 0.5, 1)  # x, y and zoom of a picture that is not cropped


@dataclass(frozen=True)
class Attribute:
    """What a slider of Manipulate changes: its words, and its range in its own unit."""

    name: str
    label: str
    low: float
    high: float

    @property
    def word(self) -> str:
        """The label without the unit."""
        return self.label.partition(",")[0]


def inversion_of(
    pipeline: Any, image: Image.Image, given: Mapping[str, Any], *, method: str, **options: Any
) -> Any:
    """A picture's inversion: that of the code that it came with, else a search for one."""
    w = known(given, image, pipeline) if method == "in-domain" else None
    if w is not None:
        return pipeline.placed(w, image)
    return pipeline.invert(image, method=method, **options)


@dataclass(frozen=True)
class Setting:
    """A domain: `side` of its pictures [px], `layers` of a code, `attributes` to change.

    rendered: whether a renderer knows never-seen portraits and true answers; faces: whether
    pictures show faces, to which an own one can be aligned; methods: those it has networks for;
    missing: why it does without something, sentences by component.
    """

    name: str
    side: int
    layers: int
    attributes: tuple[Attribute, ...]
    rendered: bool
    faces: bool
    methods: tuple[str, ...]
    missing: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> list[str]:
        """What the attributes are called in the pipeline."""
        return [attribute.name for attribute in self.attributes]

    def why(self, component: str) -> str:
        """Why a component is missing, "" if it is not."""
        return dict(self.missing).get(component, "")

    def origin(
        self, picture: Image.Image, x: float, y: float, zoom: float, seed: int | None
    ) -> dict[str, Any]:
        """An input for the parameters of a result; the seed is None unless the picture is its."""
        return origin(seed_of(picture, seed) if self.rendered else None, (x, y, zoom))

    def origins(
        self, pictures: Sequence[Image.Image], drawn: Collection[int]
    ) -> list[dict[str, Any]]:
        """A gallery's pictures as `origin` has one; `drawn` are the seeds drawn into it."""
        seeds = seeds_of(pictures, drawn if self.rendered else ())
        return [origin(seed) for seed in seeds]

    def about(self, pipeline: Any = None) -> dict[str, str]:
        """What a file of codes says of itself; a stored one says itself whose codes it holds."""
        whose = {} if pipeline is None else {"generator": pipeline.fingerprint}
        return {"method": "in-domain inversion", "domain": self.name} | whose

    def without(self, start: str) -> list[str]:
        """The missing components whose names start so."""
        return [component for component, _ in self.missing if component.startswith(start)]


def origin(seed: int | None, square: Sequence[float] = WHOLE) -> dict[str, Any]:
    """The portrait of a seed, None for an own picture, and its square: x, y and zoom."""
    return {"seed": seed, "square": square}


def stored_origins(values: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The galleries' pictures of a stored result for its parameters, where their seeds are kept."""
    kept = values.get("seeds", {})
    return {gallery: [origin(seed) for seed in seeds] for gallery, seeds in kept.items()}


METHODS = {
    "conventional": ("Conventional encoder", "trained on the generator's own samples"),
    "domain-guided": ("Domain-guided encoder", "trained on real pictures through the generator"),
    "image2stylegan": ("Image2StyleGAN", "optimised from the mean code, pixels and features only"),
    "in-domain": ("In-domain", "domain-guided encoder, then domain-regularised optimisation"),
}
CLAY_HEADS = Setting(
    CLAY, SIDE, 12,
    tuple(Attribute(e.name, f"{e.label}, {e.unit}", e.low, e.high) for e in EDITS.values()),
    rendered=True, faces=True, methods=tuple(METHODS),
)  # fmt: skip


def setting_of(name: str, pipeline: Any, extras: Sequence[str] = ()) -> Setting:
    """A photo domain as its loaded pipeline has it; `extras` are those that the page may use."""
    attributes = [
        Attribute(key, key.replace("_", " ").capitalize(), boundary.low, boundary.high)
        for key, boundary in pipeline.boundaries.items()
    ]
    return Setting(
        name, pipeline.size, pipeline.layers, tuple(attributes), rendered=False,
        faces="faces/yunet" in extras, methods=pipeline.methods,
        missing=tuple(pipeline.missing.items()),
    )  # fmt: skip
