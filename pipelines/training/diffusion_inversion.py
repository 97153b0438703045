"""Train M and T of diffusion-driven inversion: from what a U-Net holds to codes of the generator.

    python -m pipelines.training.diffusion_inversion --data DIR --generator FILE --encoder FILE
        --perceptual FILE --judge FILE --autoencoder FILE --text FILE --denoiser FILE --mask FILE
        --scribble FILE --out DIR --weights FILE

First the ways of denoising of portraits (`denoising_ways`), which end in I_0^d. Then, a step of
M and a step of T in turn, with the other frozen, at a step t of a way, drawn anew (Sec. 3.4):

    L_M = |I_gt - G(w^m)|^2 + l1 d(I_gt, G(w^m)) + l2 (1 - cos R) + l3 |w^m - w-bar|^2      (Eq. 6)
    L_T = |I_0^d - G(w)|^2 + l1 d(I_0^d, G(w)) + l2 (1 - cos(R(I_gt), R(G(w)))) + l3 ...    (Eq. 7)

with d the perceptual distance and R the judge's embedding. The weights l are not published; these
are pSp's, with d's own scale. --targets: what the two learn from (Table 2, rows c and d). T goes
beside M, under the name with "modulation" for "mapping". --mapping FILE: M as it is there, and T
alone is trained and written; with --plain it has no attention (row b).

Departs from paper: for the first two fifths of the time both learn codes. M learns those of the
portraits' own z, which clay knows, and T those that the generator's encoder finds for I_0^d. These
steps do not pass through the generator, and are several times as fast. What T then still lacks of
the codes its linear map is solved for (`solve`); T alone begins there.

Held out: PSNR [dB] and LPIPS at the first step of a way, of G(w^m) and G(w) against the portrait,
and of G(w) against I_0^d.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

import weights
from examples.clay.dataset import ClaySet
from pipelines.conditions import MASK
from pipelines.measures import identity, psnr
from pipelines.networks.diffusion_mapping import MappingNetwork, StyleModulation, modulate
from pipelines.training.denoising_ways import (
    CHUNK,
    Networks,
    Read,
    Ways,
    all_ways,
    drawn,
    drawn_first,
    network_files,
    read,
)
from pipelines.training.indomain_encoder import update
from pipelines.training.least_squares import reduced_rank
from pipelines.training.loop import Average, Loop, arguments, finish
from pipelines.training.threads import use_threads

PERCEPTUAL, IDENTITY, REGULAR = 0.25, 0.1, 0.005  # l1 to l3
WIDTH = 64  # channels within T
EARLY = 0.4  # share of the time in which codes are learnt
LINE, RIDGE = 64, 3.0  # rank of T's linear map, and the penalty of its least squares
SOLVED = 3000  # readings that it is solved from; each way is read at several steps
RATE, LINE_RATE = 1e-3, 1e-4  # of Adam; what is solved is to change little
TARGETS = ("both", "denoised", "truth")
VALIDATION = 128  # portraits


def loss(
    networks: Networks, w: Float[Tensor, "b layers d"], like: Tensor, person: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Eqs. 6 and 7 of codes w: pictures like `like`, people like those of `person` if given;
    also the mean squared error alone."""
    x = networks.generator.synthesis(w, noise="const")
    pixels, distance = F.mse_loss(x, like), networks.perceptual(x, like).mean()
    total = pixels + PERCEPTUAL * distance
    if person is not None:
        total = total + IDENTITY * (1 - identity(networks.judge, x, person)).mean()
    return total + REGULAR * (w - networks.generator.mapping.w_avg).square().mean(), pixels


def train(
    data: ClaySet, ways: list[Ways], loop: Loop, mapping: MappingNetwork,
    modulation: StyleModulation, networks: Networks, batch: int, targets: str,
) -> tuple[MappingNetwork, StyleModulation]:  # fmt: skip
    """M and T in turn until the loop ends, or T alone if M is frozen; the averaged networks."""
    learns = next(mapping.parameters()).requires_grad
    early = EARLY if learns or modulation.line is None else 0.0
    averages = Average(mapping.to(loop.device)), Average(modulation.to(loop.device))
    optimizers = [torch.optim.Adam(groups(net)) for net in (mapping, modulation)]
    loop.keep(mapping=mapping, modulation=modulation)
    loop.keep(averaged_m=averages[0].network, averaged_t=averages[1].network)
    loop.keep(of_m=optimizers[0], of_t=optimizers[1])
    loop.resume()
    logged = dict.fromkeys(("codes of m", "codes of t", "of m", "of t"), torch.tensor(torch.nan))
    followed = drawn(ways, loop, networks, batch)
    begun = drawn_first(data, loop, networks, batch)
    for fraction in loop:
        loop.anneal(*optimizers)
        if fraction >= early and modulation.line is not None and modulation.line.silent:
            solve(mapping, modulation, followed, targets)
            averages[1].network.line.load_state_dict(modulation.line.state_dict())
        given = next(followed)
        if fraction < early:
            if learns:
                other = next(begun) if targets != "denoised" and loop.step % 2 else given
                like = given.denoised_codes if targets == "denoised" else other.codes
                logged["codes of m"] = F.mse_loss(mapping(other.found.h), like)
                update(optimizers[0], logged["codes of m"])
            like = given.codes if targets == "truth" else given.denoised_codes
            with torch.no_grad():
                mapped = mapping(given.found.h)
            logged["codes of t"] = F.mse_loss(modulated(mapped, modulation, given), like)
            update(optimizers[1], logged["codes of t"])
            _end_step(loop, averages, (mapping, modulation), logged)
            continue
        truth = given.denoised if targets == "denoised" else given.truth
        denoised = given.truth if targets == "truth" else given.denoised
        person = None if targets == "denoised" else given.truth
        # M alone draws the portrait itself (Eq. 6): those of the ways, or all at the first step.
        mapped = mapping(given.found.h)
        if learns:
            other = next(begun) if targets != "denoised" and loop.step % 2 else given
            own = mapped if other is given else mapping(other.found.h)
            like = truth if other is given else other.truth
            with loop.autocast():
                total, logged["of m"] = loss(networks, own, like, None if person is None else like)
            update(optimizers[0], total)
        # T draws what the diffusion model would, on codes of M as they were (Eq. 7).
        w = modulated(mapped.detach(), modulation, given)
        with loop.autocast():
            total, logged["of t"] = loss(networks, w, denoised, person)
        update(optimizers[1], total)
        _end_step(loop, averages, (mapping, modulation), logged)
    return averages[0].network.eval(), averages[1].network.eval()


def groups(net: nn.Module) -> list[dict[str, object]]:
    """What Adam trains of a network, with a rate of its own for T's linear map."""
    named = list(net.named_parameters())
    kinds = {RATE: [p for n, p in named if not n.startswith("line.")],
             LINE_RATE: [p for n, p in named if n.startswith("line.")]}  # fmt: skip
    return [{"params": params, "lr": rate} for rate, params in kinds.items() if params]


@torch.no_grad()
def solve(
    mapping: MappingNetwork, modulation: StyleModulation, readings: Iterator[Read], targets: str
) -> None:
    """Let T's linear map be the ridge regression of what its codes still lack.

    readings: of ways as they are trained on, SOLVED of them. The solution is of refined features
    with mean 0 and variance 1, which the map itself takes care of.
    """
    line, rows = modulation.line, []
    while sum(len(x) for x, _ in rows) < SOLVED:
        given = next(readings)
        found = given.found
        refined, _, _ = modulation.refine(found.f, found.a, found.words, given.spoken)
        like = given.codes if targets == "truth" else given.denoised_codes
        lacking = like - modulated(mapping(found.h), modulation, given)
        rows.append((line.pooled(refined).cpu(), lacking.flatten(1).cpu()))
    x, y = (torch.cat(side) for side in zip(*rows, strict=True))
    mean, scale = x.mean(0), 1 / x.std(0).clamp(min=1e-3)
    rank = min(len(line.inward.bias), len(x))
    inward, outward, offset = reduced_rank((x - mean) * scale, y, rank, RIDGE)
    line.inward.weight[:rank] = inward * scale
    line.inward.bias[:rank] = -inward @ (mean * scale)
    line.outward.weight[:, :rank] = outward
    line.outward.bias.copy_(offset)


def modulated(mapped: Tensor, modulation: StyleModulation, given: Read) -> Tensor:
    """w of w^m by T of what E read (Eq. 4)."""
    found = given.found
    return modulate(mapped, *modulation(found.f, found.a, found.words, given.spoken, given.t))


def _end_step(
    loop: Loop, averages: tuple[Average, Average], networks: tuple[nn.Module, nn.Module],
    logged: dict[str, Tensor],
) -> None:  # fmt: skip
    for average, network in zip(averages, networks, strict=True):
        average.update(network, loop.step)
    if loop.due(20):
        loop.log(**{name.replace(" ", "_"): value for name, value in logged.items()})


@torch.no_grad()
def evaluate(
    ways: list[Ways], mapping: MappingNetwork, modulation: StyleModulation, networks: Networks
) -> dict[str, float]:
    """PSNR and LPIPS of w^m and of w at the first step, a task each."""
    held_out = {}
    for way in ways:
        rows: list[Tensor] = []
        for chunk in np.array_split(np.arange(len(way)), max(1, len(way) // CHUNK)):
            given = read(way, chunk, np.zeros(len(chunk), int), networks)
            mapped = mapping(given.found.h)
            w = modulated(mapped, modulation, given)
            m, x = (networks.generator.synthesis(c, noise="const") for c in (mapped, w))
            for seen, like in ((m, given.truth), (x, given.truth), (x, given.denoised)):
                near = psnr(seen.clamp(-1, 1), like), networks.perceptual(seen.clamp(-1, 1), like)
                rows.append(torch.stack(near))
        for name, values in (("m", rows[::3]), ("w", rows[1::3]), ("w to I_0^d", rows[2::3])):
            means = torch.cat(values, 1).mean(1).tolist()
            held_out[f"{way.task} {name} psnr"] = round(means[0], 3)
            held_out[f"{way.task} {name} lpips"] = round(means[1], 4)
    return held_out


def beside(mapping: Path) -> Path:
    """The file of T, which is written beside that of M."""
    return mapping.with_name(mapping.name.replace("mapping", "modulation"))


def command_line() -> argparse.Namespace:
    """The options, with names for both products."""
    parser = arguments(__doc__.splitlines()[0], minutes=120, batch=8)
    network_files(parser)
    parser.add_argument("--count", type=int, default=2000, help="portraits to denoise a task")
    parser.add_argument("--targets", choices=TARGETS, default="both")
    parser.add_argument("--plain", action="store_true", help="T without attention")
    parser.add_argument("--mapping", type=Path, help="M, safetensors: train T alone")
    parser.add_argument("--ways", type=Path, help="folder of ways of denoising; --out by default")
    options = parser.parse_args()
    options.ways = options.ways or options.out
    if options.plain and options.mapping is None:
        parser.error("--plain must come with --mapping, the M whose T it is; got none.")
    if options.weights and options.mapping is None and "mapping" not in options.weights.name:
        # T is written beside it under the name with "modulation" instead.
        parser.error(f'--weights must have "mapping" in its name; got {options.weights.name}.')
    return options


def fresh(networks: Networks, plain: bool) -> tuple[MappingNetwork, StyleModulation]:
    """Untrained M and T for a U-Net and a generator."""
    torch.manual_seed(0)
    unet = networks.encoders[MASK].unet.config
    layers, dim = networks.generator.num_ws, networks.generator.w_dim
    crossed = [kind.startswith("CrossAttn") for kind in unet.up_block_types]
    channels = [c for c, yes in zip(reversed(unet.block_out_channels), crossed, strict=True) if yes]
    bottom = unet.sample_size // 2 ** (len(unet.block_out_channels) - 1)
    mapping = MappingNetwork(unet.block_out_channels[-1], bottom, layers, dim)
    mapping.w_mean.copy_(networks.generator.mapping.w_avg)
    modulation = StyleModulation(
        channels, unet.sample_size, layers, dim, width=WIDTH, attentive=not plain, line=LINE
    )
    return mapping, modulation


def main() -> None:
    """Run the recipe from the command line."""
    options = command_line()
    use_threads(options.threads)
    loop = Loop(options.out, options.minutes, options.device)
    networks = Networks.load(options, loop.device)

    data = ClaySet(options.data)
    mapping, modulation = fresh(networks, options.plain)
    if options.mapping:
        mapping = weights.load_file(MappingNetwork, options.mapping, loop.device)
    mapping, modulation = train(
        data, all_ways(options.ways, data, "train", options.count, networks), loop, mapping,
        modulation, networks, options.batch, options.targets,
    )  # fmt: skip
    held_out = {}
    if options.validation:
        data_seen = ClaySet(options.validation)
        seen = all_ways(options.ways, data_seen, "validation", VALIDATION, networks)
        held_out = evaluate(seen, mapping, modulation, networks)
    card = {
        "recipe": "python -m pipelines.training.diffusion_inversion",
        "seeds": f"train {data.seeds.min()} to {data.seeds.max()}",
        "targets": options.targets,
        **loop.facts(),
    }
    product = modulation if options.mapping else mapping
    finish(options.out, held_out, product, options.weights, **card)
    if options.weights and options.mapping is None:
        weights.save(
            modulation,
            beside(options.weights),
            {**card, "held_out": held_out, "beside": "the mapping"},
        )


if __name__ == "__main__":
    main()
