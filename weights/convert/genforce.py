"""Published weights of in-domain GAN inversion: StyleGAN generators, encoders, boundaries.

Two layouts of one generator exist. `idinvert_pytorch` wraps each operation in a module of its own
(`synthesis.layer1.epilogue.style_mod.dense.fc.weight`) and stores the weights of fused layers as
(height, width, in, out); GenForce names them plainly (`synthesis.layer1.style.weight`). Nothing is
multiplied here: both store weights of unit variance and scale them when they run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from weights.convert import layout
from weights.manifest import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

GENERATOR = "a StyleGAN generator of 2019"
ENCODER = "an encoder of in-domain GAN inversion"
# Published part of a name -> ours, for both layouts of the generator; the order matters.
_GENERATOR = (
    (".epilogue.", "."),
    (".style_mod.dense.", ".style."),
    (".apply_noise.noise", ".noise_const"),
    (".apply_noise.weight", ".noise_strength"),
    (".fc.weight", ".weight"),
    (".wscale.bias", ".bias"),
    (".conv.weight", ".weight"),
    ("truncation.w_avg", "mapping.w_avg"),
)
_ENCODER = (
    (".bn.bn.", ".bn."),
    (".bn1.bn.", ".bn1."),
    (".bn2.bn.", ".bn2."),
    (".wscale1.bias", ".conv1.bias"),
    (".wscale2.bias", ".conv2.bias"),
)
# Constants of the architecture, and colour layers that growing left behind.
_DROPPED = ("truncation.truncation", "synthesis.lod", "synthesis.output")
LAYERS = 14  # of the published generators, 256 px
_RANGE = 3.0  # the published demonstration moves codes by -3 to 3 along a boundary's normal


def stylegan1(
    content: object, *, fused_from: int = 128, tanh: bool | None = None
) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `stylegan1.Generator`.

    fused_from: resolution [px] from which upsampling and convolution are one; files of the wrapped
    layout tell it themselves. tanh: whether the image ends in it, which no file tells; by default
    where the mapping is layer-wise, as in the published pairs of in-domain inversion.
    """
    state = layout.named_tensors(content, GENERATOR, "generator_smooth", "generator", "state_dict")
    layout.need(state, ("synthesis.layer0.const", "truncation.w_avg"), GENERATOR)
    lod = float(state.get("synthesis.lod", 0.0))
    if lod != 0:
        raise WeightsError(
            f"expected a fully grown generator (lod 0); got lod {lod:g}; "
            "convert a checkpoint from the end of its training."
        )
    layers = len({key.split(".")[1] for key in state if key.startswith("synthesis.layer")})
    wrapped = any(".epilogue." in key for key in state)
    tensors = {}
    for key, tensor in state.items():
        name = _renamed(key, _GENERATOR).replace(f".output{layers // 2 - 1}.", ".torgb.")
        if name.startswith(_DROPPED) or name.endswith(".blur.kernel"):
            continue
        if wrapped and re.fullmatch(r"synthesis\.layer\d+\.weight", key):
            tensor = tensor.permute(3, 2, 0, 1)
        tensors[name] = tensor
    _reshape(tensors, layers)
    config = _generator_config(tensors, layers)
    config["fused_from"] = _first_fused(state, layers) if wrapped else fused_from
    config["tanh"] = config["layerwise_mapping"] if tanh is None else tanh
    return layout.as_float32(tensors), config


def _first_fused(state: Mapping[str, Tensor], layers: int) -> int:
    """The lowest resolution whose upsampling layer is fused; if there is none, one too large."""
    fused = [i for i in range(2, layers, 2) if f"synthesis.layer{i}.weight" in state]
    first = fused[0] if fused else layers
    if fused != list(range(first, layers, 2)):
        raise WeightsError(
            f"expected fused layers from one resolution up; got layers {fused} of {layers}; "
            "check that this is the published file."
        )
    return 4 * 2 ** (first // 2)


def _reshape(tensors: dict[str, Tensor], layers: int) -> None:
    """Drop axes of length 1, and give a layer-wise mapping one average a layer."""
    names = [f"synthesis.layer{i}.{end}" for i in range(layers) for end in ("noise_const", "bias")]
    layout.need(tensors, (*names, "mapping.dense0.weight", "synthesis.torgb.weight"), GENERATOR)
    for name in names[::2]:
        tensors[name] = tensors[name].reshape(tensors[name].shape[-2:])
    tensors["synthesis.layer0.const"] = tensors["synthesis.layer0.const"].squeeze(0)
    w_dim = tensors["synthesis.layer0.style.weight"].shape[1]
    average = tensors["mapping.w_avg"].reshape(-1, w_dim)
    tensors["mapping.w_avg"] = average.expand(layers, -1) if _layerwise(tensors) else average[0]


def _last_dense(tensors: Mapping[str, Tensor]) -> int:
    return layout.count(tensors, "mapping.dense{}.weight") - 1


def _layerwise(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the mapping's last layer makes more than one w."""
    last = tensors[f"mapping.dense{_last_dense(tensors)}.weight"]
    return len(last) != tensors["synthesis.layer0.style.weight"].shape[1]


def _generator_config(tensors: Mapping[str, Tensor], layers: int) -> dict[str, object]:
    """What the shapes say of the constructor's arguments."""
    first = tensors["mapping.dense0.weight"]
    w_dim = tensors["synthesis.layer0.style.weight"].shape[1]
    return {
        "resolution": 4 * 2 ** (layers // 2 - 1),
        "z_dim": first.shape[1],
        "w_dim": w_dim,
        "mapping_layers": _last_dense(tensors) + 1,
        "mapping_dim": len(first) if _last_dense(tensors) else w_dim,
        "layerwise_mapping": _layerwise(tensors),
        "channels": {
            4 * 2**i: len(tensors[f"synthesis.layer{2 * i}.bias"]) for i in range(layers // 2)
        },
    }


def indomain_encoder(content: object) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `InDomainEncoder`, from an encoder with batch normalisation."""
    state = layout.named_tensors(content, ENCODER, "encoder", "state_dict")
    tensors = {_renamed(key, _ENCODER): tensor for key, tensor in state.items()}
    blocks = len({key.split(".")[0] for key in tensors})
    last = f"block{blocks - 1}.fc.weight"
    layout.need(tensors, ("block0.conv.weight", "block0.bn.running_mean", last), ENCODER)
    outputs, inputs = tensors[last].shape
    config: dict[str, object] = {
        "resolution": 2**blocks,
        "w_dim": outputs // (2 * (blocks - 1)),
        "width": len(tensors["block0.conv.weight"]),
        "widest": inputs // 16,
    }
    return layout.as_float32(tensors), config


def boundaries(
    contents: Mapping[str, object], *, layers: int | None = None
) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors of named boundaries, from the content of one file each, in the layout of ours.

    A file holds {"boundary": (1, layers, 512) or (1, 512), "meta_data": {"manipulate_layers"}}, or
    the array alone. A normal keeps a row a layer where it has one. One unit of change is one unit
    along the published vector, up to 3 either way; no accuracy is published, so none is written.
    layers: of the generator, by default the vector's rows, 14 for a vector that serves all layers.
    """
    import torch

    tensors: dict[str, Tensor] = {}
    for name, content in contents.items():
        vector, chosen, count = _boundary(name, content, layers)
        length = vector.norm()
        moved = torch.zeros(count)
        moved[sorted(chosen) or list(range(count))] = 1
        tensors |= {
            f"{name}.normal": vector / length,
            f"{name}.layers": moved,
            f"{name}.slope": 1 / length,
            f"{name}.low": torch.tensor(-_RANGE),
            f"{name}.high": torch.tensor(_RANGE),
        }
    return tensors, {}


def _boundary(name: str, content: object, layers: int | None) -> tuple[Tensor, set[int], int]:
    """Vector (512,) or (layers, 512), the layers it moves (none named means all), their count."""
    source = f"the boundary {name}"
    told: object = None
    if isinstance(content, Mapping) and "boundary" in content:
        told = layout.settings(content, "meta_data").get("manipulate_layers")
        content = content["boundary"]
    vector = layout.named_tensors({name: content}, source)[name]
    layers = layers or (vector.shape[1] if vector.ndim == 3 else LAYERS)
    if vector.shape[:-1] not in ((1,), (1, layers)):
        raise WeightsError(
            f"expected {source} as (1, 512) or (1, {layers}, 512); got {tuple(vector.shape)}; "
            "give the number of layers of its generator."
        )
    if not vector.any():
        raise WeightsError(f"expected {source} to point somewhere; got zeros; fetch it again.")
    chosen = _indices(told, source, layers)
    if chosen and not 0 <= min(chosen) <= max(chosen) < layers:
        raise WeightsError(
            f"expected layers of {source} in 0 to {layers - 1}; got {sorted(chosen)}; "
            "give the number of layers of its generator."
        )
    return vector[0].float(), chosen, layers


def _indices(told: object, source: str, layers: int) -> set[int]:
    """Layer indices from a number, numbers, or a text such as "0-3, 7"; of a text that goes beyond
    the last layer the first index beyond it, for the caller to refuse."""
    told = told.tolist() if hasattr(told, "tolist") else told
    try:
        if isinstance(told, str):
            spans = [span.split("-") for span in told.replace(" ", "").split(",") if span]
            ends = [[min(max(int(end), -1), layers) for end in span] for span in spans]
            return {i for span in ends for i in range(span[0], span[-1] + 1)}
        if isinstance(told, Sequence | set):
            return {int(i) for i in told}
        return set() if told is None else {int(told)}
    except (TypeError, ValueError, OverflowError) as error:
        raise WeightsError(
            f"expected layer numbers of {source}; got {told!r}; check the file."
        ) from error


def _renamed(key: str, table: Sequence[tuple[str, str]]) -> str:
    for theirs, ours in table:
        key = key.replace(theirs, ours)
    return key
