"""Putting pictures into a generator's latents by SAM inversion, on tensors (Secs. 3.2 and 3.3).

`project` optimises codes and feature changes together, `encoded` takes both from encoders; each
for a map that says which latent every place of a picture takes.

Symbols: x, a picture; w (w+), its layer-wise codes; F_k, features after layer k; delta (Delta f),
what is added to them; m, the mask of a feature latent; d, the perceptual distance.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from pipelines.descent import Report, descend, joined, parted, rebuilding
from pipelines.invertibility import level_of, masks_of
from pipelines.latent_space import LatentSpace
from pipelines.measures import Measured
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.psp import AtItsSize
from pipelines.networks.sam_encoders import SAMEncoders
from pipelines.networks.stylegan2 import Generator


@dataclass(frozen=True)
class Tuning:
    """What suits a domain: tau, Adam's rates and the weights of Eqs. 3.5 to 3.8.

    rate, far: of codes that start at an encoder's, and at the mean code. perceptual: of d.
    feature: of the mean square of Delta f (Eq. 3.7). variation, prior: of the two terms of Eq. 3.6,
    each a mean over the numbers of w.
    """

    tau: float = 0.225
    rate: float = 0.05
    far: float = 0.05
    perceptual: float = 1.0
    feature: float = 5.0
    variation: float = 1e-3
    prior: float = 1e-4  # the published 1e-8 is of a sum over 18 x 512 numbers


PUBLISHED = Tuning()
# Clay's d has weights of 1 and is several times LPIPS-VGG, so that it counts for less here and tau
# is higher; at a feature weight of 5 an object before a face was not rebuilt at all in 30 steps of
# F6. At this tau 8 hard validation portraits are rebuilt at 24.6 dB in 60 steps, 19.9 where a thing
# is before the face, with 38 % in W+; at 0.15 26.4, 21.8 and 11 %, at 0.45 23.2, 18.2 and 57 %.
# At rates of 0.05, 0.1 and 0.2 30 steps of SAM give 23.7, 23.9 and 23.5 dB there, of W+ from the
# encoder 22.1, 22.4 and 21.8, of W+ from the mean 18.9, 19.3 and 20.0. The other two are not tuned.
TUNINGS = {"clay-heads": Tuning(tau=0.3, rate=0.1, far=0.2, perceptual=0.25, feature=0.1)}


class MultilayerProjector(Measured):
    """Rebuilds pictures in several latents at once.

    encoder gives the codes that w+ starts from; encoders: one a latent, None where a domain has
    none; where it has them, optimisation starts at what they give. blocks: F_k -> the block output
    that it is; latents: W+ and the names of `blocks`.
    """

    generator: Generator
    encoder: LayerwiseEncoder | AtItsSize
    encoders: SAMEncoders | None
    tuning: Tuning
    blocks: dict[str, str]
    latents: tuple[str, ...]

    @functools.cached_property
    def space(self) -> LatentSpace:
        """Principal directions and the Gaussian prior of W, from samples."""
        return LatentSpace.explore(self.generator.mapping, self.device)

    @torch.no_grad()
    def project(
        self,
        x: Float[Tensor, "b 3 h w"],
        chosen: Int[Tensor, "b h2 w2"],
        *,
        steps: int = 100,
        tuning: Tuning | None = None,
        report: Report | None = None,
    ) -> tuple[Float[Tensor, "b layers dim"], dict[str, Tensor], tuple[float, ...]]:
        """w+ and Delta f of pictures in [-1, 1] on `device`, and the mean loss before each step.

        chosen: the latent of each place by index. Pictures of a batch do not influence each other.
        """
        tuning = tuning or self.tuning
        masks = self.masks(chosen)
        distance = rebuilding(self.perceptual, x, tuning.perceptual)
        first = self._first(x, chosen, masks)
        shapes = [part.shape[1:] for part in first]

        def loss(row: Tensor) -> tuple[Tensor, Tensor]:
            w, *changes = parted(row, shapes)
            deltas = dict(zip(masks, changes, strict=True))
            rebuilt = self.generator.synthesis(w, deltas=deltas, masks=masks)  # Eqs. 3.3 and 3.4
            each = distance(rebuilt)  # Eq. 3.5
            each = each + tuning.variation * (w - w[:, :1]).square().mean((1, 2))  # Eq. 3.6
            each = each + tuning.prior * self.space.prior(w)
            for delta in changes:  # Eq. 3.7
                each = each + tuning.feature * delta.square().mean((1, 2, 3))
            return each, rebuilt

        row, losses = descend(loss, joined(first), steps, tuning.rate, report, anneal=True)
        w, *changes = parted(row, shapes)
        return w, dict(zip(masks, changes, strict=True)), losses

    def _first(self, x: Tensor, chosen: Tensor, masks: dict[str, Tensor]) -> list[Tensor]:
        """w+ and every Delta f to start from: those of the encoders, where a domain has them."""
        if self.encoders is None:
            return [self.encoder(x), *(self._zeros(name, len(x)) for name in masks)]
        # Departs from paper: it starts w+ at an encoder's code and every Delta f at 0.
        w, deltas = self.encoded(x, chosen)
        return [w, *(deltas[name] * (mask > 0) for name, mask in masks.items())]

    def started(
        self, x: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b layers dim"], Float[Tensor, "b 3 h w"]]:
        """The codes that w+ starts from and their pictures."""
        w = self.encoder(x)
        return w, self.generator.synthesis(w)

    def encoded(
        self,
        x: Float[Tensor, "b 3 h w"],
        chosen: Int[Tensor, "b h2 w2"],
        start: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Float[Tensor, "b layers dim"], dict[str, Tensor]]:
        """w+ and Delta f of pictures in [-1, 1] by one encoder a latent; gradients reach them.

        start: what `started` gives, where it is known.
        """
        hot = F.one_hot(chosen.to(self.device).long(), len(self.latents)).permute(0, 3, 1, 2)
        hot = F.interpolate(hot.float(), x.shape[-2:], mode="nearest")
        w, y = self.started(x) if start is None else start
        # Departs from paper: the encoder of W+ says what to add to the domain's own encoder's
        # code, as optimisation starts there too; so minutes of training are enough.
        offset, deltas = self.encoders(x, y, hot, list(self.masks(chosen)))
        return w + offset, dict(deltas)

    def masks(self, chosen: Int[Tensor, "b h w"]) -> dict[str, Tensor]:
        """m of each feature layer that is chosen somewhere, by block output name."""
        return masks_of(chosen.to(self.device), tuple(self.blocks.values()))

    @property
    def features(self) -> dict[str, tuple[int, int, int]]:
        """Channels, height and width of each feature layer by block output name."""
        found = {}
        for name in self.blocks.values():
            side = level_of(name)
            channels = len(getattr(self.generator.synthesis, f"b{side}").conv1.bias)
            found[name] = (channels, side, side)
        return found

    def _zeros(self, name: str, count: int) -> Float[Tensor, "b c h w"]:
        return torch.zeros(count, *self.features[name], device=self.device)
