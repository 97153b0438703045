"""Codes for clay: where each portrait's w should be, and a mapping network that puts it there.

The renderer draws its parameters from z, one coordinate each, so that the mapping z -> w is known
before any picture is: `CodeWriter` embeds the parameters in w, `listen` and `answer` start the
mapping network with hinge units on single coordinates and a last layer solved by least squares.

Symbols: z latent ~ N(0, I); w intermediate latent.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.special import ndtri
from torch import Tensor, nn

from examples.clay.parameters import CHOICES, DRAWN, LATENT, NAMES, STAGED, draw
from pipelines.networks.layers import GAIN
from pipelines.networks.stylegan2 import Mapping

# Share of w's variance for each parameter, relative; 1 for the others. What a derived parameter
# says already (the hair style, say, by length, volume, curl, ...) is not written twice.
IMPORTANCE = {
    "yaw": 10, "pitch": 5, "roll": 4, "skin_tone": 5, "hair_length": 4, "hair_volume": 3,
    "hair_curl": 3, "hair_fringe": 2, "hair_bun": 2, "hair_color": 5, "age": 2, "grey": 2,
    "glasses": 4, "hat": 5, "hat_hue": 2, "background": 6, "variant": 3, "bg_hue": 3,
    "bg_value": 3, "bg_saturation": 2, "bg_hue2": 2, "bg_value2": 2, "bg_scale": 2, "bg_x": 1.5,
    "bg_y": 1.5, "cloth_hue": 3, "cloth_value": 2, "clothes": 1.5, "light_azimuth": 4,
    "ambient": 2, "smile": 2, "mouth_open": 2, "lid_open": 2, "beard_density": 2,
    "beard_cheeks": 2, "face_width": 2, "face_length": 2,
}  # fmt: skip
OFFSET = 2.5  # mean of every number of w, so that the mapping's last leaky ReLU stays linear
REPEATED = (
    "expression", "intensity", "lid_change", "brow_change", "hair_style", "length_change",
    "volume_change", "beard", "beard_change",
)  # fmt: skip


class CodeWriter(nn.Module):
    """Where w should be for a parameter vector: an orthonormal embedding, unit variance a number.

    Numbers are standardised, hues are points on a circle, choices are one-hot.
    """

    def __init__(self, w_dim: int = 512) -> None:
        super().__init__()
        staged = {dimension.name for dimension in STAGED}
        names = [name for name in NAMES if name not in {*REPEATED, *staged}]
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


@torch.no_grad()
def listen(mapping: Mapping, steepness: float = 3.0) -> None:
    """Start the mapping network with units that each listen to one drawn coordinate of z.

    The first layer gets hinges at thresholds of single coordinates, on both sides of the edges of
    choices; the next layers hand them on. From random weights it takes 20 times as long to find
    that z has 73 coordinates that matter, each by itself.
    """
    width = mapping.w_dim**0.5
    mapping.fc0.weight.normal_(0, 0.05)
    for unit, (coordinate, threshold) in enumerate(hinges()[: mapping.w_dim]):
        mapping.fc0.weight[unit, coordinate] = steepness * width
        mapping.fc0.bias[unit] = -steepness * threshold
    for index in range(1, mapping.num_layers - 1):
        weight = getattr(mapping, f"fc{index}").weight
        weight.copy_(torch.eye(len(weight)) * width / GAIN + 0.05 * torch.randn_like(weight))


@torch.no_grad()
def answer(mapping: Mapping, writer: CodeWriter, count: int = 30_000, ridge: float = 1e-4) -> None:
    """Solve the mapping network's last layer by least squares on `count` codes."""
    z = np.random.RandomState(2).standard_normal((count, LATENT)).astype(np.float32)
    last = getattr(mapping, f"fc{mapping.num_layers - 1}")
    inputs: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    mapping(torch.from_numpy(z))
    hook.remove()
    hidden = torch.cat([inputs[0], torch.ones(count, 1)], dim=1).double()
    wanted = writer(torch.from_numpy(draw(z))).double() / GAIN
    gram = hidden.T @ hidden / count
    gram += ridge * gram.diagonal().mean() * torch.eye(len(gram))
    solution = torch.linalg.solve(gram, hidden.T @ wanted / count)
    last.weight.copy_(solution[:-1].T * mapping.w_dim**0.5)
    last.bias.copy_(solution[-1])


def hinges() -> list[tuple[int, float]]:
    """(coordinate of z, threshold) of the first layer's units, what needs most of them first."""
    found = []
    for coordinate, dimension in enumerate(DRAWN):
        if dimension.choices:
            edges = ndtri(np.cumsum(dimension.weights)[:-1] / np.sum(dimension.weights))
            found += [(coordinate, float(e) + side) for e in edges for side in (-0.06, 0.06)]
        quantiles = 12 if "hue" in dimension.name else 4
        found += [(coordinate, float(q)) for q in ndtri(np.arange(quantiles) / quantiles + 0.02)]
    return found
