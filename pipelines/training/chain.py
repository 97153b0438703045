"""The chain of recipes: what each trains, what it reads, and how far it is.

A step is done when it wrote its weights from the inputs that lie there now; it goes on when it was
interrupted, or got more minutes; it begins anew when an input changed: weights trained before it,
or the rendered set. What it was given is kept beside its checkpoints (`inputs.json`).
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

DOMAIN = "clay-heads"
INPUTS = "inputs.json"
SAMPLES = "mm_samples"  # folder of the generator's samples that MM2Latent trains on
INVERTING = 250  # minutes on two cores: 400 pictures, 5 latents, 100 steps each at 0.075 s


@dataclass(frozen=True)
class Recipe:
    """A step: its module, the component it writes, its share of the minutes, and what it reads.

    needs: option -> component trained before. flags: further options as they are. data: whether
    it reads the rendered training set. share: relative to those of all others; 0: the recipe solves
    instead of training, and takes about `solves` minutes. through: whether it trains through the
    generator, in batches small enough for a CPU by default. name: of its folder and for --only and
    --after.
    """

    module: str
    component: str
    share: float
    needs: dict[str, str]
    data: bool = True
    flags: tuple[str, ...] = ()
    through: bool = False
    solves: float = 0.0
    folder: str = ""

    @property
    def name(self) -> str:
        return self.folder or self.module


_INVERTING = {
    name: name for name in ("generator", "perceptual", "judge", "denoiser")
} | {
    "encoder": "indomain-encoder", "autoencoder": "latent-autoencoder", "text": "joint-embedding",
    "mask": "controlnet-mask", "scribble": "controlnet-scribble",
}  # fmt: skip
_SAMPLING = {"embedding": "joint-embedding"} | {
    name: name
    for name in ("generator", "parser", "mask-autoencoder", "sketch-autoencoder", "morphable")
}

RECIPES = (
    Recipe("perceptual", "perceptual", 0.02, {}),
    Recipe("identity", "judge", 0.13, {}),
    Recipe("parser", "parser", 0.08, {}),
    Recipe("joint_embedding", "joint-embedding", 0.10, {}),
    Recipe("generator", "generator", 0.28, {"perceptual": "perceptual"}, through=True),
    Recipe(
        "sharpen", "generator", 0.12, {"start": "generator", "perceptual": "perceptual"},
        through=True,
    ),
    Recipe(
        "conventional_encoder", "conventional-encoder", 0.08,
        {"generator": "generator", "perceptual": "perceptual"}, data=False, through=True,
    ),
    Recipe(
        "indomain_encoder", "indomain-encoder", 0.04,
        {"generator": "generator", "perceptual": "perceptual", "start": "conventional-encoder"},
        through=True,
    ),
    Recipe(  # for as long as the other went on: what they are compared by is the method
        "conventional_encoder", "conventional-encoder", 0.04,
        {"generator": "generator", "perceptual": "perceptual", "start": "conventional-encoder"},
        data=False, through=True, folder="conventional_encoder_on",
    ),
    Recipe(
        "boundaries", "boundaries", 0, {"generator": "generator", "judge": "judge"}, data=False,
        solves=3,
    ),
    Recipe(
        "segmentation_branch", "segmentation-branch", 0.02,
        {"generator": "generator", "encoder": "indomain-encoder", "perceptual": "perceptual",
         "judge": "judge", "parser": "parser"}, data=False,
    ),
    Recipe(
        "editing_vectors", "editing-vectors", 0,
        {"generator": "generator", "encoder": "indomain-encoder", "perceptual": "perceptual",
         "judge": "judge", "branch": "segmentation-branch"}, data=False, solves=28,
    ),
    Recipe(
        "invertibility", "invertibility", 0,
        {"generator": "generator", "encoder": "indomain-encoder", "parser": "parser",
         "perceptual": "perceptual"}, data=False, through=True, solves=INVERTING,
    ),
    Recipe(
        "sam_encoders", "sam-encoders", 0.05,
        {"generator": "generator", "encoder": "indomain-encoder", "parser": "parser",
         "perceptual": "perceptual", "invertibility": "invertibility"}, data=False, through=True,
    ),
    Recipe(
        "baseline_encoders", "offset-encoder", 0.02,
        {"generator": "generator", "perceptual": "perceptual", "begin": "conventional-encoder"},
        through=True, flags=("--kind", "e4e"), folder="e4e_encoder",
    ),
    Recipe(
        "baseline_encoders", "restyle-encoder", 0.02,
        {"generator": "generator", "perceptual": "perceptual", "begin": "conventional-encoder"},
        through=True, flags=("--kind", "restyle"), folder="restyle_encoder",
    ),
    Recipe("latent_autoencoder", "latent-autoencoder", 0.06, {"perceptual": "perceptual"}),
    Recipe(
        "latent_diffusion", "denoiser", 0.14,
        {"autoencoder": "latent-autoencoder", "text": "joint-embedding"},
    ),
    *(
        Recipe(
            "latent_diffusion", f"controlnet-{task}", 0.05,
            {"autoencoder": "latent-autoencoder", "text": "joint-embedding",
             "denoiser": "denoiser"}, flags=("--task", task), folder=f"controlnet_{task}",
        )
        for task in ("mask", "scribble")
    ),
    Recipe("diffusion_inversion", "diffusion-mapping", 0.10, _INVERTING, through=True),
    Recipe(
        "diffusion_inversion", "diffusion-modulation-plain", 0.05,
        _INVERTING | {"mapping": "diffusion-mapping"}, through=True,
        flags=("--plain",), folder="diffusion_inversion_plain",
    ),
    *(
        Recipe(
            "diffusion_styles", f"style-{style}", 0.02,
            _INVERTING | {"mapping": "diffusion-mapping"}, through=True, flags=("--style", style),
            folder=f"style_{style}",
        )
        for style in ("bronze", "marble", "watercolour", "drawing")
    ),
    *(
        Recipe(
            "condition_autoencoders", f"{kind[0]}-autoencoder", 0.015, {}, flags=("--kind", *kind),
            folder=f"{kind[0]}_autoencoder",
        )
        for kind in (("mask", "--one-hot"), ("sketch",))
    ),
    Recipe("morphable", "morphable", 0.04, {}),
    *(
        Recipe(
            "mm_mapping", f"mm2latent-{kind}", 0.02, _SAMPLING, data=False,
            flags=("--condition", kind), folder=f"mm_mapping_{kind}",
        )
        for kind in ("mask", "sketch", "morphable")
    ),
)  # fmt: skip
SHARES = sum(recipe.share for recipe in RECIPES)


@dataclass(frozen=True)
class Budget:
    """What a run of the chain is given: folder, minutes, device, batch and CPU threads."""

    out: Path
    minutes: float
    device: str = "auto"
    batch: int | None = None
    threads: int | None = None

    def minutes_of(self, recipe: Recipe) -> float:
        """Minutes of a recipe, also of one that solves."""
        return self.minutes * recipe.share / SHARES if recipe.share else recipe.solves


@dataclass(frozen=True)
class Status:
    """How far a recipe is: "done", "runs on", "to do" or "anew", and the minutes left."""

    state: str
    left: float


def command(recipe: Recipe, budget: Budget) -> list[str]:
    """The command line of one recipe."""
    out = budget.out
    line = [sys.executable, "-m", f"pipelines.training.{recipe.module}"]
    line += ["--out", str(out / recipe.name), "--device", budget.device]
    line += ["--weights", str(product(out, recipe))]
    if recipe.data:
        line += ["--data", str(out / "train")]
    if recipe.share:
        line += ["--validation", str(out / "validation")]
        line += ["--minutes", f"{budget.minutes_of(recipe):.2f}"]
        if budget.threads:
            line += ["--threads", str(budget.threads)]
    if recipe.through and budget.batch:
        line += ["--batch", str(budget.batch)]
    if recipe.component == "indomain-encoder":
        line += ["--calibration", str(weight(out / "weights", "indomain-calibration"))]
    if recipe.module == "mm_mapping":  # the three share what is most of their work
        line += ["--samples", str(out / SAMPLES)]
    if "mapping" in recipe.needs:  # and these their ways of denoising
        line += ["--ways", str(out / "diffusion_inversion")]
    for option, path in reads(recipe, out).items():
        line += [f"--{option}", str(path)]
    return [*line, *recipe.flags]


def weight(folder: Path, component: str) -> Path:
    """The weights file of a component."""
    return folder / f"{DOMAIN}-{component}.safetensors"


def product(out: Path, recipe: Recipe) -> Path:
    """What a recipe writes: into weights/, or where a later one goes on from it, its own folder."""
    later = RECIPES[RECIPES.index(recipe) + 1 :]
    superseded = any(recipe.component == other.component for other in later)
    return weight(out / (recipe.name if superseded else "weights"), recipe.component)


def reads(recipe: Recipe, out: Path) -> dict[str, Path]:
    """The files that a recipe reads, by option: of the last recipe before it that writes each."""
    before = RECIPES[: RECIPES.index(recipe)]
    makers = {other.component: other for other in before}
    return {option: product(out, makers[need]) for option, need in recipe.needs.items()}


def inputs(recipe: Recipe, out: Path) -> dict[str, str]:
    """What decides a recipe's result, as it lies there now: sums of files, the rendered set."""
    found = {option: digest(path) for option, path in reads(recipe, out).items()}
    if recipe.data:
        found["data"] = rendered(out / "train")
    return found


def status(recipe: Recipe, budget: Budget) -> Status:
    """How far a recipe is. A recipe whose inputs are still to come is as far as they are."""
    folder, whole = budget.out / recipe.name, budget.minutes_of(recipe)
    given = folder / INPUTS
    if not given.exists():
        return Status("to do", whole)
    kept = json.loads(given.read_text())
    if kept["inputs"] != inputs(recipe, budget.out):
        return Status("anew", whole)
    left = max(whole - spent(folder), 0.0) if recipe.share else whole
    finished = kept.get("finished", 0.0)
    if finished >= whole and product(budget.out, recipe).exists():
        return Status("done", 0.0)
    return Status("runs on", left)


def begin(recipe: Recipe, budget: Budget) -> None:
    """Make a recipe's folder ready: emptied if its inputs changed, its inputs noted."""
    folder = budget.out / recipe.name
    if status(recipe, budget).state == "anew":
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _note(folder, {"inputs": inputs(recipe, budget.out)})


def end(recipe: Recipe, budget: Budget) -> None:
    """Note that a recipe used up its minutes."""
    folder = budget.out / recipe.name
    kept = json.loads((folder / INPUTS).read_text())
    _note(folder, {**kept, "finished": budget.minutes_of(recipe)})


def spent(folder: Path) -> float:
    """Minutes that the newest log below a folder says were trained; 0 without one."""
    logs = sorted(folder.glob("**/log.csv"), key=lambda path: path.stat().st_mtime)
    if not logs:
        return 0.0
    with logs[-1].open() as file:
        rows = list(csv.DictReader(file))
    return float(rows[-1]["seconds"]) / 60 if rows else 0.0


def digest(path: Path) -> str:
    """SHA-256 of a file in hex; "absent" where there is none."""
    if not path.exists():
        return "absent"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rendered(folder: Path) -> str:
    """What a rendered set is, however large it is by now; "absent" where there is none."""
    path = folder / "progress.json"
    if not path.exists():
        return "absent"
    made = json.loads(path.read_text())["recipe"]
    return json.dumps({**made, "count": None}, sort_keys=True)


def _note(folder: Path, content: dict) -> None:
    partial = folder / f"{INPUTS}.part"
    partial.write_text(json.dumps(content, indent=1))
    partial.replace(folder / INPUTS)  # never half written
