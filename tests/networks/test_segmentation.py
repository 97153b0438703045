"""The segmentation branch: without the concatenation it says what it says with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import weights
from pipelines.networks import segmentation
from pipelines.networks.segmentation import (
    MemberNorm,
    SegmentationBranch,
    feature_layout,
    features_at,
    published_widths,
)
from pipelines.networks.stylegan2 import Generator, published_channels

CHANNELS = {4: 6, 8: 6, 16: 5, 32: 3}
NAMES = ("background", "skin", "hair", "lip")
COLOURS = ((0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9))


def build(widths: tuple[int, int] = (12, 7)) -> SegmentationBranch:
    """Random weights and random running statistics."""
    torch.manual_seed(0)
    branch = SegmentationBranch(CHANNELS, NAMES, COLOURS, members=3, widths=widths)
    for name, value in [*branch.named_buffers(), *branch.named_parameters()]:
        value.data.uniform_(0.5, 1.5) if name.endswith("var") else value.data.normal_(std=0.5)
    return branch.eval().requires_grad_(False)


def maps(branch: SegmentationBranch, batch: int = 2) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(1 if name == "b4.const" else batch, c, side, side, generator=random)
        for name, (side, c) in branch.layout.items()
    }


@pytest.mark.parametrize("tile", [5, 16, 32])
def test_it_equals_the_concatenated_form(monkeypatch, tile: int) -> None:
    monkeypatch.setattr(segmentation, "TILE", tile)
    branch = build()
    features = maps(branch)
    expected = branch.concatenated(features)
    assert expected.shape == (2, 4, 32, 32) and expected.std() > 0.5
    assert torch.allclose(branch(features), expected, atol=1e-4)


@pytest.mark.parametrize("window", [(slice(0, 32), slice(31, 32)), (slice(3, 20), slice(7, 29))])
def test_a_window_is_a_part_of_the_whole(window: tuple) -> None:
    branch = build()
    features = maps(branch)
    whole = branch(features)
    assert torch.allclose(branch(features, window), whole[:, :, *window], atol=1e-5)


def test_gradients_are_those_of_the_concatenated_form() -> None:
    branch = build()
    gradients = []
    for form in (branch, branch.concatenated):
        features = {name: x.requires_grad_(True) for name, x in maps(branch).items()}
        form(features).square().sum().backward()
        gradients.append([x.grad for x in features.values()])
    for ours, expected in zip(*gradients, strict=True):
        assert torch.allclose(ours, expected, rtol=1e-3, atol=1e-3)


def test_single_pixels_have_the_upsampled_features() -> None:
    branch = build()
    features = maps(branch)
    up = [
        nn.functional.interpolate(features[n], (32, 32), mode="bilinear").expand(2, -1, -1, -1)
        for n in branch.layout
    ]
    whole = torch.cat(up, dim=1)
    picture, row, column = (torch.tensor(v) for v in ([0, 1, 1, 0], [0, 31, 9, 20], [5, 31, 0, 17]))
    found = features_at([features[n] for n in branch.layout], picture, row, column, 32)
    assert torch.allclose(found, whole[picture, :, row, column], atol=1e-5)
    logits = branch.classify(found.expand(3, -1, -1)).mean(0)
    assert torch.allclose(logits, branch(features)[picture, :, row, column], atol=1e-4)


def test_members_are_normalised_on_their_own() -> None:
    torch.manual_seed(0)
    ours, x = MemberNorm(2, 3), torch.randn(2, 16, 3) * 3 + 1
    theirs = [nn.BatchNorm1d(3) for _ in range(2)]
    expected = torch.stack([norm(part) for norm, part in zip(theirs, x, strict=True)])
    assert torch.allclose(ours(x), expected, atol=1e-5)
    assert torch.allclose(ours.running_var, torch.stack([n.running_var for n in theirs]), atol=1e-5)
    scale, shift = ours.eval().affine()
    assert torch.allclose(ours(x), x * scale[:, None] + shift[:, None], atol=1e-5)


def test_the_papers_size() -> None:
    layout = feature_layout(published_channels(512))
    assert len(layout) == 16 and sum(c for _, c in layout.values()) == 6016
    assert published_widths(31) == (128, 32) and published_widths(32) == (256, 128)


def test_the_layout_is_what_a_generator_gives() -> None:
    torch.manual_seed(0)
    generator = Generator(32, mapping_layers=1, channels=CHANNELS)
    _, features = generator.synthesis(torch.randn(1, 8, 512), features=True)
    found = {name: (x.shape[2], x.shape[1]) for name, x in features.items()}
    assert {"b4.const": (4, 6), **found} == build().layout


def test_a_file_keeps_names_and_colours(tmp_path) -> None:
    branch = build()
    file = weights.save(branch, tmp_path / "branch.safetensors", {}, half=False)
    again = weights.load_file(SegmentationBranch, file)
    assert again.parts == NAMES and np.array_equal(again.palette, COLOURS)
    features = maps(branch)
    assert torch.equal(again(features), branch(features))


def test_what_it_refuses() -> None:
    branch = build()
    features = maps(branch)
    with pytest.raises(ValueError, match="b8.conv0 must be"):
        branch({name: x for name, x in features.items() if name != "b8.conv0"})
    with pytest.raises(ValueError, match="b16.conv1 must be .*16, 16"):
        branch(features | {"b16.conv1": torch.zeros(2, 5, 8, 8)})
    with pytest.raises(RuntimeError, match="eval"):
        branch.train()(features)
    with pytest.raises(ValueError, match="colour of its own"):
        SegmentationBranch(CHANNELS, NAMES, COLOURS[:3] + COLOURS[:1])
