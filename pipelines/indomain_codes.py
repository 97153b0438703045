"""Codes by in-domain inversion, on tensors: found for pictures, and made of other codes.

`project` encodes and optimises (main Eq. 5). `between`, `changed` and `mixed` are what the stages
`interpolate`, `manipulate` and `mix` draw.

Symbols: x, the picture; w, its layer-wise codes (the paper's z^inv); G, the generator's synthesis;
E, the domain-guided encoder; F, perceptual features, and d, their distance; m, the pasted region.
"main Eq." numbers the equations of the paper itself, not of its supplement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pipelines.boundary import Boundary
from pipelines.descent import Report, descend
from pipelines.images import as_images, as_tensor
from pipelines.latents import Coded
from pipelines.measures import Measured
from pipelines.networks import stylegan1, stylegan2
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.indomain_encoder import InDomainEncoder

METHODS = ("conventional", "domain-guided", "image2stylegan", "in-domain")
# Departs from paper: 5e-5 belongs to squared VGG features of pictures in [0, 255]; our F is a
# distance of order 1 where the mean squared error is of order 0.05, so that both count alike.
LAMBDA_PERCEPTUAL = 0.05


@dataclass(frozen=True)
class Tuning:
    """How the optimisation of a whole picture descends.

    rate: of Adam. domain: weight of ||w - E(G(w))||^2. anneal: whether the rate falls to zero over
    the last quarter of the steps.
    """

    rate: float = 0.01
    domain: float = 2.0
    anneal: bool = False


PUBLISHED = Tuning()

# Departs from paper, whose numbers suit its own E and w: on 8 validation portraits, 100 steps, they
# rebuild the clay at 21.3 dB. A rate of 0.1 with annealing gives Image2StyleGAN its best, 23.9 dB;
# with it in-domain reaches 21.3 dB at a weight of 2, 23.9 at 0.05, 24.3 at 0.02, 24.5 at 0.01 and
# 24.9 at 0. This is the largest of these that leaves in-domain ahead. Diffusion keeps the published
# rate: at 0.1 the pasted face gains 2.6 dB and what surrounds it loses 1.9.
TUNINGS = {"clay-heads": Tuning(rate=0.1, domain=0.02, anneal=True)}


class InDomainCodes(Measured):
    """Finds the codes of pictures in the generator's domain, and makes others of them.

    encoder: E; conventional: the encoder trained on samples alone, None where a domain has none;
    boundaries by attribute; missing: why a component is not here, a sentence each.
    """

    generator: stylegan1.Generator | stylegan2.Generator
    encoder: InDomainEncoder | LayerwiseEncoder
    conventional: LayerwiseEncoder | None
    boundaries: dict[str, Boundary]
    missing: dict[str, str]
    tuning: Tuning

    @property
    def methods(self) -> tuple[str, ...]:
        """The METHODS that this domain has the networks for."""
        return tuple(m for m in METHODS if m != "conventional" or self.conventional is not None)

    @property
    def layers(self) -> int:
        """How many codes a picture has, one a layer of the generator."""
        return self.generator.num_ws

    # ---- codes of pictures -------------------------------------------------------------------

    @torch.no_grad()
    def project(
        self,
        x: Float[Tensor, "b 3 h w"],
        *,
        method: str = "in-domain",
        steps: int = 100,
        learning_rate: float | None = None,
        mask: Float[Tensor, "1 1 h w"] | None = None,
        report: Report | None = None,
    ) -> tuple[Float[Tensor, "b layers 512"], tuple[float, ...]]:
        """Codes of pictures in [-1, 1] on `device`, and the mean loss before each step.

        Pictures of a batch do not influence each other. With a mask (1 where the picture counts)
        the encoder term is removed, as semantic diffusion asks, and the rate is the published one:
        the faster a code goes, the less it keeps of what the mask leaves out.
        """
        check_choice("method", method, METHODS)
        check_steps(steps)
        if method == "conventional" and self.conventional is None:
            raise ValueError(self._no_conventional())
        if method in ("conventional", "domain-guided"):
            return (self.conventional if method == "conventional" else self.encoder)(x), ()
        if method == "image2stylegan":  # from the mean code, pixels and features alone
            average = self.generator.mapping.w_avg.to(x).expand(self.layers, -1)
            start = average.repeat(len(x), 1, 1)
            tuning = replace(self.tuning, domain=0.0)
            return self._optimise(start, x, mask, tuning, steps, learning_rate, report)
        tuning = self.tuning if mask is None else replace(PUBLISHED, domain=0.0)
        return self._optimise(self.encoder(x), x, mask, tuning, steps, learning_rate, report)

    def _optimise(
        self,
        start: Tensor,
        x: Tensor,
        mask: Tensor | None,
        tuning: Tuning,
        steps: int,
        learning_rate: float | None,
        report: Report | None,
    ) -> tuple[Tensor, tuple[float, ...]]:
        """Domain-regularised optimisation, main Eq. 5, by Adam on w.

        min_w ||m (x - G(w))||^2 + lambda_perceptual d(m x, m G(w)) + domain ||w - E(G(w))||^2
        """
        x = x if mask is None else x * mask
        features = self.perceptual.stages(x)

        def loss(w: Tensor) -> tuple[Tensor, Tensor]:
            rebuilt = self.generator.synthesis(w)
            seen = rebuilt if mask is None else rebuilt * mask
            each = (x - seen).square().mean((1, 2, 3))
            each = each + LAMBDA_PERCEPTUAL * self.perceptual(seen, features)
            if tuning.domain:
                each = each + tuning.domain * (w - self.encoder(rebuilt)).square().mean((1, 2))
            return each, rebuilt

        rate = tuning.rate if learning_rate is None else learning_rate
        return descend(loss, start, steps, rate, report, anneal=tuning.anneal)

    def _no_conventional(self) -> str:
        why = self.missing.get("conventional-encoder")
        why = why or "train it with `python -m pipelines.training.conventional_encoder`."
        return (
            f"method must be one of {', '.join(self.methods)} in this domain; got 'conventional', "
            f"whose encoder is not here: {why}"
        )

    # ---- codes of other codes ----------------------------------------------------------------

    def between(self, a: Coded, b: Coded, count: int = 7) -> Float[Tensor, "count layers dim"]:
        """The codes of `interpolate`."""
        if count < 2:
            raise ValueError(f"count must be at least 2, the two ends; got {count}.")
        t = torch.linspace(0, 1, count)[:, None, None]
        return (1 - t) * a.w + t * b.w

    def changed(
        self, inversion: Coded, changes: Mapping[str, float]
    ) -> Float[Tensor, "1 layers dim"]:
        """The code of `manipulate`."""
        w = inversion.w.clone()
        for name, change in changes.items():
            w += self._boundary(name, change).move(float(change))
        return w

    def mixed(self, content: Coded, style: Coded, layers: int = 4) -> Float[Tensor, "1 layers dim"]:
        """The code of `mix`."""
        count = content.w.shape[1]
        if not 0 <= layers <= count:
            raise ValueError(f"layers must lie in 0 to {count}, the generator's; got {layers}.")
        return torch.cat([content.w[:, : count - layers], style.w[:, count - layers :]], dim=1)

    def _boundary(self, name: str, change: float) -> Boundary:
        if not self.boundaries:
            raise ValueError(
                f"attribute must have a boundary; got {name!r}, and this domain has none here. "
                "Fetch some, or train them with `python -m pipelines.training.boundaries`."
            )
        check_choice("attribute", name, tuple(self.boundaries))
        boundary = self.boundaries[name]
        if not boundary.low <= change <= boundary.high:  # NaN fails this too
            raise ValueError(
                f"change of {name} must lie in [{boundary.low:g}, {boundary.high:g}]; "
                f"got {change!r}. Move it into that range."
            )
        return boundary

    # ---- from pictures and back --------------------------------------------------------------

    def _load(self, image: Image.Image) -> Float[Tensor, "1 3 h w"]:
        return as_tensor(image, self.size).to(self.device)

    def _encoded(self, x: Tensor) -> Float[Tensor, "b 3 h w"]:
        """G(E(x))."""
        return self.generator.synthesis(self.encoder(x))

    def _render(self, ws: Tensor) -> Float[Tensor, "b 3 h w"]:
        return self.runtime.picture(self.generator.synthesis, ws.to(self.device))

    def _synthesise(self, ws: Tensor) -> list[Image.Image]:
        return as_images(self._render(ws))


def check_steps(steps: int) -> None:
    """ValueError unless these are steps of an optimisation."""
    if not (isinstance(steps, int) and 1 <= steps <= 1000):
        raise ValueError(f"steps must be a whole number from 1 to 1000; got {steps!r}.")


def check_choice(what: str, value: str, choices: Sequence[str]) -> None:
    """ValueError unless a value is one of those that there are."""
    if value not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}; got {value!r}.")
