"""EditGAN's branch learnt from labelled photographs, with the networks of another domain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import weights
from pipelines import editgan, runtime
from pipelines.editgan import EditGAN
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.psp import AtItsSize
from pipelines.networks.segmentation import SegmentationBranch
from pipelines.networks.stylegan2 import Generator
from pipelines.training import segmentation_branch
from pipelines.training.photographs import Photographs, labelled

SIDE = 64
CHANNELS = {4: 8, 8: 8, 16: 8, 32: 8, 64: 8}
PARTS = {"ground": [0, 0, 0], "sky": [90, 160, 250], "tower": [200, 80, 60]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of 60 x 40: sky above ground, a tower in the middle."""
    made = tmp_path / "labelled"
    made.mkdir()
    (made / "parts.json").write_text(json.dumps(PARTS))
    for i, suffix in enumerate((".png", ".jpg", ".webp")):
        mask = np.zeros((40, 60), np.uint8)
        mask[: 18 + i], mask[8:, 26:34] = 1, 2
        picture = np.array(list(PARTS.values()), np.uint8)[mask]
        Image.fromarray(picture).save(made / f"{i}{suffix}")
        Image.fromarray(mask).save(made / f"{i}-mask.png")
    return made


def test_pictures_and_masks_are_cropped_alike(folder: Path) -> None:
    found = labelled(folder, 40)
    assert found.parts == tuple(PARTS) and found.palette == list(PARTS.values())
    assert found.images.shape == (3, 40, 40, 3) and found.masks.shape == (3, 40, 40)
    assert set(np.unique(found.masks)) == {0, 1, 2}
    near = np.abs(found.images[0] - np.array(found.palette)[found.masks[0]]).max(-1) <= 2
    assert near.all()  # the first is lossless


@pytest.mark.parametrize("left", [0, 200])
def test_a_damaged_picture_is_named(folder: Path, left: int) -> None:
    broken = folder / "0.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (64, 64, 3), np.uint8)).save(broken)
    broken.write_bytes(broken.read_bytes()[:left])
    with pytest.raises(ValueError, match=r"0\.png must be a whole picture; got: .*take it away"):
        Photographs(folder, SIDE).images[:2]
    with pytest.raises(ValueError, match=r"0\.png must be a whole picture"):
        labelled(folder, SIDE)


def test_what_is_no_label_map_is_refused(folder: Path) -> None:
    Image.fromarray(np.full((40, 60), 9, np.uint8)).save(folder / "1-mask.png")
    with pytest.raises(ValueError, match="below 3, the parts of parts.json; got 9"):
        labelled(folder, SIDE)
    Image.new("RGB", (60, 40)).save(folder / "1-mask.png")
    with pytest.raises(ValueError, match="a label a pixel"):
        labelled(folder, SIDE)
    (folder / "1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="beside 1.jpg"):
        labelled(folder, SIDE)
    (folder / "parts.json").unlink()
    with pytest.raises(FileNotFoundError, match="parts.json"):
        labelled(folder, SIDE)


class Towers:
    """A photo domain's components: a smaller encoder, no judge, no library."""

    lacking = ""
    branch: SegmentationBranch | None = None

    def __init__(self, domain: str, paper: str, load) -> None:
        self.domain = domain
        assert (domain, paper) == ("towers", "editgan")

    def network(self, classes: dict) -> nn.Module | None:
        torch.manual_seed(0)
        component = next(iter(classes))
        if component == "generator":
            return Generator(SIDE, mapping_layers=1, channels=CHANNELS)
        if component == "editgan-encoder":
            encoder = LayerwiseEncoder(10, 32, width=8, level_size=16)
            return AtItsSize(encoder, resolution=32)
        return {"perceptual": PerceptualDistance(), "segmentation-branch": self.branch}[component]

    def judge(self) -> None:
        return None

    def tensors(self, start: str) -> dict:
        return {}


def test_the_recipe_and_the_page_on_another_domain(folder: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(segmentation_branch, "Components", Towers)
    file = tmp_path / "branch.safetensors"
    line = f"recipe --domain towers --labelled {folder} --out {tmp_path} --weights {file}"
    line += " --minutes 0.05 --embed-steps 2 --members 2 --device cpu"
    monkeypatch.setattr("sys.argv", line.split())
    segmentation_branch.main()
    branch = weights.load_file(SegmentationBranch, file)
    assert branch.parts == tuple(PARTS)

    monkeypatch.setattr(Towers, "branch", branch)
    monkeypatch.setattr(runtime, "Components", Towers)
    pipeline = EditGAN.from_pretrained("towers", device="cpu")
    embedding = pipeline.embed(Image.open(folder / "0.png"), steps=2)
    mask = embedding.mask.copy()
    mask[:9] = (mask[:9] + 1) % 3
    edit = pipeline.edit(embedding, mask, steps=2)
    assert edit.vector.domain == "towers" and edit.losses[0] > 0


def test_labels_and_domain_belong_together(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", f"recipe --domain towers --out {tmp_path}".split())
    with pytest.raises(SystemExit, match="belong together"):
        segmentation_branch.main()


def test_an_encoder_is_handed_pictures_of_its_size() -> None:
    class Seen(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    picture = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(1, 3, 1, 1)
    small = AtItsSize(Seen(), 4)(picture)
    assert small.shape == (1, 3, 4, 4)
    assert small[0, 0, 0, 0] == picture[0, 0, :2, :2].mean()
    assert AtItsSize(Seen(), 16)(picture) is picture
    assert editgan.AtItsSize is AtItsSize
