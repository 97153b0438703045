"""Content of torchvision's VGG16 file: names and shapes of the full trunk, random numbers.

Written from the published layout: thirteen convolutions among `features`, counted with their
activations and poolings, then three linear layers, which are left small here.
"""

from __future__ import annotations

import torch

WIDTHS = (64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512, None, 512, 512, 512)


def vgg16(seed=0):
    """A flat state dict; None in WIDTHS is a pooling, which takes one index, a convolution two."""
    random = torch.Generator().manual_seed(seed)
    state, index, inputs = {}, 0, 3
    for width in WIDTHS:
        if width is None:
            index += 1
            continue
        spread = (2 / (9 * inputs)) ** 0.5
        shape = (width, inputs, 3, 3)
        state[f"features.{index}.weight"] = spread * torch.randn(shape, generator=random)
        state[f"features.{index}.bias"] = 0.1 * torch.randn(width, generator=random)
        index, inputs = index + 2, width
    for index in (0, 3, 6):
        state[f"classifier.{index}.weight"] = torch.zeros(4, 4)
        state[f"classifier.{index}.bias"] = torch.zeros(4)
    return state


def stages(state, x):
    """What LPIPS compares, by torch functions alone: the last activation before each pooling."""
    shift = torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1)
    x, index, kept = (x - shift) / scale, 0, []
    for width in WIDTHS:
        if width is None:
            kept.append(x)
            x, index = torch.nn.functional.max_pool2d(x, 2), index + 1
            continue
        weight, bias = (state[f"features.{index}.{end}"] for end in ("weight", "bias"))
        x = torch.conv2d(x, weight, bias, padding=1).clamp(min=0)
        index += 2
    return [*kept, x]
