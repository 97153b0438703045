"""Checkpoints on disk: the last two are kept, each whole or not at all.

A checkpoint is a pair of files, checkpoint-STEP.safetensors (networks) and .pt (optimisers and
progress), the second of which appears last. Both reach the disk itself before the one before the
last is deleted, so that a full disk or a power cut costs the minutes since the last one.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

KEPT = 2  # checkpoints
# What reading a file ends in that was cut short or is none of ours.
BROKEN = (OSError, EOFError, RuntimeError, KeyError, pickle.UnpicklingError, SafetensorError)


def write(out: Path, step: int, tensors: Mapping[str, Tensor], others: Mapping[str, Any]) -> None:
    """Write a checkpoint, then delete all but the last `KEPT`; OSError where it cannot be written.

    others: what `torch.load(weights_only=True)` reads.
    """
    stem = out / f"checkpoint-{step:08d}"
    _whole(stem.with_suffix(".safetensors"), lambda path: save_file(dict(tensors), path))
    _whole(stem.with_suffix(".pt"), lambda path: torch.save(dict(others), path))
    stems = {path.stem for path in _found(out)[-KEPT:]}
    for old in out.glob("checkpoint-*"):
        if old.stem not in stems:
            old.unlink()


def newest(out: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest checkpoint that can be read; None where there is none.

    A damaged one is named, and the one before is read. ValueError where all are damaged.
    """
    found = _found(out)
    for path in reversed(found):
        try:
            tensors = load_file(path.with_suffix(".safetensors"))
            return tensors, torch.load(path, map_location="cpu", weights_only=True)
        except BROKEN as error:
            print(f"{path.stem} in {out} is damaged ({_short(error)})", file=sys.stderr)
    if found:
        raise ValueError(
            f"{out} must hold a whole checkpoint; got {len(found)} that cannot be read, the newest "
            f"{found[-1].name}. Delete them to begin anew, or restore one."
        )
    return None


def _found(out: Path) -> list[Path]:
    """The second file of each checkpoint, the oldest first."""
    return sorted(out.glob("checkpoint-*.pt"))


def _whole(path: Path, save: Callable[[Path], None]) -> None:
    """A file that appears when all of it is on the disk."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        save(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:  # also of a full disk
        partial.unlink(missing_ok=True)
        raise OSError(
            f"{path} must be written whole; got: {_short(error)}. Free some space and run the same "
            "command again: it goes on from the checkpoint before."
        ) from error


def _short(error: BaseException) -> str:
    """The first line of what went wrong."""
    return (str(error) or type(error).__name__).splitlines()[0]
