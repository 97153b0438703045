"""Recipes on generators of any size, with a domain's own weights and with photographs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import weights
from pipelines.networks import stylegan1, stylegan2
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.training import (
    boundaries,
    conventional_encoder,
    editgan_encoder,
    indomain_encoder,
)
from pipelines.training.loop import Loop
from pipelines.training.photographs import Photographs, pictures

SIDE, DIM = 64, 16
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    """Weights of a generator of 64 px whose codes have 16 numbers, and four photographs."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("shelf")
    channels = {str(2**k): 8 for k in range(2, 7)}
    generator = stylegan2.Generator(SIDE, DIM, DIM, mapping_layers=1, channels=channels)
    judge = PortraitJudge({"hat": 2}, ("age",), channels=(4, 8, 8), embedding=16)
    for name, network in (
        ("generator", generator), ("perceptual", PerceptualDistance()), ("judge", judge),
    ):  # fmt: skip
        weights.save(network, folder / f"{name}.safetensors", {})
    (folder / "photographs" / "below").mkdir(parents=True)
    random = np.random.default_rng(0)
    for i, name in enumerate(("a.png", "b.jpg", "below/c.webp", "below/d.PNG")):
        noise = random.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        picture = Image.fromarray(noise).resize((80 + 9 * i, 70), Image.Resampling.BICUBIC)
        picture.save(folder / "photographs" / name)
    (folder / "photographs" / "notes.txt").write_text("no picture")
    return folder


def run(monkeypatch, recipe, shelf: Path, out: Path, *words: str) -> Path:
    """The weights that a recipe writes when it is run by its command line."""
    line = ["recipe", "--out", str(out), "--device", "cpu", "--weights", str(out / "w.safetensors")]
    line += ["--generator", str(shelf / "generator.safetensors"), *words]
    monkeypatch.setattr("sys.argv", line)
    recipe.main()
    return out / "w.safetensors"


def test_the_conventional_encoder_of_a_generator_of_any_size(monkeypatch, shelf, tmp_path) -> None:
    words = ["--minutes", "0.005", "--batch", "2", "--width", "4"]
    words += ["--validation", str(shelf / "photographs")]
    words += ["--perceptual", str(shelf / "perceptual.safetensors")]
    file = run(monkeypatch, conventional_encoder, shelf, tmp_path, *words)
    encoder = weights.load_file(LayerwiseEncoder, file)
    assert (encoder.resolution, encoder.num_ws, encoder.w_dim) == (SIDE, 10, DIM)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert set(found) == {"unexplained share of w", "psnr", "lpips"} and found["psnr"] > 0


@pytest.mark.parametrize("recipe", [indomain_encoder, editgan_encoder])
def test_encoders_that_need_pictures_take_photographs(monkeypatch, shelf, tmp_path, recipe) -> None:
    photographs = str(shelf / "photographs")
    words = ["--minutes", "0.01", "--batch", "2", "--width", "4", "--data", photographs]
    words += ["--perceptual", str(shelf / "perceptual.safetensors"), "--validation", photographs]
    if recipe is indomain_encoder:
        words += ["--adversarial-from", "0", "--calibration", str(tmp_path / "c.safetensors")]
    encoder = weights.load_file(LayerwiseEncoder, run(monkeypatch, recipe, shelf, tmp_path, *words))
    assert (encoder.resolution, encoder.num_ws, encoder.w_dim) == (SIDE, 10, DIM)
    assert "4 pictures" in (tmp_path / "w.md").read_text()
    if recipe is indomain_encoder:
        distances = weights.modules.read(tmp_path / "c.safetensors")[0]["distance"]
        assert len(distances) == indomain_encoder.QUANTILES and (distances.diff() >= 0).all()


def test_boundaries_of_a_generator_of_any_size(monkeypatch, shelf, tmp_path) -> None:
    edits = dict(list(boundaries.EDITS.items())[:2])
    monkeypatch.setattr(boundaries, "EDITS", edits)
    monkeypatch.setattr(boundaries, "judged", lambda output: output.embedding[:, :2])
    words = ["--judge", str(shelf / "judge.safetensors"), "--count", "64", "--samples", "4"]
    file = run(monkeypatch, boundaries, shelf, tmp_path, *words)
    found = weights.modules.read(file)[0]
    for name in edits:
        assert found[f"{name}.normal"].norm() == pytest.approx(1, abs=1e-3)
        assert found[f"{name}.normal"].shape == (DIM,) and found[f"{name}.layers"].shape == (10,)


def test_codes_of_their_own_for_every_layer(tmp_path) -> None:
    """The generators published with in-domain inversion have a layer-wise mapping."""
    torch.manual_seed(0)
    channels = {2**k: 8 for k in range(2, 6)}
    generator = stylegan1.Generator(
        32, DIM, DIM, mapping_layers=2, mapping_dim=DIM, layerwise_mapping=True, channels=channels
    )
    generator.eval().requires_grad_(False)
    loop = Loop(tmp_path, 0.005, "cpu", progress=False)
    arg = argparse.Namespace(start=None, width=4, rate=1e-3, batch=2)
    encoder = conventional_encoder.train(arg, loop, generator)
    assert encoder(torch.zeros(1, 3, 32, 32)).shape == (1, generator.num_ws, DIM)
    assert encoder.w_mean.isfinite().all() and encoder.w_mean.abs().max() > 0


def test_a_discriminator_for_every_size() -> None:
    generator = stylegan2.Generator(256, 8, 8, 1, {2**k: 4 for k in range(2, 9)})
    networks = {"generator": generator, "perceptual": PerceptualDistance()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indomain_encoder, "network_of", lambda arg, name, device: networks[name])
        arg = argparse.Namespace(start=None, width=4)
        *_, encoder, discriminator = indomain_encoder.build(arg, argparse.Namespace(device=CPU))
    assert encoder.resolution == 256 and discriminator(torch.zeros(1, 3, 256, 256)).shape[0] == 1


@pytest.mark.parametrize(
    ("domain", "option", "network", "name"),
    [
        ("ffhq", "generator", stylegan1.Generator, "ffhq/stylegan1-generator"),
        ("ffhq", "perceptual", PerceptualDistance, "perceptual/vgg16"),
        ("lsun-cat", "generator", stylegan2.Generator, "lsun-cat/generator"),
        ("clay-heads", "generator", stylegan2.Generator, "clay-heads/generator"),
        ("clay-heads", "judge", PortraitJudge, "clay-heads/judge"),
    ],
)
def test_a_domain_names_its_networks(monkeypatch, domain, option, network, name) -> None:
    asked = []

    def load(network_class, name, device, **options):
        asked.append((network_class, name, options.get("trust", False)))
        return nn.Conv2d(3, 3, 1)

    monkeypatch.setattr(weights, "load", load)
    parser = argparse.ArgumentParser()
    indomain_encoder.network_options(parser, option)
    indomain_encoder.network_of(parser.parse_args(["--domain", domain]), option, CPU)
    assert asked == [(network, name, domain == "clay-heads")]


def test_a_domain_without_a_judge_of_attributes_says_so() -> None:
    arg = argparse.Namespace(domain="ffhq", judge=None)
    with pytest.raises(
        weights.WeightsError, match="expected a judge.*ffhq; got none; give --judge"
    ):
        indomain_encoder.network_of(arg, "judge", CPU)


def test_photographs_are_read_as_a_rendered_set_is(shelf, tmp_path) -> None:
    found = pictures(shelf / "photographs", SIDE)
    assert isinstance(found, Photographs) and len(found) == 4
    some = found.images[np.array([1, 3])]
    assert some.shape == (2, SIDE, SIDE, 3) and some.dtype == np.uint8
    assert np.array_equal(found.images[1:4:2], some)
    with pytest.raises(FileNotFoundError, match="must hold pictures"):
        pictures(tmp_path, SIDE)


def test_a_rendered_set_must_have_the_generators_size(tmp_path) -> None:
    from examples.clay.dataset import write

    write(tmp_path, "train", 2, size=32)
    assert len(pictures(tmp_path, 32)) == 2
    with pytest.raises(ValueError, match="of 64 px.*got 32 px. Render with --size 64"):
        pictures(tmp_path, SIDE)
