"""StyleGAN2 written a second time, slowly and literally, to compare our networks with.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), Eqs. 1-3 and
Figs. 2 and 7. Nothing is imported from the networks under test: a state dict with the published
names goes in, an image or a score comes out. Weights are modulated and demodulated per sample and
applied by one grouped convolution; resampling is zero insertion, padding and filtering.

Symbols: s style; w'_oik = s_i w_oik; w'' = w' / sqrt(sum w'^2 + eps).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def upfirdn(x, kernel, up, pad_before, pad_after):
    """Insert zeros, pad, filter every channel (true convolution) and keep every sample."""
    b, c, h, w = x.shape
    stretched = torch.zeros(b, c, h * up, w * up, dtype=x.dtype)
    stretched[:, :, ::up, ::up] = x
    padded = F.pad(stretched, (pad_before, pad_after, pad_before, pad_after))
    flipped = kernel.flip(0, 1)
    size = kernel.shape[0]
    height, width = padded.shape[2] - size + 1, padded.shape[3] - size + 1
    out = torch.zeros(b, c, height, width, dtype=x.dtype)
    for i in range(size):
        for j in range(size):
            out = out + flipped[i, j] * padded[:, :, i : i + height, j : j + width]
    return out


def dense(x, weights, name, lr_multiplier=1.0):
    """Equalised linear layer."""
    weight = weights[f"{name}.weight"]
    gain = lr_multiplier / math.sqrt(weight.shape[1])
    return x @ (weight * gain).T + weights[f"{name}.bias"] * lr_multiplier


def activate(x):
    """Leaky ReLU of slope 0.2 and gain sqrt(2)."""
    return torch.where(x >= 0, x, 0.2 * x) * math.sqrt(2)


def modulated(x, weight, style, *, demodulate=True, up=False, kernel=None):
    """Eqs. 1 and 3, then the convolution of every sample with weights of its own."""
    b, _, h, w = x.shape
    own = weight[None] * style[:, None, :, None, None]
    if demodulate:
        own = own / (own.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    out_channels, in_channels, size, _ = weight.shape
    x = x.reshape(1, b * in_channels, h, w)
    if not up:
        own = own.reshape(b * out_channels, in_channels, size, size)
        return F.conv2d(x, own, padding=size // 2, groups=b).reshape(b, out_channels, h, w)
    # Upsampling layers hold the weight of a true convolution: correlation needs it flipped.
    own = own.flip(3, 4).reshape(b * out_channels, in_channels, size, size)
    stretched = torch.zeros(1, b * in_channels, 2 * h - 1, 2 * w - 1, dtype=x.dtype)
    stretched[:, :, ::2, ::2] = x
    full = F.conv2d(stretched, own, padding=2, groups=b)
    full = full.reshape(b, out_channels, 2 * h + 1, 2 * w + 1)
    return upfirdn(full, kernel * 4, 1, 1, 1)


def mapping(weights, z, num_ws, truncation=1.0, cutoff=None, lr_multiplier=0.01):
    """z -> ws."""
    w = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    layer = 0
    while f"mapping.fc{layer}.weight" in weights:
        w = activate(dense(w, weights, f"mapping.fc{layer}", lr_multiplier))
        layer += 1
    ws = w[:, None].repeat(1, num_ws, 1)
    cutoff = num_ws if cutoff is None else cutoff
    average = weights["mapping.w_avg"]
    ws[:, :cutoff] = average + truncation * (ws[:, :cutoff] - average)
    return ws


def layer(weights, name, x, w, up, noise):
    """Modulated convolution, noise, bias, activation (Fig. 2d)."""
    style = dense(w, weights, f"{name}.affine")
    kernel = weights[f"{name}.resample_filter"]
    x = modulated(x, weights[f"{name}.weight"], style, up=up, kernel=kernel)
    if noise:
        x = x + weights[f"{name}.noise_const"] * weights[f"{name}.noise_strength"]
    return activate(x + weights[f"{name}.bias"][None, :, None, None])


def to_rgb(weights, name, x, w):
    """Colour: modulated without demodulation, style scaled by 1 / sqrt(fan-in)."""
    weight = weights[f"{name}.weight"]
    style = dense(w, weights, f"{name}.affine") / math.sqrt(weight.shape[1])
    rgb = modulated(x, weight, style, demodulate=False)
    return rgb + weights[f"{name}.bias"][None, :, None, None]


def synthesis(weights, ws, resolution, noise=True):
    """ws -> image by the skip architecture (Fig. 7b)."""
    weights = {key.removeprefix("synthesis."): value for key, value in weights.items()}
    x = weights["b4.const"][None].repeat(len(ws), 1, 1, 1)
    x = layer(weights, "b4.conv1", x, ws[:, 0], False, noise)
    image = to_rgb(weights, "b4.torgb", x, ws[:, 1])
    index, level = 1, 8
    while level <= resolution:
        x = layer(weights, f"b{level}.conv0", x, ws[:, index], True, noise)
        x = layer(weights, f"b{level}.conv1", x, ws[:, index + 1], False, noise)
        image = upfirdn(image, weights[f"b{level}.resample_filter"] * 4, 2, 2, 1)
        image = image + to_rgb(weights, f"b{level}.torgb", x, ws[:, index + 2])
        index, level = index + 2, level * 2
    return image


def plain(weights, name, x, *, activated=True, down=False, gain=1.0):
    """Equalised convolution of the discriminator; downsampling filters first, then strides."""
    weight = weights[f"{name}.weight"]
    size = weight.shape[-1]
    if down:
        pad = 2 if size == 3 else 1
        x = upfirdn(x, weights[f"{name}.resample_filter"], 1, pad, pad)
    x = F.conv2d(
        x,
        weight / math.sqrt(weight[0].numel()),
        stride=2 if down else 1,
        padding=0 if down else size // 2,
    )
    if f"{name}.bias" in weights:
        x = x + weights[f"{name}.bias"][None, :, None, None]
    return (activate(x) if activated else x) * gain


def deviation(x, group):
    """Mean standard deviation of each group; group g holds the pictures g, g + n/group, ..."""
    groups = len(x) // group
    values = []
    for index in range(len(x)):
        members = x[index % groups :: groups]
        spread = ((members - members.mean(dim=0)).square().mean(dim=0) + 1e-8).sqrt()
        values.append(spread.mean())
    return torch.stack(values)


def discriminator(weights, image, group=4):
    """Image -> score by the residual architecture (Fig. 7c)."""
    level = image.shape[-1]
    x = plain(weights, f"b{level}.fromrgb", image)
    while level > 4:
        name, half = f"b{level}", math.sqrt(0.5)
        y = plain(weights, f"{name}.skip", x, activated=False, down=True, gain=half)
        x = plain(weights, f"{name}.conv0", x)
        x = plain(weights, f"{name}.conv1", x, down=True, gain=half) + y
        level //= 2
    extra = deviation(x, min(group, len(x)))[:, None, None, None].expand(-1, 1, 4, 4)
    x = plain(weights, "b4.conv", torch.cat([x, extra], dim=1)).flatten(1)
    return dense(activate(dense(x, weights, "b4.fc")), weights, "b4.out")
