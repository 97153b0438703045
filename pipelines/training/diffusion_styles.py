"""Train the T of a style for diffusion-driven inversion (Kim et al., CVPR 2024, Sec. 4.4, Fig. 10).

    python -m pipelines.training.diffusion_styles --style bronze --data DIR --ways DIR
        --mapping FILE --generator FILE ... --out DIR --weights FILE

M and the U-Net stay as they are; T goes on from that of portraits and learns from I_0^d alone:

    L_T = |I_0^d - G(w)|^2 + l1 d(I_0^d, G(w)) + l3 |w - w-bar|^2          (Eq. 7 without I_gt)

The paper takes I_0^d of a diffusion model of the style. Here it is the renderer's own picture of
the same person in the style, kept under --out. The ways of denoising are those that M and T were
trained with: --ways is the --out of that recipe. T is read from beside M, where it wrote it.

Held out: PSNR [dB] and LPIPS of G(w) against the portrait in the style, and those of the T of
portraits, a task each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import weights
from examples.clay.dataset import ClaySet
from examples.clay.styles import STYLES, styled
from pipelines.measures import psnr
from pipelines.networks.diffusion_mapping import MappingNetwork, StyleModulation
from pipelines.training.denoising_ways import (
    CHUNK,
    Networks,
    Read,
    Ways,
    all_ways,
    drawn,
    kept_array,
    make_once,
    network_files,
    read,
)
from pipelines.training.diffusion_inversion import VALIDATION, beside, loss, modulated
from pipelines.training.indomain_encoder import update
from pipelines.training.loop import Average, Loop, arguments, finish, to_tensor
from pipelines.training.threads import use_threads


def pictures(data: ClaySet, style: str, folder: Path, ways: list[Ways]) -> np.memmap:
    """Portraits of a set in a style, bytes (n, s, s, 3), rendered once and kept: those of ways.

    Between them lie rows that are not drawn, which take no space on the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for way in ways for row in range(way.first, way.first + len(way))]
    side, count = data.images.shape[1], max(rows) + 1
    found = kept_array(folder / f"{style}.npy", (count, side, side, 3), np.uint8)
    made = kept_array(folder / f"{style}-made.npy", (-(-count // CHUNK),), bool)
    parameters = data.parameters()[:count]

    def make(i: int) -> None:
        rows = slice(i * CHUNK, (i + 1) * CHUNK)
        found[rows] = styled(parameters[rows], style, side)

    make_once(made, make, style, sorted({row // CHUNK for row in rows}))
    return found


def train(
    ways: list[Ways], targets: np.memmap, loop: Loop, mapping: MappingNetwork,
    modulation: StyleModulation, networks: Networks, batch: int,
) -> StyleModulation:  # fmt: skip
    """T until the loop ends; the averaged network. targets: I_0^d of each portrait of the ways."""
    modulation = modulation.to(loop.device).requires_grad_(True)
    average = Average(modulation)
    optimizer = torch.optim.Adam(modulation.parameters(), 1e-3)
    loop.keep(modulation=modulation, average=average.network, optimizer=optimizer)
    loop.resume()
    for _, given in zip(loop, drawn(ways, loop, networks, batch), strict=False):
        loop.anneal(optimizer)
        w = codes(mapping, modulation, given)
        with loop.autocast():
            total, pixels = loss(networks, w, to_tensor(targets[given.rows], loop.device), None)
        update(optimizer, total)
        average.update(modulation, loop.step)
        if loop.due(20):
            loop.log(of_t=pixels)
    return average.network.eval()


def codes(mapping: MappingNetwork, modulation: StyleModulation, given: Read) -> Tensor:
    """w of what E read (Eq. 4); gradients reach T alone."""
    with torch.no_grad():
        mapped = mapping(given.found.h)
    return modulated(mapped, modulation, given)


@torch.no_grad()
def evaluate(
    ways: list[Ways], targets: np.memmap, mapping: MappingNetwork,
    modulations: dict[str, StyleModulation], networks: Networks,
) -> dict[str, float]:  # fmt: skip
    """PSNR and LPIPS of G(w) at the first step against portraits in the style, by T's name."""
    held_out = {}
    for way in ways:
        rows: dict[str, list[Tensor]] = {name: [] for name in modulations}
        for chunk in np.array_split(np.arange(len(way)), max(1, len(way) // CHUNK)):
            given = read(way, chunk, np.zeros(len(chunk), int), networks)
            like = to_tensor(targets[given.rows], given.truth.device)
            for name, modulation in modulations.items():
                w = codes(mapping, modulation, given)
                x = networks.generator.synthesis(w, noise="const").clamp(-1, 1)
                rows[name].append(torch.stack([psnr(x, like), networks.perceptual(x, like)]))
        for name, found in rows.items():
            means = torch.cat(found, 1).mean(1).tolist()
            held_out[f"{way.task} {name} psnr"] = round(means[0], 3)
            held_out[f"{way.task} {name} lpips"] = round(means[1], 4)
    return held_out


def command_line() -> argparse.Namespace:
    parser = arguments(__doc__.splitlines()[0], minutes=20, batch=8)
    network_files(parser)
    parser.add_argument("--mapping", type=Path, required=True, help="safetensors, of portraits")
    parser.add_argument("--style", choices=STYLES, required=True)
    parser.add_argument("--ways", type=Path, required=True, help="folder of that recipe")
    parser.add_argument("--count", type=int, default=2000, help="portraits a task, as there")
    parser.add_argument("--styled", type=int, help="how many of them to learn from; all by default")
    return parser.parse_args()


def main() -> None:
    """Run the recipe from the command line."""
    options = command_line()
    use_threads(options.threads)
    loop = Loop(options.out, options.minutes, options.device)
    networks = Networks.load(options, loop.device)
    mapping = weights.load_file(MappingNetwork, options.mapping, loop.device)
    first = beside(options.mapping)
    portraits = weights.load_file(StyleModulation, first, loop.device)
    modulation = weights.load_file(StyleModulation, options.start or first)
    data = ClaySet(options.data)
    ways = all_ways(options.ways, data, "train", options.count, networks)
    ways = [way.first_of(options.styled or len(way)) for way in ways]
    targets = pictures(data, options.style, options.out / "train", ways)
    modulation = train(ways, targets, loop, mapping, modulation, networks, options.batch)
    held_out = {}
    if options.validation:
        data = ClaySet(options.validation)
        ways = all_ways(options.ways, data, "validation", VALIDATION, networks)
        targets = pictures(data, options.style, options.out / "validation", ways)
        both = {options.style: modulation, "T of portraits": portraits}
        held_out = evaluate(ways, targets, mapping, both, networks)
    finish(
        options.out, held_out, modulation, options.weights,
        recipe=f"python -m pipelines.training.diffusion_styles --style {options.style}",
        seeds=f"train {data.seeds.min()} to {data.seeds.max()}", **loop.facts(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
