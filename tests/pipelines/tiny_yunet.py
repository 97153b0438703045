"""Writes an ONNX file with YuNet's inputs and outputs that "detects" bright 8 px cells.

A stand-in for the published file: OpenCV's reader, its decoding and its order of points are real.
The wire format is protocol buffers', written by hand: (field, type) keys, varints, lengths.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIDE = 640
STRIDES = (8, 16, 32)


def _varint(number: int) -> bytes:
    out = bytearray()
    number &= (1 << 64) - 1
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _tensor(name: str, values: np.ndarray) -> bytes:
    kind = {"float32": 1, "int64": 7}[str(values.dtype)]
    dims = b"".join(_field(1, side) for side in values.shape)
    return dims + _field(2, kind) + _field(8, name) + _field(9, values.tobytes())


def _value(name: str, *shape: int) -> bytes:
    dims = b"".join(_field(1, _field(1, side)) for side in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, dims)))


def _node(kind: str, inputs: list[str], output: str, **attributes: list[int]) -> bytes:
    text = b"".join(_field(1, name) for name in inputs) + _field(2, output)
    text += _field(3, output) + _field(4, kind)
    for name, numbers in attributes.items():
        whole = b"".join(_field(8, number) for number in numbers)
        text += _field(5, _field(1, name) + whole + _field(20, 7))
    return text


def write(path: Path, points: np.ndarray, side: float) -> Path:
    """The file: each white 8 px cell is a face with a box of `side` cells around its middle.

    points: (5, 2), in cells from the cell's corner, in YuNet's order.
    """
    heads = {
        "cls": (1, [0.0]), "obj": (1, [1.0]), "bbox": (4, [0.5, 0.5, *[np.log(side)] * 2]),
        "kps": (10, np.ravel(points)),
    }  # fmt: skip
    nodes, constants, outputs = [], [], []
    for stride in STRIDES:
        pooled = f"pooled_{stride}"
        window = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
        nodes.append(_node("AveragePool", ["input"], pooled, **window))
        for head, (width, bias) in heads.items():
            name = f"{head}_{stride}"
            bright = 1 / (3 * 255) if name == "cls_8" else 0.0
            weight = np.full((width, 3, 1, 1), bright, np.float32)
            constants += [
                _tensor(f"{name}.w", weight),
                _tensor(f"{name}.b", np.asarray(bias, np.float32)),
                _tensor(f"{name}.s", np.array([1, -1, width], np.int64)),
            ]
            nodes += [
                _node("Conv", [pooled, f"{name}.w", f"{name}.b"], f"{name}.c", kernel_shape=[1, 1]),
                _node("Transpose", [f"{name}.c"], f"{name}.t", perm=[0, 2, 3, 1]),
                _node("Reshape", [f"{name}.t", f"{name}.s"], name),
            ]
            outputs.append(_value(name, 1, (SIDE // stride) ** 2, width))
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "tiny")
    graph += b"".join(_field(5, constant) for constant in constants)
    graph += _field(11, _value("input", 1, 3, SIDE, SIDE))
    graph += b"".join(_field(12, output) for output in outputs)
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(2, 13)))
    return path
