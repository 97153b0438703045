"""Files of the Hub need no pin: what it states is checked, kept, and expected from then on.

All against a small Hub of this machine, with its misbehaviour.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

import weights
from tests.test_weights import CARD, ROOT, Tiny, refused
from tests.weights.conftest import SOURCE, left, parts
from tests.weights.hub import COMMIT
from weights import lockfile
from weights import manifest as manifests
from weights.__main__ import main

SUM = hashlib.sha256(SOURCE).hexdigest()
LARGE = os.urandom(400_000)


@pytest.fixture
def manifest(listed, converters) -> Path:
    """One row of a Hub repository, without a checksum."""
    return listed(repo="someone/nets", url=None, sha256="", bytes=0)


@pytest.fixture
def large(hub, listed, converters) -> Path:
    """The same for a file of several packets, and whatever converter."""
    hub.content = LARGE
    converters.convert_file = lambda name, source, target: weights.save(Tiny(2), target, CARD)
    return listed(repo="someone/nets", url=None, sha256="", bytes=0)


def place(cache: Path) -> Path:
    return cache / "sources" / "photo" / "net" / "net.pt"


def kept() -> dict | None:
    """What the lock file keeps of the row."""
    return lockfile.find("photo/net")


def test_what_the_hub_states_is_checked_and_kept(hub, manifest, cache, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    seen = []
    path = weights.fetch("photo/net", on_progress=lambda *now: seen.append(now), manifest=manifest)
    assert path.suffix == ".safetensors" and place(cache).read_bytes() == SOURCE
    assert seen[-1] == ("photo/net", len(SOURCE), len(SOURCE))
    assert kept() == {
        "source": "someone/nets@main net.pt", "revision": COMMIT, "sha256": SUM,
        "bytes": len(SOURCE), "vouched": "hub",
    }  # fmt: skip
    assert [(m, "/cdn/" in p) for m, p, *_ in hub.asked] == [
        ("HEAD", False), ("GET", False), ("GET", True),
    ]  # fmt: skip
    assert [token for *_, token in hub.asked] == [True, True, False], "a token left the Hub"
    before = len(hub.asked)
    assert weights.fetch("photo/net", manifest=manifest) == path and len(hub.asked) == before
    assert 'sha256 = ""' in manifest.read_text(), "the manifest is not for what was downloaded"


def test_a_later_change_is_refused_before_a_byte_of_it(hub, manifest, cache) -> None:
    weights.fetch("photo/net", manifest=manifest)
    for path in (place(cache), *(cache / "converted").iterdir()):
        path.unlink()
    hub.content, sent = SOURCE[::-1], len(hub.sent)
    with refused("photo/net", f"expected sha256 {SUM[:12]}", "when it first arrived", "got",
                 "forget photo/net"):  # fmt: skip
        weights.fetch("photo/net", manifest=manifest)
    assert len(hub.sent) == sent and not place(cache).exists() and kept()["sha256"] == SUM
    assert f"/resolve/{COMMIT}/" in hub.asked[-1][1], "the revision that was kept is asked for"
    assert main(["--manifest", str(manifest), "forget", "photo/net"]) == 0
    assert main(["--manifest", str(manifest), "forget", "photo/net"]) == 1
    with refused("layout"):  # of other bytes
        weights.fetch("photo/net", manifest=manifest)
    assert kept()["sha256"] == hub.sha256 != SUM


def test_a_pinned_sum_that_the_hub_does_not_state_is_refused_at_once(hub, listed, cache) -> None:
    manifest = listed(repo="someone/nets", url=None, sha256="1" * 64)
    with pytest.raises(weights.Altered, match="listed in the manifest.*correct the manifest"):
        weights.fetch("photo/net", manifest=manifest)
    assert not hub.sent and not left(cache)


def test_a_file_changed_on_the_disk_is_refused(hub, manifest, cache, converters, capsys) -> None:
    weights.fetch("photo/net", manifest=manifest)
    for path in (cache / "converted").iterdir():
        path.unlink()
    place(cache).write_bytes(SOURCE[::-1])
    with refused("photo/net", f"expected sha256 {SUM[:12]}", "got"):
        weights.fetch("photo/net", manifest=manifest)
    assert len(converters.calls) == 1
    assert main(["--manifest", str(manifest), "verify"]) == 1
    assert "photo/net: expected sha256" in capsys.readouterr().err


def test_other_bytes_than_stated_are_removed(hub, manifest, cache, converters) -> None:
    hub.stated = "5" * 64
    with pytest.raises(weights.Altered, match="expected sha256 555555555555.*got.*removed"):
        weights.fetch("photo/net", manifest=manifest)
    assert not left(cache) and not converters.calls and kept() is None


def test_a_cut_connection_is_taken_up_where_it_ended(hub, large, cache) -> None:
    hub.cuts = [100_000, 50_000]
    seen = []
    weights.fetch("photo/net", on_progress=lambda *now: seen.append(now[1]), manifest=large)
    assert hub.sent == ["", "bytes=100000-", "bytes=150000-"]
    assert seen == sorted(seen) and seen[-1] == len(LARGE)
    assert place(cache).read_bytes() == LARGE and not parts(cache)


def test_a_server_without_ranges_begins_again(hub, large, cache) -> None:
    hub.cuts, hub.ranges = [100_000], False
    weights.fetch("photo/net", manifest=large)
    assert len(hub.sent) == 2 and place(cache).read_bytes() == LARGE and not parts(cache)


def test_a_line_that_stays_dead_ends_in_one_sentence_and_keeps_what_came(hub, large, cache) -> None:
    hub.cuts = [100_000, 0]
    with refused("photo/net", "RemoteProtocolError|ReadError", "fetch it again"):
        weights.fetch("photo/net", manifest=large)
    (part,) = parts(cache)
    assert part.read_bytes() == LARGE[:100_000] and not place(cache).exists()
    weights.fetch("photo/net", manifest=large)
    assert hub.sent[-1] == "bytes=100000-" and not parts(cache)


def test_a_bad_part_is_fetched_anew(hub, large, cache) -> None:
    hub.cuts = [100_000, 0]
    with pytest.raises(weights.WeightsError):
        weights.fetch("photo/net", manifest=large)
    (part,) = parts(cache)
    part.write_bytes(bytes(100_000))
    weights.fetch("photo/net", manifest=large)
    assert hub.sent[-2:] == ["bytes=100000-", ""] and place(cache).read_bytes() == LARGE


def test_a_part_longer_than_the_file_is_begun_anew(hub, large, cache) -> None:
    hub.cuts = [100_000, 0]
    with pytest.raises(weights.WeightsError):
        weights.fetch("photo/net", manifest=large)
    (part,) = parts(cache)
    part.write_bytes(bytes(len(LARGE) + 1))
    weights.fetch("photo/net", manifest=large)
    assert hub.sent[-2:] == [f"bytes={len(LARGE) + 1}-", ""]
    assert place(cache).read_bytes() == LARGE and not parts(cache)


def test_a_whole_part_is_only_checked(hub, large, cache) -> None:
    """The process ended between the last byte and the check."""
    hub.cuts = [100_000, 0]
    with pytest.raises(weights.WeightsError):
        weights.fetch("photo/net", manifest=large)
    (part,) = parts(cache)
    part.write_bytes(LARGE)
    sent = len(hub.sent)
    weights.fetch("photo/net", manifest=large)
    assert len(hub.sent) == sent and place(cache).read_bytes() == LARGE


def test_a_file_that_vanishes_half_way(hub, large, cache) -> None:
    hub.cuts = [100_000]

    def vanish(name: str, done: int, total: int) -> None:
        hub.gone = True

    with refused("photo/net", "got status 404 after 100000 bytes"):
        weights.fetch("photo/net", on_progress=vanish, manifest=large)
    assert not place(cache).exists() and [p.stat().st_size for p in parts(cache)] == [100_000]
    with refused("photo/net", "no such file"):
        weights.fetch("photo/net", manifest=large)
    hub.gone = False
    weights.fetch("photo/net", manifest=large)
    assert place(cache).read_bytes() == LARGE and hub.sent[-1] == "bytes=100000-"


def test_a_visitor_who_stops_keeps_what_came(hub, large, cache) -> None:
    class Stopped(Exception):
        pass

    def stop(name: str, done: int, total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        weights.fetch("photo/net", on_progress=stop, manifest=large)
    (part,) = parts(cache)
    came = part.stat().st_size
    assert 0 < came < len(LARGE) and not place(cache).exists()
    weights.fetch("photo/net", manifest=large)
    assert hub.sent[-1] == f"bytes={came}-" and place(cache).read_bytes() == LARGE


@contextlib.contextmanager
def fetching(hub, manifest: Path, cache: Path, number: int = 1) -> Iterator[list]:
    """Processes that fetch the row, as `python -m weights fetch` does."""
    chosen = {"HF_ENDPOINT": hub.address, "GAN_INVERSION_CACHE": str(cache)}
    chosen["HF_HOME"] = str(cache.parent / "home")
    ask = [sys.executable, "-m", "weights", "--manifest", str(manifest), "fetch", "photo/net"]
    started = [
        subprocess.Popen(
            ask, cwd=ROOT, env=os.environ | chosen, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_interruptible,
        )
        for _ in range(number)
    ]  # fmt: skip
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


@pytest.fixture
def tensors(hub, listed, tmp_path) -> Path:
    """A row that is safetensors already, so that processes load no torch."""
    file = weights.save({"a": Tiny(300).layer.weight}, tmp_path / "a.safetensors", CARD)
    hub.content = file.read_bytes()
    return listed(repo="someone/nets", url=None, sha256="", bytes=0, file="a.safetensors",
                  state="hub", converter=None)  # fmt: skip


def test_ctrl_c_keeps_the_part_and_uses_nothing_of_it(hub, tensors, cache) -> None:
    hub.gate.clear()
    with fetching(hub, tensors, cache) as (process,):
        wait_for(lambda: [p for p in parts(cache) if p.stat().st_size], process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and said.splitlines() == [
        "Stopped; what has arrived is kept, and the next fetch goes on."
    ]
    (part,) = parts(cache)
    came = part.stat().st_size
    assert 0 < came < len(hub.content) and left(cache) == [part] and kept() is None
    assert not weights.domains(tensors) and manifests.read(tensors)["photo/net"].sha256 == ""
    hub.gate.set()
    path = weights.fetch("photo/net", manifest=tensors)
    assert path.read_bytes() == hub.content and hub.sent[-1] == f"bytes={came}-"


def test_two_processes_fetch_a_file_once(hub, tensors, cache) -> None:
    hub.gate.clear()
    with fetching(hub, tensors, cache, 2) as started:
        wait_for(lambda: parts(cache), *started)
        answers = threading.Timer(0.3, hub.gate.set)  # while the other one waits
        answers.start()
        outputs = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] and "ready in" in outputs[0][0]
    assert hub.sent == [""], "the file came twice"
    assert not parts(cache)


def test_who_waits_for_another_process_takes_what_that_one_brings(hub, tensors, cache) -> None:
    told, row = [], manifests.read(tensors)["photo/net"]
    target = cache / "sources" / "photo" / "net" / "a.safetensors"
    pool = concurrent.futures.ThreadPoolExecutor(1)
    with lockfile.alone(target):
        report = {"on_progress": lambda *now: told.append(now)}
        waiting = pool.submit(weights.fetch, "photo/net", **report, manifest=tensors)
        wait_for(lambda: told)
        assert told[0] == ("photo/net", 0, 0) and not waiting.done() and not hub.asked
        target.parent.mkdir(parents=True)
        target.write_bytes(hub.content)
        lockfile.keep(row, hub.sha256, len(hub.content), "hub", COMMIT)
    assert waiting.result(timeout=20) == target and not hub.sent


def _interruptible() -> None:
    """What runs in the background of a shell ignores Ctrl-C, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(happened: Callable[[], object], *processes: subprocess.Popen) -> None:
    """Until it happened, while these processes live."""
    while not happened():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)


def test_a_small_file_of_which_the_hub_states_no_sum_needs_a_pin(hub, manifest, cache) -> None:
    hub.texts["net.pt"] = SOURCE
    with refused("photo/net", "state the sha256", "got none", "pin photo/net --file"):
        weights.fetch("photo/net", manifest=manifest)
    assert not left(cache)


def test_a_server_that_is_no_hub_is_named(hub, manifest) -> None:
    hub.commit = "../main"
    with refused("photo/net", "expected the commit", "no Hub", "HF_ENDPOINT"):
        weights.fetch("photo/net", manifest=manifest)
    assert not hub.sent


def test_texts_beside_a_network_come_first_and_are_checked(hub, tensors, cache, listed) -> None:
    hub.texts = {"unet/config.json": b"{}", "vocab.txt": b"a b"}
    manifest = listed(
        "photo/unet", repo="someone/sd", url=None, sha256="", bytes=0, state="hub", converter=None,
        file="unet/a.safetensors", beside=["unet/config.json", "vocab.txt"],
    )  # fmt: skip
    path = weights.fetch("photo/unet", manifest=manifest)
    assert path.with_name("config.json").read_bytes() == b"{}"
    assert path.parents[1].joinpath("vocab.txt").read_bytes() == b"a b"
    path.with_name("config.json").unlink()
    assert weights.fetch("photo/unet", manifest=manifest) == path and hub.sent == [""]
    assert path.with_name("config.json").read_bytes() == b"{}"
    path.with_name("config.json").unlink()
    hub.texts["unet/config.json"], hub.false = b"[]", True
    with refused("photo/unet", "unet/config.json", "got another content", "removed"):
        weights.fetch("photo/unet", manifest=manifest)
    assert not path.with_name("config.json").exists() and not parts(cache)


def test_a_hub_cache_says_what_the_hub_stated(hub, manifest, cache, tmp_path, converters) -> None:
    """As a Space has it, whose files are preloaded while it is built."""
    folder = tmp_path / "hub" / "models--someone--nets"
    for part in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (folder / part).mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "blobs" / SUM).write_bytes(SOURCE)
    link = folder / "snapshots" / COMMIT / "net.pt"
    link.symlink_to(f"../../blobs/{SUM}")
    assert weights.fetch("photo/net", local_only=True, manifest=manifest).is_file()
    assert not hub.asked and (kept()["sha256"], kept()["revision"]) == (SUM, COMMIT)
    for path in left(cache):
        path.unlink()
    (folder / "blobs" / SUM).write_bytes(SOURCE[::-1])
    with refused("photo/net", "expected sha256"):
        weights.fetch("photo/net", local_only=True, manifest=manifest)
    assert len(converters.calls) == 1


def test_a_mirrored_file_is_vouched_for_by_the_hub(hub, manifest, tmp_path, monkeypatch) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "net.pt").write_bytes(SOURCE)
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        with refused("photo/net", "expected a sha256", "pin photo/net"):
            weights.fetch("photo/net", mirror=mirror, manifest=manifest)
    weights.fetch("photo/net", mirror=mirror, manifest=manifest)
    assert kept()["vouched"] == "hub" and not hub.sent


def test_another_source_in_the_manifest_is_another_file(hub, manifest, cache) -> None:
    weights.fetch("photo/net", manifest=manifest)
    row = manifests.read(manifest)["photo/net"]
    assert lockfile.known(row).sha256 == SUM
    assert lockfile.known(replace(row, repo="another/nets")).sha256 == ""
    assert lockfile.known(replace(row, revision="d" * 40)).sha256 == ""


@pytest.mark.parametrize("content", ["", "{}", '{"weights": {"a/b": {}}}', "[" * 100_000])
def test_a_damaged_lock_file_is_said_and_nothing_passes(hub, manifest, cache, content) -> None:
    cache.mkdir()
    lockfile.place().write_text(content)
    with refused("checksums of downloaded weights", "got another", "restore"):
        weights.fetch("photo/net", manifest=manifest)
    assert main(["--manifest", str(manifest)]) == 0, "the table is still to be had"
    assert not hub.asked


def test_a_cache_that_cannot_be_written_is_said(hub, manifest, cache) -> None:
    cache.write_text("a file where a folder is to be")
    with pytest.raises(weights.NoRoom, match="expected a folder.*got.*GAN_INVERSION_CACHE"):
        weights.fetch("photo/net", manifest=manifest)


def test_sizes_are_asked_without_a_download(hub, manifest, monkeypatch) -> None:
    assert weights.sizes(["photo/net", "no/such"], manifest) == {"photo/net": len(SOURCE)}
    hub.gone = True
    assert weights.sizes(["photo/net"], manifest) == {}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert weights.sizes(["photo/net"], manifest) == {} and not hub.sent
