"""BiSeNet face parser: the published flat state dict, for `bisenet.BiSeNet`.

Names stay as they are; the number of classes and the width are read off the shapes. The order of
the classes is `bisenet.CLASSES`; other published face parsers order the same 19 names differently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weights.convert import layout

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "a BiSeNet face parser"
_HEADS = ("conv_out", "conv_out16", "conv_out32")


def convert(content: object) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `BiSeNet` from the content of the published file."""
    tensors = layout.named_tensors(content, SOURCE, "state_dict")
    heads = [f"{head}.conv_out.weight" for head in _HEADS]
    layout.need(tensors, ("cp.resnet.conv1.weight", "ffm.convblk.conv.weight", *heads), SOURCE)
    config: dict[str, object] = {
        "classes": tensors["conv_out.conv_out.weight"].shape[0],
        "width": tensors["cp.resnet.conv1.weight"].shape[0],
    }
    return layout.as_float32(tensors), config
