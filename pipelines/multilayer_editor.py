"""Editing inversions of several latents (Sec. 3.4), and keeping them in files.

Stages: `edit` an inversion along an attribute or a principal direction, as often as one likes:
nothing is inverted again. `keep`, `read_codes` and `reopen` take it from one day to another.

Symbols: w (w+), layer-wise codes; F_k, features after layer k, which keep what was added to them;
G, the synthesis network; theta, its weights.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.func import functional_call

from pipelines.boundary import Boundary
from pipelines.images import as_images
from pipelines.latents import only
from pipelines.multilayer_codes import Inversion, Layout
from pipelines.multilayer_projector import MultilayerProjector
from pipelines.runtime import stage

PRINCIPAL = "principal direction {}"  # names of GANSpace's directions, from 1


class MultilayerEditor(MultilayerProjector):
    """Renders inversions, edits them, and reads them from files.

    boundaries: by attribute; fingerprint: of the synthesis network.
    """

    boundaries: dict[str, Boundary]
    fingerprint: str

    @property
    def directions(self) -> tuple[str, ...]:
        """Names that `edit` knows: attributes, then GANSpace's components."""
        count = len(self.space.directions)
        return (*self.boundaries, *(PRINCIPAL.format(i) for i in range(1, count + 1)))

    @stage
    def edit(
        self, inversion: Inversion, direction: str | Float[Tensor, "layers dim"], strength: float
    ) -> Image.Image:
        """The picture with w+ changed (Sec. 3.4); segments in F_k see the change after layer k.

        direction: one of `directions`, or what to add to w+. strength: in the attribute's own unit
        or in standard deviations; 0 gives the reconstruction back.
        """
        if not np.isfinite(strength):
            raise ValueError(f"strength must be a finite number; got {strength!r}. Try 1.")
        move = strength * self._move(direction)
        return as_images(self._render(inversion, inversion.w + move.cpu()))[0]

    # ---- results kept in files -------------------------------------------------------------------

    @property
    def layout(self) -> Layout:
        """What a file must hold to be of this generator."""
        shape = (self.generator.num_ws, self.generator.w_dim)
        return Layout(self.fingerprint, shape, self.latents, self.features)

    def keep(self, path: str | Path, results: Mapping[str, Inversion]) -> Path:
        """Write inversions by name, for `read_codes` and `reopen`; ValueError for PTI's."""
        return self.layout.save(path, results)

    def read_codes(self, path: str | Path) -> dict[str, Inversion]:
        """Every inversion of a file, its picture made anew; ValueError for another generator's."""
        return {name: self._placed(*codes) for name, codes in self.layout.load(path).items()}

    def reopen(self, path: str | Path) -> Inversion:
        """The inversion of a file that holds one.

        ValueError for that of another generator, and for a file that holds several.
        """
        return self._placed(*only(self.layout.load(path)))

    @stage
    def _placed(self, w: Tensor, deltas: Mapping[str, Tensor], latent_map: np.ndarray) -> Inversion:
        start = time.perf_counter()
        bare = Inversion(
            w, deltas, latent_map, self.latents, Image.new("RGB", (1, 1)), "stored", 0.0, None
        )
        image = as_images(self._render(bare))[0]
        return replace(bare, image=image, seconds=time.perf_counter() - start)

    # ---- the method on tensors -------------------------------------------------------------------

    def _render(self, inversion: Inversion, edited: Tensor | None = None) -> Tensor:
        """The picture of an inversion, or of it with other codes after each segment's layer."""
        chosen = torch.from_numpy(inversion.latent_map)[None]
        options: dict[str, Any] = {
            "deltas": {n: d.to(self.device) for n, d in inversion.deltas.items()},
            "masks": {n: m for n, m in self.masks(chosen).items() if n in inversion.deltas},
        }
        if edited is not None:
            options["edited"] = edited.to(self.device)
        synthesis: Callable = self.generator.synthesis
        if inversion.tuned is not None:
            theta = {name: p.to(self.device) for name, p in inversion.tuned.items()}
            synthesis = functools.partial(_with, synthesis, theta)
        ws = inversion.w.to(self.device)
        return self.runtime.picture(functools.partial(synthesis, **options), ws)

    def _move(self, direction: str | Tensor) -> Float[Tensor, "layers dim"]:
        """What strength 1 adds to w+."""
        shape = (self.generator.num_ws, self.generator.w_dim)
        if isinstance(direction, Tensor):
            if tuple(direction.shape) != shape:
                raise ValueError(f"direction must be {shape}; got {tuple(direction.shape)}.")
            return direction.to(self.device)
        if direction not in self.directions:
            raise ValueError(
                f"direction must be one of {', '.join(self.directions)}; got {direction!r}."
            )
        if direction in self.boundaries:
            return self.boundaries[direction].move(1.0).to(self.device)
        number = self.directions.index(direction) - len(self.boundaries)
        return self.space.directions[number].to(self.device).expand(shape)


def _with(synthesis: nn.Module, theta: Mapping[str, Tensor], ws: Tensor, **options: Any) -> Tensor:
    """A synthesis network's picture with other weights."""
    return functional_call(synthesis, dict(theta), (ws,), options)
