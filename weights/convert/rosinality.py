"""StyleGAN2 of the PyTorch port (`stylegan2-ffhq-config-f.pt`), for `stylegan2.Generator`.

The file holds the state dict `g_ema` and the average w `latent_avg`. Names: style.1 to style.8 the
mapping, input the constant, conv1 and to_rgb1 the block at 4 px, convs two layers a further block,
to_rgbs its colour, noises the constant noise. Upsampling kernels lie in the orientation of a
transposed convolution, as ours do; blur kernels hold the factor 4 of upsampling. Pictures of
512 x 384 (cars) are generated as 512 x 512: their rows are 64 to 448.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from weights.convert import e4e, layout
from weights.convert.stylegan2 import LR_MULTIPLIER, finished, folded, levels, take
from weights.manifest import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "a StyleGAN2 generator of the PyTorch port"
_MAPPING = re.compile(r"style\.\d+\.weight")
SAMPLES = 10_000  # latents whose mean w is the average, where a file has none
WIDEST = 4096  # features of w, of which so many samples are to be held


def convert(
    content: object, *, mapping_lr_multiplier: float = LR_MULTIPLIER
) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `Generator` from the content of a published file.

    Files that nest the generator beside an encoder (`decoder.*`) are accepted too. A file without
    `latent_avg`, as the port's own training writes it, gets the mean w of 10,000 seeded latents:
    the port estimates it the same way whenever it runs.
    """
    state = layout.named_tensors(content, SOURCE, "g_ema", "g", "state_dict")
    if any(name.startswith("decoder.") for name in state):
        content = e4e.generator(content)
        state = dict(content["g_ema"])
    layout.need(state, ("input.input", "style.1.weight", "conv1.conv.weight"), SOURCE)
    blocks = 1 + layout.count(state, "to_rgbs.{}.conv.weight")
    tensors = {"synthesis.b4.const": take(state, "input.input", SOURCE).squeeze(0)}
    # The port counts its parameterless normalisation as the first of the mapping's layers.
    for index in range(sum(bool(_MAPPING.fullmatch(name)) for name in state)):
        for end in ("weight", "bias"):
            tensors[f"mapping.fc{index}.{end}"] = take(state, f"style.{index + 1}.{end}", SOURCE)
    tensors |= _layer(state, "conv1", "synthesis.b4.conv1", 0) | _colour(state, "to_rgb1", 4)
    for index, side in enumerate(levels(blocks)[1:]):
        block = f"synthesis.b{side}"
        tensors |= _layer(state, f"convs.{2 * index}", f"{block}.conv0", 2 * index + 1)
        tensors |= _layer(state, f"convs.{2 * index + 1}", f"{block}.conv1", 2 * index + 2)
        tensors |= _colour(state, f"to_rgbs.{index}", side)
    average = content.get("latent_avg") if isinstance(content, Mapping) else None
    average = state.pop("latent_avg", average)
    tensors["mapping.w_avg"] = _average(average, tensors, mapping_lr_multiplier)
    # What is left has no place in our network: let the comparison of names tell.
    return finished(tensors | state, SOURCE, mapping_lr_multiplier)


def _layer(state: dict[str, Tensor], theirs: str, ours: str, noise: int) -> dict[str, Tensor]:
    """One modulated convolution with noise and bias."""
    field = take(state, f"noises.noise_{noise}", SOURCE)
    tensors = {
        f"{ours}.weight": folded(take(state, f"{theirs}.conv.weight", SOURCE).squeeze(0)),
        f"{ours}.affine.weight": take(state, f"{theirs}.conv.modulation.weight", SOURCE),
        f"{ours}.affine.bias": take(state, f"{theirs}.conv.modulation.bias", SOURCE),
        f"{ours}.bias": take(state, f"{theirs}.activate.bias", SOURCE).flatten(),
        f"{ours}.noise_strength": take(state, f"{theirs}.noise.weight", SOURCE).squeeze(),
        f"{ours}.noise_const": field.reshape(field.shape[-2:]),
    }
    if f"{theirs}.conv.blur.kernel" in state:
        tensors[f"{ours}.resample_filter"] = state.pop(f"{theirs}.conv.blur.kernel") / 4
    return tensors


def _colour(state: dict[str, Tensor], theirs: str, side: int) -> dict[str, Tensor]:
    """One colour layer, and the kernel that upsamples the image before it."""
    ours = f"synthesis.b{side}"
    tensors = {
        f"{ours}.torgb.weight": take(state, f"{theirs}.conv.weight", SOURCE).squeeze(0),
        f"{ours}.torgb.affine.weight": take(state, f"{theirs}.conv.modulation.weight", SOURCE),
        f"{ours}.torgb.affine.bias": take(state, f"{theirs}.conv.modulation.bias", SOURCE),
        f"{ours}.torgb.bias": take(state, f"{theirs}.bias", SOURCE).flatten(),
    }
    if f"{theirs}.upsample.kernel" in state:
        tensors[f"{ours}.resample_filter"] = state.pop(f"{theirs}.upsample.kernel") / 4
    return tensors


def _average(average: object, tensors: Mapping[str, Tensor], lr_multiplier: float) -> Tensor:
    """The stored average w, (512,) or (1, 512), or the mean of the mapping."""
    import torch

    dim = len(tensors["mapping.fc0.bias"])
    if average is None:
        return _mean_w(tensors, lr_multiplier)
    if not isinstance(average, torch.Tensor) or average.numel() != dim:
        shape = tuple(getattr(average, "shape", ())) or type(average).__name__
        raise WeightsError(
            f"expected latent_avg of {dim} numbers; got {shape}; "
            "check that this is the published file."
        )
    return average.flatten().float()


def _mean_w(tensors: Mapping[str, Tensor], lr_multiplier: float) -> Tensor:
    import torch
    from torch.nn.functional import leaky_relu, linear

    count = layout.count(tensors, "mapping.fc{}.weight")
    widest = max(max(tensors[f"mapping.fc{index}.weight"].shape) for index in range(count))
    if widest > WIDEST:
        raise WeightsError(
            f"expected {SOURCE} with a mapping of at most {WIDEST} features; got {widest}; "
            "check that this is the published file."
        )
    seeded = torch.Generator().manual_seed(0)
    w = torch.randn(SAMPLES, tensors["mapping.fc0.weight"].shape[1], generator=seeded)
    w = w * (w.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
    for index in range(count):
        weight, bias = (tensors[f"mapping.fc{index}.{end}"] for end in ("weight", "bias"))
        gain = lr_multiplier / weight.shape[1] ** 0.5
        w = leaky_relu(linear(w, weight * gain, bias * lr_multiplier), 0.2) * 2**0.5
    return w.mean(dim=0)
