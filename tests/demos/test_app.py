"""Every page with the fake pipeline: each endpoint through the client, and every bad input."""

from __future__ import annotations

import ast
import json
import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image
from safetensors.numpy import load_file

import app
from demos.indomain.invert import METHODS
from demos.indomain.manipulate import NOTHING, remember, undo
from demos.indomain.setting import CLAY_HEADS, origin, setting_of
from demos.kit import portraits
from demos.kit.bridge import BOARD, Lazy
from demos.kit.portraits import TEST, never_seen
from demos.papers import SLUGS
from examples.clay.edits import EDITS
from tests.demos.fake_domains import FakePhotos
from tests.demos.fake_pipeline import FakeInDomain
from tests.demos.visitor import Visitor, until
from weights import WeightsError

ROOT = Path(__file__).parents[2]
CROP = (0.5, 0.5, 0.4, 0.4)
WHOLE = (0.5, 0.5, 1)


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """Two pictures with some structure, as files."""
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:160, :160]
    pixels = np.stack([x, y, (x * y) % 255], -1).astype(np.uint8)
    return [
        saved(Image.fromarray(p), folder, f"{i}.png") for i, p in enumerate((pixels, 255 - pixels))
    ]


@pytest.fixture(scope="session")
def face(faces):
    return faces[0]


def saved(picture: Image.Image, folder: Path, name: str = "input.png", **options) -> str:
    picture.save(folder / name, **options)
    return str(folder / name)


def gallery(*paths: str) -> list[dict]:
    return [{"image": handle_file(path), "caption": None} for path in paths]


def diffuse(client, target, contexts, crop=CROP, steps=10, rival=False, **options):
    return client.predict(
        target and handle_file(target), *WHOLE, None, contexts, *crop, steps, rival,
        api_name="/indomain_diffuse", **options,
    )  # fmt: skip


def test_diffuse_returns_pictures_words_and_files(client, face):
    live, report, pair, sheet = diffuse(client, face, gallery(face, face), rival=True)
    assert Image.open(live).size[0] > 2 * 128
    assert "after 10 steps" in report and "<svg" in report
    assert len(pair) == 2 and Image.open(sheet).size[1] > 2 * 128
    files = client.predict(True, api_name="/indomain_diffuse_files")
    names = sorted(Path(f).name for f in files)
    assert names == ["diffused-1.png", "diffused-2.png", "latent.safetensors", "parameters.json"]
    code = next(f for f in files if f.endswith(".safetensors"))
    assert load_file(code)["diffused-1"].shape == (1, 12, 512)


def parameters(client, part: str) -> dict:
    files = client.predict(True, api_name=f"/indomain_{part}_files")
    return json.loads(Path(next(f for f in files if f.endswith(".json"))).read_text())


def test_the_parameters_make_a_result_again(client, face):
    drawn, seed = client.predict(TEST.start, api_name="/indomain_never_seen_portrait")
    first, second = (handle_file(drawn), 0.4, 0.6, 1.5, seed), (handle_file(face), *WHOLE, seed)
    known = {"seed": TEST.start, "square": [0.4, 0.6, 1.5]}
    own = {"seed": None, "square": list(WHOLE)}
    client.predict(*first, gallery(face), *CROP, 10, False, api_name="/indomain_diffuse")
    found = parameters(client, "diffuse")
    assert found["target"] == known and found["steps"] == found["steps_done"] == 10
    assert np.allclose(found["box"], (0.3, 0.3, 0.7, 0.7))
    client.predict(*first, 20, api_name="/indomain_invert")
    found = parameters(client, "invert")
    assert found["picture"] == known and found["steps"] == 20
    assert found["steps_done"]["in-domain"] == 20
    client.predict(*first, *second, 5, 10, api_name="/indomain_interpolate")
    found = parameters(client, "interpolate")
    assert (found["first"], found["second"]) == (known, own)
    assert found["steps"] == found["steps_done"]["in-domain-b"] == 10 and found["count"] == 5
    client.predict(*first, 30, api_name="/indomain_manipulate_invert")
    assert parameters(client, "manipulate")["picture"] == known
    client.predict(False, *[0] * len(EDITS), api_name="/indomain_manipulate")
    found = parameters(client, "manipulate")
    assert found["picture"] == known and found["steps"] == found["steps_done"] == 30
    client.predict(gallery(face), gallery(face), 4, 10, api_name="/indomain_mix")
    client.predict(6, api_name="/indomain_remix")
    found = parameters(client, "mix")
    assert (found["steps"], found["steps_done"]["style-1"], found["layers"]) == (10, 10, 6)


def drawn(client, nth: int, *paths: str) -> tuple[list[str], int]:
    """The files of gallery `nth` of the page after a never-seen portrait is added, and its seed."""
    buttons = [
        component["id"]
        for component in client.config["components"]
        if component["props"].get("value") == "Add a new portrait"
    ]
    (listener,) = (
        found["id"]
        for found in client.config["dependencies"]
        if [buttons[nth], "click"] in map(list, found["targets"])
    )
    client.endpoints[listener].is_valid = True  # it is not in the API: this is the page's button
    shown = client.predict(gallery(*paths), fn_index=listener)
    return [item["image"] for item in shown], int(shown[-1]["caption"].removeprefix("seed "))


def test_the_parameters_name_the_seeds_of_a_gallery(client, face):
    (first,), one = drawn(client, 0)
    (_, _, second), two = drawn(client, 0, face, first)
    diffuse(client, face, gallery(second, face, first))
    seeds = [context["seed"] for context in parameters(client, "diffuse")["contexts"]]
    assert seeds == [two, None, one]
    (_, third), three = drawn(client, 0, second)  # the first was taken out
    diffuse(client, face, gallery(third, second))
    found = parameters(client, "diffuse")
    assert found["contexts"] == [{"seed": s, "square": list(WHOLE)} for s in (three, two)]
    (content,), one = drawn(client, 1)
    (style,), two = drawn(client, 2)
    client.predict(gallery(content, face), gallery(style), 4, 10, api_name="/indomain_mix")
    client.predict(6, api_name="/indomain_remix")
    found = parameters(client, "mix")
    assert [content["seed"] for content in found["contents"]] == [one, None]
    assert [style["seed"] for style in found["styles"]] == [two]


def test_only_an_exact_portrait_of_a_drawn_seed_has_its_seed(monkeypatch):
    asked, seeds = [], (TEST.start, TEST.start + 1)
    portrait, touched = never_seen(seeds[1]), never_seen(seeds[1])
    touched.putpixel((0, 0), tuple(255 - v for v in touched.getpixel((0, 0))))
    monkeypatch.setattr(portraits, "never_seen", lambda s: asked.append(s) or never_seen(s))
    monkeypatch.delitem(portraits._MARKS, seeds[0], raising=False)
    given = [touched, portrait, portrait.resize((64, 64)), portrait]
    own, known = origin(None), origin(seeds[1])
    assert CLAY_HEADS.origins(given, seeds) == [own, known, own, known]
    assert asked == [seeds[0]], "the portrait that was drawn is known without a second rendering"
    photographs = setting_of("photos", FakePhotos())
    assert photographs.origins(given, seeds) == CLAY_HEADS.origins(given, ()) == [own] * 4
    assert CLAY_HEADS.origins([], seeds) == [] and asked == [seeds[0]]


def test_json_is_written_on_request_only(client, face):
    diffuse(client, face, gallery(face))
    files = client.predict(False, api_name="/indomain_diffuse_files")
    assert not [f for f in files if f.endswith(".json")]


def test_the_box_reaches_the_pipeline_as_fractions(client, face, fake):
    diffuse(client, face, gallery(face), crop=(0.9, 0.5, 0.4, 0.2))
    assert fake.calls[-1][:3] == ("diffuse", "in-domain", 1)
    assert np.allclose(fake.calls[-1][3], (0.7, 0.4, 1.0, 0.6))


def test_crop_sizes(client, face):
    strip, words = client.predict(
        handle_file(face), *WHOLE, gallery(face), 0.5, 0.5, 10, api_name="/indomain_crop_sizes"
    )
    width, height = Image.open(strip).size
    assert width > 5 * 128 and height > 2 * 128 and "5 of 5" in words


def test_invert_gives_four_pictures_and_a_row_each(client, face):
    *images, table, report, numbers = client.predict(
        handle_file(face), *WHOLE, None, 10, api_name="/indomain_invert"
    )
    assert len(images) == 4 and all(images)
    assert table.count("<tr") == 5 and "close" in report
    assert list(numbers) == list(METHODS) and numbers["in-domain"]["seconds"] >= 0


def test_outside_the_domain_is_said(client, tmp_path):
    flat = saved(Image.new("RGB", (64, 64), "navy"), tmp_path)
    *_, report, _ = client.predict(handle_file(flat), *WHOLE, None, 10, api_name="/indomain_invert")
    assert "outside the domain" in report


def test_the_words_name_every_input_outside_the_domain(client, tmp_path, face):
    flat = saved(Image.new("RGB", (64, 64), "navy"), tmp_path)
    strange, known = ((handle_file(path), *WHOLE, None) for path in (flat, face))
    assert "outside" not in diffuse(client, face, gallery(face))[1]
    report = diffuse(client, flat, gallery(face, flat))[1]
    assert "The target and context 2 are <b>outside the domain</b>" in report
    for second, words in ((known, ""), (strange, "The second picture is <b>outside")):
        _, report = client.predict(*known, *second, 5, 10, api_name="/indomain_interpolate")
        assert words in report and bool(words) == ("outside" in report)
    _, report = client.predict(
        gallery(flat, face), gallery(face, flat, flat), 4, 10, api_name="/indomain_mix"
    )
    words = "Content 1, style 2 and style 3 are <b>outside the domain</b>"
    assert words in report and words in client.predict(6, api_name="/indomain_remix")[1]


def test_interpolate_slider_and_films(client, faces):
    first, second = map(handle_file, faces)
    strip, words = client.predict(
        first, *WHOLE, None, second, *WHOLE, None, 5, 10,
        api_name="/indomain_interpolate",
    )  # fmt: skip
    assert Image.open(strip).size[0] > 7 * 100 and "5 pictures" in words
    pair = client.predict(0.5, api_name="/indomain_interpolate_frame")
    assert len(pair) == 2 and all(pair)
    gif, mp4 = client.predict(api_name="/indomain_interpolate_film")
    assert Image.open(gif).n_frames > 2
    assert b"ftyp" in Path(mp4).read_bytes()[:32]


def test_manipulate_with_its_true_answer(client, fake):
    picture, seed = client.predict(TEST.start, api_name="/indomain_manipulate_never_seen_portrait")
    assert seed == TEST.start and Image.open(picture).size == (128, 128)
    subject = (handle_file(picture), *WHOLE, seed, 10)
    client.predict(*subject, api_name="/indomain_manipulate_invert")
    changes = {"age": 0.5, "yaw": 12.0}
    asked = [changes.get(name, 0) for name in EDITS]
    edited, truth, words, *other = client.predict(True, *asked, api_name="/indomain_manipulate")
    assert edited and truth and "PSNR" not in words and "dB" in words
    assert fake.calls[-1] == ("manipulate", changes)
    assert not any(isinstance(value, str) for value in other), "nothing is compared unasked"
    hidden = client.predict(False, *asked, api_name="/indomain_manipulate")
    assert hidden[1] is None


def test_manipulate_beside_image2stylegan(client, fake, face):
    picture, seed = client.predict(TEST.start, api_name="/indomain_manipulate_never_seen_portrait")
    subject = (handle_file(picture), *WHOLE, seed, 10)
    client.predict(*subject, api_name="/indomain_manipulate_invert")
    fake.calls.clear()
    asked, half = ([change if n == "age" else 0 for n in EDITS] for change in (1, 0.5))
    pair = client.predict(True, *asked, api_name="/indomain_manipulate_compare")[:2]
    assert [call[:2] for call in fake.calls] == [
        ("invert", "image2stylegan"), ("manipulate", {"age": 1}), ("manipulate", {"age": 1}),
    ]  # fmt: skip
    fake.calls.clear()
    edited, _, _, *moved, table = client.predict(True, *half, api_name="/indomain_manipulate")
    assert fake.calls == [("manipulate", {"age": 0.5})] * 2, "the sliders move both, unsearched"
    assert Path(moved[0]).read_bytes() == Path(edited).read_bytes()
    assert all(
        Path(a).read_bytes() != Path(b).read_bytes() for a, b in zip(pair, moved, strict=True)
    )
    assert "age +0.5" in table and table.count("<tr") == 3 and ">LPIPS<" in table
    names = {Path(f).name for f in client.predict(True, api_name="/indomain_manipulate_files")}
    assert {"edited.png", "image2stylegan.png", "image2stylegan-edited.png"} <= names
    assert parameters(client, "manipulate")["compared"]["steps_done"] == 10
    client.predict(handle_file(face), *WHOLE, None, 10, api_name="/indomain_manipulate_invert")
    *_, table = client.predict(True, *half, api_name="/indomain_manipulate_compare")
    assert "There is no true answer" in table and "LPIPS" not in table
    assert sum(call[:2] == ("invert", "image2stylegan") for call in fake.calls) == 1


@pytest.mark.parametrize("seed", [None, TEST.start, 3])
def test_an_upload_has_no_true_answer(client, face, seed):
    client.predict(handle_file(face), *WHOLE, seed, 10, api_name="/indomain_manipulate_invert")
    _, truth, words, *_ = client.predict(True, *[0] * len(EDITS), api_name="/indomain_manipulate")
    assert truth is None and "nobody knows it" in words


def test_undo_takes_back_one_slider_at_a_time():
    steps = [(0.1, 0), (0.5, 0), (0.5, 3.0)]
    changes = [(*step, *NOTHING[2:]) for step in steps]
    history = []
    for change in changes:
        history = remember(history, *change)
    assert history == changes[1:]
    history, *values = undo(history)
    assert tuple(values) == changes[1]
    history, *values = undo(history)
    assert history == [] and tuple(values) == NOTHING


def test_mix_and_remix(client, face):
    grid, words = client.predict(
        gallery(face, face), gallery(face, face, face), 4, 10, api_name="/indomain_mix"
    )
    assert "last 4 of 12" in words and Image.open(grid).size[1] > 4 * 128
    again, words = client.predict(6, api_name="/indomain_remix")
    assert again and "last 6 of 12" in words


def _bad_files(folder: Path) -> dict[str, str]:
    (folder / "words.png").write_text("not a picture at all")
    (folder / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    return {
        "words.png": "not a picture",
        "cut.png": "not a picture",
        saved(Image.new("RGB", (30_000, 40)), folder, "wide.png"): "30000 x 40",
        saved(Image.new("RGB", (1, 1)), folder, "dot.png"): "1 x 1",
    }


def test_bad_files_say_what_is_wrong(client, tmp_path, face):
    for name, words in _bad_files(tmp_path).items():
        with pytest.raises(Exception, match=words):
            diffuse(client, str(tmp_path / name), gallery(face))
        with pytest.raises(Exception, match=words):
            diffuse(client, face, gallery(str(tmp_path / name)))
    assert diffuse(client, face, gallery(face))  # and the app keeps serving


def test_unusual_pictures_are_converted(client, tmp_path, face):
    clear = Image.new("RGBA", (80, 60), (200, 20, 20, 128))
    deep = Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16)
    frames = [Image.new("P", (64, 64), i) for i in range(3)]
    for path in (
        saved(clear, tmp_path, "clear.png"),
        saved(deep, tmp_path, "deep.png"),
        saved(Image.new("CMYK", (64, 64)), tmp_path, "cmyk.jpg"),
        saved(Image.new("LA", (64, 64)), tmp_path, "la.png"),
        saved(frames[0], tmp_path, "moves.gif", save_all=True, append_images=frames[1:]),
    ):
        assert diffuse(client, path, gallery(face))


@pytest.mark.parametrize(
    ("crop", "words"),
    [
        ((0.5, 0.5, 0.0, 0.4), "Crop width must be"),
        ((1.0, 0.5, 0.05, 0.4), "crop is empty"),
        ((3.0, 0.5, 0.4, 0.4), "must be a number from 0 to 1"),
        ((-1.0, 0.5, 0.4, 0.4), "must be a number from 0 to 1"),
        ((None, 0.5, 0.4, 0.4), "must be a number"),
        (("left", 0.5, 0.4, 0.4), "must be a number"),
    ],
)
def test_bad_crops_say_what_is_wrong(client, face, crop, words):
    with pytest.raises(Exception, match=words):
        diffuse(client, face, gallery(face), crop=crop)


def test_dial_refuses_what_is_not_finite():
    from demos.kit.inputs import Dial

    for value in (math.nan, math.inf, None, "1", 2):
        with pytest.raises(Exception, match="must be a number from 0 to 1"):
            Dial(0, 1, 0.5, label="Crop", render=False).preprocess(value)


def test_missing_and_too_many_pictures(client, face):
    with pytest.raises(Exception, match="no picture yet"):
        diffuse(client, None, gallery(face))
    with pytest.raises(Exception, match="1 to 4 contexts; got 0"):
        diffuse(client, face, [])
    with pytest.raises(Exception, match="4 pictures are the most here; got 5"):
        diffuse(client, face, gallery(*[face] * 5))
    with pytest.raises(Exception, match="no network has seen"):
        client.predict(5, api_name="/indomain_never_seen_portrait")


def test_pages_without_stored_results_start_empty(bare):
    client = Visitor(bare)
    with pytest.raises(Exception, match="Press Invert first"):
        client.predict(True, *[0] * len(EDITS), api_name="/indomain_manipulate")
    with pytest.raises(Exception, match="Press Invert first"):
        client.predict(True, *[0] * len(EDITS), api_name="/indomain_manipulate_compare")
    with pytest.raises(Exception, match="no result yet"):
        client.predict(True, api_name="/indomain_mix_files")
    assert not any("stored" in name for name in client.listeners)
    client.close()


def test_a_missing_weight_is_said_and_the_page_keeps_serving(face):
    def missing():
        raise WeightsError("weight clay-heads/generator is missing. Run the download first.")

    demo = app.build(dict.fromkeys(SLUGS, Lazy(missing)))
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, show_error=True)
    client = Visitor(url)
    for _ in range(2):
        with pytest.raises(Exception, match="A file of a network cannot be had"):
            diffuse(client, face, gallery(face))
    assert client.predict(TEST.start, api_name="/indomain_never_seen_portrait")
    client.close()
    demo.close()


def test_a_visitor_who_leaves_stops_the_run(face):
    slow = FakeInDomain(seconds_a_step=0.05)
    demo = app.build({"indomain": lambda: slow})
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    client = Visitor(url)
    job = client.submit(
        handle_file(face), *WHOLE, None, gallery(face), *CROP, 300, False,
        api_name="/indomain_diffuse",
    )  # fmt: skip
    until(lambda: slow.steps_done >= 5)
    assert BOARD.running
    job.cancel()
    until(lambda: not BOARD.running)  # what ran has ended, not its page alone
    assert 5 <= slow.steps_done < 300
    client.close()
    demo.close()


def test_no_listener_reaches_across_pages(pages):
    page_of = {id: block.page for id, block in pages.blocks.items()}
    for fn in pages.fns.values():
        touched = {page_of[block._id] for block in (*fn.inputs, *fn.outputs)}
        assert len(touched) <= 1, f"{fn.name} listens across {touched}"


def test_demos_import_no_torch():
    """Only faces.py asks a pipeline, for alignment and when a picture is uploaded."""
    for path in (ROOT / "demos").rglob("*.py"):
        forbidden = {"torch", "lpips"} | ({"pipelines"} if path.name != "faces.py" else set())
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {n.split(".")[0] for n in names} & forbidden, path


def test_the_pages_name_the_methods_of_the_pipeline():
    import pipelines.indomain_codes

    assert tuple(METHODS) == pipelines.indomain_codes.METHODS


@pytest.fixture(scope="module")
def built() -> tuple[float, list[str]]:
    """Seconds in which a process of its own builds all pages here, and the modules it loads."""
    start, code = time.monotonic(), "import sys, app; app.build(); print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return time.monotonic() - start, done.stdout.split()


def test_the_first_page_is_up_within_ten_seconds(tmp_path, built):
    """From `python app.py` on, networks and renderer are loaded behind the page. On a machine so
    busy that the pages take longer to build, in three times as long as that."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(tmp_path)}
    patience = time.monotonic() + max(10, 3 * built[0])
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not _answers(f"http://127.0.0.1:{port}/"):
            assert time.monotonic() < patience and process.poll() is None
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_pages_are_built_without_torch_and_numba(built):
    assert "gradio" in built[1] and not {"torch", "numba"} & set(built[1])
