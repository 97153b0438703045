"""Results go on to other parts and pages with their codes: files, links, places, side by side."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from demos.indomain import manipulate
from demos.indomain.setting import CLAY_HEADS
from demos.kit import handover
from demos.kit.beside import MOST, added
from demos.kit.bridge import Stop
from demos.kit.downloads import Keepsake, Sent
from demos.kit.handover import Exchange, known
from demos.kit.inputs import gallery_input, portrait_input
from demos.kit.runs import mark
from tests.demos.fake_editgan import FakeEditGAN
from tests.demos.fake_pipeline import FakeInDomain

FAKE = FakeInDomain()
FACE = Image.fromarray(
    np.arange(128 * 128 * 3, dtype=np.uint32).astype(np.uint8).reshape(128, 128, 3)
)
W = np.linspace(0, 1, 12 * 512, dtype=np.float32).reshape(1, 12, 512)
MASK = Image.new("P", (8, 8))
KEEP = Keepsake(
    {"edited": FACE, "mask": MASK}, {"edited": W}, {"changes": {"smile": 1.0}},
    CLAY_HEADS.about(FAKE),
)  # fmt: skip


# ---- files ------------------------------------------------------------------------------


def test_a_latent_file_says_what_it_is_and_is_read_again():
    (path,) = [p for p in KEEP.write(False) if p.endswith(".safetensors")]
    with safe_open(path, framework="numpy") as file:
        told = json.loads(file.metadata()["config"])
    assert told == {
        "method": "in-domain inversion", "domain": "clay-heads", "generator": FAKE.fingerprint,
    }  # fmt: skip
    found = FAKE.read_codes(path)
    assert (found["edited"].w == W).all()
    assert FakeEditGAN().read_codes(path)["edited"].w.shape == (1, 12, 512)
    with pytest.raises(ValueError, match="must be for the generator"):
        FakeEditGAN(fingerprint="0" * 64).read_codes(path)


def test_the_codes_of_a_stored_result_get_the_names_of_its_pictures(tmp_path):
    path = FAKE.keep(tmp_path / "codes.safetensors", {"w": SimpleNamespace(w=W)})
    kept = Keepsake({"inversion": FACE}, path, {}, CLAY_HEADS.about(), {"w": "inversion"})
    sent = kept.sent("inversion")
    assert (sent.w == W).all() and sent.generator == FAKE.fingerprint
    (latent,) = [p for p in kept.write(False) if p.endswith(".safetensors")]
    assert set(FAKE.read_codes(latent)) == {"inversion"}


@pytest.mark.parametrize(
    ("name", "words"),
    [("mix-2-1", "Mix 2, 1"), ("diffused-3", "Diffused 3"), ("in-domain", "In-domain"),
     ("image2stylegan", "Image2stylegan"), ("variation 4", "Variation 4"), ("", "")],
)  # fmt: skip
def test_results_to_choose_from_are_called_by_words(name: str, words: str):
    assert handover.in_words(name) == words
    assert handover._choices(Keepsake({name: FACE}, {}, {}))["choices"] == [(words, name)]


def test_a_result_is_called_by_its_title_where_it_has_one():
    keep = Keepsake({"hybrid": FACE, "sam": FACE}, {}, {}, titles={"hybrid": "W+ of the encoder"})
    chosen = handover._choices(keep)["choices"]
    assert chosen == [("W+ of the encoder", "hybrid"), ("Sam", "sam")]


# ---- on the way -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("w", [W, None])
def test_what_goes_by_a_link_comes_as_it_was(mode, w):
    found = handover.taken(handover.lay_out(Sent(FACE.convert(mode), w, "a" * 64)))
    assert mark(found.picture) == mark(FACE.convert(mode)) and found.generator == "a" * 64
    assert found.w is None if w is None else (found.w == W).all()


def test_links_hold_for_an_hour_and_not_for_ever(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    words = [handover.lay_out(KEEP.sent("edited")) for _ in range(80)]
    assert len(set(words)) == 80 and all(map(handover.taken, words))
    for word, age, there in ((words[0], 3500, True), (words[1], 3700, False)):
        (path,) = tmp_path.rglob(f"*{word}*")
        os.utime(path, (time.time() - age,) * 2)
        assert (handover.taken(word) is not None) == there


def test_a_word_finds_no_other_file(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    handover.lay_out(KEEP.sent("edited"))
    KEEP.sent("edited").write(tmp_path / "take-aaaa.safetensors")
    room = tmp_path / "gan-inversion-handed-out"
    (room / "take-").mkdir()  # so that a way through it would be one
    for word in ("", "a", "a" * 16, "../" + "a" * 13, "/../../take-aaaa", "a\0b", "a" * 9000):
        assert handover.taken(word) is None


def test_a_code_counts_for_its_own_picture_and_generator_alone():
    sent = KEEP.sent("edited")
    given = {mark(FACE): sent}
    assert known(given, FACE, FAKE) is W and known(None, FACE, FAKE) is None
    assert known(given, FACE.rotate(90), FAKE) is None
    assert known(given, FACE, SimpleNamespace(fingerprint="other")) is None
    assert known({mark(FACE): replace(sent, w=None)}, FACE, FAKE) is None


@pytest.fixture(scope="module")
def exchange():
    with gr.Blocks() as demo:
        names = {"manipulate": "Manipulate", "contexts": "Diffuse, as context"}
        made = Exchange(names, {"editgan/picture": "EditGAN: Picture"}, 128, False)
        keep = gr.State()
        made.offer(keep)
        made.receive("manipulate", "manipulate", portrait_input("Picture", "A picture."))
        made.receive("contexts", "diffuse", gallery_input("Contexts", 2)[0])
        made.wire(None)
    assert demo.fns
    return made


def test_a_result_goes_to_a_portrait_whole_and_with_its_code(exchange):
    shown = exchange.send(KEEP, "edited", "manipulate", {}, [])
    assert [shown[f"manipulate {i}"] for i in range(5)] == [FACE, 0.5, 0.5, 1, None]
    assert known(shown["given"], FACE, FAKE) is W and "needs no search" in shown["words"]


def test_a_gallery_gets_one_more_until_it_is_full(exchange):
    shown = exchange.send(KEEP, "edited", "contexts", {}, [MASK])
    assert shown["contexts 0"] == [MASK, FACE]
    with pytest.raises(gr.Error, match="2 pictures are the most"):
        exchange.send(KEEP, "edited", "contexts", {}, [MASK, FACE])
    for keep, which in ((None, None), (KEEP, "mask"), (KEEP, "other")):
        with pytest.raises(gr.Error, match="no result to send"):
            exchange.send(keep, which, "contexts", {}, [])


def test_another_page_gets_it_by_a_link(exchange):
    words = exchange.send(KEEP, "edited", "editgan/picture", {}, [])["words"]
    address = words.split('href="')[1].split('"')[0].replace("&amp;", "&")
    assert address.startswith("editgan?in=picture&take=")
    there = Exchange({"picture": "Picture"}, {}, 128, True)
    there._places = {"picture": exchange._places["manipulate"]}
    asked = dict(pair.split("=") for pair in address.split("?")[1].split("&"))
    shown = there.arrive({}, SimpleNamespace(query_params=asked))
    assert mark(shown["picture 0"]) == mark(FACE)
    assert (known(shown["given"], FACE, FakeEditGAN()) == W).all()
    assert there.arrive({}, SimpleNamespace(query_params={})) == {}
    assert there.arrive({}, SimpleNamespace(query_params=asked | {"take": "gone"})) == {}
    assert there.arrive({}, SimpleNamespace(query_params=asked | {"in": "nowhere"})) == {}


def test_a_picture_with_its_code_is_inverted_without_a_search():
    fake, stop = FakeInDomain(), Stop()
    part = manipulate._Part(lambda: fake, CLAY_HEADS)
    sent = Sent(FACE, W, fake.fingerprint)
    for given, steps in (({mark(FACE): sent}, 0), ({}, 20)):
        *_, last = part.invert(FACE, 0.5, 0.5, 1, None, 20, given, stop)
        assert last["keep"].parameters["steps_done"] == steps
    assert [call[0] for call in fake.calls] == ["placed", "invert"]


# ---- side by side -----------------------------------------------------------------------


def test_edits_are_laid_side_by_side_once_each():
    kept = replace(KEEP, pictures={"inversion": MASK, "edited": FACE})
    laid = added([], kept, "inversion")
    assert laid == [(MASK, "before"), (FACE, "smile +1")]
    assert added(laid, kept, "inversion") == laid
    other = replace(kept, parameters={"edits": [{"name": "bigger eyes", "scale": -0.5}]})
    assert [words for _, words in added(laid, other, "inversion")][2:] == ["bigger eyes -0.5"]
    with pytest.raises(gr.Error, match="no edit yet"):
        added([], None, "inversion")
    with pytest.raises(gr.Error, match="are the most"):
        added(laid * (MOST // 2), kept, "inversion")
