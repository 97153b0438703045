"""Weight files whose names, configuration and sizes are those of an attacker: a sentence, no more.

Nothing of a file reaches a terminal raw, nothing is built or allocated for what it merely states.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
import traceback
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import weights
from pipelines.networks.bisenet import BiSeNet
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.indomain_encoder import InDomainEncoder
from pipelines.networks.joint_embedding import JointEmbedding
from pipelines.networks.psp import Encoder4Editing
from pipelines.networks.stylegan2 import Generator
from tests.test_weights import Tiny, refused
from weights import manifest as manifests
from weights.__main__ import main
from weights.configs import refuse_sizes
from weights.errors import LONGEST, WeightsError, cause, printable

EVIL = "\x1b]0;owned\x07\x1b[2J\rphoto/net: ready in /tmp\nphoto/other: ready\u2028\u202etxt\x9b31m"
MARKS = set(EVIL) - set(EVIL.encode("ascii", "ignore").decode()) | set("\x1b\x07\r\n")


def plain(text: str) -> bool:
    """Whether a text is one line that a terminal shows as it is."""
    return text.isprintable() and not MARKS & set(text)


def file(path: Path, config: str | None, names: tuple[str, ...] = (), **metadata: str) -> Path:
    """A safetensors file of a tiny network, with other names, and whatever as its config."""
    tensors = dict(Tiny(2).state_dict()) | {name: torch.zeros(2) for name in names}
    save_file(tensors, path, metadata | ({} if config is None else {"config": config}))
    return path


def said(path: Path, network: type[nn.Module] = Tiny) -> str:
    """The sentence by which a file is refused; neither it nor its traceback has more than text."""
    with pytest.raises(WeightsError) as caught:
        weights.load_file(network, path)
    lines = traceback.format_exception(caught.value)
    assert all(plain(line) for part in lines for line in part.split("\n"))
    assert (
        plain(str(caught.value)) and "expected" in str(caught.value) and "; " in str(caught.value)
    )
    return str(caught.value)


def test_a_message_is_one_plain_line() -> None:
    assert MARKS >= set("\x1b\x07\r\n\u2028\u202e\x9b")
    for kind in (WeightsError, weights.Offline, weights.Altered, weights.NoRoom):
        assert plain(str(kind(EVIL))) and "\\x1b]0;owned" in str(kind(EVIL))
    words = "Gesicht, 顔, žena: 'a', \"b\", \\x1b …"
    assert printable(words) == words and printable(printable(EVIL)) == printable(EVIL)
    assert printable("\ud800") == "\\ud800"
    long = str(WeightsError("expected " + "a" * 10**7 + "; do this"))
    assert len(long) < 1.1 * LONGEST and long.startswith("expected") and long.endswith("do this")


def test_a_cause_is_shown_if_it_is_plain() -> None:
    assert isinstance(cause(ValueError("plain")), ValueError)
    assert cause(ValueError(EVIL)) is None
    try:
        try:
            raise KeyError(EVIL)
        except KeyError as error:
            raise ValueError(f"{error}"[:0]) from ValueError(EVIL)
    except ValueError as error:
        assert cause(error) is None


@pytest.mark.parametrize(
    "config",
    [
        "no JSON", "", "{", "[]", "null", "3", "NaN", '"width"', "[" * 100_000,
        '{"width": ' * 50_000, "9" * 5000, '{"width": ' + "9" * 5000 + "}",
        '{"' + "9" * 5000 + '": 1}', "\ud7ff",
        json.dumps({"width": "wide"}), json.dumps({"width": -1}), json.dumps({"width": [2]}),
        json.dumps({"width": 1e300}), '{"width": NaN}', json.dumps({"width": None}),
        json.dumps({"height": 2}), json.dumps({"4": 2}), json.dumps({EVIL: EVIL}), json.dumps(EVIL),
        json.dumps({"width": 2, "channels": {EVIL: [10**9]}}),
    ],
    ids=lambda config: config[:12],
)  # fmt: skip
def test_a_config_that_is_none_gets_a_sentence(tmp_path, config) -> None:
    path = file(tmp_path / "a.safetensors", config, network=EVIL)
    built = Tiny.built
    assert "config" in said(path) and Tiny.built == built


@pytest.mark.parametrize("config", ["no JSON", "[]", "[" * 100_000, "9" * 5000])
def test_a_config_of_plain_tensors_gets_one_too(tmp_path, listed, config) -> None:
    path = file(tmp_path / "mirror.safetensors", config)
    manifest = listed(
        file=path.name, converter=None, url=None, repo="a/b", state="hub", bytes=0,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )  # fmt: skip
    os.environ["GAN_INVERSION_MIRROR"] = str(tmp_path)
    try:
        with refused("expected a config as a JSON object", "got", "fetch the file again"):
            weights.load_config("photo/net", manifest=manifest)
    finally:
        del os.environ["GAN_INVERSION_MIRROR"]


def test_names_in_a_file_are_shown_and_not_obeyed(tmp_path) -> None:
    path = file(tmp_path / "a.safetensors", json.dumps({"width": 2}), (EVIL,), network=EVIL)
    assert "unexpected: \\x1b]0;owned" in said(path)
    named = file(tmp_path / "b.safetensors", json.dumps({"width": 2, EVIL: 1}), network=EVIL)
    assert "to accept the config" in said(named)
    many = file(tmp_path / "c.safetensors", json.dumps({"width": 2}), ("x" * 10**6, "y" * 10**6))
    assert len(said(many)) < 1.1 * LONGEST


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {EVIL: torch.zeros(1)}},
        {EVIL: EVIL},
        {"g_ema": EVIL},
        {"state_dict": {"a": EVIL}},
    ],
    ids=["tensors", "text", "content", "value"],
)
@pytest.mark.parametrize("name", ["e4e", "rosinality-stylegan2", "bisenet", "farl"])
def test_names_in_a_published_file_neither(tmp_path, cache, listed, capsys, name, content) -> None:
    torch.save(content, tmp_path / "net.pt")
    refused_by_the_command(tmp_path / "net.pt", listed, capsys, converter=name)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"a": 1}).replace(b"a", b"\n"),
        b"\x80\x04\x8c\x08os\x1b[2J\n!\x8c\x06system\x93.",
        b"\x80\x02cos\x1b[31m\nsystem\n(tR.",
        EVIL.encode(),
    ],
    ids=["key", "stack", "global", "no pickle"],
)
def test_names_in_a_pickle_neither(tmp_path, cache, listed, capsys, content) -> None:
    (tmp_path / "net.pt").write_bytes(content)
    refused_by_the_command(tmp_path / "net.pt", listed, capsys, converter="nvidia-stylegan2")


def refused_by_the_command(path: Path, listed, capsys, **keys: str) -> None:
    """`fetch` of that file says one plain line, and so does every cause of its error."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest = listed(file=path.name, bytes=0, sha256=digest, **keys)
    ask = ["--manifest", str(manifest), "fetch", "photo/net", "--mirror", str(path.parent)]
    assert main(ask) == 1
    (line,) = capsys.readouterr().err.split("\n")[:-1]
    assert plain(line) and line.startswith("photo/net: ")
    with pytest.raises(WeightsError) as caught:
        weights.fetch("photo/net", mirror=path.parent, manifest=manifest)
    lines = "".join(traceback.format_exception(caught.value)).split("\n")
    assert all(plain(each) for each in lines)


@pytest.mark.parametrize("key", ["licence", "file", "page", "recipe"])
def test_a_list_of_weights_holds_plain_text_alone(listed, capsys, key) -> None:
    keys = {"recipe": {"url": None, "state": "recipe", "converter": None},
            "page": {"url": None}}.get(key, {})  # fmt: skip
    manifest = listed(**keys | {key: f"https://example.org/{EVIL}" if key == "page" else EVIL})
    assert main(["--manifest", str(manifest)]) == 1
    (line,) = capsys.readouterr().err.split("\n")[:-1]
    assert plain(line) and "without control characters" in line


def test_a_strange_file_in_the_starter_folder_is_one_line(listed, capsys) -> None:
    manifest = listed()
    folder = manifest.parent / "starter"
    folder.mkdir()
    (folder / "\x1b[2J\nall is well.safetensors").write_bytes(b"")
    assert main(["--manifest", str(manifest), "verify"]) == 1
    (line,) = capsys.readouterr().err.split("\n")[:-1]
    assert plain(line) and "all is well" in line


@pytest.mark.parametrize("side", [40_000, 2**40, 10**300])
@pytest.mark.parametrize(
    "network", [Generator, InDomainEncoder, LayerwiseEncoder, Encoder4Editing, BiSeNet, Tiny]
)
def test_a_stated_resolution_is_refused_before_anything_is_built(tmp_path, network, side) -> None:
    path = file(tmp_path / "a.safetensors", json.dumps({"resolution": side}))
    assert f"resolution of {side}, which is more than 2048" in said(path, network)


@pytest.mark.parametrize(
    "config",
    [
        {"width": 3_000_000},  # one layer of 36 TB
        {"width": 2, "layers": 9_000_000},  # as many layers
        {"width": 2, "nested": [{"image_size": 40_000}]},
        {"width": 10**12},
    ],
)
def test_what_no_tensor_bears_out_is_not_allocated(tmp_path, config) -> None:
    made = []

    class Deep(Tiny):
        def __init__(self, width: int, layers: int = 0, nested: object = None) -> None:
            super().__init__(width)
            for _ in range(layers):
                made.append(nn.Linear(1, 1))
                self.add_module(str(len(made)), made[-1])

    path = file(tmp_path / "a.safetensors", json.dumps(config))
    built = Tiny.built
    said(path, Deep)
    assert Tiny.built == built and len(made) < 3000


def test_a_header_beyond_all_measure_is_no_safetensors(tmp_path) -> None:
    nested = b"[" * 9_000_000
    lists = b'{"a": [' + b"[]," * 5_000_000 + b"[]]}"
    for header in (nested, lists):
        path = tmp_path / "a.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        with refused("expected a safetensors file", "got none"):
            weights.load_file(Tiny, path)


@pytest.mark.parametrize(
    "setting", ["attn_implementation", "_attn_implementation", "architectures"]
)
@pytest.mark.parametrize("tower", ["text_config", "vision_config"])
def test_a_config_fetches_no_code(tmp_path, tower, setting) -> None:
    """transformers takes some settings for the name of a repository whose code it runs."""
    config = {"text_config": {}, "vision_config": {}}
    config[tower] = {setting: "someone/kernel"}
    words = said(file(tmp_path / "a.safetensors", json.dumps(config)), JointEmbedding)
    assert "must hold numbers" in words and f"'{setting}'" in words


def test_no_shipped_file_is_taken_for_one_of_these() -> None:
    names = [n for n, row in manifests.read().items() if row.state == "starter"]
    configs = [weights.load_config(name) for name in names]
    assert sum(map(bool, configs)) > 10
    for name, config in zip(names, configs, strict=True):
        refuse_sizes(config, name)
