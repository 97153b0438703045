"""BigGAN-deep a second time, literally, to compare ours with.

Source: Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (2019),
Fig. 16; Zhang et al., "Self-Attention Generative Adversarial Networks" (2019), Eqs. 1-3. Nothing is
imported from the network under test: a state dict with the names of `pytorch_pretrained_biggan`,
spectral norms and all, goes in, an image comes out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

EPSILON = 1e-4


def weight_of(weights, name):
    """The weight over its spectral norm, as evaluation has it."""
    weight = weights[f"{name}.weight_orig"]
    matrix = weight.reshape(len(weight), -1)
    return weight / (weights[f"{name}.weight_u"] @ matrix @ weights[f"{name}.weight_v"])


def convolved(weights, name, x):
    weight = weight_of(weights, name)
    return F.conv2d(x, weight, weights.get(f"{name}.bias"), padding=weight.shape[-1] // 2)


def statistic(table, truncation):
    """The entry at this truncation; between two of them, the published, swapped mixture."""
    place = truncation / (1.0 / (len(table) - 1))
    below = int(place)
    share = place - below
    if share == 0.0:
        return table[below][None, :, None, None]
    return (table[below] * share + table[below + 1] * (1 - share))[None, :, None, None]


def normalised(weights, name, x, condition, truncation):
    """Batch normalisation; conditional where the file has a scale layer."""
    mean = statistic(weights[f"{name}.running_means"], truncation)
    variance = statistic(weights[f"{name}.running_vars"], truncation)
    x = (x - mean) / torch.sqrt(variance + EPSILON)
    if f"{name}.weight" in weights:
        gain, bias = weights[f"{name}.weight"][None], weights[f"{name}.bias"][None]
    else:
        gain = 1 + condition @ weight_of(weights, f"{name}.scale").T
        bias = condition @ weight_of(weights, f"{name}.offset").T
    return x * gain[:, :, None, None] + bias[:, :, None, None]


def doubled(x):
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def block(weights, name, x, condition, truncation, up):
    """Residual bottleneck."""
    y = x
    for index in range(4):
        y = normalised(weights, f"{name}.bn_{index}", y, condition, truncation).clamp(min=0)
        if up and index == 1:
            y = doubled(y)
        y = convolved(weights, f"{name}.conv_{index}", y)
    x = x[:, : y.shape[1]]
    return y + (doubled(x) if up else x)


def attention(weights, name, x):
    """Self-attention of every pixel to the pooled ones."""
    b, c, h, w = x.shape
    theta, phi, g = (convolved(weights, f"{name}.snconv1x1_{m}", x) for m in ("theta", "phi", "g"))
    keys, values = F.max_pool2d(phi, 2), F.max_pool2d(g, 2)
    scores = torch.einsum("bcp,bcq->bpq", theta.flatten(2), keys.flatten(2)).exp()
    shares = scores / scores.sum(dim=2, keepdim=True)
    seen = torch.einsum("bpq,bcq->bcp", shares, values.flatten(2)).reshape(b, c // 2, h, w)
    return x + weights[f"{name}.gamma"] * convolved(weights, f"{name}.snconv1x1_o_conv", seen)


def generate(weights, z, classes, truncation, moved=None):
    """Image of latents and one-hot classes; `moved` maps layer index -> what to add after it."""
    embedding = classes @ weights["embeddings.weight"].T
    condition = torch.cat([z, embedding], dim=1)
    x = condition @ weight_of(weights, "generator.gen_z").T + weights["generator.gen_z.bias"]
    x = x.reshape(len(z), 4, 4, -1).permute(0, 3, 1, 2)
    index = blocks = 0
    while any(key.startswith(f"generator.layers.{index}.") for key in weights):
        name = f"generator.layers.{index}"
        if f"{name}.gamma" in weights:
            x = attention(weights, name, x)
        else:
            x = block(weights, name, x, condition, truncation, up=blocks % 2 == 1)
            blocks += 1
        x = x + (moved or {}).get(index, 0)
        index += 1
    x = normalised(weights, "generator.bn", x, None, truncation).clamp(min=0)
    return torch.tanh(convolved(weights, "generator.conv_to_rgb", x)[:, :3])
