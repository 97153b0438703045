"""Published checkpoints to safetensors, without ever running what they contain.

`reader.read` gives tensors and inert Records, a converter renames them to the names of our network,
`convert_file` does both and writes the file that `weights.load` opens. No converter is imported
before it is used.
"""

from __future__ import annotations

import importlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from weights.configs import refuse_sizes
from weights.errors import WeightsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# name in the manifest -> module:function of this package
CONVERTERS = {
    "rosinality-stylegan2": "rosinality:convert",
    "nvidia-stylegan2": "nvidia:convert",
    "tensorflow-stylegan2": "stylegan2_tf:convert",
    "genforce-stylegan1": "genforce:stylegan1",
    "genforce-indomain-encoder": "genforce:indomain_encoder",
    "genforce-boundaries": "genforce:boundaries",
    "e4e": "e4e:convert",
    "psp": "e4e:psp",
    "irse50": "irse50:convert",
    "bisenet": "bisenet:convert",
    "sam-invertibility": "invertibility:convert",
    "farl": "farl:convert",
    "biggan-deep": "biggan:convert",
    "nvidia-eg3d": "eg3d:convert",
    "torchvision-vgg16": "torchvision:vgg16",
    "pidinet": "annotators:pidinet",
    "controlnet-hed": "annotators:hed",
}
_BY_NAME = ("genforce-boundaries",)  # one file an entry: these take contents by name
_SHOWN = 3  # names an error lists before it only counts


def converter(name: str) -> Callable[..., tuple[dict[str, Tensor], dict[str, object]]]:
    """The function called `name` in the registry; raises `WeightsError` for an unknown name."""
    if name not in CONVERTERS:
        raise WeightsError(
            f"expected a converter of {sorted(CONVERTERS)}; got {name!r}; correct the manifest."
        )
    module, _, function = CONVERTERS[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), function)


def convert_file(
    converter_name: str, source: str | Path, target: str | Path, *, half: bool = False
) -> dict[str, object]:
    """Convert the published file `source` into safetensors at `target`; returns the configuration.

    The configuration, the arguments of the network's constructor, is stored as `weights.load`
    expects it. half: fp16 instead of float32. `target` is written in full or not at all. Raises
    `WeightsError` (`reader.UnsafeFile` where the file is damaged or hostile).
    """
    from weights.convert.reader import read

    make, source, target = converter(converter_name), Path(source), Path(target)
    if target.suffix != ".safetensors":
        raise WeightsError(
            f"expected a target ending in .safetensors; got {target.name}; rename it."
        )
    content = read(source)
    tensors, config = make({source.stem: content} if converter_name in _BY_NAME else content)
    metadata = {"format": "pt", "converter": converter_name, "source": source.name}
    if config:
        refuse_sizes(config, source)
        metadata["config"] = json.dumps(config)
    _write(_checked(tensors, half), target, metadata)
    return config


def _checked(tensors: Mapping[str, Tensor], half: bool) -> dict[str, Tensor]:
    """Tensors as they are written: memory of their own, one floating type, finite numbers."""
    import torch

    wanted = torch.float16 if half else torch.float32
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        kept = tensor.detach().clone(memory_format=torch.contiguous_format)
        stored[name] = kept.to(wanted) if kept.is_floating_point() else kept
    wrong = [name for name, tensor in stored.items() if not _finite(tensor)]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise WeightsError(
            f"expected finite numbers; got NaN, infinity or too large ones in "
            f"{', '.join(wrong[:_SHOWN])}{more}; fetch the file again"
            f"{', or convert it in float32' if half else ''}."
        )
    return stored


def _finite(tensor: torch.Tensor) -> bool:
    # A sum is finite only if all numbers are, and needs no mask of their size.
    return not tensor.is_floating_point() or bool(tensor.double().sum().isfinite())


def _write(tensors: Mapping[str, Tensor], target: Path, metadata: dict[str, str]) -> None:
    """Write without a copy of the whole file in memory, beside the target, then rename."""
    from safetensors.torch import save_file

    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    os.close(handle)
    try:
        save_file(dict(tensors), name, metadata)
        os.chmod(name, 0o644)  # mkstemp makes files that only their owner can read
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
