"""Files that ask for code to be run: the reader refuses them, runs nothing and writes nothing."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from tests.convert import published_stylegan2 as published
from tests.convert.hostile import archive, held, legacy, legacy_start, named, refused, text
from weights.convert import convert_file
from weights.convert.reader import Record
from weights.manifest import WeightsError


def test_the_watch_notices(tmp_path: Path, events: list[str]):
    events.clear()  # pytest notes the running test in the environment
    exec("import os")
    (tmp_path / "a").write_text("a")
    (tmp_path / "a").unlink()
    assert [event.split()[0] for event in events] == ["exec", "open", "os.remove"]


class Bomb:
    """Pickles as a call of something."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


COMMAND = text("touch executed")
CALLS = {
    "global": b"cos\nsystem\n(X\x05\x00\x00\x00touchtR.",
    "python 2": b"c__builtin__\neval\n(S'1'\ntR.",
    "inst": b"(S'touch executed'\nios\nsystem\n.",
    "obj": b"(cposix\nsystem\n" + COMMAND + b"o.",
    "stack global, no protocol": named("posix", "system") + COMMAND + b"\x85R.",
    "stack global, protocol 1": b"\x80\x01" + named("posix", "system") + COMMAND + b"\x85R.",
    "newobj": b"\x80\x02" + named("subprocess", "Popen") + COMMAND + b"\x85\x81.",
    "newobj_ex": b"\x80\x04" + named("subprocess", "Popen") + COMMAND + b"\x85}\x92.",
    "nested reduce": (
        b"\x80\x02" + named("builtins", "getattr") + named("builtins", "__import__")
        + text("os") + b"\x85R" + text("system") + b"\x86R" + COMMAND + b"\x85R."
    ),
    "never called": b"\x80\x02" + named("os", "system") + b"0N.",
    "in a set state": (
        b"\x80\x02" + named("argparse", "Namespace") + b")\x81}" + text("__setstate__")
        + named("os", "system") + b"sb" + COMMAND + b"b."
    ),
    "reconstructor": (
        b"\x80\x02" + named("copyreg", "_reconstructor") + named("subprocess", "Popen")
        + named("builtins", "object") + b"N\x87R."
    ),
    "newobj of copyreg": (
        b"\x80\x02" + named("copyreg", "__newobj__") + named("os", "system") + b"\x85R."
    ),
    "extension registry": b"\x80\x02\x82\x01.",
    "dotted name": b"\x80\x04" + named("torch", "hub.load") + COMMAND + b"\x85R.",
    "globals of an allowed class": named("torch.nn.Linear", "__init__.__globals__") + b".",
    "path in a module": b"\x80\x04" + named("../../evil", "system") + b".",
    "typed rebuild of a command": (
        b"\x80\x02" + named("torch._tensor", "_rebuild_from_type_v2") + b"("
        + named("torch._utils", "_rebuild_tensor_v2") + named("os", "system") + b")NtR."
    ),
}  # fmt: skip
FUNCTIONS = [
    "builtins.exec", "builtins.compile", "builtins.open", "builtins.__import__", "builtins.map",
    "builtins.getattr", "builtins.setattr", "builtins.type", "builtins.apply", "os.execv",
    "os.popen", "nt.system", "sys.exit", "importlib.import_module", "runpy._run_code",
    "pickle.loads", "_pickle.loads", "marshal.loads", "types.FunctionType", "types.CodeType",
    "functools.partial", "functools.reduce", "operator.attrgetter", "operator.methodcaller",
    "itertools.starmap", "code.interact", "pty.spawn", "socket.create_connection", "ctypes.CDLL",
    "torch.load", "torch.hub.load", "torch.jit.load", "torch.storage._StorageBase",
    "torch.package.PackageImporter", "torch.distributed.rpc.rpc_sync",
    "torch._utils._rebuild_wrapper_subclass", "numpy.load", "numpy.testing.runstring",
    "numpy.core._internal._reconstruct", "copyreg.add_extension", "collections.namedtuple",
    "antigravity.fly", "evil.now", "weights.convert.convert_file", "tests.convert.evil",
]  # fmt: skip


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickled_command_is_refused(watched, protocol):
    content = pickle.dumps(Bomb(os.system, "touch executed"), protocol)
    with refused("plain data", "(os|posix|nt).system"):
        watched(content)


@pytest.mark.parametrize("name", CALLS)
def test_every_way_to_call_is_refused(watched, name):
    with refused("expected", "got"):
        watched(CALLS[name])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_other_functions_are_refused(watched, name):
    module, _, function = name.rpartition(".")
    content = b"\x80\x04" + named(module, function) + COMMAND + b"\x85R."
    with refused("plain data", name.replace(".", r"\.")):
        watched(content)
    with refused("plain data"):
        watched(b"\x80\x02}" + text("weight") + b"c" + f"{module}\n{function}\n".encode() + b"s.")


@pytest.mark.parametrize("name", ["global", "nested reduce", "in a set state"])
@pytest.mark.parametrize("container", ["archive", "stream", "npy", "npz", "bytes of a storage"])
def test_no_container_lets_a_call_through(watched, tmp_path, container, name):
    hostile = CALLS[name]
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", 62)
    header += b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(61) + b"\n"
    stream = legacy({"w": torch.zeros(2)}, tmp_path)
    if container == "archive":
        path = archive(tmp_path, data_pkl=hostile)
    elif container == "stream":
        path = legacy_start(stream) + hostile
    elif container == "npy":
        path = header + hostile
    elif container == "npz":
        path = tmp_path / "hostile.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            target.writestr("w.npy", header + hostile)
    else:
        path = held(legacy_start(stream) + hostile)
    with refused("expected", "got"):
        watched(path)


def test_files_in_bytes_do_not_nest(watched, tmp_path):
    stream = legacy(torch.arange(3.0).untyped_storage(), tmp_path)
    assert watched(held(stream)).numel() == 12
    twice = legacy_start(stream) + held(stream) + pickle.dumps([])
    with refused("one storage in bytes"):
        watched(held(twice))


def test_embedded_source_is_dropped_unread(watched, tmp_path):
    sentinel = tmp_path / "executed"
    source = f"open({str(sentinel)!r}, 'w').write('here')\nimport os; os.system('touch executed')"
    with published.published_modules():
        saved = published.nvidia_generator([4, 4], source=source)
        network = published.tf_network(published.graph_variables([4, 4]), source)
        path = published.write(tmp_path / "a.pkl", {"G_ema": saved, "Gs": network})
    content = watched(path)
    assert content["G_ema"].kind == "persistence:Generator"
    assert content["Gs"].kind == "dnnlib.tflib.network.Network"
    assert "open(" not in repr(content["G_ema"])
    assert isinstance(content["G_ema"].state["_modules"]["mapping"], Record)
    with pytest.raises(WeightsError):
        convert_file("rosinality-stylegan2", path, tmp_path / "out.safetensors")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pkl"]


def test_source_of_a_whole_module_is_dropped_unread(watched, tmp_path):
    torch.save(torch.nn.Linear(2, 3), tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    content = watched(tmp_path / "m.pt")
    assert content.kind == "torch.nn.modules.linear.Linear"
    assert content.state["_parameters"]["weight"].shape == (3, 2)
