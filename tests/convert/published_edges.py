"""Small contents of the published edge annotators: their names and shapes, random numbers.

Written from what the published files hold, without our networks or converters. PiDiNet's file has
one table, `state_dict`, of a network that was trained in parallel; HED's is flat and in half
precision.
"""

from __future__ import annotations

import torch

from tests.convert.published_faces import put

STAGES = (3, 4, 4, 4)  # blocks
HED = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions of a block


def biased(table, name, outputs, inputs, size):
    put(table, f"{name}.weight", outputs, inputs, size, size)
    put(table, f"{name}.bias", outputs, spread=0.3)


def pidinet(width=6, dilation=5):
    """Published with 60 and 24."""
    table = {}
    put(table, "init_block.weight", width, 3, 3, 3)
    inputs = width
    for stage, blocks in enumerate(STAGES, 1):
        outputs = width * min(2 ** (stage - 1), 4)
        for block in range(1, blocks + 1):
            name = f"block{stage}_{block}"
            if stage > 1 and block == 1:
                biased(table, f"{name}.shortcut", outputs, inputs, 1)
            put(table, f"{name}.conv1.weight", inputs, 1, 3, 3)
            put(table, f"{name}.conv2.weight", outputs, inputs, 1, 1)
            inputs = outputs
        side = stage - 1
        biased(table, f"dilations.{side}.conv1", dilation, outputs, 1)
        for i in range(1, 5):
            put(table, f"dilations.{side}.conv2_{i}.weight", dilation, dilation, 3, 3)
        biased(table, f"attentions.{side}.conv1", 4, dilation, 1)
        put(table, f"attentions.{side}.conv2.weight", 1, 4, 3, 3)
        biased(table, f"conv_reduces.{side}.conv", 1, dilation, 1)
    biased(table, "classifier", 1, 4, 1)
    return {"epoch": 13, "state_dict": {f"module.{name}": t for name, t in table.items()}}


def hed():
    table, inputs = {"norm": 20 * torch.randn(1, 3, 1, 1) + 120}, 3
    for block, (channels, convolutions) in enumerate(HED, 1):
        for i in range(convolutions):
            name = f"block{block}.convs.{i}"
            biased(table, name, channels, inputs, 3)
            # Of pixels up to 255, so that the five logits are of the order of one.
            table[f"{name}.weight"] *= 0.012 if block == 1 and i == 0 else 1.4
            inputs = channels
        biased(table, f"block{block}.projection", 1, channels, 1)
    return {name: tensor.half() for name, tensor in table.items()}
