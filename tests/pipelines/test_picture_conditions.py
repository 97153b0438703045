"""Conditions found in pictures: strokes by a network or by Canny, classes by a parser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import weights
from pipelines.components import Components
from pipelines.conditions import MASK, SCRIBBLE, SEEN, strokes_of
from pipelines.networks.edge_annotator import KINDS, EdgeAnnotator
from pipelines.networks.parser import FaceParser
from pipelines.picture_conditions import CANNY
from tests.pipelines.test_diffusion_inversion import build


@pytest.fixture
def picture() -> Image.Image:
    drawn = Image.new("RGB", (96, 64), "white")
    ImageDraw.Draw(drawn).rectangle((32, 16, 63, 47), fill="navy")
    return drawn


def ring(radius: float) -> np.ndarray:
    """A soft edge along a circle around the middle, 1 at its surest."""
    y, x = np.mgrid[:SEEN, :SEEN].astype(np.float32) - SEEN / 2 + 0.5
    return np.exp(-((np.hypot(x, y) - radius) ** 2) / 200)


class Ring(torch.nn.Module):
    """It sees a ring in every picture."""

    kind = "pidinet"

    def forward(self, x):
        assert x.shape == (1, 3, SEEN, SEEN) and -1 <= x.min() < x.max() <= 1
        return torch.from_numpy(ring(128.0))[None]


def test_clay_has_no_annotator_and_says_that_canny_draws(picture) -> None:
    pipeline = build()
    assert pipeline.annotator is None and pipeline.tracer == CANNY
    traced = pipeline.traced(picture, 64)
    assert traced[30, 14:19].any() and not traced[26:38, 26:38].any()


def test_strokes_follow_an_annotator_where_there_is_one(picture) -> None:
    pipeline = build(annotator=Ring())
    assert pipeline.tracer == "pidinet"
    traced = pipeline.traced(picture, 64)
    assert traced.shape == (64, 64) and traced.dtype == bool
    y, x = np.nonzero(traced)
    assert len(y) > 60 and np.abs(np.hypot(x - 31.5, y - 31.5) - 16).max() < 3


@pytest.mark.parametrize("offload", ["none", "model", "sequential"])
def test_a_network_of_pidinets_layout_draws_the_same_wherever_it_waits(picture, offload) -> None:
    torch.manual_seed(3)
    annotator = EdgeAnnotator("pidinet", 4, 4)
    pipeline = build(annotator=annotator, offload=offload)
    assert pipeline.tracer == annotator.kind
    x = torch.rand(1, 3, SEEN, SEEN, generator=torch.Generator().manual_seed(0)) * 2 - 1
    seen = Image.fromarray(((x[0] + 1) * 127.5).byte().permute(1, 2, 0).numpy())
    traced = pipeline.traced(seen, 64)
    torch.manual_seed(3)
    alone = EdgeAnnotator("pidinet", 4, 4).eval()
    exact = torch.from_numpy(np.array(seen)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        expected = strokes_of(alone(exact)[0].numpy(), 64) > 0
    assert traced.any() and (traced == expected).mean() > 0.999


def test_ridges_of_edges_are_thickened_and_weak_ones_left_out() -> None:
    drawn = strokes_of(np.maximum(ring(100.0), 0.4 * ring(220.0)), 128)
    assert set(np.unique(drawn)) == {0, 255}
    y, x = np.nonzero(drawn)
    assert np.abs(np.hypot(x - 63.5, y - 63.5) - 25).max() < 5  # the weak ring lies at 55
    assert 2 < len(y) / (2 * np.pi * 25) < 5  # pixels wide


def test_masks_of_pictures_are_read_where_there_is_a_parser(picture) -> None:
    torch.manual_seed(0)
    pipeline = build(parser=FaceParser(channels=(8, 8)))
    classes = pipeline.parsed(picture, 64)
    assert classes.shape == (64, 64) and classes.dtype == np.uint8 and classes.max() < 19
    halved = pipeline.parsed(picture, pipeline.size)
    assert (halved == classes[::2, ::2]).all()
    with pytest.raises(ValueError, match="parser must be a network; got none in clay-heads"):
        build().parsed(picture)


def test_a_picture_agrees_with_its_own_condition(picture) -> None:
    torch.manual_seed(0)
    pipeline = build(parser=FaceParser(channels=(8, 8)))
    own = pipeline.parsed(picture, 64)
    assert pipeline.agreement(picture, MASK, own) == 1
    assert pipeline.agreement(picture, MASK, (own + 1) % 19) == 0
    strokes = pipeline.traced(picture, 64).astype(np.uint8)
    assert pipeline.agreement(picture, SCRIBBLE, strokes) == pytest.approx(1)
    assert pipeline.agreement(picture, SCRIBBLE, np.roll(strokes, 20, 1)) < 0.7


def test_what_the_judge_sees_is_said_in_words(picture) -> None:
    assert build().seen(picture)["glasses"] in ("none", "round")
    assert build(judge=None).seen(picture) == {}


def test_photographs_take_pidinet_or_else_hed(monkeypatch) -> None:
    """By the manifest: neither for clay heads; the one that is usable for faces."""
    usable = {f"annotators/{kind}" for kind in KINDS}

    def fetch(name: str, **_) -> str:
        if name not in usable:
            raise weights.WeightsError(f"{name}: expected a file; got none; fetch it.")
        return name

    monkeypatch.setattr(weights, "fetch", fetch)
    asked = dict.fromkeys(KINDS, EdgeAnnotator)
    faces = Components("ffhq", "diffusion_inversion", lambda made_by, name: name)
    assert faces.network(asked) == "annotators/pidinet"
    usable.remove("annotators/pidinet")
    assert faces.network(asked) == "annotators/hed" and list(faces.missing) == ["pidinet"]
    clay = Components("clay-heads", "diffusion_inversion", lambda made_by, name: name)
    assert clay.network(asked) is None and not clay.missing
