"""torchvision's VGG16: the trunk of the published LPIPS distance, for
`perceptual.PerceptualDistance`.

A flat file: `features.<i>.weight` and `.bias` of thirteen convolutions, and `classifier.*`, which a
distance does not read. The `lpips` package keeps the index i and cuts the layers into five slices,
each of which ends before a pooling.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from weights.convert import layout
from weights.manifest import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "torchvision's VGG16"
SLICES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))  # convolutions of each slice
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pictures in [-1, 1] (lpips)


def vgg16(content: object) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `PerceptualDistance` from the content of the published file."""
    import torch

    state = layout.named_tensors(content, SOURCE, "state_dict")
    places = {i: k for k, slice_ in enumerate(SLICES, start=1) for i in slice_}
    names = [f"features.{i}.{end}" for i in places for end in ("weight", "bias")]
    layout.need(state, names, SOURCE)
    features = [name for name in state if not name.startswith("classifier.")]
    if unknown := sorted(set(features) - set(names)):
        raise WeightsError(
            f"expected {SOURCE}, without batch normalisation; got {layout.some(unknown)} as well; "
            "take the file named in the manifest."
        )
    tensors = {
        "lpips.scaling_layer.shift": torch.tensor(SHIFT).reshape(1, 3, 1, 1),
        "lpips.scaling_layer.scale": torch.tensor(SCALE).reshape(1, 3, 1, 1),
    }
    for name in names:
        index, end = re.fullmatch(r"features\.(\d+)\.(\w+)", name).groups()
        tensors[f"lpips.net.slice{places[int(index)]}.{index}.{end}"] = state[name]
    return layout.as_float32(tensors), {"net": "vgg", "learned": True}
