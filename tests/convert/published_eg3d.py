"""An independent writer of EG3D's published files, tiny and with random weights.

The file is a pickle of a table whose `G_ema` is a tree of modules: most saved with the source code
of their class, the renderer, the decoder and torch's own by the name of theirs.
"""

from __future__ import annotations

import copy
import pickle
import sys
import types
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import torch

from weights.convert.reader import Record

# Axis vectors of the planes, as the published renderer keeps them.
AXES = [
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    [[1, 0, 0], [0, 0, 1], [0, 1, 0]],
    [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
]
RENDERING = {
    "image_resolution": 16, "disparity_space_sampling": False, "clamp_mode": "softplus",
    "superresolution_module": "training.superresolution.SuperresolutionHybrid8XDC",
    "c_gen_conditioning_zero": False, "gpc_reg_prob": 0.5, "c_scale": 0.8,
    "superresolution_noise_mode": "none", "density_reg": 0.25, "density_reg_p_dist": 0.004,
    "reg_type": "l1", "decoder_lr_mul": 2.0, "sr_antialias": True, "depth_resolution": 6,
    "depth_resolution_importance": 5, "ray_start": 2.3, "ray_end": 3.2, "box_warp": 1.1,
    "avg_camera_radius": 2.7, "avg_camera_pivot": [0, 0, 0.2],
}  # fmt: skip
CHANNELS = {4: 10, 8: 8, 16: 6}
W, Z, PLANE = 7, 9, 4


@dataclass
class Module:
    """One object of the tree: class, parameters, buffers, parts, and plain attributes."""

    kind: str
    parameters: dict = field(default_factory=dict)
    buffers: dict = field(default_factory=dict)
    parts: dict = field(default_factory=dict)
    attributes: dict = field(default_factory=dict)

    def record(self) -> Record:
        """As the restricted reader gives it."""
        parts = {name: part.record() for name, part in self.parts.items()}
        tables = {"_parameters": self.parameters, "_buffers": self.buffers, "_modules": parts}
        hooks = {"_backward_hooks": {}, "_forward_hooks": {}, "training": False}
        return Record(self.kind, {**hooks, **tables, **self.attributes})

    def saved(self, classes: Classes) -> object:
        """As an object that pickles like the published one."""
        state = self.record().state
        parameters = {k: torch.nn.Parameter(v) for k, v in self.parameters.items()}
        parts = {name: part.saved(classes) for name, part in self.parts.items()}
        state |= {
            "_parameters": OrderedDict(parameters),
            "_buffers": OrderedDict(self.buffers),
            "_modules": OrderedDict(parts),
        }
        if "rendering_kwargs" in state:
            settings = state["rendering_kwargs"]
            state["rendering_kwargs"] = classes.named("dnnlib.util.EasyDict", dict)(settings)
        if self.kind.startswith("persistence:"):
            return Persistent(classes, self.kind.removeprefix("persistence:"), state)
        made = object.__new__(classes.named(self.kind))
        made.__dict__.update(state)
        return made

    def named(self, prefix: str = "") -> dict[str, torch.Tensor]:
        """Tensors by their published names."""
        own = {prefix + k: v for k, v in {**self.parameters, **self.buffers}.items()}
        for name, part in self.parts.items():
            own |= part.named(f"{prefix}{name}.")
        return own


def taps() -> torch.Tensor:
    line = torch.tensor([1.0, 3, 3, 1])
    return line[:, None] * line / 64


def dense(inputs: int, outputs: int, rate: float = 1.0) -> Module:
    tensors = {"weight": torch.randn(outputs, inputs) / rate, "bias": torch.randn(outputs) / rate}
    told = {"in_features": inputs, "activation": "linear", "bias_gain": rate}
    return Module("persistence:FullyConnectedLayer", tensors, attributes=told)


def convolution(inputs: int, outputs: int, side: int, up: int, clamp: int | None) -> Module:
    return Module(
        "persistence:SynthesisLayer",
        {
            "weight": torch.randn(outputs, inputs, 3, 3),
            "noise_strength": torch.randn(()),
            "bias": torch.randn(outputs),
        },
        {"resample_filter": taps(), "noise_const": torch.randn(side, side)},
        {"affine": dense(W, inputs)},
        {"up": up, "conv_clamp": clamp, "use_noise": True},
    )


def block(inputs: int, outputs: int, side: int, colours: int, clamp: int | None) -> Module:
    parts = {
        "conv0": convolution(inputs, outputs, side, 2, clamp),
        "conv1": convolution(outputs, outputs, side, 1, clamp),
        "torgb": Module(
            "persistence:ToRGBLayer",
            {"weight": torch.randn(colours, outputs, 1, 1), "bias": torch.randn(colours)},
            parts={"affine": dense(W, outputs)},
            attributes={"conv_clamp": clamp},
        ),
    }
    tensors = {} if inputs else {"const": torch.randn(outputs, side, side)}
    if not inputs:
        del parts["conv0"]
    return Module("persistence:SynthesisBlock", tensors, {"resample_filter": taps()}, parts)


def backbone() -> Module:
    levels = {
        f"b{side}": block(CHANNELS.get(side // 2, 0), count, side, 3 * PLANE, None)
        for side, count in CHANNELS.items()
    }
    layers = {"embed": dense(25, W), "fc0": dense(Z + W, W, 0.01), "fc1": dense(W, W, 0.01)}
    parts = {
        "synthesis": Module("persistence:SynthesisNetwork", parts=levels),
        "mapping": Module("persistence:MappingNetwork", {}, {"w_avg": torch.randn(W)}, layers),
    }
    return Module("persistence:Generator", parts=parts)


def written() -> Module:
    """The whole tree, as `G_ema`."""
    torch.manual_seed(0)
    rendering = "training.volumetric_rendering"
    net = {
        "0": dense(PLANE, 8, 2.0),
        "1": Module("torch.nn.modules.activation.Softplus"),
        "2": dense(8, 1 + PLANE, 2.0),
    }
    sequence = Module("torch.nn.modules.container.Sequential", parts=net)
    enlarge = {"block0": block(PLANE, 6, 8, 3, 256), "block1": block(6, 5, 16, 3, 256)}
    march = {"ray_marcher": Module(f"{rendering}.ray_marcher.MipRayMarcher2")}
    return Module(
        "persistence:TriPlaneGenerator",
        {},
        {"dataset_label_std": torch.rand(25)},
        {
            "renderer": Module(
                f"{rendering}.renderer.ImportanceRenderer",
                parts=march,
                attributes={"plane_axes": torch.tensor(AXES, dtype=torch.float32)},
            ),
            "ray_sampler": Module(f"{rendering}.ray_sampler.RaySampler"),
            "backbone": backbone(),
            "superresolution": Module("persistence:SuperresolutionHybrid8XDC", parts=enlarge),
            "decoder": Module("training.triplane.OSGDecoder", parts={"net": sequence}),
        },
        {
            "img_resolution": 16, "neural_rendering_resolution": 5,
            "rendering_kwargs": copy.deepcopy(RENDERING), "_last_planes": None,
        },
    )  # fmt: skip


class Classes:
    """Classes and functions of the published code by name, for as long as a file is written."""

    def __init__(self, monkeypatch) -> None:
        self.monkeypatch = monkeypatch

    def named(self, path: str, base: type = object) -> type:
        """The class of that name: torch's own, or an empty one in a module made for it."""
        module, _, name = path.rpartition(".")
        if module.startswith("torch.nn."):
            return getattr(sys.modules[module], name)
        return self.member(module, name, type(name, (base,), {"__module__": module}))

    def member(self, module: str, name: str, value: object) -> object:
        """What the module has under the name, at first `value`."""
        names = module.split(".")
        for package in (".".join(names[:end]) for end in range(1, len(names) + 1)):
            if package not in sys.modules:
                self.monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
        if not hasattr(sys.modules[module], name):
            self.monkeypatch.setattr(sys.modules[module], name, value, raising=False)
        return getattr(sys.modules[module], name)

    def rebuild(self):
        """The function that a persistent object names as its maker."""

        def _reconstruct_persistent_obj(meta):
            raise AssertionError("nothing may be made from the source code in a file")

        _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
        _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
        return self.member(
            "torch_utils.persistence", "_reconstruct_persistent_obj", _reconstruct_persistent_obj
        )


class Persistent:
    """An object that is saved with source code, which here would stop whoever runs it."""

    def __init__(self, classes: Classes, name: str, state: dict) -> None:
        self.rebuild = classes.rebuild()
        source = "raise SystemExit('the source code in a weight file was run')"
        self.meta = {"type": "class", "version": 6, "module_src": source, "class_name": name}
        self.meta["state"] = state

    def __reduce__(self) -> tuple:
        return self.rebuild, (self.meta,), None


def write(tree: Module, path: Path, monkeypatch) -> None:
    """The file."""
    with monkeypatch.context() as borrowed:
        generator = tree.saved(Classes(borrowed))
        table = {"training_set_kwargs": None, "G": None, "D": None, "G_ema": generator}
        path.write_bytes(pickle.dumps(table | {"augment_pipe": None}))


def content(tree: Module) -> dict:
    """What the restricted reader makes of the file."""
    return {"G": None, "D": None, "G_ema": tree.record(), "training_set_kwargs": None}
