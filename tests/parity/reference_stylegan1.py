"""StyleGAN of 2019 and the in-domain encoder a second time, literally, to compare ours with.

Source: Karras et al., "A Style-Based Generator Architecture" (2019), Fig. 1b and Eq. 1; Zhu et al.,
"In-Domain GAN Inversion" (2020). Nothing is imported from the networks under test: a state dict
with the names of `idinvert_pytorch` goes in, an image or codes come out. A layer is fused where its
weight is stored as (height, width, in, out); it scatters, the others repeat pixels and gather.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def activate(x):
    """Leaky ReLU of slope 0.2, without gain."""
    return torch.maximum(x, 0.2 * x)


def dense(x, weights, name, gain, lr_multiplier=1.0):
    """Equalised linear layer with the published wrappers' names."""
    weight = weights[f"{name}.fc.weight"]
    scale = gain / math.sqrt(weight.shape[1]) * lr_multiplier
    return (x @ weight.T) * scale + weights[f"{name}.wscale.bias"] * lr_multiplier


def mapping(weights, z, num_ws, w_dim, truncation=1.0, cutoff=0, normalise=True):
    """z -> ws; the first `cutoff` layers are truncated."""
    w = z / torch.sqrt((z**2).mean(dim=1, keepdim=True) + 1e-8) if normalise else z
    layer = 0
    while f"mapping.dense{layer}.fc.weight" in weights:
        w = activate(dense(w, weights, f"mapping.dense{layer}", math.sqrt(2), 0.01))
        layer += 1
    ws = w.reshape(len(z), -1, w_dim)
    if ws.shape[1] == 1:
        ws = ws.repeat(1, num_ws, 1)
    average = weights["truncation.w_avg"].reshape(1, -1, w_dim)
    coefficients = torch.ones(1, num_ws, 1)
    coefficients[:, :cutoff] = truncation
    return average + (ws - average) * coefficients


def scatter(x, weight):
    """Every pixel adds the 4 x 4 kernel, four shifted copies of the 3 x 3 one, around its place."""
    kernel = torch.zeros(4, 4, *weight.shape[2:])
    for i in (0, 1):
        for j in (0, 1):
            kernel[i : i + 3, j : j + 3] += weight
    b, _, h, w = x.shape
    out = torch.zeros(b, weight.shape[3], 2 * h + 2, 2 * w + 2)
    for i in range(4):
        for j in range(4):
            part = torch.einsum("bchw,co->bohw", x, kernel[i, j])
            out[:, :, i : i + 2 * h : 2, j : j + 2 * w : 2] += part
    return out[:, :, 1:-1, 1:-1]


def blur(x):
    """[1, 2, 1] / 4 along both axes, zeros outside."""
    padded = F.pad(x, (1, 1, 1, 1))
    rows = (padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]) / 4
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4


def gather(weights, name, x, up):
    """Convolution of a layer, doubling the resolution if `up`."""
    fused = f"{name}.weight" in weights
    weight = weights[f"{name}.weight" if fused else f"{name}.conv.weight"]
    fan_in = 9 * x.shape[1]
    if fused:
        return blur(scatter(x, weight * math.sqrt(2 / fan_in)))
    if up:
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    x = F.conv2d(x, weight, padding=1) * math.sqrt(2 / fan_in)
    return blur(x) if up else x


def finish(weights, name, x, w, noise):
    """Noise, bias, activation, instance normalisation, style (Eq. 1)."""
    name = f"{name}.epilogue"
    if noise:
        strength = weights[f"{name}.apply_noise.weight"][None, :, None, None]
        x = x + weights[f"{name}.apply_noise.noise"] * strength
    x = activate(x + weights[f"{name}.bias"][None, :, None, None])
    x = x - x.mean(dim=(2, 3), keepdim=True)
    x = x / torch.sqrt((x**2).mean(dim=(2, 3), keepdim=True) + 1e-8)
    style = dense(w, weights, f"{name}.style_mod.dense", 1.0)
    scale, shift = style[:, : x.shape[1], None, None], style[:, x.shape[1] :, None, None]
    return x * (scale + 1) + shift


def synthesis(weights, ws, noise=True, tanh=False):
    """ws -> image."""
    weights = {key.removeprefix("synthesis."): value for key, value in weights.items()}
    x = weights["layer0.const"].repeat(len(ws), 1, 1, 1)
    x = finish(weights, "layer0", x, ws[:, 0], noise)
    for index in range(1, ws.shape[1]):
        x = gather(weights, f"layer{index}", x, up=index % 2 == 0)
        x = finish(weights, f"layer{index}", x, ws[:, index], noise)
    name = f"output{ws.shape[1] // 2 - 1}"
    image = F.conv2d(x, weights[f"{name}.conv.weight"]) / math.sqrt(x.shape[1])
    image = image + weights[f"{name}.bias"][None, :, None, None]
    return torch.tanh(image) if tanh else image


def normalised(weights, name, x):
    """Batch normalisation with its stored statistics."""
    mean, variance = weights[f"{name}.bn.running_mean"], weights[f"{name}.bn.running_var"]
    gain, bias = weights[f"{name}.bn.weight"], weights[f"{name}.bn.bias"]
    shape = (1, -1) + (1,) * (x.ndim - 2)
    x = (x - mean.reshape(shape)) / torch.sqrt(variance.reshape(shape) + 1e-5)
    return x * gain.reshape(shape) + bias.reshape(shape)


def encoder(weights, x, w_dim):
    """Picture -> codes."""
    blocks = len({key.split(".")[0] for key in weights})
    x = activate(
        normalised(weights, "block0.bn", F.conv2d(x, weights["block0.conv.weight"], None, 1, 1))
    )
    for index in range(1, blocks - 1):
        b, c, h, w = x.shape
        x = x.reshape(b, c, h // 2, 2, w // 2, 2).mean(dim=(3, 5))
        short = x
        if f"block{index}.conv.weight" in weights:
            short = F.conv2d(x, weights[f"block{index}.conv.weight"])
            short = activate(normalised(weights, f"block{index}.bn", short))
        for half in (1, 2):
            x = F.conv2d(x, weights[f"block{index}.conv{half}.weight"], padding=1)
            x = x + weights[f"block{index}.wscale{half}.bias"][None, :, None, None]
            x = activate(normalised(weights, f"block{index}.bn{half}", x))
        x = x + short
    flat = x.reshape(len(x), -1)
    codes = flat @ weights[f"block{blocks - 1}.fc.weight"].T / math.sqrt(flat.shape[1])
    return normalised(weights, f"block{blocks - 1}.bn", codes).reshape(len(x), -1, w_dim)
