"""Networks and plain tensors, to and from safetensors.

Files hold fp16 numbers and, as JSON under the metadata key `config`, the arguments that build the
network; in memory everything is float32, in evaluation mode and frozen. torch is imported inside
the functions, so that the command line starts without it.
"""

from __future__ import annotations

import json
import math
import os
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weights.configs import read_config, refuse_sizes, sketched
from weights.errors import WeightsError, cause
from weights.files import is_safetensors, refuse_other_formats
from weights.manifest import write_atomically
from weights.store import fetch

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_LOCK = threading.Lock()
# Networks in use, by class, name, device and manifest.
_HELD: weakref.WeakValueDictionary[tuple, nn.Module] = weakref.WeakValueDictionary()
_SHOWN = 5  # names an error lists before it only counts


def load(
    network_class: type[nn.Module],
    name: str,
    device: str | torch.device = "cpu",
    *,
    trust: bool = False,
    manifest: Path | None = None,
) -> nn.Module:
    """Build `network_class` from the configuration saved with the weight `name`, and fill it.

    Returned in float32, on `device`, in evaluation mode, without gradients. Raises `WeightsError`
    if the file is missing or damaged, or if its tensors are not exactly the network's.
    """
    path = fetch(name, trust=trust, manifest=manifest)
    return load_file(network_class, path, device)


def load_file(
    network_class: type[nn.Module], path: str | Path, device: str | torch.device = "cpu"
) -> nn.Module:
    """`load` for a safetensors file that is in no manifest, such as a training checkpoint."""
    tensors, metadata = read(path)
    if "config" not in metadata:
        raise WeightsError(
            f"expected a network with its config in {path}; got plain tensors; "
            "read it with load_tensors, or save it with weights.save(network, ...)."
        )
    config = read_config(metadata["config"], path)
    refuse_sizes(config, path)
    # First without numbers: what a config states beyond the file's own tensors costs no memory.
    with sketched(len(tensors)):
        sketch = _built(network_class, config, path, metadata)
    _check_tensors(sketch, tensors, Path(path), metadata)
    network = _built(network_class, config, path, metadata)
    network.load_state_dict(tensors)
    return network.float().to(device).eval().requires_grad_(False)


def _built(
    network_class: type[nn.Module],
    config: Mapping[str, Any],
    path: str | Path,
    metadata: Mapping[str, str],
) -> nn.Module:
    import torch

    with torch.random.fork_rng(devices=[]):  # building draws weights: leave the caller's seed alone
        try:
            return network_class(**config)
        except Exception as error:  # a constructor may fail in any way on what a file states
            raise WeightsError(
                f"expected {network_class.__name__} to accept the config of {path}; got: "
                f"{type(error).__name__}: {error}; "
                f"load it as {metadata.get('network', 'the class it was saved from')}."
            ) from cause(error)


def load_tensors(
    name: str, *, trust: bool = False, manifest: Path | None = None
) -> dict[str, Tensor]:
    """The tensors of a plain file such as boundaries or statistics: CPU, fp16 raised to float32."""
    return read(fetch(name, trust=trust, manifest=manifest))[0]


def load_config(name: str, *, trust: bool = False, manifest: Path | None = None) -> dict[str, Any]:
    """The configuration saved with a weight, {} if there is none."""
    path = fetch(name, trust=trust, manifest=manifest)
    return read_config(read(path)[1].get("config", "{}"), path)


def shared(
    network_class: type[nn.Module],
    name: str,
    device: str | torch.device = "cpu",
    *,
    manifest: Path | None = None,
) -> nn.Module:
    """`load`, once per process and device: several tabs hold the same frozen network.

    It is kept for as long as somebody holds it. Safe from several threads. Do not train, move or
    convert what is returned.
    """
    device = "cuda:0" if str(device) == "cuda" else str(device)
    key = (network_class, name, device, manifest)
    with _LOCK:  # without it two tabs opened at once would load the network twice
        network = _HELD.get(key)
        if network is None:
            network = _HELD[key] = load(network_class, name, device, manifest=manifest)
        return network


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors (CPU, fp16 raised to float32) and metadata of a safetensors file."""
    import torch
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    refuse_other_formats(path)
    if not path.is_file() or not is_safetensors(path):
        raise WeightsError(f"expected a safetensors file; got none at {path}; check the path.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except SafetensorError as error:
        raise WeightsError(
            f"expected a whole safetensors file; got {error} in {path}; fetch or save it again."
        ) from cause(error)
    half = torch.float16
    return {k: v.float() if v.dtype == half else v for k, v in tensors.items()}, metadata


def save(
    network: nn.Module | Mapping[str, Tensor],
    path: str | Path,
    card: Mapping[str, Any],
    config: Mapping[str, Any] | None = None,
    *,
    half: bool = True,
) -> Path:
    """Write a network, or named tensors, as fp16 safetensors with its model card beside it.

    `config` are the constructor's arguments, by default those recorded by PyTorchModelHubMixin.
    `card` says how it was made: recipe, seeds, minutes, device, held_out (name -> number); other
    keys are written too. `half=False` keeps float32, for statistics whose smallest values fp16
    cannot hold; running variances always keep it. Integers are kept. Raises `WeightsError` for
    numbers that are not finite.
    """
    from safetensors.torch import save as to_bytes

    path = Path(path)
    refuse_other_formats(path)
    module = hasattr(network, "state_dict")
    if module and config is None:
        config = getattr(network, "_hub_mixin_config", None)
        if config is None:
            raise WeightsError(
                f"expected the config that builds {type(network).__name__}; got none; "
                "pass config={...} with its constructor arguments."
            )
    tensors = {k: _stored(k, v, half) for k, v in _named(network).items()}
    metadata = {"format": "pt"}
    if config is not None:
        metadata["config"] = _as_json(config)
    if module:
        metadata["network"] = type(network).__name__
    write_atomically(path, to_bytes(tensors, metadata))
    write_atomically(path.with_suffix(".md"), _card(path, tensors, card, config).encode("utf-8"))
    return path


def _named(network: nn.Module | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return network.state_dict() if hasattr(network, "state_dict") else network


def _stored(name: str, tensor: Tensor, half: bool) -> Tensor:
    """A tensor as it is written: CPU, contiguous, its own memory, fp16 where it is floating."""
    import torch

    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        # A variance is a square: that of features of 256 is beyond what fp16 holds.
        half = half and not name.endswith("running_var")
        tensor = tensor.to(torch.float16 if half else torch.float32)
        if not torch.isfinite(tensor).all():
            raise WeightsError(
                f"expected finite numbers in {name}; got NaN, infinity or more than 65504 in size; "
                "look for a diverged training, or save with half=False."
            )
    return tensor.clone(memory_format=torch.contiguous_format)


def _as_json(config: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(config), sort_keys=False)
    except TypeError as error:
        raise WeightsError(
            f"expected a config of plain numbers, texts, lists and dictionaries; got: {error}; "
            "pass config={...} with the constructor arguments alone."
        ) from error


def _check_tensors(
    network: nn.Module, tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]
) -> None:
    """Raise one readable error listing missing and unexpected names and differing shapes."""
    expected = network.state_dict()
    faults = {
        "missing": [k for k in expected if k not in tensors],
        "unexpected": [k for k in tensors if k not in expected],
        "shape": [
            f"{k} expected {tuple(expected[k].shape)} got {tuple(tensors[k].shape)}"
            for k in expected
            if k in tensors and expected[k].shape != tensors[k].shape
        ],
    }
    if not any(faults.values()):
        return
    listed = "; ".join(f"{kind}: {_some(names)}" for kind, names in faults.items() if names)
    raise WeightsError(
        f"expected the tensors of {type(network).__name__}; got others in {path.name} ({listed}); "
        f"load it as {metadata.get('network', 'the class it was saved from')}, or train it again."
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _card(
    path: Path,
    tensors: Mapping[str, Tensor],
    card: Mapping[str, Any],
    config: Mapping[str, Any] | None,
) -> str:
    """The model card as Markdown: how the file was made, and what it reaches on held-out data."""
    numbers = sum(math.prod(t.shape) for t in tensors.values())
    size = os.path.getsize(path) / 1e6
    told = {key: card.get(key, "not stated") for key in ("recipe", "seeds", "minutes", "device")}
    others = {k: v for k, v in card.items() if k not in (*told, "held_out")}
    lines = [f"# {path.stem}", "", f"{numbers:,} numbers, {size:.3g} MB.", ""]
    lines += ["## How it was made", "", *_table(told | others)]
    lines += ["", "## On held-out portraits", ""]
    held_out = card.get("held_out", "not stated")
    lines += _table(held_out) if isinstance(held_out, Mapping) else [_cell(held_out)]
    if config is not None:
        lines += ["", "## Configuration", "", "```json", _as_json(config), "```"]
    return "\n".join(lines) + "\n"


def _table(values: Mapping[str, Any]) -> list[str]:
    rows = [f"| {key} | {_cell(value)} |" for key, value in values.items()]
    return ["| | |", "|---|---|", *rows]


def _cell(value: Any) -> str:
    """One value on one line: numbers to four figures, nested tables spelled out."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_cell(inner)}" for key, inner in value.items())
    return str(value).replace("|", "\\|").replace("\n", " ")
