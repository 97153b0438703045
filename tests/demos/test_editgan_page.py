"""The EditGAN page with a fake pipeline: each endpoint through the client, and every bad input."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gradio_client import handle_file
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import app
from demos.editgan import PAPER
from demos.editgan.paint import followed
from demos.editgan.panel import answered
from demos.editgan.session import Subject, free_name, named_after, with_library, with_scales
from demos.editgan.truth import KNOWN, truth
from demos.header.readiness import Source
from demos.kit import part_masks
from demos.kit.bridge import BOARD
from demos.kit.dials import dials
from demos.kit.painter import Painting, mask_painter
from demos.kit.portraits import TEST
from examples.clay.parts import PARTS
from tests.demos.fake_editgan import DOMAIN, GENERATOR, FakeEditGAN, face, vector
from tests.demos.visitor import Visitor, until
from weights import Domain, Page

WHOLE = (0.5, 0.5, 1)
LIP = PARTS.index("upper lip")
MASK = face()


@pytest.fixture(scope="module")
def client(served):
    """One visitor for most tests: a picture that is embedded anew forgets all edits."""
    with_session = Visitor(served)
    yield with_session
    with_session.close()


@pytest.fixture(scope="session")
def portrait(tmp_path_factory):
    """A picture with some structure, as a file."""
    y, x = np.mgrid[:128, :128]
    path = tmp_path_factory.mktemp("editgan") / "picture.png"
    Image.fromarray(np.stack([x, y, (x * y) % 255], -1).astype(np.uint8)).save(path)
    return str(path)


@pytest.fixture
def embedded(client, portrait):
    embed(client, portrait)
    return client


def embed(client, picture, seed=None, steps=10):
    return client.predict(
        handle_file(picture), *WHOLE, seed, steps, api_name="/editgan_embed"
    )  # fmt: skip


def painted(labels: np.ndarray, part: int = LIP) -> dict:
    return Painting(labels, part).value


def held(answer: dict) -> Painting:
    """What the painter was given, whether alone or among other properties."""
    return mask_painter(render=False).preprocess(answer.get("value", answer))


def labels_of(answer: dict) -> np.ndarray:
    return held(answer).labels


def larger_lip() -> np.ndarray:
    """Painted upwards over the skin alone."""
    return np.where(part_masks.moved(MASK, LIP, 0, -2) == LIP, LIP, MASK).astype(np.uint8)


def optimise(client, labels=None, chosen=(), steps=10):
    mask = painted(larger_lip() if labels is None else labels)
    return client.predict(mask, list(chosen), steps, api_name="/editgan_optimise")


NO_STROKES = {"labels": "", "part": 0}


def apply(client, *scales):
    return client.predict([list(pair) for pair in scales], NO_STROKES, api_name="/editgan_apply")


def reweigh(client, *scales):
    return client.predict([list(pair) for pair in scales], NO_STROKES, api_name="/editgan_reweigh")


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


# ---- embedding --------------------------------------------------------------------------


def test_embed_opens_picture_mask_and_library(client, portrait):
    image, report, pair, mask, opened, which, library, history, *_ = embed(client, portrait)
    assert Image.open(image).size == (128, 128) and "after 10 steps" in report
    assert (labels_of(opened) == MASK).all() and held(opened).part == LIP
    assert Image.open(mask).size == (512, 512) and len(pair) == 2
    assert history == [] and library["value"] == []
    assert [row[0] for row in library["props"]["rows"]][:2] == ["smile", "bigger eyes"]
    assert "works on 53 of 64" in library["props"]["rows"][0][1] and library["props"]["rows"][0][
        2
    ].startswith("data:image")


def test_a_picture_far_away_is_said_to_be(client, portrait, fake_editgan, monkeypatch):
    found = fake_editgan.embed(Image.open(portrait), steps=1)
    far = SimpleNamespace(psnr=9.0, lpips=1.7)
    monkeypatch.setattr(fake_editgan, "embed", lambda *_, **__: replace(found, measures=far))
    assert "far away" in embed(client, portrait)[1]


def test_a_sample_of_the_model_is_edited_without_a_search(client, fake_editgan):
    fake_editgan.calls.clear()
    found = client.predict(api_name="/editgan_sample")
    ((_, number), *_) = fake_editgan.calls
    words = next(v for v in found if isinstance(v, str) and "of the model" in v)
    assert f"Sample {number} " in words and "dB" not in words
    apply(client, ("smile", 1.0))
    files = {Path(f).name: f for f in client.predict(True, api_name="/editgan_files")}
    told = json.loads(Path(files["parameters.json"]).read_text())
    assert told["sample"] == number and told["seed"] is None and told["steps_done"] == 0
    assert (pixels(files["picture.png"]) == pixels(files["embedding.png"])).all()
    done = fake_editgan.steps_done
    report = embed(client, files["picture.png"])[1]
    assert "after 0 steps" in report and fake_editgan.steps_done == done
    assert fake_editgan.calls[-1] == ("placed",)


def test_a_sample_has_no_true_answer_and_no_seed():
    now = SimpleNamespace(image=Image.new("RGB", (128, 128)))
    for sample, words in ((7, "the model made this picture up"), (None, "a rendered portrait")):
        edits = {"smile": (vector("smile", 7), 1.0)}
        subject = Subject(now, now.image, None, WHOLE, edits, now, sample=sample)
        told = answered(subject)
        assert words in told["verdict"] and not told["answer"]["visible"]


def test_paintings_are_offered(client):
    for name in ("Poster", "Brush strokes", "Watercolour", "Lino print"):
        picture, seed = client.predict(name, api_name="/editgan_painting")
        assert Image.open(picture).size == (256, 256) and seed is None


# ---- painting ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("grow", part_masks.grown(MASK, LIP, 2)),
        ("shrink", part_masks.shrunk(MASK, LIP, 2)),
        ("move_left", part_masks.moved(MASK, LIP, -2, 0)),
        ("move_right", part_masks.moved(MASK, LIP, 2, 0)),
        ("move_up", part_masks.moved(MASK, LIP, 0, -2)),
        ("move_down", part_masks.moved(MASK, LIP, 0, 2)),
        ("fill", part_masks.filled(MASK, LIP)),
    ],
)
def test_buttons_change_the_chosen_part(client, name, expected):
    value = client.predict(painted(MASK), 2, api_name=f"/editgan_{name}")
    assert (labels_of(value) == expected).all() and held(value).part == LIP


def test_optimise_moves_the_lip_and_nothing_else(embedded, fake_editgan):
    report, pair, mask, opened, which, history, *_ = optimise(embedded)
    assert fake_editgan.calls[-1] == ("edit", ("upper lip",), 10)
    assert "Done after 10 steps" in report and "<svg" in report
    before, after = (pixels(path) for path in pair)
    moved = np.abs(before - after).sum(-1) > 0
    lips = part_masks.grown((labels_of(opened) == LIP).astype(np.uint8), 1, 3) > 0
    assert moved.any() and not moved[~lips].any()
    assert history == [["upper lip", 1.0]] and which["value"] == "upper lip"


def test_q_edit_can_be_chosen(embedded, fake_editgan):
    optimise(embedded, chosen=["upper lip", "lower lip"])
    assert fake_editgan.calls[-1][1] == ("upper lip", "lower lip")


def test_q_edit_follows_the_strokes_and_the_visitor():
    assert followed([], [], ["upper lip"]) == {"upper lip"}
    assert followed(["upper lip", "teeth"], ["upper lip"], ["upper lip", "skin"]) == {
        "upper lip", "teeth", "skin",
    }  # fmt: skip
    assert followed(["skin"], ["upper lip", "skin"], ["upper lip", "skin"]) == {"skin"}
    assert followed(None, ["upper lip"], []) == set()


def test_edits_follow_one_another(embedded):
    *_, opened, _, history, _ = optimise(embedded)[:7]
    now, low = labels_of(opened), PARTS.index("lower lip")
    again = np.where(part_masks.moved(now, low, 0, 2) == low, low, now).astype(np.uint8)
    history = optimise(embedded, again)[5]
    assert [name for name, _ in history] == ["upper lip", "lower lip"]


def test_masks_travel_as_files(embedded, tmp_path):
    path = embedded.predict(painted(larger_lip()), api_name="/editgan_mask_file")
    with Image.open(path) as file:
        assert file.mode == "P" and file.size == (512, 512)
        file.convert("RGB").resize((300, 300)).resize((512, 512)).save(tmp_path / "soft.png")
        file.convert("RGB").resize((128, 128), 0).save(tmp_path / "small.png")
    for name in (path, str(tmp_path / "small.png")):
        value = embedded.predict(handle_file(name), painted(MASK), api_name="/editgan_read_mask")
        assert (labels_of(value) == larger_lip()).all()
    value = embedded.predict(
        handle_file(str(tmp_path / "soft.png")), painted(MASK), api_name="/editgan_read_mask"
    )
    assert (labels_of(value) != larger_lip()).mean() < 0.02


@pytest.mark.parametrize(
    ("size", "colour", "words"),
    [
        ((100, 100), None, "128 x 128 pixels or a whole multiple"),
        ((256, 128), None, "128 x 128 pixels or a whole multiple"),
        ((128, 128), "#7f7f00", "colours of a mask must be those of the legend"),
    ],
)
def test_bad_mask_files(embedded, tmp_path, size, colour, words):
    background = tuple(FakeEditGAN().palette[0].tolist())
    Image.new("RGB", size, colour or background).save(tmp_path / "mask.png")
    with pytest.raises(Exception, match=words):
        embedded.predict(
            handle_file(str(tmp_path / "mask.png")), painted(MASK), api_name="/editgan_read_mask"
        )


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (MASK, "got no change. Paint first"),
        (np.zeros_like(MASK), "got background alone"),
        (MASK[:64, :64], "must be 128 x 128"),
        (np.where(MASK == LIP, 99, MASK), "labels 0 to 31; got 99"),
    ],
)
def test_masks_that_cannot_be_optimised(embedded, labels, words):
    with pytest.raises(Exception, match=words):
        optimise(embedded, labels)
    assert optimise(embedded)  # and the page keeps serving


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"labels": "not base64!", "part": 1}, "base64 text"),
        ({"labels": "AAAA", "part": 1}, "must be square; got 3"),
        ({"labels": "AAAA", "part": "lip"}, "must be a whole number below 256; got 'lip'"),
        ({"labels": "AAAA", "part": 300}, "must be a whole number below 256; got 300"),
    ],
)
def test_damaged_paintings(value, words):
    with pytest.raises(Exception, match=words):
        mask_painter(render=False).preprocess(value)


def test_nothing_is_embedded_yet(bare):
    client = Visitor(bare)
    with pytest.raises(Exception, match="Press Embed first"):
        optimise(client)
    with pytest.raises(Exception, match="Press Embed first"):
        apply(client, ("smile", 1.0))
    with pytest.raises(Exception, match="no mask yet"):
        client.predict({"labels": "", "part": 0}, 1, api_name="/editgan_grow")
    with pytest.raises(Exception, match="no picture yet"):
        client.predict(None, *WHOLE, None, 10, api_name="/editgan_embed")
    client.close()


# ---- vectors ----------------------------------------------------------------------------


def test_library_vectors_add_up_and_come_out(embedded, fake_editgan):
    report, *_, history = apply(embedded, ("smile", 0.5), ("bigger eyes", -1.0))
    assert history == [["smile", 0.5], ["bigger eyes", -1.0]]
    assert "smile +0.5, bigger eyes -1: applied in" in report
    assert fake_editgan.calls[-1] == ("apply", (("smile", 0.5), ("bigger eyes", -1.0)))
    report, *_, history = apply(embedded)
    assert history == [] and "this is the embedding" in report


def test_an_edit_is_taken_back_without_losing_the_later_ones(embedded, fake_editgan):
    optimise(embedded)
    apply(embedded, ("smile", 1.0))
    *_, opened, _, sliders = reweigh(embedded, ("smile", 1.5))
    assert fake_editgan.calls[-1] == ("apply", (("smile", 1.5),))
    assert sliders == [["smile", 1.5]]
    expected = fake_editgan.apply(fake_editgan.embed(Image.new("RGB", (128, 128)), steps=1),
                                  [(fake_editgan.library["smile"], 1.5)])  # fmt: skip
    assert (labels_of(opened) == expected.mask).all()


def test_the_picture_comes_before_its_mask(embedded):
    job = embedded.submit([["smile", 1.0]], NO_STROKES, api_name="/editgan_apply")
    job.result()
    (_, early, no_mask, *_), (_, pair, mask, *_) = job.outputs()
    assert (pixels(early[1]) == pixels(pair[1])).all()
    assert Path(mask).exists() and no_mask == {"__type__": "update"}


def test_strokes_survive_a_slider(embedded):
    strokes = MASK.copy()
    strokes[5:8, 5:8] = LIP
    *_, opened, _, _ = embedded.predict(
        [["smile", 1.0]], painted(strokes), api_name="/editgan_apply"
    )
    assert (labels_of(opened)[5:8, 5:8] == LIP).all()


def test_refinement_is_an_edit_of_its_own(embedded, fake_editgan):
    apply(embedded, ("smile", 1.0))
    report, *_, history, _ = embedded.predict(30, NO_STROKES, api_name="/editgan_refine")
    assert fake_editgan.calls[-1] == ("refine", (("smile", 1.0),), 30)
    assert "Refined after 30 steps" in report
    assert history == [["smile", 1.0], ["refinement", 1.0]]
    reweigh(embedded, ("smile", 1.0), ("refinement", 1.0))
    total = sum(scale * v.delta for v, scale in _applied(fake_editgan, embedded))
    assert total[1, 0] == 0.5


def test_a_refinement_asks_for_nothing_new(monkeypatch):
    asked = []
    monkeypatch.setattr("demos.editgan.panel.truth", lambda *of: asked.append(of) or now.image)
    now = SimpleNamespace(image=Image.new("RGB", (128, 128)), w=torch.zeros(1, 12, 512), losses=())
    subject = Subject(now, now.image, TEST.start, WHOLE, {"smile": (vector("smile", 7), 1.0)}, now)
    edit = _Edit(vector("untitled edit"), now.w + 1, (3.0, 2.0, 1.0), now.image)
    refined = subject.refined("refinement", edit, 30)
    assert list(refined.scales) == ["smile", "refinement"] and refined.asked == {"smile": 1.0}
    assert "with this change: smile." in answered(refined)["verdict"]
    assert asked == [(TEST.start, {"smile": 1.0})]
    kept = refined.renamed("refinement", "mine")
    assert kept.asked == {"smile": 1.0} and kept.made["mine"].steps_done == 3


@dataclass(frozen=True)
class _Edit:
    vector: Any
    w: Any
    losses: tuple
    image: Image.Image


def _applied(pipeline, client):
    """The vectors of the last apply, from the file that the page hands out."""
    files = client.predict(False, api_name="/editgan_files")
    codes = load_file(next(f for f in files if f.endswith(".safetensors")))
    delta = torch.from_numpy(codes["edited"] - codes["embedding"])[0]
    return [(replace(pipeline.library["smile"], delta=delta), 1.0)]


def test_vectors_are_saved_named_and_loaded(embedded, client, portrait):
    optimise(embedded)
    history, library, which, path = embedded.predict(
        "upper lip", "fuller lip", api_name="/editgan_save_vector"
    )
    (name, *_, scale), which = library["props"]["rows"][-1], which["value"]
    assert history == [["fuller lip", 1.0]] and (name, scale, which) == ("fuller lip", 1, name)
    assert Path(path).name == "fuller lip.safetensors"
    library, words = embedded.predict(handle_file(path), api_name="/editgan_read_vector")
    assert library["props"]["rows"][-1][0] == "fuller lip 2" and "fuller lip 2" in words
    *_, history = apply(embedded, ("fuller lip 2", -1.0))
    assert history == [["fuller lip 2", -1.0]]  # the slider of the first one stands at zero


def test_vectors_outlive_the_picture(embedded, portrait, tmp_path):
    path = vector("wide nose", nose_tip=3.0).save(tmp_path / "wide.safetensors")
    embedded.predict(handle_file(str(path)), api_name="/editgan_read_vector")
    library = embed(embedded, portrait)[6]
    assert library["props"]["rows"][-1][0] == "wide nose"


def test_a_vector_of_ones_own_is_deleted_and_its_edit_stays(embedded, tmp_path):
    path = vector("big ears", nose_tip=3.0).save(tmp_path / "ears.safetensors")
    embedded.predict(handle_file(str(path)), api_name="/editgan_read_vector")
    apply(embedded, ("big ears", 1.0))
    library, words = embedded.predict("big ears", api_name="/editgan_delete_vector")
    assert "Deleted" in words and "big ears" not in [r[0] for r in library["props"]["rows"]]
    *_, history = apply(embedded, ("smile", 1.0))
    assert history == [["big ears", 1.0], ["smile", 1.0]]
    for name in ("big ears", "smile"):  # gone, and of the library
        with pytest.raises(Exception, match="no such vector of your own"):
            embedded.predict(name, api_name="/editgan_delete_vector")


def test_an_edit_takes_no_name_of_ones_own_vectors(served, portrait, tmp_path):
    client = Visitor(served)
    embed(client, portrait)
    for name in ("upper lip", "refinement"):
        path = vector(name, nose_tip=3.0).save(tmp_path / f"{name}.safetensors")
        client.predict(handle_file(str(path)), api_name="/editgan_read_vector")
    assert optimise(client)[5] == [["upper lip 2", 1.0]]
    *_, history, _ = client.predict(30, NO_STROKES, api_name="/editgan_refine")
    assert [name for name, _ in history] == ["upper lip 2", "refinement 2"]
    client.close()


def _bad_vectors(folder: Path) -> dict[str, str]:
    good = vector("lip", upper_lip=1.0)
    replace(good, domain="clay-cars").save(folder / "domain.safetensors")
    replace(good, generator="0" * 64).save(folder / "generator.safetensors")
    whole = good.save(folder / "good.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (folder / "words.safetensors").write_text("no tensors at all")
    save_file({"w": np.zeros((12, 512), np.float32)}, folder / "plain.safetensors")
    return {
        "domain": "for domain clay-heads",
        "generator": "for generator",
        "cut": "whole safetensors file",
        "words": "whole safetensors file",
        "plain": "must be an editing vector",
    }


def test_bad_vector_files_say_what_is_wrong(embedded, tmp_path):
    for name, words in _bad_vectors(tmp_path).items():
        file = handle_file(str(tmp_path / f"{name}.safetensors"))
        with pytest.raises(Exception, match=words):
            embedded.predict(file, api_name="/editgan_read_vector")
    assert apply(embedded, ("smile", 1.0))


@pytest.mark.parametrize(
    ("which", "name", "words"),
    [
        ("upper lip", "smile", "named smile already"),
        ("upper lip", "", "name must be"),
        ("upper lip", "../lip", "name must be"),
    ],
)
def test_bad_names(embedded, which, name, words):
    optimise(embedded)
    with pytest.raises(Exception, match=words):
        embedded.predict(which, name, api_name="/editgan_save_vector")


def test_bad_scales(embedded):
    with pytest.raises(Exception, match="number from -2 to 2"):
        apply(embedded, ("smile", 7.0))
    with pytest.raises(Exception, match="number from -2 to 2"):
        apply(embedded, ("smile", "much"))
    with pytest.raises(Exception, match="The library has smile, bigger eyes.*; got wings"):
        apply(embedded, ("wings", 1.0))
    with pytest.raises(Exception, match="no edit to refine"):
        embedded.predict(30, NO_STROKES, api_name="/editgan_refine")
    for value in ([["smile", float("nan")]], ["smile"], [["smile", True]]):
        with pytest.raises(Exception, match="Scales must be"):
            dials(-2, 2, "", render=False).preprocess(value)


def test_the_files_hold_pictures_codes_and_parameters(client):
    picture, seed = client.predict(TEST.start, api_name="/editgan_never_seen_portrait")
    embed(client, picture, seed)
    apply(client, ("smile", 1.0))
    files = {Path(f).name: f for f in client.predict(True, api_name="/editgan_files")}
    assert {"embedding.png", "edited.png", "mask.png", "latent.safetensors"} <= files.keys()
    told = json.loads(Path(files["parameters.json"]).read_text())
    assert told["seed"] == TEST.start and told["edits"][0]["scale"] == 1.0
    assert told["edits"][0]["q_edit"] == ["upper lip", "lower lip"]
    assert told["steps"] == told["steps_done"] == 10 and told["seconds"] >= 0
    client.predict(30, NO_STROKES, api_name="/editgan_refine")
    files = {Path(f).name: f for f in client.predict(True, api_name="/editgan_files")}
    told = json.loads(Path(files["parameters.json"]).read_text())["edits"][1]
    assert told["steps"] == told["steps_done"] == 30 and told["refinement"]
    with safe_open(files["latent.safetensors"], framework="numpy") as file:
        says = json.loads(file.metadata()["config"])
    assert says == {"method": "EditGAN", "domain": DOMAIN, "generator": GENERATOR}
    pictures = client.predict(
        handle_file(files["latent.safetensors"]), api_name="/editgan_read_latent"
    )
    assert [entry["caption"] for entry in pictures] == ["edited", "embedding"]


def test_a_visitor_who_leaves_stops_the_run(portrait):
    slow = FakeEditGAN(seconds_a_step=0.05)
    demo = app.build({"editgan": lambda: slow})
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    client = Visitor(url)
    embed(client, portrait)
    job = client.submit(painted(larger_lip()), [], 300, api_name="/editgan_optimise")
    until(lambda: slow.steps_done >= 15)
    assert BOARD.running
    job.cancel()
    until(lambda: not BOARD.running)  # what ran has ended, not its page alone
    assert 15 <= slow.steps_done < 310
    client.close()
    demo.close()


def test_the_page_is_for_clay_heads_whatever_else_is_there():
    domains = [
        Domain(name, name.capitalize(), (128, 128), (), 0, 0, (Page("editgan", (), ()),))
        for name in ("clay-heads", "photos")
    ]
    demo = app.build({"editgan": FakeEditGAN}, Source(lambda: domains), [PAPER])
    choices = next(b.choices for b in demo.blocks.values() if getattr(b, "label", 0) == "Domains")
    assert [words for words, _ in choices] == [
        "Clay-heads: ready offline", "Photos: EditGAN's page edits clay heads alone",
    ]  # fmt: skip


# ---- session, truth ----------------------------------------------------------------------


def test_sliders_and_history():
    smile, eyes, mine = vector("smile"), vector("bigger eyes"), vector("upper lip")
    library = {"smile": smile, "bigger eyes": eyes}
    edits = {"smile": (smile, 1.0), "upper lip": (mine, 1.0)}
    moved = with_library(edits, {"smile": 0.5, "bigger eyes": 1.0}, library)
    assert {name: scale for name, (_, scale) in moved.items()} == {
        "smile": 0.5, "upper lip": 1.0, "bigger eyes": 1.0,
    }  # fmt: skip
    assert list(with_library(edits, {}, library)) == ["upper lip"]
    assert with_scales(edits, {"upper lip": -1.0}) == {"upper lip": (mine, -1.0)}


def test_names():
    assert free_name("lip", {"lip": 1}, {"lip 2": 1}) == "lip 3" and free_name("lip") == "lip"
    assert named_after(("upper lip",)) == "upper lip"
    assert named_after(("a", "b", "c")) == "a and b and more"


def test_true_answers():
    seed = TEST.start + 8
    assert truth(None, {"smile": 1.0}) is None and truth(seed, {"upper lip": 1.0}) is None
    assert truth(seed, {"smile": 1.0, "upper lip": 1.0}) is None and truth(seed, {}) is None
    same, smiling = truth(seed, {"smile": 0.0}), truth(seed, {"smile": 1.0})
    changed = np.abs(np.asarray(same, int) - np.asarray(smiling, int)).sum(-1) > 30
    assert 20 < changed.sum() < changed.size / 4
    assert changed[: len(changed) // 3].sum() < changed.sum() / 4  # a smile is no matter of hair


def test_a_vector_of_ones_own_has_no_true_answer():
    now = SimpleNamespace(image=Image.new("RGB", (128, 128)))
    for made, words in ((vector("smile", 7), "The true answer"), (vector("smile"), "No true")):
        subject = Subject(now, now.image, TEST.start, WHOLE, {"smile": (made, 1.0)}, now)
        assert words in answered(subject)["verdict"]


def test_every_true_answer_can_be_rendered():
    from examples.clay.parameters import check_overrides, draw, latent

    parameters = draw(latent(TEST.start), {})
    for edit in KNOWN.values():
        for scale in (-2.0, 0.5, 2.0):
            check_overrides(edit.apply(parameters, scale))
