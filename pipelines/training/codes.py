"""Codes for clay: where each portrait's w should be, and a mapping network that puts it there.

The renderer draws its parameters from z, one coordinate each, so that the mapping z -> w is known
before any picture is: `CodeWriter` embeds the parameters in w, `write` sets the mapping network's
weights to compute that in closed form, without a training step:

    fc0          hinge units on single coordinates of z: pairs that step at the edge of a choice,
                 bends where a number is clipped or curved
    fc1          the same units handed on, and gates for what depends on a choice and a number: an
                 expression times its intensity
    fc2 .. fc6   identity; the slope of leaky ReLUs wears off, hinges become exact
    fc7          solved by least squares

A synthesis network that is told "half blue, half white" paints mixed hair however long it trains:
a choice must arrive as a choice. `explained` measures whether it does.

Symbols: z latent ~ N(0, I); w intermediate latent; h what the units of a layer give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.special import ndtri
from torch import Tensor, nn

from examples.clay.parameters import CHOICES, DRAWN, INDEX, LATENT, NAMES, STAGED, draw
from pipelines.networks.layers import GAIN, EqualisedLinear
from pipelines.networks.stylegan2 import Mapping

# Share of w's variance for each parameter, relative; 1 for the others. Roughly the square root of
# how much of the picture it moves (`python -m examples.clay effect`), more for what shows late.
# What a derived parameter says already (the hair style, say, by length, volume, curl, ...) is not
# written twice.
IMPORTANCE = {
    "yaw": 10, "pitch": 5, "roll": 4, "skin_tone": 8, "hair_length": 6, "hair_volume": 5,
    "hair_curl": 5, "hair_fringe": 3, "hair_bun": 3, "hair_color": 15, "age": 2, "grey": 4,
    "glasses": 4, "hat": 8, "hat_hue": 2, "background": 6, "variant": 3, "bg_hue": 3,
    "bg_value": 3, "bg_saturation": 2, "bg_hue2": 2, "bg_value2": 2, "bg_scale": 2, "bg_x": 1.5,
    "bg_y": 1.5, "cloth_hue": 3, "cloth_value": 2, "clothes": 1.5, "light_azimuth": 4,
    "ambient": 2, "smile": 2, "mouth_open": 2, "lid_open": 2, "beard_density": 4,
    "beard_cheeks": 4, "face_width": 4, "face_length": 2.5, "eye_spacing": 2, "eye_size": 2,
    "mouth_height": 2, "forehead": 2, "fullness": 2, "jaw_width": 2, "chin_size": 1.5,
    "neck_width": 1.5, "nose_length": 1.5, "ear_size": 1.5, "brow_height": 1.5,
}  # fmt: skip
OFFSET = 2.5  # mean of every number of w, so that the mapping's last leaky ReLU stays linear
REPEATED = (
    "expression", "intensity", "lid_change", "brow_change", "hair_style", "length_change",
    "volume_change", "beard", "beard_change",
)  # fmt: skip

EDGE = 0.005  # half the width, in standard deviations of z, over which a choice changes
STEEPNESS = 10.0  # of the hinges, so that their biases survive half precision
EVERYWHERE = -5.0  # threshold of a unit that is linear wherever z falls
BENDS = {"uniform": 8, "hue": 16}  # hinges at quantiles for what is curved in z
SHUT = 8.0  # what closes a gate, more than the gated number's range

# (choice, which of them, number, how it enters): products of the derived parameters. "above" takes
# what lies above 0: an afro has full volume and is only made smaller.
GATES: tuple[tuple[str, tuple[int, ...], str, str], ...] = (
    *(("expression", (k,), "intensity", "as drawn") for k in (1, 2, 3, 4)),
    *(("beard", (k,), "beard_change", "as drawn") for k in (2, 3, 4)),
    ("hair_style", tuple(range(2, 11)), "length_change", "as drawn"),
    ("hair_style", tuple(range(2, 11)), "volume_change", "as drawn"),
    ("hair_style", (6,), "volume_change", "above"),
)


class CodeWriter(nn.Module):
    """Where w should be for a parameter vector: an orthonormal embedding, unit variance a number.

    Numbers are standardised, hues are points on a circle, choices are one-hot.
    """

    def __init__(self, w_dim: int = 512) -> None:
        super().__init__()
        unwritten = {*REPEATED, *(dimension.name for dimension in STAGED)}
        names = [name for name in NAMES if name not in unwritten]
        sample = torch.from_numpy(draw(np.random.RandomState(0).standard_normal((20_000, LATENT))))
        columns, scales = [], []
        for name in names:
            values = self.columns(name, sample)
            centred = values - values.mean(0)
            share = IMPORTANCE.get(name, 1.0)
            columns.append(values)
            scales.append((share / centred.square().mean(0).sum()).sqrt().expand(values.shape[1]))
        self.names = names
        scale = torch.cat(scales)
        total = sum(IMPORTANCE.get(name, 1.0) for name in names)
        self.register_buffer("mean", torch.cat(columns, 1).mean(0))
        self.register_buffer("scale", scale * (w_dim / total) ** 0.5)
        random = torch.Generator().manual_seed(0)
        basis, _ = torch.linalg.qr(torch.randn(w_dim, len(scale), generator=random))
        self.register_buffer("basis", basis)

    @staticmethod
    def columns(name: str, parameters: Float[Tensor, "b p"]) -> Float[Tensor, "b n"]:
        """A parameter as one or more columns of numbers."""
        values = parameters[:, NAMES.index(name)]
        if name in CHOICES:
            return F.one_hot(values.long(), len(CHOICES[name])).float()
        if "hue" in name:
            return torch.stack([(2 * np.pi * values).cos(), (2 * np.pi * values).sin()], 1)
        return values[:, None]

    def forward(self, parameters: Float[Tensor, "b p"]) -> Float[Tensor, "b d"]:
        """The code of each parameter vector."""
        columns = torch.cat([self.columns(name, parameters) for name in self.names], 1)
        return OFFSET + ((columns - self.mean) * self.scale) @ self.basis.T


@dataclass(frozen=True)
class Hinge:
    """A unit of fc0: STEEPNESS (z[coordinate] - threshold); pair: the first of two at an edge."""

    coordinate: int
    threshold: float
    pair: bool = False


@torch.no_grad()
def write(mapping: Mapping, writer: CodeWriter, count: int = 30_000, ridge: float = 1e-9) -> None:
    """Set the mapping network's weights so that it writes every z's parameters into w.

    count: codes that the last layer is fitted to. Layers before it are rounded to half precision
    first, in which they are kept. ValueError where the network is too narrow or normalises z, which
    moves every threshold.
    """
    hinges = units()
    check(mapping, len(hinges) + len(GATES))
    z = np.random.RandomState(2).standard_normal((count, LATENT)).astype(np.float32)
    parameters = draw(z)
    # fc0: hinges on single coordinates
    layers = [getattr(mapping, f"fc{index}") for index in range(mapping.num_layers)]
    weight, bias = torch.zeros(mapping.w_dim, LATENT), torch.zeros(mapping.w_dim)
    for unit, hinge in enumerate(hinges):
        weight[unit, hinge.coordinate] = STEEPNESS
        bias[unit] = -STEEPNESS * hinge.threshold
    install(layers[0], weight, bias)
    hidden = layers[0](torch.from_numpy(z))
    # fc1: the same, and the gates
    weight, bias = torch.eye(mapping.w_dim) / GAIN, torch.zeros(mapping.w_dim)
    for unit, gate in enumerate(GATES, start=len(hinges)):
        wanted = torch.from_numpy(gated(gate, z, parameters))[:, None]
        weight[unit], bias[unit] = fit(hidden, wanted, hinges, ridge)
    install(layers[1], weight, bias)
    # fc2 to the last but one: identity
    for layer in layers[2:-1]:
        install(layer, torch.eye(mapping.w_dim) / GAIN, torch.zeros(mapping.w_dim))
    # the last layer: least squares
    for layer in layers[1:-1]:
        hidden = layer(hidden)
    wanted = writer(torch.from_numpy(parameters)) / GAIN
    install(layers[-1], *fit(hidden, wanted, hinges, ridge))


def check(mapping: Mapping, needed: int) -> None:
    """Raise ValueError for a network that cannot hold the closed form."""
    narrowest = min(mapping.z_dim, mapping.w_dim)
    if narrowest < max(needed, LATENT) or mapping.num_layers < 3:
        raise ValueError(
            f"mapping must be at least {max(needed, LATENT)} wide and 3 layers deep; got "
            f"{narrowest} and {mapping.num_layers}. Build it with the defaults."
        )
    if mapping.normalize_z:
        raise ValueError(
            "mapping must take z as it is; got one that normalises it, which moves every "
            "threshold. Build the generator with normalize_z=False."
        )


def units() -> list[Hinge]:
    """The hinges of fc0: two at every edge of a choice, the bends of every number."""
    found = []
    for coordinate, dimension in enumerate(DRAWN):
        if dimension.choices:
            edges = ndtri(np.cumsum(dimension.weights)[:-1] / np.sum(dimension.weights))
            for edge in edges:
                found.append(Hinge(coordinate, float(edge) - EDGE, pair=True))
                found.append(Hinge(coordinate, float(edge) + EDGE))
            continue
        thresholds = [EVERYWHERE]
        if dimension.kind == "uniform":
            bends = BENDS["hue" if "hue" in dimension.name else "uniform"]
            thresholds += list(ndtri((np.arange(bends) + 0.5) / bends))
        else:  # linear between two limits
            limits = np.array([dimension.low, dimension.high])
            mean, sd = (0, 1) if dimension.kind == "score" else (dimension.mean, dimension.sd)
            thresholds += list((limits - mean) / sd)
        found += [Hinge(coordinate, float(threshold)) for threshold in thresholds]
    return found


def gated(
    gate: tuple[str, tuple[int, ...], str, str],
    z: Float[np.ndarray, "n 512"],
    parameters: Float[np.ndarray, "n p"],
) -> Float[np.ndarray, " n"]:
    """What a gate's unit should get: its number where its choice is made, far below 0 elsewhere."""
    choice, which, number, how = gate
    open_ = np.isin(parameters[:, INDEX[choice]].astype(int), which)
    values = parameters[:, INDEX[number]]
    # Numbers on both sides of 0 are lifted, so that an open gate passes all of them.
    floor = 0.0 if how == "above" else DRAWN[INDEX[number]].low
    return (values - floor - SHUT * ~open_).astype(np.float32)


def fit(
    hidden: Float[Tensor, "n d"], wanted: Float[Tensor, "n m"], hinges: list[Hinge], ridge: float
) -> tuple[Float[Tensor, "m d"], Float[Tensor, " m"]]:
    """Weight and bias of a layer by least squares; of each pair at an edge only the difference.

    Its two weights are then exactly opposite, also in half precision, and far from the edge, where
    both units are large, cancel to nothing.
    """
    pairs = torch.tensor([i for i, hinge in enumerate(hinges) if hinge.pair])
    single = torch.ones(hidden.shape[1], dtype=torch.bool)
    single[pairs] = single[pairs + 1] = False
    single &= hidden.abs().amax(0) > 0
    inputs = [hidden[:, pairs] - hidden[:, pairs + 1], hidden[:, single]]
    features = torch.cat([*inputs, torch.ones(len(hidden), 1)], 1).double()
    gram = features.T @ features / len(hidden)
    gram += ridge * gram.diagonal().mean() * torch.eye(len(gram))
    solution = torch.linalg.solve(gram, features.T @ wanted.double() / len(hidden)).float()
    weight = torch.zeros(wanted.shape[1], hidden.shape[1])
    weight[:, pairs], weight[:, pairs + 1] = solution[: len(pairs)].T, -solution[: len(pairs)].T
    weight[:, single] = solution[len(pairs) : -1].T
    return weight, solution[-1]


def install(
    layer: EqualisedLinear, weight: Float[Tensor, "m d"], bias: Float[Tensor, " m"]
) -> None:
    """Give a layer these weights, as they are after a file in half precision."""
    layer.weight.copy_((weight / layer.weight_gain).half())
    layer.bias.copy_((bias / layer.bias_gain).half())


@torch.no_grad()
def explained(
    encode: Callable[[Float[Tensor, "n 512"]], Float[Tensor, "n d"]],
    writer: CodeWriter,
    count: int = 20_000,
    seed: int = 3,
) -> dict[str, float]:
    """Share of each written parameter's variance that a linear reading of w explains, at most 1.

    encode: z -> w. Read on one half of `count` latent codes, measured on the other. A choice counts
    as its worst option, what a hue and a number are as all of their columns.
    """
    z = np.random.RandomState(seed).standard_normal((count, LATENT)).astype(np.float32)
    parameters = torch.from_numpy(draw(z))
    w = encode(torch.from_numpy(z)).double()
    inputs = torch.cat([w, torch.ones(count, 1, dtype=w.dtype)], 1)
    half, found = count // 2, {}
    gram = inputs[:half].T @ inputs[:half]
    gram += 1e-9 * gram.diagonal().mean() * torch.eye(len(gram))
    reading = torch.linalg.solve(gram, inputs[:half].T)
    for name in writer.names:
        columns = writer.columns(name, parameters).double()
        rest = columns[half:] - inputs[half:] @ (reading @ columns[:half])
        unexplained, variance = rest.square().mean(0), columns[half:].var(0)
        if name in CHOICES:
            found[name] = 1 - float((unexplained / variance).max())
        else:
            found[name] = 1 - float(unexplained.sum() / variance.sum())
    return found
