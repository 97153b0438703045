"""Small files in the published layouts of StyleGAN2: their names and shapes, random numbers.

Written from what the published files hold, without our networks or converters. The classes that a
published pickle names are defined here, in throw-away modules that exist while it is written.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import torch


def kernel(factor=1):
    line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return line[:, None] * line[None] / 64 * factor


def drawn(*shape):
    return torch.randn(shape)


# The PyTorch port


def port_state(widths, z_dim=12, layers=3, make=drawn):
    """State dict `g_ema`; widths: channels from 4 px up."""
    state = {}

    def convolution(name, inputs, outputs, size):
        state[f"{name}.weight"] = make(1, outputs, inputs, size, size)
        state[f"{name}.modulation.weight"] = make(inputs, z_dim)
        state[f"{name}.modulation.bias"] = make(inputs) * 0.3 + 1

    def styled(name, inputs, outputs, up=False):
        convolution(f"{name}.conv", inputs, outputs, 3)
        if up:
            state[f"{name}.conv.blur.kernel"] = kernel(4)
        state[f"{name}.noise.weight"] = make(1)
        state[f"{name}.activate.bias"] = make(outputs)

    def colour(name, inputs, up=True):
        state[f"{name}.bias"] = make(1, 3, 1, 1)
        if up:
            state[f"{name}.upsample.kernel"] = kernel(4)
        convolution(f"{name}.conv", inputs, 3, 1)

    for index in range(1, layers + 1):
        state[f"style.{index}.weight"] = make(z_dim, z_dim) * 100
        state[f"style.{index}.bias"] = make(z_dim) * 30
    state["input.input"] = make(1, widths[0], 4, 4)
    styled("conv1", widths[0], widths[0])
    colour("to_rgb1", widths[0], up=False)
    for index, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False)):
        styled(f"convs.{2 * index}", inputs, outputs, up=True)
        styled(f"convs.{2 * index + 1}", outputs, outputs)
        colour(f"to_rgbs.{index}", outputs)
    for index in range(2 * len(widths) - 1):
        side = 2 ** ((index + 5) // 2)
        state[f"noises.noise_{index}"] = make(1, 1, side, side)
    return state


# NVIDIA's PyTorch code


class Saved:
    """An object that pickles itself with its source code, as torch_utils.persistence does."""

    def __init__(self, name, tensors=(), buffers=(), parts=(), source="", **said):
        parameters = {key: torch.nn.Parameter(value) for key, value in dict(tensors).items()}
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": source,
            "class_name": name,
            "state": {
                "training": False,
                "_parameters": OrderedDict(parameters),
                "_buffers": OrderedDict(buffers),
                "_non_persistent_buffers_set": set(),
                "_backward_hooks": OrderedDict(),
                "_modules": OrderedDict(parts),
                **said,
                "_init_args": (),
                "_init_kwargs": sys.modules["dnnlib.util"].EasyDict(),
            },
        }

    def __reduce__(self):
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


def dense(inputs, outputs, multiplier=1.0, bias=0.0, activation="linear"):
    tensors = {
        "weight": torch.randn(outputs, inputs) / multiplier,
        "bias": (torch.randn(outputs) * 0.3 + bias) / multiplier,
    }
    gain = multiplier / inputs**0.5
    return Saved(
        "FullyConnectedLayer",
        tensors,
        activation=activation,
        weight_gain=gain,
        bias_gain=multiplier,
    )


def nvidia_generator(widths, z_dim=12, w_dim=12, layers=3, multiplier=0.01, noise=True, source=""):
    """The object under G_ema; widths: channels from 4 px up."""

    def layer(inputs, outputs, side, up=1):
        tensors = {"weight": torch.randn(outputs, inputs, 3, 3)}
        buffers = {"resample_filter": kernel()}
        if noise:
            buffers["noise_const"] = torch.randn(side, side)
            tensors["noise_strength"] = torch.randn([])
        tensors["bias"] = torch.randn(outputs)
        affine = dense(w_dim, inputs, bias=1.0)
        said = dict(activation="lrelu", use_noise=noise, resolution=side, up=up, conv_clamp=None)
        return Saved("SynthesisLayer", tensors, buffers, {"affine": affine}, source, **said)

    def block(inputs, outputs, side):
        parts = {"conv1": layer(outputs, outputs, side)}
        if inputs:
            parts["conv0"] = layer(inputs, outputs, side, up=2)
        colour = {"weight": torch.randn(3, outputs, 1, 1), "bias": torch.randn(3)}
        affine = {"affine": dense(w_dim, outputs, bias=1.0)}
        parts["torgb"] = Saved("ToRGBLayer", colour, {}, affine, source, conv_clamp=None)
        const = {} if inputs else {"const": torch.randn(outputs, 4, 4)}
        filters = {"resample_filter": kernel()}
        return Saved("SynthesisBlock", const, filters, parts, source, architecture="skip")

    parts = {
        f"fc{index}": dense(w_dim if index else z_dim, w_dim, multiplier, activation="lrelu")
        for index in range(layers)
    }
    average = {"w_avg": torch.randn(w_dim)}
    mapping = Saved("MappingNetwork", {}, average, parts, source, z_dim=z_dim)
    sides = [4 * 2**index for index in range(len(widths))]
    blocks = {
        f"b{side}": block(inputs, outputs, side)
        for side, inputs, outputs in zip(sides, [0, *widths], widths, strict=False)
    }
    synthesis = Saved("SynthesisNetwork", {}, {}, blocks, source, img_resolution=sides[-1])
    return Saved("Generator", {}, {}, {"synthesis": synthesis, "mapping": mapping}, source)


def state_of(saved, path=""):
    """Flat state dict of an object and its parts."""
    state = saved.meta["state"]
    flat = {path + name: tensor.detach() for name, tensor in state["_parameters"].items()}
    flat |= {path + name: tensor for name, tensor in state["_buffers"].items()}
    for name, part in state["_modules"].items():
        flat |= state_of(part, f"{path}{name}.")
    return flat


# The TensorFlow code


def graph_variables(widths, z_dim=12, w_dim=12, layers=3, multiplier=0.01):
    """Variables of Gs by local name, as numpy arrays; scalars are numpy scalars."""
    table = {"lod": np.float32(0), "dlatent_avg": torch.randn(w_dim)}

    def convolution(name, inputs, outputs, size):
        table[f"{name}/weight"] = torch.randn(size, size, inputs, outputs)
        table[f"{name}/mod_weight"] = torch.randn(w_dim, inputs)
        table[f"{name}/mod_bias"] = torch.randn(inputs) * 0.3
        table[f"{name}/bias"] = torch.randn(outputs)

    def layer(name, inputs, outputs):
        convolution(name, inputs, outputs, 3)
        table[f"{name}/noise_strength"] = np.float32(np.random.default_rng(len(table)).normal())

    for index in range(layers):
        inputs = w_dim if index else z_dim
        table[f"mapping/Dense{index}/weight"] = torch.randn(inputs, w_dim) / multiplier
        table[f"mapping/Dense{index}/bias"] = torch.randn(w_dim) * 0.3 / multiplier
    for index in range(2 * len(widths) - 1):
        side = 2 ** ((index + 5) // 2)
        table[f"synthesis/noise{index}"] = torch.randn(1, 1, side, side)
    for index, width in enumerate(widths):
        name = f"synthesis/{4 * 2**index}x{4 * 2**index}"
        if index == 0:
            table[f"{name}/Const/const"] = torch.randn(1, width, 4, 4)
            layer(f"{name}/Conv", width, width)
        else:
            layer(f"{name}/Conv0_up", widths[index - 1], width)
            layer(f"{name}/Conv1", width, width)
        convolution(f"{name}/ToRGB", width, 3, 1)
    return {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in table.items()}


def tf_network(variables, source="", **settings):
    """A Network whose components hold the variables under mapping/ and synthesis/."""

    def network(name, prefix, parts, **settings):
        made = object.__new__(sys.modules["dnnlib.tflib.network"].Network)
        made.state = {
            "version": 4,
            "name": name,
            "static_kwargs": settings,
            "components": parts,
            "build_module_src": source,
            "build_func_name": "G_main",
            "variables": [
                (key.removeprefix(prefix), value)
                for key, value in variables.items()
                if key.startswith(prefix) and (prefix or "/" not in key)
            ],
        }
        return made

    parts = {
        part: network(f"G_{part}", f"{part}/", {}, dtype="float32")
        for part in ("synthesis", "mapping")
    }
    return network("Gs", "", parts, **settings)


@contextlib.contextmanager
def published_modules():
    """The modules whose names the pickles hold; they exist inside this block only."""

    class Network:
        def __getstate__(self):
            return self.state

    class EasyDict(dict):
        pass

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("a published function was called")

    held = {
        "dnnlib": {},
        "dnnlib.util": {"EasyDict": EasyDict},
        "dnnlib.tflib": {},
        "dnnlib.tflib.network": {"Network": Network},
        "torch_utils": {},
        "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
    }
    before = {name: sys.modules.get(name) for name in held}
    for name, content in held.items():
        module = types.ModuleType(name)
        for key, value in content.items():
            value.__module__, value.__qualname__ = name, key
            setattr(module, key, value)
        sys.modules[name] = module
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def write(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol))
    return path
