"""Editing by MM2Latent (Sec. 3.4): a picture's code moved by the difference of two mapped codes.

Stages: `invert` a picture, or take a code that is known (`placed`), then `edit` it, as often as one
likes: what is read off the picture is read once. Codes are kept in files and read again.

Symbols: f_tar, f_piv: what a picture shall show and what it shows; f_img, its unit embedding;
f_cond, the code of a condition; Net, the mapping network; w_src, the layer-wise codes of a picture;
w_dir, the direction of an edit, one code for all layers; beta, its strength.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from pipelines.condition_codes import CONDITIONS
from pipelines.images import as_images, as_tensor
from pipelines.latents import KeepsCodes
from pipelines.measures import Measures
from pipelines.multimodal_reader import MultimodalReader, Request, Scores
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.psp import AtItsSize
from pipelines.networks.stylegan2 import Generator
from pipelines.runtime import stage

KINDS = ("text", *CONDITIONS)  # of edits
PIVOT = "a portrait of a person"  # of edits by text
STRONGEST = 5.0  # of beta
Numbers = Mapping[str, float] | Sequence[float] | np.ndarray


@dataclass(frozen=True, eq=False)
class Source:
    """A picture to edit, detached and on the CPU: its codes, image = G(w), and what is read.

    embedding: f_img; given: the condition of each kind that this domain can read, both of the
    picture that was inverted, of image for a code that was given. classes: of image, by the parser;
    person: of image, the judge's embedding, None where nobody tells people apart. measures: of
    image beside the picture, None for a code that was given alone.
    """

    w: Float[Tensor, "1 layers dim"]
    image: Image.Image
    embedding: Float[Tensor, "1 d"]
    given: Mapping[str, np.ndarray]
    classes: UInt8[Tensor, "h w"]
    person: Float[Tensor, " d"] | None
    measures: Measures | None
    seconds: float


@dataclass(frozen=True, eq=False)
class Edited:
    """Result of `edit`: w = w_src + beta direction, and image = G(w).

    identity: likeness of image and the source's, None where nobody tells people apart; kept: share
    of pixels whose class is the source's still. scores: of image beside the target.
    """

    w: Float[Tensor, "1 layers dim"]
    image: Image.Image
    direction: Float[Tensor, "1 dim"]
    beta: float
    identity: float | None
    kept: float
    scores: Scores
    seconds: float
    notes: tuple[str, ...] = ()


class MultimodalEditor(MultimodalReader, KeepsCodes[Source]):
    """Edits pictures by words and by conditions, by the mapping networks that generate from both.

    encoder gives w_src; generator and fingerprint are those of the domain.
    """

    generator: Generator
    encoder: LayerwiseEncoder | AtItsSize
    fingerprint: str

    @stage
    def invert(self, image: Image.Image) -> Source:
        """The codes w_src that the domain's encoder gives a picture, and what is read off it."""
        start, x = time.perf_counter(), as_tensor(image, self.size).to(self.device)
        return self._source(self.encoder(x), x, start)

    @stage
    def placed(self, w: Float[Tensor, "1 layers dim"], image: Image.Image | None = None) -> Source:
        """The source that a code is already, such as that of a `Generated`.

        image: the picture that it stands for, its own where there is none.
        """
        start, w = time.perf_counter(), torch.as_tensor(w)
        shape = (1, self.generator.num_ws, self.generator.w_dim)
        if tuple(w.shape) != shape or not torch.isfinite(w).all():
            raise ValueError(f"w must be {shape} finite numbers; got {tuple(w.shape)}.")
        x = None if image is None else as_tensor(image, self.size).to(self.device)
        return self._source(w.to(self.device), x, start)

    @stage
    def edit(
        self,
        source: Source,
        target: str | Image.Image | np.ndarray | Numbers,
        *,
        kind: str = "text",
        pivot: Any = None,
        beta: float = 1.0,
        through: str | None = None,
    ) -> Edited:
        """w_edit = w_src + beta w_dir.

        By text: w_dir = Net(f_tar, f_cond) - Net(f_piv, f_cond) (Eq. 8), with the source's own
        condition of the kind `through`, the domain's first by default. By a condition: w_dir =
        Net(f_img, f_tar) - Net(f_img, f_piv) (Eq. 9). pivot: PIVOT, or the source's own condition.
        beta: -5 to 5; 0 gives the source back.
        """
        start = time.perf_counter()
        if not (np.isfinite(beta) and abs(beta) <= STRONGEST):
            raise ValueError(f"beta must lie in [-{STRONGEST:g}, {STRONGEST:g}]; got {beta!r}.")
        if kind == "text":
            direction, asked = self._by_text(source, target, pivot, through)
        else:
            direction, asked = self._by_condition(source, target, pivot, kind)
        w = source.w.to(self.device) + beta * direction[:, None]
        x = self.runtime.picture(self.generator.synthesis, w).clamp(-1, 1)
        seen = None if self.judge is None else self.judge(x)
        classes, identity = self.codes.read(x, "mask"), None
        if source.person is not None:
            identity = (seen.embedding[0].cpu() @ source.person).item()
        kept = (classes[0].cpu() == source.classes).float().mean().item()
        (scores,) = self._scores(x, asked, seen, classes)
        return Edited(
            w.cpu(), as_images(x)[0], direction.cpu(), float(beta), identity, kept, scores,
            time.perf_counter() - start, asked.notes,
        )  # fmt: skip

    # ---- the method on tensors -------------------------------------------------------------------

    def _source(self, w: Tensor, x: Tensor | None, start: float) -> Source:
        """The source of a code on the device; x: the picture that it stands for, if any."""
        rebuilt = self.runtime.picture(self.generator.synthesis, w).clamp(-1, 1)
        classes, measures = self.codes.read(rebuilt, "mask"), None
        if x is not None:
            (measures,) = self.compare(x, rebuilt)
        known = {"mask": classes} if x is None else {}
        x = rebuilt if x is None else x
        given = {
            kind: (known[kind] if kind in known else self.codes.read(x, kind))[0].cpu().numpy()
            for kind in self.conditions
        }
        f_img, person = self.embedding.embed_images(x).float().cpu(), None
        if self.judge is not None and self.judge.verifies:
            person = self.judge(rebuilt).embedding[0].cpu()
        return Source(
            w.detach().cpu(), as_images(rebuilt)[0], f_img, given, classes[0].cpu(), person,
            measures, time.perf_counter() - start,
        )  # fmt: skip

    def _by_text(
        self, source: Source, target: str, pivot: str | None, through: str | None
    ) -> tuple[Float[Tensor, "1 dim"], Request]:
        """Eq. 8, and the target as it was read, with what is to be said of both texts."""
        kind = self._known(through)
        words, notes = self._words(target)
        first, more = self._words(PIVOT if pivot is None else pivot)
        f_tar, f_piv = self._embedded(words, first).split(1)
        f_cond = self.codes.coded(self._tensor(source.given[kind]), kind)
        net = self.mappings[kind]
        asked = Request(words, f_tar, notes=(*notes, *more))
        return net(f_tar, f_cond) - net(f_piv, f_cond), asked

    def _by_condition(
        self, source: Source, target: Any, pivot: Any, kind: str
    ) -> tuple[Float[Tensor, "1 dim"], Request]:
        """Eq. 9, and the target as it was read."""
        own = source.given.get(self._known(kind))
        wanted = self.codes.checked(kind, target, own)
        first = own if pivot is None else self.codes.checked(kind, pivot, own)
        f_img, net = source.embedding.to(self.device), self.mappings[kind]
        tar, piv = (self.codes.coded(self._tensor(given), kind) for given in (wanted, first))
        return net(f_img, tar) - net(f_img, piv), Request(kind=kind, given=wanted)
