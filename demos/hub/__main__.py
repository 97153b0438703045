"""`python -m demos.hub`: assemble the files of a Hugging Face Space, and check them.

python -m demos.hub --out DIR --hardware zero --domain ffhq
python -m demos.hub --out DIR --check
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from demos.hub.check import faults
from demos.hub.space import HARDWARE, assemble
from weights.manifest import MANIFEST, WeightsError


def main(arguments: list[str] | None = None) -> int:
    """Assemble a Space, or check the one that is there; 1 if the Hub would refuse it."""
    options = _parser().parse_args(arguments)
    try:
        if not options.check:
            assemble(options.out, options.hardware, options.domain or (), options.manifest)
    except WeightsError as error:
        print(error, file=sys.stderr)
        return 1
    found = faults(options.out)
    for fault in found:
        print(fault, file=sys.stderr)
    if not found:
        print(f"{options.out}: in order; push it to a Space repository.")
    return int(bool(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demos.hub", description="Assembles what a Hugging Face Space needs."
    )
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="another list of weights")
    parser.add_argument("--out", type=Path, required=True, help="an empty folder, or a new clone")
    parser.add_argument("--hardware", choices=sorted(HARDWARE), default="cpu")
    parser.add_argument("--domain", action="append", help="preload its weights on the Hub")
    parser.add_argument("--check", action="store_true", help="only check the files in --out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
