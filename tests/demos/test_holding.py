"""What is handed out holds for an hour, over restarts; nothing else does, and nobody shares it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest
from gradio.route_utils import delete_files_created_by_app
from PIL import Image

from demos import environment, holding
from demos.kit import imaging
from demos.kit.downloads import fresh_folder

ROOT = Path(__file__).parents[2]
HOUR = 3600
# `python app.py` with one small page: a picture, files to take home, and a link to another page.
SERVE = """
import app
import gradio as gr
from demos.kit import imaging
from demos.kit.downloads import Keepsake, Sent, take_home
from demos.kit.handover import lay_out, taken
from PIL import Image
import numpy as np

FACE, W = Image.effect_noise((64, 64), 60).convert("RGB"), np.ones((1, 12, 8), np.float32)

def build(*_):
    imaging.keep_files_whole()
    with gr.Blocks(delete_cache=(3600, 3600)) as demo:
        shown, word, told = gr.Image(format="png"), gr.Textbox(), gr.JSON()
        take_home("files", Keepsake({"edited": FACE}, {"edited": W}, {}))
        gr.Button().click(lambda: FACE, None, shown, api_name="picture")
        gr.Button().click(lambda: lay_out(Sent(FACE, W, "g")), None, word, api_name="send")
        gr.Button().click(lambda word: bool(taken(word)), word, told, api_name="arrive")
    return demo.queue()

app.build, app.PAPERS, app.warm_up_renderer = build, (), lambda: None
app.main([])
"""
# A process that holds a folder until its input ends.
HOLD = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("holding", "demos/holding.py")
holding = sys.modules["holding"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(holding)
print(holding.claim(), flush=True)
sys.stdin.read()
"""


@contextmanager
def process(code: str, base: Path, port: int = 7860, **options) -> Iterator[subprocess.Popen]:
    told = {name: value for name, value in os.environ.items() if name != "GRADIO_TEMP_DIR"}
    told |= {"TMPDIR": str(base), "GRADIO_SERVER_PORT": str(port), "MPLCONFIGDIR": str(base)}
    running = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=told, **options)
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


class Address(httpx.Client):
    """A visitor of the running app."""

    def ask(self, name: str, *data) -> list:
        address = f"/gradio_api/call/{name}"
        event = self.post(address, json={"data": data}).raise_for_status().json()["event_id"]
        stream = self.get(f"{address}/{event}").text
        return json.loads(stream.split("event: complete\ndata: ")[1].split("\n")[0])

    def file(self, path: str) -> httpx.Response:
        return self.get(f"/gradio_api/file={path}")


@contextmanager
def started(base: Path, port: int) -> Iterator[tuple[Address, subprocess.Popen]]:
    with process(SERVE, base, port, stdout=subprocess.DEVNULL) as running:
        with Address(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=False) as visitor:
            while True:
                assert running.poll() is None
                try:
                    visitor.get("/config").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            yield visitor, running


def test_links_outlast_restarts_and_uploads_do_not(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with started(tmp_path, port) as (visitor, running):
        (files,), (picture,), (word,) = (visitor.ask(n, *d) for n, *d in (
            ("files", None, True), ("picture",), ("send",),
        ))  # fmt: skip
        promised = [file["path"] for file in (*files, picture)]
        held = {path: visitor.file(path).raise_for_status().content for path in promised}
        assert len(held) == 4  # a picture, its code, its parameters; and the picture shown
        sent = visitor.post("/gradio_api/upload", files={"files": b"mine"}).json()[0]
        assert visitor.file(sent).content == b"mine"
        running.send_signal(signal.SIGTERM)
        running.wait(20)
    with started(tmp_path, port) as (visitor, _):
        assert {path: visitor.file(path).content for path in promised} == held
        assert visitor.file(sent).status_code == 403 and not Path(sent).exists()
        assert visitor.ask("arrive", word) == [True]
        (fresh,) = visitor.ask("picture")  # then killed, by the end of the block
    aged(Path(picture["path"]).parent)
    with started(tmp_path, port) as (visitor, _):
        assert {path: visitor.file(path).content for path in promised[:-1]}.items() <= held.items()
        assert visitor.file(fresh["path"]).is_success
        assert visitor.file(picture["path"]).status_code == 403
    assert not Path(picture["path"]).exists()


def aged(folder: Path, seconds: float = HOUR + 60) -> None:
    """Let a folder and all in it have been made some time ago."""
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (time.time() - seconds,) * 2)


@contextmanager
def holder(base: Path, port: int = 7860) -> Iterator[tuple[Path, subprocess.Popen]]:
    """A process that holds a folder, and the folder."""
    pipe = subprocess.PIPE
    with process(HOLD, base, port, stdin=pipe, stdout=pipe, text=True) as running:
        yield Path(running.stdout.readline().strip()), running


def given(served: Path, name: str) -> Path:
    """A file that is handed out, beside one that was sent."""
    file = holding.handed_out(served) / name / "a.png"
    file.parent.mkdir()
    file.write_text(name)
    (served / f"{name} sent").write_text("")
    return file


def test_apps_at_once_have_folders_of_their_own(tmp_path):
    with holder(tmp_path) as (first, running):
        kept = given(first, "kept")
        with holder(tmp_path) as (second, _), holder(tmp_path, 7861) as (other, _):
            assert len({first, second, other}) == 3 and len(list(first.iterdir())) == 2
            theirs = given(second, "theirs")
        with holder(tmp_path) as (again, _):
            assert again == second and theirs.read_text() == "theirs"
        running.kill()
        running.wait()
        with holder(tmp_path) as (again, _):
            assert again == first and kept.read_text() == "kept"
            assert [path.name for path in first.iterdir()] == [holding.HANDED_OUT]
    own = tmp_path / f"gan-inversion-studio-{os.getuid()}"
    assert {path.stat().st_mode & 0o777 for path in (own, first.parent, first)} == {0o700}


@pytest.fixture
def own(tmp_path, monkeypatch) -> Iterator[Path]:
    """The folder that this process claimed and serves."""
    monkeypatch.setattr(holding, "_own", None)
    monkeypatch.setattr(holding.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7860")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(holding.claim()))
    yield Path(os.environ["GRADIO_TEMP_DIR"])
    holding._own.lock.release()


def test_folders_of_apps_that_were_not_started_again_go(tmp_path, own):
    with holder(tmp_path, 1) as (held, _), holder(tmp_path, 2) as (left, _):
        with holder(tmp_path, 3) as (young, _):
            pass
    with holder(tmp_path, 1) as (held, _):
        for served in (held, left):
            given(served, "old")
            aged(served.parent)
        given(young, "kept")
        holding.tidy(gr.Blocks())
        assert held.is_dir() and young.is_dir() and not left.parent.exists()


def test_what_pages_show_from_the_start_stays_and_is_held_from_now_on(own, monkeypatch):
    imaging.keep_files_whole()
    with gr.Blocks() as demo:
        shown = gr.Image(Image.new("RGB", (8, 8)), format="png")
    first, later, new = Path(shown.value["path"]), given(own, "later"), given(own, "new")
    for file in (first, later):
        aged(file.parent)
    holding.tidy(demo)
    assert first.is_file() and new.is_file() and not later.exists()
    assert time.time() - first.stat().st_mtime < 60


def test_the_end_of_an_app_leaves_what_it_handed_out_and_takes_uploads(own, monkeypatch):
    demo, file = gr.Blocks(), given(own, "kept")
    sent, old = own / "kept sent", given(own, "old")
    demo.upload_file_set.update({str(sent), str(file)})
    aged(old.parent)
    monkeypatch.setattr(holding, "EVERY", 0.05)

    async def serve() -> None:
        async with holding.lasting(SimpleNamespace(get_blocks=lambda: demo)):
            while old.exists():
                await asyncio.sleep(0.01)
            aged(given(own, "older").parent)
            while (file.parents[1] / "older").exists():
                await asyncio.sleep(0.01)
            demo.upload_file_set.add(str(file))

    # In a thread of its own: a browser's test may have left its loop running in this one.
    with ThreadPoolExecutor() as pool:
        pool.submit(asyncio.run, asyncio.wait_for(serve(), 60)).result()
    delete_files_created_by_app(demo, None)
    assert file.is_file() and not sent.exists()


def test_a_folder_that_was_cleaned_away_comes_back_and_is_held(tmp_path, own):
    shutil.rmtree(own.parents[1])
    path = fresh_folder()
    assert path.is_relative_to(own) and own.parents[1].stat().st_mode & 0o777 == 0o700
    assert holding.private().is_dir() and fresh_folder() != path
    with holder(tmp_path) as (other, _):
        assert other.parents[1] == own.parents[1] and other != own


def test_a_picture_that_is_shown_again_is_held_from_then_on(own):
    imaging.keep_files_whole()
    shown, picture = gr.Image(format="png"), Image.new("RGB", (8, 8), "red")
    path = Path(shown.postprocess(picture).path)
    aged(path.parent)
    assert shown.postprocess(picture).path == str(path)
    holding.clear(own)
    assert path.is_file()
    aged(path.parent)
    holding.clear(own)
    assert not path.parent.exists() and shown.postprocess(picture).path == str(path)
    assert path.is_file()


@pytest.mark.parametrize("why", ["another user's", "a link", "a file", "no room"])
def test_without_a_folder_of_its_own_the_app_starts_all_the_same(
    tmp_path, monkeypatch, caplog, why
):
    name = tmp_path / f"gan-inversion-studio-{os.getuid()}"
    if why == "another user's":
        monkeypatch.setattr(holding.os, "getuid", lambda: -5)
        name = tmp_path / "gan-inversion-studio--5"
    if why == "a link":
        (tmp_path / "elsewhere").mkdir()
        name.symlink_to(tmp_path / "elsewhere")
    if why == "a file":
        name.write_text("")
    if why == "no room":
        monkeypatch.setattr(holding, "_held", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
    monkeypatch.setattr(holding, "_own", None)
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    environment._temporary.cache_clear()
    environment.settle()
    monkeypatch.setattr(holding.tempfile, "tempdir", str(tmp_path))
    before = os.environ["GRADIO_TEMP_DIR"]
    with caplog.at_level(logging.WARNING):
        environment.outlast_restarts()
    assert os.environ["GRADIO_TEMP_DIR"] == before and "not outlast a restart" in caplog.text
    assert fresh_folder().is_relative_to(before) and holding.private() is None
    holding.tidy(gr.Blocks())


def test_a_folder_that_the_user_set_stays_and_is_tidied(tmp_path, monkeypatch):
    monkeypatch.setattr(holding, "_own", None)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "mine"))
    environment.outlast_restarts()
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path / "mine")
    old, new = (given(tmp_path / "mine", name) for name in ("old", "new"))
    aged(old.parent)
    aged(tmp_path / "mine" / "old sent")  # of other programs, for all that is known
    holding.tidy(gr.Blocks())
    assert new.is_file() and not old.exists() and (tmp_path / "mine" / "old sent").exists()
