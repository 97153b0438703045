"""The configuration in a weight file: JSON, and no more than the tensors beside it bear out.

Anybody may have written a file. A stated size allocates nothing before it is known to be that of a
tensor in the file, or, where no tensor has it, to be one that pictures have.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from weights.errors import WeightsError, cause

LARGEST_SIDE = 2048  # px of a picture that a network reads or makes
LARGEST_NUMBER = 10_000_000  # any other whole number: features, words, samples
_SIDES = ("resolution", "image_size")  # ends of the names of sides
_PARTS, _FEW = 20, 2000  # modules and tensors of a network for each tensor in its file, and at all


class _TooLarge(ValueError):
    """A configuration that describes more than its file holds."""


def read_config(text: str, path: str | Path) -> dict[Any, Any]:
    """What the metadata of the file `path` states, a JSON object; raises `WeightsError` for others.

    Keys that are whole numbers become such: JSON has text keys only.
    """
    try:
        config = json.loads(text, object_hook=_integer_keys)
        if not isinstance(config, dict):
            raise ValueError(f"a {type(config).__name__}")
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            f"expected a config as a JSON object in {path}; got {error}; "
            "fetch the file again, or save it again with weights.save."
        ) from cause(error)
    return config


def refuse_sizes(config: dict[Any, Any], path: str | Path) -> None:
    """Raise `WeightsError` for sides that no picture, and numbers that no network has."""
    try:
        _check(config)
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            f"expected a config with sides up to {LARGEST_SIDE} px in {path}; got {error}; "
            "do not use this file, fetch it again from its publisher."
        ) from cause(error)


@contextlib.contextmanager
def sketched(tensors: int) -> Iterator[None]:
    """Networks that are built in the block have shapes, but no numbers, and no memory for them.

    tensors: how many their file holds; a network of many more parts is given up while it is built,
    by an error from its constructor. Other threads build whole networks meanwhile.
    """
    import torch
    from torch.nn.modules import module

    most, here, made = _FEW + _PARTS * tensors, threading.get_ident(), 0

    def count(*_: object) -> None:
        nonlocal made
        if threading.get_ident() == here:
            made += 1
            if made > most:
                raise _TooLarge(f"a network of more than {most} parts for {tensors} tensors")

    with contextlib.ExitStack() as stack:
        for register in (
            module.register_module_module_registration_hook,
            module.register_module_parameter_registration_hook,
            module.register_module_buffer_registration_hook,
        ):
            stack.callback(register(count).remove)
        stack.enter_context(torch.device("meta"))
        yield


def _check(value: object, name: str = "") -> None:
    """Raise ValueError for a size beyond all bounds, in whatever list or table it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check(key)
            _check(inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            _check(inner, name)
    elif isinstance(value, int | float):
        most = LARGEST_SIDE if name.endswith(_SIDES) else LARGEST_NUMBER
        if not abs(value) <= most:  # also what is no number
            raise ValueError(f"{name or 'a number'} of {value}, which is more than {most}")


def _integer_keys(mapping: dict[str, Any]) -> dict[Any, Any]:
    return {int(key) if key.isdecimal() else key: value for key, value in mapping.items()}
