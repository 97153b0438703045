"""Results of diffusion-driven inversion in files: kept on one day, opened on another.

A file holds codes w alone, as those of the other methods do that draw by the same generator: a code
that was kept here is edited there, and theirs are opened here. Nothing of the U-Net is called.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pipelines.images import as_images
from pipelines.latents import Coded, load_codes, only, save_codes
from pipelines.networks.stylegan2 import Generator
from pipelines.runtime import Placed, stage


@dataclass(frozen=True, eq=False)
class Drawn:
    """A code of a file and its picture, image = G(w), detached and on the CPU (safe in gr.State).

    seconds: of drawing it.
    """

    w: Float[Tensor, "1 layers dim"]
    image: Image.Image
    seconds: float


class DiffusionCodes(Placed):
    """Keeps codes and opens them again; generator and fingerprint are those of the domain."""

    generator: Generator
    fingerprint: str

    def keep(self, path: str | Path, results: Mapping[str, Coded]) -> Path:
        """Write the codes of results by name, for `read_codes` and `reopen`."""
        return save_codes(path, {name: r.w for name, r in results.items()}, self.fingerprint)

    def read_codes(self, path: str | Path) -> dict[str, Drawn]:
        """Every code of a file with its picture; ValueError for the codes of another generator."""
        return {name: self.drawn(w) for name, w in self._codes(path).items()}

    def reopen(self, path: str | Path) -> Drawn:
        """The code of a file that holds one.

        ValueError for the code of another generator, and for a file that holds several.
        """
        return self.drawn(only(self._codes(path)))

    @stage
    def drawn(self, w: Float[Tensor, "1 layers dim"]) -> Drawn:
        """A code with its picture (Eq. 5)."""
        start = time.perf_counter()
        x = self.runtime.picture(self.generator.synthesis, w.to(self.device))
        return Drawn(w.detach().cpu(), as_images(x)[0], time.perf_counter() - start)

    def _codes(self, path: str | Path) -> dict[str, Tensor]:
        shape = (self.generator.num_ws, self.generator.w_dim)
        return load_codes(path, self.fingerprint, shape)
