"""StyleGAN2 of NVIDIA's PyTorch code (stylegan2-ada, and its twin in the StyleGAN3 code).

The pickle is a table {G, D, G_ema, ...} of objects saved with their source code; the reader gives
each as a Record of its state and drops the code. Our network has the same names, so the tensors of
the averaged generator only leave the tree of modules. A plain state dict is accepted too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from weights.convert import layout
from weights.convert.inert import OBJECTS, Record
from weights.convert.stylegan2 import LR_MULTIPLIER, finished
from weights.manifest import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "a StyleGAN2 generator of NVIDIA's PyTorch code"
# Parts of the name of tensors that another architecture has -> what it is.
_OTHERS = {
    "mapping.embed.": "one conditioned on labels",
    "synthesis.input.": "a StyleGAN3 generator",
    ".skip.weight": "one with a residual synthesis network",
}


def convert(content: object) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `Generator` from the content of a published file.

    Settings of reduced precision (number of fp16 blocks) have no meaning in float32.
    """
    generator = content.get("G_ema", content) if isinstance(content, Mapping) else content
    if not isinstance(generator, Record):
        tensors = layout.named_tensors(generator, SOURCE)
        _refuse(tensors)
        return finished(tensors, SOURCE)
    if generator.kind != f"{OBJECTS}Generator":
        raise WeightsError(
            f"expected {SOURCE}; got an object of {generator.kind}; "
            "check that this is the published file."
        )
    modules = dict(_modules(generator))
    tensors = {
        f"{path}{name}": tensor
        for path, state in modules.items()
        for table in ("_parameters", "_buffers")
        for name, tensor in (state.get(table) or {}).items()
        if tensor is not None
    }
    _refuse(tensors)
    for path, state in modules.items():
        if state.get("activation", "lrelu") not in ("lrelu", "linear"):
            raise WeightsError(
                f"expected {SOURCE} with leaky ReLUs; got {state['activation']!r} in {path}; "
                "this activation is not supported."
            )
        if state.get("use_noise") is False and f"{path}weight" in tensors:
            tensors |= _silence(path, state)
    first = modules.get("mapping.fc0.", {})
    found, settings = finished(tensors, SOURCE, float(first.get("bias_gain", LR_MULTIPLIER)))
    # Files trained in half precision limit activations, and do so in float32 as well.
    if clamp := modules.get("synthesis.b4.conv1.", {}).get("conv_clamp"):
        settings["conv_clamp"] = float(clamp)
    return found, settings


def _modules(module: object, path: str = "") -> Iterator[tuple[str, Mapping[str, object]]]:
    """The state of every module in a tree, by its dotted path with a dot at the end."""
    state = getattr(module, "state", None)
    if not isinstance(state, Mapping):
        raise WeightsError(
            f"expected {SOURCE}: modules with a state; got {type(module).__name__} at "
            f"{path or 'the top'}; check that this is the published file."
        )
    yield path, state
    for name, part in (state.get("_modules") or {}).items():
        if part is not None:
            yield from _modules(part, f"{path}{name}.")


def _refuse(tensors: Mapping[str, object]) -> None:
    """Raise for generators that only look alike."""
    for mark, what in _OTHERS.items():
        if any(mark in name for name in tensors):
            raise WeightsError(
                f"expected {SOURCE}, skip architecture without labels; got {what}; "
                "take another file."
            )


def _silence(path: str, state: Mapping[str, object]) -> dict[str, Tensor]:
    """Noise of strength 0 for a layer that was built without noise."""
    import torch

    side = layout.side(state.get("resolution"), SOURCE)
    return {
        f"{path}noise_const": torch.zeros(side, side),
        f"{path}noise_strength": torch.zeros(()),
    }
