"""Edge annotators of ControlNet: PiDiNet and HED, for `edge_annotator.EdgeAnnotator`.

PiDiNet's file holds `state_dict`, whose names begin with "module."; HED's is flat. Names stay as
they are, below "net."; the sizes of PiDiNet are read off the shapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from weights.convert import layout

if TYPE_CHECKING:
    from torch import Tensor

PIDINET, HED = "a PiDiNet edge detector, not converted to plain convolutions", "a HED of ControlNet"
_STAGES = (3, 4, 4, 4)  # blocks of each stage of PiDiNet
_CONVOLUTIONS = (2, 2, 3, 3, 3)  # of each block of HED


def pidinet(content: object) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `EdgeAnnotator` from the content of the published PiDiNet."""
    tensors = layout.named_tensors(content, PIDINET, "state_dict")
    layout.need(tensors, _pidinet_names(), PIDINET)
    config = {
        "kind": "pidinet",
        "width": tensors["init_block.weight"].shape[0],
        "dilation": tensors["dilations.0.conv1.weight"].shape[0],
    }
    return _placed(tensors), config


def hed(content: object) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `EdgeAnnotator` from the content of the published HED."""
    tensors = layout.named_tensors(content, HED, "state_dict")
    layout.need(tensors, _hed_names(), HED)
    return _placed(tensors), {"kind": "hed"}


def _placed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"net.{name}": tensor for name, tensor in layout.as_float32(tensors).items()}


def _pidinet_names() -> Iterator[str]:
    """All of them: layers of the blocks by stage, then of the edges that each stage gives."""
    yield from ("init_block.weight", "classifier.weight", "classifier.bias")
    for stage, blocks in enumerate(_STAGES, 1):
        layers = [f"block{stage}_{i}.conv{k}" for i in range(1, blocks + 1) for k in (1, 2)]
        layers += [f"dilations.{stage - 1}.conv2_{i}" for i in range(1, 5)]
        yield from (f"{layer}.weight" for layer in (*layers, f"attentions.{stage - 1}.conv2"))
        biased = [f"{part}.{stage - 1}.conv1" for part in ("dilations", "attentions")]
        biased += [f"conv_reduces.{stage - 1}.conv"]
        biased += [f"block{stage}_1.shortcut"] if stage > 1 else []
        yield from (f"{layer}.{end}" for layer in biased for end in ("weight", "bias"))


def _hed_names() -> Iterator[str]:
    yield "norm"
    for block, convolutions in enumerate(_CONVOLUTIONS, 1):
        layers = [f"convs.{i}" for i in range(convolutions)] + ["projection"]
        yield from (f"block{block}.{layer}.{end}" for layer in layers for end in ("weight", "bias"))
