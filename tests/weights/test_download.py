"""Downloads: whole or nothing, seconds without a network, progress that ends at the size."""

from __future__ import annotations

import hashlib
import io
import sys
import types

import httpx
import pytest
from huggingface_hub import constants

import weights
from tests.test_weights import command, in_seconds, refused
from tests.weights.conftest import SOURCE, left, parts
from weights import lockfile, transfer
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


def cut(request: httpx.Request, tag: str = '"one"') -> httpx.Response:
    def begun():
        if "Range" not in request.headers:
            yield SOURCE[:10]
        raise httpx.ReadError("the line went dead")

    headers = {"ETag": tag} if tag else {}
    return httpx.Response(
        206 if "Range" in request.headers else 200,
        headers=headers
        | ({"Content-Range": "bytes 10-34/35"} if "Range" in request.headers else {}),
        content=begun(),
    )


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
        (endless, "35 bytes at most.*got more"),
        (unreachable, "neither the file nor a connection"),
        (to_http, "https all the way"),
        (lambda _: httpx.Response(404), "got status 404"),
        (lambda _: httpx.Response(200, content=SOURCE[1:]), "an offer of 34"),
        (lambda _: httpx.Response(200, content=SOURCE[::-1]), "expected sha256"),
    ],
    ids=["endless", "unreachable", "http", "404", "size", "checksum"],
)
def test_a_bad_answer_leaves_nothing(cache, converters, listed, https, handler, said) -> None:
    https(handler)
    with refused("photo/net", said):
        weights.fetch("photo/net", manifest=listed())
    assert not left(cache) and not converters.calls


@pytest.mark.parametrize("sha256", [hashlib.sha256(SOURCE).hexdigest(), ""], ids=["sum", "tag"])
def test_what_came_before_a_cut_is_gone_on_from(cache, converters, listed, https, sha256) -> None:
    """By the checksum, or by the publisher's entity tag where nobody states one."""
    ranges = []

    def rest(request: httpx.Request) -> httpx.Response:
        ranges.append((request.headers["Range"], request.headers.get("If-Range", "")))
        headers = {"Content-Range": f"bytes 10-{len(SOURCE) - 1}/{len(SOURCE)}"}
        return httpx.Response(206, headers=headers, content=SOURCE[10:])

    manifest = listed(sha256=sha256, bytes=0)
    for handler in (cut, cut):
        https(handler)
        with refused("photo/net", "the line went dead"):
            weights.fetch("photo/net", trust=True, manifest=manifest)
        assert [part.read_bytes() for part in parts(cache)] == [SOURCE[:10]]
        assert not converters.calls
    https(rest)
    weights.fetch("photo/net", trust=True, manifest=manifest)
    assert ranges == [("bytes=10-", "" if sha256 else '"one"')] and not parts(cache)
    assert (cache / "sources" / "photo" / "net" / "net.pt").read_bytes() == SOURCE


def test_without_a_sum_or_a_tag_a_part_is_not_trusted(cache, converters, listed, https) -> None:
    https(lambda request: cut(request, tag=""))
    manifest = listed(sha256="", bytes=0)
    with refused("the line went dead"):
        weights.fetch("photo/net", trust=True, manifest=manifest)

    def whole_alone(request: httpx.Request) -> httpx.Response:
        assert "Range" not in request.headers
        return whole(request)

    https(whole_alone)
    weights.fetch("photo/net", trust=True, manifest=manifest)
    assert not parts(cache)


def test_a_download_that_would_fill_the_disk_is_refused(cache, listed, https, monkeypatch) -> None:
    full = types.SimpleNamespace(free=transfer.SPARED + len(SOURCE) - 1)
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: full)
    https(whole)
    with refused("photo/net", "2.0 GB free", "got 2.0 GB", "another disk"):
        weights.fetch("photo/net", manifest=listed())
    assert not left(cache)


def test_size_limit_of_an_unpinned_file(cache, listed, https, monkeypatch) -> None:
    monkeypatch.setattr(transfer, "LARGEST", 20)
    manifest = listed(sha256="", bytes=0)
    for handler in (whole, endless):
        https(handler)
        with refused("photo/net", "20"):
            weights.fetch("photo/net", trust=True, manifest=manifest)
    assert not left(cache)


def test_a_visitor_who_leaves_stops_the_download(cache, listed, https) -> None:
    class Gone(Exception):
        pass

    def leave(*now: object) -> None:
        raise Gone

    https(whole)
    with pytest.raises(Gone):
        weights.fetch("photo/net", on_progress=leave, manifest=listed())
    assert left(cache) == parts(cache), "what is named as the file is not the whole of it"


def test_full_disk_is_one_sentence(cache, listed, https, monkeypatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    https(whole)
    monkeypatch.setattr(transfer.Transfer, "_copy", full)
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


TRUSTED = {"sha256": "", "bytes": 0}


def test_a_publishers_address_is_trusted_once(cache, converters, listed, https, capsys) -> None:
    asked, manifest = https(whole), listed(**TRUSTED)
    ask = ["--manifest", str(manifest), "fetch", "photo/net"]
    with refused("photo/net", "expected a sha256", "fetch photo/net --trust", "example.org"):
        weights.fetch("photo/net", manifest=manifest)
    assert main(ask) == 1 and not asked
    assert main([*ask, "--trust"]) == 0
    kept = lockfile.find("photo/net")
    assert kept["sha256"] == hashlib.sha256(SOURCE).hexdigest() and kept["vouched"] == "trust"
    assert main(ask) == 0 and len(asked) == 1, "what was trusted once is trusted"
    assert weights.domains(manifest) == []


def test_a_later_change_at_an_address_is_refused(cache, converters, listed, https, capsys) -> None:
    manifest = listed(**TRUSTED)
    https(whole)
    weights.fetch("photo/net", trust=True, manifest=manifest)
    for path in (path for path in left(cache) if path != lockfile.place()):
        path.unlink()
    https(lambda _: httpx.Response(200, content=SOURCE[::-1]))
    with pytest.raises(weights.Altered, match="expected sha256.*got.*removed.*forget photo/net"):
        weights.fetch("photo/net", trust=True, manifest=manifest)
    https(lambda _: httpx.Response(200, content=SOURCE + b"!"))
    with pytest.raises(weights.Altered, match="35 bytes.*an offer of 36"):
        weights.fetch("photo/net", trust=True, manifest=manifest)
    assert left(cache) == [lockfile.place()] and len(converters.calls) == 1


def test_an_answer_without_a_size_is_not_trusted(cache, listed, https) -> None:
    class Open(httpx.SyncByteStream):
        def __iter__(self):
            yield SOURCE[:20]

    https(lambda _: httpx.Response(200, stream=Open()))
    with refused("photo/net", "how long the file is", "got no size"):
        weights.fetch("photo/net", trust=True, manifest=listed(**TRUSTED))
    assert not left(cache)


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1), ("no\n", 1), ("", 1)])
def test_one_question_for_all(cache, converters, listed, https, monkeypatch, answer, code) -> None:
    class Person(io.StringIO):
        def isatty(self) -> bool:
            return True

    asked = https(whole)
    manifest = listed("photo/a", **TRUSTED)
    listed("photo/b", **TRUSTED, url="https://example.org/b.pt", licence="unknown")
    monkeypatch.setattr(sys, "stdin", Person(answer))
    monkeypatch.setattr(sys, "stderr", Person())
    assert main(["--manifest", str(manifest), "fetch", "photo"]) == code
    said = sys.stderr.getvalue()
    assert said.count("[y/N]") == 1 and "photo/b: example.org" in said and "unknown" in said
    assert len(asked) == (0 if code else 2)
    if not code:
        monkeypatch.setattr(sys, "stdin", Person())
        assert main(["--manifest", str(manifest), "fetch", "photo"]) == 0


def test_one_dead_line_is_asked_once_a_domain(cache, listed, https, capsys) -> None:
    asked = https(unreachable)
    manifest = listed("photo/a")
    listed("photo/b", url="https://example.org/b.pt")
    assert main(["--manifest", str(manifest), "fetch", "photo"]) == 1
    assert len(asked) == 1
    assert [line[:7] for line in capsys.readouterr().err.splitlines()] == ["photo/a", "photo/b"]


def test_hub_offer_of_another_size_is_not_downloaded(hub, cache, listed) -> None:
    hub.content = SOURCE + b"!"
    with refused("photo/net", "an offer of 36", "someone/nets"):
        weights.fetch("photo/net", manifest=listed(repo="someone/nets", url=None, sha256=""))
    assert not hub.sent and not left(cache)


def test_the_photo_domain_offline_is_one_sentence_a_component(tmp_path) -> None:
    folders = {"HF_HOME": str(tmp_path / "hf"), "XDG_CACHE_HOME": str(tmp_path / "xdg")}
    with in_seconds():
        run = command("fetch", "ffhq", HF_HUB_OFFLINE="1", **folders)
    names = [line.partition(":")[0] for line in run.stderr.splitlines()]
    assert run.returncode == 1 and run.stdout == "" and "Traceback" not in run.stderr
    assert len(names) == len(set(names)) > 10 and all(name.count("/") == 1 for name in names)
    assert {"ffhq/generator", "ffhq/e4e-encoder", "faces/parser", "diffusion/unet"} <= set(names)
    assert not left(tmp_path)
