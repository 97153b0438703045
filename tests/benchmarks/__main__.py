"""The tables of all papers, and one page of what each claims and whether it holds here.

    python -m tests.benchmarks --keep DIR [--quick] [--only PAPER ...] [--threads N]
                               [--processes N] [--write]

Each benchmark is a process of its own and keeps its figures in DIR/<paper>.json and its pieces
below DIR/<paper>: started again, it goes on, and what is whole is not measured again. Papers whose
page is not on are left out, and named. --write: write the page, `examples/README.md`, and a figure
a paper, of what DIR holds. --processes: so many for each benchmark that can share its pictures
among them; two with a thread each draw faster than one with two. --quick: a few portraits, whether
everything runs; such figures decide nothing and are kept apart, in DIR/quick.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from demos.kit.paper import Paper
from demos.papers import PAPERS
from tests.benchmarks.claims import NOT_COMPARABLE, VERDICTS, Claim, read
from tests.benchmarks.figure import draw_curves

EXAMPLES = Path(__file__).parents[2] / "examples"
PAGE, FIGURE = EXAMPLES / "README.md", "measured.png"
SHARING = ("indomain", "sam_inversion", "diffusion_inversion")  # benchmarks for several processes
HEAD = """# What the papers claim, and what holds here

All figures are of clay heads and of portraits that no network was trained on; a claim holds where
the mean difference over portraits is above two standard errors (distances between sets are compared
as they are), and is undecided below. Made by `python -m tests.benchmarks --keep DIR --write`.
"""


def command(paper: Paper, arg: argparse.Namespace) -> list[str]:
    """The command line of one paper's benchmark."""
    line = [sys.executable, "-m"]
    if arg.processes > 1 and paper.slug in SHARING:
        line += ["accelerate.commands.launch", "--multi_gpu"]  # several on a CPU as well
        line += ["--num_processes", str(arg.processes), "--main_process_port", "0", "-m"]
    line += [f"tests.benchmarks.{paper.slug}"]
    line += ["--json", str(figures_of(paper, arg.keep)), "--keep", str(arg.keep / paper.slug)]
    return line + (["--quick"] if arg.quick else [])


def figures_of(paper: Paper, folder: Path) -> Path:
    """Where a paper's figures are kept."""
    return folder / f"{paper.slug}.json"


def section(paper: Paper, found: Mapping[str, Any]) -> Iterator[str]:
    """A paper's part of the page, by lines."""
    claims = read(found["claims"])
    counts = {word: sum(each.verdict == word for each in claims) for word in VERDICTS}
    yield f"\n## {paper.name}\n"
    yield f"[{paper.title}]({paper.article}), on {found['portraits']} portraits by"
    yield f"`python -m tests.benchmarks.{paper.slug}`: "
    yield ", ".join(f"{count} {word}" for word, count in counts.items() if count) + ".\n"
    yield f"![{paper.name}: what was measured]({paper.slug}/{FIGURE})\n"
    yield "| claim | figure | compared with | |"
    yield "|---|---|---|---|"
    for each in claims:
        yield f"| {each.text} | {_number(each.better)} | {_number(each.worse)} | {_word(each)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _word(each: Claim) -> str:
    return "" if each.verdict == NOT_COMPARABLE else each.verdict


def write(folder: Path, papers: Sequence[Paper]) -> None:
    """The page and the figures of what a folder holds; ValueError where a paper's is absent."""
    lines = [HEAD]
    for paper in papers:
        path = figures_of(paper, folder)
        if not path.exists():
            raise ValueError(
                f"--keep must hold the figures of all papers to write the page; {path.name} is not "
                "there. Run the benchmarks without --write first."
            )
        found = json.loads(path.read_text())
        lines += section(paper, found)
        drawn = import_module(f"tests.benchmarks.{paper.slug}").curves(found)
        draw_curves(*drawn).save(EXAMPLES / paper.slug / FIGURE)
    if others := [paper.name for paper in PAPERS if paper not in papers]:
        lines.append(f"\nNot measured: {', '.join(others)}.")
    PAGE.write_text("\n".join(lines) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    on = [paper.slug for paper in PAPERS if paper.page]
    parser.add_argument("--keep", type=Path, required=True, help="figures, and what is half done")
    parser.add_argument("--only", nargs="+", choices=on, default=on, metavar="PAPER")
    parser.add_argument("--quick", action="store_true", help="only whether everything runs")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    parser.add_argument("--processes", type=int, default=1, help="of benchmarks that share work")
    parser.add_argument("--write", action="store_true", help="write the page of what --keep holds")
    arg = parser.parse_args()
    if arg.quick:
        arg.keep = arg.keep / "quick"
    return arg


def main() -> None:
    arg = parse()
    papers = [paper for paper in PAPERS if paper.slug in arg.only]
    if arg.write:
        write(arg.keep, papers)
        return
    arg.keep.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if arg.threads:
        environment |= {"OMP_NUM_THREADS": str(arg.threads)}
    for paper in papers:
        if figures_of(paper, arg.keep).exists():
            print(f"{paper.name}: its figures are there", flush=True)
            continue
        print(f"{paper.name}", flush=True)
        subprocess.run(command(paper, arg), check=True, env=environment)
    for paper in PAPERS:
        if not paper.page:
            print(f"{paper.name}: left out, its page is not on")


if __name__ == "__main__":
    main()
