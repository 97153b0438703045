"""The face in an own picture, with a finder that knows where the faces are."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image, ImageDraw

from demos.kit.faces import CROP, FacePanel, Look, look
from demos.kit.inputs import portrait_input
from pipelines import alignment
from tests.demos.visitor import Visitor

CHROMIUM = shutil.which("chromium")
# Centres of the eyes' lines of the drawn faces; each face is 20 px between the eyes.
PLACES = {"red": (80, 110), "blue": (260, 120)}


def crowd(colours: tuple[str, ...] = ("red", "blue")) -> Image.Image:
    """A grey picture with a coloured block for each face."""
    picture = Image.new("RGB", (360, 240), "grey")
    for colour in colours:
        x, y = PLACES[colour]
        ImageDraw.Draw(picture).rectangle((x - 25, y - 30, x + 25, y + 40), fill=colour)
    return picture


def find(image: Image.Image) -> list[alignment.Face]:
    """A face wherever the picture is red or blue."""
    faces = []
    for colour, (x, y) in PLACES.items():
        red, _, blue = image.getpixel((x, y)) if image.size == (360, 240) else (0, 0, 0)
        if red != blue:
            points = np.array([(-10, 0), (10, 0), (0, 8), (-6, 20), (6, 20)], float) + (x, y)
            width = 30.0 if colour == "red" else 20.0
            faces.append(alignment.Face(points, (x - width, y - 30.0, x + width, y + 40.0), 0.99))
    if not faces:
        raise alignment.NoFace("image must show a face; got <none>. Crop it by hand.")
    return faces


@pytest.fixture(autouse=True)
def finder(monkeypatch):
    monkeypatch.setattr(alignment, "find_faces", find)


def colour_of(picture: Image.Image) -> str:
    red, _, blue = picture.getpixel((picture.width // 2, picture.height // 2))
    return "red" if red > 200 > blue else "blue" if blue > 200 > red else "neither"


def panel() -> FacePanel:
    return FacePanel("clay-heads", None, None, None, None)


def test_faces_become_crops_largest_first():
    found = look(crowd(), "clay-heads")
    assert [colour_of(crop) for crop in found.crops] == ["red", "blue"]
    assert {crop.size for crop in found.crops} == {(CROP, CROP)}
    assert "face 1 of 2" in found.notes[0] and "mirrored" not in found.notes[0]


def test_no_face_is_said_and_the_picture_stays():
    found = look(crowd(()), "clay-heads")
    assert not found.crops and found.upload.size == (360, 240)
    assert "got &lt;none&gt;" in found.notes[0] and "Crop by hand" in found.notes[0]


def test_what_lies_outside_is_said(monkeypatch):
    assert "outside" not in look(crowd(("blue",)), "clay-heads").notes[0]
    monkeypatch.setitem(PLACES, "blue", (330, 120))
    (note,) = look(crowd(("blue",)), "clay-heads").notes
    assert "of the square lay outside the picture and is mirrored" in note


def test_a_domain_without_faces_and_a_missing_finder_are_said(monkeypatch):
    assert "got &#x27;lsun-car&#x27;" in look(crowd(), "lsun-car").notes[0]

    def missing(image):
        raise alignment.NoFinder("faces/yunet: got neither the file nor a connection")

    monkeypatch.setattr(alignment, "find_faces", missing)
    found = look(crowd(), "clay-heads")
    assert not found.crops and "neither the file nor a connection" in found.notes[0]


def test_a_framed_picture_is_used_as_it_is(monkeypatch):
    framed = SimpleNamespace(image=Image.new("RGB", (8, 8)), mirrored=0.0, framed=True)
    monkeypatch.setattr(alignment, "align", lambda *_: framed)
    found = look(crowd(("red",)), "clay-heads")
    assert not found.crops and "already sits" in found.notes[0]


def test_the_switch_goes_to_the_upload_and_back():
    upload = crowd()
    shown = panel().align(upload)
    crop, found = shown["picture"], shown["found"]
    assert colour_of(crop) == "red" and shown["choice"]["visible"]
    assert (shown["x"], shown["y"], shown["zoom"]) == (0.5, 0.5, 1)
    back = panel().turn(False, crop, found)
    assert back["picture"] is upload and back["found"] is found
    assert not back["words"] and not back["choice"]["visible"]
    again = panel().turn(True, upload, back["found"])
    assert again["picture"].tobytes() == crop.tobytes()
    # Another picture was put there meanwhile: the switch must not bring the old upload back.
    untouched = panel().turn(False, Image.new("RGB", (9, 9)), found)
    assert "picture" not in untouched and untouched["found"] is None


def test_another_face_can_be_chosen():
    found = look(crowd(), "clay-heads")
    shown = panel().choose(found, SimpleNamespace(index=1))
    picture = shown["picture"]
    assert colour_of(picture) == "blue" and "face 2 of 2" in shown["words"]
    assert "choice" not in shown and shown["found"] is found
    assert found.holds(picture) and not found.holds(None)
    assert not Look(picture, (), ("",)).holds(found.upload)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[str]:
    with gr.Blocks() as demo:
        portrait = portrait_input("Picture", "The picture.", align_api="align_face")
        size = gr.Textbox(label="Size")
        portrait.picture.change(lambda p: str(p and p.size), portrait.picture, size)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    yield url
    demo.close()


def saved(picture: Image.Image, folder: Path) -> str:
    picture.save(folder / "crowd.png")
    return str(folder / "crowd.png")


def test_the_endpoint(page, tmp_path):
    client = Visitor(page)
    picture, words, choice, *dials = client.predict(
        handle_file(saved(crowd(), tmp_path)), True, api_name="/align_face"
    )
    assert colour_of(Image.open(picture)) == "red" and "face 1 of 2" in words
    assert len(choice["value"]) == 2 and dials == [0.5, 0.5, 1]
    described = client.view_api(return_format="dict")["named_endpoints"]["/align_face"]
    assert "largest face" in described["description"]
    client.close()


@pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the path")
def test_upload_choose_and_switch_in_a_browser(page, browser, tmp_path):
    from playwright.sync_api import expect

    with browser.new_context() as visit:
        visitor = visit.new_page()
        visitor.goto(page)
        size, shown = visitor.get_by_label("Size"), visitor.locator(".image-frame img").first
        visitor.locator("input[type=file]").first.set_input_files(saved(crowd(), tmp_path))
        expect(visitor.get_by_text("face 1 of 2")).to_be_visible()
        expect(size).to_have_value(str((CROP, CROP)))
        first = _content(visitor, shown)
        visitor.get_by_label("Thumbnail 2 of 2").click()
        expect(visitor.get_by_text("face 2 of 2")).to_be_visible()
        assert _content(visitor, shown) != first
        visitor.get_by_label("Align an own picture to its face").uncheck()
        expect(size).to_have_value("(360, 240)")
        expect(visitor.get_by_text("face 2 of 2")).to_have_count(0)
        visitor.get_by_label("Align an own picture to its face").check()
        expect(visitor.get_by_text("face 1 of 2")).to_be_visible()
        expect(size).to_have_value(str((CROP, CROP)))


def _content(visitor, image) -> str:
    return hashlib.sha256(visitor.request.get(image.get_attribute("src")).body()).hexdigest()
