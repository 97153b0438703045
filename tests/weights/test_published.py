"""Published files: checked before they are opened, converted once, never half there."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import weights
from tests.test_weights import Tiny, refused
from tests.weights.conftest import SOURCE, left
from weights import conversion
from weights import manifest as manifests
from weights.__main__ import main


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A mirror that holds net.pt under the name of its row."""
    file = tmp_path / "mirror" / "photo" / "net" / "net.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(SOURCE)
    return tmp_path / "mirror"


def test_converted_once_then_the_source_is_not_needed(cache, converters, listed, mirror) -> None:
    manifest = listed()
    path = weights.fetch("photo/net", mirror=mirror, manifest=manifest)
    assert path.is_relative_to(cache) and path.suffix == ".safetensors"
    assert load_file(path)["layer.bias"].shape == (2,)
    (mirror / "photo" / "net" / "net.pt").unlink()
    assert weights.load(Tiny, "photo/net", manifest=manifest).layer.in_features == 2
    assert len(converters.calls) == 1
    names = {file.suffix for file in left(cache)}
    assert names == {".safetensors", ".json"} and len(left(cache)) == 2


def test_mirror_by_variable_and_by_flag(cache, converters, listed, mirror, monkeypatch) -> None:
    manifest = listed()
    monkeypatch.setenv("GAN_INVERSION_MIRROR", str(mirror))
    first = weights.fetch("photo/net", manifest=manifest)
    monkeypatch.delenv("GAN_INVERSION_MIRROR")
    for file in left(cache):
        file.unlink()
    (mirror / "photo" / "net" / "net.pt").rename(mirror / "net.pt")
    ask = ["--manifest", str(manifest), "fetch", "photo", "--mirror", str(mirror)]
    assert main(ask) == 0 and first.is_file()


@pytest.mark.parametrize(
    ("content", "said"),
    [(SOURCE[:-1] + b"!", "expected sha256"), (SOURCE[:-1], f"in {len(SOURCE)} bytes; got 34")],
    ids=["one byte", "size"],
)
def test_damaged_source_is_not_opened(cache, converters, listed, mirror, content, said) -> None:
    (mirror / "photo" / "net" / "net.pt").write_bytes(content)
    with refused("photo/net", said):
        weights.fetch("photo/net", mirror=mirror, manifest=listed())
    assert not converters.calls and not left(cache)


def test_wrong_size_is_seen_without_reading(cache, converters, listed, mirror, monkeypatch) -> None:
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("the file was read"))
    with refused("36 bytes", "got 35 bytes"):
        weights.fetch("photo/net", mirror=mirror, manifest=listed(bytes=36))


def test_unpinned_is_refused_until_pinned(cache, converters, listed, mirror, capsys) -> None:
    manifest = listed(sha256="", bytes=0)
    with refused("photo/net", "expected a sha256", "fetch photo/net --trust", "trust="):
        weights.fetch("photo/net", mirror=mirror, manifest=manifest)
    assert not converters.calls
    weights.fetch("photo/net", mirror=mirror, trust=True, manifest=manifest)
    assert len(converters.calls) == 1
    file = mirror / "photo" / "net" / "net.pt"
    assert main(["--manifest", str(manifest), "pin", "photo/net", "--file", str(file)]) == 0
    assert hashlib.sha256(SOURCE).hexdigest() in capsys.readouterr().out
    row = manifests.find("photo/net", manifest)
    assert (row.sha256, row.bytes) == (hashlib.sha256(SOURCE).hexdigest(), len(SOURCE))
    weights.fetch("photo/net", manifest=manifest)
    assert len(converters.calls) == 1, "the same source was converted twice"


def test_pin_replaces_nothing(cache, listed, tmp_path, capsys) -> None:
    manifest = listed()
    other = tmp_path / "other.pt"
    other.write_bytes(b"another file")
    before = manifest.read_text()
    ask = ["--manifest", str(manifest), "pin", "photo/net", "--file"]
    assert main([*ask, str(other)]) == 1
    assert "as pinned before" in capsys.readouterr().err and manifest.read_text() == before
    assert main([*ask, str(tmp_path / "absent.pt")]) == 1
    other.write_bytes(SOURCE)
    assert main([*ask, str(other)]) == 0
    assert "unchanged" in capsys.readouterr().out and manifest.read_text() == before
    starter = {"file": "starter/a.safetensors", "state": "starter", "converter": None, "url": None}
    with refused("register photo/own"):
        manifests.pin("photo/own", "0" * 64, 1, listed("photo/own", **starter))


def test_damaged_result_is_made_again(cache, converters, listed, mirror, capsys) -> None:
    manifest = listed()
    path = weights.fetch("photo/net", mirror=mirror, manifest=manifest)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert weights.fetch("photo/net", mirror=mirror, manifest=manifest) == path
    assert len(converters.calls) == 2
    path.write_bytes(b"short")
    assert main(["--manifest", str(manifest), "verify"]) == 1
    assert "photo/net: expected the converted file" in capsys.readouterr().err
    assert not left(cache)


def test_new_version_converts_again(cache, converters, listed, mirror, monkeypatch) -> None:
    manifest = listed()
    first = weights.fetch("photo/net", mirror=mirror, manifest=manifest)
    monkeypatch.setattr(conversion, "VERSION", conversion.VERSION + 1)
    second = weights.fetch("photo/net", mirror=mirror, manifest=manifest)
    assert first != second and len(converters.calls) == 2


def test_failing_conversion_leaves_nothing(cache, converters, listed, mirror) -> None:
    manifest, real = listed(), converters.convert_file

    def half(converter: str, source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise KeyError("g_ema")

    converters.convert_file = half
    with refused("photo/net", "'plain'", "KeyError", "g_ema"):
        weights.fetch("photo/net", mirror=mirror, manifest=manifest)
    assert not left(cache)
    converters.convert_file = lambda name, source, target: target.write_bytes(b"not safetensors")
    with refused("expected safetensors from the converter"):
        weights.fetch("photo/net", mirror=mirror, manifest=manifest)
    assert not left(cache)
    converters.convert_file = real
    assert weights.fetch("photo/net", mirror=mirror, manifest=manifest).is_file()


def test_unknown_converter_is_named(cache, converters, listed, mirror) -> None:
    manifest = listed(converter="plane")
    with refused(r"\['plain'\]", "'plane'"):
        weights.fetch("photo/net", mirror=mirror, manifest=manifest)
    assert not left(cache)


def test_threads_convert_once(cache, converters, listed, mirror) -> None:
    manifest = listed()
    with concurrent.futures.ThreadPoolExecutor(4) as tabs:
        ask = [
            tabs.submit(weights.fetch, "photo/net", mirror=mirror, manifest=manifest)
            for _ in range(4)
        ]
        assert len({task.result() for task in ask}) == 1
    assert len(converters.calls) == 1


def test_receipt_says_where_it_came_from(cache, converters, listed, mirror) -> None:
    path = weights.fetch("photo/net", mirror=mirror, manifest=listed())
    receipt = json.loads(path.with_suffix(".json").read_text())
    assert receipt["source_sha256"] == hashlib.sha256(SOURCE).hexdigest()
    assert receipt["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert receipt["name"] == "photo/net" and receipt["converter"] == "plain"


def test_placed_by_hand(cache, converters, listed, tmp_path) -> None:
    manifest = listed(url=None, page="https://example.org/models")
    place = cache / "sources" / "photo" / "net" / "net.pt"
    with refused("no direct download", "https://example.org/models", str(place), "--mirror"):
        weights.fetch("photo/net", manifest=manifest)
    place.parent.mkdir(parents=True)
    place.write_bytes(SOURCE)
    assert weights.fetch("photo/net", manifest=manifest).is_file()


def test_recipe_rows_say_how_to_train(cache, listed) -> None:
    keys = {"state": "recipe", "file": "net.safetensors", "converter": None, "url": None}
    manifest = listed("photo/a", **keys, recipe="python -m recipe")
    listed("photo/b", **keys, sha256="", bytes=0)
    with refused("photo/a", "nobody publishes it", "python -m recipe"):
        weights.fetch("photo/a", manifest=manifest)
    with refused("photo/b", "no recipe for it is written yet"):
        weights.fetch("photo/b", manifest=manifest)
    card = dict.fromkeys(("recipe", "seeds", "minutes", "device", "held_out"), "none")
    file = weights.save(Tiny(2), cache / "trained" / "net.safetensors", card)
    with refused("pin photo/b"):
        weights.fetch("photo/b", manifest=manifest)
    assert main(["--manifest", str(manifest), "pin", "photo/b"]) == 0
    assert weights.fetch("photo/b", manifest=manifest) == file


def test_files_beside_must_be_there(cache, listed, tmp_path) -> None:
    folder = tmp_path / "mirror" / "someone" / "sd"
    card = dict.fromkeys(("recipe", "seeds", "minutes", "device", "held_out"), "none")
    file = weights.save(Tiny(2), folder / "unet" / "net.safetensors", card)
    manifest = listed(
        repo="someone/sd", url=None, state="hub", converter=None, file="unet/net.safetensors",
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(), bytes=file.stat().st_size,
        beside=["unet/config.json"],
    )  # fmt: skip
    with refused("unet/config.json", "copy the whole folder"):
        weights.fetch("photo/net", mirror=tmp_path / "mirror", manifest=manifest)
    (folder / "unet" / "config.json").write_text("{}")
    assert weights.fetch("photo/net", mirror=tmp_path / "mirror", manifest=manifest) == file


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"url": "http://example.org/net.pt"}, "https"),
        ({"url": None}, "one of repo, url and page"),
        ({"page": "https://example.org"}, "one of repo, url and page"),
        ({"state": "hub"}, "Hub repo"),
        ({"state": "recipe"}, "converter only"),
        ({"state": "gone"}, "expected state"),
        ({"bytes": -1}, "at least 0"),
        ({"bytes": "1"}, "an integer for bytes"),
        ({"file": "../net.pt"}, "relative file"),
        ({"beside": ["net.py"]}, "text files"),
        ({"sha256": "A" * 64}, "64 lower-case"),
        ({"colour": "red"}, "colour"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_malformed_rows_are_named(listed, keys: dict, said: str) -> None:
    manifest = listed(**keys)
    with refused("photo/net", said):
        manifests.read(manifest)


def test_a_boundary_through_the_real_converter(cache, listed, tmp_path) -> None:
    normal = np.arange(14 * 512, dtype=np.float32).reshape(1, 14, 512)
    normal /= np.linalg.norm(normal)
    file = tmp_path / "mirror" / "age.npy"
    file.parent.mkdir()
    content = {"boundary": normal, "meta_data": {"manipulate_layers": [0, 1, 2]}}
    np.save(file, np.array(content, dtype=object), allow_pickle=True)
    manifest = listed(
        "ffhq/boundary-age", file="age.npy", converter="genforce-boundaries", bytes=0,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
    )  # fmt: skip
    tensors = load_file(weights.fetch("ffhq/boundary-age", mirror=file.parent, manifest=manifest))
    found = [tensor for tensor in tensors.values() if tensor.numel() == normal.size]
    assert found and torch.equal(found[0].flatten(), torch.from_numpy(normal).flatten())


def test_a_hostile_file_with_the_right_checksum_runs_nothing(cache, listed, tmp_path) -> None:
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    file = tmp_path / "mirror" / "net.pkl"
    file.parent.mkdir()
    file.write_bytes(pickle.dumps({"G_ema": Hostile()}))
    manifest = listed(
        file="net.pkl", converter="nvidia-stylegan2", bytes=0,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
    )  # fmt: skip
    with refused("expected", "got"):
        weights.fetch("photo/net", mirror=file.parent, manifest=manifest)
    assert not (tmp_path / "executed").exists() and not left(cache)
    pickle.loads(file.read_bytes())
    assert (tmp_path / "executed").exists(), "the file was not hostile"
