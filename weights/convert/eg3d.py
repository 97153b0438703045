"""EG3D's published pickles (`ffhqrebalanced512-128.pkl`, ...), for `eg3d.TriPlaneGenerator`.

The file is a table with the averaged generator under `G_ema`: a tree of modules, each with its
parameters, buffers and parts. Our network has the same names, so the tensors only leave the tree.
Arguments come from the shapes, from the settings of the renderer, and from what layers say of
themselves. Settings that our renderer does not have are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from weights.convert import layout
from weights.convert.reader import Record
from weights.manifest import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "EG3D's generator for 512 pixels"
MOST_SAMPLES = 512  # along a ray; our default, 48, is the published one
UNUSED = ("dataset_label_std",)  # kept by training only
# Settings of the renderer that change pictures and have one meaning here.
MEANT = {
    "clamp_mode": ("softplus",),
    "disparity_space_sampling": (False,),
    "superresolution_noise_mode": ("none",),
    "sr_antialias": (True,),
    "white_back": (False, None),
    "density_noise": (0, None),
}


def convert(content: object) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and arguments of `TriPlaneGenerator` from the content of a published file."""
    generator = _generator(content)
    tensors = {name: value for name, value in _tensors(generator) if name not in UNUSED}
    layout.need(
        tensors,
        (
            "backbone.mapping.embed.weight", "backbone.mapping.fc0.weight",
            "backbone.synthesis.b4.const", "decoder.net.0.weight", "decoder.net.2.weight",
            "superresolution.block0.conv0.weight", "superresolution.block1.conv1.weight",
        ),
        SOURCE,
    )  # fmt: skip
    return layout.as_float32(tensors), _shapes(tensors) | _settings(generator)


def _generator(content: object) -> Record:
    """The averaged generator, checked to be of the published kind."""
    found = content.get("G_ema") if isinstance(content, Mapping) else None
    kind = found.kind if isinstance(found, Record) else type(found).__name__
    if kind != "persistence:TriPlaneGenerator":
        raise WeightsError(
            f"expected {SOURCE} under G_ema; got {kind}; check that this is the published file."
        )
    enlarger = _part(found, "superresolution").kind
    if enlarger != "persistence:SuperresolutionHybrid8XDC":
        raise WeightsError(
            f"expected {SOURCE} with SuperresolutionHybrid8XDC; got {enlarger}; "
            "take a file for 512 pixels, such as ffhqrebalanced512-128.pkl."
        )
    return found


def _state(module: object) -> Mapping[str, Any]:
    if not isinstance(module, Record) or not isinstance(module.state, Mapping):
        raise WeightsError(
            f"expected {SOURCE}: modules with a state; got {type(module).__name__}; "
            "check that this is the published file."
        )
    return module.state


def _said(module: Record, name: str) -> Any:
    """What a module states beside its tensors."""
    if name not in _state(module):
        raise WeightsError(
            f"expected {SOURCE} whose {module.kind} states its {name}; got none; "
            "check that this is the published file."
        )
    return _state(module)[name]


def _part(module: Record, path: str) -> Record:
    """A module inside a module, by its dotted path."""
    for name in path.split("."):
        parts = _state(module).get("_modules") or {}
        if name not in parts:
            raise WeightsError(
                f"expected {SOURCE} with {path}; got a part with {layout.some(list(parts))} only; "
                "check that this is the published file."
            )
        module = parts[name]
    return module


def _tensors(module: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every parameter and buffer in a tree of modules, by its dotted name."""
    state = _state(module)
    for table in ("_parameters", "_buffers"):
        for name, value in (state.get(table) or {}).items():
            if value is not None:
                yield prefix + name, value
    for name, part in (state.get("_modules") or {}).items():
        if part is not None:
            yield from _tensors(part, f"{prefix}{name}.")


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """Arguments that shapes tell."""
    synthesis, enlarger = "backbone.synthesis", "superresolution"
    pattern = synthesis + ".b{}.conv1.bias"
    levels = [2**level for level in range(2, 11) if pattern.format(2**level) in tensors]
    w_dim, channels = len(tensors["backbone.mapping.w_avg"]), len(tensors["decoder.net.0.weight"].T)
    return {
        "resolution": len(tensors[f"{enlarger}.block1.conv1.noise_const"]),
        "z_dim": tensors["backbone.mapping.fc0.weight"].shape[1]
        - len(tensors["backbone.mapping.embed.bias"]),
        "w_dim": w_dim,
        "mapping_layers": layout.count(tensors, "backbone.mapping.fc{}.weight"),
        "plane_resolution": levels[-1],
        "plane_channels": channels,
        "channels": {level: len(tensors[pattern.format(level)]) for level in levels},
        "decoder_channels": len(tensors["decoder.net.0.bias"]),
        "superresolution_channels": [
            len(tensors[f"{enlarger}.block{index}.conv1.bias"]) for index in (0, 1)
        ],
    }


def _settings(generator: Record) -> dict[str, object]:
    """Arguments that the file states beside its tensors."""
    told = _said(generator, "rendering_kwargs")
    needed = {"depth_resolution", "depth_resolution_importance", "ray_start", "ray_end", "box_warp"}
    if not isinstance(told, Mapping) or not needed <= set(told):
        got = layout.some(list(told)) if isinstance(told, Mapping) else type(told).__name__
        raise WeightsError(
            f"expected {SOURCE} with rendering_kwargs of {sorted(needed)}; got {got}; "
            "check that this is the published file."
        )
    _refuse(told)
    blind = told.get("c_gen_conditioning_zero", False)
    limits = {
        name: {_state(layer).get("conv_clamp") for layer in _layers(_part(generator, name))}
        for name in ("backbone.synthesis", "superresolution")
    }
    if limits["backbone.synthesis"] != {None} or len(limits["superresolution"]) != 1:
        raise WeightsError(
            f"expected {SOURCE}: planes without a limit, the enlargement with one; got {limits}; "
            "take one of the files that EG3D's authors published."
        )
    return {
        "mapping_lr_multiplier": _said(_part(generator, "backbone.mapping.fc0"), "bias_gain"),
        "c_scale": 0 if blind else told.get("c_scale", 0),
        "rendering_resolution": _said(generator, "neural_rendering_resolution"),
        "samples": told["depth_resolution"],
        "importance_samples": told["depth_resolution_importance"],
        "ray_start": told["ray_start"],
        "ray_end": told["ray_end"],
        "box_warp": told["box_warp"],
        "plane_axes": _axes(_said(_part(generator, "renderer"), "plane_axes")),
        "decoder_lr_multiplier": told.get("decoder_lr_mul", 1),
        "superresolution_limit": limits["superresolution"].pop(),
    }


def _refuse(told: Mapping[str, object]) -> None:
    """Raise for settings that would change the picture and have no counterpart here."""
    other = {k: told[k] for k, meant in MEANT.items() if k in told and told[k] not in meant}
    for name in ("ray_start", "ray_end"):
        if not isinstance(told[name], int | float):
            other[name] = told[name]
    for name in ("depth_resolution", "depth_resolution_importance"):
        if not isinstance(told[name], int) or not 0 <= told[name] <= MOST_SAMPLES:
            other[name] = told[name]
    if other:
        raise WeightsError(
            f"expected {SOURCE} as trained on FFHQ; got other settings, {other}; "
            "take one of the FFHQ or AFHQ files."
        )


def _layers(module: Record) -> Iterator[Record]:
    """Convolutions and colour layers in a tree of modules."""
    if "conv_clamp" in _state(module):
        yield module
    for part in (_state(module).get("_modules") or {}).values():
        if part is not None:
            yield from _layers(part)


def _axes(vectors: object) -> list[str]:
    """Coordinates along width and height of each plane, from the three axis vectors of each.

    A point is projected by the inverse of its plane's matrix of axes; its first two numbers are the
    place on the plane. In an axis-aligned plane each of them is one coordinate of the point.
    """
    import torch

    if not isinstance(vectors, torch.Tensor) or vectors.shape != (3, 3, 3):
        raise WeightsError(
            f"expected {SOURCE} with plane_axes (3, 3, 3); got "
            f"{tuple(getattr(vectors, 'shape', ()))}; check that this is the published file."
        )
    columns = torch.linalg.inv(vectors.float()).mT[:, :2]
    if not ((columns == 1).sum(dim=2) == 1).all() or not ((columns == 0).sum(dim=2) == 2).all():
        raise WeightsError(
            f"expected {SOURCE} with planes along the axes; got {vectors.tolist()}; "
            "check that this is the published file."
        )
    return ["".join("xyz"[int(i)] for i in plane.argmax(dim=1)) for plane in columns]
