"""What the three published layouts of StyleGAN2 share, on their way to `stylegan2.Generator`.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), Sec. 2.2.
Where weights are scaled by 1 / sqrt(fan-in) before they are demodulated, `folded` multiplies that
in: the epsilon of Eq. 3 then means the same, and our network, which has no such factor, is exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from weights.convert import layout
from weights.manifest import WeightsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LR_MULTIPLIER = 0.01  # of the mapping network in every published training
_TAPS = (1, 3, 3, 1)


def low_pass() -> torch.Tensor:
    """The resampling kernel of config F, (4, 4), sum 1."""
    import torch

    line = torch.tensor(_TAPS, dtype=torch.float32)
    return torch.outer(line, line) / line.sum().square()


def take(state: dict[str, Tensor], name: str, source: str) -> Tensor:
    """Remove a tensor from `state` and give it in float32; raises `WeightsError` without it."""
    layout.need(state, (name,), source)
    return state.pop(name).float()


def folded(weight: Tensor) -> Tensor:
    """A convolution's weight (o, i, k, k) with the factor 1 / sqrt(i k k) multiplied in."""
    return weight / math.sqrt(weight[0].numel())


def levels(count: int) -> list[int]:
    """Resolutions of `count` blocks, from 4 px up."""
    return [4 * 2**index for index in range(count)]


def finished(
    tensors: Mapping[str, Tensor], source: str, lr_multiplier: float = LR_MULTIPLIER
) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Complete tensors under our names, and the arguments of `Generator`.

    Adds the resampling kernels that a layout leaves out, then compares every name and shape.
    """
    tensors = dict(tensors)
    first = ("mapping.fc0.weight", "mapping.w_avg", "synthesis.b4.torgb.weight")
    layout.need(tensors, first, source)
    blocks = 0
    while f"synthesis.b{4 * 2**blocks}.conv1.bias" in tensors:
        blocks += 1
    sides = levels(blocks)
    config: dict[str, object] = {
        "resolution": sides[-1] if sides else 0,
        "z_dim": tensors["mapping.fc0.weight"].shape[-1],
        "w_dim": tensors["mapping.w_avg"].numel(),
        "mapping_layers": layout.count(tensors, "mapping.fc{}.weight"),
        "channels": {side: len(tensors[f"synthesis.b{side}.conv1.bias"]) for side in sides},
        "mapping_lr_multiplier": lr_multiplier,
        "img_channels": len(tensors["synthesis.b4.torgb.weight"]),
    }
    shapes = _shapes(config)
    for name in shapes:
        if name.endswith("resample_filter"):
            tensors[name] = _symmetric(tensors.get(name, low_pass()), source)
    _compare(tensors, shapes, source)
    return layout.as_float32({name: tensors[name] for name in shapes}), config


def _symmetric(kernel: Tensor, source: str) -> Tensor:
    """A kernel that is its own mirror image, as correlation then equals convolution."""
    kernel = kernel.float()
    mirrored = kernel.ndim == 2 and kernel.equal(kernel.flip(0, 1))
    if not mirrored or abs(float(kernel.sum()) - 1) > 1e-4:
        raise WeightsError(
            f"expected {source} with a symmetric kernel of sum 1; got {kernel.tolist()}; "
            "check that this is the published file."
        )
    return kernel


def _shapes(config: Mapping[str, object]) -> dict[str, tuple[int, ...]]:
    """Every name of our state dict, with its shape."""
    z_dim, w_dim, colours = config["z_dim"], config["w_dim"], config["img_channels"]
    shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (w_dim,)}
    for index in range(config["mapping_layers"]):
        shapes[f"mapping.fc{index}.weight"] = (w_dim, w_dim if index else z_dim)
        shapes[f"mapping.fc{index}.bias"] = (w_dim,)
    inputs = 0
    for side, width in config["channels"].items():
        block = f"synthesis.b{side}"
        if side == 4:
            shapes[f"{block}.const"] = (width, 4, 4)
        else:
            shapes |= _layer(f"{block}.conv0", inputs, width, w_dim, side)
        shapes |= _layer(f"{block}.conv1", width, width, w_dim, side)
        shapes |= _affine(f"{block}.torgb", width, w_dim)
        shapes[f"{block}.torgb.weight"] = (colours, width, 1, 1)
        shapes[f"{block}.torgb.bias"] = (colours,)
        shapes[f"{block}.resample_filter"] = (4, 4)
        inputs = width
    return shapes


def _affine(name: str, width: int, w_dim: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.affine.weight": (width, w_dim), f"{name}.affine.bias": (width,)}


def _layer(name: str, inputs: int, width: int, w_dim: int, side: int) -> dict[str, tuple[int, ...]]:
    return _affine(name, inputs, w_dim) | {
        f"{name}.weight": (width, inputs, 3, 3),
        f"{name}.bias": (width,),
        f"{name}.noise_strength": (),
        f"{name}.noise_const": (side, side),
        f"{name}.resample_filter": (4, 4),
    }


def _compare(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], source: str
) -> None:
    """Raise one error that lists missing and unexpected names, and other shapes."""
    wrong = [
        f"{name} {tuple(tensors[name].shape)} for {shape}"
        for name, shape in shapes.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    faults = {
        "missing": [name for name in shapes if name not in tensors],
        "unexpected": [name for name in tensors if name not in shapes],
        "shape": wrong,
    }
    if any(faults.values()):
        listed = "; ".join(f"{kind}: {layout.some(got)}" for kind, got in faults.items() if got)
        raise WeightsError(
            f"expected {source} of config F; got other tensors ({listed}); "
            "check that this is the published file."
        )
