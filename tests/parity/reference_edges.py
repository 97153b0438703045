"""PiDiNet and HED by plain functions over the names of their published files.

Written from the papers: a pixel difference convolution is a sum of weights times differences of two
pixels, which this takes one by one instead of folding them into other weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

# (down, right) of the nine pixels of a kernel, row by row, and clockwise around the middle
PLACES = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
CLOCKWISE = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
STAGES = (3, 4, 4, 4)


def at(x, dy, dx):
    """Every pixel's neighbour; zero beyond the border."""
    height, width = x.shape[-2:]
    return F.pad(x, (2, 2, 2, 2))[..., 2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width]


def differences(x, kind):
    """What each of a kernel's nine weights, row by row, is multiplied with."""
    if kind == "plain":
        return [at(x, *place) for place in PLACES]
    if kind == "central":
        return [at(x, *place) - x for place in PLACES]
    if kind == "radial":  # the first weight is not used
        around = [place for place in PLACES if place != (0, 0)]
        return [0 * x, *(at(x, 2 * dy, 2 * dx) - at(x, dy, dx) for dy, dx in around)]
    following = dict(zip(CLOCKWISE, CLOCKWISE[1:] + CLOCKWISE[:1], strict=True)) | {(0, 0): (0, 0)}
    return [at(x, *place) - at(x, *following[place]) for place in PLACES]


def pixel_difference(x, weight, kind, apart):
    """apart: whether each channel has its own kernel."""
    total = 0
    for w, seen in zip(weight.flatten(2).unbind(2), differences(x, kind), strict=True):
        part = seen * w[:, 0, None, None] if apart else torch.einsum("oi,bihw->bohw", w, seen)
        total = total + part
    return total


def pidinet(table, x):
    """Edges, (b, h, w), of pictures in [0, 1] in the order blue, green, red."""
    t = {name.removeprefix("module."): v.double() for name, v in table["state_dict"].items()}
    # The first layer is one of four in turn, which the blocks go on with.
    kinds = iter(("central", "angular", "radial", "plain") * 4)
    size, x = x.shape[-2:], pixel_difference(x.double(), t["init_block.weight"], next(kinds), False)
    sides = []
    for stage, blocks in enumerate(STAGES, 1):
        for block in range(1, blocks + 1):
            name = f"block{stage}_{block}"
            if f"{name}.shortcut.weight" in t:
                x = F.max_pool2d(x, 2)
            y = pixel_difference(x, t[f"{name}.conv1.weight"], next(kinds), True)
            y = F.conv2d(y.clamp(min=0), t[f"{name}.conv2.weight"])
            x = y + (layer(t, f"{name}.shortcut", x) if f"{name}.shortcut.weight" in t else x)
        sides.append(F.interpolate(side(t, stage - 1, x), size, mode="bilinear"))
    return layer(t, "classifier", torch.cat(sides, 1)).sigmoid()[:, 0]


def side(t, index, x):
    """The edges that one stage sees."""
    y = layer(t, f"dilations.{index}.conv1", x.clamp(min=0))
    wide = [
        F.conv2d(y, t[f"dilations.{index}.conv2_{i}.weight"], padding=far, dilation=far)
        for i, far in enumerate((5, 7, 9, 11), 1)
    ]
    y = sum(wide)
    looked = layer(t, f"attentions.{index}.conv1", y.clamp(min=0))
    looked = F.conv2d(looked, t[f"attentions.{index}.conv2.weight"], padding=1).sigmoid()
    return layer(t, f"conv_reduces.{index}.conv", y * looked)


def hed(t, x, blocks):
    """Edges, (b, h, w), of RGB pictures of 0 to 255; blocks: channels and convolutions of each."""
    t = {name: tensor.double() for name, tensor in t.items()}
    size, x, logits = x.shape[-2:], x.double() - t["norm"], []
    for block, (_, convolutions) in enumerate(blocks, 1):
        x = F.max_pool2d(x, 2) if block > 1 else x
        for i in range(convolutions):
            name = f"block{block}.convs.{i}"
            x = F.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"], padding=1).clamp(min=0)
        logit = layer(t, f"block{block}.projection", x)
        logits.append(F.interpolate(logit, size, mode="bilinear"))
    return (sum(logits) / len(logits)).sigmoid()[:, 0]


def layer(t, name, x):
    return F.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"])
