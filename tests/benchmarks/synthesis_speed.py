"""Time our synthesis network beside the published grouped formulation, with equal outputs.

    python -m tests.benchmarks.synthesis_speed --resolution 256 --threads 2

The published formulation multiplies every sample's style into the weights and runs one grouped
convolution over the batch (Karras et al. 2020, Appendix B), so that a gradient to w has to pass
through a gradient to those weights. Both run in this process, in turn, on the same weights: one
forward pass and one backward pass to w, network frozen, float32.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
import torch.nn.functional as F

from pipelines.networks.stylegan2 import Generator, published_channels
from pipelines.training.threads import use_threads

STARTER = {4: 256, 8: 256, 16: 256, 32: 192, 64: 96, 128: 48}


def grouped_convolution(x, weight, style, *, demodulate=True, up=False, kernel=None):
    """Modulated convolution with weights per sample, as one convolution with a group a sample."""
    batch, channels, height, width = x.shape
    own = weight[None] * style[:, None, :, None, None]
    if demodulate:
        own = own * (own.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, batch * channels, height, width)
    if up:
        own = own.transpose(1, 2).flatten(0, 1)
        x = F.conv_transpose2d(x, own, stride=2, groups=batch)
        fir = (4 * kernel).expand(x.shape[1], 1, -1, -1)
        x = F.conv2d(x, fir, padding=1, groups=x.shape[1])
    else:
        x = F.conv2d(x, own.flatten(0, 1), padding=weight.shape[-1] // 2, groups=batch)
    return x.reshape(batch, -1, *x.shape[2:])


def grouped_layer(layer, x, w):
    """Convolution, noise, bias, activation."""
    x = grouped_convolution(
        x, layer.weight, layer.affine(w), up=layer.up, kernel=layer.resample_filter
    )
    x = x.add_(layer.noise_const * layer.noise_strength) + layer.bias[None, :, None, None]
    return F.leaky_relu(x, 0.2) * 2**0.5


def grouped_synthesis(synthesis, ws):
    """The image of `synthesis(ws)` by the published formulation."""
    x, image = synthesis.b4.const.repeat(len(ws), 1, 1, 1), None
    for block, block_ws in synthesis.per_block(ws):
        for index, name in enumerate(block.layer_names):
            x = grouped_layer(getattr(block, name), x, block_ws[:, index])
        torgb = block.torgb
        style = torgb.affine(block_ws[:, -1]) * torgb.gain
        rgb = grouped_convolution(x, torgb.weight, style, demodulate=False)
        rgb = rgb + torgb.bias[None, :, None, None]
        if image is not None:
            fir = (4 * block.resample_filter).expand(3, 1, -1, -1)
            rgb = rgb + F.conv_transpose2d(image, fir, stride=2, padding=1, groups=3)
        image = rgb
    return image


def step(function, ws):
    """Seconds of wall clock and of processor for a forward and a backward pass; image, gradient."""
    ws = ws.clone().requires_grad_(True)
    wall, processor = time.perf_counter(), time.process_time()
    image = function(ws)
    (gradient,) = torch.autograd.grad(image.square().mean(), ws)
    seconds = time.perf_counter() - wall, time.process_time() - processor
    return seconds, image.detach(), gradient


def compare(resolution: int, channels: dict[int, int] | None = None, repeats: int = 5) -> dict:
    """Best times of both formulations, measured in turn, and the largest differences.

    channels: resolution -> channels, config F by default. Seconds; differences are absolute for
    the image and relative to the largest entry for the gradient to w.
    """
    torch.manual_seed(0)
    generator = Generator(resolution, channels=channels).eval().requires_grad_(False)
    for name, parameter in generator.synthesis.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.1)
    synthesis = generator.synthesis
    ws = generator.mapping(torch.randn(1, 512))
    ours, grouped = [], []
    for _ in range(repeats + 1):  # the first pass warms up
        seconds, image, gradient = step(synthesis, ws)
        ours.append(seconds)
        seconds, expected, expected_gradient = step(lambda ws: grouped_synthesis(synthesis, ws), ws)
        grouped.append(seconds)
    best, best_grouped = (
        [min(column) for column in zip(*times[1:], strict=True)] for times in (ours, grouped)
    )
    return {
        "resolution": resolution,
        "channels": channels or published_channels(resolution),
        "threads": torch.get_num_threads(),
        "seconds": best[0],
        "grouped_seconds": best_grouped[0],
        "times_faster": best_grouped[0] / best[0],
        "processor_seconds": best[1],
        "grouped_processor_seconds": best_grouped[1],
        "image_difference": float((image - expected).abs().max()),
        "image_deviation": float(expected.std()),
        "gradient_difference": float(
            (gradient - expected_gradient).abs().max() / expected_gradient.abs().max()
        ),
    }


def main() -> None:
    """Print one measurement as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--starter", action="store_true", help="the starter generator's channels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    channels = STARTER if arguments.starter else None
    print(json.dumps(compare(arguments.resolution, channels, arguments.repeats), indent=2))


if __name__ == "__main__":
    main()
