"""e4e and pSp checkpoints: encoder and generator in one state dict, for `psp.Encoder4Editing`
and `psp.GradualStyleEncoder`.

The file holds `state_dict` with names `encoder.*` and `decoder.*`, the average code `latent_avg`
and the training settings `opts`. Both encoders have the same names, so the settings decide which
of the two a file is for. ReStyle's single-level encoders have no pyramid and are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from weights.convert import layout
from weights.convert.irse50 import body
from weights.manifest import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "an e4e or pSp checkpoint"
ENCODERS = ("Encoder4Editing", "GradualStyleEncoder")


def convert(
    content: object, encoder: str = "Encoder4Editing"
) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of the class named `encoder` from the content of a published file."""
    if encoder not in ENCODERS:
        raise WeightsError(f"expected encoder in {ENCODERS}; got {encoder!r}; choose one of them.")
    told = layout.settings(content, "opts")
    stored = told.get("encoder_type", encoder)
    if stored != encoder:
        raise WeightsError(
            f"expected a checkpoint of {encoder}; got one of {stored}; "
            f"convert it with encoder={stored!r} if that is in {ENCODERS}."
        )
    tensors = layout.part(layout.named_tensors(content, SOURCE, "state_dict"), "encoder.")
    layout.need(tensors, ("latlayer1.weight", "styles.0.linear.weight"), SOURCE)
    widths, depths = body(tensors, SOURCE)
    styles = layout.count(tensors, "styles.{}.linear.weight")
    config: dict[str, object] = {
        "styles": styles,
        "in_channels": tensors["input_layer.0.weight"].shape[1],
        "resolution": 16 * 2 ** _convolutions(tensors, 0),
        "widths": widths,
        "depths": depths,
    }
    average = _average(content, told, styles, widths[-1])
    return layout.as_float32(tensors | {"latent_avg": average}), config


def psp(content: object) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `GradualStyleEncoder` from the content of a pSp checkpoint."""
    return convert(content, "GradualStyleEncoder")


def generator(content: object) -> dict[str, object]:
    """The generator nested in the file, as content of a StyleGAN2 checkpoint of the PyTorch port.

    `g_ema` are the tensors without the prefix, `latent_avg` one code (512,), as that port has it.
    """
    tensors = layout.part(layout.named_tensors(content, SOURCE, "state_dict"), "decoder.")
    layout.need(tensors, ("input.input", "conv1.conv.weight"), SOURCE)
    nested: dict[str, object] = {"g_ema": tensors}
    if isinstance(content, Mapping) and content.get("latent_avg") is not None:
        average = content["latent_avg"]
        nested["latent_avg"] = average.reshape(-1, average.shape[-1])[0]
    return nested


def _convolutions(tensors: Mapping[str, Tensor], style: int) -> int:
    """Stride-2 convolutions of a style block; activations take every second number."""
    found = 0
    while f"styles.{style}.convs.{2 * found}.weight" in tensors:
        found += 1
    return found


def _average(content: object, told: Mapping[str, object], styles: int, dim: int) -> Tensor:
    """What is added to the encoder's output, (styles, dim): zeros if training did not start there.

    Stored as (styles, dim), or as one code for all.
    """
    import torch

    average = content.get("latent_avg") if isinstance(content, Mapping) else None
    starts_there = bool(told.get("start_from_latent_avg", average is not None))
    if not starts_there:
        return torch.zeros(styles, dim)
    if average is None:
        raise WeightsError(
            f"expected {SOURCE} with latent_avg, as its settings say it starts from there; "
            "got none; take the complete published file."
        )
    if not isinstance(average, torch.Tensor) or average.numel() not in (dim, styles * dim):
        shape = tuple(getattr(average, "shape", ())) or type(average).__name__
        raise WeightsError(
            f"expected latent_avg of ({dim},) or ({styles}, {dim}); got {shape}; "
            "check that encoder and generator are of the same resolution."
        )
    return average.reshape(-1, dim).expand(styles, dim)
