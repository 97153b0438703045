"""Train every network of the clay domain, one recipe after another, within a time budget.

    python -m pipelines.training --out DIR --plan              what is done, what is left
    python -m pipelines.training --out DIR --minutes 120       a laptop's evening: weak networks
    python -m pipelines.training --out DIR --minutes 1440 --count 60000 --threads 1
                                                               a laptop's day, beside other work
    python -m pipelines.training --out DIR --minutes 180 --count 60000 --batch 64
                                                               a GPU's evening

It renders what is missing under DIR/train and DIR/validation, then runs the recipes in the order in
which they need each other; each takes its share of the minutes. Stop it at any time: started again
with the same --out, it goes on where it was. A recipe whose inputs changed since (weights trained
before it, the rendered set) begins anew, and so does what follows from it. More --minutes than
before train every recipe for longer.

Weights and cards are written to DIR/weights, checkpoints and sheets of samples to DIR/<recipe>.
With --register they replace those in weights/starter. It runs at low priority. Rendering is not
counted in the minutes; nor are the recipes that solve instead of training.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pipelines.training.chain import (
    DOMAIN,
    RECIPES,
    Budget,
    Recipe,
    begin,
    command,
    end,
    status,
)

STARTER = Path(__file__).parents[2] / "weights" / "starter"
NICENESS = 10


def rendering(out: Path, count: int, validation: int) -> Iterator[list[str]]:
    """The commands that render what is missing; a finished set is left as it is."""
    for split, portraits, per_identity in (("train", count, 2), ("validation", validation, 4)):
        yield [
            sys.executable, "-m", "examples.clay", "render", "--split", split,
            "--count", str(portraits), "--per-identity", str(per_identity),
            "--out", str(out / split),
        ]  # fmt: skip


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="sets, checkpoints and weights")
    parser.add_argument("--minutes", type=float, default=120, help="of training (default 120)")
    parser.add_argument(
        "--count", type=int, default=12_000, help="training portraits to render (default 12000)"
    )
    parser.add_argument("--validation-count", type=int, default=1000, help="(default 1000)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--batch", type=int, help="of what trains through the generator")
    parser.add_argument("--only", nargs="+", metavar="RECIPE", help="run these alone, in order")
    parser.add_argument("--after", metavar="RECIPE", help="run what comes after this one")
    parser.add_argument("--plan", action="store_true", help="say what is done and left, and stop")
    parser.add_argument("--register", action="store_true", help="replace the shipped weights")
    arg = parser.parse_args()
    known = [recipe.name for recipe in RECIPES]
    for option in ("only", "after"):
        given = getattr(arg, option) or ()
        given = {given} if isinstance(given, str) else set(given)
        if unknown := sorted(given - set(known)):
            parser.error(f"--{option} must name recipes among {', '.join(known)}; got {unknown}.")
    return arg


def chosen(only: list[str] | None, after: str | None) -> list[Recipe]:
    """The recipes to run, in their order."""
    names = [recipe.name for recipe in RECIPES]
    first = names.index(after) + 1 if after else 0
    return [recipe for recipe in RECIPES[first:] if not only or recipe.name in only]


def plan(recipes: list[Recipe], budget: Budget) -> str:
    """A line a recipe: its state and the minutes left."""
    rows = [(recipe.name, status(recipe, budget)) for recipe in recipes]
    lines = [f"{name:26}{found.state:10}{found.left:8.0f} min left" for name, found in rows]
    return "\n".join([*lines, f"{'':36}{sum(found.left for _, found in rows):8.0f} min in all"])


def register(folder: Path) -> None:
    """Copy weights and cards over the shipped ones and write their checksums."""
    for file in sorted(folder.glob(f"{DOMAIN}-*.safetensors")):
        shutil.copy(file, STARTER)
        shutil.copy(file.with_suffix(".md"), STARTER)
        name = f"{DOMAIN}/{file.stem.removeprefix(DOMAIN + '-')}"
        subprocess.run([sys.executable, "-m", "weights", "register", name], check=True)


def run(line: list[str], threads: int | None) -> None:
    """Run one command of the chain on so many threads; its failure ends the chain."""
    environment = dict(os.environ)
    if threads:
        environment |= {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    subprocess.run(line, check=True, env=environment)


def main() -> None:
    arg = parse()
    budget = Budget(arg.out, arg.minutes, arg.device, arg.batch, arg.threads)
    recipes = chosen(arg.only, arg.after)
    print(plan(recipes, budget), flush=True)
    if arg.plan:
        return
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS)
    (arg.out / "weights").mkdir(parents=True, exist_ok=True)
    for line in rendering(arg.out, arg.count, arg.validation_count):
        run(line, arg.threads)
    for recipe in recipes:
        found = status(recipe, budget)
        if found.state == "done":
            continue
        print(f"\n{recipe.name}: {found.state}, {found.left:.0f} min", flush=True)
        begin(recipe, budget)
        run(command(recipe, budget), arg.threads)
        end(recipe, budget)
    if arg.register:
        register(arg.out / "weights")


if __name__ == "__main__":
    main()
