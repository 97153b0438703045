"""The methods that SAM inversion is compared with (its Table 4.1): a whole picture in one latent.

By optimisation: "w" and "w+" from the mean code (Karras et al., CVPR 2020, App. D; Abdal et al.,
ICCV 2019), "gaussian-prior" (Wulff and Torralba, 2020), "hybrid" (W+ from an encoder's code), "pti"
(pivotal tuning: Roich et al., TOG 2022). By encoders: "e4e" (Tov et al., SIGGRAPH 2021) and
"restyle" (Alaluf et al., ICCV 2021), which are trained by `pipelines.training.baseline_encoders`.

Symbols: x, a picture; w, its codes; G, the synthesis network; d, the perceptual distance; p, the
pivot of PTI; theta, the weights of G.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from pipelines.descent import Report, descend, joined, parted, rebuilding
from pipelines.latent_space import LatentSpace
from pipelines.networks.encoders import GuidedEncoder, OffsetEncoder
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.psp import Encoder4Editing
from pipelines.networks.stylegan2 import Generator

OPTIMISED = ("w", "w+", "gaussian-prior", "hybrid", "pti")
ENCODED = ("e4e", "restyle")
BASELINES = (*OPTIMISED, *ENCODED)
# Departs from paper: PTI tunes at 3e-4 for 350 steps; fewer steps get a higher rate. 1e-3, 2e-3 and
# 4e-3 give 24.3, 24.5 and 23.9 dB on four hard validation portraits in 30 steps.
TUNING_RATE = 2e-3
LAMBDA_PRIOR = 1e-2  # of the mean over the numbers of w
LAMBDA_LOCALITY, LOCALITY = 0.1, 30.0  # PTI Eq. 4: weight, and distance of w_r from the pivot
LAZY = 4  # Departs from paper: locality counts in every fourth step, four times; half the cost
PASSES = 5  # of ReStyle


@dataclass(frozen=True)
class Rival:
    """Codes by one of BASELINES, and the loss before each step. tuned: PTI's weights by name."""

    w: Float[Tensor, "b layers dim"]
    losses: tuple[float, ...] = ()
    tuned: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Baselines:
    """What the methods need: ready modules on one device.

    encoder: where "hybrid" starts; encoders: those of ENCODED that are there; perceptual_weight: of
    d beside the squared error; rate, far: of Adam on codes from the encoder's and from the mean.
    """

    generator: Generator
    encoder: nn.Module
    perceptual: PerceptualDistance
    space: LatentSpace
    encoders: Mapping[str, nn.Module] = field(default_factory=dict)
    perceptual_weight: float = 1.0
    rate: float = 0.05
    far: float = 0.05

    @torch.no_grad()
    def project(
        self,
        x: Float[Tensor, "b 3 h w"],
        method: str,
        *,
        steps: int = 100,
        report: Report | None = None,
        pivot: Float[Tensor, "1 layers dim"] | None = None,
    ) -> Rival:
        """Pictures in [-1, 1] by one method.

        "pti" takes one picture, and `steps` twice; once where its pivot, a code of W, is given.
        """
        if method in ENCODED:
            return Rival(self._encode(x, method))
        if method == "pti":
            if len(x) != 1:
                raise ValueError(f"pti tunes the generator to one picture; got {len(x)}. Give one.")
            if pivot is not None:
                return self._tune(x, Rival(pivot.to(x)), steps, report)
            found = self.project(x, "w", steps=steps, report=_half(report, 0, steps))
            return self._tune(x, found, steps, _half(report, steps, steps))
        layers = self.generator.num_ws
        if method == "hybrid":
            start, rate = self.encoder(x), self.rate
        else:
            rate = self.far
            start = self.space.mean.to(x).expand(len(x), 1 if method == "w" else layers, -1)
        distance = rebuilding(self.perceptual, x, self.perceptual_weight)

        def loss(w: Tensor) -> tuple[Tensor, Tensor]:
            rebuilt = self.generator.synthesis(w.expand(-1, layers, -1))
            each = distance(rebuilt)
            if method == "gaussian-prior":
                each = each + LAMBDA_PRIOR * self.space.prior(w)
            return each, rebuilt

        w, losses = descend(loss, start, steps, rate, report, anneal=True)
        return Rival(w.expand(-1, layers, -1).clone(), losses)

    def _encode(self, x: Tensor, method: str) -> Tensor:
        encoder = self.encoders[method]
        return restyle(encoder, self.generator, x) if method == "restyle" else encoder(x)

    def _tune(self, x: Tensor, pivot: Rival, steps: int, report: Report | None) -> Rival:
        """min_theta ||x - G(p; theta)||^2 + lambda d + locality, from the pivot p in W."""
        synthesis = self.generator.synthesis
        names, first = zip(*((n, p[None]) for n, p in synthesis.named_parameters()), strict=True)
        shapes = [p.shape[1:] for p in first]
        distance = rebuilding(self.perceptual, x, self.perceptual_weight)
        random, step = torch.Generator().manual_seed(0), itertools.count(1)

        def loss(row: Tensor) -> tuple[Tensor, Tensor]:
            pieces = parted(row, shapes)
            theta = {name: p[0] for name, p in zip(names, pieces, strict=True)}
            if next(step) % LAZY:
                rebuilt = functional_call(synthesis, theta, (pivot.w,))
                return distance(rebuilt), rebuilt
            # Locality: what lies around the pivot must stay as it was.
            ws = torch.cat([pivot.w, self._nearby(pivot.w, random)])
            rebuilt, near = functional_call(synthesis, theta, (ws,)).split(1)
            as_before = rebuilding(self.perceptual, synthesis(ws[1:]), self.perceptual_weight)
            return distance(rebuilt) + LAZY * LAMBDA_LOCALITY * as_before(near), rebuilt

        row, losses = descend(loss, joined(first), steps, TUNING_RATE, report, anneal=True)
        tuned = {name: p[0] for name, p in zip(names, parted(row, shapes), strict=True)}
        return Rival(pivot.w, (*pivot.losses, *losses), tuned)

    def _nearby(self, pivot: Tensor, random: torch.Generator) -> Tensor:
        """w_r of PTI Eq. 3, on the way from the pivot to a sample, LOCALITY from it at most."""
        z = torch.randn(1, self.generator.z_dim, generator=random).to(pivot)
        way = self.generator.mapping(z) - pivot
        length = way[:, :1].norm(dim=2, keepdim=True)
        return pivot + way * (LOCALITY / length).clamp(max=1)


def restyle(
    encoder: GuidedEncoder, generator: Generator, x: Float[Tensor, "b 3 h w"], passes: int = PASSES
) -> Float[Tensor, "b layers dim"]:
    """w_0 = the mean, w_{t+1} = w_t + R(x, G(w_t))."""
    w = generator.mapping.w_avg.to(x).expand(len(x), generator.num_ws, -1)
    for _ in range(passes):
        rebuilt = generator.synthesis(w)
        w = w + encoder(x, F.adaptive_avg_pool2d(rebuilt, x.shape[-2:]))
    return w


# What baselines ask of a domain -> the components that can give it, by class.
E4E = {"offset-encoder": OffsetEncoder, "e4e-encoder": Encoder4Editing}
RESTYLE = {"restyle-encoder": GuidedEncoder}


def _half(report: Report | None, before: int, steps: int) -> Report | None:
    """Counts one of two runs of so many steps as half of the whole; its last step is not."""
    if report is None:
        return None
    return lambda index, total, *rest: report(before + index, 2 * steps, *rest)
