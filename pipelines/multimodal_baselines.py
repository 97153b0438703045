"""The methods that MM2Latent is compared with here: a prompt and a condition without a mapping.

"tedigan" (Xia et al., CVPR 2021; its text part as with CLIP): codes are optimised towards the text
and, apart from that, towards the condition, and their layers mixed: coarse ones, which lay a face
out, of the condition, fine ones of the text. "nearest": of the generator's samples the one whose
embedding is nearest to the prompt's; it does not look at the condition.

Symbols: w_t, w_c: codes for the text and for the condition; G, the synthesis network; E, the joint
embedding; f, the prompt's embedding.

Departs from paper: TediGAN inverts a condition by an encoder trained for it; here w_c is optimised
until the parser, the edges or the morphable network read the condition off the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.descent import Report, descend
from pipelines.latent_space import LatentSpace
from pipelines.networks.morphable import MorphableNet
from pipelines.networks.stylegan2 import Generator

METHODS = ("tedigan", "nearest")
RATE = 0.05  # of Adam on codes
LAMBDA_PRIOR = 1e-2  # of the mean over the numbers of w
SAMPLES = 512  # of the generator, among which "nearest" chooses
EDGE, SOFTNESS = 150.0, 25.0  # gradient at which an edge is as likely as not, of 255, and its slope
Reading = Callable[[Tensor, Tensor], Tensor]  # pictures, conditions -> how far each is from its own


class Embedding(Protocol):
    """What is asked of a joint embedding of text and pictures; its vectors have unit length."""

    images: nn.Module
    texts: nn.Module

    def embed_images(self, images: Tensor) -> Tensor: ...

    def embed_texts(self, prompts: list[str]) -> Tensor: ...

    def left_out(self, prompt: str) -> str: ...


@dataclass(frozen=True)
class Bank:
    """Samples of the generator: one code each, and the unit embedding of its picture."""

    w: Float[Tensor, "n dim"]
    embedding: Float[Tensor, "n d"]

    @classmethod
    @torch.no_grad()
    def explore(
        cls,
        generator: Generator,
        embedding: Embedding,
        device: torch.device,
        samples: int = SAMPLES,
        batch: int = 16,
    ) -> Bank:
        """The first samples of seed 0."""
        z = torch.randn(samples, generator.z_dim, generator=torch.Generator().manual_seed(0))
        codes, found = [], []
        for part in z.split(batch):
            ws = generator.mapping(part.to(device))
            codes.append(ws[:, 0])
            found.append(embedding.embed_images(generator.synthesis(ws).clamp(-1, 1)).float())
        return cls(torch.cat(codes), torch.cat(found))

    def nearest(self, f_text: Float[Tensor, "b d"]) -> Float[Tensor, "b dim"]:
        """The code of the sample nearest to each embedding."""
        return self.w[(f_text @ self.embedding.T.to(f_text)).argmax(1).to(self.w.device)]


@dataclass(frozen=True)
class MultimodalBaselines:
    """What "tedigan" needs: ready modules on one device; readings: by kind of condition."""

    generator: Generator
    embedding: Embedding
    space: LatentSpace
    readings: Mapping[str, Reading]

    @torch.no_grad()
    def tedigan(
        self,
        f_text: Float[Tensor, "b d"] | None,
        kind: str | None,
        wanted: Tensor | None,
        *,
        steps: int = 50,
        report: Report | None = None,
    ) -> tuple[Float[Tensor, "b layers dim"], tuple[float, ...]]:
        """Mixed codes, and the loss before each step; wanted: conditions of that kind."""
        losses: list[Reading | Callable[[Tensor], Tensor]] = []
        if f_text is not None:
            losses.append(lambda y: 1 - (self.embedding.embed_images(y) * f_text).sum(1))
        if kind is not None:
            losses.append(lambda y: self.readings[kind](y, wanted))
        count, layers = len(f_text if f_text is not None else wanted), self.generator.num_ws
        mean = self.space.mean.to(wanted if f_text is None else f_text).float()
        start = mean.expand(count, len(losses), layers, -1)

        def loss(codes: Tensor) -> tuple[Tensor, Tensor]:
            each, pictures = torch.zeros(count, device=codes.device), None
            for ws, distance in zip(codes.unbind(1), losses, strict=True):
                pictures = self.generator.synthesis(ws)
                each = each + distance(pictures) + LAMBDA_PRIOR * self.space.prior(ws)
            return each, pictures

        codes, falling = descend(loss, start, steps, RATE, report, anneal=True)
        w = codes[:, 0].clone()
        if len(losses) == 2:
            w[:, : layers // 2] = codes[:, 1, : layers // 2]  # the layout is the condition's
        return w, falling


def read_mask(parser: nn.Module) -> Reading:
    """Cross-entropy of the parser's classes beside a mask's."""
    return lambda y, classes: F.cross_entropy(parser(y), classes.long(), reduction="none").mean(
        (1, 2)
    )


def read_sketch(y: Float[Tensor, "b 3 h w"], lines: Float[Tensor, "b h w"]) -> Tensor:
    """Binary cross-entropy of soft edges, a slope of Canny's gradient, beside a sketch's lines."""
    grey = (y.mean(1, keepdim=True) + 1) * 127.5
    across = grey.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    kernels = torch.stack([across, across.T])[:, None]
    slope = F.conv2d(F.pad(grey, (1, 1, 1, 1), "replicate"), kernels)
    logits = ((slope.square().sum(1) + 1e-4).sqrt() - EDGE) / SOFTNESS
    each = F.binary_cross_entropy_with_logits(logits, lines.float(), reduction="none")
    return each.mean((1, 2))


def read_morphable(network: MorphableNet) -> Reading:
    """Mean squared error of the morphable network's numbers, in standard deviations."""
    return lambda y, numbers: ((network(y) - numbers) / network.sd).square().mean(1)
