"""The page of diffusion-driven inversion with a fake pipeline: endpoints and every bad input."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from gradio_client import handle_file
from PIL import Image
from safetensors.numpy import load_file

from demos.diffusion_inversion import PAPER, inside, layers, truth
from demos.diffusion_inversion.ask import EXAMPLES
from demos.diffusion_inversion.session import Asked, Subject
from demos.diffusion_inversion.setting import CLAY_HEADS, NAMES, setting_of
from demos.kit.bridge import BOARD
from demos.kit.downloads import Keepsake
from demos.kit.handover import Exchange
from demos.kit.imaging import psnr
from demos.kit.inputs import portrait_input
from demos.kit.painter import Painting
from demos.kit.prompts import CLAY_GROUPS, MOST, prompt_box
from demos.kit.runs import mark
from demos.papers import PAPERS
from examples.clay.parts import PALETTE
from examples.diffusion_inversion.results import MASK, SCRIBBLE
from pipelines.latents import save_codes
from tests.demos.fake_diffusion import STYLES, FakeDiffusion
from tests.demos.fake_mm2latent import FakeMM2Latent
from tests.demos.fake_pipeline import FakeInDomain
from tests.demos.preparation import serving, started
from tests.demos.visitor import until

WHOLE = (0.5, 0.5, 1)
MASKED = np.eye(128, dtype=np.uint8)
SEED = EXAMPLES[0].seed
PAGE = {"page": "demos.diffusion_inversion.page:build"}


def build(fake: FakeDiffusion):
    """The app with this page switched on, and no stored results."""
    return started(PAPER, PAGE, fake, Path("nothing is stored here"))


@pytest.fixture(scope="module")
def fake_diffusion() -> FakeDiffusion:
    return FakeDiffusion()


@pytest.fixture(scope="module")
def served(fake_diffusion):
    with serving(build(fake_diffusion)) as url:
        yield url


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> str:
    """An own picture with a square in it, as a file."""
    pixels = np.full((160, 160, 3), 230, np.uint8)
    pixels[40:120, 40:120] = (40, 60, 90)
    path = tmp_path_factory.mktemp("diffusion") / "picture.png"
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.fixture(scope="module")
def portrait(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("diffusion") / "portrait.png"
    truth.picture_of(SEED, WHOLE).save(path)
    return str(path)


def labels(value: np.ndarray | None = None) -> dict:
    """What a painter's browser sends."""
    value = np.zeros((128, 128), np.uint8) if value is None else value
    return {"labels": base64.b64encode(value.tobytes()).decode(), "part": 1}


def ink() -> dict:
    drawn = np.zeros((128, 128), np.uint8)
    drawn[20:100, 60:64] = 1
    return labels(drawn)


def generate(
    client, prompt="red hair", kind=MASK, mask=None, pad=None, noise=0, strength=1, picture=None,
    seed=None, steps=20,
):  # fmt: skip
    mask, pad = mask or labels(), pad or labels()
    shown = None if picture is None else handle_file(picture)
    return client.predict(
        prompt, kind, mask, pad, noise, strength, shown, *WHOLE, seed, steps,
        api_name="/diffusion_generate",
    )  # fmt: skip


def refused(call, *words: str) -> None:
    with pytest.raises(Exception) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value


# ---- the page ------------------------------------------------------------------------------------


def test_one_line_switches_the_page_on() -> None:
    on = replace(PAPER, **PAGE)
    assert on.build.__module__ == "demos.diffusion_inversion.page" and on.api and on.pipeline
    assert PAPER.slug in [path for path, *_ in build(FakeDiffusion()).pages]


def test_settings_say_which_styles_there_are() -> None:
    assert CLAY_HEADS.styles == STYLES and len(NAMES) == len(PALETTE)
    at = setting_of("photos", FakeDiffusion(size=512, styles={"marble": None}), ("faces/yunet",))
    assert (at.styles, at.rendered, at.faces, at.canvas) == (("marble",), False, True, 256)


# ---- what is asked -------------------------------------------------------------------------------


def test_prompts_are_texts_of_bounded_length() -> None:
    box = prompt_box(render=False)
    assert box.preprocess(None) == "" and box.preprocess("  red\n hair ") == "red hair"
    refused(lambda: box.preprocess("a" * 10_000), f"at most {MOST}", "got 10000")
    refused(lambda: box.preprocess(["red"]), "must be text")


def test_chips_of_a_group_exclude_each_other() -> None:
    for chips in CLAY_GROUPS.values():
        assert len(set(chips.values())) == len(chips) > 1


def test_a_portrait_brings_its_true_mask(client, portrait) -> None:
    mask, _, words, _ = refill(client, portrait, SEED, MASK)
    assert shown_labels(mask).tobytes() == truth.mask_of(SEED, WHOLE).tobytes()
    assert mask["props"]["names"][1] == "skin" and len(mask["props"]["palette"]) == 19
    assert "the renderer’s own mask" in words


def test_nobody_knows_the_parts_of_an_own_picture(client, picture) -> None:
    mask, _, words, _ = refill(client, picture, None, MASK)
    assert not shown_labels(mask).any() and "Nobody has read" in words


def test_a_parser_reads_the_mask_of_an_own_picture(client, picture, fake_diffusion) -> None:
    fake_diffusion.parser = object()
    mask, _, words, _ = refill(client, picture, None, MASK)
    fake_diffusion.parser = None
    read = shown_labels(mask)
    assert read[60:68, 60:68].all() and not read[:20].any() and "read it off" in words


@pytest.mark.parametrize(
    ("tracer", "said"), [("canny", "by no network"), ("pidinet", "PiDiNet, a"), ("hed", "HED, a")]
)
def test_any_picture_brings_its_strokes(client, picture, fake_diffusion, tracer, said) -> None:
    """And the page says what drew them."""
    fake_diffusion.tracer = tracer
    _, pad, _, words = refill(client, picture, None, SCRIBBLE)
    fake_diffusion.tracer = "canny"
    drawn = shown_labels(pad)
    assert 0.01 < drawn.mean() < 0.2 and not drawn[60:68, 60:68].any()
    assert said in words and tracer[:4].lower() in words.lower()


def refill(client, path, seed, kind):
    return client.predict(
        handle_file(path), *WHOLE, seed, kind, api_name="/diffusion_refill"
    )  # fmt: skip


def shown_labels(update: dict) -> np.ndarray:
    packed = update["value"]["labels"]
    return np.frombuffer(base64.b64decode(packed), np.uint8).reshape(128, 128)


def test_examples_bring_prompt_and_portrait(client) -> None:
    for example in EXAMPLES:
        prompt, shown, seed, kind, *_ = client.predict(
            example.name, api_name="/diffusion_example"
        )  # fmt: skip
        assert (prompt, seed, kind) == (example.prompt, example.seed, example.task)
        assert Path(shown).exists()


def test_a_portrait_has_a_caption(client, portrait, picture) -> None:
    told = client.predict(handle_file(portrait), SEED, api_name="/diffusion_caption")
    assert told == truth.known(SEED).caption
    refused(
        lambda: client.predict(handle_file(picture), None, api_name="/diffusion_caption"),
        "never-seen portrait",
    )


def test_masks_are_told_apart_by_every_pixel_and_not_by_the_brush() -> None:
    one, other = np.zeros((128, 128), np.uint8), np.zeros((128, 128), np.uint8)
    other[64, 64] = 3
    assert mark(Painting(one, 1)) == mark(Painting(one.copy(), 7)) != mark(Painting(other, 1))


# ---- one press -----------------------------------------------------------------------------------


def test_ours_comes_first_and_controlnet_after_it(client, fake_diffusion) -> None:
    fake_diffusion.seconds_a_call = 0.02
    job = client.submit(
        "a young person, red hair", MASK, labels(truth.mask_of(SEED, WHOLE)), labels(), 3, 1.5,
        None, *WHOLE, None, 20, api_name="/diffusion_generate",
    )  # fmt: skip
    job.result()
    fake_diffusion.seconds_a_call = 0.0
    ours, theirs = ([o[i] for o in job.outputs()] for i in (0, 1))
    first = next(i for i, shown in enumerate(ours) if is_path(shown))
    assert not any(is_path(shown) for shown in theirs[:first])
    assert any(is_path(shown) for shown in theirs[first:])
    assert [call[:3] for call in fake_diffusion.calls[-2:]] == [
        ("read", "a young person, red hair", MASK), ("denoise", "a young person, red hair", MASK),
    ]  # fmt: skip
    assert fake_diffusion.calls[-1][3:] == (20, 3, 1.5)
    verdict = next(v for v in job.outputs()[-1] if isinstance(v, str) and "times as long" in v)
    assert "1 call<" in verdict and "20 calls<" in verdict


def is_path(shown) -> bool:
    return isinstance(shown, str) and shown.endswith(".png")


def test_an_empty_prompt_is_a_prompt(client, fake_diffusion) -> None:
    generate(client, prompt="", steps=0)
    assert fake_diffusion.calls[-1][:3] == ("read", "", MASK)
    *_, words = look(client, "average")
    assert "mean over words" in words
    refused(lambda: look(client, "word 0"), "['average', 'block 0'")


def test_zero_steps_are_ours_alone(client, fake_diffusion) -> None:
    before = len(fake_diffusion.calls)
    generate(client, steps=0)
    assert [call[0] for call in fake_diffusion.calls[before:]] == ["read"]


def test_bad_questions_are_refused(client) -> None:
    refused(lambda: generate(client, kind=SCRIBBLE), "scribble must have strokes")
    refused(lambda: generate(client, prompt="a" * 10_000), "at most 1000 characters; got 10000")
    refused(lambda: generate(client, noise=-1), "-1")
    refused(lambda: generate(client, noise=None), "whole number")
    refused(lambda: generate(client, kind="song"), "song")
    refused(lambda: generate(client, steps=500), "ControlNet's steps")
    refused(lambda: generate(client, strength=9), "Strength")
    refused(lambda: generate(client, mask=labels(np.full((128, 128), 99, np.uint8))), "below 19")
    refused(lambda: generate(client, mask=labels(np.zeros((64, 64), np.uint8))), "128 pixels")


def test_a_scribble_reaches_the_pipeline(client, fake_diffusion) -> None:
    generate(client, kind=SCRIBBLE, pad=ink(), steps=5)
    assert fake_diffusion.calls[-1][2] == SCRIBBLE


def test_nothing_follows_before_a_picture(client) -> None:
    for call in (
        lambda: look(client, None),
        lambda: client.predict("full", 1, api_name="/diffusion_switch"),
        lambda: client.predict(500, api_name="/diffusion_read_at"),
        lambda: client.predict(api_name="/diffusion_strip"),
        lambda: client.predict("bronze", api_name="/diffusion_restyle"),
        lambda: client.predict("true", api_name="/diffusion_compare"),
    ):
        refused(call, "Press Generate first")


# ---- inside --------------------------------------------------------------------------------------


def look(client, what):
    return client.predict(what, api_name="/diffusion_look")


def test_words_are_shown_where_they_are_seen(client) -> None:
    generate(client, prompt="red <hair>", steps=0)
    first, words = look(client, "word 0")
    second, other = look(client, "word 1")
    assert "<b>red</b>" in words and "&lt;hair&gt;" in other
    assert psnr(*(Image.open(p).convert("RGB") for p in (first, second))) < 30
    assert "refined" in look(client, "block 2")[1]
    refused(lambda: look(client, "word 2"), "word 2", "'word 1', 'average'")


def test_a_map_is_reddest_where_it_is_largest() -> None:
    field = np.zeros((8, 8))
    field[2, 6] = 0.01  # its own scale
    shown = np.asarray(inside.laid_over(Image.new("RGB", (64, 64), "grey"), field)).astype(int)
    y, x = np.unravel_index((shown[..., 0] - shown[..., 2]).argmax(), (64, 64))
    assert abs(y - 20) <= 2 and abs(x - 52) <= 2
    assert (shown[40:, :20] == shown[50, 5]).all() and np.ptp(shown[50, 5]) == 0


def test_codes_are_plotted_by_layer() -> None:
    drawn = layers.figure({"mapped": [1.0, 2.0], "gamma": [0.0, 0.0], "beta": [0.5, 0.25]})
    assert drawn.count("<rect") == 6 and drawn.count('height="100.00"') == 2
    assert "2.00 at most" in drawn and "Mean size of beta by layer: 0.50, 0.25" in drawn


def test_switches_reach_the_pipeline(client, fake_diffusion) -> None:
    generate(client, steps=0)
    for which, keep, expected in (
        ("mapped", 1, ("redraw", True, 1)), ("full", 0.5, ("redraw", False, 0.5)),
        ("plain", 1, ("read", "red hair", MASK, None, 0, 1, False)),
    ):  # fmt: skip
        _, words = client.predict(which, keep, api_name="/diffusion_switch")
        assert fake_diffusion.calls[-1] == expected and words
    refused(lambda: client.predict("all", 1, api_name="/diffusion_switch"), "all")


# ---- steps ---------------------------------------------------------------------------------------


def test_another_step_is_read(client, fake_diffusion) -> None:
    generate(client, steps=0)
    shown, words = client.predict(500, api_name="/diffusion_read_at")[:2]
    assert Path(shown).exists() and "t = 499, 11 calls" in words
    assert fake_diffusion.calls[-1][3] == 500
    refused(lambda: client.predict(1000, api_name="/diffusion_read_at"), "0 to 999")


def test_a_strip_goes_from_text_to_structure(client) -> None:
    generate(client, steps=0)
    strip = client.predict(api_name="/diffusion_strip")
    strip = strip[0] if isinstance(strip, tuple) else strip
    captions = [entry["caption"] for entry in strip]
    assert captions[0] == "t = 999, 1 call" and captions[-1] == "t = 49, 20 calls"
    assert len(captions) == 5


def test_a_strip_can_be_stopped(client, fake_diffusion) -> None:
    generate(client, steps=0)
    fake_diffusion.seconds_a_call, before = 0.05, fake_diffusion.made
    job = client.submit(api_name="/diffusion_strip")
    until(lambda: fake_diffusion.made > before)
    job.cancel()
    until(lambda: not BOARD.running)
    after = fake_diffusion.made
    time.sleep(0.2)  # the next reading, if there were one, would begin at once
    fake_diffusion.seconds_a_call = 0.0
    assert before < after < before + 50 and fake_diffusion.made == after


# ---- styles and true answers ---------------------------------------------------------------------


def test_styles_stand_beside_the_true_picture(client, portrait, fake_diffusion) -> None:
    generate(client, mask=labels(truth.mask_of(SEED, WHOLE)), picture=portrait, seed=SEED)
    _, styled, true, words = client.predict("bronze", api_name="/diffusion_restyle")[:4]
    assert ("style", "bronze") in fake_diffusion.calls and Path(styled).exists()
    shown = Image.open(true["value"]).convert("RGB")
    assert psnr(shown, truth.style_of(SEED, "bronze", WHOLE)) == np.inf
    assert psnr(shown, truth.picture_of(SEED, WHOLE)) < 30 and "Bronze" in words
    refused(lambda: client.predict("oil", api_name="/diffusion_restyle"), "oil")


def test_own_masks_have_no_true_answer(client) -> None:
    generate(client, steps=0)
    true, words = client.predict("marble", api_name="/diffusion_restyle")[2:4]
    assert true["visible"] is False and "Nobody knows" in words
    pair, words = client.predict("true", api_name="/diffusion_compare")
    assert pair["visible"] is False and "Nobody drew this" in words
    _, words = client.predict("controlnet", api_name="/diffusion_compare")
    assert "0 steps" in words


def test_the_true_answer_is_the_portrait_of_the_mask(client, portrait) -> None:
    mask = truth.mask_of(SEED, WHOLE)
    generate(client, mask=labels(mask), picture=portrait, seed=SEED, steps=5)
    pair, words = client.predict("true", api_name="/diffusion_compare")
    left = Image.open(pair["value"][0]).convert("RGB")
    assert psnr(left, truth.picture_of(SEED, WHOLE)) == np.inf and "exactly this mask" in words
    painted = mask.copy()
    painted[:20] = 17
    generate(client, mask=labels(painted), picture=portrait, seed=SEED, steps=5)
    assert "started from" in client.predict("true", api_name="/diffusion_compare")[1]
    assert "dB" in client.predict("controlnet", api_name="/diffusion_compare")[1]
    assert len(client.predict("asked", api_name="/diffusion_compare")[0]["value"]) == 2


def test_everything_can_be_taken_home(client, portrait) -> None:
    mask = labels(truth.mask_of(SEED, WHOLE))
    generate(client, mask=mask, picture=portrait, seed=SEED, steps=5, noise=4)
    client.predict("drawing", api_name="/diffusion_restyle")
    paths = {Path(path).name: path for path in client.predict(True, api_name="/diffusion_files")}
    assert {"mask.png", "ours.png", "controlnet.png", "true.png", "drawing.png"} <= set(paths)
    codes = load_file(paths["latent.safetensors"])
    assert set(codes) == {"ours", "drawing"} and codes["ours"].shape == (1, 12, 512)
    assert Image.open(paths["mask.png"]).mode == "P"  # labels as numbers, in their colours
    told = json.loads(Path(paths["parameters.json"]).read_text())
    assert (told["prompt"], told["noise"], told["portrait"]) == ("red hair", 4, SEED)
    assert told["controlnet"]["calls"] == 5 and told["ours"]["calls"] == 1


# ---- to and from other pages --------------------------------------------------------------------


def test_results_go_to_this_page_and_to_others_with_their_codes(
    fake_diffusion, monkeypatch
) -> None:
    papers = tuple(replace(p, **PAGE) if p is PAPER else p for p in PAPERS)
    monkeypatch.setattr("demos.papers.PAPERS", papers)
    demo = build(fake_diffusion)
    own = [b for b in demo.blocks.values() if getattr(b, "page", None) == PAPER.slug]
    places = [b.choices for b in own if getattr(b, "label", None) == "Use in"]
    assert len(places) == 2 and all(("Start from", "picture") in found for found in places)
    assert any(address == "indomain/manipulate" for _, address in places[0])
    others = [b for b in demo.blocks.values() if getattr(b, "page", None) == "indomain"]
    words = ("Diffusion-driven inversion: Start from", "diffusion_inversion/picture")
    assert any(words in getattr(b, "choices", ()) for b in others)
    reading = fake_diffusion.read("red hair", fake_diffusion.condition(MASK, MASKED, PALETTE))
    asked = Asked(CLAY_HEADS, "red hair", MASK, MASKED, 0, 1.0, None, WHOLE)
    styled = fake_diffusion.read("", asked.condition(fake_diffusion), style="bronze")
    keep = Subject(asked, reading).keepsake(fake_diffusion, bronze=styled)
    assert keep.sendable == ["ours", "bronze"]  # a mask is no portrait
    for name, made in (("ours", reading), ("bronze", styled)):
        sent = keep.sent(name)
        assert (sent.w == made.w).all() and sent.generator == FakeInDomain().fingerprint


def test_a_latent_is_read_again_and_edited_elsewhere(client, fake_diffusion) -> None:
    generate(client, prompt="red hair", steps=0)
    paths = client.predict(False, api_name="/diffusion_files")
    latent = next(path for path in paths if path.endswith(".safetensors"))
    before = len(fake_diffusion.calls)
    (shown,) = client.predict(handle_file(latent), api_name="/diffusion_read_latent")
    assert shown["caption"] == "ours" and Path(shown["image"]).exists()
    assert [call[0] for call in fake_diffusion.calls[before:]] == ["drawn"]
    w = load_file(latent)["ours"]
    assert (FakeInDomain().reopen(latent).w == w).all()
    assert (FakeMM2Latent().reopen(latent).w == w).all()
    other = Path(latent).with_name("other.safetensors")
    save_codes(other, {"ours": torch.from_numpy(w)}, "0" * 64)
    refused(
        lambda: client.predict(handle_file(str(other)), api_name="/diffusion_read_latent"),
        "must be for the generator",
    )


def test_a_picture_that_is_sent_here_is_read_anew(client, fake_diffusion, picture) -> None:
    """Its code is of no use: a mask or strokes are taken of the picture."""
    exchange = Exchange(PAPER.places, {}, 128, True)
    with gr.Blocks():
        exchange.receive("picture", "", portrait_input("Start from", "A picture."), codes=False)
    keep = Keepsake({"edited": Image.open(picture)}, {"edited": np.zeros((1, 12, 512))}, {})
    shown = exchange.send(keep, "edited", "picture", {})
    assert shown["picture 0"].size == (160, 160) and "code" not in shown["words"]
    before = len(fake_diffusion.calls)
    _, pad, _, _ = refill(client, picture, None, SCRIBBLE)
    assert shown_labels(pad).any() and len(fake_diffusion.calls) == before


# ---- documented functions ------------------------------------------------------------------------


def test_a_mask_file_becomes_a_picture_and_a_latent(client, tmp_path, fake_diffusion) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(PALETTE[truth.mask_of(SEED, WHOLE)]).resize((512, 512), 0).save(path)
    name = f"/{PAPER.slug}_generate"
    shown, told, latent = client.predict("red hair", handle_file(path), api_name=name)
    assert Path(shown).exists() and (told["t"], told["calls"]) == (999, 1)
    assert told["words"] == ["red", "hair"] and load_file(latent)["code"].shape == (1, 12, 512)
    _, told, _ = client.predict(
        "", handle_file(path), "picture", 999, 0, 1.0, "marble", api_name=name
    )
    assert told["strokes_by"] == "canny"
    assert fake_diffusion.calls[-2] == ("style", "marble")
    assert fake_diffusion.calls[-1][2] == SCRIBBLE
    shown, told = client.predict("red hair", handle_file(path), api_name=f"/{PAPER.slug}_denoise")
    assert told["calls"] == 20


def test_bad_calls_are_refused(client, tmp_path) -> None:
    path, name = tmp_path / "grey.png", f"/{PAPER.slug}_generate"
    Image.new("RGB", (128, 128), "#7fff7f").save(path)
    grey = handle_file(path)
    refused(lambda: client.predict("", grey, api_name=name), "colours of a mask")
    refused(lambda: client.predict("", grey, "scribble", api_name=name), "must have strokes")
    refused(lambda: client.predict("", grey, "song", api_name=name), "kind must be one of")
    refused(lambda: client.predict("a" * 2000, grey, api_name=name), "at most 1000 characters")
    refused(lambda: client.predict("", grey, "picture", 4000, api_name=name), "from 0 to 999")


def test_the_lists_say_what_masks_are_painted_with(client) -> None:
    found = client.predict(api_name=f"/{PAPER.slug}_lists")
    assert found["styles"] == list(STYLES) and found["classes"]["hair"] == [96, 64, 140]
