"""In-Domain GAN Inversion for Real Image Editing (Zhu, Shen, Zhao, Zhou; ECCV 2020).

Stages: `invert` (encode, optimise), then `interpolate`, `manipulate`, `mix` on the codes, and
`diffuse`: "semantic diffusion" of a face into other pictures, which is not denoising diffusion.

Symbols: x, the picture; w, its layer-wise codes (the paper's z^inv); G, the generator's synthesis;
E, the domain-guided encoder; F, perceptual features; m, the pasted region; n, a unit normal.
"main Eq." numbers the paper's equations, "suppl." the sections of its supplement.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

import weights
from pipelines.boundary import Boundary, boundaries_from
from pipelines.components import GENERATOR, PERCEPTUAL, Components
from pipelines.descent import Report, descend, reporter
from pipelines.images import as_images, as_tensor, box_mask
from pipelines.latents import fingerprint, load_codes, only, save_codes
from pipelines.measures import Measured, Measures
from pipelines.networks import stylegan1, stylegan2
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.indomain_encoder import InDomainEncoder
from pipelines.networks.irse import FaceJudge
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.runtime import OnStep, stage

METHODS = ("conventional", "domain-guided", "image2stylegan", "in-domain")
# Departs from paper: 5e-5 belongs to squared VGG features of pictures in [0, 255]; our F is a
# distance of order 1 where the mean squared error is of order 0.05, so that both count alike.
LAMBDA_PERCEPTUAL = 0.05
INTERMEDIATE = 5  # pictures of the way that a diffusion keeps for each context
# What this paper asks of a domain -> the components that can give it, by class.
ENCODER = {"indomain-encoder": LayerwiseEncoder, "stylegan1-encoder": InDomainEncoder}
CONVENTIONAL = {"conventional-encoder": LayerwiseEncoder}


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


@dataclass(frozen=True)
class Inversion:
    """Result of `invert`: codes w, detached on CPU (safe inside gr.State), and G(w).

    measures: of G(w) beside the picture; None for the code of a file.
    """

    w: Float[Tensor, "1 layers 512"]
    image: Image.Image
    method: str
    seconds: float
    losses: tuple[float, ...] = ()
    measures: Measures | None = None


@dataclass(frozen=True)
class Diffusion:
    """Result of `diffuse`; every list has one item a context.

    stitched: copy and paste; encoded: G(E(stitched)); images: after optimisation; intermediate:
    up to five pictures of the way each, none of a run stopped before the first.
    """

    stitched: list[Image.Image]
    encoded: list[Image.Image]
    images: list[Image.Image]
    intermediate: list[list[Image.Image]]
    inversions: list[Inversion]
    losses: tuple[float, ...]
    seconds: float


class InDomain(Measured):
    """Inverts pictures into the generator's domain and edits them there.

    generator, encoder (E), conventional (the encoder trained on samples alone), perceptual and
    judge are ready modules; boundaries by attribute; calibration: ascending LPIPS distances of
    encoder reconstructions of validation pictures. All are frozen and placed as `Runtime.decide`
    says for device and offload (False, True, "model", "sequential"; None decides by the free
    memory). conventional, judge and calibration may be None where a domain has none; missing: why,
    a sentence for each component.
    """

    paper = "indomain"

    def __init__(
        self,
        generator: stylegan1.Generator | stylegan2.Generator,
        encoder: InDomainEncoder | LayerwiseEncoder,
        conventional: LayerwiseEncoder | None,
        perceptual: PerceptualDistance,
        judge: PortraitJudge | FaceJudge | None,
        boundaries: Mapping[str, Boundary],
        calibration: Float[Tensor, " n"] | None,
        device: str | torch.device | None = None,
        offload: bool | str | None = None,
        missing: Mapping[str, str] | None = None,
        tuning: Tuning = PUBLISHED,
    ):
        self.generator, self.encoder, self.conventional = generator, encoder, conventional
        self.perceptual, self.judge = perceptual, judge
        self.boundaries, self.calibration = dict(boundaries), calibration
        self.missing, self.tuning = dict(missing or {}), tuning
        self.size = generator.resolution
        self.fingerprint = fingerprint(generator.synthesis)
        # Not `perceptual` itself: calling `stages` would pass a hook on the whole by.
        distance = (perceptual.lpips.scaling_layer, perceptual.lpips.net)
        networks = (generator.synthesis, encoder, conventional, judge, *distance)
        self.place(networks, device, offload, self.size)

    @classmethod
    def arguments(cls, found: Components) -> dict[str, Any]:
        """What the constructor takes of a domain; `missing` says what the domain does without."""
        networks = {
            "generator": found.network(GENERATOR),
            "judge": found.judge(),
            "boundaries": boundaries_from(found.tensors("boundaries") | found.tensors("boundary-")),
            "encoder": found.network(ENCODER),
            "conventional": found.network(CONVENTIONAL),
            "perceptual": found.network(PERCEPTUAL),
            "calibration": found.tensors("indomain-calibration").get("distance"),
        }
        _check_fit(networks["generator"], networks["encoder"], networks["boundaries"], found.domain)
        return networks | {
            "missing": found.missing,
            "tuning": TUNINGS.get(found.domain, PUBLISHED),
        }

    @property
    def methods(self) -> tuple[str, ...]:
        """The METHODS that this domain has the networks for."""
        return tuple(m for m in METHODS if m != "conventional" or self.conventional is not None)

    @property
    def layers(self) -> int:
        """How many codes a picture has, one a layer of the generator."""
        return self.generator.num_ws

    # ---- results kept in files ---------------------------------------------------------------

    def keep(self, path: str | Path, inversions: Mapping[str, Inversion]) -> Path:
        """Write the codes of inversions by name, for `restore`."""
        codes = {name: inversion.w for name, inversion in inversions.items()}
        return save_codes(path, codes, self.fingerprint)

    def restore(
        self, path: str | Path, others: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Inversion]:
        """Inversions by name from a file of `keep`; no network runs.

        others: their other fields, for the file holds neither pictures nor numbers. ValueError for
        the codes of another generator.
        """
        shape = (self.layers, self.generator.w_dim)
        codes = load_codes(path, self.fingerprint, shape)
        return {name: Inversion(w=codes[name], **fields) for name, fields in others.items()}

    @stage
    def placed(
        self, w: Float[Tensor, "1 layers dim"], image: Image.Image | None = None
    ) -> Inversion:
        """The inversion that a code is already; image: the picture that it stands for, if any."""
        begin, w = time.perf_counter(), torch.as_tensor(w)
        rebuilt, measures = self._render(w), None
        if image is not None:
            x = self._load(image)
            (measures,) = self.compare(x, rebuilt, self._encoded(x))
        seconds = time.perf_counter() - begin
        return Inversion(w, as_images(rebuilt)[0], "given code", seconds, (), measures)

    def read_codes(self, path: str | Path) -> dict[str, Inversion]:
        """Every code of a file, with the picture that it makes; ValueError for another generator's
        codes."""
        shape = (self.layers, self.generator.w_dim)
        codes = load_codes(path, self.fingerprint, shape)
        return {name: self.placed(w) for name, w in codes.items()}

    def reopen(self, path: str | Path) -> Inversion:
        """The inversion of a file of `keep` that holds one, its picture made anew.

        ValueError for the codes of another generator, and for a file that holds several.
        """
        codes = load_codes(path, self.fingerprint, (self.layers, self.generator.w_dim))
        return self.placed(only(codes))

    # ---- stages on pictures ------------------------------------------------------------------

    @stage(times=lambda given: given["method"] in METHODS[2:])
    def invert(
        self,
        image: Image.Image,
        *,
        method: str = "in-domain",
        steps: int = 100,
        learning_rate: float | None = None,
        image_every: int = 10,
        on_step: OnStep | None = None,
    ) -> Inversion:
        """Codes that rebuild a picture, centre-cropped to a square.

        method: one of METHODS; the first two only encode. steps: 1 to 1000 (published: 100);
        learning_rate of Adam, None for the one that suits the domain. on_step may return True to
        stop with the result so far; every `image_every` steps it is handed the picture. Raises
        ValueError for unusable arguments.
        """
        start = time.perf_counter()
        x = self._load(image)
        seen: list[Tensor] = []  # what the optimisation starts from, G(E(x)) if it is in-domain

        def look(index: int, pictures: Tensor) -> None:
            if index == 1:
                seen.append(pictures)

        report = reporter("optimise", on_step, image_every, look)
        ws, losses = self.project(
            x, method=method, steps=steps, learning_rate=learning_rate, report=report
        )
        rebuilt = self._render(ws)
        seconds = time.perf_counter() - start
        # Two methods make G(E(x)) on their way, by which it is told what is inside the domain.
        guided = {"domain-guided": rebuilt, "in-domain": seen[0] if seen else None}
        encoded = guided[method] if method in guided else self._encoded(x)
        (measures,) = self.compare(x, rebuilt, encoded)
        return Inversion(ws.cpu(), as_images(rebuilt)[0], method, seconds, losses, measures)

    @stage
    def interpolate(self, a: Inversion, b: Inversion, count: int = 7) -> list[Image.Image]:
        """`count` (at least 2) pictures from a to b, on the straight line between their codes."""
        return self._synthesise(self.between(a, b, count))

    def between(
        self, a: Inversion, b: Inversion, count: int = 7
    ) -> Float[Tensor, "count layers dim"]:
        """The codes of `interpolate`."""
        if count < 2:
            raise ValueError(f"count must be at least 2, the two ends; got {count}.")
        t = torch.linspace(0, 1, count)[:, None, None]
        return (1 - t) * a.w + t * b.w

    @stage
    def manipulate(self, inversion: Inversion, changes: Mapping[str, float]) -> Image.Image:
        """The picture with attributes changed, w + sum of distances times n (suppl. Sec. 4).

        changes: by name of a boundary, in the attribute's own unit; 0 changes nothing. Raises
        ValueError for an unknown name or a change that is not a number in the boundary's range.
        """
        return self._synthesise(self.changed(inversion, changes))[0]

    def changed(
        self, inversion: Inversion, changes: Mapping[str, float]
    ) -> Float[Tensor, "1 layers dim"]:
        """The code of `manipulate`."""
        w = inversion.w.clone()
        for name, change in changes.items():
            w += self._boundary(name, change).move(float(change))
        return w

    @stage
    def mix(self, content: Inversion, style: Inversion, layers: int = 4) -> Image.Image:
        """Content with the codes of its last `layers` layers taken from style (suppl. Sec. 5)."""
        return self._synthesise(self.mixed(content, style, layers))[0]

    def mixed(
        self, content: Inversion, style: Inversion, layers: int = 4
    ) -> Float[Tensor, "1 layers dim"]:
        """The code of `mix`."""
        count = content.w.shape[1]
        if not 0 <= layers <= count:
            raise ValueError(f"layers must lie in 0 to {count}, the generator's; got {layers}.")
        return torch.cat([content.w[:, : count - layers], style.w[:, count - layers :]], dim=1)

    @stage(times=lambda given: len(given["contexts"]))
    def diffuse(
        self,
        target: Image.Image,
        contexts: Sequence[Image.Image],
        box: tuple[float, float, float, float],
        *,
        method: str = "in-domain",
        steps: int = 100,
        learning_rate: float | None = None,
        image_every: int = 10,
        on_step: OnStep | None = None,
    ) -> Diffusion:
        """The target's box carried into each context and fused with it (suppl. Sec. 6).

        Copy, paste, encode, then optimise with the box alone in both losses and without the
        encoder term. box: left, top, right, bottom as fractions of the centre-cropped pictures.
        method: "in-domain" or, to compare, "image2stylegan", which rebuilds the whole stitched
        picture, seam included (suppl. Fig. 12). Other arguments as for `invert`.
        """
        start = time.perf_counter()
        _check_choice("method", method, METHODS[2:])
        if not contexts:
            raise ValueError("contexts must hold at least one picture; got none. Choose one.")
        # Copy and paste.
        mask = box_mask(box, self.size).to(self.device)
        x = torch.cat([self._load(context) for context in contexts])
        stitched = torch.where(mask > 0, self._load(target), x)
        # Optimise, with the box alone in both losses.
        _check_steps(steps)
        seen: list[Tensor] = []
        way, kept = [], _spread(steps, INTERMEDIATE)

        def look(index: int, pictures: Tensor) -> None:
            if index == 1:
                seen.append(pictures)
            if index in kept:
                way.append(as_images(pictures))

        report = reporter("optimise", on_step, image_every, look)
        ws, losses = self.project(
            stitched, method=method, steps=steps, learning_rate=learning_rate,
            mask=mask if method == "in-domain" else None, report=report,
        )  # fmt: skip
        # In-domain optimisation has begun with G(E(stitched)).
        encoded = seen[0] if method == "in-domain" else self._encoded(stitched)
        # One result a context.
        images = self._synthesise(ws)
        seconds = time.perf_counter() - start
        codes = ws.cpu().split(1)
        inversions = [
            Inversion(w.clone(), image, method, seconds, losses)
            for w, image in zip(codes, images, strict=True)
        ]
        intermediate = [[step[i] for step in way] for i in range(len(codes))]
        return Diffusion(
            as_images(stitched), as_images(encoded), images, intermediate, inversions, losses,
            seconds,
        )  # fmt: skip

    @stage
    def inside(self, images: Sequence[Image.Image]) -> list[bool | None]:
        """Whether pictures are inside the domain; None where no calibration says so."""
        if self.calibration is None:
            return [None] * len(images)
        x = torch.cat([self._load(image) for image in images])
        return self.told_inside(x, self._encoded(x))

    # ---- the method on tensors ---------------------------------------------------------------

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
        _check_choice("method", method, METHODS)
        _check_steps(steps)
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

    def _load(self, image: Image.Image) -> Float[Tensor, "1 3 h w"]:
        return as_tensor(image, self.size).to(self.device)

    def _encoded(self, x: Tensor) -> Float[Tensor, "b 3 h w"]:
        """G(E(x))."""
        return self.generator.synthesis(self.encoder(x))

    def _render(self, ws: Tensor) -> Float[Tensor, "b 3 h w"]:
        return self.runtime.picture(self.generator.synthesis, ws.to(self.device))

    def _synthesise(self, ws: Tensor) -> list[Image.Image]:
        return as_images(self._render(ws))

    def _no_conventional(self) -> str:
        why = self.missing.get("conventional-encoder")
        why = why or "train it with `python -m pipelines.training.conventional_encoder`."
        return (
            f"method must be one of {', '.join(self.methods)} in this domain; got 'conventional', "
            f"whose encoder is not here: {why}"
        )

    def _boundary(self, name: str, change: float) -> Boundary:
        if not self.boundaries:
            raise ValueError(
                f"attribute must have a boundary; got {name!r}, and this domain has none here. "
                "Fetch some, or train them with `python -m pipelines.training.boundaries`."
            )
        _check_choice("attribute", name, tuple(self.boundaries))
        boundary = self.boundaries[name]
        if not boundary.low <= change <= boundary.high:  # NaN fails this too
            raise ValueError(
                f"change of {name} must lie in [{boundary.low:g}, {boundary.high:g}]; "
                f"got {change!r}. Move it into that range."
            )
        return boundary


def _spread(steps: int, count: int) -> frozenset[int]:
    """`count` step numbers spread evenly up to the last one."""
    return frozenset(max(1, round(steps * (k + 1) / count)) for k in range(count))


def _check_steps(steps: int) -> None:
    if not (isinstance(steps, int) and 1 <= steps <= 1000):
        raise ValueError(f"steps must be a whole number from 1 to 1000; got {steps!r}.")


def _check_choice(what: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}; got {value!r}.")


def _check_fit(generator: Any, encoder: Any, boundaries: Mapping, domain: str) -> None:
    """Raise unless all pieces are for pictures and codes of one size."""
    sizes = [(n.resolution, n.num_ws, n.w_dim) for n in (generator, encoder)]
    if sizes[0] != sizes[1]:
        raise weights.WeightsError(
            f"{domain}: expected an encoder for {sizes[0]} (pixels, layers, length of a code), as "
            f"the generator has them; got one for {sizes[1]}; pin the pair that belongs together."
        )
    for name, boundary in boundaries.items():
        if len(boundary.layers) != generator.num_ws:
            raise weights.WeightsError(
                f"{domain}: expected the boundary {name} for {generator.num_ws} layers; got one "
                f"for {len(boundary.layers)}; pin one that belongs to the generator."
            )
