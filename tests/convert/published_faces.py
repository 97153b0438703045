"""Small contents of the published face checkpoints: their names and shapes, random numbers.

Written from what the published files hold, without our networks or converters. Every name that a
batch normalisation, a convolution or a linear layer has is there, so that a strict load means that
nothing is missing and nothing is left over.
"""

from __future__ import annotations

import torch

WIDTHS = (16, 16, 32, 48, 64)  # squeeze-and-excitation divides by 16
DEPTHS = (2, 1, 2, 1)


def put(table, name, *shape, spread=None):
    """A random tensor; by default as wide as keeps activations of the order of one."""
    fan_in = max(1, torch.Size(shape[1:]).numel())
    table[name] = torch.randn(shape) * (fan_in**-0.5 if spread is None else spread)


def convolution(table, name, outputs, inputs, size, bias=False):
    put(table, f"{name}.weight", outputs, inputs, size, size)
    if bias:
        put(table, f"{name}.bias", outputs, spread=0.3)


def norm(table, name, channels, counter=True):
    table[f"{name}.weight"] = 1 + 0.2 * torch.randn(channels)
    table[f"{name}.bias"] = 0.3 * torch.randn(channels)
    table[f"{name}.running_mean"] = 0.3 * torch.randn(channels)
    table[f"{name}.running_var"] = 0.5 + torch.rand(channels)
    if counter:
        table[f"{name}.num_batches_tracked"] = torch.tensor(1000)


def prelu(table, name, channels):
    table[f"{name}.weight"] = 0.25 * torch.randn(channels)


def ir_body(table, prefix="", in_channels=3, counter=True):
    """`input_layer` and `body` of IR-SE50, with fewer and thinner units."""
    convolution(table, f"{prefix}input_layer.0", WIDTHS[0], in_channels, 3)
    norm(table, f"{prefix}input_layer.1", WIDTHS[0], counter)
    prelu(table, f"{prefix}input_layer.2", WIDTHS[0])
    index, inputs = 0, WIDTHS[0]
    for outputs, depth in zip(WIDTHS[1:], DEPTHS, strict=True):
        for _ in range(depth):
            name = f"{prefix}body.{index}"
            if inputs != outputs:
                convolution(table, f"{name}.shortcut_layer.0", outputs, inputs, 1)
                norm(table, f"{name}.shortcut_layer.1", outputs, counter)
            norm(table, f"{name}.res_layer.0", inputs, counter)
            convolution(table, f"{name}.res_layer.1", outputs, inputs, 3)
            prelu(table, f"{name}.res_layer.2", outputs)
            convolution(table, f"{name}.res_layer.3", outputs, outputs, 3)
            norm(table, f"{name}.res_layer.4", outputs, counter)
            convolution(table, f"{name}.res_layer.5.fc1", outputs // 16, outputs, 1)
            convolution(table, f"{name}.res_layer.5.fc2", outputs, outputs // 16, 1)
            index, inputs = index + 1, outputs


def irse50(counter=True, affine=True):
    """facexlib's flat file; `counter=False` is one written before torch 0.4.1."""
    table = {}
    ir_body(table, counter=counter)
    norm(table, "output_layer.0", WIDTHS[-1], counter)
    put(table, "output_layer.3.weight", 24, WIDTHS[-1] * 4)  # 2 x 2 cells: faces of 32 px
    put(table, "output_layer.3.bias", 24, spread=0.3)
    norm(table, "output_layer.4", 24, counter)
    if not affine:
        del table["output_layer.4.weight"], table["output_layer.4.bias"]
    return table


def encoder_checkpoint(encoder_type, styles=9, in_channels=3, average="one a style"):
    """An e4e or pSp file for pictures of 32 px: `state_dict`, `latent_avg`, `opts`."""
    dim, table = WIDTHS[-1], {}
    ir_body(table, "encoder.", in_channels)
    for i in range(styles):
        for k in range(1 if i < 3 else 2 if i < 7 else 3):
            convolution(table, f"encoder.styles.{i}.convs.{2 * k}", dim, dim, 3, bias=True)
        put(table, f"encoder.styles.{i}.linear.weight", dim, dim, spread=1.0)
        put(table, f"encoder.styles.{i}.linear.bias", dim, spread=0.3)
    convolution(table, "encoder.latlayer1", dim, WIDTHS[-2], 1, bias=True)
    convolution(table, "encoder.latlayer2", dim, WIDTHS[-3], 1, bias=True)
    put(table, "decoder.input.input", 1, dim, 4, 4)
    put(table, "decoder.conv1.conv.weight", 1, dim, dim, 3, 3)
    options = {"encoder_type": encoder_type, "start_from_latent_avg": average is not None}
    content = {"state_dict": table, "opts": options}
    if average == "one a style":
        content["latent_avg"] = torch.randn(styles, dim)
    if average == "one for all":
        content["latent_avg"] = torch.randn(dim)
    return content


def bisenet(width=8, classes=19):
    """The flat file of the face parser, `width` channels instead of 64."""
    table, w = {}, width
    convolution(table, "cp.resnet.conv1", w, 3, 7)
    norm(table, "cp.resnet.bn1", w)
    inputs = w
    for stage, outputs in enumerate((w, 2 * w, 4 * w, 8 * w), start=1):
        for block in (0, 1):
            name = f"cp.resnet.layer{stage}.{block}"
            convolution(table, f"{name}.conv1", outputs, inputs, 3)
            norm(table, f"{name}.bn1", outputs)
            convolution(table, f"{name}.conv2", outputs, outputs, 3)
            norm(table, f"{name}.bn2", outputs)
            if inputs != outputs:
                convolution(table, f"{name}.downsample.0", outputs, inputs, 1)
                norm(table, f"{name}.downsample.1", outputs)
            inputs = outputs
    blocks = {  # name: outputs, inputs, size
        "cp.arm16.conv": (2 * w, 4 * w, 3),
        "cp.arm32.conv": (2 * w, 8 * w, 3),
        "cp.conv_head32": (2 * w, 2 * w, 3),
        "cp.conv_head16": (2 * w, 2 * w, 3),
        "cp.conv_avg": (2 * w, 8 * w, 1),
        "ffm.convblk": (4 * w, 4 * w, 1),
        "conv_out.conv": (4 * w, 4 * w, 3),
        "conv_out16.conv": (w, 2 * w, 3),
        "conv_out32.conv": (w, 2 * w, 3),
    }
    for name, shape in blocks.items():
        convolution(table, f"{name}.conv", *shape)
        norm(table, f"{name}.bn", shape[0])
    for name in ("cp.arm16", "cp.arm32"):
        convolution(table, f"{name}.conv_atten", 2 * w, 2 * w, 1)
        norm(table, f"{name}.bn_atten", 2 * w)
    convolution(table, "ffm.conv1", w, 4 * w, 1)
    convolution(table, "ffm.conv2", 4 * w, w, 1)
    for name, middle in {"conv_out": 4 * w, "conv_out16": w, "conv_out32": w}.items():
        convolution(table, f"{name}.conv_out", classes, middle, 1)
    return table


def deeplab(width=8, depths=(1, 2, 1), dropouts=True):
    """`sd_base` of an invertibility file: DeepLabv3+ on a dilated ResNet."""
    table, w = {}, width
    convolution(table, "backbone.conv1", w, 3, 7)
    norm(table, "backbone.bn1", w)
    inputs = w
    for stage, depth in enumerate((*depths, 3), start=1):
        middle = w * 2 ** (stage - 1)
        for block in range(depth):
            name = f"backbone.layer{stage}.{block}"
            shapes = [(middle, inputs, 1), (middle, middle, 3), (4 * middle, middle, 1)]
            for i, shape in enumerate(shapes, start=1):
                convolution(table, f"{name}.conv{i}", *shape)
                norm(table, f"{name}.bn{i}", shape[0])
            if block == 0:
                convolution(table, f"{name}.downsample.0", 4 * middle, inputs, 1)
                norm(table, f"{name}.downsample.1", 4 * middle)
            inputs = 4 * middle
    for i, size in enumerate((1, 3, 3, 3), start=1):
        convolution(table, f"aspp.aspp{i}.atrous_conv", 4 * w, inputs, size)
        norm(table, f"aspp.aspp{i}.bn", 4 * w)
    convolution(table, "aspp.global_avg_pool.1", 4 * w, inputs, 1)
    norm(table, "aspp.global_avg_pool.2", 4 * w)
    convolution(table, "aspp.conv1", 4 * w, 20 * w, 1)
    norm(table, "aspp.bn1", 4 * w)
    convolution(table, "decoder.conv1", w * 3 // 4, 4 * w, 1)
    norm(table, "decoder.bn1", w * 3 // 4)
    first, second, last = (0, 4, 8) if dropouts else (0, 3, 6)
    convolution(table, f"decoder.last_conv.{first}", 4 * w, 4 * w + w * 3 // 4, 3)
    norm(table, f"decoder.last_conv.{first + 1}", 4 * w)
    convolution(table, f"decoder.last_conv.{second}", 4 * w, 4 * w, 3)
    norm(table, f"decoder.last_conv.{second + 1}", 4 * w)
    convolution(table, f"decoder.last_conv.{last}", 8, 4 * w, 1, bias=True)
    return table


def invertibility(latents=("F10", "W+", "F4"), dropouts=True):
    """A base and a head a latent, in no particular order."""
    content: dict[str, dict] = {"sd_base": deeplab(dropouts=dropouts)}
    for latent in latents:
        table: dict = {}
        put(table, "m.0.weight", 8, 4, 3, 3, spread=0.2)
        put(table, "m.0.bias", 4, spread=0.3)
        norm(table, "m.1", 4)
        put(table, "m.3.weight", 4, 1, 1, 1, spread=0.5)
        table["m.3.bias"] = torch.tensor([0.5])  # most errors are above zero
        content[latent] = table
    return content
