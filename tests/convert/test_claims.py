"""Files that claim too much, end too soon or are damaged: refused before memory is taken."""

from __future__ import annotations

import io
import pickle
import random
import struct
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.convert.hostile import archive, legacy, named, refused, text
from weights.convert import inert, machine
from weights.convert.reader import UnsafeFile, read


def tensor_pickle(count, offset, size, stride, window=None) -> bytes:
    """data.pkl of one tensor on storage 0 that claims `count` floats."""

    def integer(number: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", number)

    def integers(*numbers: int) -> bytes:
        return b"(" + b"".join(map(integer, numbers)) + b"t"

    outside = b"(" + text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu")
    outside += integer(count) + (b"" if window is None else window) + b"tQ"
    arguments = b"(" + outside + integer(offset) + integers(*size) + integers(*stride)
    arguments += b"\x89" + named("collections", "OrderedDict") + b")Rt"
    return b"\x80\x02" + named("torch._utils", "_rebuild_tensor_v2") + arguments + b"R."


CLAIMS = {
    "100 GB": (25 * 10**9, 0, (25 * 10**9,), (1,)),
    "100 GB of one number": (6, 0, (25 * 10**9,), (0,)),
    "a product beyond 64 bits": (6, 0, (2**40, 2**40), (0, 0)),
    "negative stride": (6, 5, (6,), (-1,)),
    "negative offset": (6, -2, (2,), (1,)),
    "negative size": (6, 0, (-2,), (1,)),
    "offset outside": (6, 4, (3,), (1,)),
    "stride outside": (6, 0, (2, 2), (5, 1)),
    "more strides than sizes": (6, 0, (2,), (1, 1)),
    "too many dimensions": (6, 0, (1,) * 50, (1,) * 50),
    "negative count": (-6, 0, (2,), (1,)),
    "one number too many": (7, 0, (7,), (1,)),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_beyond_the_file_are_refused_before_memory_is_taken(watched, tmp_path, name):
    path = archive(tmp_path, data_pkl=tensor_pickle(*CLAIMS[name]))
    tracemalloc.start()
    try:
        with refused("expected", "got"):
            watched(path)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_the_same_writer_makes_sound_tensors(watched, tmp_path):
    path = archive(tmp_path, data_pkl=tensor_pickle(6, 1, (2, 2), (1, 3)))
    assert torch.equal(watched(path), torch.tensor([[1.0, 4.0], [2.0, 5.0]]))


@pytest.mark.parametrize("window", [(3, 4), (-1, 2), (0, 2**40)])
def test_windows_of_a_storage_stay_inside(watched, tmp_path, window):
    stream = legacy({"w": torch.arange(6.0)}, tmp_path)
    place = stream.index(b"QK\x00K\x06\x85")  # BINPERSID, offset 0, size (6,)
    start = stream.rindex(b"K\x06N", 0, place)  # count, no window
    offset, count = (b"\x8a\x08" + struct.pack("<q", number) for number in window)
    inside = b"K\x06(" + text("key") + offset + count + b"t"
    with refused("window"):
        watched(stream[:start] + inside + stream[start + 3 :])
    good = b"K\x06(" + text("key") + b"K\x02K\x04t"
    view = b"K\x00K\x04\x85"
    sound = stream[:start] + good + stream[start + 3 : place + 1] + view + stream[place + 6 :]
    assert watched(sound)["w"].tolist() == [2, 3, 4, 5]


def test_archives_are_not_unpacked(watched, tmp_path):
    for name in ("../../outside", "/etc/outside", "..\\outside", "C:\\outside", "a/../../b"):
        with refused("names inside the archive", "got"):
            watched(archive(tmp_path, **{name: b"1"}))
    with refused("TorchScript"):
        watched(archive(tmp_path, **{"sound/constants.pkl": b"N."}))
    with refused("little-endian"):
        watched(archive(tmp_path, byteorder=b"big"))
    with refused("6 numbers in data/0"):
        watched(archive(tmp_path, data_0=None))
    with pytest.warns(UserWarning, match="Duplicate"):
        path = archive(tmp_path, **{"sound/data/0": bytes(24)})
    with refused("once"):
        watched(path)


def test_compressed_bombs_are_refused(watched, tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("a/data.pkl", tensor_pickle(2**22, 0, (2**22,), (1,)))
        target.writestr("a/data/0", bytes(2**24))
    assert path.stat().st_size < 2**16
    with refused("not compressed"):
        watched(path)
    path = tmp_path / "bomb.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (2**25,)}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("w.npy", header.getvalue() + bytes(2**25))
    with refused("bytes in a compressed archive"):
        watched(path)
    content = bytearray(path.read_bytes())
    declared = content.rindex(b"PK\x01\x02") + 24
    content[declared : declared + 4] = struct.pack("<I", 1000)  # a lie about its size
    with refused("1000 bytes"):
        watched(bytes(content))


def test_entries_may_not_share_their_bytes(watched, tmp_path):
    path = archive(tmp_path, **{f"sound/data/{i}": bytes(4096) for i in range(1, 20)})
    content, changed = bytearray(path.read_bytes()), 0
    with zipfile.ZipFile(path) as source:
        place = source.getinfo("sound/data/1").header_offset
    at = content.index(b"PK\x01\x02")
    while content[at : at + 4] == b"PK\x01\x02":  # the directory, an entry after the other
        name, extra, comment = struct.unpack("<HHH", content[at + 28 : at + 34])
        if b"/data/" in content[at + 46 : at + 46 + name]:
            content[at + 20 : at + 28] = struct.pack("<II", 60_000, 60_000)
            content[at + 42 : at + 46] = struct.pack("<I", place)
            changed += 1
        at += 46 + name + extra + comment
    assert changed == 20 and place + 60_000 < len(content)
    with refused("entries apart"):
        watched(bytes(content))


@pytest.mark.parametrize("kind", ["archive", "stream", "pickle", "npy", "npz"])
def test_truncated_files_are_refused_wherever_they_end(watched, tmp_path, kind):
    sound = samples(tmp_path)[kind]
    read_whole = watched(sound)
    assert read_whole is not None
    for end in {0, 1, 7, *range(11, len(sound), max(1, len(sound) // 60)), len(sound) - 1}:
        with refused("expected", "got"):
            watched(sound[:end])


def samples(tmp_path: Path) -> dict[str, bytes]:
    content = OrderedDict(w=torch.arange(12.0).reshape(3, 4), n=np.arange(5), t=("a", {1, 2}, b"x"))
    torch.save(content, tmp_path / "a.pt")
    np.save(tmp_path / "a.npy", np.arange(9.0))
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(9.0), b=np.ones((2, 2)))
    return {
        "archive": (tmp_path / "a.pt").read_bytes(),
        "stream": legacy(content, tmp_path),
        "pickle": pickle.dumps(content, 4),
        "npy": (tmp_path / "a.npy").read_bytes(),
        "npz": (tmp_path / "a.npz").read_bytes(),
    }


@pytest.mark.parametrize("kind", ["archive", "stream", "pickle", "npy", "npz"])
def test_damaged_files_raise_nothing_else(watched, tmp_path, kind):
    """Bytes changed at random: read, or refused in our words; never another error."""
    sound, luck, outcomes = samples(tmp_path)[kind], random.Random(7), set()
    for _ in range(150):
        damaged = bytearray(sound)
        for _ in range(luck.choice((1, 1, 2, 8))):
            damaged[luck.randrange(len(damaged))] = luck.randrange(256)
        try:
            watched(bytes(damaged))
            outcomes.add("read")
        except UnsafeFile as error:
            assert "expected" in str(error) and "got" in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes


def test_depth_cycles_and_repetition_are_refused_in_no_time(watched):
    start = time.process_time()
    with refused("levels"):
        watched(b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".")
    with refused("levels"):
        watched(b"\x80\x02)" + b"\x85" * 20_000 + b".")
    with refused("cycle"):
        watched(b"\x80\x02]q\x00h\x00a.")
    laughs = b"".join(
        b"(" + b"h" + bytes([i]) + (b"2" * 30) + b"lq" + bytes([i + 1]) + b"0" for i in range(40)
    )
    with refused("repeating"):
        watched(b"\x80\x02]q\x000" + laughs + b"h\x28.")
    with refused("plain keys"):
        watched(b"\x80\x02}" + b")" + b"\x85" * 10_000 + b"Ns.")
    assert time.process_time() - start < 20


def test_a_message_does_not_print_what_it_refuses(watched, tmp_path):
    doubled = b"".join(b"h" + bytes([i]) + b"2\x86q" + bytes([i + 1]) + b"0" for i in range(60))
    start = time.process_time()
    for refuse in (b"h\x3cQ.", b"cnumpy\ndtype\n(h\x3ctR.", b"h\x3cNb."):
        with refused("expected", "got"):
            watched(archive(tmp_path, data_pkl=b"\x80\x02)q\x000" + doubled + refuse))
    assert time.process_time() - start < 20


def test_long_programs_and_claims_of_a_pickle_are_refused(watched, tmp_path):
    with refused("at most", "opcodes"):
        machine.run(io.BytesIO(b"N0" * 600 + b"N."), inert.Budget(10**6, steps=1000))
    claims = {
        "bytes": b"\x8e" + struct.pack("<Q", 10**11),
        "text": b"\x8d" + struct.pack("<Q", 10**11),
        "long": b"\x8b" + struct.pack("<i", 2**31 - 1),
        "frame": b"\x95" + struct.pack("<Q", 10**11) + b"\x8e" + struct.pack("<Q", 10**11),
        "memo": b"Nr\xff\xff\xff\xffj\xfe\xff\xff\xff",
        "digits": b"I" + b"9" * 5000 + b"\n",
        "integer": b"\x8b" + struct.pack("<i", 1000) + bytes(999) + b"\x7f",
        "protocol": b"\x80\xff",
        "no mark": b"tN",
        "below a mark": b"N(a",
        "buffer": b"\x97",
        "outside": b"N\x51",
    }
    tracemalloc.start()
    try:
        for claim in claims.values():
            with refused("expected", "got"):
                watched(b"\x80\x04" + claim + b".")
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()
    sound = b"\x80\x04Nr\xff\xff\xff\xffj\xff\xff\xff\xff\x86."
    assert watched(sound) == (None, None)


def test_one_storage_described_over_and_over_is_refused(watched, tmp_path):
    content = [torch.zeros(2**18)]
    content += [content[0][1:] for _ in range(100)]
    torch.save(content, tmp_path / "many.pt")
    assert (tmp_path / "many.pt").stat().st_size < 2**21
    with refused("size of the file", "far more"):
        watched(tmp_path / "many.pt")


def test_numpy_claims_are_refused(watched):
    def npy(header: str, content: bytes = b"") -> bytes:
        line = header.encode("latin1") + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + content

    headers = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (25000000000,), }": "bytes of numbers",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }": "a shape from 0 up",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }": "array of numbers",
        "{'descr': '<V4', 'fortran_order': False, 'shape': (1,), }": "array of numbers or text",
        "__import__('os').system('touch executed')": "header",
        "{'descr': open('executed', 'w'), 'fortran_order': False, 'shape': (1,)}": "header",
        "(" * 5000: "header",
        "{}": "header",
    }
    for header, word in headers.items():
        with refused(word):
            watched(npy(header, bytes(4)))
    with refused("at most"):
        watched(b"\x93NUMPY\x02\x00\xff\xff\xff\x7f")


@pytest.mark.parametrize(
    "content", [b"<html>", b"version https://git-lfs.github.com/spec/v1", bytes(40), b"\x7fELF"]
)
def test_other_files_are_named_as_such(watched, content):
    with refused("torch, pickle or numpy file", "web page"):
        watched(content)


def test_a_missing_file_is_one_sentence(tmp_path):
    with refused("nothing.pt: expected a file"):
        read(tmp_path / "nothing.pt")
