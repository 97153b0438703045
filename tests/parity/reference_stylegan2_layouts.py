"""StyleGAN2 evaluated from two published layouts as they are, without our networks or converters.

`port_*` take the state dict of the PyTorch port (style.1.weight, convs.0.conv.weight, ...),
`graph_*` the variables of the TensorFlow code (synthesis/8x8/Conv0_up/weight, ...). The two state
upsampling differently: the port scatters every input number with its kernel and blurs, TensorFlow's
kernel is that of an ordinary convolution on the already upsampled picture.

Symbols: s style; w'_oik = s_i w_oik; w'' = w' / sqrt(sum w'^2 + eps), after 1 / sqrt(fan-in).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from tests.parity.reference_stylegan2 import activate, upfirdn


def normalised(z):
    """Latents of mean square one."""
    return z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def truncated(w, average, layers, truncation, cutoff):
    """One w a layer, the first `cutoff` of them between the average and w."""
    rows = []
    for index in range(layers):
        near = cutoff is None or index < cutoff
        rows.append(average + truncation * (w - average) if near else w)
    return torch.stack(rows, dim=1)


def correlate(x, weight):
    """Correlation of every sample (b, i, h, w), padded already, with its weight (b, o, i, k, k)."""
    size = weight.shape[-1]
    height, width = x.shape[2] - size + 1, x.shape[3] - size + 1
    out = torch.zeros(len(x), weight.shape[1], height, width, dtype=x.dtype)
    for a in range(size):
        for b in range(size):
            window = x[:, :, a : a + height, b : b + width]
            out = out + torch.einsum("boi,bihw->bohw", weight[..., a, b], window)
    return out


def demodulated(weight):
    """Weights (b, o, i, k, k) with every output channel at unit energy."""
    return weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()


# The PyTorch port


def port_dense(state, name, x, multiplier=1.0):
    weight = state[f"{name}.weight"]
    scaled = weight * (multiplier / math.sqrt(weight.shape[1]))
    return x @ scaled.T + state[f"{name}.bias"] * multiplier


def port_mapping(state, z, average, layers, truncation=1.0, cutoff=None):
    """z -> ws; style.0 is the normalisation."""
    w, index = normalised(z), 1
    while f"style.{index}.weight" in state:
        w, index = activate(port_dense(state, f"style.{index}", w, 0.01)), index + 1
    return truncated(w, average, layers, truncation, cutoff)


def port_weight(state, name, w, demodulate):
    """Weights of every sample."""
    weight = state[f"{name}.weight"]
    style = port_dense(state, f"{name}.modulation", w)
    own = weight * style[:, None, :, None, None] / math.sqrt(weight[0, 0].numel())
    return demodulated(own) if demodulate else own


def port_layer(state, name, x, w, noise):
    """Modulated convolution, noise, bias, activation; with a blur kernel it doubles the size."""
    weight = port_weight(state, f"{name}.conv", w, True)
    blur = state.get(f"{name}.conv.blur.kernel")
    if blur is None:
        x = correlate(F.pad(x, (1, 1, 1, 1)), weight)
    else:
        b, _, height, width = x.shape
        wide = torch.zeros(b, weight.shape[1], 2 * height + 1, 2 * width + 1)
        for i in range(height):
            for j in range(width):
                spread = torch.einsum("bi,boikl->bokl", x[:, :, i, j], weight)
                wide[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += spread
        x = upfirdn(wide, blur, 1, 1, 1)
    if noise is not None:
        x = x + state[f"{name}.noise.weight"] * noise
    return activate(x + state[f"{name}.activate.bias"][None, :, None, None])


def port_synthesis(state, ws, noise=True):
    """ws -> image; noises.noise_i belongs to the i-th layer."""

    def field(index):
        return state[f"noises.noise_{index}"] if noise else None

    def colour(name, x, w):
        return correlate(x, port_weight(state, f"{name}.conv", w, False)) + state[f"{name}.bias"]

    x = state["input.input"].repeat(len(ws), 1, 1, 1)
    x = port_layer(state, "conv1", x, ws[:, 0], field(0))
    image = colour("to_rgb1", x, ws[:, 1])
    index = 0
    while f"to_rgbs.{index}.bias" in state:
        first = 2 * index + 1
        x = port_layer(state, f"convs.{first - 1}", x, ws[:, first], field(first))
        x = port_layer(state, f"convs.{first}", x, ws[:, first + 1], field(first + 1))
        image = upfirdn(image, state[f"to_rgbs.{index}.upsample.kernel"], 2, 2, 1)
        image = image + colour(f"to_rgbs.{index}", x, ws[:, first + 2])
        index += 1
    return image


# The TensorFlow code


def graph_dense(variables, name, x, multiplier=1.0):
    weight = variables[f"{name}/weight"]
    return x @ (weight * (multiplier / math.sqrt(len(weight)))) + (
        variables[f"{name}/bias"] * multiplier
    )


def graph_mapping(variables, z, layers, truncation=1.0, cutoff=None, multiplier=0.01):
    """z -> ws."""
    w, index = normalised(z), 0
    while f"mapping/Dense{index}/weight" in variables:
        w = activate(graph_dense(variables, f"mapping/Dense{index}", w, multiplier))
        index += 1
    return truncated(w, variables["dlatent_avg"], layers, truncation, cutoff)


def graph_weight(variables, name, w, demodulate):
    """Weights of every sample (b, o, i, k, k); the file holds (k, k, i, o) and styles less one."""
    weight = variables[f"{name}/weight"]
    lines = variables[f"{name}/mod_weight"]
    style = w @ (lines / math.sqrt(len(lines))) + variables[f"{name}/mod_bias"] + 1
    own = (weight / math.sqrt(weight[..., 0].numel()))[None] * style[:, None, None, :, None]
    own = own.permute(0, 4, 3, 1, 2)
    return demodulated(own) if demodulate else own


def graph_kernel():
    line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return line[:, None] * line[None] / 64 * 4


def graph_layer(variables, name, x, w, noise):
    """Upsampling layers first upsample, with a margin of one for the convolution, then convolve."""
    weight = graph_weight(variables, name, w, True)
    if name.endswith("_up"):
        x = correlate(upfirdn(x, graph_kernel(), 2, 3, 2), weight)
    else:
        x = correlate(F.pad(x, (1, 1, 1, 1)), weight)
    if noise is not None:
        x = x + noise * variables[f"{name}/noise_strength"]
    return activate(x + variables[f"{name}/bias"][None, :, None, None])


def graph_synthesis(variables, ws, noise=True):
    """ws -> image; noise{i} belongs to the i-th layer."""

    def colour(side, x, w):
        name = f"synthesis/{side}x{side}/ToRGB"
        rgb = correlate(x, graph_weight(variables, name, w, False))
        return rgb + variables[f"{name}/bias"][None, :, None, None]

    x = variables["synthesis/4x4/Const/const"].repeat(len(ws), 1, 1, 1)
    side, index, image = 4, 0, None
    while f"synthesis/{side}x{side}/ToRGB/weight" in variables:
        for layer in ("Conv",) if side == 4 else ("Conv0_up", "Conv1"):
            field = variables[f"synthesis/noise{index}"] if noise else None
            name = f"synthesis/{side}x{side}/{layer}"
            x = graph_layer(variables, name, x, ws[:, index], field)
            index += 1
        rgb = colour(side, x, ws[:, index])
        image = rgb if image is None else upfirdn(image, graph_kernel(), 2, 2, 1) + rgb
        side *= 2
    return image
