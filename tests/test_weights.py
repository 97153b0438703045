"""The weights package: files round trip, every failure is one sentence, no pickle is opened."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import gc
import hashlib
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import PyTorchModelHubMixin
from safetensors.torch import load_file as read_raw
from torch import nn

import weights
from tests.weights.conftest import left
from weights import manifest as manifests
from weights.__main__ import main
from weights.files import is_pinned_graph
from weights.manifest import WeightsError

ROOT = Path(__file__).parent.parent
CARD = {
    "recipe": "python -m pipelines.training.tiny",
    "seeds": "train 0..9",
    "minutes": 0.5,
    "device": "1 CPU core",
    "held_out": {"frechet": 12.34567, "psnr": 30.0},
}
OPENED: list[str] | None = None  # paths opened while a test records them


def record(event: str, arguments: tuple) -> None:
    if OPENED is not None and event == "open":
        OPENED.append(str(arguments[0]))


sys.addaudithook(record)


class Tiny(nn.Module, PyTorchModelHubMixin):
    built = 0

    def __init__(self, width: int = 3, channels: dict | None = None) -> None:
        super().__init__()
        Tiny.built += torch.get_default_device().type != "meta"  # without numbers it is a sketch
        self.channels = channels
        self.layer = nn.Linear(width, width)
        self.register_buffer("steps", torch.tensor(70_000))


class Other(nn.Module, PyTorchModelHubMixin):
    def __init__(self, width: int = 3, channels: dict | None = None) -> None:
        super().__init__()
        self.head = nn.Linear(width, width)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A manifest that lists one registered starter network, tiny/net, and one absent Hub file."""
    path = tmp_path / "weights" / "manifest.toml"
    path.parent.mkdir()
    path.write_text("# the first comment stays\n")
    weights.save(Tiny(4, {4: 8, 8: 2}), starter(path), CARD)
    pin(path, "tiny/net", starter(path))
    return path


def starter(manifest: Path, name: str = "tiny-net") -> Path:
    return manifest.parent / "starter" / f"{name}.safetensors"


def pin(manifest: Path, name: str, file: Path) -> None:
    manifests.register(name, sha256(file), file.stat().st_size, manifest)


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def add_hub_row(manifest: Path, digest: str = "", file: str = "net.safetensors") -> None:
    row = f'\n["photo/net"]\nrepo = "someone/nets"\nfile = "{file}"\nsha256 = "{digest}"\n'
    row += 'bytes = 0\nlicence = "MIT"\nstate = "hub"\n'
    manifest.write_text(manifest.read_text() + row)


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m weights ...` as a visitor runs it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "GAN_", "HUGGING"))}
    return subprocess.run(
        [sys.executable, "-m", "weights", *arguments],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@functools.cache
def started() -> float:
    """Seconds that a command takes here which asks nobody: the machine may be a busy one."""
    start = time.monotonic()
    assert command("fetch", "no such weight").returncode == 1
    return time.monotonic() - start


@contextlib.contextmanager
def in_seconds() -> Iterator[None]:
    """The command in the block must not wait for a connection: asking again and again takes 23 s.
    Starting may take twice as long as it took another."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 15 + 2 * started()


def refused(*parts: str):
    """The block must raise a `WeightsError` in one line that contains all of `parts`."""
    return pytest.raises(WeightsError, match=r"(?s)\A" + "".join(f"(?=.*{p})" for p in parts))


def test_round_trip(listed: Path) -> None:
    before = torch.random.get_rng_state()
    net = weights.load(Tiny, "tiny/net", manifest=listed)
    assert torch.equal(before, torch.random.get_rng_state()), "loading moved the caller's seed"
    raw = read_raw(starter(listed))
    assert raw["layer.weight"].dtype == torch.float16
    assert net.layer.weight.dtype == torch.float32
    assert torch.equal(net.layer.weight, raw["layer.weight"].float())
    assert net.steps.item() == 70_000, "an integer went through fp16"
    assert net.channels == {4: 8, 8: 2}, "integer keys became text"
    assert not net.training and not any(p.requires_grad for p in net.parameters())


def test_plain_tensors_and_their_config(listed: Path) -> None:
    tensors = {"mean": torch.full((3,), 1e-9), "count": torch.tensor([5])}
    file = weights.save(
        tensors, starter(listed, "tiny-stats"), CARD, {"layers": [4, 5]}, half=False
    )
    pin(listed, "tiny/stats", file)
    got = weights.load_tensors("tiny/stats", manifest=listed)
    assert torch.equal(got["mean"], tensors["mean"]) and got["count"].dtype == torch.int64
    assert weights.load_config("tiny/stats", manifest=listed) == {"layers": [4, 5]}
    small = weights.save(tensors, starter(listed, "tiny-half"), CARD)
    assert read_raw(small)["mean"].eq(0).all(), "fp16 would hold 1e-9: half=False is not needed"
    with refused("config", "plain tensors", "load_tensors"):
        weights.load_file(Tiny, small)


def test_card_says_how_the_file_was_made(listed: Path) -> None:
    text = starter(listed).with_suffix(".md").read_text()
    for said in ("training.tiny", "train 0..9", "0.5", "1 CPU core", "| frechet | 12.35 |"):
        assert said in text
    assert '"width": 4' in text


def test_numbers_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    for bad in (float("nan"), 1e6):
        with refused("finite", "mean", "half=False"):
            weights.save({"mean": torch.tensor([bad])}, tmp_path / "a.safetensors", CARD)
    assert not list(tmp_path.iterdir())


def test_running_variances_are_kept_whole(tmp_path: Path) -> None:
    """Those of large features are beyond fp16, whose largest number is 65504."""
    norm = torch.nn.BatchNorm1d(2)
    norm.running_var.copy_(torch.tensor([1e6, 1e-7]))
    file = weights.save(dict(norm.state_dict()), tmp_path / "a.safetensors", CARD)
    assert torch.equal(read_raw(file)["running_var"], norm.running_var)
    assert read_raw(file)["weight"].dtype == torch.float16


def test_network_without_config_is_not_saved(tmp_path: Path) -> None:
    with refused("config", "Linear", "constructor"):
        weights.save(nn.Linear(2, 2), tmp_path / "a.safetensors", CARD)
    weights.save(
        nn.Linear(2, 2), tmp_path / "a.safetensors", CARD, {"in_features": 2, "out_features": 2}
    )
    assert weights.load_file(nn.Linear, tmp_path / "a.safetensors").out_features == 2


def test_one_changed_byte_is_found(listed: Path) -> None:
    content = bytearray(starter(listed).read_bytes())
    content[-1] ^= 1
    starter(listed).write_bytes(content)
    with refused("tiny/net", "expected sha256", "got", "register tiny/net"):
        weights.fetch("tiny/net", manifest=listed)


@pytest.mark.parametrize("content", [b"", b"hello, I am not safetensors", b"\xff" * 64])
def test_another_format_under_a_right_checksum_is_found(listed: Path, content: bytes) -> None:
    starter(listed).write_bytes(content)
    pin(listed, "tiny/net", starter(listed))
    with refused("expected a safetensors file", "got something else"):
        weights.fetch("tiny/net", manifest=listed)


def test_git_lfs_pointer_names_its_cure(listed: Path) -> None:
    starter(listed).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    with refused("git lfs pull"):
        weights.fetch("tiny/net", manifest=listed)


def test_tensors_of_another_network_are_named(listed: Path) -> None:
    file = weights.save(Tiny(5).state_dict(), starter(listed, "a"), CARD, {"width": 4})
    with refused(r"shape: layer.weight expected \(4, 4\) got \(5, 5\)"):
        weights.load_file(Tiny, file)
    with refused("missing: head.weight", "unexpected: layer.bias", "load it as Tiny"):
        weights.load_file(Other, starter(listed))
    with refused("Linear to accept the config", "load it as Tiny"):
        weights.load_file(nn.Linear, starter(listed))


def test_unknown_name_suggests_the_close_ones(listed: Path) -> None:
    with refused("'tiny/nett'", "did you mean tiny/net"):
        weights.fetch("tiny/nett", manifest=listed)
    assert main(["--manifest", str(listed), "fetch", "tinny"]) == 1


def test_unpinned_is_refused_unless_allowed(listed: Path, capsys: pytest.CaptureFixture) -> None:
    text = listed.read_text().replace(sha256(starter(listed)), "")
    listed.write_text(text)
    with refused("expected a sha256", "register tiny/net", "trust=True"):
        weights.load(Tiny, "tiny/net", manifest=listed)
    assert weights.fetch("tiny/net", trust=True, manifest=listed) == starter(listed)
    assert main(["--manifest", str(listed), "verify"]) == 1
    assert main(["--manifest", str(listed), "register", "tiny/net"]) == 0
    assert weights.fetch("tiny/net", manifest=listed) == starter(listed)
    assert listed.read_text().startswith("# the first comment stays\n")
    assert sha256(starter(listed)) in capsys.readouterr().out


def test_register_changes_one_row_only(listed: Path) -> None:
    add_hub_row(listed, "0" * 64)
    before = manifests.read(listed)
    assert manifests.register("tiny/net", "a" * 64, 7, listed)
    after = manifests.read(listed)
    assert (after["tiny/net"].sha256, after["tiny/net"].bytes) == ("a" * 64, 7)
    assert after["photo/net"] == before["photo/net"]
    assert not manifests.register("tiny/net", "a" * 64, 7, listed), "nothing to change"
    with refused("starter", "photo/net", "by hand"):
        manifests.register("photo/net", "a" * 64, 7, listed)
    assert main(["--manifest", str(listed), "register", "tiny/missing"]) == 1
    assert manifests.read(listed) == after


def test_register_knows_every_name_of_a_file(listed: Path) -> None:
    row = listed.read_text()
    listed.write_text(row + "\n" + row[row.index("[") :].replace("tiny/net", "tiny/same"))
    weights.save(Tiny(4, {4: 4, 8: 2}), starter(listed), CARD)
    assert main(["--manifest", str(listed), "register", "tiny/net"]) == 0
    after = manifests.read(listed)
    assert after["tiny/same"].sha256 == after["tiny/net"].sha256 == sha256(starter(listed))


@pytest.mark.parametrize(
    "reached", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}], ids=["told", "cut"]
)
def test_offline_is_one_sentence_in_seconds(listed: Path, tmp_path: Path, reached: dict) -> None:
    add_hub_row(listed, "0" * 64)
    with in_seconds():
        run = command(
            "--manifest", str(listed), "fetch", "photo", HF_HOME=str(tmp_path / "hf"), **reached
        )
    assert run.returncode == 1 and run.stdout == ""
    (line,) = run.stderr.strip().splitlines()
    assert "nor a connection" in line and "Traceback" not in line and "--mirror" in line
    assert not left(tmp_path / "hf")


def test_published_without_converter_says_so(listed: Path, capsys: pytest.CaptureFixture) -> None:
    add_hub_row(listed, "0" * 64, "net.pt")
    listed.write_text(listed.read_text().replace('"hub"', '"published"'))
    with refused("photo/net", "published, converter not written yet"):
        weights.fetch("photo/net", manifest=listed)
    assert main(["--manifest", str(listed)]) == 0
    heading, net, photo = capsys.readouterr().out.splitlines()
    assert net.endswith("starter") and photo.endswith("published, converter not written yet")
    assert heading.index("licence") == net.index("Apache-2.0") == photo.index("MIT")


def test_verify_exit_codes(listed: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--manifest", str(listed), "verify"]) == 0
    assert "1 present, 0 bad" in capsys.readouterr().out
    starter(listed).write_bytes(starter(listed).read_bytes() + b"\0")
    weights.save({"a": torch.zeros(1)}, starter(listed, "stray"), CARD)
    assert main(["--manifest", str(listed), "verify"]) == 1
    wrong, stray = capsys.readouterr().err.splitlines()
    assert "tiny/net: expected sha256" in wrong and "stray.safetensors" in stray


def test_mirror_is_used_and_checked(listed: Path, tmp_path: Path, monkeypatch) -> None:
    mirror = tmp_path / "mirror" / "someone" / "nets" / "net.safetensors"
    weights.save(Tiny(2), mirror, CARD)
    add_hub_row(listed, sha256(mirror))
    root = tmp_path / "mirror"
    assert weights.fetch("photo/net", mirror=root, manifest=listed) == mirror
    monkeypatch.setenv("GAN_INVERSION_MIRROR", str(root))
    assert weights.load(Tiny, "photo/net", manifest=listed).layer.in_features == 2
    flat = mirror.rename(root / "net.safetensors")
    assert weights.fetch("photo/net", manifest=listed) == flat
    weights.save(Tiny(3), flat, CARD)
    with refused("photo/net", "expected sha256"):
        weights.fetch("photo/net", manifest=listed)
    with refused("expected a directory as mirror"):
        weights.fetch("photo/net", mirror=flat, manifest=listed)


class Bomb:
    """Unpickling this ends the process."""

    def __reduce__(self):
        return os._exit, (3,)


def test_pickle_is_refused_and_never_opened(listed: Path, tmp_path: Path) -> None:
    global OPENED
    bomb = tmp_path / "net.pkl"
    bomb.write_bytes(pickle.dumps(Bomb()))
    add_hub_row(listed, sha256(bomb), "net.pkl")
    OPENED = []
    try:
        with refused("expected a .safetensors file", "net.pkl", "execute code"):
            weights.load(Tiny, "photo/net", manifest=listed)
        with refused("net.pkl", "execute code"):
            weights.fetch("photo/net", mirror=tmp_path, trust=True, manifest=listed)
        with refused("net.pkl", "execute code"):
            weights.load_file(Tiny, bomb)
        with refused("net.pkl"):
            weights.save(Tiny(), bomb, CARD)
        assert str(listed) in OPENED, "the recording does not work"
        assert str(bomb) not in OPENED
    finally:
        OPENED = None


def test_shared_network_is_one_object_in_all_threads(listed: Path) -> None:
    built, together = Tiny.built, threading.Barrier(4)

    def open_tab(_: int) -> nn.Module:
        together.wait(timeout=10)
        return weights.shared(Tiny, "tiny/net", "cpu", manifest=listed)

    with concurrent.futures.ThreadPoolExecutor(4) as tabs:
        networks = list(tabs.map(open_tab, range(4)))
    assert all(network is networks[0] for network in networks)
    assert Tiny.built == built + 1
    assert weights.load(Tiny, "tiny/net", manifest=listed) is not networks[0]


def test_a_shared_network_that_nobody_holds_is_put_out(listed: Path) -> None:
    built = Tiny.built
    network = weights.shared(Tiny, "tiny/net", "cpu", manifest=listed)
    assert weights.shared(Tiny, "tiny/net", "cpu", manifest=listed) is network
    watched = weakref.ref(network)
    del network
    gc.collect()
    assert watched() is None
    weights.shared(Tiny, "tiny/net", "cpu", manifest=listed)
    assert Tiny.built == built + 2


def test_checksum_is_computed_once_a_file(listed: Path, monkeypatch) -> None:
    computed = []
    original = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: computed.append(1) or original(*a))
    for _ in range(3):
        weights.fetch("tiny/net", manifest=listed)
    assert len(computed) == 1
    os.utime(starter(listed), (1, 1))
    weights.fetch("tiny/net", manifest=listed)
    assert len(computed) == 2


def test_the_list_that_ships() -> None:
    rows = manifests.read()
    parts = "generator w-statistics judge parser perceptual indomain-encoder"
    parts += " conventional-encoder boundaries indomain-calibration"
    for part in parts.split():
        row = rows[f"clay-heads/{part}"]
        assert row.file == manifests.starter_file(row.name) and row.licence == "Apache-2.0"
    for row in rows.values():
        inert = Path(row.file).suffix == ".safetensors" or is_pinned_graph(row)
        assert inert or row.state == "published", row.name


def test_command_line_starts_without_torch() -> None:
    code = "import sys, weights.__main__ as m; m.main([]); sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0 and "generator" in run.stdout, run.stderr
