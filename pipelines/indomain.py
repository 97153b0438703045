"""In-Domain GAN Inversion for Real Image Editing (Zhu, Shen, Zhao, Zhou; ECCV 2020).

Stages: `invert` (encode, optimise), then `interpolate`, `manipulate`, `mix` on the codes, and
`diffuse`: "semantic diffusion" of a face into other pictures, which is not denoising diffusion.
How codes are found and made of others, on tensors, stands in `indomain_codes`.

Symbols: x, the picture; w, its layer-wise codes (the paper's z^inv); G, the generator's synthesis;
E, the domain-guided encoder; n, a unit normal. "suppl." numbers the sections of the supplement.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

import weights
from pipelines.boundary import Boundary, boundaries_from
from pipelines.components import GENERATOR, PERCEPTUAL, Components
from pipelines.descent import reporter
from pipelines.images import as_images, box_mask
from pipelines.indomain_codes import (
    METHODS,
    PUBLISHED,
    TUNINGS,
    InDomainCodes,
    Tuning,
    check_choice,
    check_steps,
)
from pipelines.latents import KeepsCodes, fingerprint
from pipelines.measures import Measures
from pipelines.networks import stylegan1, stylegan2
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.indomain_encoder import InDomainEncoder
from pipelines.networks.irse import FaceJudge
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.runtime import OnStep, stage

INTERMEDIATE = 5  # pictures of the way that a diffusion keeps for each context
# What this paper asks of a domain -> the components that can give it, by class.
ENCODER = {"indomain-encoder": LayerwiseEncoder, "stylegan1-encoder": InDomainEncoder}
CONVENTIONAL = {"conventional-encoder": LayerwiseEncoder}


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


class InDomain(InDomainCodes, KeepsCodes[Inversion]):
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

    # ---- results kept in files ---------------------------------------------------------------

    def restore(
        self, path: str | Path, others: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Inversion]:
        """Inversions by name from a file of `keep`; no network runs.

        others: their other fields, for the file holds neither pictures nor numbers. ValueError for
        the codes of another generator.
        """
        codes = self.codes_in(path)
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

    @stage
    def manipulate(self, inversion: Inversion, changes: Mapping[str, float]) -> Image.Image:
        """The picture with attributes changed, w + sum of distances times n (suppl. Sec. 4).

        changes: by name of a boundary, in the attribute's own unit; 0 changes nothing. Raises
        ValueError for an unknown name or a change that is not a number in the boundary's range.
        """
        return self._synthesise(self.changed(inversion, changes))[0]

    @stage
    def mix(self, content: Inversion, style: Inversion, layers: int = 4) -> Image.Image:
        """Content with the codes of its last `layers` layers taken from style (suppl. Sec. 5)."""
        return self._synthesise(self.mixed(content, style, layers))[0]

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
        check_choice("method", method, METHODS[2:])
        if not contexts:
            raise ValueError("contexts must hold at least one picture; got none. Choose one.")
        # Copy and paste.
        mask = box_mask(box, self.size).to(self.device)
        x = torch.cat([self._load(context) for context in contexts])
        stitched = torch.where(mask > 0, self._load(target), x)
        # Optimise, with the box alone in both losses.
        check_steps(steps)
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


def _spread(steps: int, count: int) -> frozenset[int]:
    """`count` step numbers spread evenly up to the last one."""
    return frozenset(max(1, round(steps * (k + 1) / count)) for k in range(count))


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
