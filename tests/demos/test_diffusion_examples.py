"""Stored examples of the page of diffusion-driven inversion: its start, and going on with them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from demos.diffusion_inversion import PAPER, answer, ask, example, inside, styles, times
from demos.diffusion_inversion.setting import CLAY_HEADS
from demos.kit import share
from demos.kit.bridge import Stop
from demos.kit.painter import mask_painter
from demos.kit.prompts import prompt_box
from demos.kit.runs import mark
from examples.choosing import POOL
from examples.diffusion_inversion import results
from examples.diffusion_inversion.__main__ import CHOSEN
from examples.diffusion_inversion.results import MASK, SCRIBBLE, STORED
from examples.stored import Stored
from pipelines.networks.parser import FaceParser
from tests.demos.fake_diffusion import FakeDiffusion
from tests.demos.preparation import serving, started
from tests.demos.shelves import stocked
from tests.demos.test_diffusion_page import PAGE
from tests.demos.test_first_screen import DEVELOPERS
from tests.pipelines.test_diffusion_inversion import build

SCREEN = ("diffusion-prompt", "diffusion-ours", "diffusion-theirs", "diffusion-verdict",
          "diffusion-overlay", "diffusion-seen", "diffusion-switched", "diffusion-layers",
          "diffusion-pair", "diffusion-answer-words")  # fmt: skip
KINDS = ("mask", "scribble", "mask")
STORED_REQUEST = f"{PAPER.slug}_stored_request"


def nobody(*_):
    pytest.fail("a stored example loads no networks")


@pytest.fixture(scope="module")
def entries(shelves) -> list[Stored]:
    with stocked(shelves):
        return [entry for kind in STORED.kinds for entry in STORED.read(kind)]


@pytest.fixture(scope="module")
def fake_diffusion() -> FakeDiffusion:
    return FakeDiffusion()


@pytest.fixture(scope="module")
def demo(shelves, fake_diffusion) -> gr.Blocks:
    return started(PAPER, PAGE, fake_diffusion, shelves)


@pytest.fixture(scope="module")
def served(demo):
    with serving(demo) as url:
        yield url


def came_back(shown: dict) -> list:
    """The deciding inputs, as the browser sends what an example put on the page."""
    painters = []
    for kind in (MASK, SCRIBBLE):
        painter = mask_painter(shown[kind], render=False)
        painters.append(painter.preprocess(json.loads(json.dumps(painter.value))))
    prompt = prompt_box(render=False).preprocess(shown["prompt"])
    return [prompt, shown["kind"], *painters, float(shown["noise"]), float(shown["strength"])]


# ---- what is stored ------------------------------------------------------------------------------


def test_every_example_has_its_pictures_its_codes_and_its_promise(entries) -> None:
    assert [e.name for e in entries] == [name for named in CHOSEN.values() for name in named]
    assert tuple(entry.values["task"] for entry in entries) == KINDS
    for entry in entries:
        codes = {"ours", "mapped"} | ({"bronze"} if "style" in entry.values else set())
        assert set(load_file(entry.codes)) == codes and entry.values["promise"] > 0
        names = {"picture", "asked", "edited", "controlnet", "inside"}
        assert names | ({"ours", "truth"} if "style" in entry.values else set()) == set(
            entry.pictures
        )
        assert entry.pictures["asked"].mode == entry.pictures["inside"].mode == "P"
        assert entry.values["made"]["controlnet"]["calls"] == 20
    # The share card of the page is made of such an entry.
    assert entries[2].pictures.keys() >= set(share._STORY)


def test_what_was_read_is_what_the_pipeline_read(entries) -> None:
    for entry in entries:
        asked = example.page(entry)["subject"].asked
        fake = FakeDiffusion()
        read = fake.read(asked.prompt, asked.condition(fake), **asked.options)
        kept = results.reading(entry)
        assert kept.words == read.words and kept.t == read.t and kept.calls == read.calls
        for ours, theirs in ((kept.maps, read.maps), (kept.average, read.average),
                             (kept.refined, read.refined)):  # fmt: skip
            assert ours.shape == theirs.shape
            assert np.abs(ours - theirs).max() <= theirs.max() / 255
        assert kept.image.tobytes() == read.image.tobytes()
        assert kept.sizes["beta"] == pytest.approx(read.sizes["beta"], abs=1e-4)


@pytest.mark.parametrize("task", [MASK, SCRIBBLE])
def test_a_request_of_the_real_pipeline_on_tiny_networks(task) -> None:
    """Nothing is trained: what is computed is whole, and judged by a number."""
    pipeline = build(parser=FaceParser(channels=(8, 8)))
    made = results.request(pipeline, "one", POOL[3], task)
    assert set(pipeline.read_codes(made.codes)) == {"ours", "mapped"}
    assert np.isfinite(results.both_count(pipeline, made))
    found = results.reading(made)
    assert len(found.maps) == len(found.words) > 0 and found.refined.shape[0] == 2
    labels = np.asarray(made.pictures["asked"])
    assert (
        set(np.unique(labels)) == {0, 1}
        if task == SCRIBBLE
        else np.array_equal(labels, results.changed(POOL[3]).mask)
    )
    assert made.values["made"]["controlnet"]["calls"] == results.STEPS


def test_a_style_of_the_real_pipeline_on_tiny_networks() -> None:
    pipeline = build(parser=FaceParser(channels=(8, 8)))
    made = results.style(pipeline, "one", POOL[3], "bronze")
    assert set(pipeline.read_codes(made.codes)) == {"ours", "mapped", "bronze"}
    assert np.isfinite(results.near(pipeline, made)) and made.values["style"] == "bronze"
    shown = made.pictures
    assert shown["truth"].tobytes() != shown["picture"].tobytes()
    assert shown["edited"].tobytes() != shown["ours"].tobytes()


# ---- the start of the page -----------------------------------------------------------------------


def test_the_page_starts_with_the_first_and_nothing_is_loaded(
    demo, entries, fake_diffusion
) -> None:
    assert fake_diffusion.calls == []
    found = {b.elem_id: b for b in demo.blocks.values() if getattr(b, "elem_id", None) in SCREEN}
    assert set(found) == set(SCREEN)
    empty = [name for name, block in found.items() if not block.value]
    assert not empty
    assert found["diffusion-prompt"].value == entries[0].values["prompt"]
    assert "exactly this mask" in found["diffusion-answer-words"].value
    pills = [b for b in demo.blocks.values() if getattr(b, "elem_id", "") == "diffusion-examples"]
    assert [b.visible for b in pills] == [False]  # those without results stand back
    offered = [b.names for b in demo.blocks.values() if getattr(b, "api", "") == STORED_REQUEST]
    assert offered == [tuple(entry.name for entry in entries)]


def test_a_visitor_reads_no_developers_words(demo) -> None:
    own = [b for b in demo.blocks.values() if getattr(b, "page", None) == PAPER.slug]
    for block in own:
        for name in ("label", "value", "info", "placeholder", "alt_text"):
            said = getattr(block, name, None)
            if isinstance(said, str) and not said.startswith(("data:", "@")):
                words = re.sub(r"data:[^\"']*", "", said)
                assert not DEVELOPERS.search(words), words[:200]
    assert len(own) > 100


@pytest.mark.parametrize("place", range(3))
def test_what_a_page_sends_of_an_example_is_what_its_results_were_made_of(entries, place) -> None:
    shown = example.page(entries[place])
    assert mark(*came_back(shown)) == shown["made_of"]
    other = came_back(shown | {"noise": 1})
    assert mark(*other) != shown["made_of"]


@pytest.mark.parametrize("place", range(3))
def test_the_picture_of_an_example_is_not_looked_at_again(entries, place, monkeypatch) -> None:
    shown, fake = example.page(entries[place]), FakeDiffusion()
    part = ask._Part(nobody, CLAY_HEADS)
    given = (shown["picture"], *example.WHOLE, shown["seed"], shown["kind"], shown["of"])
    assert part.refill(*given) == {}
    part = replace(part, load=lambda: fake)
    monkeypatch.setattr(ask, "seed_of", lambda picture, seed: None)
    again = part.refill(shown["picture"], 0.5, 0.5, 2, *given[4:])
    assert again["of"][shown["kind"]] == mark(shown["picture"], 0.5, 0.5, 2)


def test_choosing_another_shows_all_of_it_and_no_network_runs(
    client, entries, fake_diffusion
) -> None:
    fake_diffusion.calls.clear()
    for entry in entries[::-1]:
        shown = client.predict(entry.name, api_name=f"/{STORED_REQUEST}")
        texts = " ".join(str(item) for item in shown)
        assert entry.values["prompt"] in texts and "20 calls" in texts
        if "style" in entry.values:
            assert "<b>Bronze</b>" in texts
        files = {Path(p).stem: p for p in client.predict(True, api_name="/diffusion_files")}
        told = json.loads(Path(files["parameters"]).read_text())
        assert told["prompt"] == entry.values["prompt"] and told["portrait"] == entry.values["seed"]
        assert {entry.values["task"], "ours", "controlnet", "true"} < set(files)
        assert set(load_file(files["latent"])) == set(load_file(entry.codes))
        ours = Image.open(files["ours"]).convert("RGB")
        assert ours.tobytes() == results.reading(entry).image.tobytes()
        client.predict("average", api_name="/diffusion_look")
        client.predict("asked", api_name="/diffusion_compare")
    assert fake_diffusion.calls == []


# ---- going on with them --------------------------------------------------------------------------


def test_the_first_switch_reads_the_codes_once(entries) -> None:
    fake, subject = FakeDiffusion(), example.page(entries[0])["subject"]
    part = inside._Part(lambda: fake)
    values = part.switch(subject, inside.MAPPED, 1)
    assert [call[0] for call in fake.calls] == ["drawn", "drawn", "redraw"]
    after = values["subject"]
    assert after.reading.w is not None and after.reading.image == subject.reading.image
    assert values["switched"] != subject.reading.image
    part.switch(after, inside.FULL, 0.5)
    assert [call[0] for call in fake.calls[3:]] == ["redraw"]
    part.switch(after, inside.PLAIN, 1)
    assert fake.calls[-1][0] == "read" and fake.calls[-1][-1] is False


def test_another_step_is_read_of_an_example(entries) -> None:
    fake, subject = FakeDiffusion(), example.page(entries[1])["subject"]
    *_, last = times._Part(lambda: fake).read_at(subject, 500, Stop())
    assert "11 calls" in last["t_words"]
    assert fake.calls == [
        ("read", entries[1].values["prompt"], SCRIBBLE, 500, results.NOISE, 1.0, True)
    ]


def test_a_style_of_an_example_is_shown_beside_its_stored_truth(entries, monkeypatch) -> None:
    fake, subject = FakeDiffusion(), example.page(entries[2])["subject"]
    monkeypatch.setattr("demos.diffusion_inversion.truth.styled", nobody)
    part = styles._Part(lambda: fake, CLAY_HEADS)
    values = part.restyle(subject, "bronze")
    assert values["true_style"]["value"] is entries[2].pictures["truth"]
    assert set(values["keep"].codes) == {"ours", "bronze"}
    sent = values["keep"].sent("bronze")
    assert sent.w.shape == (1, 12, 512) and sent.generator == fake.fingerprint


def test_the_other_sides_of_an_example(entries) -> None:
    fake, subject = FakeDiffusion(), example.page(entries[0])["subject"]
    part = answer._Part(lambda: fake)
    for side, left in (("true", "picture"), ("controlnet", "controlnet")):
        pair = part.compare(subject, side)["pair"]["value"]
        assert pair[0].tobytes() == entries[0].pictures[left].tobytes()


def test_results_of_examples_go_on_with_their_codes(entries) -> None:
    for entry in entries:
        keep, codes = example.page(entry)["keep"], load_file(entry.codes)
        name = entry.values.get("style", "ours")
        sent = keep.sent(name)
        assert (sent.w == codes[name]).all() and sent.generator == FakeDiffusion().fingerprint
        assert keep.sent("true").w is None and entry.values["task"] not in keep.sendable


def test_other_weights_leave_the_page_without_them_and_say_so(shelves, monkeypatch) -> None:
    other = dict.fromkeys(STORED.weights, "0" * 64)
    monkeypatch.setattr("examples.stored.StoredResults.checksums", other)
    demo = started(PAPER, PAGE, None, shelves)
    own = [b for b in demo.blocks.values() if getattr(b, "page", None) == PAPER.slug]
    words = [str(b.value) for b in own if isinstance(b, gr.HTML)]
    assert sum("made with other networks" in said for said in words) == 1
    assert not [fn for fn in demo.fns.values() if "_stored" in str(fn.api_name)
                and PAPER.slug in str(fn.api_name)]  # fmt: skip
    pills = [b for b in own if getattr(b, "elem_id", "") == "diffusion-examples"]
    assert [b.visible for b in pills] == [True]
