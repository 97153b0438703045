"""Semantic editing by EditGAN, on tensors: pictures with part masks, and codes that change both.

`generate` makes a picture and its mask of a code, `project` finds the code of a picture (Sec. 3.2),
`optimise` the change of a code that a painted mask asks for (Sec. 3.3, Eqs. 1-5). Masks are
compared and vectors checked here before they are used.

Symbols: x, a picture; y, the part label of each pixel; w, codes of W+; (x, y) = G~(w), the
synthesis network and its segmentation branch; delta, the editing vector; r, the region where the
picture may change; Q_edit (q_edit), the parts that r is made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from pipelines.descent import Report, descend
from pipelines.editing_vector import EditingVector, check_belongs, side_by_side
from pipelines.measures import Measured
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.psp import AtItsSize
from pipelines.networks.segmentation import SegmentationBranch
from pipelines.networks.stylegan2 import Generator
from pipelines.regions import PartMasks, window_of

# lambda_1 to lambda_3 of Eq. 5, and of the encoder's term, which the published code adds to it.
LAMBDA_RGB, LAMBDA_CE, LAMBDA_ID, LAMBDA_ENCODER = 2.0, 1.0, 0.5, 0.5
# Of Adam. A higher first one rebuilds more of a picture, where vectors then move less of it.
EMBEDDING_RATE, EDITING_RATE = 0.05, 0.02
UNTITLED = "untitled edit"

Strengths = Sequence[tuple[EditingVector, float]]  # vectors with their scales s_edit


class SemanticEditor(Measured):
    """Draws pictures with their part masks, and changes codes until both are as they should be.

    generator, encoder and branch are those of a domain, fingerprint is that of its synthesis
    network; masks: the parts that a mask may name.
    """

    generator: Generator
    encoder: LayerwiseEncoder | AtItsSize
    branch: SegmentationBranch
    masks: PartMasks
    domain: str
    fingerprint: str
    _const: Float[Tensor, "1 c 4 4"]  # what the synthesis network begins with

    # ---- masks and vectors ---------------------------------------------------------------------

    def changed_parts(
        self, before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"]
    ) -> tuple[str, ...]:
        """Q_edit as painting suggests it; see `PartMasks.changed`."""
        return self.masks.changed(before, after)

    def region(
        self,
        before: UInt8[np.ndarray, "h w"],
        after: UInt8[np.ndarray, "h w"],
        q_edit: Sequence[str],
        buffer: int | None = None,
    ) -> Bool[np.ndarray, "h w"]:
        """r of Eq. 1, where the picture may change; see `PartMasks.region`."""
        return self.masks.region(before, after, q_edit, buffer)

    def read_vector(self, path: str | Path) -> EditingVector:
        """The vector of a file; ValueError unless it is whole and for this very generator."""
        vector = EditingVector.load(path)
        self.check_vector(vector)
        return vector

    def check_vector(self, vector: EditingVector) -> None:
        """ValueError unless a vector belongs to this generator and names parts of its masks."""
        shape = (self.generator.num_ws, self.generator.w_dim)
        check_belongs(vector, self.domain, self.fingerprint, shape)
        self.masks.labels(vector.q_edit)

    # ---- the method on tensors -----------------------------------------------------------------

    def generate(
        self, w: Float[Tensor, "b layers dim"]
    ) -> tuple[Float[Tensor, "b 3 h w"], Int[Tensor, "b h w"]]:
        """G~(w): pictures in about [-1, 1] and the most likely part of each pixel."""
        x, maps = self.features(w)
        return x, self._labels(maps)

    def features(
        self, w: Float[Tensor, "b layers dim"]
    ) -> tuple[Float[Tensor, "b 3 h w"], dict[str, Tensor]]:
        """Pictures, and every feature map that the branch reads, by name; with gradients."""
        x, maps = self.generator.synthesis(w, features=True)
        return x, {"b4.const": self._const.to(w.device), **maps}

    @torch.no_grad()
    def project(
        self, x: Float[Tensor, "b 3 h w"], *, steps: int = 100, report: Report | None = None
    ) -> tuple[Float[Tensor, "b layers dim"], tuple[float, ...]]:
        """Codes of pictures in [-1, 1] on `device`, and the mean loss before each step.

        min_w d(x, G(w)) + ||x - G(w)||^2 from the encoder's codes; d, the perceptual distance.
        """
        start, target = self.encoder(x), self.perceptual.stages(x)

        def loss(w: Tensor) -> tuple[Tensor, Tensor]:
            rebuilt = self.generator.synthesis(w)
            return self.perceptual(rebuilt, target) + _mean_square(rebuilt - x), rebuilt

        return descend(loss, start, steps, EMBEDDING_RATE, report, anneal=True)

    @torch.no_grad()
    def optimise(
        self,
        w: Float[Tensor, "b layers dim"],
        masks: UInt8[np.ndarray, "b h w"],
        regions: Bool[np.ndarray, "b h w"],
        *,
        start: Float[Tensor, "layers dim"] | Float[Tensor, "b layers dim"],
        steps: int = 100,
        identity: bool = True,
        report: Report | None = None,
    ) -> tuple[Float[Tensor, "b layers dim"], tuple[float, ...]]:
        """Eq. 5 by Adam on delta, from `start`; masks: y_edited; regions: r. Pictures of a batch
        do not influence each other. Returns delta and the mean loss before each step."""
        # Departs from paper: x is G(w), not the embedded picture: delta holds the edit alone
        # and repairs nothing of the embedding.
        x = self.generator.synthesis(w)
        # Where: r, its complement, and the window that holds r.
        rows, columns = window = window_of(regions)
        inside = torch.from_numpy(regions).to(self.device)
        outside = (~inside[:, None]).float()
        target = torch.from_numpy(masks[:, rows, columns]).to(self.device).long()
        share = inside[:, rows, columns].float()
        share = share / share.sum((1, 2), keepdim=True).clamp(min=1)
        # What must stay: features outside r, codes, the person.
        stages, codes = self.perceptual.stages(x * outside), self.encoder(x)
        known = identity and self.judge is not None and self.judge.verifies
        person = self.judge(x).embedding if known else None

        def loss(delta: Tensor) -> tuple[Tensor, Tensor]:
            changed, maps = self.features(w + delta)
            rgb = self.perceptual(changed * outside, stages)  # Eq. 2
            rgb = rgb + _mean_square((changed - x) * outside)
            entropy = F.cross_entropy(self.branch(maps, window), target, reduction="none")
            total = LAMBDA_RGB * rgb + LAMBDA_CE * (entropy * share).sum((1, 2))  # Eqs. 3 and 5
            # Departs from paper: what E sees must change as delta does, which keeps the change
            # among those that pictures of the domain can have.
            seen = self.encoder(changed) - codes
            total = total + LAMBDA_ENCODER * (delta - seen).square().mean((1, 2))
            if person is not None:
                # Departs from paper: 1 - cosine, because Eq. 4 as printed prefers other people.
                likeness = F.cosine_similarity(self.judge(changed).embedding, person)
                total = total + LAMBDA_ID * (1 - likeness)
            return total, changed

        start = start.to(w).expand_as(w)
        return descend(loss, start, steps, EDITING_RATE, report)

    def _labels(self, maps: Mapping[str, Tensor]) -> Int[Tensor, "b h w"]:
        return self.branch(maps).argmax(dim=1)

    def _sum(self, vectors: Strengths) -> Float[Tensor, "layers dim"]:
        total = torch.zeros(self.generator.num_ws, self.generator.w_dim)
        for vector, scale in vectors:
            self.check_vector(vector)
            if not -10 <= scale <= 10:  # NaN fails this too
                raise ValueError(f"scale must lie in -10 to 10; got {scale!r}. Use -2 to 2.")
            total = total + float(scale) * vector.delta
        return total.to(self.device)

    def _parts_of(self, vectors: Strengths) -> tuple[str, ...]:
        if not vectors:
            raise ValueError("vectors must hold at least one; got none. Choose one.")
        return tuple(dict.fromkeys(part for vector, _ in vectors for part in vector.q_edit))

    def _vector(
        self, delta: Tensor, q_edit: Sequence[str], before: Image.Image, after: Image.Image
    ) -> EditingVector:
        """A change of this generator's codes, with the pictures before and after it."""
        return EditingVector(
            UNTITLED, delta, tuple(q_edit), self.domain, self.fingerprint,
            thumbnail=side_by_side(before, after),
        )  # fmt: skip


def _mean_square(x: Tensor) -> Float[Tensor, " b"]:
    return x.square().mean((1, 2, 3))
