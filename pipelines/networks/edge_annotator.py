"""Edges of a picture by the networks that ControlNet's scribbles were drawn with.

PiDiNet (Su et al., "Pixel Difference Networks for Efficient Edge Detection", ICCV 2021), by which
diffusion-driven inversion makes its scribbles (Sec. 4.1), or HED (Xie and Tu, "Holistically-Nested
Edge Detection", ICCV 2015) as ControlNet's authors trained it anew. The modules are those of the
`controlnet_aux` package, so that the published files fit; the package's own loaders, which unpickle
what they download, are not used.
"""

from __future__ import annotations

import warnings

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

KINDS = ("pidinet", "hed")


class EdgeAnnotator(nn.Module, PyTorchModelHubMixin):
    """How sure a network is of an edge at every pixel.

    kind: one of KINDS; width, dilation: channels of PiDiNet's first block and of its dilated
    convolutions, as published by default; HED has one size.
    """

    def __init__(self, kind: str = "pidinet", width: int = 60, dilation: int = 24) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}. Choose one.")
        self.kind = kind
        self.net = _pidinet(width, dilation) if kind == "pidinet" else _hed()

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b h w"]:
        """Probabilities of an edge, in [0, 1], for RGB pictures in [-1, 1]."""
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[-2:]) < 32:
            raise ValueError(
                f"x must be RGB pictures (b, 3, h, w), 32 pixels or more; got {tuple(x.shape)}."
            )
        x = (x + 1) / 2
        if self.kind == "pidinet":
            return self.net(x.flip(1))[-1][:, 0]  # it was trained on blue, green, red
        sides = [F.interpolate(y, x.shape[-2:], mode="bilinear") for y in self.net(255 * x)]
        return torch.stack(sides).mean(0).sigmoid()[:, 0]


def _pidinet(width: int, dilation: int) -> nn.Module:
    with _quiet():
        from controlnet_aux.pidi.model import PiDiNet, config_model
    return PiDiNet(width, config_model("carv4"), dil=dilation, sa=True)


def _hed() -> nn.Module:
    with _quiet():
        from controlnet_aux.hed import ControlNetHED_Apache2

    class Hed(ControlNetHED_Apache2):
        # The package overrides __call__, which hooks that move weights to a device would not see.
        forward = ControlNetHED_Apache2.__call__
        __call__ = nn.Module.__call__

    return Hed()


def _quiet() -> warnings.catch_warnings:
    """Around the package's import, which takes seconds and warns of annotators unused here."""
    return warnings.catch_warnings(action="ignore")
