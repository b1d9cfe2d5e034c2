"""BlazeFace's short range as an ONNX network, made of the published LiteRT file when it is loaded.

The network (Bazarevsky et al., 2019) is a convolution and 16 blocks of a depthwise and a pointwise
one, whose result is added to what the block was given. ONNX Runtime computes 16 channels at a time:
the channels of each layer are filled up with zeros to a multiple of 16, and need no repacking from
layer to layer. The answers are equal, in three quarters of the time.

Of both formats only what this takes is here: the constants in a LiteRT file, and ONNX's messages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

INPUT_PX = 128
HALVING_BLOCKS = (2, 5, 11)
"""Blocks with a stride of 2."""
TOLD_AFTER = {10: 8, 15: 16}
"""Blocks after which faces are told, and the size of the cells in which they are, px."""
OUTPUTS = tuple(f"cells_{px}" for px in TOLD_AFTER.values())
CHANNELS = 16
FIRST, HALVING, KEEPING = (1, 1, 2, 2), (0, 0, 1, 1), (1, 1, 1, 1)
"""TensorFlow's "same" padding: of the first convolution, a block that halves, one that does not."""
IR_VERSION, OPSET, FLOAT, INT, INTS = 8, 13, 1, 2, 7
"""Numbers of ONNX's format."""
LITERT_KINDS = {0: np.dtype("<f4"), 1: np.dtype("<f2")}


def as_onnx(content: bytes) -> bytes:
    """Return the network as an ONNX file.

    It takes `input`, `(1, 3, 128, 128)` RGB in [-1, 1], and gives `OUTPUTS`, `(1, 17 a, n, n)`:
    for the a anchors of each cell how sure it is of a face there (a), then its box and its key
    points (16 a).

    Args:
        content: The LiteRT file.
    """
    file = _OnnxFile(dict(litert_constants(content)))
    x = file.convolved("input", ["conv2d"], strides=(2, 2), pads=FIRST)
    x = file.node("Relu", x)
    for block in range(max(TOLD_AFTER) + 1):
        name, steps = f"depthwise_conv2d_{block}" if block else "depthwise_conv2d", (1, 1)
        kept, padding = x, KEEPING
        if block in HALVING_BLOCKS:
            steps, padding = (2, 2), HALVING
            kept = file.node("MaxPool", x, kernel_shape=(2, 2), strides=(2, 2))
        x = file.convolved(x, [name], strides=steps, pads=padding)
        x = file.convolved(x, [f"conv2d_{block + 1}"])
        x = file.node("Relu", file.node("Add", x, file.widened(kept, file.channels[x])))
        if px := TOLD_AFTER.get(block):
            file.convolved(x, [f"classificator_{px}", f"regressor_{px}"], out=f"cells_{px}")
    return file.content()


def litert_constants(content: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and values, as float32, of the weights in a LiteRT file (a flatbuffer)."""
    model = _Table(content, _Table.pointed(content, 0))
    buffers = model.tables(4)
    for tensor in model.tables(2)[0].tables(0):
        data = buffers[tensor.number(2)].vector(0, "B")
        kind = LITERT_KINDS.get(tensor.number(1, "b"))
        if len(data) and kind is not None:
            shape = tensor.vector(0, "<i4")
            yield bytes(tensor.vector(3, "B")).decode(), data.view(kind).reshape(shape).astype("f4")


class _Table:
    """A table of a flatbuffer, whose fields are asked for by their numbers."""

    def __init__(self, content: bytes, start: int) -> None:
        self._content, self._start = content, start
        self._fields = start - struct.unpack_from("<i", content, start)[0]

    @staticmethod
    def pointed(content: bytes, place: int) -> int:
        return place + struct.unpack_from("<I", content, place)[0]

    def number(self, field: int, kind: str = "I") -> int:
        place = self._place(field)
        return 0 if place is None else struct.unpack_from("<" + kind, self._content, place)[0]

    def vector(self, field: int, kind: str) -> np.ndarray:
        place = self._place(field)
        if place is None:
            return np.empty(0, kind)
        start = self.pointed(self._content, place)
        (count,) = struct.unpack_from("<I", self._content, start)
        return np.frombuffer(self._content, kind, count, start + 4)

    def tables(self, field: int) -> list[_Table]:
        first = self.pointed(self._content, self._place(field)) + 4
        places = range(first, first + 4 * len(self.vector(field, "<u4")), 4)
        return [_Table(self._content, self.pointed(self._content, place)) for place in places]

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry >= struct.unpack_from("<H", self._content, self._fields)[0]:
            return None
        (offset,) = struct.unpack_from("<H", self._content, self._fields + entry)
        return self._start + offset if offset else None


class _OnnxFile:
    """An ONNX file that grows node by node; a tensor is called by its name."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.channels = {"input": 3}
        self._weights, self._nodes, self._constants = weights, [], []

    def node(self, kind: str, *given: str, out: str = "", **attributes: int | tuple) -> str:
        """Add a node; return the name of what it makes, of as many channels as it is given."""
        out = out or f"{kind}_{len(self._nodes)}"
        self.channels[out] = self.channels[given[0]]
        parts = [_field(1, name) for name in given] + [_field(2, out), _field(4, kind)]
        for name, value in attributes.items():
            if isinstance(value, int):
                stated = _field(3, value) + _field(20, INT)
            else:
                stated = b"".join(_field(8, one) for one in value) + _field(20, INTS)
            parts.append(_field(5, _field(1, name) + stated))
        self._nodes.append(b"".join(parts))
        return out

    def convolved(self, x: str, names: list[str], out: str = "", **attributes: tuple) -> str:
        """Add a convolution by one of the file's, or by several at once, one after the other."""
        kernels = [self._weights[f"{name}/Kernel"] for name in names]
        biases = [self._weights[f"{name}/Bias"] for name in names]
        of_each, channels = names[0].startswith("depthwise"), self.channels[x]
        kernel = np.concatenate(kernels).transpose((3, 0, 1, 2) if of_each else (0, 3, 1, 2))
        count = len(kernel) if out else -(-len(kernel) // CHANNELS) * CHANNELS
        filled = np.zeros((count, 1 if of_each else channels, *kernel.shape[2:]), np.float32)
        filled[: len(kernel), : kernel.shape[1]] = kernel
        bias = np.zeros(count, np.float32)
        bias[: len(kernel)] = np.concatenate(biases)
        given = (x, self._constant(filled), self._constant(bias))
        made = self.node("Conv", *given, out=out, group=channels if of_each else 1, **attributes)
        self.channels[made] = count
        return made

    def widened(self, x: str, channels: int) -> str:
        """Return a tensor with channels of zeros behind its own, by a convolution: it is packed."""
        if self.channels[x] == channels:
            return x
        widening = np.eye(channels, self.channels[x], dtype=np.float32)[..., None, None]
        made = self.node("Conv", x, self._constant(widening))
        self.channels[made] = channels
        return made

    def content(self) -> bytes:
        shape = b"".join(_field(1, _field(1, side)) for side in (1, 3, INPUT_PX, INPUT_PX))
        taken = _field(1, "input") + _field(2, _field(1, _field(1, FLOAT) + _field(2, shape)))
        made = [_field(1, name) + _field(2, _field(1, _field(1, FLOAT))) for name in OUTPUTS]
        parts = [_field(1, node) for node in self._nodes] + [_field(2, "short_range")]
        parts += [_field(5, constant) for constant in self._constants] + [_field(11, taken)]
        graph = b"".join(parts + [_field(12, one) for one in made])
        return _field(1, IR_VERSION) + _field(7, graph) + _field(8, _field(2, OPSET))

    def _constant(self, numbers: np.ndarray) -> str:
        name = f"constant_{len(self._constants)}"
        sides = b"".join(_field(1, side) for side in numbers.shape)
        data = numbers.astype("<f4").tobytes()
        self._constants.append(sides + _field(2, FLOAT) + _field(8, name) + _field(9, data))
        return name


def _field(number: int, value: int | str | bytes) -> bytes:
    """Return a field of a protocol buffer's message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(parts) + bytes([value])
