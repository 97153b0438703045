"""Inversions in several latents, and their files: one codes (w+), feature changes, and where.

A file is safetensors. Of an inversion called "sam" it holds the codes as "sam", the change of a
layer's features as "sam.b64.conv1", in half precision, and the map of latents as "sam.latent_map";
the metadata key `config` says as JSON which generator and which latents they belong to. Codes that
stand alone, such as those of another page, are an inversion in W+.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from pipelines.invertibility import SIDE, checked, masks_of
from pipelines.latents import check_code, check_made_by, read
from pipelines.measures import Measures

MAP = "latent_map"
AGAIN = "Download the latent again."


@dataclass(frozen=True, eq=False)
class Inversion:
    """Result of `invert`, `encode` and `baseline`, detached and on the CPU (safe in gr.State).

    w and deltas, by block output name, make image; latent_map: the latent of each place, an index
    into `latents`. method: "optimised", "encoded", one of BASELINES, or "stored" where a file holds
    it. tuned: the generator's weights that PTI changed. measures: of image beside the picture, None
    where a file holds no picture.
    """

    w: Float[Tensor, "1 layers dim"]
    deltas: Mapping[str, Float[Tensor, "1 c h w"]]
    latent_map: UInt8[np.ndarray, "h w"]
    latents: tuple[str, ...]
    image: Image.Image
    method: str
    seconds: float
    measures: Measures | None
    losses: tuple[float, ...] = ()
    tuned: Mapping[str, Tensor] | None = field(default=None, repr=False)

    @property
    def alone(self) -> bool:
        """Whether w alone makes image: no features were changed, and no weights."""
        return not self.deltas and self.tuned is None

    def tensors(self, name: str) -> dict[str, Any]:
        """What a file holds of it, by key; ValueError for PTI's, which has its own generator."""
        if self.tuned is not None:
            raise ValueError(
                f"{name}: an inversion must be of the generator itself to be kept; got one by "
                f"{self.method}, which tuned its weights. Keep one by another method."
            )
        found: dict[str, Any] = {name: self.w}
        if self.deltas:
            found |= {f"{name}.{block}": delta.half() for block, delta in self.deltas.items()}
            found[f"{name}.{MAP}"] = self.latent_map
        return found


@dataclass(frozen=True)
class Layout:
    """What codes must be to fit a generator: its fingerprint, the shape of w+, its latents, and the
    shape of each feature layer's change by block output name, in the order of selection."""

    generator: str
    shape: tuple[int, int]
    latents: tuple[str, ...]
    features: Mapping[str, tuple[int, int, int]]

    @property
    def about(self) -> dict[str, Any]:
        """What a file says of itself."""
        return {"generator": self.generator, "latents": list(self.latents)}

    def save(self, path: str | Path, inversions: Mapping[str, Inversion]) -> Path:
        """Write inversions by name, for `load`."""
        tensors = {}
        for name, inversion in inversions.items():
            tensors |= inversion.tensors(name)
        tensors = {key: torch.as_tensor(value).contiguous() for key, value in tensors.items()}
        save_file(tensors, path, {"format": "pt", "config": json.dumps(self.about)})
        return Path(path)

    def load(self, path: str | Path) -> dict[str, tuple[Tensor, dict[str, Tensor], np.ndarray]]:
        """w+, feature changes and map of each inversion of a file, by name.

        ValueError unless it is whole and for this very generator.
        """
        tensors, config = read(Path(path), "an inversion")
        check_made_by(config, self.generator)
        if (latents := config.get("latents", list(self.latents))) != list(self.latents):
            raise ValueError(
                f"a latent file must be of {', '.join(self.latents)}; got {latents!r}. {AGAIN}"
            )
        names = [key for key in tensors if "." not in key]
        if lost := [key for key in tensors if key.partition(".")[0] not in names]:
            raise ValueError(
                f"{lost[0]}: a feature change must go with its codes; got none. {AGAIN}"
            )
        return {name: self._inversion(name, tensors) for name in names}

    def _inversion(
        self, name: str, tensors: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor], np.ndarray]:
        check_code(name, tensors[name], self.shape)
        start = f"{name}."
        deltas = {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}
        chosen = deltas.pop(MAP, None)
        nowhere = np.zeros((min(SIDE, 2 * self._finest),) * 2, np.uint8)
        latent_map = checked(nowhere if chosen is None else chosen.numpy(), self.latents)
        there = masks_of(torch.from_numpy(latent_map)[None], tuple(self.features))
        if deltas.keys() != there.keys():
            raise ValueError(
                f"{name}: feature changes must be of {', '.join(there) or 'no layer'}, as its map "
                f"says; got {', '.join(deltas) or 'none'}. {AGAIN}"
            )
        for block, delta in deltas.items():
            shape = (1, *self.features[block])
            if tuple(delta.shape) != shape or not torch.isfinite(delta).all():
                raise ValueError(
                    f"{name}.{block}: a feature change must be {shape} finite numbers; got "
                    f"{tuple(delta.shape)}. {AGAIN}"
                )
        return tensors[name].float(), {b: deltas[b].float() for b in there}, latent_map

    @property
    def _finest(self) -> int:
        return max(side for _, _, side in self.features.values())
