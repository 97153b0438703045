"""Stored scenes of SAM's page: what stands there at the start, and going on with it."""

from __future__ import annotations

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from demos.kit.bridge import Stop
from demos.kit.runs import mark
from demos.sam_inversion import PAPER, edit, example, invert, maps
from demos.sam_inversion.latents import Choice
from demos.sam_inversion.maps import PARSER, PIXELS
from demos.sam_inversion.setting import CLAY_HEADS
from examples.choosing import POOL
from examples.sam_inversion import results
from examples.sam_inversion.__main__ import CHOSEN
from examples.sam_inversion.results import STORED, Staging
from examples.stored import Stored
from pipelines.invertibility import latent_map
from tests.demos.fake_sam import LATENTS, FakeSAM
from tests.demos.preparation import serving, started
from tests.demos.shelves import stocked
from tests.demos.test_sam_page import PAGE
from tests.pipelines.test_sam_inversion import build

SCREEN = ("sam-map", "sam-map-report", "sam-compare", "sam-chart", "sam-numbers", "sam-edit-words",
          "sam-edited-other", "sam-edited-sam", "sam-edited-truth")  # fmt: skip
STAGED = ("thing", "look", "shift", "focus")


@pytest.fixture(scope="module")
def entries(shelves) -> list[Stored]:
    with stocked(shelves):
        return STORED.read("scene")


@pytest.fixture(scope="module")
def fake_sam() -> FakeSAM:
    return FakeSAM()


@pytest.fixture(scope="module")
def demo(shelves, fake_sam) -> gr.Blocks:
    return started(PAPER, PAGE, fake_sam, shelves)


@pytest.fixture(scope="module")
def served(demo):
    with serving(demo) as url:
        yield url


def predicted(part: maps._Part, shown: dict, segments: str = PARSER, zoom: float = 1) -> dict:
    """What the map does when the page tells it of its picture."""
    staged = [shown[name] for name in STAGED]
    place = (shown["x"], shown["y"], zoom)
    return part.predict(
        shown["picture"], *place, segments, shown["looked"], shown["seed"], *staged
    )  # fmt: skip


# ---- what is stored ------------------------------------------------------------------------------


def test_every_scene_has_its_pictures_its_codes_and_its_promise(entries) -> None:
    assert [entry.name for entry in entries] == list(CHOSEN["scene"])
    for entry in entries:
        names = {"picture", "truth", "sam", "hybrid", "edited-sam", "edited-hybrid"}
        labels = {"segments", "latents", "thing", "person"}
        assert names | labels | {f"error-{i}" for i in range(1, 6)} == set(entry.pictures)
        assert {entry.pictures[name].mode for name in labels} == {"P"}
        assert {"sam", "hybrid", "sam.latent_map"} < set(load_file(entry.codes))
        assert set(entry.values["verdict"]) == {"unedited", "sam", "hybrid"}
        assert entry.values["promise"] > 0 and len(entry.values["curves"]["sam"]) == 11


def test_a_stored_map_is_the_map(entries) -> None:
    seen = example.page(entries[0])["seen"]
    maps_of = FakeSAM().invertibility(seen.picture)
    assert seen.maps.latents == LATENTS and (seen.maps.segments == maps_of.segments).all()
    assert np.abs(seen.maps.errors - np.minimum(maps_of.errors, maps_of.brightest)).max() < 0.01
    for tau in (0.2, 0.4):
        # Means are kept to five digits: a segment may sit right on the threshold.
        same = seen.maps.latent_map(tau) == latent_map(maps_of, tau)
        assert same.mean() > 0.98
    assert (np.asarray(entries[0].pictures["latents"]) == seen.maps.latent_map(0.4)).mean() > 0.98


def test_a_scene_of_the_real_pipeline_on_tiny_networks(monkeypatch) -> None:
    """Nothing is trained: what is computed is whole, and judged by a number."""
    monkeypatch.setattr(results, "STEPS", 2)
    pipeline = build()
    made = results.scene(pipeline, "one", POOL[3], Staging("mug", "age", 0.5))
    assert set(pipeline.read_codes(made.codes)) == {"sam", "hybrid"}
    assert np.isfinite(results.promise(pipeline, made)) and made.values["thing"] == "mug"
    thing, person = (np.asarray(made.pictures[name]) > 0 for name in ("thing", "person"))
    assert thing.any() and person.any() and not (thing & person).any()
    assert made.pictures["truth"].tobytes() != made.pictures["picture"].tobytes()


# ---- the start of the page -----------------------------------------------------------------------


def test_the_page_starts_with_a_scene_and_nothing_is_loaded(demo, entries, fake_sam) -> None:
    assert fake_sam.calls == []
    shown = {b.elem_id: getattr(b, "value", None) for b in demo.blocks.values()}
    assert all(shown[name] for name in SCREEN)
    first = example.page(entries[0])
    assert first["words"].count("<tr") == 4 and "on the mug" in first["table"]
    assert "W+ from the encoder  |  SAM" == first["names"]


def test_the_picture_of_a_scene_is_not_looked_at_again(entries) -> None:
    shown, fake = example.page(entries[0]), FakeSAM()
    part = maps._Part(lambda: fake, CLAY_HEADS)
    assert shown["of"] == mark(shown["picture"], *example.WHOLE)
    assert predicted(part, shown) == {} and fake.calls == []
    for changed in ({"segments": PIXELS}, {"zoom": 2}):
        assert predicted(part, shown, **changed)["looked"] is None
    assert [call[0] for call in fake.calls] == ["invertibility"] * 2


def test_choosing_a_scene_fills_the_page(client, entries, fake_sam) -> None:
    before = len(fake_sam.calls)
    shown = client.predict(entries[1].name, api_name="/sam_inversion_stored_scene")
    assert fake_sam.calls[before:] == []
    texts = " ".join(str(item) for item in shown)
    assert "hand" in texts and "Light +36" in texts and "SAM, τ 0.40" in texts
    files = {path.rpartition("/")[2]: path for path in client.predict(True, api_name="/sam_files")}
    picture = Image.open(files["picture.png"])
    assert picture.tobytes() == entries[1].pictures["picture"].tobytes()
    assert set(load_file(files["latent.safetensors"])) == set(load_file(entries[1].codes))
    client.predict("principal direction 2", 0.5, api_name="/sam_edit")
    assert [call[0] for call in fake_sam.calls[before:]] == ["placed", "placed", "edit", "edit"]


# ---- going on with them --------------------------------------------------------------------------


def test_the_first_slider_reads_the_codes_once(entries) -> None:
    fake, shown = FakeSAM(), example.page(entries[0])
    part = edit._Part(lambda: fake, CLAY_HEADS)
    values = part.edit(shown["subject"], "principal direction 1", 0.5)
    kinds = [call[0] for call in fake.calls]
    assert kinds == ["placed", "placed", "edit", "edit"]
    after = values["subject"]
    assert after.entry is None and after.sam.image == shown["subject"].sam.image
    part.edit(after, "principal direction 1", -0.5)
    assert [call[0] for call in fake.calls[4:]] == ["edit", "edit"]
    assert set(values["keep"].codes) > {"sam", "hybrid"}


def test_another_threshold_goes_on_from_a_scene(entries) -> None:
    fake, shown = FakeSAM(), example.page(entries[0])
    stop, choice = Stop(), Choice(0.1, {}, shown["seen"].session)
    part = invert._Part(lambda: fake, CLAY_HEADS)
    asked = (shown["how"], shown["rival"], 20, True)
    *_, last = part.invert(shown["seen"], choice, shown["subject"], *asked, stop)
    assert last["subject"].entry is None and len(last["subject"].curves) == 3
    assert [call[0] for call in fake.calls] == ["invert", "baseline"]
    assert last["subject"].parameters["picture"]["prop"] == "mug"


def test_results_are_sent_with_codes_that_make_them_alone(entries) -> None:
    keep = example.page(entries[0])["keep"]
    assert keep.sent("hybrid").w.shape == (1, 12, 512) and keep.sent("sam").w is None
    assert keep.sent("hybrid").generator == FakeSAM().fingerprint


def test_results_go_to_this_page_and_to_others(demo) -> None:
    own = [b for b in demo.blocks.values() if getattr(b, "page", None) == PAPER.slug]
    places = [b.choices for b in own if getattr(b, "label", None) == "Use in"]
    assert len(places) == 2 and all(("Picture", "picture") in found for found in places)
    assert any(address == "indomain/invert" for _, address in places[0])
