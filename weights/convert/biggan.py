"""BigGAN-deep as PyTorch publishes it (`pytorch_pretrained_biggan`), for `biggan.BigGAN`.

Three things change: spectral norms are divided into the weights, as evaluation does; the colour
layer keeps the three of its channels that are shown; attention layers lose a prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from weights.convert import layout
from weights.manifest import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "a BigGAN-deep generator"
_PREFIXES = (("embeddings.", "mapping.embeddings."), ("generator.", "synthesis."))
_NEEDED = (
    "mapping.embeddings.weight",
    "synthesis.gen_z.weight",
    "synthesis.bn.running_means",
    "synthesis.conv_to_rgb.weight",
    "synthesis.conv_to_rgb.bias",
)


def convert(content: object, *, eps: float = 1e-4) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `BigGAN` from the content of the published file.

    eps: of the batch normalisations, which the file does not tell; 1e-4 in every published one.
    """
    state = _folded(layout.as_float32(layout.named_tensors(content, SOURCE, "state_dict")))
    tensors = {_renamed(key): value for key, value in state.items()}
    layout.need(tensors, _NEEDED, SOURCE)
    for name in ("synthesis.conv_to_rgb.weight", "synthesis.conv_to_rgb.bias"):
        tensors[name] = tensors[name][:3].clone()
    return tensors, _config(tensors, eps)


def _folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every weight over its largest singular value u . W v, by the stored vectors u and v."""
    folded: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = key.removesuffix("_orig")
        if key.endswith(".weight_orig"):
            layout.need(state, (f"{name}_u", f"{name}_v"), SOURCE)
            sigma = state[f"{name}_u"].dot(tensor.flatten(1).mv(state[f"{name}_v"]))
            folded[name] = tensor / sigma
        elif not key.endswith((".weight_u", ".weight_v")):
            folded[key] = tensor
    return folded


def _renamed(key: str) -> str:
    for theirs, ours in _PREFIXES:
        if key.startswith(theirs):
            return (ours + key.removeprefix(theirs)).replace(".snconv1x1_", ".")
    return key


def _config(tensors: Mapping[str, Tensor], eps: float) -> dict[str, object]:
    """Constructor arguments, read off names and shapes."""
    named = {int(key.split(".")[2]) for key in tensors if key.startswith("synthesis.layers.")}
    attention = sorted(i for i in named if f"synthesis.layers.{i}.gamma" in tensors)
    blocks = sorted(named - set(attention))
    if len(attention) != 1 or not blocks or len(blocks) % 2:
        raise WeightsError(
            f"expected {SOURCE}: pairs of blocks and one attention layer; got {len(blocks)} blocks "
            f"and attention at {attention}; check that this is the published file."
        )
    inputs = [f"synthesis.layers.{i}.conv_0.weight" for i in blocks[::2]]
    layout.need(tensors, inputs, SOURCE)
    z_dim, classes = tensors["mapping.embeddings.weight"].shape
    stats, channels = tensors["synthesis.bn.running_means"].shape
    return {
        "resolution": 4 * 2 ** len(inputs),
        "z_dim": z_dim,
        "channel_width": channels,
        "num_classes": classes,
        "widths": [*(tensors[name].shape[1] // channels for name in inputs), 1],
        "attention": attention[0],
        "eps": eps,
        "stats": stats,
    }
