"""In-Domain GAN Inversion for Real Image Editing (Zhu, Shen, Zhao, Zhou; ECCV 2020).

Stages: `invert` (encode, optimise), then `interpolate`, `manipulate`, `mix` on the codes, and
`diffuse`: "semantic diffusion" of a face into other pictures, which is not denoising diffusion.

Symbols: x, the picture; w, its layer-wise codes (the paper's z^inv); G, the generator's synthesis;
E, the domain-guided encoder; F, perceptual features; m, the pasted region; n, a unit normal.
"main Eq." numbers the paper's equations, "suppl." the sections of its supplement.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import weights
from pipelines import domains
from pipelines.domains import PUBLISHED, Tuning
from pipelines.networks import stylegan1, stylegan2
from pipelines.networks.boundary import Boundary
from pipelines.networks.codes import fingerprint, load_codes, save_codes
from pipelines.networks.descent import Report, descend
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.identity import PortraitJudge
from pipelines.networks.indomain_encoder import InDomainEncoder
from pipelines.networks.irse import FaceJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.pictures import as_images, as_tensor, box_mask, equal_blur
from pipelines.results import Diffusion, Fidelity, Inversion, Measures
from pipelines.runtime import OnStep, Placed, Step, choose_device, may_move, stage

METHODS = ("conventional", "domain-guided", "image2stylegan", "in-domain")
# Departs from paper: 5e-5 belongs to squared VGG features of pictures in [0, 255]; our F is a
# distance of order 1 where the mean squared error is of order 0.05, so that both count alike.
LAMBDA_PERCEPTUAL = 0.05
INTERMEDIATE = 5  # pictures of the way that a diffusion keeps for each context
WORDS = {"faithful": 0.01, "close": 0.025}  # up to this blur, a fraction of the side; else "loose"
INSIDE = 0.99  # of validation pictures


class InDomain(Placed):
    """Inverts pictures into the generator's domain and edits them there.

    generator, encoder (E), conventional (the encoder trained on samples alone), perceptual and
    judge are ready modules; boundaries by attribute; calibration: ascending LPIPS distances of
    encoder reconstructions of validation pictures. All are frozen and placed as `Runtime.decide`
    says for device and offload (False, True, "model", "sequential"; None decides by the free
    memory). conventional, judge and calibration may be None where a domain has none; missing: why,
    a sentence for each component.
    """

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
        self.place([n for n in networks if n is not None], device, offload, self.size)

    @classmethod
    def from_pretrained(
        cls,
        domain: str = "clay-heads",
        device: str | None = None,
        offload: bool | str | None = None,
    ) -> InDomain:
        """The method with the weights of a domain; `missing` says what it does without.

        Raises `WeightsError` for an unknown domain and for weights that it cannot do without.
        """
        device = choose_device(device)
        # Hooks move networks about: with offload they must be this object's own.
        stay = functools.partial(weights.shared, device=device)
        load = weights.load if may_move(device, offload) else stay
        return cls(**vars(domains.indomain(domain, load)), device=device, offload=offload)

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
        report = self._reporter(on_step, image_every)
        ws, losses = self.project(
            x, method=method, steps=steps, learning_rate=learning_rate, report=report
        )
        picture = self._synthesise(ws)[0]
        return Inversion(ws.cpu(), picture, method, time.perf_counter() - start, losses)

    @stage
    def interpolate(self, a: Inversion, b: Inversion, count: int = 7) -> list[Image.Image]:
        """`count` (at least 2) pictures from a to b, on the straight line between their codes."""
        if count < 2:
            raise ValueError(f"count must be at least 2, the two ends; got {count}.")
        t = torch.linspace(0, 1, count)[:, None, None]
        return self._synthesise((1 - t) * a.w + t * b.w)

    @stage
    def manipulate(self, inversion: Inversion, changes: Mapping[str, float]) -> Image.Image:
        """The picture with attributes changed, w + sum of distances times n (suppl. Sec. 4).

        changes: by name of a boundary, in the attribute's own unit; 0 changes nothing. Raises
        ValueError for an unknown name or a change that is not a number in the boundary's range.
        """
        w = inversion.w.clone()
        for name, change in changes.items():
            w += self._boundary(name, change).move(float(change))
        return self._synthesise(w)[0]

    @stage
    def mix(self, content: Inversion, style: Inversion, layers: int = 4) -> Image.Image:
        """Content with the codes of its last `layers` layers taken from style (suppl. Sec. 5)."""
        count = content.w.shape[1]
        if not 0 <= layers <= count:
            raise ValueError(f"layers must lie in 0 to {count}, the generator's; got {layers}.")
        w = torch.cat([content.w[:, : count - layers], style.w[:, count - layers :]], dim=1)
        return self._synthesise(w)[0]

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
        mask = box_mask(box, self.size).to(self.device)
        x = torch.cat([self._load(context) for context in contexts])
        stitched = torch.where(mask > 0, self._load(target), x)
        encoded = as_images(self.generator.synthesis(self.encoder(stitched)))
        way: list[list[Image.Image]] = []
        _check_steps(steps)
        report = self._reporter(on_step, image_every, keep=_spread(steps, INTERMEDIATE), kept=way)
        ws, losses = self.project(
            stitched, method=method, steps=steps, learning_rate=learning_rate,
            mask=mask if method == "in-domain" else None, report=report,
        )  # fmt: skip
        images = self._synthesise(ws)
        seconds = time.perf_counter() - start
        codes = ws.cpu().split(1)
        inversions = [
            Inversion(w.clone(), image, method, seconds, losses)
            for w, image in zip(codes, images, strict=True)
        ]
        intermediate = [[step[i] for step in way] for i in range(len(codes))]
        return Diffusion(
            as_images(stitched), encoded, images, intermediate, inversions, losses, seconds
        )

    @stage
    def measure(self, a: Image.Image, b: Image.Image) -> Measures:
        """How alike two pictures are: in pixels, in perceptual features, as the same person."""
        x, y = self._load(a), self._load(b)
        error = (x - y).square().mean().item()
        psnr = 10 * math.log10(4 / error) if error else math.inf
        lpips = self.perceptual(x, y).item()
        if self.judge is None or not self.judge.verifies:
            return Measures(psnr, lpips, None)
        embeddings = [self.judge(picture).embedding for picture in (x, y)]
        return Measures(psnr, lpips, F.cosine_similarity(*embeddings).item())

    @stage
    def fidelity(self, image: Image.Image, inversion: Inversion) -> Fidelity:
        """How faithful an inversion is, measured by blurs of the picture, and whether it could be.

        Not by LPIPS, which the optimisation descends: a distance that is optimised flatters.
        inside: whether E alone rebuilds the picture no worse, in LPIPS, than 99 % of validation
        pictures; optimisation rebuilds pictures from outside the domain too.
        """
        x = self._load(image)
        blur = equal_blur(as_images(x)[0], inversion.image)
        words = next((word for word, widest in WORDS.items() if blur <= widest), "loose")
        if self.calibration is None:
            return Fidelity(blur, words, None)
        encoded = self.generator.synthesis(self.encoder(x)).clamp(-1, 1)
        inside = self.perceptual(x, encoded) <= torch.quantile(self.calibration, INSIDE)
        return Fidelity(blur, words, bool(inside))

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

    def _synthesise(self, ws: Tensor) -> list[Image.Image]:
        return as_images(self.runtime.picture(self.generator.synthesis, ws.to(self.device)))

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

    @staticmethod
    def _reporter(on_step, image_every: int, keep: frozenset[int] = frozenset(), kept=None):
        """A callback for `project` that passes Steps on and keeps pictures of the way."""
        if image_every < 1:
            raise ValueError(f"image_every must be at least 1; got {image_every}.")

        def report(index: int, total: int, loss: float, images: Tensor, _: Tensor) -> bool | None:
            if index in keep:
                kept.append(as_images(images))
            if on_step is None:
                return None
            shown = as_images(images) if index % image_every == 0 or index == total else None
            return on_step(Step("optimise", index, total, loss, shown))

        return report


def _spread(steps: int, count: int) -> frozenset[int]:
    """`count` step numbers spread evenly up to the last one."""
    return frozenset(max(1, round(steps * (k + 1) / count)) for k in range(count))


def _check_steps(steps: int) -> None:
    if not (isinstance(steps, int) and 1 <= steps <= 1000):
        raise ValueError(f"steps must be a whole number from 1 to 1000; got {steps!r}.")


def _check_choice(what: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}; got {value!r}.")
