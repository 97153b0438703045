"""Sizes that a published file states, or that few of its numbers stand for: refused, not made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch
from torch.overrides import TorchFunctionMode

from tests.convert import published_faces as faces
from tests.convert import published_stylegan2 as published
from tests.test_weights import refused
from weights.convert import convert_file, genforce, layout, nvidia, rosinality
from weights.convert.inert import OBJECTS, Record

MOST = 20_000_000  # bytes that a tensor made of a file of kilobytes may take


class Watch(TorchFunctionMode):
    """Notes the largest memory that any call of torch makes a tensor with."""

    largest = 0

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        if isinstance(result, torch.Tensor):
            with torch._C.DisableTorchFunction():
                self.largest = max(self.largest, result.untyped_storage().nbytes())
        return result


@contextlib.contextmanager
def modest() -> Iterator[None]:
    with Watch() as watch:
        yield
    assert watch.largest < MOST


def test_the_watch_notices() -> None:
    with pytest.raises(AssertionError), modest():
        torch.zeros(MOST // 2)


def without_noise(resolution: object) -> Record:
    """NVIDIA's generator, whose layers say that they have no noise, and a resolution."""

    def record(module: published.Saved) -> Record:
        state = dict(module.meta["state"])
        state["_modules"] = {name: record(part) for name, part in state["_modules"].items()}
        if "use_noise" in state:
            state["resolution"] = resolution
        return Record(OBJECTS + module.meta["class_name"], state)

    with published.published_modules():
        return record(published.nvidia_generator([8, 8], noise=False))


@pytest.mark.parametrize("stated", [40_000, 2**60, 0, -4, None, "8", 8.5])
def test_a_layer_without_noise_of_a_stated_resolution(stated) -> None:
    content = {"G_ema": without_noise(stated)}
    with modest(), refused("a resolution from 1 to 2048 px", "got"):
        nvidia.convert(content)


def test_a_mapping_whose_average_would_be_of_gigabytes() -> None:
    state = published.port_state([8, 8])
    state["style.1.weight"] = torch.zeros(12, 20_000)
    with modest(), refused("a mapping of at most 4096", "got 20000"):
        rosinality.convert({"g_ema": state})


def test_a_few_numbers_repeated_over_and_over() -> None:
    """As one average code for each of very many styles is: `expand` itself takes no memory."""
    one = torch.zeros(1000)
    styles = {f"{i}": one.expand(1000, 1000) for i in range(100)}
    with modest(), refused("about the size of the file", "400000000 bytes of 4000"):
        layout.as_float32(styles)
    held = {"latent_avg": one.half().expand(18, 1000)}
    assert layout.as_float32(held)["latent_avg"].shape == (18, 1000)


@pytest.mark.parametrize("told", ["0-99999999999", "99999999999", "5-99999999999, 3", [10**12]])
def test_layers_beyond_the_generator(told) -> None:
    content = {"boundary": torch.ones(1, 512), "meta_data": {"manipulate_layers": told}}
    with modest(), refused("layers of the boundary age in 0 to 13", "got"):
        genforce.boundaries({"age": content})


def test_a_converted_config_of_a_size_that_no_picture_has(tmp_path) -> None:
    content = faces.encoder_checkpoint("Encoder4Editing")
    for k in range(1, 12):
        weight = content["state_dict"]["encoder.styles.0.convs.0.weight"]
        content["state_dict"][f"encoder.styles.0.convs.{2 * k}.weight"] = weight
    torch.save(content | {"opts": {}}, tmp_path / "a.pt")
    with refused("resolution of 65536", "more than 2048"):
        convert_file("e4e", tmp_path / "a.pt", tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()
