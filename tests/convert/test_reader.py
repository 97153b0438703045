"""Sound files in every container and pickle protocol come back as they were saved."""

from __future__ import annotations

import argparse
import collections
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from weights.convert.reader import Record, read


@pytest.fixture
def content() -> dict:
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 4)
    return {
        "state": layer.state_dict(),
        "parameter": torch.nn.Parameter(torch.randn(2, 3)),
        "transposed": torch.randn(4, 6).t()[1:4, ::2],
        "scalar": torch.tensor(3.0),
        "empty": torch.empty(0, 3),
        "kinds": [
            (torch.randn(5) * 9).to(kind)
            for kind in (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool)
        ],
        "array": np.arange(6.0, dtype=">f4").reshape(2, 3),
        "number": np.float64(3.5),
        "options": argparse.Namespace(size=1, names=["a", {2, 3}], path=Path("/a/b")),
        "groups": collections.defaultdict(list, {1: [None, True, -7, 2**70]}),
        "shape": torch.Size([1, 2]),
        "type": torch.float32,
        "device": torch.device("cpu"),
        "bytes": b"\x00\xff",
    }


def check(got: dict, saved: dict) -> None:
    assert list(got) == list(saved)
    for name in ("parameter", "transposed", "scalar", "empty"):
        assert got[name].equal(saved[name]) and not got[name].requires_grad
    assert [t.dtype for t in got["kinds"]] == [t.dtype for t in saved["kinds"]]
    assert all(a.equal(b) for a, b in zip(got["kinds"], saved["kinds"], strict=True))
    assert got["state"]["weight"].equal(saved["state"]["weight"])
    assert got["array"].tolist() == saved["array"].tolist() and got["number"] == 3.5
    options = got["options"]
    assert isinstance(options, Record) and options.kind == "argparse.Namespace"
    assert options.state == {"size": 1, "names": ["a", {2, 3}], "path": "/a/b"}
    assert got["groups"] == {1: [None, True, -7, 2**70]} and got["shape"] == (1, 2)
    assert (got["type"].kind, got["device"].state) == ("torch.float32", "cpu")
    assert got["bytes"] == b"\x00\xff"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "stream"])
def test_torch_files(tmp_path, content, protocol, zipped):
    path = tmp_path / "a.pt"
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    check(read(path), content)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles(tmp_path, content, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    check(read(tmp_path / "a.pkl"), content)


def test_tensors_that_share_numbers_still_do(tmp_path):
    whole = torch.arange(10.0)
    torch.save({"whole": whole, "part": whole[2:5]}, tmp_path / "a.pt")
    before = (tmp_path / "a.pt").read_bytes()
    content = read(tmp_path / "a.pt")
    content["whole"][3] = -1
    assert content["part"].tolist() == [2, -1, 4]
    assert (tmp_path / "a.pt").read_bytes() == before, "the file was changed"


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.arange(6, dtype=">i2").reshape(2, 3, order="F"), [[0, 2, 4], [1, 3, 5]]),
        (np.array(["ab", "c"]), ["ab", "c"]),
        (np.array({"boundary": 1}, dtype=object), {"boundary": 1}),
        (np.array([[{"a": 1}, None]], dtype=object), [[{"a": 1}, None]]),
        (np.zeros((0, 2), dtype=np.float32), []),
    ],
)
def test_numpy_files(tmp_path, array, expected):
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", first=array)
    np.savez_compressed(tmp_path / "b.npz", first=array)
    for got in (
        read(tmp_path / "a.npy"),
        read(tmp_path / "a.npz")["first"],
        read(tmp_path / "b.npz")["first"],
    ):
        assert (got.tolist() if isinstance(got, torch.Tensor) else got) == expected
