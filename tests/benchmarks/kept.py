"""Finished pieces of a long benchmark on disk: hours on two cores survive an interruption.

A piece belongs to the weights and to the code that made it. Whoever retrains a network or changes
a line of the method finds none of the old pieces, and nothing is ever mixed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

PIPELINES = Path(__file__).parents[2] / "pipelines"
Piece = Mapping[str, Tensor]


class Kept:
    """Pieces by name in a folder; without one, every piece is made anew.

    networks: what the pieces depend on. sources: files of their method; networks, descent and
    runtime always count, comments do not.
    """

    def __init__(
        self, folder: Path | None, networks: Iterable[nn.Module] = (), sources: Iterable[Path] = ()
    ) -> None:
        self.folder = None
        if folder is not None:
            self.folder = Path(folder) / digest(networks, sources)
            self.folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str, make: Callable[[], Piece]) -> Piece:
        """The piece of that name, from disk where it was finished before."""
        if self.folder is None:
            return make()
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            partial = path.with_suffix(".partial")
            save_file({key: value.contiguous() for key, value in make().items()}, partial)
            partial.rename(path)  # appears last and whole
        return load_file(path)


def digest(networks: Iterable[nn.Module], sources: Iterable[Path]) -> str:
    """Sixteen letters that change with any weight and with any line of code."""
    total = hashlib.sha256()
    for network in networks:
        for name, value in network.state_dict().items():
            total.update(name.encode())
            total.update(value.detach().cpu().contiguous().numpy().tobytes())
    shared = [PIPELINES / "runtime.py", PIPELINES / "descent.py"]
    always = [*shared, *sorted((PIPELINES / "networks").glob("*.py"))]
    for path in [*always, *sources]:
        total.update(ast.dump(ast.parse(path.read_text())).encode())
    return total.hexdigest()[:16]


def marked(x: Tensor) -> str:
    """Sixteen letters that tell tensors apart: the name of a piece says what it was made from."""
    return hashlib.sha256(x.detach().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]
