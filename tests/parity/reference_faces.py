"""The face networks written a second time, slowly and literally, over the published names.

Sources: Deng et al. (ArcFace, 2019), Hu et al. (squeeze-and-excitation, 2018), Richardson et al.
(pSp, 2021), Tov et al. (e4e, 2021), Yu et al. (BiSeNet, 2018), Chen et al. (DeepLabv3+, 2018) and
Parmar et al. (SAM inversion, 2022). Nothing is imported from the networks under test: tables of
tensors go in, vectors or maps come out. Convolutions are sums over taps, resizing is two matrices,
average pooling likewise, normalisation is its formula.

`weights` is a table under published names, `name` a prefix in it without the last dot.
"""

from __future__ import annotations

import math

import torch
from torch import einsum


def taps(x, size, stride, padding, dilation, fill=0.0):
    """Every pixel that each tap (i, j) of a size x size window sees, as (i, j, map)."""
    b, c, h, w = x.shape
    padded = torch.full((b, c, h + 2 * padding, w + 2 * padding), fill)
    padded[:, :, padding : padding + h, padding : padding + w] = x
    reach = dilation * (size - 1) + 1
    rows = (h + 2 * padding - reach) // stride + 1
    columns = (w + 2 * padding - reach) // stride + 1
    for i in range(size):
        for j in range(size):
            top, left = i * dilation, j * dilation
            bottom, right = top + (rows - 1) * stride + 1, left + (columns - 1) * stride + 1
            yield i, j, padded[:, :, top:bottom:stride, left:right:stride]


def correlate(x, weight, bias=None, stride=1, padding=0, dilation=1):
    """Convolution as a sum over its taps."""
    total = 0.0
    for i, j, seen in taps(x, weight.shape[-1], stride, padding, dilation):
        total = total + einsum("bchw,oc->bohw", seen, weight[:, :, i, j])
    return total if bias is None else total + bias.view(1, -1, 1, 1)


def conv(x, weights, name, stride=1, padding=0, dilation=1):
    bias = weights.get(f"{name}.bias")
    return correlate(x, weights[f"{name}.weight"], bias, stride, padding, dilation)


def norm(x, weights, name):
    """Batch normalisation in evaluation: eps 1e-5, optional scale and shift."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    x = (x - mean.view(shape)) / (var.view(shape) + 1e-5).sqrt()
    if f"{name}.weight" not in weights:
        return x
    return x * weights[f"{name}.weight"].view(shape) + weights[f"{name}.bias"].view(shape)


def positive(x):
    return torch.where(x > 0, x, torch.zeros_like(x))


def leaky(x, slope):
    """Leaky ReLU; a tensor of slopes makes it a PReLU."""
    if torch.is_tensor(slope):
        slope = slope.view(1, -1, 1, 1)
    return torch.where(x >= 0, x, slope * x)


def gate(x):
    return 1 / (1 + torch.exp(-x))


def stretch_matrix(length, wanted):
    """Rows are output pixels: linear interpolation with both ends on the ends."""
    places = torch.arange(wanted) * ((length - 1) / (wanted - 1) if wanted > 1 else 0.0)
    return (1 - (places[:, None] - torch.arange(length)[None]).abs()).clamp(min=0)


def stretch(x, size):
    """Bilinear resizing, corner to corner."""
    rows, columns = (stretch_matrix(n, m) for n, m in zip(x.shape[-2:], size, strict=True))
    return einsum("ih,bchw,jw->bcij", rows, x, columns)


def repeat_to(x, size):
    """Nearest resizing: output pixel i shows input pixel floor(i * in / out)."""
    rows, columns = (
        [i * n // m for i in range(m)] for n, m in zip(x.shape[-2:], size, strict=True)
    )
    return x[:, :, rows][:, :, :, columns]


def cell_matrix(length, wanted):
    """Row i averages pixels floor(i in / out) to ceil((i + 1) in / out)."""
    rows = torch.zeros(wanted, length)
    for i in range(wanted):
        start, end = i * length // wanted, math.ceil((i + 1) * length / wanted)
        rows[i, start:end] = 1 / (end - start)
    return rows


def cells(x, side):
    """Adaptive average pooling to side x side."""
    rows, columns = (cell_matrix(n, side) for n in x.shape[-2:])
    return einsum("ih,bchw,jw->bcij", rows, x, columns)


def maximum(x):
    """3 x 3 maximum, stride 2, padding 1."""
    return torch.stack([seen for *_, seen in taps(x, 3, 2, 1, 1, fill=-math.inf)]).amax(dim=0)


# IR-SE50 -----------------------------------------------------------------------------------------


def unit(x, weights, name, stride):
    """BN, 3x3, PReLU, 3x3 with the stride, BN, squeeze-and-excitation; plus the shortcut."""
    if f"{name}.shortcut_layer.0.weight" in weights:
        short = conv(x, weights, f"{name}.shortcut_layer.0", stride)
        short = norm(short, weights, f"{name}.shortcut_layer.1")
    else:
        short = x[:, :, ::stride, ::stride]
    y = conv(norm(x, weights, f"{name}.res_layer.0"), weights, f"{name}.res_layer.1", padding=1)
    y = leaky(y, weights[f"{name}.res_layer.2.weight"])
    y = conv(y, weights, f"{name}.res_layer.3", stride, padding=1)
    y = norm(y, weights, f"{name}.res_layer.4")
    squeezed = positive(conv(cells(y, 1), weights, f"{name}.res_layer.5.fc1"))
    return y * gate(conv(squeezed, weights, f"{name}.res_layer.5.fc2")) + short


def ir_features(weights, x, depths):
    """Output of every residual unit; the first unit of a stage has stride 2."""
    x = norm(conv(x, weights, "input_layer.0", padding=1), weights, "input_layer.1")
    x = leaky(x, weights["input_layer.2.weight"])
    features = []
    for depth in depths:
        for position in range(depth):
            x = unit(x, weights, f"body.{len(features)}", 2 if position == 0 else 1)
            features.append(x)
    return features


def embedding(weights, x, depths):
    """Unit vectors of cropped faces."""
    x = norm(ir_features(weights, x, depths)[-1], weights, "output_layer.0").reshape(len(x), -1)
    x = x @ weights["output_layer.3.weight"].T + weights["output_layer.3.bias"]
    x = norm(x, weights, "output_layer.4")
    return x / x.square().sum(dim=1, keepdim=True).sqrt()


# pSp and e4e -------------------------------------------------------------------------------------


def style(weights, index, x):
    """map2style: stride-2 convolutions with slope 0.01, then an equalised linear layer."""
    position = 0
    while f"styles.{index}.convs.{position}.weight" in weights:
        x = leaky(conv(x, weights, f"styles.{index}.convs.{position}", 2, padding=1), 0.01)
        position += 2
    assert x.shape[-2:] == (1, 1)
    weight = weights[f"styles.{index}.linear.weight"] / math.sqrt(x.shape[1])
    return x[:, :, 0, 0] @ weight.T + weights[f"styles.{index}.linear.bias"]


def style_inputs(weights, x, depths, styles):
    """What each style block reads: three read c3, four p2, all others p1."""
    features = ir_features(weights, x, depths)
    c1, c2, c3 = features[sum(depths[:-2]) - 1], features[sum(depths[:-1]) - 1], features[-1]
    lateral = conv(c2, weights, "latlayer1")
    p2 = stretch(c3, lateral.shape[-2:]) + lateral
    lateral = conv(c1, weights, "latlayer2")
    p1 = stretch(p2, lateral.shape[-2:]) + lateral
    return ([c3] * 3 + [p2] * 4 + [p1] * styles)[:styles]


def psp(weights, x, depths, average):
    """Codes of pSp, `average` (styles, dim) or (dim,) added."""
    styles = len({name.split(".")[1] for name in weights if name.startswith("styles.")})
    inputs = style_inputs(weights, x, depths, styles)
    return torch.stack([style(weights, i, y) for i, y in enumerate(inputs)], dim=1) + average


def e4e(weights, x, depths, average, deltas=None):
    """Codes of e4e: the first one everywhere, plus as many offsets as asked for."""
    styles = len({name.split(".")[1] for name in weights if name.startswith("styles.")})
    inputs = style_inputs(weights, x, depths, styles)
    first = style(weights, 0, inputs[0])
    codes = [first for _ in range(styles)]
    for i in range(1, styles if deltas is None else 1 + deltas):
        codes[i] = codes[i] + style(weights, i, inputs[i])
    return torch.stack(codes, dim=1) + average


# BiSeNet -----------------------------------------------------------------------------------------


def conv_norm(x, weights, name, size=3, conv_name="conv", norm_name="bn"):
    x = conv(x, weights, f"{name}.{conv_name}", padding=size // 2)
    return positive(norm(x, weights, f"{name}.{norm_name}"))


def residual(x, weights, name, convolutions):
    """ResNet block: each (stride, padding, dilation) is one convolution, ReLU after the sum."""
    y = x
    for i, (stride, padding, dilation) in enumerate(convolutions, start=1):
        y = conv(y, weights, f"{name}.conv{i}", stride, padding, dilation)
        y = norm(y, weights, f"{name}.bn{i}")
        y = positive(y) if i < len(convolutions) else y
    if f"{name}.downsample.0.weight" in weights:
        stride = math.prod(stride for stride, _, _ in convolutions)
        x = norm(conv(x, weights, f"{name}.downsample.0", stride), weights, f"{name}.downsample.1")
    return positive(y + x)


def resnet_stem(weights, x, name):
    x = positive(norm(conv(x, weights, f"{name}.conv1", 2, 3), weights, f"{name}.bn1"))
    return maximum(x)


def refine(x, weights, name):
    x = conv_norm(x, weights, f"{name}.conv")
    attention = conv(cells(x, 1), weights, f"{name}.conv_atten")
    return x * gate(norm(attention, weights, f"{name}.bn_atten"))


def bisenet(weights, x):
    """The three heads' logits at the size of x."""
    size, maps = x.shape[-2:], {}
    y = resnet_stem(weights, x, "cp.resnet")
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            stride = 2 if stage > 1 and block == 0 else 1
            name = f"cp.resnet.layer{stage}.{block}"
            y = residual(y, weights, name, [(stride, 1, 1), (1, 1, 1)])
        maps[stage] = y
    mean = conv_norm(cells(maps[4], 1), weights, "cp.conv_avg", 1)
    deep = refine(maps[4], weights, "cp.arm32") + repeat_to(mean, maps[4].shape[-2:])
    deep = conv_norm(repeat_to(deep, maps[3].shape[-2:]), weights, "cp.conv_head32")
    fine = refine(maps[3], weights, "cp.arm16") + deep
    fine = conv_norm(repeat_to(fine, maps[2].shape[-2:]), weights, "cp.conv_head16")
    fused = conv_norm(torch.cat([maps[2], fine], dim=1), weights, "ffm.convblk", 1)
    attention = positive(conv(cells(fused, 1), weights, "ffm.conv1"))
    fused = fused + fused * gate(conv(attention, weights, "ffm.conv2"))
    heads = {"conv_out": fused, "conv_out16": fine, "conv_out32": deep}
    return [
        stretch(conv(conv_norm(y, weights, f"{name}.conv"), weights, f"{name}.conv_out"), size)
        for name, y in heads.items()
    ]


# Invertibility -----------------------------------------------------------------------------------


def deeplab(weights, x, depths, dropouts=True):
    """DeepLabv3+ at output stride 16; `dropouts` says how the decoder's layers are counted."""
    size = x.shape[-2:]
    x, shallow = resnet_stem(weights, x, "backbone"), None
    plan = [
        [(2 if stage and not block else 1, 1) for block in range(depth)]
        for stage, depth in enumerate(depths)
    ]
    plan.append([(1, 2), (1, 4), (1, 8)])
    for stage, blocks in enumerate(plan, start=1):
        for block, (stride, rate) in enumerate(blocks):
            middle = (stride, rate, rate)
            name = f"backbone.layer{stage}.{block}"
            x = residual(x, weights, name, [(1, 0, 1), middle, (1, 0, 1)])
        shallow = x if stage == 1 else shallow
    branches = []
    for index, rate in enumerate((1, 6, 12, 18), start=1):
        y = conv(x, weights, f"aspp.aspp{index}.atrous_conv", 1, 0 if rate == 1 else rate, rate)
        branches.append(positive(norm(y, weights, f"aspp.aspp{index}.bn")))
    mean = conv(cells(x, 1), weights, "aspp.global_avg_pool.1")
    mean = positive(norm(mean, weights, "aspp.global_avg_pool.2"))
    branches.append(stretch(mean, x.shape[-2:]))
    x = conv_norm(torch.cat(branches, dim=1), weights, "aspp", 1, "conv1", "bn1")
    shallow = conv_norm(shallow, weights, "decoder", 1, "conv1", "bn1")
    x = torch.cat([stretch(x, shallow.shape[-2:]), shallow], dim=1)
    first, second, last = (0, 4, 8) if dropouts else (0, 3, 6)
    for at in (first, second):
        x = conv(x, weights, f"decoder.last_conv.{at}", padding=1)
        x = positive(norm(x, weights, f"decoder.last_conv.{at + 1}"))
    return stretch(conv(x, weights, f"decoder.last_conv.{last}"), size)


def head(weights, x):
    """Transposed 3x3 of stride 1: correlation with the flipped, swapped kernel; then 1x1."""
    kernel = weights["m.0.weight"].transpose(0, 1).flip(2, 3)
    x = leaky(norm(correlate(x, kernel, weights["m.0.bias"], padding=1), weights, "m.1"), 0.2)
    return positive(correlate(x, weights["m.3.weight"].transpose(0, 1), weights["m.3.bias"]))
