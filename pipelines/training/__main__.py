"""Train every network of a clay domain, one recipe after another, within a time budget.

    python -m pipelines.training --out DIR --minutes 60 [--register]
    python -m pipelines.training --out DIR --minutes 25 --count 60000 --batch 64     (on a GPU)

Renders what is missing under DIR/train and DIR/validation, then runs the recipes in the order in
which they need each other. A recipe keeps its checkpoints in DIR/<recipe> and goes on where it was
interrupted; weights and cards are written to DIR/weights. With --register they replace those in
weights/starter. Rendering is not counted in the minutes; recipes that solve instead of training
(boundaries, editing vectors) take what they take.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOMAIN = "clay-heads"
STARTER = Path(__file__).parents[2] / "weights" / "starter"


@dataclass(frozen=True)
class Recipe:
    """A step: its module, the component it writes, its share of the minutes, and what it reads.

    needs: option -> component trained before. flags: further options as they are. data: whether
    it reads the rendered training set. share 0: the recipe takes no --minutes. through: whether it
    trains through the generator, in batches small enough for a CPU by default. folder: of its
    checkpoints, where it is not the module's name.
    """

    module: str
    component: str
    share: float
    needs: dict[str, str]
    data: bool = True
    flags: tuple[str, ...] = ()
    through: bool = False
    folder: str = ""


RECIPES = (
    Recipe("perceptual", "perceptual", 0.06, {}),
    Recipe("identity", "judge", 0.14, {}),
    Recipe("parser", "parser", 0.07, {}),
    Recipe(
        "generator", "generator", 0.20, {"perceptual": "perceptual"},
        flags=("--shares", "0.1", "0.9"), through=True,
    ),
    Recipe(
        "sharpen", "generator", 0.24, {"start": "generator", "perceptual": "perceptual"},
        through=True,
    ),
    Recipe(
        "conventional_encoder", "conventional-encoder", 0.14,
        {"generator": "generator", "perceptual": "perceptual"}, data=False, through=True,
    ),
    Recipe(
        "indomain_encoder", "indomain-encoder", 0.06,
        {"generator": "generator", "perceptual": "perceptual", "start": "conventional-encoder"},
        through=True,
    ),
    Recipe(  # for as long as the other went on: what they are compared by is the method
        "conventional_encoder", "conventional-encoder", 0.06,
        {"generator": "generator", "perceptual": "perceptual", "start": "conventional-encoder"},
        data=False, through=True, folder="conventional_encoder_on",
    ),
    Recipe("boundaries", "boundaries", 0, {"generator": "generator", "judge": "judge"}, data=False),
    Recipe(
        "segmentation_branch", "segmentation-branch", 0.03,
        {"generator": "generator", "encoder": "indomain-encoder", "perceptual": "perceptual",
         "judge": "judge", "parser": "parser"}, data=False,
    ),
    Recipe(
        "editing_vectors", "editing-vectors", 0,
        {"generator": "generator", "encoder": "indomain-encoder", "perceptual": "perceptual",
         "judge": "judge", "branch": "segmentation-branch"}, data=False,
    ),
)  # fmt: skip


def command(
    recipe: Recipe, out: Path, minutes: float, device: str, batch: int | None = None
) -> list[str]:
    """The command line of one recipe."""
    files = out / "weights"
    line = [sys.executable, "-m", f"pipelines.training.{recipe.module}"]
    line += ["--out", str(out / (recipe.folder or recipe.module)), "--device", device]
    line += ["--weights", str(weight(files, recipe.component))]
    if recipe.data:
        line += ["--data", str(out / "train")]
    if recipe.share:
        line += ["--validation", str(out / "validation")]
        line += ["--minutes", f"{minutes * recipe.share:.2f}"]
    if recipe.through and batch:
        line += ["--batch", str(batch)]
    if recipe.component == "indomain-encoder":
        line += ["--calibration", str(weight(files, "indomain-calibration"))]
    for option, component in recipe.needs.items():
        line += [f"--{option}", str(weight(files, component))]
    return [*line, *recipe.flags]


def weight(folder: Path, component: str) -> Path:
    """The weights file of a component."""
    return folder / f"{DOMAIN}-{component}.safetensors"


def rendering(out: Path, count: int, validation: int) -> Iterator[list[str]]:
    """The commands that render what is missing; a finished set is left as it is."""
    for split, portraits in (("train", count), ("validation", validation)):
        yield [
            sys.executable, "-m", "examples.clay", "render", "--split", split,
            "--count", str(portraits), "--per-identity", "4", "--out", str(out / split),
        ]  # fmt: skip


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.training", description="Train all networks of the clay domain."
    )
    parser.add_argument("--out", type=Path, required=True, help="sets, checkpoints and weights")
    parser.add_argument("--minutes", type=float, default=120, help="of training, rendering apart")
    parser.add_argument("--count", type=int, default=12_000, help="training portraits to render")
    parser.add_argument("--validation-count", type=int, default=1000)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0")
    parser.add_argument("--batch", type=int, help="of what trains through the generator")
    parser.add_argument("--only", nargs="+", metavar="RECIPE", help="run these alone, in order")
    parser.add_argument("--register", action="store_true", help="replace the shipped weights")
    arg = parser.parse_args()
    known = [recipe.module for recipe in RECIPES]
    if unknown := sorted(set(arg.only or ()) - set(known)):
        parser.error(f"--only must name recipes among {', '.join(known)}; got {unknown}.")
    return arg


def register(folder: Path) -> None:
    """Copy weights and cards over the shipped ones and write their checksums."""
    for file in sorted(folder.glob(f"{DOMAIN}-*.safetensors")):
        shutil.copy(file, STARTER)
        shutil.copy(file.with_suffix(".md"), STARTER)
        name = f"{DOMAIN}/{file.stem.removeprefix(DOMAIN + '-')}"
        subprocess.run([sys.executable, "-m", "weights", "register", name], check=True)


def main() -> None:
    arg = parse()
    (arg.out / "weights").mkdir(parents=True, exist_ok=True)
    for line in rendering(arg.out, arg.count, arg.validation_count):
        subprocess.run(line, check=True)
    for recipe in RECIPES:
        if not arg.only or recipe.module in arg.only:
            print(f"\n{recipe.module}", flush=True)
            line = command(recipe, arg.out, arg.minutes, arg.device, arg.batch)
            subprocess.run(line, check=True)
    if arg.register:
        register(arg.out / "weights")


if __name__ == "__main__":
    main()
