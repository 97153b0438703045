"""The app stands: where it starts, what is cleaned away under it, and what visitors bring."""

from __future__ import annotations

import contextlib
import gc
import inspect
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio import component_meta, networking, processing_utils
from gradio.blocks import Blocks
from gradio.route_utils import delete_files_created_by_app
from gradio.routes import App
from PIL import Image

import app
from demos import environment
from demos.editgan import paint
from demos.editgan.panel import PageContents
from demos.header import picker
from demos.kit import downloads, imaging
from demos.kit.bridge import CLAY, Pipelines
from demos.kit.imaging import open_picture
from demos.kit.inputs import Pictures
from demos.kit.painter import Painting
from demos.papers import PAPERS

ROOT = Path(__file__).parents[2]
# Each picture in a process of its own, begun from one that has imported all: its answer, and by how
# many megabytes its memory grew at most.
PEAKS = """
import os, resource, sys
import gradio as gr
from demos.kit.imaging import open_picture
gr.Warning = lambda words: None
for path in sys.argv[1:]:
    if os.fork():
        os.wait()
        continue
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        answer = open_picture(path).size
    except gr.Error as error:
        answer = error.message
    print(answer, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, sep="\\t")
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    heard: list[str] = []
    monkeypatch.setattr(gr, "Warning", heard.append)
    imaging._opened.cache_clear()
    return heard


# ---- one intake of pictures ----------------------------------------------------------------------


def grey_16(path: Path) -> None:
    Image.fromarray(np.full((8192, 8192), 40_000, np.uint16)).save(path, compress_level=1)


def transparent(path: Path) -> None:
    Image.new("RGBA", (7100, 7100), (255, 0, 0, 100)).save(path, compress_level=1)


def palette(path: Path) -> None:
    picture = Image.new("P", (8900, 8900), 3)
    picture.putpalette(list(range(30)))
    picture.save(path, compress_level=1, transparency=3)


def jpeg(path: Path) -> None:
    Image.new("RGB", (8900, 8900)).save(path)


def progressive(path: Path) -> None:
    Image.new("RGB", (5300, 5300)).save(path, progressive=True, subsampling=0)


def too_large(path: Path) -> None:
    Image.new("RGB", (8192, 8192)).save(path, compress_level=1)


def web(path: Path) -> None:
    Image.new("RGB", (3500, 3500)).save(path, method=0)


UPLOADS = {
    "16.png": (grey_16, "(2048, 2048)"), "alpha.png": (transparent, "(2048, 2048)"),
    "palette.png": (palette, "(2048, 2048)"), "a.jpg": (jpeg, "(2048, 2048)"),
    "progressive.jpg": (progressive, "(2048, 2048)"),
    "large.png": (too_large, "takes 268 MB to open"), "a.webp": (web, "(2048, 2048)"),
}  # fmt: skip


@pytest.fixture(scope="module")
def peaks(tmp_path_factory) -> dict[str, tuple[str, float]]:
    """Of each upload: the answer, and the memory that it took at most [MB]."""
    folder = tmp_path_factory.mktemp("uploads")
    for name, (make, _) in UPLOADS.items():
        make(folder / name)
    command = [sys.executable, "-c", PEAKS, *(str(folder / name) for name in UPLOADS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in done.stdout.strip().split("\n")]
    found = zip(UPLOADS, lines, strict=True)
    return {name: (answer, float(peak)) for name, (answer, peak) in found}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory in kilobytes")
@pytest.mark.parametrize("name", UPLOADS)
def test_no_upload_costs_more_than_300_mb(peaks, name):
    (answer, peak), (_, expected) = peaks[name], UPLOADS[name]
    assert expected in answer and 0 < peak < 300


def test_a_large_upload_keeps_its_look(tmp_path, warnings):
    x = np.linspace(0, 255, 3000).astype(np.uint8)
    image = Image.fromarray(np.stack([np.tile(x, (2500, 1))] * 3, -1))
    for name in ("a.png", "a.jpg"):
        image.save(tmp_path / name)
        found = open_picture(tmp_path / name)
        assert found.size == (2048, 1707)
        expected = image.resize(found.size, Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(found, int) - np.asarray(expected)).max() <= 3
    assert not warnings


def test_sixteen_bits_alpha_and_turning_have_one_rule(tmp_path, warnings):
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))
    Image.fromarray(ramp).save(tmp_path / "16.png")
    found = np.asarray(open_picture(tmp_path / "16.png"))
    assert np.array_equal(found[..., 0], (ramp / 257).round()) and "8 bits" in warnings.pop()

    Image.new("RGBA", (40, 40), (9, 8, 7, 255)).save(tmp_path / "opaque.png")
    assert open_picture(tmp_path / "opaque.png").getpixel((0, 0)) == (9, 8, 7) and not warnings
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert open_picture(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    assert "partly transparent" in warnings.pop()

    marked = Image.new("RGB", (64, 40))
    marked.paste("white", (0, 0, 8, 8))
    for orientation, corner in ((1, (2, 2)), (3, (61, 37)), (6, (37, 2)), (8, (2, 61))):
        exif = Image.Exif()
        exif[0x0112] = orientation
        marked.save(tmp_path / f"{orientation}.png", exif=exif)
        turned = open_picture(tmp_path / f"{orientation}.png")
        assert turned.getpixel(corner) == (255, 255, 255)
        assert turned.size == ((64, 40) if orientation < 5 else (40, 64))


def test_a_picture_is_decoded_once_and_is_the_callers_own(tmp_path, monkeypatch, warnings):
    Image.new("RGB", (40, 40), "red").save(tmp_path / "a.png")
    counted = []
    real = imaging._reduced
    monkeypatch.setattr(imaging, "_reduced", lambda *a: counted.append(a) or real(*a))
    first = open_picture(tmp_path / "a.png")
    first.paste("blue", (0, 0, 40, 40))
    assert open_picture(tmp_path / "a.png").getpixel((0, 0)) == (255, 0, 0) and len(counted) == 1


def test_a_gallery_is_counted_before_it_is_opened(tmp_path, monkeypatch, warnings):
    gallery = Pictures(render=False)
    gallery.most = 2
    Image.new("RGB", (3000, 3000)).save(tmp_path / "a.png", compress_level=1)
    item = SimpleNamespace(image=SimpleNamespace(path=str(tmp_path / "a.png")))
    first, second = gallery.preprocess(SimpleNamespace(root=[item] * 2))
    assert first is second and first.size == (1024, 1024)
    monkeypatch.setattr("demos.kit.inputs.open_picture", None)
    with pytest.raises(gr.Error, match="2 pictures are the most here; got 3"):
        gallery.preprocess(SimpleNamespace(root=[item] * 3))


def test_an_upload_that_was_cleaned_away_is_said_without_its_path(tmp_path):
    with pytest.raises(gr.Error, match="files are kept for an hour") as caught:
        open_picture(tmp_path / "gone.png")
    assert str(tmp_path) not in str(caught.value)


def test_the_end_of_an_app_takes_no_picture_of_another():
    """A drawn portrait may be byte for byte what another app shows from the start."""
    portrait, apps = Image.effect_noise((64, 64), 60).convert("RGB"), []
    for value in (portrait, None):
        imaging.keep_files_whole()
        with gr.Blocks() as demo:
            apps.append((demo, gr.Image(value, format="png")))
    (_, shown), (ending, drawing) = apps
    drawn = drawing.postprocess(portrait).model_dump()
    drawn = processing_utils.move_files_to_cache(drawn, drawing, postprocess=True)["path"]
    with open(shown.value["path"], "rb") as one, open(drawn, "rb") as other:
        assert one.read() == other.read()
    delete_files_created_by_app(ending, None)
    assert not Path(drawn).exists() and Path(shown.value["path"]).exists()


# ---- what else visitors send ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "label", "part", "words"),
    [
        (64, 1, 1, "128 pixels a side; got 64"), (128, 255, 1, "labels below .*; got 255"),
        (128, 1, 99, "number below .*; got 99"),
    ],
)  # fmt: skip
def test_masks_of_other_sizes_and_labels_are_refused(side, label, part, words):
    with gr.Blocks():
        canvas = paint.build(PageContents()).canvas
    value = Painting(np.full((side, side), label, np.uint8), part).value
    with pytest.raises(gr.Error, match=words):
        canvas.preprocess(value)
    assert canvas.preprocess(Painting(np.ones((128, 128), np.uint8), 1).value).part == 1


def test_domains_are_put_out_of_memory():
    built = []
    load = Pipelines(lambda domain: built.append(domain) or object(), most=2)
    clay = load()
    for name in ("a", "b", "a", "c"):
        load(name)
    assert [load.built(name) for name in ("a", "b", "c")] == [True, False, True]
    assert load() is clay and built == [CLAY, "a", "b", "c"]


@pytest.mark.parametrize("kept", [None, [], {}, {"domain": 3, "without": 4}, "text"])
def test_whatever_a_browser_remembers_a_page_opens(kept):
    assert picker._read_choice(kept) == (CLAY, [])


# ---- what is around the app ----------------------------------------------------------------------


def test_folders_for_downloads_come_back_and_many_ask_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "own"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "own" / "served"))
    files, failed = downloads._Files(), []
    for fresh in (files.fresh, downloads.fresh_folder):
        first = fresh()
        shutil.rmtree(tmp_path / "own")
        assert fresh().is_dir() and not first.exists()

    def ask() -> None:
        try:
            for _ in range(30):
                os.utime(files.fresh(), (0, 0))
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.parametrize("told", [None, "example.org", "*"])
def test_this_machine_is_reached_without_a_proxy(monkeypatch, told):
    from urllib.request import proxy_bypass_environment

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # what was unset at first is unset again
        monkeypatch.delenv(name)
    if told:
        monkeypatch.setenv("NO_PROXY", told)
    environment.settle()
    hosts = ["localhost", "127.0.0.1", *([told] if told == "example.org" else [])]
    assert all(proxy_bypass_environment(host) for host in hosts)
    assert told == "*" or not proxy_bypass_environment("example.com")


def test_a_process_has_its_own_folder_for_uploads_which_goes_with_it(monkeypatch, tmp_path):
    looks = "import demos, os; print(name := os.environ['GRADIO_TEMP_DIR'], os.path.isdir(name))"
    told = {name: value for name, value in os.environ.items() if name != "GRADIO_TEMP_DIR"}
    found = subprocess.run(
        [sys.executable, "-c", looks], cwd=ROOT, env=told | {"TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    own, there = found.stdout.split()
    assert Path(own).parent == tmp_path and there == "True" and not Path(own).exists()
    monkeypatch.setenv("GRADIO_TEMP_DIR", "mine")
    environment.settle()
    assert os.environ["GRADIO_TEMP_DIR"] == "mine"


@pytest.mark.parametrize(
    ("status", "patience", "there"),
    [(200, 60.0, True), (401, 60.0, True), (500, 60.0, False), (200, 0.05, False)],
)
def test_a_busy_machine_does_not_end_the_app_at_its_start(monkeypatch, status, patience, there):
    """Gradio asks the app itself whether it answers; ours has the time that a first page takes."""

    class Late(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            time.sleep(0.3)
            with contextlib.suppress(OSError):  # nobody waits any more
                self.send_response(status)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    assert networking.url_ok is environment.answers and environment.PATIENCE > 60
    monkeypatch.setattr(environment, "PATIENCE", patience)
    server = HTTPServer(("127.0.0.1", 0), Late)
    threading.Thread(target=server.handle_request, daemon=True).start()
    assert environment.answers(f"http://127.0.0.1:{server.server_port}/") == there
    server.server_close()
    assert not environment.answers(f"http://127.0.0.1:{server.server_port}/")


def test_no_event_is_followed_by_a_sum_of_all_before_it(pages, monkeypatch):
    records = [{"function": "run", "status": "success", "process_time": 1.0}] * 3
    monkeypatch.setattr(pages._queue, "_get_df", lambda _: pytest.fail("a table of all events"))
    monkeypatch.setattr(pages._queue, "events_recorded", 100_000)
    assert pages._queue.compute_analytics_summary(records) == {"functions": {}}
    assert pages._queue.ANALYTICS_MAX_EVENTS < 1000


def test_gradio_writes_no_interface_files():
    """Its own writer is there to be taken out, and is what makes one for each class."""
    assert component_meta.create_or_modify_pyi.__module__ == environment.__name__
    assert "create_or_modify_pyi(" in inspect.getsource(component_meta.ComponentMeta.__new__)
    assert gc.isenabled()  # it was off while Gradio was imported


def test_all_pages_are_built_with_one_server(monkeypatch):
    made, described = [], Blocks.get_config_file
    real = App.create_app
    monkeypatch.setattr(
        App, "create_app", staticmethod(lambda *a, **k: made.append(a) or real(*a, **k))
    )
    demo = app.build()
    assert len(made) == 1 and demo.app and Blocks.get_config_file is described
    assert len(demo.config["dependencies"]) == len(demo.fns)
    assert [path for path, *_ in demo.config["pages"]] == ["", *(p.slug for p in PAPERS if p.page)]


def test_an_absent_mirror_does_not_end_clay(monkeypatch, tmp_path):
    import weights

    monkeypatch.setenv("GAN_INVERSION_MIRROR", str(tmp_path / "absent"))
    assert weights.fetch("clay-heads/generator").is_file()
    assert any(domain.name == CLAY for domain in weights.domains())
    with pytest.raises(weights.WeightsError, match="expected a directory as mirror"):
        weights.fetch("ffhq/generator", mirror=tmp_path / "absent", local_only=True)


def test_a_vector_beyond_all_learnt_ones_is_refused():
    import torch

    from pipelines.editing_vector import _check_finite

    delta = torch.full((2, 4), 1.5)
    _check_finite("smile", delta)
    with pytest.raises(ValueError, match="smile: delta must hold numbers from -100 to 100; got 1"):
        _check_finite("smile", delta * 1e20)
