"""Invertibility networks of SAM inversion, for `invertibility.InvertibilityNet`.

The file holds one state dict for the DeepLab, `sd_base`, and one for each latent's head under the
latent's name (`W+`, `F4`, ...), whose layers are called `m.*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from weights.convert import layout
from weights.manifest import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "an invertibility network"
BASE = "sd_base"
# Position in the decoder without its two dropouts, and with them, as our network counts.
_DROPOUTS = {"0": "0", "1": "1", "3": "4", "4": "5", "6": "8"}


def convert(content: object) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `InvertibilityNet` from the content of a published file."""
    if not isinstance(content, Mapping) or BASE not in content or len(content) < 2:
        raise WeightsError(
            f"expected {SOURCE}: a table of {BASE} and one entry a latent; got "
            f"{layout.some(list(content)) if isinstance(content, Mapping) else type(content)}; "
            "check that this is the published file."
        )
    base = _with_dropouts(layout.named_tensors(content[BASE], SOURCE))
    layout.need(base, ("backbone.conv1.weight", "decoder.last_conv.8.weight"), SOURCE)
    latents = sorted((name for name in content if name != BASE), key=_depth)
    tensors = {f"base.{name}": tensor for name, tensor in base.items()}
    for latent in latents:
        head = layout.part(layout.named_tensors(content[latent], SOURCE), "m.")
        layout.need(head, ("0.weight", "3.weight"), f"the head of {latent} in {SOURCE}")
        tensors |= {f"heads.{latent}.{name}": tensor for name, tensor in head.items()}
    config: dict[str, object] = {
        "latents": latents,
        "width": base["backbone.conv1.weight"].shape[0],
        "depths": [
            layout.count(base, f"backbone.layer{stage}.{{}}.conv1.weight") for stage in (1, 2, 3)
        ],
    }
    return layout.as_float32(tensors), config


def _depth(latent: str) -> int:
    """Order of selection: W+ first, then the features from coarse to fine."""
    if latent == "W+":
        return 0
    if latent.startswith("F") and latent[1:].isdecimal():
        return int(latent[1:])
    raise WeightsError(
        f"expected latents W+ and F with a number; got {latent!r}; "
        "check that this is the published file."
    )


def _with_dropouts(base: dict[str, Tensor]) -> dict[str, Tensor]:
    """The base under the newer DeepLab's names: an older one has no dropouts to count."""
    prefix = "decoder.last_conv."
    if f"{prefix}8.weight" in base:
        return base
    renamed = {}
    for name, tensor in base.items():
        if name.startswith(prefix):
            position, _, rest = name.removeprefix(prefix).partition(".")
            name = f"{prefix}{_DROPOUTS.get(position, position)}.{rest}"
        renamed[name] = tensor
    return renamed
