"""Stored examples of MM2Latent's page: what stands there at the start, and going on with it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image
from safetensors.numpy import load_file

from demos.kit.handover import known
from demos.kit.painter import MaskPainter, mask_painter
from demos.kit.runs import mark
from demos.mm2latent import PAPER, chips, edit, example, generate
from demos.mm2latent.head import head_dials
from demos.mm2latent.setting import CLAY_HEADS
from demos.mm2latent.trail import WHOLE, Trail
from examples.mm2latent.__main__ import CHOSEN
from examples.mm2latent.results import STORED
from examples.stored import Stored
from tests.demos.fake_mm2latent import FakeMM2Latent
from tests.demos.preparation import serving, started
from tests.demos.shelves import stocked
from tests.demos.test_first_screen import DEVELOPERS
from tests.demos.test_mm2latent_page import PAGE

SCREEN = ("mm2latent-result", "mm2latent-words", "mm2latent-strip", "mm2latent-variations",
          "mm2latent-prompt", "mm2latent-compare", "mm2latent-edit-words", "mm2latent-answer",
          "mm2latent-verdict", "mm2latent-story")  # fmt: skip


def nobody(*_):
    pytest.fail("a stored example loads no networks")


@pytest.fixture(scope="module")
def entries(shelves) -> dict[str, list[Stored]]:
    with stocked(shelves):
        return {kind: STORED.read(kind) for kind in STORED.kinds}


@pytest.fixture(scope="module")
def fake_mm() -> FakeMM2Latent:
    return FakeMM2Latent()


@pytest.fixture(scope="module")
def demo(shelves, fake_mm) -> gr.Blocks:
    return started(PAPER, PAGE, fake_mm, shelves)


@pytest.fixture(scope="module")
def served(demo):
    with serving(demo) as url:
        yield url


def came_back(entry: Stored, shown: dict) -> dict:
    """What the browser sends of what an example put on the page."""
    painters = {}
    for kind in ("mask", "sketch"):
        painter: MaskPainter = mask_painter(shown[kind], render=False)
        painters[kind] = painter.preprocess(json.loads(json.dumps(painter.value)))
    head = head_dials(CLAY_HEADS, shown["morphable"], render=False)
    numbers = head.preprocess(json.loads(json.dumps(head.value)))
    return {**painters, "morphable": numbers}


# ---- what is stored ------------------------------------------------------------------------------


def test_every_example_has_its_pictures_its_codes_and_its_promise(entries) -> None:
    assert {kind: [e.name for e in found] for kind, found in entries.items()} == {
        kind: list(chosen) for kind, chosen in CHOSEN.items()
    }
    kinds = [entry.values["kind"] for found in entries.values() for entry in found]
    assert kinds == ["mask", "sketch", "morphable", "text", "morphable"]
    for entry in entries["generate"]:
        names = set(entry.values["scores"])
        assert len(names) == 7 and names == set(load_file(entry.codes))
        assert names | {"picture", "truth", "mask", "sketch"} == set(entry.pictures)
        assert entry.values["promise"] > 0
    for entry in entries["edit"]:
        assert set(load_file(entry.codes)) == {"inverted", "edited"}
        # The share card of the page is made of such an entry.
        assert entry.pictures.keys() >= {"picture", "edited", "truth"}


def test_the_true_answer_is_what_the_page_would_ask_the_renderer_for(entries) -> None:
    for entry in entries["generate"]:
        values, asked = entry.values, example.request(entry)["asked"]
        numbers = values["numbers"] if values["kind"] == "morphable" else {}
        assert asked.overrides == values["drawn"] | numbers
    for entry in entries["edit"]:
        if entry.values["kind"] == "text":
            wanted = chips.drawn(chips.wishes(entry.values["target"]))
            assert wanted == entry.values["drawn"]


def test_a_turned_head_differs_from_its_portrait_in_its_yaw(entries) -> None:
    (entry,) = [e for e in entries["generate"] if e.values["kind"] == "morphable"]
    assert {n: v for n, v in entry.values["numbers"].items() if v} == {"lid_open": 1.0, "yaw": 30.0}


# ---- showing them --------------------------------------------------------------------------------


def test_the_page_starts_with_the_first_of_each(demo, entries) -> None:
    found = {b.elem_id: b for b in demo.blocks.values() if getattr(b, "elem_id", None) in SCREEN}
    assert set(found) == set(SCREEN)
    empty = [name for name, block in found.items() if not block.value]
    assert not empty
    assert found["mm2latent-prompt"].value == entries["generate"][0].values["prompt"]
    assert found["mm2latent-strip"].value.count("<figure") == 4
    assert found["mm2latent-variations"].value.count("<figure") == 4
    assert "keep it" in found["mm2latent-story"].value
    kinds = [b for b in demo.blocks.values() if getattr(b, "elem_id", "") == "mm2latent-kind"]
    assert [b.value for b in kinds] == ["mask"]


def test_a_visitor_reads_no_developers_words(demo) -> None:
    own = [b for b in demo.blocks.values() if getattr(b, "page", None) == "mm2latent"]
    for block in own:
        for name in ("label", "value", "info", "placeholder", "alt_text"):
            said = getattr(block, name, None)
            if isinstance(said, str) and not said.startswith(("data:", "@")):
                words = re.sub(r"data:[^\"']*", "", said)
                assert not DEVELOPERS.search(words), words[:200]
    assert len(own) > 100


def test_choosing_another_shows_all_of_it_and_no_network_runs(client, entries, fake_mm) -> None:
    fake_mm.calls.clear()
    for entry in entries["generate"][::-1]:
        image, words, strip, grid, prompt, kind, *_ = client.predict(
            entry.name, api_name="/mm2latent_stored_generate"
        )
        assert Image.open(image).tobytes() == entry.pictures["result"].tobytes()
        assert (prompt, kind) == (entry.values["prompt"], entry.values["kind"])
        assert "The judge sees" in words and strip.count("<figure") == 4
        assert f"Portrait {entry.values['seed']} with" in strip and grid.count("<figure") == 4
        files = {Path(p).stem: p for p in client.predict(True, api_name="/mm2latent_files")}
        told = json.loads(Path(files["parameters"]).read_text())
        assert told["prompt"] == prompt and told["started_from"] == entry.values["seed"]
        assert set(load_file(files["latent"])) == set(entry.values["scores"])
    for entry in entries["edit"][::-1]:
        pair, words, answer, verdict, _, how, target, *_ = client.predict(
            entry.name, api_name="/mm2latent_stored_edit"
        )
        assert [Image.open(p).tobytes() for p in pair] == [
            entry.pictures[name].tobytes() for name in ("inverted", "edited")
        ]
        assert (how, target) == (entry.values["kind"], entry.values["target"])
        assert answer["visible"] and "the true answer" in verdict and "Kept" in words
        files = client.predict(False, api_name="/mm2latent_edit_files")
        assert set(load_file(files[-1])) == {"inverted", "edited"}
    assert fake_mm.calls == []


@pytest.mark.parametrize("place", range(3))
def test_what_a_page_sends_of_an_example_is_no_new_request(entries, place: int) -> None:
    entry = entries["generate"][place]
    shown = example.request(entry)
    part, sent = generate._Part(nobody, CLAY_HEADS), came_back(entry, shown)
    read = part.read(shown["kind"], shown["picture"], *WHOLE, shown["seed"], shown["taken"])
    asked = [shown["prompt"], shown["kind"], *sent.values(), shown["variety"], shown["unsaid"]]
    asked += [shown["many"]]
    assert read == {}
    assert list(part.live(*asked, shown["seeds"], shown["start"], shown["of"])) == [{}]
    fake = FakeMM2Latent()
    part = replace(part, load=lambda: fake)
    other = [*asked[:4], sent["morphable"] | {"yaw": -3.0}, *asked[5:]]
    seeds = shown["seeds"] + 1
    assert len(list(part.live(*asked, seeds, shown["start"], shown["of"]))) == 3
    again = list(part.live(*other, shown["seeds"], shown["start"], shown["of"]))
    assert (again == [{}]) == (shown["kind"] != "morphable")  # sliders that are not seen


def test_the_picture_of_an_example_is_not_inverted_again(entries) -> None:
    shown = example.edited(entries["edit"][0])
    part = edit._Part(nobody, CLAY_HEADS)
    picture, seed = shown["picture"], shown["seed"]
    assert shown["of"] == mark(picture, *WHOLE)
    assert part.invert(picture, *WHOLE, seed, {}, shown["of"]) == {}
    fake = FakeMM2Latent()
    cropped = edit._Part(lambda: fake, CLAY_HEADS).invert(
        picture, 0.5, 0.5, 2, seed, {}, shown["of"]
    )
    assert fake.calls == [("invert",)] and cropped["of"] is None


# ---- going on with them --------------------------------------------------------------------------


@pytest.mark.parametrize("place", range(2))
def test_an_example_goes_on_as_if_the_visitor_had_made_it(entries, place, monkeypatch) -> None:
    entry, fake = entries["edit"][place], FakeMM2Latent()
    part = edit._Part(lambda: fake, CLAY_HEADS)
    first = example.edited(entry)["trail"]
    trail = part.go_on(first)["trail"]
    assert isinstance(trail, Trail) and len(trail.steps) == 2 and trail.seed == entry.values["seed"]
    assert trail.now.overrides == entry.values["drawn"]
    assert [call[0] for call in fake.calls] == ["invert", "edit", "placed"]
    assert fake.calls[1][-1] == entry.values["beta"]
    back = part.undo(first)["trail"]
    assert back.edited is None and len(back.steps) == 1
    # A change asks for the picture's own edit, with the true answer that belongs to it.
    monkeypatch.setattr(edit.truth, "answer", lambda start, overrides: Image.new("RGB", (128, 128)))
    numbers = {n.name: n.rest for n in CLAY_HEADS.numbers}
    after = part.edit(first, "text", "red hair", "", 2.0, None, None, numbers)
    assert after["trail"].overrides == {"hair_color": "red"} and after["answer"]["visible"]


def test_results_of_examples_go_on_with_their_codes(entries) -> None:
    fake = FakeMM2Latent()
    shown = example.edited(entries["edit"][0])
    sent = shown["keep"].sent("edited")
    assert sent.generator == fake.fingerprint and sent.w.shape == (1, 12, 512)
    part = edit._Part(lambda: fake, CLAY_HEADS)
    given = {mark(sent.picture): sent}
    assert known(given, sent.picture, fake) is sent.w
    values = part.invert(sent.picture, *WHOLE, None, given, None)
    assert fake.calls == [("placed",)] and "needed no search" in values["words"]
    assert (np.asarray(values["trail"].now.source.w) == sent.w).all()
    assert example.request(entries["generate"][0])["keep"].sent("variation 2").w is not None


def test_the_request_of_an_example_is_looked_into(entries) -> None:
    from demos.mm2latent import inside

    fake = FakeMM2Latent()
    asked = example.request(entries["generate"][0])["asked"]
    assert inside._Part(lambda: fake).noise(asked).count("<figure") == 5
    assert {call[2] for call in fake.calls} == {("mask",)}


def test_other_weights_leave_the_page_empty_and_say_so(shelves, monkeypatch) -> None:
    other = dict.fromkeys(STORED.weights, "0" * 64)
    monkeypatch.setattr("examples.stored.StoredResults.checksums", other)
    demo = started(PAPER, PAGE, None, shelves)
    own = [b for b in demo.blocks.values() if getattr(b, "page", None) == "mm2latent"]
    words = [str(b.value) for b in own if isinstance(b, gr.HTML)]
    assert sum("made with other networks" in said for said in words) == 1
    assert not [fn for fn in demo.fns.values() if "mm2latent_stored" in str(fn.api_name)]


# ---- latent files --------------------------------------------------------------------------------


def test_a_latent_file_is_read_again_and_goes_on(client, entries, fake_mm, tmp_path) -> None:
    codes = handle_file(str(entries["edit"][0].codes))
    shown = client.predict(codes, api_name="/mm2latent_read_latent")
    assert {item["caption"] for item in shown} == {"inverted", "edited"}
    own = fake_mm.invert(entries["edit"][0].pictures["picture"])
    one = fake_mm.keep(tmp_path / "latent.safetensors", {"code": own})
    before = len(fake_mm.calls)
    *_, latent = client.predict(
        subject=handle_file(str(one)), target="red hair", api_name="/mm2latent_edit"
    )
    assert [call[0] for call in fake_mm.calls[before:]] == ["placed", "edit"]
    assert load_file(latent)["code"].shape == (1, 12, 512)
    with pytest.raises(Exception, match="must hold one code"):
        client.predict(subject=codes, target="red hair", api_name="/mm2latent_edit")
