"""A map of the joint embedding: samples of the generator on its two principal axes.

Symbols: E, the embeddings of the samples' pictures, a row each; m, their mean; u_1, u_2, the first
right singular vectors of E - m; a point's place is ((e - m) . u_1, (e - m) . u_2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

ROUNDING = 1e-6  # of a cosine: a sample is no farther than itself


@dataclass(frozen=True, eq=False)
class Located:
    """Where a result stands among samples of the generator, as numbers for a drawing.

    samples, image, text, noisy: places (n, 2), (2,), (2,) and (k, 2); text and noisy, the words'
    embedding without and with the noise of training, are None without a prompt. explained: of the
    samples' variance, by axis. nearer: share of the samples whose pictures are farther from the
    words than the result's. cosine: of the words and their noisy embeddings, mean.
    """

    samples: Float[np.ndarray, "n 2"]
    explained: tuple[float, float]
    image: Float[np.ndarray, " 2"]
    text: Float[np.ndarray, " 2"] | None = None
    noisy: Float[np.ndarray, "k 2"] | None = None
    nearer: float | None = None
    cosine: float | None = None


@dataclass(frozen=True)
class EmbeddingMap:
    """The samples' embeddings, their mean and the two axes."""

    embedding: Float[Tensor, "n d"]
    mean: Float[Tensor, " d"]
    axes: Float[Tensor, "2 d"]
    explained: tuple[float, float]

    @classmethod
    def of(cls, embedding: Float[Tensor, "n d"]) -> EmbeddingMap:
        """The principal axes of unit embeddings."""
        embedding = embedding.detach().float().cpu()
        mean = embedding.mean(0)
        _, values, axes = torch.linalg.svd(embedding - mean, full_matrices=False)
        share = values.square() / values.square().sum()
        return cls(embedding, mean, axes[:2], (share[0].item(), share[1].item()))

    def at(self, e: Float[Tensor, "k d"]) -> Float[np.ndarray, "k 2"]:
        """The places of embeddings."""
        return ((e.detach().float().cpu() - self.mean) @ self.axes.T).numpy()

    def locate(
        self,
        f_img: Float[Tensor, "1 d"],
        f_text: Float[Tensor, "1 d"] | None = None,
        noisy: Float[Tensor, "k d"] | None = None,
    ) -> Located:
        """A result among the samples; noisy: pseudo texts of f_text (Eq. 2)."""
        samples, image = self.at(self.embedding), self.at(f_img)[0]
        if f_text is None:
            return Located(samples, self.explained, image)
        f_text, f_img = f_text.detach().float().cpu(), f_img.detach().float().cpu()
        farther = self.embedding @ f_text[0] < f_img @ f_text[0] - ROUNDING
        nearer = farther.float().mean().item()
        around = f_text[:0] if noisy is None else noisy.detach().float().cpu()
        cosine = (around @ f_text[0]).mean().item() if len(around) else None
        return Located(
            samples, self.explained, image, self.at(f_text)[0], self.at(around), nearer, cosine
        )
