"""What the converters of published checkpoints share: named tensors in, float32 tensors out.

A converter is a renaming: it takes content that is already read, infers the constructor's arguments
from the shapes and gives tensors under the names of our network. What it cannot explain is an
error, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from weights.configs import LARGEST_SIDE
from weights.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_SHOWN = 3  # names an error lists before it only counts
_GROWTH, _SLACK = 8, 64 * 2**20  # bytes of the result for each byte of the file, and at all
_PARALLEL = "module."  # put before every name by a network that was trained on several devices


def named_tensors(content: object, source: str, *keys: str) -> dict[str, Tensor]:
    """The tensors in `content`, or in the table that one of `keys` leads to, by name.

    source: what the file was expected to be, for the error.
    """
    import torch

    table = content
    if isinstance(content, Mapping):
        table = next((content[key] for key in keys if key in content), content)
    if not isinstance(table, Mapping) or not table:
        raise WeightsError(
            f"expected {source}: tensors by name; got {_kind(content)}; "
            "check that this is the published file."
        )
    wrong = [name for name, value in table.items() if not isinstance(value, torch.Tensor)]
    if wrong:
        raise WeightsError(
            f"expected {source}: tensors by name; got other values under {some(wrong)}; "
            "check that this is the published file."
        )
    parallel = all(name.startswith(_PARALLEL) for name in table)
    return {name[len(_PARALLEL) :] if parallel else name: table[name] for name in table}


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def settings(content: object, key: str) -> dict[str, object]:
    """Training settings stored beside the weights, as a table or an inert record; {} if absent."""
    value = content.get(key, {}) if isinstance(content, Mapping) else {}
    value = getattr(value, "state", value)
    return dict(value) if isinstance(value, Mapping) else {}


def need(tensors: Mapping[str, Tensor], names: Iterable[str], source: str) -> None:
    """Raise `WeightsError` unless all names are there."""
    missing = [name for name in names if name not in tensors]
    if missing:
        raise WeightsError(
            f"expected {source}; got a file without {some(missing)} "
            f"but with {some(list(tensors)) or 'nothing'}; check that this is the published file."
        )


def count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """How many i, from 0 on without a gap, have a tensor named pattern.format(i)."""
    found = 0
    while pattern.format(found) in tensors:
        found += 1
    return found


def as_float32(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor contiguous, floating ones in float32, every batch normalisation complete.

    Files older than torch 0.4.1 lack the counter of batches, which no evaluation reads. Raises
    `WeightsError` for tensors that repeat a few numbers of the file over and over.
    """
    import torch

    _refuse_growth(tensors)
    done: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        done[name] = (tensor.float() if tensor.is_floating_point() else tensor).contiguous()
        if name.endswith("running_var"):
            counter = name.removesuffix("running_var") + "num_batches_tracked"
            done.setdefault(counter, tensors.get(counter, torch.tensor(0)))
    return done


def side(stated: object, source: str) -> int:
    """A resolution [px] that a file states beside its tensors, before anything of it is made."""
    if not isinstance(stated, int) or not 1 <= stated <= LARGEST_SIDE:
        raise WeightsError(
            f"expected {source} with a resolution from 1 to {LARGEST_SIDE} px; got {stated!r}; "
            "do not use this file, fetch it again from its publisher."
        )
    return stated


def _refuse_growth(tensors: Mapping[str, Tensor]) -> None:
    stores = {name: tensor.untyped_storage() for name, tensor in tensors.items()}
    held = {store.data_ptr() or name: store.nbytes() for name, store in stores.items()}
    made = sum(t.numel() * max(4, t.element_size()) for t in tensors.values())
    if made > _GROWTH * sum(held.values()) + _SLACK:
        raise WeightsError(
            f"expected tensors of about the size of the file; got {made} bytes of "
            f"{sum(held.values())}; do not use this file, fetch it again from its publisher."
        )


def some(names: list[str]) -> str:
    """A few of the names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(str, names[:_SHOWN])) + more


def _kind(content: object) -> str:
    if isinstance(content, Mapping):
        return f"a table of {some(list(content)) or 'nothing'}"
    return type(content).__name__
