"""Results of diffusion-driven inversion in files: kept on one day, opened on another.

A file holds codes w alone, as those of the other methods do that draw by the same generator: a code
that was kept here is edited there, and theirs are opened here. Nothing of the U-Net is called.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pipelines.images import as_images
from pipelines.latents import KeepsCodes
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


class DiffusionCodes(Placed, KeepsCodes[Drawn]):
    """Keeps codes and opens them again; generator and fingerprint are those of the domain."""

    generator: Generator
    fingerprint: str

    @stage
    def placed(self, w: Float[Tensor, "1 layers dim"]) -> Drawn:
        """A code with its picture (Eq. 5)."""
        start = time.perf_counter()
        x = self.runtime.picture(self.generator.synthesis, w.to(self.device))
        return Drawn(w.detach().cpu(), as_images(x)[0], time.perf_counter() - start)
