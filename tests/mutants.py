"""Changes of the pipelines that would be wrong, and whether the tests of their paper notice.

    python -m tests.mutants [--only NAME ...] [--list]

Each mutant changes a line or two of a scratch copy, in which the tests of that paper's pipeline
run until one fails. A mutant under which all pass survives: then a test is missing, and the
command ends with 1. It takes some minutes; `tests/test_mutants.py` only sees to it that the lines
are there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_OUT = (".git", "runs", ".venv", "__pycache__", ".pytest_cache", ".ruff_cache")


@dataclass(frozen=True)
class Mutant:
    """What is wrong, in which file below pipelines/, the lines as they are and as they become, and
    the tests below tests/pipelines/ that should notice."""

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]

    def apply(self, root: Path) -> None:
        """Change the file below a copy; ValueError unless each line is there once."""
        path = root / "pipelines" / self.file
        text = path.read_text()
        for line, other in self.changes:
            if text.count(line) != 1:
                raise ValueError(
                    f"the line of {self.name!r} must be in {self.file} once; got "
                    f"{text.count(line)} of {line!r}. Change the mutant with the code."
                )
            text = text.replace(line, other)
        path.write_text(text)


def _of(tests: str, file: str, *mutants: tuple) -> tuple[Mutant, ...]:
    names = tuple(f"test_{name}.py" for name in ("slices", *tests.split()))
    return tuple(Mutant(name, file, changes, names) for name, *changes in map(_paired, mutants))


def _paired(mutant: tuple) -> tuple:
    """(name, a, b, c, d) as (name, (a, b), (c, d))."""
    name, *lines = mutant
    return (name, *zip(lines[::2], lines[1::2], strict=True))


MUTANTS = (
    *_of(
        "indomain", "indomain_codes.py",
        ("mix takes the first layers",
         "torch.cat([content.w[:, : count - layers], style.w[:, count - layers :]], dim=1)",
         "torch.cat([style.w[:, :layers], content.w[:, layers:]], dim=1)"),
        ("diffusion compares the whole picture",
         "x = x if mask is None else x * mask", "pass",
         "seen = rebuilt if mask is None else rebuilt * mask", "seen = rebuilt"),
        ("the encoder term stays with the mask",
         "tuning = self.tuning if mask is None else replace(PUBLISHED, domain=0.0)",
         "tuning = self.tuning if mask is None else PUBLISHED"),
        ("the perceptual weight is 0",
         "LAMBDA_PERCEPTUAL = 0.05", "LAMBDA_PERCEPTUAL = 0.0"),
        ("annealing is ignored", "anneal=tuning.anneal", "anneal=False"),
        ("no encoder term", "if tuning.domain:", "if False:"),
        ("no pixels in the loss",
         "each = (x - seen).square().mean((1, 2, 3))", "each = x.new_zeros(len(x))"),
        ("Image2StyleGAN starts from the encoder",
         "return self._optimise(start, x, mask, tuning, steps, learning_rate, report)",
         "return self._optimise(self.encoder(x), x, mask, tuning, steps, learning_rate, report)"),
        ("interpolation runs backwards",
         "(1 - t) * a.w + t * b.w", "t * a.w + (1 - t) * b.w"),
    ),
    *_of(
        "indomain", "indomain.py",
        ("intermediate steps are misplaced",
         "round(steps * (k + 1) / count)", "round(steps * k / count)"),
        ("diffusion keeps the context in the box",
         "torch.where(mask > 0, self._load(target), x)",
         "torch.where(mask > 0, x, self._load(target))"),
    ),
    *_of("indomain", "images.py",
         ("the box is transposed",
          "mask[..., slice(*rows), slice(*columns)] = 1",
          "mask[..., slice(*columns), slice(*rows)] = 1")),
    *_of("indomain measures", "measures.py",
         ("the quantile of inside is 0.01", "INSIDE = 0.99", "INSIDE = 0.01")),
    *_of(
        "editgan", "semantic_editor.py",
        ("Eq. 4 prefers other people",
         "total = total + LAMBDA_ID * (1 - likeness)", "total = total + LAMBDA_ID * likeness"),
        ("no encoder's term",
         "total = total + LAMBDA_ENCODER * (delta - seen).square().mean((1, 2))",
         "del seen"),
        ("no squares in Eq. 2",
         "rgb = rgb + _mean_square((changed - x) * outside)", "pass"),
        ("Eq. 2 inside the region",
         "outside = (~inside[:, None]).float()", "outside = inside[:, None].float()"),
        ("the window of the target is transposed",
         "target = torch.from_numpy(masks[:, rows, columns])",
         "target = torch.from_numpy(masks[:, columns, rows])"),
        ("the perceptual weight is 0",
         "rgb = self.perceptual(changed * outside, stages)",
         "rgb = 0 * self.perceptual(changed * outside, stages)"),
        ("no mask in Eq. 5", "LAMBDA_CE * (entropy * share)", "0 * (entropy * share)"),
        ("scales are ignored",
         "total = total + float(scale) * vector.delta", "total = total + vector.delta"),
    ),
    *_of(
        "editgan", "editgan.py",
        ("refinement is counted from the embedding",
         "w, mask[None], region[None], start=first, steps=steps",
         "w, mask[None], region[None], start=0 * first, steps=steps"),
    ),
    *_of(
        "sam_inversion", "invertibility.py",
        ("the latest latent that will do", "under.argmax(0)",
         "len(under) - 1 - under[::-1].argmax(0)"),
        ("latents over tau", "under = maps.means < tau", "under = maps.means > tau"),
        ("masks are of the latent before", "(chosen == index)", "(chosen == index - 1)"),
    ),
    *_of(
        "sam_inversion", "multilayer_projector.py",
        ("no feature regularisation",
         "each = each + tuning.feature * delta.square().mean((1, 2, 3))", "pass"),
        ("no Gaussian prior", "each = each + tuning.prior * self.space.prior(w)", "pass"),
        ("no variation of codes",
         "each = each + tuning.variation * (w - w[:, :1]).square().mean((1, 2))", "pass"),
        ("changes count everywhere",
         "self.generator.synthesis(w, deltas=deltas, masks=masks)",
         "self.generator.synthesis(w, deltas=deltas, masks={k: m * 0 + 1 for k, m in "
         "masks.items()})"),
        ("the encoder's code is left out",
         "return w + offset, dict(deltas)", "return offset, dict(deltas)"),
        ("optimisation does not start at the encoders", "if self.encoders is None:", "if True:"),
    ),
    *_of(
        "sam_inversion", "baselines.py",
        ("tuning does not keep what is near the pivot",
         "LAZY * LAMBDA_LOCALITY * as_before(near)", "0 * as_before(near)"),
        ("codes from the mean take the rate of others", "rate = self.far", "rate = self.rate"),
    ),
    *_of(
        "sam_inversion", "networks/sam_encoders.py",
        ("encoders do not see what their start lacks", "torch.cat([x - y, m]", "torch.cat([x, m]"),
    ),
    *_of(
        "sam_inversion", "multilayer_editor.py",
        ("an edit moves nothing after the layer",
         'options["edited"] = edited.to(self.device)', "pass"),
    ),
    *_of(
        "mm2latent", "mm2latent.py",
        ("layers of words and of the condition are exchanged",
         "mixed = torch.cat([w[:, :first], text[:, first:]], 1)",
         "mixed = torch.cat([text[:, :first], w[:, first:]], 1)"),
        ("the condition is ignored", "return net(f_text, f_cond)", "return net(f_text, None)"),
    ),
    *_of(
        "diffusion_inversion", "latent_diffusion.py",
        ("guidance leads towards no words",
         "untold + guidance * (told - untold)", "told + guidance * (untold - told)"),
        ("noise keeps its mean", "return noise - noise.mean((2, 3), keepdim=True)", "return noise"),
        ("the first step sees a trace",
         '"rescale_betas_zero_snr": True', '"rescale_betas_zero_snr": False'),
    ),
    *_of(
        "diffusion_inversion", "networks/diffusion_mapping.py",
        ("alpha is the share of the average", "alpha * self.local(refined) + (1 - alpha) * ",
         "(1 - alpha) * self.local(refined) + alpha * "),
        ("attention does not refine", "refined = [x * y for x, y in", "refined = [x for x, y in"),
        ("words do not count in A-bar", "share = spoken /", "share = torch.ones_like(spoken) /"),
        ("beta is a scale", "return w * gamma + beta", "return w * (gamma + beta)"),
    ),
)  # fmt: skip


def survives(mutant: Mutant, folder: Path) -> bool:
    """Whether the paper's tests pass all the same, in a scratch copy below a folder."""
    root = folder / "tree"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*LEFT_OUT))
    mutant.apply(root)
    tests = [f"tests/pipelines/{name}" for name in mutant.tests]
    line = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(line, cwd=root, env=dict(os.environ), capture_output=True, text=True)
    shutil.rmtree(root)
    if done.returncode not in (0, 1):  # neither all passed nor some failed
        raise RuntimeError(f"the tests of {mutant.name!r} did not run:\n{done.stdout[-2000:]}")
    return done.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="words of mutants' names")
    parser.add_argument("--list", action="store_true", help="say which there are, and stop")
    arg = parser.parse_args()
    chosen = [m for m in MUTANTS if not arg.only or any(word in m.name for word in arg.only)]
    if arg.list:
        print(*(f"{m.file:32}{m.name}" for m in chosen), sep="\n")
        return
    alive = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for mutant in chosen:
            found = survives(mutant, Path(folder))
            alive += found
            word = "SURVIVES" if found else "killed"
            print(f"{word:10}{mutant.file:26}{mutant.name}", flush=True)
    print(f"{len(chosen) - alive} of {len(chosen)} killed")
    sys.exit(int(alive > 0))


if __name__ == "__main__":
    main()
