"""From inert descriptions to tensors, lists and Records, with bounded depth, size and memory."""

from __future__ import annotations

import math

import numpy as np
import torch

from weights.convert.inert import (
    DIMENSIONS,
    Array,
    Budget,
    Kind,
    Name,
    Record,
    Storage,
    View,
    demand,
    natural,
)

DEPTH, MEMBERS = 100, 10_000_000
_NUMBERS = set("b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16".split())
_OBJECTS = ("O", "O4", "O8")


def settle(root: object, budget: Budget) -> object:
    """What a file holds: containers and Records anew, every description made into a tensor.

    Refuses cycles, more than 100 levels, and content that shares its parts so often that walking
    it would take for ever. Walks with a stack of its own: depth costs no recursion.
    """
    done: dict[int, tuple[object, int, int]] = {}  # id -> value, depth, members when walked
    open_ids: set[int] = set()
    stack = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        parts = _parts(node)
        if ready:
            open_ids.discard(id(node))
            known = [done[id(part)] for part in parts]
            depth = 1 + max((depth for _, depth, _ in known), default=0)
            size = 1 + sum(size for *_, size in known)
            demand(depth <= DEPTH, f"at most {DEPTH} levels of containers", "more")
            demand(size <= MEMBERS, f"at most {MEMBERS} members", "more, by repeating parts")
            done[id(node)] = (_made(node, [value for value, *_ in known], budget), depth, size)
            continue
        demand(id(node) not in open_ids, "containers inside one another", "a cycle")
        open_ids.add(id(node))
        stack.append((node, True))
        stack += [(part, False) for part in parts if id(part) not in done]
    return done[id(root)][0]


def _parts(node: object) -> list[object] | tuple[object, ...]:
    """What a node holds, in an order that `_made` takes it back in."""
    if type(node) in (list, tuple):
        return node
    if type(node) is dict:
        return list(node.values())
    if isinstance(node, Record):
        return [node.state]
    if isinstance(node, Array) and isinstance(node.content, list):
        return node.content
    return ()


def _made(node: object, parts: list[object], budget: Budget) -> object:
    if type(node) in (list, tuple):
        return type(node)(parts)
    if type(node) is dict:
        return dict(zip(node, parts, strict=True))
    if isinstance(node, Record):
        return Record(node.kind, *parts)
    if isinstance(node, Storage):
        return tensor(View(node, 0, (node.count,), (1,)), budget)
    if isinstance(node, View):
        return tensor(node, budget)
    if isinstance(node, Array):
        return numbers(node, budget, parts)
    if isinstance(node, Kind):
        return Record("numpy.dtype", node.code)
    if isinstance(node, Name):
        return Record(node.path)
    return node


def tensor(view: View, budget: Budget) -> torch.Tensor:
    """The tensor of a view, without a copy where its bytes are aligned."""
    dtype, start, storage = view.storage.dtype, 0, view.storage
    while storage.root is not None:
        start, storage = start + storage.offset, storage.root
    demand(storage.buffer is not None, "every storage in the file", "a tensor without numbers")
    budget.claim(math.prod(view.size) * dtype.itemsize)
    if 0 in view.size:
        return torch.empty(view.size, dtype=dtype)
    if storage.start % dtype.itemsize:
        raw = torch.frombuffer(
            storage.buffer,
            dtype=torch.uint8,
            count=storage.count * dtype.itemsize,
            offset=storage.start,
        )
        base = raw.clone().view(dtype)
    else:
        base = torch.frombuffer(
            storage.buffer, dtype=dtype, count=storage.count, offset=storage.start
        )
    return base.as_strided(view.size, view.stride, start + view.offset)


def numbers(array: Array, budget: Budget, objects: list[object] | None = None) -> object:
    """A tensor of an array; a number of a scalar; nested lists of text and of objects.

    An array of shape () that holds one object is that object.
    """
    demand(isinstance(array.kind, Kind), "an array with its state", "one without")
    demand(isinstance(array.shape, tuple), "a shape", type(array.shape).__name__)
    shape, code = array.shape, array.kind.code
    demand(natural(*shape) and len(shape) <= DIMENSIONS, "a shape from 0 up", shape)
    if code in _OBJECTS:
        demand(isinstance(array.content, list), "a list of objects", type(array.content).__name__)
        demand(len(objects or ()) == math.prod(shape), "an object for each place", shape)
        return objects[0] if shape == () else _nested(objects, shape, bool(array.fortran))
    text = code[:1] in ("U", "S") and code[1:].isdecimal() and int(code[1:]) <= 2**20
    demand(code in _NUMBERS or text, "an array of numbers or text", f"dtype {code!r}")
    dtype = np.dtype(array.kind.order.replace("|", "<") + code)
    content = array.content
    if isinstance(content, str):  # written by Python 2
        content = content.encode("latin1", "replace")
    demand(isinstance(content, bytes | bytearray | memoryview), "bytes of an array", type(content))
    expected = math.prod(shape) * dtype.itemsize
    demand(len(content) == expected, f"{expected} bytes for the shape {shape}", len(content))
    budget.claim(expected)
    flat = np.frombuffer(content, dtype) if expected else np.empty(math.prod(shape), dtype)
    shaped = flat.reshape(shape, order="F" if array.fortran else "C")
    if text or array.scalar:
        return shaped.tolist()
    native = np.array(shaped, dtype.newbyteorder("="), order="C")
    return torch.from_numpy(native)


def _nested(objects: list[object], shape: tuple[int, ...], fortran: bool) -> list:
    order = np.arange(len(objects)).reshape(shape, order="F" if fortran else "C")

    def level(indices: np.ndarray) -> object:
        if indices.ndim == 0:
            return objects[int(indices)]
        return [level(part) for part in indices]

    return level(order)
