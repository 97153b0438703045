"""EditGAN: High-Precision Semantic Image Editing (Ling, Kreis, Li, Kim, Torralba, Fidler; 2021).

Stages: `embed` a picture into W+ (Sec. 3.2), or `sample` one of the generator's own; `edit` it
towards a painted part mask (Sec. 3.3, Eqs. 1-5); on other pictures `apply` the vectors found, at
once, or `refine` them (Sec. 3.4). What these do with tensors, masks and vectors, the equations
themselves, stands in `semantic_editor`.

Symbols: x, a picture; y, the part label of each pixel; w, codes of W+; (x, y) = G~(w), the
synthesis network and its segmentation branch; delta, the editing vector; r, the region where the
picture may change; Q_edit (q_edit), the parts that r is made of; R, the judge's embedding.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor

import weights
from pipelines.components import PERCEPTUAL, Components
from pipelines.descent import reporter
from pipelines.editing_vector import EditingVector, from_tensors
from pipelines.images import as_images, as_tensor
from pipelines.latents import KeepsCodes, fingerprint
from pipelines.measures import Measures
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.irse import FaceJudge
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.psp import AtItsSize, Encoder4Editing
from pipelines.networks.segmentation import SegmentationBranch
from pipelines.networks.stylegan2 import Generator
from pipelines.regions import PartMasks
from pipelines.runtime import OnStep, Step, stage
from pipelines.semantic_editor import SemanticEditor, Strengths

SAMPLES = 2**31  # how many seeds there are for `sample`
# What this paper asks of a domain -> the components that can give it, by class.
EMBEDDER = {"editgan-encoder": LayerwiseEncoder, "e4e-encoder": Encoder4Editing}


@dataclass(frozen=True, eq=False)
class Embedding:
    """Result of `embed`, detached and on the CPU (safe inside gr.State): G~(w) = (image, mask).

    source: the picture as it was embedded, centre-cropped; measures: of image beside source. What
    comes of a code alone, of a file or a sample, is its own source.
    """

    w: Float[Tensor, "1 layers dim"]
    image: Image.Image
    mask: UInt8[np.ndarray, "h w"]
    source: Image.Image
    losses: tuple[float, ...]
    seconds: float
    measures: Measures | None


@dataclass(frozen=True, eq=False)
class Edit:
    """Result of `edit`, `apply` and `refine`: G~(w) = (image, mask), w = embedding + vector.

    vector: the whole change, Q_edit included, unnamed: dataclasses.replace(vector, name=...) names
    it. region: r, where the picture was free to change.
    """

    vector: EditingVector
    w: Float[Tensor, "1 layers dim"]
    image: Image.Image
    mask: UInt8[np.ndarray, "h w"]
    region: Bool[np.ndarray, "h w"]
    losses: tuple[float, ...]
    seconds: float

    def go_on(self, embedding: Embedding) -> Embedding:
        """The edited picture as an embedding, to be edited further: the next vector is its own."""
        return replace(embedding, w=self.w, image=self.image, mask=self.mask)


class EditGAN(SemanticEditor, KeepsCodes[Embedding]):
    """Edits portraits through the part masks that a generator draws beside its pictures.

    generator, encoder, branch, perceptual and judge (or None) are ready modules; library: vectors
    by name.
    The modules are frozen and placed as `Runtime.decide` says for device and offload (False, True,
    "model", "sequential"; None decides by the free memory). parts and palette: names and colours
    of the labels of a mask.
    """

    paper = "editgan"

    def __init__(
        self,
        generator: Generator,
        encoder: LayerwiseEncoder | AtItsSize,
        branch: SegmentationBranch,
        perceptual: PerceptualDistance,
        judge: PortraitJudge | FaceJudge | None,
        library: Mapping[str, EditingVector] | None = None,
        domain: str = "clay-heads",
        device: str | torch.device | None = None,
        offload: bool | str | None = None,
    ):
        self.generator, self.encoder, self.branch = generator, encoder, branch
        self.perceptual, self.judge, self.domain = perceptual, judge, domain
        self.size, self.parts, self.palette = generator.resolution, branch.parts, branch.palette
        self.masks = PartMasks(self.parts, self.size)
        self.fingerprint = fingerprint(generator.synthesis)
        self.library = dict(library or {})
        for vector in self.library.values():
            self.check_vector(vector)
        # Not `perceptual` itself: calling `stages` would pass a hook on the whole by.
        distance = (perceptual.lpips.scaling_layer, perceptual.lpips.net)
        # A copy: a branch reads the constant itself, and offloaded parameters come and go.
        self._const = generator.synthesis.b4.const.detach().clone()[None]
        networks = (generator.synthesis, encoder, branch, judge, *distance)
        self.place(networks, device, offload, self.size)

    @classmethod
    def arguments(cls, found: Components) -> dict[str, Any]:
        """What the constructor takes of a domain; `WeightsError` says all that it lacks there."""
        if found.lacking:
            raise weights.WeightsError(found.lacking)
        networks = untrained(found)
        branch = found.network({"segmentation-branch": SegmentationBranch})
        library = {}
        if tensors := found.tensors("editing-vectors"):
            config = weights.load_config(f"{found.domain}/editing-vectors")
            library = from_tensors(tensors, config)
        return networks | {"branch": branch, "library": library, "domain": found.domain}

    # ---- stages on pictures and masks ----------------------------------------------------------

    @stage
    def embed(
        self,
        image: Image.Image,
        *,
        steps: int = 100,
        image_every: int = 10,
        on_step: OnStep | None = None,
    ) -> Embedding:
        """Codes that rebuild a picture, centre-cropped to a square, and its part mask (Sec. 3.2).

        The encoder, then `steps` (0 to 1000) of optimisation. on_step may return True to stop with
        the result so far; every `image_every` steps it is handed the picture.
        """
        start = time.perf_counter()
        x = as_tensor(image, self.size).to(self.device)
        report = reporter("embed", on_step, image_every)
        w, losses = self.project(x, steps=steps, report=report)
        rebuilt, labels = self.generate(w)
        seconds = time.perf_counter() - start
        (measures,) = self.compare(x, rebuilt)
        return Embedding(
            w.cpu(), as_images(rebuilt)[0], _bytes(labels)[0], as_images(x)[0], losses, seconds,
            measures,
        )  # fmt: skip

    @stage
    def sample(self, seed: int) -> Embedding:
        """A picture of the generator's own: its code is known, nothing is embedded (Sec. 3.3).

        seed: a whole number from 0, of z ~ N(0, I), which is the same on every device. Picture and
        mask are those of the code, without truncation.
        """
        if not (isinstance(seed, int) and 0 <= seed < SAMPLES):
            raise ValueError(f"seed must be a whole number from 0 to {SAMPLES - 1}; got {seed!r}.")
        mapping = self.generator.mapping  # where it was loaded: no hook takes it along
        z = torch.randn(1, mapping.z_dim, generator=torch.Generator().manual_seed(seed))
        return self.placed(mapping(z.to(mapping.w_avg.device)).cpu())

    @stage
    def edit(
        self,
        embedding: Embedding,
        mask: UInt8[np.ndarray, "h w"],
        *,
        q_edit: Sequence[str] | None = None,
        steps: int = 100,
        start: Strengths = (),
        identity: bool = True,
        buffer: int | None = None,
        image_every: int = 10,
        on_step: OnStep | None = None,
    ) -> Edit:
        """The picture changed towards a painted mask, and the vector that does it (Eqs. 1 to 5).

        mask: labels, indices into `parts`, of the picture's size. q_edit: names of the parts that
        r is made of, `changed_parts` by default. start: vectors to begin from instead of zero.
        identity: use Eq. 4, which counts only where the judge can tell people apart. buffer: pixels
        of r around these parts, `regions.buffer_of` the picture's size by default. Raises
        ValueError for a mask that cannot be used and for unknown parts.
        """
        begin = time.perf_counter()
        mask = self.masks.check(mask)
        changed = self.changed_parts(embedding.mask, mask)
        if not changed:
            raise ValueError("mask must differ from the picture's own; got no change. Paint first.")
        q_edit = changed if q_edit is None else tuple(dict.fromkeys(q_edit))
        region = self.region(embedding.mask, mask, q_edit, buffer)
        if not region[embedding.mask != mask].any():
            raise ValueError(
                f"q_edit must name a part that was painted or painted over ({', '.join(changed)}); "
                f"got {', '.join(q_edit)}. Add one of them."
            )
        report = reporter("edit", on_step, image_every)
        delta, losses = self.optimise(
            embedding.w.to(self.device), mask[None], region[None], start=self._sum(start),
            steps=steps, identity=identity, report=report,
        )  # fmt: skip
        return self._edited(embedding, delta, q_edit, region, losses, begin)

    @stage
    def apply(
        self, embedding: Embedding, vectors: Strengths, *, on_step: OnStep | None = None
    ) -> Edit:
        """The picture with editing vectors added at once, w + sum of s delta (Sec. 3.4).

        vectors: each with its scale s: 1 as learnt, 0 nothing, below 0 the other way round.
        on_step is handed the picture as soon as it is there; its mask takes twice as long again.
        """
        begin = time.perf_counter()
        delta, q_edit = self._sum(vectors), self._parts_of(vectors)
        return self._edited(embedding, delta, q_edit, None, (), begin, on_step)

    @stage
    def refine(
        self,
        embedding: Embedding,
        vectors: Strengths,
        *,
        steps: int = 30,
        identity: bool = True,
        buffer: int | None = None,
        image_every: int = 10,
        on_step: OnStep | None = None,
    ) -> Edit:
        """`apply`, then steps of self-supervised refinement (Sec. 3.4): Eqs. 1 to 5 with the mask
        that the vectors lead to in place of a painted one."""
        begin = time.perf_counter()
        first, q_edit = self._sum(vectors), self._parts_of(vectors)
        w = embedding.w.to(self.device)
        mask = _bytes(self.generate(w + first)[1])[0]
        region = self.region(embedding.mask, mask, q_edit, buffer)
        report = reporter("refine", on_step, image_every)
        delta, losses = self.optimise(
            w, mask[None], region[None], start=first, steps=steps, identity=identity, report=report
        )
        return self._edited(embedding, delta, q_edit, region, losses, begin)

    # ---- results kept in files -----------------------------------------------------------------

    def restore(
        self,
        path: str | Path,
        embedding: Mapping[str, Any],
        edit: Mapping[str, Any],
        q_edit: Sequence[str],
    ) -> tuple[Embedding, Edit]:
        """An embedding and an edit of it from a file of `keep`; no network runs.

        embedding, edit: their other fields by name, for the file holds neither pictures nor
        numbers. q_edit: the parts of the edit. ValueError for the codes of another generator.
        """
        codes = self.codes_in(path)
        start = Embedding(w=codes["embedding"], **embedding)
        vector = self._vector((codes["edited"] - start.w)[0], q_edit, start.image, edit["image"])
        self.check_vector(vector)
        return start, Edit(vector=vector, w=codes["edited"], **edit)

    @stage
    def placed(
        self, w: Float[Tensor, "1 layers dim"], image: Image.Image | None = None
    ) -> Embedding:
        """The embedding that a code is already; image: the picture that it stands for, its own
        where there is none."""
        begin, w = time.perf_counter(), torch.as_tensor(w)
        rebuilt, labels = self.generate(w.to(self.device))
        x = as_tensor(image, self.size).to(self.device) if image else rebuilt.clamp(-1, 1)
        seconds = time.perf_counter() - begin
        (measures,) = self.compare(x, rebuilt)
        return Embedding(
            w, as_images(rebuilt)[0], _bytes(labels)[0], as_images(x)[0], (), seconds, measures
        )

    # ---- what edits have in common -------------------------------------------------------------

    def _edited(
        self,
        embedding: Embedding,
        delta: Tensor,
        q_edit: tuple[str, ...],
        region: np.ndarray | None,
        losses: tuple[float, ...],
        begin: float,
        on_step: OnStep | None = None,
    ) -> Edit:
        """G~(w + delta) with everything a page shows of it; on_step sees the picture first."""
        w = embedding.w + delta.cpu()
        x, maps = self.features(w.to(self.device))
        image = as_images(x)[0]
        if on_step is not None:
            on_step(Step("apply", 0, 1, None, [image]))
        mask = _bytes(self._labels(maps))[0]
        if region is None:
            region = self.region(embedding.mask, mask, q_edit)
        vector = self._vector((w - embedding.w)[0], q_edit, embedding.image, image)
        return Edit(vector, w, image, mask, region, losses, time.perf_counter() - begin)


def untrained(found: Components) -> dict[str, Any]:
    """The networks that training a branch and vectors begins with, by their name here."""
    encoder = found.network(EMBEDDER)
    return {
        "generator": found.network({"generator": Generator}),
        "encoder": AtItsSize(encoder).eval() if isinstance(encoder, Encoder4Editing) else encoder,
        "perceptual": found.network(PERCEPTUAL),
        "judge": found.judge(),
    }


def _bytes(labels: Int[Tensor, "b h w"]) -> UInt8[np.ndarray, "b h w"]:
    return labels.byte().cpu().numpy()
