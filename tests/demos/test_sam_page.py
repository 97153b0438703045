"""The page of SAM inversion with a fake pipeline: each endpoint, and every bad input."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image
from safetensors.numpy import load_file

from demos.kit.imaging import psnr
from demos.kit.portraits import TEST
from demos.kit.shelf import Scene, scene_of
from demos.sam_inversion import PAPER, chart, latents
from demos.sam_inversion.maps import PARSER, PIXELS, TRUE
from demos.sam_inversion.session import Seen, thing_seen
from demos.sam_inversion.setting import CLAY_HEADS, METHODS, setting_of
from examples.clay.edits import EDITS
from examples.clay.parameters import PROPS
from pipelines.baselines import BASELINES
from pipelines.invertibility import latent_map
from tests.demos.fake_sam import LATENTS, FakeSAM
from tests.demos.preparation import serving, started

WHOLE = (0.5, 0.5, 1)
SEED = TEST.start + 15
FACE = 56  # the number of the segment in the middle of the fake's pictures
MUG = ("mug", 0.5, 0.3, 0.0)
PAGE = {"page": PAPER.page, "pipeline": PAPER.pipeline}


def build(fake: FakeSAM):
    """The app with this page's pipeline replaced; the page starts empty."""
    return started(PAPER, PAGE, fake, Path("nothing is stored here"))


@pytest.fixture(scope="module")
def fake_sam() -> FakeSAM:
    return FakeSAM()


@pytest.fixture(scope="module")
def served(fake_sam):
    with serving(build(fake_sam)) as url:
        yield url


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> str:
    """An own picture with some structure, as a file."""
    y, x = np.mgrid[:160, :160]
    path = tmp_path_factory.mktemp("sam") / "picture.png"
    Image.fromarray(np.stack([x, y, (x * y) % 255], -1).astype(np.uint8)).save(path)
    return str(path)


@pytest.fixture(scope="module")
def mug(tmp_path_factory) -> str:
    """A never-seen portrait with a mug before the face, as a file."""
    path = tmp_path_factory.mktemp("sam") / "mug.png"
    Scene(SEED, *MUG).image.save(path)
    return str(path)


def see(client, path, segments=PARSER, seed=None, staged=MUG):
    return client.predict(
        handle_file(path), *WHOLE, segments, seed, *staged, api_name="/sam_map"
    )  # fmt: skip


def run(client, tau=0.4, forced=(), how="optimise", rival="hybrid", steps=20, regularise=True):
    choice = {"tau": tau, "forced": [list(pair) for pair in forced]}
    return client.predict(choice, how, rival, steps, regularise, api_name="/sam_invert")


def edit(client, name="smile", strength=0.5):
    return client.predict(name, strength, api_name="/sam_edit")


def refused(call, *words: str) -> None:
    with pytest.raises(Exception) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value


# ---- the page ------------------------------------------------------------------------------------


def test_methods_are_those_of_the_pipeline() -> None:
    assert set(METHODS) == set(BASELINES)
    names = [attribute.name for attribute in CLAY_HEADS.attributes]
    assert names[: len(EDITS)] == list(EDITS) and names[-1] == "principal direction 4"
    smile, turn = CLAY_HEADS.attribute("smile"), CLAY_HEADS.attribute("yaw")
    assert smile.change(0.5) == 0.5 and turn.change(-0.5) == -15


def test_a_photo_domain_has_its_own_attributes_and_no_renderer() -> None:
    fake = FakeSAM(size=64, methods=("w+", "pti"))
    fake.boundaries = {"eye_glasses": replace(CLAY_HEADS.attribute("age"), low=-2.0, high=3.0)}
    at = setting_of("photos", fake)
    assert (at.side, at.rendered, at.methods) == (64, False, ("w+", "pti"))
    first = at.attributes[0]
    assert (first.label, first.change(1), first.change(-0.5)) == ("Eye glasses", 3.0, -1.0)


# ---- the prop shelf ------------------------------------------------------------------------------


def test_things_are_put_before_a_face(client) -> None:
    shown, seed = client.predict(SEED, *MUG, api_name="/sam_put")
    assert seed == SEED
    expected = Scene(SEED, *MUG)
    assert psnr(Image.open(shown).convert("RGB"), expected.image) == np.inf
    bare, held = np.asarray(Scene(SEED).image, float), np.asarray(expected.image, float)
    seen = np.asarray(expected.thing_mask) > 0
    assert seen.mean() > 0.05 and np.abs(held - bare)[seen].mean() > 20
    parts = expected.true_parts
    assert (parts[seen] == parts.max()).all() and not (parts[~seen] == parts.max()).any()
    refused(lambda: client.predict(7, *MUG, api_name="/sam_put"), "no network has seen", "got 7")


def test_a_picture_is_known_by_every_byte() -> None:
    scene = Scene(SEED, *MUG)
    assert scene_of(scene.image, SEED, *MUG) == scene
    assert scene_of(scene.image, SEED, "phone", *MUG[1:]) is None
    assert scene_of(scene.image, None, *MUG) is None
    touched = scene.image
    touched.putpixel((3, 3), (1, 2, 3))
    assert scene_of(touched, SEED, *MUG) is None


def test_the_true_answer_keeps_person_and_thing() -> None:
    scene = Scene(SEED, *MUG)
    answer, bare = scene.answer("smile", 0.8), Scene(SEED).answer("smile", 0.8)
    # The mug is where it was, but for the mouth that it leans to; the rest is the bare answer's.
    thing = np.asarray(scene.thing_mask) > 0
    assert psnr(answer, scene.image, thing) > psnr(answer, bare, thing) + 6
    top = np.s_[:40]
    assert psnr(*(Image.fromarray(np.asarray(p)[top]) for p in (answer, bare))) > 40
    assert 20 < psnr(scene.image, answer) < 45
    with pytest.raises(Exception, match="must be one of"):
        Scene(SEED, "piano")
    assert set(PROPS) >= {"mug", "phone"}


# ---- the map -------------------------------------------------------------------------------------


def test_the_map_comes_with_the_picture(client, picture) -> None:
    view, report = see(client, picture)[:2]
    shown = view["props"]
    assert shown["names"] == list(LATENTS) and view["value"]["tau"] == shown["tau"] == 0.4
    assert f"{FACE + 1} segments" in report


def test_nothing_to_see_without_a_picture(client) -> None:
    view, report = client.predict(None, *WHOLE, PARSER, None, *MUG, api_name="/sam_map")[:2]
    assert view["props"]["segments"] == "" and report == ""


def test_segments_can_be_true_or_single_pixels(client, picture, mug, fake_sam) -> None:
    view, report = see(client, mug, TRUE, SEED)[:2]
    assert fake_sam.calls[-1][1] == Scene(SEED, *MUG).true_parts.max()
    assert view["props"]["person"]
    _, report = see(client, picture, PIXELS)[:2]
    assert fake_sam.calls[-1][2] is False and "every pixel" in report
    refused(lambda: see(client, picture, TRUE), "true parts")
    refused(lambda: see(client, picture, "cars"), "cars")


def test_a_choice_makes_the_map_of_the_paper() -> None:
    image = Image.effect_noise((128, 128), 60).convert("RGB")
    maps = FakeSAM().invertibility(image)
    choice = latents.Choice(0.3, {FACE: 4}, "this")
    expected = latent_map(maps, 0.3, {FACE: "F8"})
    assert (choice.latent_map(maps, "this") == expected).all()
    assert (choice.latent_map(maps, "another") == latent_map(maps, 0.3)).all()
    start = time.thread_time()  # of this thread alone: other processes do not count
    choice.latent_map(maps, "this")
    assert time.thread_time() - start < 0.1
    refused(lambda: latents.Choice(0.3, {0: 9}).latent_map(maps, "this"), "0 to 4; got 9")


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"tau": -1.0}, "0 or more; got -1"),
        ({"tau": float("nan")}, "0 or more"),
        ({"tau": "much"}, "got 'much'"),
        ({"tau": True}, "got True"),
        ({"tau": 0.2, "forced": [[1]]}, "[segment, latent]"),
        ({"tau": 0.2, "forced": [[1, 2.5]]}, "whole numbers"),
        ({"tau": 0.2, "forced": "all"}, "must be a list"),
    ],
)
def test_bad_choices_are_refused(payload, words) -> None:
    refused(lambda: latents.LatentView(render=False).preprocess(payload), words)


def test_a_click_is_a_choice() -> None:
    view = latents.LatentView(render=False)
    assert view.preprocess(None) is None and view.preprocess({"tau": None}) is None
    choice = view.preprocess({"tau": 1, "forced": [[3, 2]], "session": "a"})
    assert choice == latents.Choice(1.0, {3: 2}, "a")


# ---- inversion -----------------------------------------------------------------------------------


def test_inversion_stands_beside_another_method(client, picture, fake_sam) -> None:
    see(client, picture)
    pair, side, plot, words, *_ = run(client)
    kinds = [call[0] for call in fake_sam.calls]
    assert kinds[-2:] == ["invert", "baseline"]
    assert pair["label"] == "W+ from the encoder  |  SAM" and len(pair["value"]) == 2
    assert "SAM, τ 0.40" in plot and plot.count("<path") == 2 and "dB" in plot
    assert "W+ from the encoder" in words and words.count("<tr") == 3
    assert "The inversion took" in words


def test_curves_and_other_methods_of_a_picture_stay(client, picture, fake_sam) -> None:
    see(client, picture)
    run(client, tau=0.4)
    before = len(fake_sam.calls)
    plot = run(client, tau=0.1)[2]
    assert [call[0] for call in fake_sam.calls[before:]] == ["invert"]  # W+ is there already
    assert plot.count("<path") == 3
    plot = run(client, tau=0.1, rival="pti")[2]
    assert plot.count("<path") == 4 and "PTI" in plot
    assert run(client, rival="none")[3].count("<tr") == 2


def test_forced_segments_and_ablations_reach_the_pipeline(client, picture, fake_sam) -> None:
    see(client, picture)
    run(client, tau=0.4, forced=[(FACE, 4)], regularise=False, rival="none")
    _, regularise, steps, chosen = fake_sam.calls[-1]
    assert (regularise, steps, chosen[64, 64]) == (False, 20, 4)
    plot = run(client, tau=9.0, how="encode", rival="e4e")[2]
    assert [call[0] for call in fake_sam.calls[-2:]] == ["encode", "baseline"]
    assert not fake_sam.calls[-2][1].any() and "SAM, encoders" in plot


def test_bad_runs_are_refused(client, picture) -> None:
    refused(lambda: run(client), "no map yet")
    refused(lambda: edit(client), "Press Invert first")
    see(client, picture)
    refused(lambda: run(client, rival="magic"), "magic")
    refused(lambda: run(client, how="pray"), "pray")
    refused(lambda: run(client, steps=10_000), "Optimisation steps")
    refused(lambda: run(client, forced=[(999, 0)]), f"segments 0 to {FACE}")


# ---- edits ---------------------------------------------------------------------------------------


def test_edits_stand_beside_the_true_answer(client, mug, fake_sam) -> None:
    see(client, mug, seed=SEED)
    words = run(client)[3]
    assert "on the mug" in words
    other, sam, truth, words = edit(client, "smile", 0.5)[:4]
    assert [call[1:] for call in fake_sam.calls if call[0] == "edit"][-2:] == [
        ("hybrid", "smile", 0.5), ("optimised", "smile", 0.5),
    ]  # fmt: skip
    answer = Image.open(truth["value"]).convert("RGB")
    assert psnr(answer, Scene(SEED, *MUG).answer("smile", 0.5)) == np.inf
    assert other["label"] == "W+ from the encoder, edited" and Path(sam).exists()
    assert "Smile +0.5" in words and words.count("<tr") == 4 and "on the mug" in words


def test_no_true_answer_of_uploads_and_directions(client, picture, mug) -> None:
    see(client, picture)
    run(client, rival="none")
    other, _, truth, words = edit(client)[:4]
    assert truth["visible"] is False and other["visible"] is False and "uploads" in words
    see(client, mug, seed=SEED)
    run(client, rival="none")
    truth, words = edit(client, "principal direction 2", -1)[2:4]
    assert truth["visible"] is False and "Direction 2 -3" in words
    refused(lambda: edit(client, "beauty"), "beauty")
    refused(lambda: edit(client, "smile", 4), "Strength")


def test_everything_can_be_taken_home(client, mug) -> None:
    see(client, mug, seed=SEED)
    run(client, tau=0.1)
    edit(client)
    paths = {Path(path).name: path for path in client.predict(True, api_name="/sam_files")}
    assert {"picture.png", "map.png", "sam.png", "hybrid.png", "edited-sam.png"} <= set(paths)
    codes = load_file(paths["latent.safetensors"])
    assert codes["sam"].shape == (1, 12, 512) and "sam.b64.conv1" in codes
    again = FakeSAM().read_codes(paths["latent.safetensors"])
    assert set(again) == {"hybrid", "sam"} and again["hybrid"].alone and not again["sam"].alone
    told = json.loads(Path(paths["parameters.json"]).read_text())
    assert told["picture"]["prop"] == "mug" and told["picture"]["seed"] == SEED
    assert (told["tau"], told["rival"], told["edit"]) == (0.1, "hybrid", {"smile": 0.5})


def test_the_code_of_a_tuned_generator_stays(client, picture) -> None:
    see(client, picture)
    run(client, tau=0.1, rival="pti")
    paths = {Path(path).name: path for path in client.predict(True, api_name="/sam_files")}
    assert "pti.png" in paths and "pti" not in load_file(paths["latent.safetensors"])


# ---- documented functions ------------------------------------------------------------------------


def test_documented_functions_follow_one_another(client, picture, fake_sam) -> None:
    own = handle_file(picture)
    shown, errors, told = client.predict(own, 0.3, api_name="/sam_inversion_map")
    assert Image.open(shown).size == (128, 128) and len(errors) == len(LATENTS)
    assert sum(told["shares"].values()) == pytest.approx(1, abs=1e-3) and told["tau"] == 0.3
    before = len(fake_sam.calls)
    shown, told, latent = client.predict(own, "optimised", 0.1, 7, api_name="/sam_inversion_invert")
    assert told["steps"] == 7 and told["shares"]["F8"] > 0 and "sam" not in load_file(latent)
    assert [call[0] for call in fake_sam.calls[before:]] == ["invertibility", "invert"]
    before = len(fake_sam.calls)
    _, told, again = client.predict(
        handle_file(latent), "smile", -0.5, api_name="/sam_inversion_edit"
    )
    assert [call[0] for call in fake_sam.calls[before:]] == ["placed", "edit"]
    assert told["change"] == -0.5 and set(load_file(again)) == set(load_file(latent))
    lists = client.predict(api_name="/sam_inversion_lists")
    assert list(lists["latents"]) == list(LATENTS) and lists["attributes"]["yaw"]["to"] == 30


# ---- curves --------------------------------------------------------------------------------------


def test_a_trail_measures_pictures_as_they_come() -> None:
    image = Image.effect_noise((128, 128), 60).convert("RGB")
    trail = chart.Trail(image)
    fake = FakeSAM()
    chosen = np.zeros((128, 128), np.uint8)
    fake_run = trail.watching(
        lambda seen: fake.invert(image, chosen=chosen, steps=40, on_step=seen)
    )
    fake_run(lambda step: False)
    seconds, levels = zip(*trail.points, strict=True)
    assert len(levels) == 4 and list(seconds) == sorted(seconds)
    assert list(levels) == sorted(levels)  # the fake's pictures come nearer


def test_curves_are_drawn_within_their_axes() -> None:
    assert chart.figure({}) == "" and chart.figure({"a": []}) == ""
    drawn = chart.figure({"SAM <1>": [(1, 20.0), (7, 25.0)], "e4e": [(0.2, 18.0)]})
    assert "SAM &lt;1&gt;" in drawn and drawn.count("<path") == 2 and ">8<" in drawn
    assert "e4e 18.0 dB after 0.2 s" in drawn


def test_a_picture_of_a_scene_knows_its_thing() -> None:
    scene = Scene(SEED, *MUG)
    assert (thing_seen(scene, WHOLE, 128) == (np.asarray(scene.thing_mask) > 0)).mean() > 0.99
    assert thing_seen(Scene(SEED), WHOLE, 128) is None and thing_seen(None, WHOLE, 128) is None
    assert Seen(scene.image, None, None, WHOLE, PARSER, "s").truth("smile", 1) is None
