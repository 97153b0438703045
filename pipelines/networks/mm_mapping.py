"""The mapping network of MM2Latent: an embedding and a condition to one code w.

Source: Meng, Tzelepis, Patras, Tzimiropoulos, "MM2Latent" (2024), Eqs. 2 and 6, Tables 2 and 3.
Layout of the published code: BatchNorm1d of both inputs side by side, dropout, then equalised
linear layers, each with a LeakyReLU of slope 0.2 (here with StyleGAN2's gain of sqrt 2, which keeps
the variance through twelve layers).

Symbols: f_img, f_text: unit embeddings of a picture and of a text in one space; f'_text, a pseudo
text embedding; f_cond, the code of a mask or sketch, or the numbers of a 3D morphable model.
"""

from __future__ import annotations

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.networks.layers import GAIN, EqualisedLinear


def pseudo_text(
    f_img: Float[Tensor, "b d"], random: torch.Generator | None = None, strength: float = 1.0
) -> Float[Tensor, "b d"]:
    """Eq. 2: f'_text = y / ||y||, y = f_img + eps / ||eps||, eps ~ N(0, I).

    strength: length of the noise beside the unit embedding, 1 as published.
    """
    noise = torch.randn(f_img.shape, generator=random, dtype=f_img.dtype).to(f_img.device)
    return F.normalize(f_img + strength * F.normalize(noise, dim=1), dim=1)


class MultimodalMapping(nn.Module, PyTorchModelHubMixin):
    """Net(f_text, f_cond) -> w, one code for all layers of the generator.

    condition: kind of the condition it was trained with; condition_size: its numbers; embedding:
    numbers of f_text; layers, width: of the perceptron, layers as in Table 3; normalise, dropout:
    the parts of Table 2, dropout as a rate.
    """

    def __init__(
        self,
        condition: str = "mask",
        condition_size: int = 512,
        embedding: int = 512,
        layers: int = 12,
        width: int = 512,
        w_dim: int = 512,
        normalise: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.condition, self.sizes = condition, (embedding, condition_size)
        inputs = embedding + condition_size
        self.norm = nn.BatchNorm1d(inputs) if normalise else None
        self.dropout = nn.Dropout(dropout)
        widths = [inputs, *[width] * (layers - 1), w_dim]
        self.layers = nn.ModuleList(
            EqualisedLinear(a, b, activation=True)
            for a, b in zip(widths[:-1], widths[1:], strict=True)
        )

    @torch.no_grad()
    def start_at(self, w_mean: Float[Tensor, " d"]) -> None:
        """Let the last layer's bias give a mean code before any training."""
        bias = torch.where(w_mean < 0, w_mean / 0.2, w_mean) / GAIN
        self.layers[-1].bias.copy_(bias)

    def forward(
        self,
        f_text: Float[Tensor, "b d"] | None,
        f_cond: Float[Tensor, "b c"] | None,
    ) -> Float[Tensor, "b w"]:
        """w of unit embeddings and conditions; what is None is left out: the mean of training,
        which the normalisation takes to zero."""
        given = [f for f in (f_text, f_cond) if f is not None]
        if not given:
            raise ValueError("f_text or f_cond must be given; got neither. Give one or both.")
        parts = [
            self.neutral(which).to(given[0]).expand(len(given[0]), -1) if f is None else f
            for which, f in enumerate((f_text, f_cond))
        ]
        for part, size, name in zip(parts, self.sizes, ("f_text", "f_cond"), strict=True):
            if part.ndim != 2 or part.shape[1] != size:
                raise ValueError(f"{name} must be (batch, {size}); got {tuple(part.shape)}.")
        x = torch.cat(parts, dim=1)
        x = self.dropout(x if self.norm is None else self.norm(x))
        for layer in self.layers:
            x = layer(x)
        return x.float()

    def neutral(self, which: int) -> Float[Tensor, "1 n"]:
        """The mean of the embeddings (0) or conditions (1) that it was trained with."""
        if self.norm is None:
            return torch.zeros(1, self.sizes[which], device=self.layers[0].weight.device)
        return self.norm.running_mean.split(self.sizes)[which][None]
