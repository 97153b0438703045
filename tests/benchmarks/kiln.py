"""The generator's recipe taken apart: what each of its ideas gives, at equal pictures.

    python -m tests.benchmarks.kiln --out DIR [--before GENERATOR] [--quick] [--json FILE]

codes        share of each parameter's variance that w explains: the closed form, and the mapping
             network of a generator from before (--before)
regressions  at 32 px, equal pictures: codes of the mapping from before, the closed form, and the
             closed form with the part head; dB to held-out renders, of all, person and behind
backgrounds  at 64 px, equal pictures: the same recipe on sharp and on soft backgrounds
speed        at 128 px: pictures a core-second of a step on the whole picture and of one with the
             crop, in turns, and the dB of both after equal pictures

Renders what it needs under --out, and keeps every finished run there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import weights
from examples.clay.dataset import ClaySet, write
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator, Mapping
from pipelines.training import generator as recipe
from pipelines.training.codes import CodeWriter, explained
from pipelines.training.views import View

STARTER = Path(__file__).parents[2] / "weights" / "starter"
BATCH = 16
HELD_OUT = 256


def rendered(out: Path, size: int, count: int, focus: float = 0.0) -> tuple[ClaySet, ClaySet]:
    """Training and validation sets of one size, rendered once."""
    overrides = {"focus": focus} if focus else None
    name = f"{size}px" + ("-sharp" if focus else "")
    return (
        write(out / f"{name}-train-{count}", "train", count, size=size, overrides=overrides),
        write(out / f"{name}-held-out", "validation", HELD_OUT, size=size, overrides=overrides),
    )


def regression(
    out: Path, data: ClaySet, held_out: ClaySet, pictures: int, perceptual: PerceptualDistance,
    mapping: Mapping | None = None, **options: object,
) -> dict[str, float]:  # fmt: skip
    """Held-out numbers of a recipe after so many pictures, and core-seconds; kept in `out`."""
    kept = out / "found.json"
    if kept.exists():
        return json.loads(kept.read_text())
    torch.manual_seed(0)
    trainer = recipe.Trainer(
        data, perceptual, out, "cpu", BATCH, steps=pictures // BATCH, **options
    )
    if mapping is not None:
        mapping.num_ws = trainer.generator.num_ws
        trainer.generator.mapping = mapping
        trainer.average = recipe.Average(trainer.generator, decay=0.995)
    begun = time.process_time()
    trainer.regress(minutes=1.0)
    seconds = time.process_time() - begun
    found = recipe.evaluate(trainer.averaged(), perceptual, held_out)
    found |= {"pictures": float(pictures), "pictures a core-second": pictures / seconds}
    kept.write_text(json.dumps(found, indent=1))
    return found


def codes(before: Generator | None) -> dict[str, dict[str, float]]:
    """Explained variance a parameter, the closed form's and that of a generator's mapping."""
    mapping = Mapping(512, 512, 12, lr_multiplier=1.0, normalize_z=False)
    writer = CodeWriter()
    recipe.write(mapping, writer)
    found = {"closed form": explained(lambda z: mapping(z)[:, 0], writer)}
    if before is not None:
        found["before"] = explained(lambda z: before.mapping(z)[:, 0], writer)
    return found


def speed(out: Path, perceptual: PerceptualDistance, turns: int) -> dict[str, float]:
    """Pictures a core-second of one step, whole and with the crop, the best of alternate turns."""
    data, _ = rendered(out, 128, 8 * BATCH)
    trainer = recipe.Trainer(data, perceptual, out / "speed", "cpu", BATCH)
    loop = trainer.loop("steps", 1.0)
    batch = next(iter(trainer.batches(loop)))
    with torch.no_grad():  # as the recipe does
        ws = trainer.generator.mapping(batch.z) - recipe.OFFSET
    learned = [*trainer.generator.synthesis.parameters(), *trainer.head.parameters()]
    optimizer = torch.optim.Adam(learned, 1e-4, fused=True)
    random = np.random.default_rng(0)

    def descend(views: Callable[[], list[View]]) -> float:
        begun = time.process_time()
        losses = [trainer.losses(view) for view in views()]
        recipe.step(optimizer, sum(p + 0.4 * d + trainer.parts * n for p, d, n in losses))
        return BATCH / (time.process_time() - begun)

    whole, crop = [], []
    for _ in range(turns):
        whole.append(descend(lambda: [trainer.whole(ws, batch, 1)]))
        crop.append(descend(lambda: trainer.halved_and_cropped(ws, batch, random)))
    return {
        "whole": max(whole),
        "crop": max(crop),
        "ratio": float(np.median(crop) / np.median(whole)),
    }


def table(found: dict[str, dict[str, float]]) -> str:
    """Rows by name, columns by number."""
    names = list(next(iter(found.values())))
    lines = [f"{'':28}" + "".join(f"{name:>24}" for name in names)]
    for row, numbers in found.items():
        lines.append(f"{row:28}" + "".join(f"{numbers[name]:24.3f}" for name in names))
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="renders and finished runs")
    parser.add_argument("--before", type=Path, help="a generator whose mapping is compared")
    parser.add_argument("--only", nargs="+", choices=PIECES, default=PIECES)
    parser.add_argument("--pictures", type=int, nargs=3, default=(12_800, 6_400, 3_200),
                        metavar=("AT32", "AT64", "AT128"), help="of each regression")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a minute: shows that it runs")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    return parser.parse_args()


PIECES = ("codes", "regressions", "backgrounds", "speed")


def main() -> None:
    arg = parse()
    at32, at64, at128 = (64, 64, 64) if arg.quick else arg.pictures
    perceptual = weights.load_file(
        PerceptualDistance, STARTER / "clay-heads-perceptual.safetensors"
    )
    before = weights.load_file(Generator, arg.before) if arg.before else None
    found: dict[str, dict] = {}
    if "codes" in arg.only:
        found["codes"] = codes(before)
        for name, shares in found["codes"].items():
            worst = sorted(shares, key=shares.get)[:8]
            print(f"\nexplained variance, {name}: mean {np.mean(list(shares.values())):.3f}; worst "
                  + ", ".join(f"{n} {shares[n]:.3f}" for n in worst))  # fmt: skip
    if "regressions" in arg.only:
        sets = rendered(arg.out, 32, at32)
        arms = {"closed form": {"parts": 0.0}, "closed form, parts": {}}
        if before is not None:
            arms = {"codes before": {"parts": 0.0, "mapping": before.mapping}, **arms}
        found["regressions"] = {
            name: regression(
                arg.out / f"32px-{name.replace(', ', '-').replace(' ', '-')}-{at32}",
                *sets, at32, perceptual, crop=False, **options,
            )
            for name, options in arms.items()
        }  # fmt: skip
        print("\n32 px\n" + table(found["regressions"]))
    if "backgrounds" in arg.only:
        found["backgrounds"] = {
            name: regression(
                arg.out / f"64px-{name}-{at64}", *rendered(arg.out, 64, at64, focus), at64,
                perceptual, crop=False,
            )
            for name, focus in (("sharp", 1.0), ("soft", 0.0))
        }  # fmt: skip
        print("\n64 px\n" + table(found["backgrounds"]))
    if "speed" in arg.only:
        found["speed"] = speed(arg.out, perceptual, turns=2 if arg.quick else 8)
        sets = rendered(arg.out, 128, at128)
        found["crop"] = {
            name: regression(
                arg.out / f"128px-{name}-{at128}", *sets, at128, perceptual, crop=name == "crop"
            )
            for name in ("whole", "crop")
        }
        print(
            "\n128 px, a step:", {name: round(value, 2) for name, value in found["speed"].items()}
        )
        print(table(found["crop"]))
    if arg.json:
        arg.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
