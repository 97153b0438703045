"""StyleGAN2 of the TensorFlow era (`stylegan2-ffhq-config-f.pkl`), for `stylegan2.Generator`.

The pickle holds the networks (G, D, Gs), each with its variables and components; Gs, the averaged
one, has mapping and synthesis. A plain table of variables is accepted too, with names as in the
graph (`G_synthesis/4x4/Const/const`). Dense weights lie as (in, out), convolutions as (height,
width, in, out), those of upsampling layers mirrored; style biases are stored without their 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from weights.convert import layout
from weights.convert.inert import Record
from weights.convert.stylegan2 import LR_MULTIPLIER, finished, folded, levels, take
from weights.manifest import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "a StyleGAN2 generator of the TensorFlow code"
KIND = "dnnlib.tflib.network.Network"
# Settings that change pictures -> the one meaning they have here.
MEANT = {
    "architecture": "skip",
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "resample_kernel": [1, 3, 3, 1],
    "label_size": 0,
    "use_noise": True,
}
_SCOPE = re.compile(r"^(?:Gs?(?:_\d+)?/)?(?:G_)?(mapping|synthesis)(?:_\d+)?/")
_UNUSED = ("lod", "synthesis/lod")  # progress of a growing network, which config F is not


def convert(content: object) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `Generator` from the content of a published file."""
    network = content[-1] if isinstance(content, tuple | list) and content else content
    settings: dict[str, object] = {}
    if isinstance(network, Record):
        pairs = list(_variables(network, settings))
    elif isinstance(network, Mapping):
        pairs = list(network.items())
    else:
        pairs = []
    _refuse(settings)
    variables = _plain(pairs)
    needed = ("synthesis/4x4/Const/const", "mapping/Dense0/weight", "dlatent_avg")
    layout.need(variables, needed, SOURCE)
    blocks = 0
    while f"synthesis/{4 * 2**blocks}x{4 * 2**blocks}/ToRGB/weight" in variables:
        blocks += 1
    tensors = {"mapping.w_avg": take(variables, "dlatent_avg", SOURCE)}
    constant = take(variables, "synthesis/4x4/Const/const", SOURCE)
    tensors["synthesis.b4.const"] = constant.squeeze(0)
    for index in range(layout.count(variables, "mapping/Dense{}/weight")):
        weight = take(variables, f"mapping/Dense{index}/weight", SOURCE)
        tensors[f"mapping.fc{index}.weight"] = weight.mT
        tensors[f"mapping.fc{index}.bias"] = take(variables, f"mapping/Dense{index}/bias", SOURCE)
    for index, side in enumerate(levels(blocks)):
        tensors |= _block(variables, index, side)
    # What is left has no place in our network: let the comparison of names tell.
    rate = float(settings.get("mapping_lrmul", LR_MULTIPLIER))
    found, arguments = finished(tensors | variables, SOURCE, rate)
    if settings.get("normalize_latents") is False:
        arguments["normalize_z"] = False
    return found, arguments


def _variables(network: object, settings: dict[str, object]) -> Iterator[tuple[str, object]]:
    """Variables of a network and its components by name; adds what it says of its settings."""
    state = getattr(network, "state", None)
    if getattr(network, "kind", None) != KIND or not isinstance(state, Mapping):
        raise WeightsError(
            f"expected {SOURCE}; got {getattr(network, 'kind', type(network).__name__)}; "
            "check that this is the published file."
        )
    settings |= state.get("static_kwargs") or {}
    for pair in state.get("variables") or ():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise WeightsError(
                f"expected {SOURCE}: variables with their names; got {type(pair).__name__}; "
                "check that this is the published file."
            )
        yield pair[0], pair[1]
    for name, part in (state.get("components") or {}).items():
        yield from ((f"{name}/{inner}", value) for inner, value in _variables(part, settings))


def _refuse(settings: Mapping[str, object]) -> None:
    """Raise for settings without a counterpart in our network."""
    other = {k: settings[k] for k, meant in MEANT.items() if settings.get(k, meant) != meant}
    other = {k: v for k, v in other.items() if v is not None}  # None leaves the default
    if other:
        raise WeightsError(
            f"expected {SOURCE} with the settings of config F; got {other}; take another file."
        )


def _plain(pairs: list[tuple[str, object]]) -> dict[str, Tensor]:
    """Variables by name without scopes, as tensors; scalars are plain numbers in the file."""
    import torch

    plain: dict[str, Tensor] = {}
    for name, value in pairs:
        name = _SCOPE.sub(r"\1/", str(name).removesuffix(":0"))
        name = "dlatent_avg" if name.endswith("/dlatent_avg") else name
        if name in _UNUSED:
            continue
        if not isinstance(value, torch.Tensor | int | float):
            raise WeightsError(
                f"expected {SOURCE}: numbers under {name}; got {type(value).__name__}; "
                "check that this is the published file."
            )
        plain[name] = torch.as_tensor(value)
    return plain


def _block(variables: dict[str, Tensor], index: int, side: int) -> dict[str, Tensor]:
    """One resolution: one layer at 4 px and two above, and colour."""
    theirs, ours = f"synthesis/{side}x{side}", f"synthesis.b{side}"
    weight, affine = _modulated(variables, f"{theirs}/ToRGB")
    bias = take(variables, f"{theirs}/ToRGB/bias", SOURCE)
    tensors = {f"{ours}.torgb.weight": weight, f"{ours}.torgb.bias": bias}
    tensors |= {f"{ours}.torgb.affine.{end}": tensor for end, tensor in affine.items()}
    if index == 0:
        return tensors | _layer(variables, f"{theirs}/Conv", f"{ours}.conv1", 0)
    tensors |= _layer(variables, f"{theirs}/Conv0_up", f"{ours}.conv0", 2 * index - 1)
    return tensors | _layer(variables, f"{theirs}/Conv1", f"{ours}.conv1", 2 * index)


def _layer(variables: dict[str, Tensor], theirs: str, ours: str, noise: int) -> dict[str, Tensor]:
    weight, affine = _modulated(variables, theirs)
    field = take(variables, f"synthesis/noise{noise}", SOURCE)
    return {f"{ours}.affine.{end}": tensor for end, tensor in affine.items()} | {
        f"{ours}.weight": folded(weight.flip(2, 3) if theirs.endswith("_up") else weight),
        f"{ours}.bias": take(variables, f"{theirs}/bias", SOURCE),
        f"{ours}.noise_strength": take(variables, f"{theirs}/noise_strength", SOURCE).squeeze(),
        f"{ours}.noise_const": field.reshape(field.shape[-2:]),
    }


def _modulated(variables: dict[str, Tensor], name: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Weight (o, i, k, k), and the layer that makes its style."""
    weight = take(variables, f"{name}/weight", SOURCE)
    if weight.ndim != 4:
        raise WeightsError(
            f"expected {SOURCE}: {name}/weight with 4 axes; got {tuple(weight.shape)}; "
            "check that this is the published file."
        )
    affine = {
        "weight": take(variables, f"{name}/mod_weight", SOURCE).mT,
        "bias": take(variables, f"{name}/mod_bias", SOURCE) + 1,
    }
    return weight.permute(3, 2, 0, 1), affine
