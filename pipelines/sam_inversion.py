"""Spatially-Adaptive Multilayer Selection for GAN Inversion and Editing (Parmar, Li, Lu, Zhang,
Zhu, Singh; CVPR 2022; "SAM" is no abbreviation of Segment Anything here).

Stages: `invertibility` (how badly each latent would rebuild each segment; `latent_map` makes a map
of latents of it, at any threshold), then `invert` (optimisation) or `encode` (one forward pass),
then `edit`. `baseline` inverts by the methods of Table 4.1. What `invert` and `encode` do with
tensors stands in `multilayer_projector`, editing and files of inversions in `multilayer_editor`.
Numbers are those of the thesis of the first author, which has the same method (Chapter 3).

Symbols: x, a picture; w (w+), its layer-wise codes; F_k, features after layer k; delta (Delta f),
what is added to them; m, the mask of a feature latent; tau, the error under which a latent will do;
e_l, the error of latent l; G, the synthesis network; d, the perceptual distance.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import weights
from pipelines.baselines import BASELINES, E4E, ENCODED, OPTIMISED, RESTYLE, Baselines
from pipelines.boundary import Boundary, boundaries_from
from pipelines.components import PERCEPTUAL, Components
from pipelines.descent import reporter
from pipelines.images import as_images, as_tensor
from pipelines.invertibility import (
    SIDE,
    W_PLUS,
    InvertibilityMaps,
    checked,
    every_pixel,
    feature_layers,
    latent_map,
    resized,
    segments_of,
)
from pipelines.latents import fingerprint
from pipelines.measures import Measures
from pipelines.multilayer_codes import Inversion
from pipelines.multilayer_editor import MultilayerEditor
from pipelines.multilayer_projector import PUBLISHED, TUNINGS, Tuning
from pipelines.networks.bisenet import BiSeNet
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.invertibility import InvertibilityNet
from pipelines.networks.irse import FaceJudge
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.parser import FaceParser
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.psp import AtItsSize, Encoder4Editing
from pipelines.networks.sam_encoders import SAMEncoders
from pipelines.networks.stylegan2 import Generator
from pipelines.runtime import OnStep, stage

# What this paper asks of a domain -> the components that can give it, by class.
START = {"indomain-encoder": LayerwiseEncoder, "e4e-encoder": Encoder4Editing}
PARSER = {"parser": FaceParser}
COMPONENTS = {"e4e": "offset-encoder", "restyle": "restyle-encoder"}
RECIPES = {
    "encode": "python -m pipelines.training.sam_encoders",
    "e4e": "python -m pipelines.training.baseline_encoders --kind e4e",
    "restyle": "python -m pipelines.training.baseline_encoders --kind restyle",
}


class SAMInversion(MultilayerEditor):
    """Inverts each segment of a picture in the earliest latent that can rebuild it.

    generator, encoder (where w+ starts), invertibility (S), parser, perceptual, judge and encoders
    are ready modules; parser None: superpixels alone; invertibility, judge and encoders may be None
    where a domain has none. rivals: encoders by name of ENCODED; boundaries by attribute. All are
    frozen and placed as `Runtime.decide` says for device and offload. missing: why a component is
    not here, a sentence each.
    """

    paper = "sam_inversion"

    def __init__(
        self,
        generator: Generator,
        encoder: LayerwiseEncoder | AtItsSize,
        invertibility: InvertibilityNet | None,
        parser: FaceParser | BiSeNet | None,
        perceptual: PerceptualDistance,
        judge: PortraitJudge | FaceJudge | None = None,
        encoders: SAMEncoders | None = None,
        rivals: Mapping[str, nn.Module] | None = None,
        boundaries: Mapping[str, Boundary] | None = None,
        device: str | torch.device | None = None,
        offload: bool | str | None = None,
        missing: Mapping[str, str] | None = None,
        tuning: Tuning = PUBLISHED,
    ):
        self.generator, self.encoder, self.predictor = generator, encoder, invertibility
        self.parser, self.perceptual, self.judge = parser, perceptual, judge
        self.encoders, self.rivals = encoders, dict(rivals or {})
        self.boundaries, self.missing = dict(boundaries or {}), dict(missing or {})
        self.tuning, self.size = tuning, generator.resolution
        self.blocks = feature_layers(self.size)  # F_k -> the block output that it is
        self.latents = (W_PLUS, *self.blocks)
        self.fingerprint = fingerprint(generator.synthesis)
        _check_fit(self.latents, tuple(self.blocks.values()), invertibility, encoders)
        # Not `perceptual` itself: calling `stages` would pass a hook on the whole by.
        distance = (perceptual.lpips.scaling_layer, perceptual.lpips.net)
        networks = (generator.synthesis, generator.mapping, encoder, invertibility, parser, judge)
        self.place(
            (*networks, encoders, *self.rivals.values(), *distance), device, offload, self.size
        )

    @classmethod
    def arguments(cls, found: Components) -> dict[str, Any]:
        """What the constructor takes of a domain; `WeightsError` names the recipe of what lacks."""
        if found.lacking:
            raise weights.WeightsError(found.lacking)
        start, e4e = (_at_its_size(found.network(classes)) for classes in (START, E4E))
        rivals = {"e4e": e4e, "restyle": found.network(RESTYLE)}
        return {
            "generator": found.network({"generator": Generator}),
            "encoder": start,
            "invertibility": found.network({"invertibility": InvertibilityNet}),
            "parser": found.network(
                PARSER if found.domain == "clay-heads" else {"parser": BiSeNet}
            ),
            "perceptual": found.network(PERCEPTUAL),
            "judge": found.judge(),
            "encoders": found.network({"sam-encoders": SAMEncoders}),
            "rivals": {name: net for name, net in rivals.items() if net is not None},
            "boundaries": boundaries_from(found.tensors("boundaries")),
            "missing": found.missing,
            "tuning": TUNINGS.get(found.domain, PUBLISHED),
        }

    @property
    def methods(self) -> tuple[str, ...]:
        """Those of BASELINES that this domain has the networks for."""
        return tuple(m for m in BASELINES if m in OPTIMISED or m in self.rivals)

    # ---- stages on pictures ----------------------------------------------------------------------

    @stage
    def invertibility(
        self,
        image: Image.Image,
        *,
        segments: Int[np.ndarray, "h w"] | None = None,
        refine: bool = True,
    ) -> InvertibilityMaps:
        """Predicted error of each latent at each pixel, and averaged over segments (Sec. 3.1).

        segments: a label a pixel (square, any size) instead of the parser's parts and superpixels:
        what a better segmenter would give. refine: False makes each pixel a segment (Fig. 4.6).
        """
        if self.predictor is None:
            raise ValueError(
                "invertibility must have its network; got none in this domain. Train it: "
                "python -m pipelines.training.invertibility."
            )
        x = self._seen(self._load(image))
        errors = {name: e[0, 0].cpu().numpy() for name, e in self.predictor(x).items()}
        if not refine:
            return InvertibilityMaps.refined(errors, every_pixel(*x.shape[-2:]))
        if segments is None:
            parts = None if self.parser is None else self.parser.parse(x)[0].cpu().numpy()
            return InvertibilityMaps.refined(errors, segments_of(x[0], parts))
        return InvertibilityMaps.refined(errors, resized(segments, x.shape[-1]))

    @stage
    def invert(
        self,
        image: Image.Image,
        *,
        tau: float | None = None,
        maps: InvertibilityMaps | None = None,
        chosen: UInt8[np.ndarray, "h w"] | None = None,
        regularise: bool = True,
        steps: int = 100,
        image_every: int = 10,
        on_step: OnStep | None = None,
    ) -> Inversion:
        """Codes and feature changes that rebuild a picture, by optimisation (Eqs. 3.3 to 3.8).

        tau: None for the domain's. maps: of `invertibility`, which is asked for where they are not
        given. chosen: a map of latents instead of both, an index a pixel. regularise: use Eq. 3.7
        (Fig. 4.5). steps: 0 to 1000; on_step may return True to stop with the result so far, and
        is handed the picture every `image_every` steps.
        """
        start = time.perf_counter()
        x, chosen = self._load(image), self._chosen(image, tau, maps, chosen)
        tuning = self.tuning if regularise else replace(self.tuning, feature=0.0)
        w, deltas, losses = self.project(
            x, torch.from_numpy(chosen)[None], steps=steps, tuning=tuning,
            report=reporter("optimise", on_step, image_every),
        )  # fmt: skip
        return self._result(x, w, deltas, chosen, "optimised", start, losses)

    @stage
    def encode(
        self,
        image: Image.Image,
        *,
        tau: float | None = None,
        maps: InvertibilityMaps | None = None,
        chosen: UInt8[np.ndarray, "h w"] | None = None,
    ) -> Inversion:
        """The same by one encoder a latent, in one forward pass (Sec. 3.3); arguments as `invert`.

        Raises ValueError where the encoders are not trained.
        """
        if self.encoders is None:
            raise ValueError(self._untrained("encode", "sam-encoders"))
        start = time.perf_counter()
        x, chosen = self._load(image), self._chosen(image, tau, maps, chosen)
        w, deltas = self.encoded(x, torch.from_numpy(chosen)[None])
        return self._result(x, w, deltas, chosen, "encoded", start)

    @stage(times=lambda given: _runs(given["method"], given["pivot"]))
    def baseline(
        self,
        image: Image.Image,
        *,
        method: str,
        steps: int = 100,
        pivot: Float[Tensor, "1 layers dim"] | None = None,
        image_every: int = 10,
        on_step: OnStep | None = None,
    ) -> Inversion:
        """The whole picture in one latent, by one of BASELINES.

        pivot: code of W that "pti" tunes from, as "w" finds it; without one it takes `steps` twice.
        """
        if method not in BASELINES:
            raise ValueError(f"method must be one of {', '.join(BASELINES)}; got {method!r}.")
        if method in ENCODED and method not in self.rivals:
            raise ValueError(self._untrained(method, COMPONENTS[method]))
        start, x = time.perf_counter(), self._load(image)
        rivals = Baselines(
            self.generator, self.encoder, self.perceptual, self.space, self.rivals,
            self.tuning.perceptual, self.tuning.rate, self.tuning.far,
        )  # fmt: skip
        report = reporter(method, on_step, image_every)
        found = rivals.project(x, method, steps=steps, report=report, pivot=pivot)
        chosen = np.zeros((min(self.size, SIDE),) * 2, np.uint8)
        return self._result(x, found.w, {}, chosen, method, start, found.losses, found.tuned)

    # ---- between the two -------------------------------------------------------------------------

    def _load(self, image: Image.Image) -> Float[Tensor, "1 3 h w"]:
        return as_tensor(image, self.size).to(self.device)

    def _seen(self, x: Tensor) -> Tensor:
        """Pictures as maps are made of them, SIDE px at most."""
        return F.adaptive_avg_pool2d(x, SIDE) if x.shape[-1] > SIDE else x

    def _chosen(
        self,
        image: Image.Image,
        tau: float | None,
        maps: InvertibilityMaps | None,
        chosen: np.ndarray | None,
    ) -> UInt8[np.ndarray, "h w"]:
        """The map of latents that is asked for; ValueError for one that cannot be used."""
        if chosen is None:
            maps = self.invertibility(image) if maps is None else maps
            return latent_map(maps, self.tuning.tau if tau is None else tau)
        return checked(chosen, self.latents)

    def _result(
        self,
        x: Tensor,
        w: Tensor,
        deltas: Mapping[str, Tensor],
        chosen: np.ndarray,
        method: str,
        start: float,
        losses: Sequence[float] = (),
        tuned: Mapping[str, Tensor] | None = None,
    ) -> Inversion:
        """An inversion with its picture and its measures beside x."""
        away = {name: delta.cpu() for name, delta in deltas.items()}
        theta = None if tuned is None else {name: p.cpu() for name, p in tuned.items()}
        bare = Inversion(
            w.cpu(), away, chosen, self.latents, Image.new("RGB", (1, 1)), method, 0.0,
            Measures(0.0, 0.0, None), tuple(losses), theta,
        )  # fmt: skip
        rebuilt = self._render(bare)
        seconds = time.perf_counter() - start
        (measures,) = self.compare(x, rebuilt)
        return replace(bare, image=as_images(rebuilt)[0], seconds=seconds, measures=measures)

    def _untrained(self, what: str, component: str) -> str:
        why = self.missing.get(component)
        return (
            f"{what} must have its trained encoders; got none in this domain"
            f"{f' ({why})' if why else ''}. Train them: {RECIPES[what]}."
        )


def _runs(method: str, pivot: Tensor | None) -> int:
    """How often a baseline descends."""
    return 2 if method == "pti" and pivot is None else int(method in OPTIMISED)


def _at_its_size(encoder: nn.Module | None) -> nn.Module | None:
    """e4e, which reads 256 px, made to read any size; another encoder as it is."""
    return AtItsSize(encoder).eval() if isinstance(encoder, Encoder4Editing) else encoder


def _check_fit(
    latents: tuple[str, ...],
    blocks: tuple[str, ...],
    invertibility: InvertibilityNet | None,
    encoders: SAMEncoders | None,
) -> None:
    """Raise unless the networks speak of the latents that this generator has."""
    if invertibility is not None and tuple(invertibility.heads) != latents:
        raise weights.WeightsError(
            f"expected an invertibility network for {', '.join(latents)}, the latents of this "
            f"generator; got one for {', '.join(invertibility.heads)}; train it with "
            "python -m pipelines.training.invertibility."
        )
    if encoders is not None and encoders.names != blocks:
        raise weights.WeightsError(
            f"expected encoders for {', '.join(blocks)}, the feature layers of this generator; "
            f"got {', '.join(encoders.names)}; train them with {RECIPES['encode']}."
        )
