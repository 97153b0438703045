"""Perceptual distance between pictures.

The distance is that of the `lpips` package (Zhang et al., "The Unreasonable Effectiveness of Deep
Features", CVPR 2018, Eq. 1): unit-normalised features of a trunk, squared differences summed over
channels with weights w_l, averaged over places, summed over layers. Clay heads use a SqueezeNet of
their own with w_l = 1; photographs the published LPIPS, VGG16 with learned w_l. The trunk comes
from this module's own weights, never from a download.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import lpips
import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

STAGE_CHANNELS = (64, 128, 256, 384, 384, 512, 512)
Stages = tuple[Tensor, ...]


class PerceptualDistance(nn.Module, PyTorchModelHubMixin):
    """LPIPS, frozen; gradients flow to the pictures.

    net: the trunk's architecture by the package's name; weights trained here are for "squeeze",
    published ones for "vgg". learned: whether channels have the package's weights w_l (its version
    0.1) instead of 1.
    """

    def __init__(self, net: str = "squeeze", learned: bool = False) -> None:
        super().__init__()
        with warnings.catch_warnings():
            # The package calls torchvision with an argument that newer versions rename.
            warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
            self.lpips = lpips.LPIPS(net=net, pnet_rand=True, lpips=False, verbose=False)
        self.learned = learned
        for index, root in enumerate(_published_roots(net) if learned else ()):
            # Beside the other constants, with which pipelines move them to a device.
            self.lpips.scaling_layer.register_buffer(f"root{index}", root, persistent=False)
        self.requires_grad_(False).eval()

    def trunk(self, x: Float[Tensor, "b 3 h w"]) -> Stages:
        """Raw features of the stages, finest first (`STAGE_CHANNELS` of them in SqueezeNet)."""
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[-2:]) < 32:
            raise ValueError(
                f"x must be RGB pictures (b, 3, h, w), 32 pixels or more; got {tuple(x.shape)}."
            )
        return tuple(self.lpips.net(self.lpips.scaling_layer(x)))

    def stages(self, x: Float[Tensor, "b 3 h w"]) -> Stages:
        """Unit-normalised features of the stages, times sqrt(w_l), which `forward` compares."""
        # Not lpips.normalize_tensor: its gradient is NaN where every channel is zero.
        units = tuple(F.normalize(f.float(), dim=1, eps=1e-10) for f in self.trunk(x))
        if not self.learned:
            return units
        roots = (getattr(self.lpips.scaling_layer, f"root{i}") for i in range(len(units)))
        return tuple(unit * root for unit, root in zip(units, roots, strict=True))

    def forward(
        self,
        x: Float[Tensor, "b 3 h w"],
        y: Float[Tensor, "b 3 h w"] | Stages,
        spatial: bool = False,
    ) -> Float[Tensor, " b"] | Float[Tensor, "b 1 h w"]:
        """Distance of pictures in [-1, 1], 0 and up; with `spatial`, one for each pixel.

        y may be what `stages` returned, which saves half of the work where y stays the same.
        """
        others = self.stages(y) if isinstance(y, Tensor) else y
        pairs = zip(self.stages(x), others, strict=True)
        squares = [(a - b).square().sum(dim=1, keepdim=True) for a, b in pairs]
        if not spatial:
            return sum(s.mean(dim=(1, 2, 3)) for s in squares)
        size = x.shape[-2:]
        return sum(F.interpolate(s, size, mode="bilinear", align_corners=False) for s in squares)

    def features(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 512"]:
        """Last-stage features averaged over places, for the distances between sets."""
        return self.trunk(x)[-1].float().mean(dim=(2, 3))


def _published_roots(net: str) -> list[Float[Tensor, "1 c 1 1"]]:
    """Square roots of the w_l that the package ships for a trunk; none of them is negative."""
    file = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth"
    stored = torch.load(file, map_location="cpu", weights_only=True)
    return [stored[f"lin{index}.model.1.weight"].sqrt() for index in range(len(stored))]
