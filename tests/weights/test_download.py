"""Downloads: whole or nothing, seconds without a network, progress that ends at the size."""

from __future__ import annotations

import hashlib
import http.server
import io
import sys
import threading
import types
from pathlib import Path

import httpx
import pytest
from huggingface_hub import constants

import weights
from tests.test_weights import command, in_seconds, refused
from tests.weights.conftest import SOURCE, left
from weights import download
from weights import manifest as manifests
from weights.__main__ import main


def whole(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=SOURCE)


def test_address_is_downloaded_checked_and_converted(cache, converters, listed, https) -> None:
    asked, seen = https(whole), []
    manifest = listed()
    weights.fetch("photo/net", on_progress=lambda *now: seen.append(now), manifest=manifest)
    weights.fetch("photo/net", manifest=manifest)
    assert asked == ["https://example.org/net.pt"]
    assert seen[-1] == ("photo/net", len(SOURCE), len(SOURCE))
    assert (cache / "sources" / "photo" / "net" / "net.pt").read_bytes() == SOURCE


def test_a_terminal_sees_a_bar(cache, converters, listed, https, monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    https(whole)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(["--manifest", str(listed()), "fetch", "photo/net"]) == 0
    assert "photo/net" in sys.stderr.getvalue() and "100%" in sys.stderr.getvalue()


def cut(request: httpx.Request) -> httpx.Response:
    def parts():
        yield SOURCE[:10]
        raise httpx.ReadError("the line went dead")

    return httpx.Response(200, content=parts())


def endless(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=(SOURCE for _ in range(1000)))


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route")


def to_http(request: httpx.Request) -> httpx.Response:
    if request.url.scheme == "https":
        return httpx.Response(302, headers={"Location": "http://example.org/net.pt"})
    return httpx.Response(200, content=SOURCE)


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (cut, "the line went dead"),
        (endless, "35 bytes at most.*got more"),
        (unreachable, "neither the file nor a connection"),
        (to_http, "https all the way"),
        (lambda _: httpx.Response(404), "got status 404"),
        (lambda _: httpx.Response(200, content=SOURCE[1:]), "an offer of 34"),
        (lambda _: httpx.Response(200, content=SOURCE[::-1]), "expected sha256"),
    ],
    ids=["cut", "endless", "unreachable", "http", "404", "size", "checksum"],
)
def test_a_bad_answer_leaves_nothing(cache, converters, listed, https, handler, said) -> None:
    https(handler)
    with refused("photo/net", said):
        weights.fetch("photo/net", manifest=listed())
    assert not left(cache) and not converters.calls


def test_a_download_that_would_fill_the_disk_is_refused(cache, listed, https, monkeypatch) -> None:
    full = types.SimpleNamespace(free=download.SPARED + len(SOURCE) - 1)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: full)
    https(whole)
    with refused("photo/net", "2.0 GB free", "got 2.0 GB", "another disk"):
        weights.fetch("photo/net", manifest=listed())
    assert not left(cache)


def test_size_limit_of_an_unpinned_file(cache, listed, https, monkeypatch) -> None:
    monkeypatch.setattr(download, "LARGEST", 20)
    manifest = listed(sha256="", bytes=0)
    for handler in (whole, endless):
        https(handler)
        with refused("photo/net", "20"):
            weights.fetch("photo/net", allow_unpinned=True, manifest=manifest)
    assert not left(cache)


def test_a_visitor_who_leaves_stops_the_download(cache, listed, https) -> None:
    class Gone(Exception):
        pass

    def leave(*now: object) -> None:
        raise Gone

    https(whole)
    with pytest.raises(Gone):
        weights.fetch("photo/net", on_progress=leave, manifest=listed())
    assert not left(cache)


def test_full_disk_is_one_sentence(cache, listed, https, monkeypatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    https(whole)
    monkeypatch.setattr(download.tempfile, "mkstemp", full)
    with refused("photo/net", "room for 35 bytes", "No space left"):
        weights.fetch("photo/net", manifest=listed())


def test_told_to_stay_offline(cache, listed, https, monkeypatch) -> None:
    asked = https(whole)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(weights.Offline):
        weights.fetch("photo/net", manifest=listed())
    assert not asked


def test_pin_downloads_once(cache, converters, listed, https, capsys) -> None:
    asked, manifest = https(whole), listed(sha256="", bytes=0)
    assert main(["--manifest", str(manifest), "pin", "photo/net"]) == 0
    assert manifests.find("photo/net", manifest).sha256 == hashlib.sha256(SOURCE).hexdigest()
    assert weights.fetch("photo/net", manifest=manifest).is_file()
    assert len(asked) == 1 and not converters.calls[1:]


def test_one_dead_line_is_asked_once_a_domain(cache, listed, https, capsys) -> None:
    asked = https(unreachable)
    manifest = listed("photo/a")
    listed("photo/b", url="https://example.org/b.pt")
    assert main(["--manifest", str(manifest), "fetch", "photo"]) == 1
    assert len(asked) == 1
    assert [line[:7] for line in capsys.readouterr().err.splitlines()] == ["photo/a", "photo/b"]


@pytest.fixture
def hub(tmp_path: Path, cache, monkeypatch):
    """A Hub on this machine that serves SOURCE, or `server.content`, as every file."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(server.content)))
            self.send_header("ETag", f'"{hashlib.sha256(server.content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "c" * 40)
            self.end_headers()

        def do_GET(self) -> None:
            if "/resolve/" in self.path:  # the Hub's client asks for other things too
                server.served.append(self.path)
            self.do_HEAD()
            self.wfile.write(server.content)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.content, server.served = SOURCE, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield server
    server.shutdown()
    server.server_close()


def test_hub_file_is_converted_with_progress(hub, converters, listed) -> None:
    seen = []
    manifest = listed(repo="someone/nets", url=None)
    weights.fetch("photo/net", on_progress=lambda *now: seen.append(now), manifest=manifest)
    weights.fetch("photo/net", manifest=manifest)
    assert len(hub.served) == 1 and len(converters.calls) == 1
    assert seen[-1] == ("photo/net", len(SOURCE), len(SOURCE))


def test_hub_offer_of_another_size_is_not_downloaded(hub, tmp_path, listed) -> None:
    hub.content = SOURCE + b"!"
    with refused("photo/net", "an offer of 36", "someone/nets"):
        weights.fetch("photo/net", manifest=listed(repo="someone/nets", url=None))
    assert not hub.served and not left(tmp_path / "hub")


def test_hub_file_with_another_checksum_is_removed(hub, tmp_path, converters, listed) -> None:
    hub.content = SOURCE[::-1]
    with refused("photo/net", "expected sha256"):
        weights.fetch("photo/net", manifest=listed(repo="someone/nets", url=None))
    assert not converters.calls
    assert not [path for path in left(tmp_path / "hub") if path.read_bytes() == hub.content]


def test_the_photo_domain_offline_is_one_sentence_a_component(tmp_path) -> None:
    folders = {"HF_HOME": str(tmp_path / "hf"), "XDG_CACHE_HOME": str(tmp_path / "xdg")}
    with in_seconds():
        run = command("fetch", "ffhq", HF_HUB_OFFLINE="1", **folders)
    names = [line.partition(":")[0] for line in run.stderr.splitlines()]
    assert run.returncode == 1 and run.stdout == "" and "Traceback" not in run.stderr
    assert len(names) == len(set(names)) > 10 and all(name.count("/") == 1 for name in names)
    assert {"ffhq/generator", "ffhq/e4e-encoder", "faces/parser", "diffusion/unet"} <= set(names)
    assert not left(tmp_path)
