"""Render sets, contact sheets and example portraits, and time the renderer.

python -m examples.clay render --split train --count 20000 --per-identity 4 --size 128 --out DIR
python -m examples.clay sheet --split test --count 36 --out sheet.png
python -m examples.clay sheet --focus 1 --per-identity 6
python -m examples.clay sheet --props --columns 8
python -m examples.clay bench
python -m examples.clay effect --count 64 --size 64 [NAME ...]
python -m examples.clay examples
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image

from examples.clay.dataset import latents, split_seeds, write
from examples.clay.effect import effects
from examples.clay.parameters import PROPS, SEEDS, draw
from examples.clay.parts import PALETTE
from examples.clay.portraits import Portrait, portrait

PORTRAITS = Path(__file__).parent / "portraits"
VECTORS = ("shape", "expression", "pose", "camera")


def sheet(
    split: str,
    count: int,
    size: int,
    columns: int,
    *,
    per_identity: int = 1,
    focus: float = 0.0,
    props: bool = False,
) -> Image.Image:
    """A contact sheet of the first portraits of a split.

    per_identity: pictures of each face, one after another; focus: sharpness of the backgrounds;
    props: a thing before every face, `parameters.PROPS` in turn.
    """
    from examples.clay.render import render

    staged = [{"focus": focus, **(_thing(i) if props else {})} for i in range(count)]
    codes = latents(*split_seeds(split, count, per_identity))
    images, _ = render(np.stack([draw(z, s) for z, s in zip(codes, staged, strict=True)]), size)
    rows = -(-count // columns)
    page = np.full((rows * columns, size, size, 3), 255, np.uint8)
    page[:count] = images
    page = page.reshape(rows, columns, size, size, 3).swapaxes(1, 2)
    return Image.fromarray(page.reshape(rows * size, columns * size, 3))


def _thing(i: int) -> dict[str, object]:
    """Overrides of the i-th thing: every kind in turn, looks and places spread out."""
    things = PROPS[1:]
    look, shift = (0.62 * i + 0.4 * (i // len(things)) + 0.2) % 1, (0.755 * i) % 1
    return {"prop": things[i % len(things)], "prop_look": look, "prop_shift": 2 * shift - 1}


def bench(count: int, size: int) -> tuple[float, float]:
    """Core-seconds and wall-seconds for one portrait, compilation not counted."""
    from examples.clay.render import render

    parameters = draw(latents(*split_seeds("validation", count)))
    render(parameters[:2], size)
    wall, cores = time.perf_counter(), time.process_time()
    render(parameters, size)
    return (time.process_time() - cores) / count, (time.perf_counter() - wall) / count


def write_examples(directory: Path, count: int, size: int) -> None:
    """Test portraits as PNG files, with all that is known about them in portraits.json.

    sheet.png shows the first 16 with their masks.
    """
    directory.mkdir(parents=True, exist_ok=True)
    records, pictures, masks = [], [], []
    for i, seed in enumerate(SEEDS["test"][:count]):
        p = portrait(seed, size)
        Image.fromarray(p.image).save(directory / f"{i:04d}.png", optimize=True)
        Image.fromarray(p.mask).save(directory / f"{i:04d}-mask.png", optimize=True)
        Image.fromarray(p.sketch).save(directory / f"{i:04d}-sketch.png", optimize=True)
        records.append({"file": f"{i:04d}.png", **_record(p)})
        pictures.append(p.image)
        masks.append(PALETTE[p.mask])
    (directory / "portraits.json").write_text(json.dumps(records, indent=1) + "\n")
    rows = [
        np.hstack(row[i : i + 8]) for i in (0, 8) for row in (pictures, masks) if row[i : i + 8]
    ]
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    Image.fromarray(np.vstack(rows)).save(directory / "sheet.png", optimize=True)


def _record(p: Portrait) -> dict[str, object]:
    vectors = {name: [round(float(x), 5) for x in getattr(p, name)] for name in VECTORS}
    return {
        "seed": p.seed,
        "identity": p.identity,
        "caption": p.caption,
        "paraphrases": p.paraphrases,
        "attributes": p.attributes,
        **vectors,
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main = argparse.ArgumentParser(
        prog="python -m examples.clay", description=__doc__.split("\n")[0]
    )
    commands = main.add_subparsers(dest="command", required=True)
    command = commands.add_parser("render", help="write a set for training (resumable)")
    _add_split(command, "train", 20_000)
    command.add_argument("--per-identity", type=int, default=4, help="portraits of each face")
    command.add_argument("--out", type=Path, required=True, help="folder")
    command = commands.add_parser("sheet", help="write a contact sheet")
    _add_split(command, "test", None)
    command.add_argument("--columns", type=int, default=6)
    command.add_argument("--per-identity", type=int, default=1, help="pictures of each face")
    command.add_argument("--focus", type=float, default=0.0, help="of backgrounds, 1 is sharp")
    command.add_argument("--props", action="store_true", help="a thing before every face")
    command.add_argument("--out", type=Path, default=Path("sheet.png"), help="PNG file")
    command = commands.add_parser("bench", help="time the renderer")
    command.add_argument("--count", type=int, default=32)
    command.add_argument("--size", type=int, default=128)
    command = commands.add_parser("effect", help="measure how much each parameter shows")
    command.add_argument("names", nargs="*", help="parameters; all where none is named")
    command.add_argument("--count", type=int, default=64)
    command.add_argument("--size", type=int, default=64)
    command = commands.add_parser("examples", help="write test portraits with their ground truth")
    command.add_argument("--count", type=int, default=64)
    command.add_argument("--size", type=int, default=128)
    command.add_argument("--out", type=Path, default=PORTRAITS, help="folder")
    return main


def _add_split(command: argparse.ArgumentParser, split: str, count: int | None) -> None:
    command.add_argument("--split", choices=tuple(SEEDS), default=split)
    command.add_argument("--count", type=int, default=count)
    command.add_argument("--size", type=int, default=128, help="pixels")


def run(arguments: list[str] | None = None) -> None:
    """Run one command."""
    given = parser().parse_args(arguments)
    if given.command == "render":
        write(given.out, given.split, given.count, per_identity=given.per_identity, size=given.size)
    elif given.command == "sheet":
        staged = {key: getattr(given, key) for key in ("per_identity", "focus", "props")}
        count = given.count or (2 * len(PROPS[1:]) if given.props else 36)
        sheet(given.split, count, given.size, given.columns, **staged).save(given.out)
    elif given.command == "bench":
        cores, wall = bench(given.count, given.size)
        print(f"{cores:.4f} core-seconds and {wall:.4f} wall-seconds a {given.size} px portrait")
    elif given.command == "effect":
        for name, change in effects(given.names, given.count, given.size).items():
            print(f"{name:16} {1e4 * change:8.2f}e-4")
    else:
        write_examples(given.out, given.count, given.size)


if __name__ == "__main__":
    run()
