"""Codes of finished results as files: kept today, worked on another day without a second search.

A code belongs to one generator: a file says which, and another generator refuses it. A file is
safetensors: codes (1, layers, dim) by name; the metadata key `config` holds the rest as JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

T = TypeVar("T")
LARGEST_FILE = 2**24  # bytes; a code of 18 layers takes 37 kB


class Coded(Protocol):
    """A result with its code."""

    w: Float[Tensor, "1 layers dim"]


class KeepsCodes(Generic[T]):
    """A pipeline whose results are kept in files by their codes, and opened as it has them.

    generator: whose codes they are, with `num_ws` and `w_dim`; fingerprint: of its synthesis.
    """

    generator: nn.Module
    fingerprint: str

    def placed(self, w: Float[Tensor, "1 layers dim"]) -> T:
        """The result that a code alone is."""
        raise NotImplementedError(f"{type(self).__name__} must say what a code is as a result.")

    def keep(self, path: str | Path, results: Mapping[str, Coded]) -> Path:
        """Write the codes of results by name, for `read_codes` and `reopen`."""
        return save_codes(path, {name: r.w for name, r in results.items()}, self.fingerprint)

    def read_codes(self, path: str | Path) -> dict[str, T]:
        """Every code of a file as a result; ValueError for the codes of another generator."""
        return {name: self.placed(w) for name, w in self.codes_in(path).items()}

    def reopen(self, path: str | Path) -> T:
        """The result of a file that holds one code.

        ValueError for the code of another generator, and for a file that holds several.
        """
        return self.placed(only(self.codes_in(path)))

    def codes_in(self, path: str | Path) -> dict[str, Float[Tensor, "1 layers dim"]]:
        """The codes of a file by name; ValueError unless they are this generator's."""
        shape = (self.generator.num_ws, self.generator.w_dim)
        return load_codes(path, self.fingerprint, shape)


def fingerprint(network: nn.Module) -> str:
    """SHA-256 in hex of a network's numbers and their names; equal on every device."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_codes(
    path: str | Path, codes: Mapping[str, Float[Tensor, "1 layers dim"]], generator: str
) -> Path:
    """Write codes by name; generator: the fingerprint of the network that they belong to."""
    tensors = {name: w.detach().cpu().float().contiguous() for name, w in codes.items()}
    save_file(tensors, path, {"format": "pt", "config": json.dumps({"generator": generator})})
    return Path(path)


def load_codes(
    path: str | Path, generator: str, shape: tuple[int, int]
) -> dict[str, Float[Tensor, "1 layers dim"]]:
    """The codes of a file; ValueError unless it is whole and for this very generator.

    shape: layers and length of its codes.
    """
    codes, config = read(Path(path), "stored codes")
    check_made_by(config, generator)
    for name, w in codes.items():
        check_code(name, w, shape)
    return codes


def check_made_by(config: Mapping[str, Any], generator: str) -> None:
    """ValueError unless a file says that its codes are of this very generator."""
    made_by = str(config.get("generator"))
    if made_by != generator:
        raise ValueError(
            f"stored codes must be for the generator {generator[:12]}; got {made_by[:12]}. "
            "They were made with other weights than those that are loaded: start anew from the "
            "picture, or store the results again."
        )


def check_code(name: str, w: Tensor, shape: tuple[int, int]) -> None:
    """ValueError unless it is (1, layers, dim) finite numbers."""
    if tuple(w.shape) != (1, *shape) or not torch.isfinite(w).all():
        raise ValueError(
            f"{name}: a code must be {(1, *shape)} finite numbers; got {tuple(w.shape)}. "
            "Store the results again."
        )


def only(codes: Mapping[str, T]) -> T:
    """The one code of a file; ValueError for several, of which none is meant more than others."""
    if len(codes) != 1:
        raise ValueError(
            f"a latent file must hold one code; got {', '.join(codes) or 'none'}. Choose a file "
            "with one."
        )
    return next(iter(codes.values()))


def read(path: Path, what: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and configuration of a file that anybody may have made; `what` it should hold."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(
                f"file must be at most {LARGEST_FILE} bytes; got {path.stat().st_size}. "
                f"Choose one with {what}."
            )
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("config", "{}")
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"file must be a whole safetensors file; got an error: {error}. Download it again."
        ) from error
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"file must hold its configuration as JSON; got an error: {error}. Download it again."
        ) from error
    return tensors, config if isinstance(config, dict) else {}
