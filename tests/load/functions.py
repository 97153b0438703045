"""What visitors ask for: each documented function well, with a visitor's own picture; and badly."""

from __future__ import annotations

import base64
import functools
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from gradio_client import handle_file
from PIL import Image

from examples.portraits import TEST

PORTRAITS = Path(__file__).parents[2] / "examples" / "clay" / "portraits"
MOST = 64  # portraits that are there, and so visitors
PROMPTS = ("blond hair", "a beard and round glasses", "curly hair, a smile", "a red hat")
LONG = 150  # steps of a run that somebody will stop or leave


@dataclass
class Own:
    """A visitor's own: their portrait's file and seed, and what they were given by name so far."""

    seed: int
    file: Path
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def picture(self) -> Any:
        return handle_file(self.file)

    def latent(self, paper: str) -> Any:
        """The address of an own latent, or the picture where there is none yet."""
        return self.given.get(f"{paper} latent") or self.picture


def own_of(index: int) -> Own:
    """What visitor `index`, below MOST, has: nobody else's."""
    return Own(TEST.start + index, PORTRAITS / f"{index:04}.png")


@dataclass(frozen=True)
class Ask:
    """A documented function as a visitor calls it.

    arguments: drawn for a visitor. rebuilt: which result shows the visitor's own portrait, None
    where none must. latent: which result is a latent of whose paper; mask: which is a part mask.
    own: whether results are made of the visitor's picture.
    """

    arguments: Callable[[Random, Own], dict[str, Any]]
    rebuilt: int | None = None
    latent: tuple[str, int] | None = None
    mask: int | None = None
    own: bool = True


def _steps(rng: Random) -> int:
    return rng.choice((2, 4, 6))


def _nothing(rng: Random, own: Own) -> dict[str, Any]:
    return {}


ASKS: Mapping[str, Ask] = {
    "clay_portrait": Ask(lambda r, own: {"seed": own.seed, "changes": {}}, 0, mask=1),
    "indomain_invert": Ask(
        lambda r, own: {
            "picture": own.picture, "method": r.choice(("in-domain", "domain-guided")),
            "steps": _steps(r),
        }, 0, ("indomain", 2)),
    "indomain_manipulate": Ask(
        lambda r, own: {
            "subject": own.latent("indomain"), "changes": r.choice(({}, {"smile": 0.3})),
            "steps": _steps(r),
        }, 0, ("indomain", 2)),
    "indomain_interpolate": Ask(
        lambda r, own: {
            "first": own.picture, "second": own.latent("indomain"), "count": r.choice((2, 3)),
            "steps": _steps(r),
        }, 0, ("indomain", 2)),
    "indomain_mix": Ask(
        lambda r, own: {
            "content": own.picture, "style": own.latent("indomain"), "layers": 4,
            "steps": _steps(r),
        }, 0, ("indomain", 2)),
    "indomain_diffuse": Ask(
        lambda r, own: {
            "target": own.picture, "context": own.picture, "x": 0.5, "y": 0.5, "width": 0.4,
            "height": 0.4, "steps": _steps(r),
        }, 0),
    "indomain_attributes": Ask(_nothing, own=False),
    "editgan_embed": Ask(
        lambda r, own: {"picture": own.picture, "steps": _steps(r)}, 0, ("editgan", 3), 1),
    "editgan_sample": Ask(lambda r, own: {"seed": r.randrange(1000)}, own=False),
    "editgan_vector": Ask(
        lambda r, own: {
            "subject": own.latent("editgan"), "vector": "smile", "scale": r.choice((0.5, 1.0)),
            "refine": r.choice((0, 2)), "steps": _steps(r),
        }, 0),
    "editgan_paint": Ask(
        lambda r, own: {
            "subject": own.latent("editgan"), "mask": repainted(own), "parts": None,
            "steps": _steps(r),
        }),
    "editgan_lists": Ask(_nothing, own=False),
    "sam_inversion_map": Ask(lambda r, own: {"picture": own.picture, "tau": None}),
    "sam_inversion_invert": Ask(
        lambda r, own: {
            "picture": own.picture, "how": r.choice(("optimised", "encoded")), "tau": None,
            "steps": _steps(r),
        }, 0, ("sam_inversion", 2)),
    "sam_inversion_edit": Ask(
        lambda r, own: {
            "subject": own.latent("sam_inversion"), "attribute": "smile", "strength": 0.3,
            "tau": None, "steps": _steps(r),
        }, 0),
    "sam_inversion_lists": Ask(_nothing, own=False),
    "mm2latent_generate": Ask(
        lambda r, own: {
            "prompt": r.choice(PROMPTS), "mask": None, "sketch": None, "numbers": None,
            "variety": 1.0, "seed": own.seed, "unsaid": 1.0,
        }),
    "mm2latent_edit": Ask(
        lambda r, own: {
            "subject": own.picture, "target": r.choice(PROMPTS), "kind": "text", "mask": None,
            "sketch": None, "numbers": None, "pivot": "a portrait of a person", "beta": 0.5,
        }),
    "mm2latent_lists": Ask(_nothing, own=False),
    "diffusion_inversion_generate": Ask(
        lambda r, own: {
            "prompt": r.choice(PROMPTS), "drawing": own.picture, "kind": "picture", "t": 999,
            "noise": own.seed, "strength": 1.0, "style": "none",
        }),
    "diffusion_inversion_denoise": Ask(
        lambda r, own: {
            "prompt": r.choice(PROMPTS), "drawing": own.picture, "kind": "picture",
            "noise": own.seed, "strength": 1.0, "steps": 2,
        }),
    "diffusion_inversion_lists": Ask(_nothing, own=False),
}  # fmt: skip


def repainted(own: Own) -> str:
    """The visitor's last part mask, whose middle gets the colour below it."""
    pixels = np.array(own.given["mask"])
    middle = slice(3 * len(pixels) // 8, 5 * len(pixels) // 8)
    pixels[middle, middle] = pixels[5 * len(pixels) // 8, len(pixels) // 2]
    return data_uri(png(Image.fromarray(pixels)))


def long_run(own: Own) -> tuple[str, dict[str, Any]]:
    """A function that goes on long enough to be stopped."""
    return "indomain_invert", {"picture": own.picture, "method": "in-domain", "steps": LONG}


# ---- what cannot be --------------------------------------------------------------------------


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def data_uri(content: bytes) -> str:
    return "data:application/octet-stream;base64," + base64.b64encode(content).decode()


@functools.cache
def _bomb() -> str:
    """A picture of more pixels than are opened."""
    return data_uri(png(Image.new("1", (12_000, 9_000))))


def hostile(rng: Random, own: Own) -> tuple[str, list[Any]]:
    """A function and its data, as curl would send them: NaN, wrong shapes, no pictures."""
    face = data_uri(own.file.read_bytes())
    text = data_uri(b"This is a text and no picture.\n" * 9)
    latent = data_uri((30).to_bytes(8, "little") + b'{"code":{"dtype":"F99"}}      ')
    thin = data_uri(png(Image.new("L", (1, 5000))))
    return rng.choice((
        ("indomain_invert", [text, "in-domain", 3]),
        ("indomain_invert", [face, "in-domain", math.nan]),
        ("indomain_invert", [face, "in-domain", -(10**400)]),
        ("indomain_invert", [_bomb(), "in-domain", 3]),
        ("indomain_invert", [data_uri(b""), "in-domain", 3]),
        ("indomain_invert", ["/etc/hostname", "in-domain", 3]),
        ("indomain_invert", [{"path": "/etc/hostname"}, "in-domain", 3]),
        ("indomain_invert", []),
        ("indomain_manipulate", [latent, {"smile": 0.5}, 3]),
        ("indomain_manipulate", [face, {"smile": math.inf}, 3]),
        ("indomain_mix", [face, thin, 4, 3]),
        ("indomain_diffuse", [face, face, math.nan, 0.5, 0.4, 0.4, 3]),
        ("indomain_interpolate", [face, [[face]], 3, 3]),
        ("editgan_embed", [None, 3]),
        ("editgan_paint", [face, face, None, 3]),
        ("editgan_vector", [face, "no such vector", 1.0, 0, 3]),
        ("sam_inversion_map", [face, math.nan]),
        ("sam_inversion_edit", [latent, "smile", 0.5, None, 3]),
        ("mm2latent_generate", ["x" * 5000, None, None, None, 0.0, 0]),
        ("mm2latent_generate", ["a smile", text, None, {"yaw": math.nan}, 0.0, 0]),
        ("mm2latent_edit", [face, "", "text", None, None, None, "a person", 1.0]),
        ("clay_portrait", [own.seed, {"gender": 1}]),
        ("clay_portrait", [math.nan, None]),
    ))  # fmt: skip
