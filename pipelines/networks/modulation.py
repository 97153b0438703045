"""Modulated convolution, fast on a processor: no weight is differentiated, little memory moved.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), Sec. 2.2,
Eqs. 1 and 3. The published code multiplies the styles into the weights of every sample; a gradient
to w then passes through a gradient to those weights, as costly as a third convolution. Here

    y = lrelu(d * conv(s * x) + bias + noise)

holds one shared convolution, and for frozen weights `FrozenLayer` states the whole gradient. Two
identities make it cheap. With p what enters the activation, lrelu'(p) p = lrelu(p) = y, so

    <grad_y, y> = <g, p> = <g, d * conv> + <g, bias> + <g, noise>,   g = lrelu'(p) grad_y,

gives the gradient to d from y alone: neither p nor the convolution's output is kept. And for one
picture s and d may be multiplied into the weights after all, where those are smaller than x. Wide
layers of large features convolve by Winograd's minimal filtering (`winograd`).

Symbols: s `style` (b, c), scale of the input channels; d `scale` (b, o), scale of the output
channels, with the activation's gain sqrt(2) inside as lrelu(gain p) = gain lrelu(p).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pipelines.networks import winograd
from pipelines.networks.layers import SLOPE, filter2d

BLOCK = 500_000  # numbers of a product that stay in the cache


def demodulation(
    weight: Float[Tensor, "o c k k"], style: Float[Tensor, "b c"]
) -> Float[Tensor, "b o"]:
    """Factors that bring every output channel to unit variance (Eq. 3), always in float32.

    sum over c, taps of (s_c w_ock)^2 = s^2 . (sum over taps of w^2): no weight per sample.
    """
    with torch.autocast(weight.device.type, enabled=False):
        energy = weight.float().square().sum(dim=(2, 3))
        return (style.float().square() @ energy.t() + 1e-8).rsqrt()


def convolve(
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "o c 3 3"],
    kernel: Float[Tensor, "k k"] | None,
    bias: Float[Tensor, " o"] | None = None,
) -> Float[Tensor, "b o h2 w2"]:
    """3 x 3 convolution; with a low-pass kernel, one that doubles the resolution.

    The latter is a stride-2 transposed convolution followed by the low-pass with gain 4.
    """
    if kernel is None:
        return F.conv2d(x, weight, bias, padding=1)
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return filter2d(x, 4 * kernel, padding=1, bias=bias)


def convolve_frozen(
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "o c 3 3"],
    kernel: Float[Tensor, "k k"] | None,
    bias: Float[Tensor, " o"] | None = None,
) -> Float[Tensor, "b o h2 w2"]:
    """`convolve` outside autograd, by minimal filtering where that is faster."""
    if kernel is None and winograd.pays(x, weight):
        return winograd.convolve(x, weight, bias)
    return convolve(x, weight, kernel, bias)


def convolve_adjoint(
    g: Float[Tensor, "b o h w"],
    weight: Float[Tensor, "o c 3 3"],
    kernel: Float[Tensor, "k k"] | None,
) -> Float[Tensor, "b c h2 w2"]:
    """Gradient to x of <g, convolve(x)>."""
    if kernel is None:
        return convolve_frozen(g, weight.transpose(0, 1).flip(2, 3), None)
    taps = (4 * kernel).expand(g.shape[1], 1, -1, -1)
    g = F.conv_transpose2d(g, taps, padding=1, groups=g.shape[1])
    return F.conv2d(g, weight.transpose(0, 1), stride=2)


def inner(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
    """Inner product of every channel, without a full-size product."""
    rows = a.flatten(0, 1).flatten(1), b.flatten(0, 1).flatten(1)
    block = max(1, BLOCK // rows[0].shape[1])
    products = [(p * q).sum(1) for p, q in zip(*(r.split(block) for r in rows), strict=True)]
    return torch.cat(products).view(a.shape[:2])


def wide(channels: Float[Tensor, "b c"]) -> Float[Tensor, "b c 1 1"]:
    """Values of channels, to multiply with features."""
    return channels[:, :, None, None]


class FrozenLayer(torch.autograd.Function):
    """A whole synthesis layer whose weight, bias and noise are constants (float32)."""

    @staticmethod
    def forward(ctx, x, style, scale, weight, bias, noise, kernel):
        # One picture: scale whichever is smaller, weights or activations.
        ctx.folded = len(x) == 1 and 2 * weight.numel() < x.numel() * (
            5 if kernel is not None else 2
        )
        if ctx.folded:
            own = weight * (scale[0][:, None] * style[0])[:, :, None, None]
            y = convolve_frozen(x, own, kernel, bias)
        else:
            y = convolve_frozen(x * wide(style), weight, kernel)
            y = torch.addcmul(bias[:, None, None], y, wide(scale))
        if noise is not None:
            y.add_(noise)
        y = F.leaky_relu_(y, SLOPE)
        ctx.save_for_backward(x, style, scale, weight, bias, noise, kernel, y)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, style, scale, weight, bias, noise, kernel, y = ctx.saved_tensors
        grad = grad.contiguous()
        g = torch.ops.aten.leaky_relu_backward(grad, y, SLOPE, True)
        rest = g.sum(dim=(2, 3)) * bias
        if noise is not None:
            rest = rest + torch.matmul(g.flatten(2), noise.flatten(2).mT).squeeze(2)
        grad_scale = (inner(grad, y) - rest) / scale
        if ctx.folded:
            g = convolve_adjoint(g, weight * scale[0][:, None, None, None], kernel)
        else:
            g = convolve_adjoint(g.mul_(wide(scale)), weight, kernel)
        # The constant that begins the network is the same in every sample of an expanded batch.
        grad_style = inner(g, x.contiguous())
        grad_x = g.mul_(wide(style)) if ctx.needs_input_grad[0] else None
        return grad_x, grad_style, grad_scale, None, None, None, None


def modulated_layer(
    x: Float[Tensor, "b c h w"],
    style: Float[Tensor, "b c"],
    scale: Float[Tensor, "b o"],
    weight: Float[Tensor, "o c 3 3"],
    bias: Float[Tensor, " o"],
    noise: Float[Tensor, "n 1 h2 w2"] | None = None,
    kernel: Float[Tensor, "k k"] | None = None,
) -> Float[Tensor, "b o h2 w2"]:
    """lrelu(scale * convolve(style * x) + bias + noise), slope 0.2.

    kernel: low-pass filter, where the layer doubles the resolution. Frozen weights in float32 take
    the short way; training and autocast the one whose every step autograd knows.
    """
    trained = weight.requires_grad or bias.requires_grad
    trained = trained or (noise is not None and noise.requires_grad)
    mixed = torch.is_autocast_enabled(x.device.type) or x.dtype != torch.float32
    if not mixed and not (trained and torch.is_grad_enabled()):
        return FrozenLayer.apply(x, style, scale, weight, bias, noise, kernel)
    y = convolve(x * wide(style).to(x.dtype), weight, kernel)
    # In place below: neither the sum nor the activation needs its input for its gradient.
    y = torch.addcmul(bias.to(y.dtype)[:, None, None], y, wide(scale).to(y.dtype))
    if noise is not None:
        y.add_(noise.to(y.dtype))
    return F.leaky_relu_(y, SLOPE)
