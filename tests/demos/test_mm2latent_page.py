"""The page of MM2Latent with a fake pipeline: each endpoint, and every bad input."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image
from safetensors.numpy import load_file

from demos.kit.portraits import TEST
from demos.mm2latent import PAPER, chips, inside, truth
from demos.mm2latent.asked import Asked
from demos.mm2latent.edit import PIVOT
from demos.mm2latent.setting import CLASS_NAMES, CLAY_HEADS, setting_of
from demos.mm2latent.truth import Start, explained, true_mask
from examples.clay.parameters import check_overrides
from examples.clay.parts import CLASSES, PALETTE
from pipelines.condition_codes import CONDITIONS
from pipelines.morphable import CLAY, DECA
from tests.demos.fake_mm2latent import READ, FakeMM2Latent
from tests.demos.preparation import serving, started

WHOLE = (0.5, 0.5, 1)
SEED = TEST.start + 15
PROMPT = "a young person, blond hair, a broad smile, round glasses, a cap"
HEAD = [[n.name, n.rest] for n in CLAY_HEADS.numbers]
PAGE = {"page": "demos.mm2latent.page:build"}


def build(fake: FakeMM2Latent):
    """The app with this page switched on, which starts empty."""
    return started(PAPER, PAGE, fake, Path(__file__).parent / "no examples")


@pytest.fixture(scope="module")
def fake_mm() -> FakeMM2Latent:
    return FakeMM2Latent()


@pytest.fixture(scope="module")
def served(fake_mm):
    with serving(build(fake_mm)) as url:
        yield url


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> str:
    """An own picture with some structure, as a file."""
    y, x = np.mgrid[:160, :160]
    path = tmp_path_factory.mktemp("mm") / "picture.png"
    Image.fromarray(np.stack([x, y, (x * y) % 255], -1).astype(np.uint8)).save(path)
    return str(path)


def painting(labels: np.ndarray, part: int = 1) -> dict:
    """What the browser's painter holds."""
    return {"labels": base64.b64encode(labels.astype(np.uint8).tobytes()).decode(), "part": part}


def face() -> np.ndarray:
    labels = np.zeros((128, 128), np.uint8)
    labels[30:100, 40:90] = 1
    return labels


def ask(
    client, prompt=PROMPT, kind="none", mask=None, sketch=None, numbers=HEAD, variety=1.0,
    unsaid=1.0, many=4,
):  # fmt: skip
    """The results of a request, each as it was shown last."""
    job = client.submit(
        prompt,
        kind,
        mask,
        sketch,
        numbers,
        variety,
        unsaid,
        many,
        api_name="/mm2latent_generate_page",
    )
    job.result()
    return [_newest(values) for values in zip(*job.outputs(), strict=True)]


def _newest(values):
    """The last one that is more than "stays as it is"."""
    kept = [v for v in values if not (isinstance(v, dict) and v.get("__type__") == "update")]
    return kept[-1] if kept else None


def change(client, how="text", target="", pivot=PIVOT, beta=1.0, mask=None, sketch=None,
           numbers=HEAD):  # fmt: skip
    return client.predict(
        how, target, pivot, beta, mask, sketch, numbers, api_name="/mm2latent_edit_page"
    )


def invert(client, path, seed=None):
    return client.predict(handle_file(path), *WHOLE, seed, api_name="/mm2latent_invert")


def refused(call, *words: str) -> None:
    with pytest.raises(Exception) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value


# ---- the page ------------------------------------------------------------------------------------


def test_the_record_has_the_page_and_its_functions() -> None:
    assert PAPER.build.__module__ == "demos.mm2latent.page"
    assert [f.__name__ for f in PAPER.functions(FakeMM2Latent)] == ["generate", "edit", "lists"]


def test_kinds_and_numbers_are_those_of_the_pipeline() -> None:
    assert CLAY_HEADS.kinds == CONDITIONS and len(CLASS_NAMES) == len(CLASSES) == len(PALETTE)
    assert tuple(n.name for n in CLAY_HEADS.numbers) == CLAY.names
    assert all((n.low, n.high) == CLAY.ranges[n.name] for n in CLAY_HEADS.numbers)
    found = np.linspace(-9, 9, len(CLAY.names))
    named = CLAY_HEADS.named(found)
    assert named["face_width"] == CLAY.ranges["face_width"][0] and len(named) == 33
    # What stands at a bound, in single precision, is something that the renderer draws.
    single = CLAY_HEADS.named(found.astype(np.float32))
    assert check_overrides(single) == single


def test_a_photo_domain_has_the_first_numbers_of_each_group_and_no_chips() -> None:
    fake = FakeMM2Latent(size=64, layout=DECA, conditions=("mask", "morphable"))
    at = setting_of("photos", fake)
    assert (at.side, at.kinds, at.rendered, at.chips) == (64, fake.conditions, False, {})
    found = np.zeros(159, np.float32)
    found[[0, 100, 150]] = 0.5, 0.25, 0.125
    named = at.named(found)
    assert len(named) == 24
    assert (named["shape 1"], named["expression 1"], named["head x"]) == (0.5, 0.25, 0.125)


# ---- generate ------------------------------------------------------------------------------------


def test_words_alone_make_a_picture_and_variations(client, fake_mm) -> None:
    shown, words, strip, grid, *_ = ask(client)
    assert (
        Path(shown).exists()
        and "Give words and a condition" in strip
        and grid.count("<figure") == 4
    )
    assert "The judge sees" in words and words.count('class="no"') == 1  # the cap
    assert [call[3:] for call in fake_mm.calls[-4:]] == [(1.0, i) for i in range(4)]


def test_a_condition_and_words_stand_beside_each_alone(client, fake_mm) -> None:
    before = len(fake_mm.calls)
    _, words, strip, grid, *_ = ask(client, kind="mask", mask=painting(face()))
    made = [call[1:3] for call in fake_mm.calls[before : before + 3]]
    assert made == [(PROMPT, ("mask",)), (PROMPT, ()), (None, ("mask",))]
    assert strip.count("<figure") == 3 and "Mask alone" in strip and "86%" in words
    assert grid.count("<figure") == 4


def test_as_many_variations_as_seeds_are_asked_for(client, fake_mm) -> None:
    grid = ask(client, many=7)[3]
    assert grid.count("<figure") == 7 and "Variation 7" in grid
    assert [call[4] for call in fake_mm.calls[-7:]] == list(range(7))
    latent = client.predict(False, api_name="/mm2latent_files")[-1]
    assert "variation 7" in load_file(latent)
    refused(lambda: ask(client, many=17), "Seeds")


def test_a_condition_needs_no_words(client, fake_mm) -> None:
    shown, words, strip, grid, *_ = ask(client, "", "morphable", unsaid=0)
    assert shown and "<figure" not in strip and "no noise to draw" in grid
    assert fake_mm.calls[-1] == ("generate", None, ("morphable",), 0.0, 0)
    # What it leaves open can be drawn all the same.
    assert ask(client, "", "morphable", unsaid=0.5)[3].count("<figure") == 4


def test_bad_requests_are_answered_in_words(client) -> None:
    shown, words, strip, grid, *_ = ask(client, "")
    assert shown is None and "Write a prompt" in words and not grid
    assert "no mask yet" in ask(client, kind="mask")[1]
    empty = painting(np.zeros((128, 128)))
    assert "mask must hold a face" in ask(client, kind="mask", mask=empty)[1]
    assert "sketch must have lines" in ask(client, kind="sketch", sketch=empty)[1]
    long = f"{PROMPT}, {'very ' * 2000}long"
    assert f"The last {len(long) - READ} characters were not read" in ask(client, long)[1]
    refused(lambda: ask(client, "x" * 20_000), "at most 12000")
    refused(lambda: ask(client, kind="mask", mask=painting(np.zeros((9, 9)))), "128 pixels")
    refused(lambda: ask(client, kind="mask", mask=painting(face() * 40)), "labels below 19")
    refused(lambda: ask(client, numbers=[["yaw", 500]]), "within their ranges")
    refused(lambda: ask(client, variety=9), "Variety")
    refused(lambda: ask(client, unsaid=2), "unsaid")


def test_an_own_picture_gives_every_condition(client, picture, fake_mm) -> None:
    mask = client.predict("mask", handle_file(picture), *WHOLE, None, api_name="/mm2latent_read")[0]
    assert mask["props"]["names"] == list(CLASS_NAMES) and mask["value"]["labels"]
    assert fake_mm.calls[-1] == ("read", "mask")  # no code is asked for
    sketch = client.predict(
        "sketch", handle_file(picture), *WHOLE, None, api_name="/mm2latent_read"
    )[1]
    assert sketch["props"]["names"] == ["paper", "line"]


def test_results_can_be_taken_home(client) -> None:
    ask(client, kind="mask", mask=painting(face()))
    paths = {Path(p).name: p for p in client.predict(True, api_name="/mm2latent_files")}
    assert {"result.png", "mask alone.png", "mask.png", "variation 4.png"} <= set(paths)
    assert (np.asarray(Image.open(paths["mask.png"])) == face()).all()
    assert load_file(paths["latent.safetensors"])["variation 2"].shape == (1, 12, 512)
    parameters = json.loads(Path(paths["parameters.json"]).read_text())
    assert (parameters["prompt"], parameters["condition"]) == (PROMPT, "mask")


# ---- the true answer -----------------------------------------------------------------------------


def test_the_true_answer_says_what_it_cannot_show() -> None:
    start = Start(SEED, face())
    painted = face()
    painted[:64] = 0
    words = explained(start, chips.wishes("red hair"), "horse", {"mask": painted})
    assert f"Portrait {SEED} with red hair" in words and "painted over" in words
    assert "chips alone" in words
    assert "painted" not in explained(start, (), "", {"mask": face()})


@pytest.fixture(scope="module")
def portrait(tmp_path_factory) -> str:
    """A never-seen portrait as a file."""
    from demos.kit.portraits import never_seen

    path = tmp_path_factory.mktemp("mm") / "portrait.png"
    never_seen(SEED).save(path)
    return str(path)


def test_a_seeds_true_mask_brings_the_true_answer(client, portrait, fake_mm) -> None:
    before = len(fake_mm.calls)
    mask = client.predict("mask", handle_file(portrait), *WHOLE, SEED, api_name="/mm2latent_read")[
        0
    ]
    assert len(fake_mm.calls) == before  # the renderer knows it; no network is asked
    labels = np.frombuffer(base64.b64decode(mask["value"]["labels"]), np.uint8)
    assert (labels.reshape(128, 128) == true_mask(SEED)).all()
    strip = ask(client, "red hair", "mask", mask["value"])[2]
    assert strip.count("<figure") == 4 and f"Portrait {SEED} with red hair" in strip


def test_an_edit_by_a_chip_has_a_true_answer(client, portrait) -> None:
    invert(client, portrait, SEED)
    pair, words, answer, verdict, *_ = change(client, target="round glasses")
    assert answer["visible"] and "the true answer" in verdict and "Kept" in words
    answer, verdict = change(client, target="a horse")[2:4]
    assert not answer["visible"] and "chips alone" in verdict
    assert "painted here" in change(client, "mask", mask=painting(face()))[3]
    moved = [[n, 20.0 if n == "yaw" else v] for n, v in HEAD]
    assert change(client, "morphable", numbers=moved)[2]["visible"]


# ---- edit ----------------------------------------------------------------------------------------


def test_a_picture_is_inverted_at_once_and_edited_by_words(client, picture, fake_mm) -> None:
    pair, words, *_ = invert(client, picture)
    assert len(pair) == 2 and "what its code gives" in words
    pair, words, answer, verdict, *_ = change(client, target="red hair", beta=-2)
    assert fake_mm.calls[-1] == ("edit", "red hair", PIVOT, -2)
    assert "perhaps" in words or "person" in words and "91%" in words
    assert not answer["visible"] and "own picture" in verdict


def test_edits_add_up_and_are_taken_back(client, picture, fake_mm) -> None:
    invert(client, picture)
    refused(lambda: client.predict(api_name="/mm2latent_go_on"), "no edit to keep")
    refused(lambda: client.predict(api_name="/mm2latent_undo"), "nothing to undo")
    change(client, target="red hair")
    story = client.predict(api_name="/mm2latent_go_on")[4]
    assert "red hair, β 1" in story and fake_mm.calls[-1] == ("placed",)
    change(client, "mask", mask=painting(face()))
    assert fake_mm.calls[-1][1] == "mask"
    assert "red hair" in client.predict(api_name="/mm2latent_undo")[4]
    assert "red hair" not in client.predict(api_name="/mm2latent_undo")[4]


def test_bad_edits_are_answered_in_words(client, picture) -> None:
    refused(lambda: change(client), "no picture to edit yet")
    invert(client, picture)
    assert "Say in the target" in change(client)[1]
    empty = painting(np.zeros((128, 128)))
    assert "mask must hold a face" in change(client, "mask", mask=empty)[1]
    refused(lambda: change(client, "none"), "not in the list of choices")
    refused(lambda: change(client, target="red hair", beta=7), "strength")


# ---- look inside ---------------------------------------------------------------------------------


def test_the_newest_request_is_looked_at(client, fake_mm) -> None:
    refused(lambda: client.predict(api_name="/mm2latent_map"), "no request yet")
    ask(client, "", "morphable")
    refused(lambda: client.predict(api_name="/mm2latent_noise"), "no words")
    assert "words with" in client.predict(api_name="/mm2latent_map")
    ask(client)
    row = client.predict(api_name="/mm2latent_noise")
    assert row.count("<figure") == 5 and "1: cosine 0.71" in row
    drawn = client.predict(api_name="/mm2latent_map")
    assert drawn.count("<circle") == 512 + 16 + 2 + 4 and "93%" in drawn
    shown = client.predict(10, api_name="/mm2latent_compare")
    shown = shown if isinstance(shown, str) else shown[0]
    assert shown.count("<figure") == 3 and ("baseline", "tedigan", 10) in fake_mm.calls


def test_the_two_inputs_are_fused_by_hand(client, fake_mm, monkeypatch) -> None:
    def switch(by: str, share: float = 0.5) -> str:
        return client.predict(by, share, api_name="/mm2latent_switch")[1]

    refused(lambda: switch("mean"), "no request yet")
    ask(client)
    refused(lambda: switch("mean"), "nothing to fuse")
    ask(client, kind="mask", mask=painting(face()))
    assert "the result itself" in switch("network") and fake_mm.calls[-1][0] == "generate"
    assert "first 25% of the layers" in switch("layers", 0.25)
    assert fake_mm.calls[-1] == ("ablate", "layers", 0.25, False)
    assert "weighs 75%" in switch("mean", 0.75) and "The judge sees" in switch("mean", 0.7)
    refused(lambda: switch("picture"), "Nobody knows the true answer")
    refused(lambda: switch("magic"), "magic")


def test_the_true_answer_stands_in_the_place_of_the_words() -> None:
    fake, answer = FakeMM2Latent(), Image.new("RGB", (128, 128), "teal")
    asked = Asked("red hair", {"mask": face()}, Start(SEED, face()))
    with pytest.MonkeyPatch.context() as patch:
        seen = []
        patch.setattr(truth, "answer", lambda start, overrides: seen.append(overrides) or answer)
        shown = inside._Part(lambda: fake).switch(asked, "picture", 0.5)
    assert seen == [{"hair_color": "red"}] and "not to blame" in shown["told"]
    assert fake.calls == [("ablate", "picture", 0.5, True)]


# ---- documented functions ------------------------------------------------------------------------


def test_functions_generate_and_edit(client, picture, tmp_path) -> None:
    path, results, latent = client.predict(
        prompt=PROMPT, numbers={"yaw": 20}, api_name="/mm2latent_generate"
    )
    assert results["condition"] == "morphable" and results["scores"]["text"] == 0.31
    assert load_file(latent)["code"].shape == (1, 12, 512)
    mask = tmp_path / "mask.png"
    Image.fromarray(PALETTE[face()]).save(mask)
    results = client.predict(
        subject=handle_file(picture), kind="mask", mask=handle_file(str(mask)),
        api_name="/mm2latent_edit",
    )[1]  # fmt: skip
    assert results["kept"] == 0.91 and results["scores"]["condition"] == 0.86
    refused(
        lambda: client.predict(subject=handle_file(picture), api_name="/mm2latent_edit"),
        "must have its target",
    )
    refused(lambda: client.predict(prompt="", api_name="/mm2latent_generate"), "got neither")
