"""What a pickle may name, as inert descriptions: nothing here imports or calls what a file names.

Every allowed name has one of two meanings: a rebuild function that we state ourselves (tensors and
arrays from byte ranges, plain containers), or a class whose objects become a `Record`. Tensors and
arrays stay descriptions here; `settled.settle` makes them when the whole file is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from weights.manifest import WeightsError

STEPS, DIMENSIONS = 3_000_000, 16
_MEMBER = 100  # bytes that a member of a copied container takes, about
OBJECTS = "persistence:"  # beginning of the kind of an object that embedded its source code

_STORAGES = {
    "Float": torch.float32, "Double": torch.float64, "Half": torch.float16,
    "BFloat16": torch.bfloat16, "Long": torch.int64, "Int": torch.int32, "Short": torch.int16,
    "Char": torch.int8, "Byte": torch.uint8, "Bool": torch.bool, "Untyped": torch.uint8,
    "ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128,
}  # fmt: skip
_INERT = ("torch.nn.", "training.", "torch_utils.", "dnnlib.", "_imported_module_")
_NAMES = {
    "argparse.Namespace", "types.SimpleNamespace", "torch.Tensor", "builtins.object",
    "builtins.int", "builtins.float", "builtins.str", "builtins.bool", "builtins.bytes",
    "numpy.ndarray", "torch.strided", "torch.contiguous_format",
} | {f"torch.{str(kind).removeprefix('torch.')}" for kind in _STORAGES.values()}  # fmt: skip
_OLD_MODULES = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
}


class UnsafeFile(WeightsError):
    """A file is not plain weights: damaged, of absurd size, or asking for code to be run."""


@dataclass(frozen=True, eq=False)
class Record:
    """Inert stand-in for an object: `kind` is its class name, `state` what the file says of it.

    kind "argparse.Namespace" has its dict as state, "persistence:<class>" the module's dict
    (`_parameters`, `_buffers`, `_modules`, ...); a mere reference to a class has state None.
    """

    kind: str
    state: object = None


@dataclass(frozen=True)
class Name:
    """An allowed dotted name; never resolved to what it names."""

    path: str


@dataclass(eq=False)
class Storage:
    """`count` numbers of a torch storage: bytes from `start` of `buffer`, filled in by the reader.

    root, offset: a storage may be a window of another one, in numbers.
    """

    dtype: torch.dtype
    count: int
    buffer: object = None
    start: int = 0
    root: Storage | None = None
    offset: int = 0


@dataclass(frozen=True, eq=False)
class View:
    """A tensor to be: a strided window of a storage, in numbers."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(eq=False)
class Kind:
    """A numpy dtype to be, such as "f4" in the byte order "<"."""

    code: str
    order: str = "<"


@dataclass(eq=False)
class Array:
    """A numpy array to be; `content` is bytes, or a list for arrays of objects."""

    shape: tuple[int, ...] = ()
    kind: Kind | None = None
    fortran: bool = False
    content: object = None
    scalar: bool = False


@dataclass
class Budget:
    """What one file may cost: steps of the machine, and bytes of tensors that it describes."""

    bytes: int
    steps: int = STEPS
    nested: bool = False  # inside a storage that is itself a file in bytes
    load_bytes: Callable[[bytes, Budget], object] | None = field(default=None, repr=False)

    def step(self) -> None:
        """Count one opcode."""
        self.steps -= 1
        demand(self.steps >= 0, f"at most {STEPS} pickle opcodes", "more")

    def claim(self, count: int) -> None:
        """Count bytes that a tensor describes; a storage described over and over is a bomb."""
        self.bytes -= count
        demand(self.bytes >= 0, "tensors of about the size of the file", "a claim of far more")


def demand(condition: object, expected: str, got: object) -> None:
    """Raise `UnsafeFile` unless a condition holds."""
    if not condition:
        raise UnsafeFile(
            f"expected {expected}; got {_brief(got)}; do not open this file by other means, "
            "fetch it again from its publisher."
        )


def _brief(got: object) -> str:
    """A few words on a value; containers of a hostile file may take for ever to print."""
    parts = got if type(got) in (list, tuple) and len(got) <= DIMENSIONS else (got,)
    if all(isinstance(part, str | bytes | int | Exception | Name) for part in parts):
        shown = (str(part[:200] if isinstance(part, bytes) else part) for part in parts)
        return ", ".join(shown)[:200]
    return f"a {type(got).__name__}"


def permit(module: str, name: str) -> Name:
    """The allowed name `module.name`; raises `UnsafeFile` for every other."""
    path = f"{_OLD_MODULES.get(module, module)}.{name}"
    inert = path.startswith(_INERT) and "__" not in path
    known = path in CALLS or path in _NAMES or inert or _storage_type(path)
    demand(known, "tensors and plain data", f"a reference to {path!r}, which would run code")
    return Name(path)


def call(name: object, arguments: object, budget: Budget) -> object:
    """What a file means by calling an allowed name: our own function, or an empty Record."""
    demand(isinstance(name, Name), "a call of an allowed name", f"one of a {type(name).__name__}")
    demand(isinstance(arguments, tuple), "arguments in a tuple", type(arguments).__name__)
    if name.path in CALLS:
        try:
            return CALLS[name.path](budget, *arguments)
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise UnsafeFile(
                f"expected the usual arguments of {name.path}; got others ({error}); "
                "fetch the file again."
            ) from error
    demand(not arguments, f"{name.path} to be created empty", "a call with arguments")
    demand(name.path not in _NAMES or "Namespace" in name.path, "a class of objects", name.path)
    return Record(name.path)


def build(target: object, state: object) -> object:
    """Give an object its state; only Records, arrays and dtypes take one."""
    if isinstance(target, Record):
        object.__setattr__(target, "state", state)  # frozen for readers; the file is still read
    elif isinstance(target, Kind):
        demand(isinstance(state, tuple) and len(state) >= 5, "the state of a dtype", state)
        demand(state[2:5] == (None, None, None), "a dtype without fields", "one with fields")
        demand(state[1] in ("<", ">", "|", "="), "a byte order", state[1])
        target.order = state[1]
    elif isinstance(target, Array):
        demand(isinstance(state, tuple) and len(state) == 5, "the state of an array", "another")
        _, target.shape, target.kind, target.fortran, target.content = state
    else:
        # Attributes of a dictionary, such as the _metadata of a state dict, hold no weights.
        demand(type(target) is dict, "an object that takes a state", type(target).__name__)
    return target


def storage_type(kind: object) -> torch.dtype:
    """Number type of a storage class that a file names."""
    dtype = _storage_type(kind.path) if isinstance(kind, Name) else None
    demand(dtype, "a storage class of torch", kind)
    return dtype


def _storage_type(path: str) -> torch.dtype | None:
    module, _, name = path.rpartition(".")
    known = module in ("torch", "torch.cuda", "torch.storage") and name.endswith("Storage")
    return _STORAGES.get(name.removesuffix("Storage")) if known else None


def natural(*numbers: object) -> bool:
    """Whether all are integers from 0 to 2^48."""
    return all(type(number) is int and 0 <= number < 2**48 for number in numbers)


def _view(budget: Budget, storage: Storage, offset, size, stride, *_ignored: object) -> View:
    size, stride = tuple(size), tuple(stride)
    demand(isinstance(storage, Storage), "a tensor of a storage", type(storage).__name__)
    demand(natural(offset, *size, *stride), "offsets and strides from 0 up", (offset, stride))
    demand(len(size) == len(stride) <= DIMENSIONS, f"at most {DIMENSIONS} dimensions", len(size))
    number = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    inside = number == 0 or (number <= storage.count and last < storage.count)
    demand(inside, f"a tensor inside its storage of {storage.count} numbers", (offset, size))
    return View(storage, offset, size, stride)


def _typed(budget: Budget, rebuild: Name, kind: Name, arguments: tuple, _state: object) -> object:
    """A tensor with attributes: the attributes are dropped."""
    demand(isinstance(kind, Name) and kind.path.startswith("torch."), "a class of torch", kind)
    known = isinstance(rebuild, Name) and rebuild.path.startswith("torch._utils._rebuild_")
    demand(known, "a rebuild function of torch", rebuild)
    return call(rebuild, arguments, budget)


def _bytes_of_storage(budget: Budget, content: bytes) -> object:
    demand(isinstance(content, bytes) and not budget.nested, "one storage in bytes", "another")
    budget.claim(len(content))
    return budget.load_bytes(content, budget)


def _persistent(budget: Budget, meta: dict) -> Record:
    """An object saved with its source code: the state is kept, the source dropped unread."""
    demand(isinstance(meta, dict) and meta.get("type") == "class", "a saved object", "another")
    demand(isinstance(meta.get("class_name"), str), "the name of its class", "none")
    return Record(OBJECTS + meta["class_name"], meta.get("state"))


def _reconstructor(budget: Budget, kind: Name, base: Name, _state: object) -> object:
    plain = isinstance(base, Name) and base.path in ("builtins.object", "builtins.dict")
    demand(plain, "an object on a plain base", base)
    return call(kind, (), budget)


def _dictionary(budget: Budget, content: object = None) -> dict:
    budget.claim(_MEMBER * len(content or ()))
    if isinstance(content, dict):
        return dict(content)
    pairs = [tuple(pair) for pair in content or ()]
    for key, _ in pairs:
        check_key(key)
    return dict(pairs)


def _default_dictionary(budget: Budget, factory: object = None, *rest: object) -> dict:
    return _dictionary(budget, *rest)


def _members(kind: type) -> Callable:
    """list, tuple, set or frozenset of the members of another such container."""

    def make(budget: Budget, content: object = ()) -> object:
        demand(type(content) in (list, tuple, set, frozenset), "a plain container", type(content))
        budget.claim(_MEMBER * len(content))
        for member in content if kind in (set, frozenset) else ():
            check_key(member)
        return kind(content)

    return make


def check_key(key: object) -> None:
    """Raise unless a dictionary key or set member hashes in no time: no nested tuples."""
    flat = (str, bytes, int, float, bool, type(None))
    parts = key if isinstance(key, tuple) and len(key) <= DIMENSIONS else (key,)
    demand(all(type(part) in flat for part in parts), "plain keys", type(key).__name__)


def _encoded(budget: Budget, text: str, encoding: str = "latin1") -> bytes:
    demand(encoding in ("latin1", "latin-1", "utf-8", "ascii"), "text in latin1", encoding)
    budget.claim(len(text))
    return str.encode(text, encoding)


def _path(budget: Budget, *parts: str) -> str:
    budget.claim(sum(map(len, parts)))
    return "/".join(parts).replace("//", "/")


def _device(budget: Budget, name: str, index: int | None = None) -> Record:
    return Record("torch.device", name if index is None else f"{name}:{index}")


def _dtype(budget: Budget, code: str, *_flags: object) -> Kind:
    demand(isinstance(code, str) and len(code) < 12, "a dtype by its code", code)
    return Kind(code.lstrip("<>=|"), code[0] if code[:1] in (">", "<") else "<")


def _scalar(budget: Budget, kind: Kind, content: object) -> object:
    return Array((), kind, False, content, scalar=True)


def _from_buffer(budget: Budget, content: object, kind: Kind, shape: tuple, order: str) -> Array:
    demand(isinstance(content, bytes | bytearray), "bytes of an array", type(content).__name__)
    return Array(tuple(shape), kind, order == "F", content)


CALLS: dict[str, Callable] = {
    "torch._utils._rebuild_tensor": _view,
    "torch._utils._rebuild_tensor_v2": _view,
    "torch._utils._rebuild_parameter": lambda budget, data, *_rest: data,
    "torch._utils._rebuild_parameter_with_state": lambda budget, data, *_rest: data,
    "torch._tensor._rebuild_from_type_v2": _typed,
    "torch.storage._load_from_bytes": _bytes_of_storage,
    "torch.Size": _members(tuple),
    "torch.device": _device,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "collections.OrderedDict": _dictionary,
    "collections.defaultdict": _default_dictionary,
    "collections.Counter": _dictionary,
    "dnnlib.util.EasyDict": _dictionary,
    "dnnlib.EasyDict": _dictionary,
    "easydict.EasyDict": _dictionary,
    "builtins.dict": _dictionary,
    "builtins.list": _members(list),
    "builtins.tuple": _members(tuple),
    "builtins.set": _members(set),
    "builtins.frozenset": _members(frozenset),
    "pathlib.PosixPath": _path,
    "pathlib.PurePosixPath": _path,
    "copyreg._reconstructor": _reconstructor,
    "_codecs.encode": _encoded,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": lambda budget, *_rest: Array(),
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _from_buffer,
}
