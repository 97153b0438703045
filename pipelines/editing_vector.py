"""Editing vectors: learnt changes of layer-wise codes, with the parts they change and their origin.

Source: Ling et al., "EditGAN: High-Precision Semantic Image Editing" (NeurIPS 2021), Sec. 3.3 and
3.4. A vector belongs to one generator: a file says which, and another generator refuses it.

A file is safetensors: `<name>.delta` (layers, 512) and, where there is one, `<name>.thumbnail`
(h, w, 3) bytes; the metadata key `config` holds the rest as JSON. A library holds several vectors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from pipelines.latents import read

LARGEST = 100.0  # number of a delta; the largest of a learnt one is 1.5
NAME = re.compile(r"[\w][\w +-]{0,59}")
THUMBNAIL = 64  # side of each picture on a thumbnail [px]


@dataclass(frozen=True, eq=False)
class EditingVector:
    """delta w of Eqs. 2 to 5, and Q_edit, the names of the parts it changes (Eq. 1).

    domain and generator (a fingerprint) say what it belongs to. seed: of the portrait it was learnt
    from; thumbnail: that portrait before and after, side by side; success: measured shares by name.
    """

    name: str
    delta: Float[Tensor, "layers dim"]
    q_edit: tuple[str, ...]
    domain: str
    generator: str
    seed: int | None = None
    thumbnail: Image.Image | None = None
    success: Mapping[str, float] | None = None

    def save(self, path: str | Path) -> Path:
        """Write one file that `load` reads; the name must end in .safetensors."""
        check_name(self.name)
        path = Path(path)
        if path.suffix != ".safetensors":
            raise ValueError(f"path must end in .safetensors; got {path.name}. Rename it.")
        tensors, config = as_tensors([self])
        save_file(tensors, path, {"format": "pt", "config": json.dumps(config)})
        return path

    @classmethod
    def load(cls, path: str | Path) -> EditingVector:
        """The one vector of a file; ValueError for anything else, damaged files included."""
        found = from_tensors(*read(Path(path), "an editing vector"))
        if len(found) != 1:
            raise ValueError(f"file must hold one vector; got {len(found)}. Save them one by one.")
        return next(iter(found.values()))


def check_belongs(
    vector: EditingVector, domain: str, generator: str, shape: tuple[int, int]
) -> None:
    """ValueError unless a vector was learnt for this domain and this very generator."""
    for what, expected, got in (
        ("domain", domain, vector.domain),
        ("codes of shape", shape, tuple(vector.delta.shape)),
        ("generator", generator[:12], vector.generator[:12]),
    ):
        if expected != got:
            raise ValueError(
                f"{vector.name}: editing vector must be for {what} {expected}; got {got}. "
                "Learn the edit again here."
            )
    _check_finite(vector.name, vector.delta)


def as_tensors(vectors: Iterable[EditingVector]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and configuration of vectors, as a file holds them."""
    tensors, config = {}, {}
    for vector in vectors:
        tensors[f"{vector.name}.delta"] = vector.delta.detach().cpu().float().contiguous()
        if vector.thumbnail is not None:
            picture = np.array(vector.thumbnail.convert("RGB"))
            tensors[f"{vector.name}.thumbnail"] = torch.from_numpy(picture)
        config[vector.name] = {
            "q_edit": list(vector.q_edit),
            "domain": vector.domain,
            "generator": vector.generator,
            "seed": vector.seed,
            "success": None if vector.success is None else dict(vector.success),
        }
    return tensors, {"vectors": config}


def from_tensors(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any]
) -> dict[str, EditingVector]:
    """Vectors by name, in file order; undoes `as_tensors`. ValueError where something is amiss."""
    rows = config.get("vectors")
    if not isinstance(rows, Mapping) or not all(isinstance(r, Mapping) for r in rows.values()):
        raise ValueError(
            "file must be an editing vector; got safetensors without its description. "
            "Choose a file that was saved here."
        )
    return {name: _vector(name, row, tensors) for name, row in rows.items()}


def check_name(name: str) -> None:
    """ValueError unless a name is short, plain and visible."""
    if not NAME.fullmatch(name):
        raise ValueError(
            "name must be 1 to 60 letters, digits, spaces, hyphens, plus signs or underscores; "
            f"got {name!r}. Choose a plain name."
        )


def side_by_side(before: Image.Image, after: Image.Image) -> Image.Image:
    """Two pictures as one thumbnail."""
    pair = Image.new("RGB", (2 * THUMBNAIL, THUMBNAIL))
    for place, picture in enumerate((before, after)):
        pair.paste(picture.resize((THUMBNAIL, THUMBNAIL)), (place * THUMBNAIL, 0))
    return pair


def _check_finite(name: str, delta: Tensor) -> None:
    if not torch.isfinite(delta.float()).all():
        raise ValueError(
            f"{name}: delta must hold finite numbers; got NaN or infinity. Learn it again."
        )
    if delta.numel() and (largest := delta.abs().max().item()) > LARGEST:
        raise ValueError(
            f"{name}: delta must hold numbers from -{LARGEST:g} to {LARGEST:g}; got {largest:g}. "
            "Learn it again."
        )


def _vector(name: str, row: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> EditingVector:
    check_name(name)
    delta, picture = tensors.get(f"{name}.delta"), tensors.get(f"{name}.thumbnail")
    if delta is None or delta.ndim != 2:
        got = "none" if delta is None else tuple(delta.shape)
        raise ValueError(f"{name}: delta must be (layers, 512); got {got}. Save it again.")
    _check_finite(name, delta)
    q_edit = row.get("q_edit")
    if not isinstance(q_edit, list) or not q_edit or not all(isinstance(p, str) for p in q_edit):
        raise ValueError(f"{name}: q_edit must name parts; got {q_edit!r}. Save it again.")
    if not all(isinstance(row.get(key), str) for key in ("domain", "generator")):
        raise ValueError(f"{name}: must say its domain and generator; got neither. Save it again.")
    if picture is not None and (picture.ndim != 3 or picture.shape[2] != 3):
        raise ValueError(f"{name}: thumbnail must be (h, w, 3); got {tuple(picture.shape)}.")
    return EditingVector(
        name,
        delta.float(),
        tuple(q_edit),
        row["domain"],
        row["generator"],
        row.get("seed"),
        None if picture is None else Image.fromarray(picture.byte().numpy()),
        row.get("success"),
    )
