"""IR-SE50 ArcFace: the flat state dict of facexlib and pSp, for `irse.FaceRecogniser`.

Names stay as they are; only the constructor's arguments are read off the shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from weights.convert import layout
from weights.manifest import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "an IR-SE50 face recogniser"


def convert(content: object) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `FaceRecogniser` from the content of the published file."""
    tensors = layout.named_tensors(content, SOURCE, "state_dict")
    layout.need(tensors, ("output_layer.0.weight", "output_layer.3.weight"), SOURCE)
    widths, depths = body(tensors, SOURCE)
    embedding, inputs = tensors["output_layer.3.weight"].shape
    config: dict[str, object] = {
        "widths": widths,
        "depths": depths,
        "embedding": embedding,
        "resolution": math.isqrt(inputs // widths[-1]) * 2 ** len(depths),
        "affine": "output_layer.4.weight" in tensors,
    }
    return layout.as_float32(tensors), config


def body(tensors: Mapping[str, Tensor], source: str) -> tuple[list[int], list[int]]:
    """Channels of the stem and of each stage, and units of each stage, of an IR-SE body.

    Raises `WeightsError` for the variant without squeeze-and-excitation.
    """
    layout.need(tensors, ("input_layer.0.weight", "body.0.res_layer.5.fc1.weight"), source)
    convolution = "body.{}.res_layer.3.weight"
    units = layout.count(tensors, convolution)
    outputs = [tensors[convolution.format(i)].shape[0] for i in range(units)]
    widths, depths = [tensors["input_layer.0.weight"].shape[0]], []
    for index, width in enumerate(outputs):
        if index and width == outputs[index - 1]:
            depths[-1] += 1
        else:
            widths.append(width)
            depths.append(1)
    if len(depths) < 3:
        raise WeightsError(
            f"expected {source} with stages of different widths; got widths {widths}; "
            "check that this is the published file."
        )
    return widths, depths
