"""BlazeFace's short range as an ONNX network, made from the published LiteRT file on loading.

The network (Bazarevsky et al., 2019) is a convolution and 16 blocks of a depthwise and a pointwise
one, whose result is added to the block's input. ONNX Runtime computes 16 channels at a time: the
channels of each layer are padded with zeros to a multiple of 16, so they need no repacking between
layers. The results are equal, in three quarters of the time.

Only the part of the LiteRT format needed for this is implemented: the constants in a file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from builder_tools.detectors.onnx_file import OnnxFile

INPUT_PX = 128
HALVING_BLOCKS = (2, 5, 11)
"""Blocks with a stride of 2."""
TOLD_AFTER = {10: 8, 15: 16}
"""Blocks after which faces are predicted, and the size of their cells in px."""
OUTPUTS = tuple(f"cells_{px}" for px in TOLD_AFTER.values())
FIRST, HALVING, KEEPING = (1, 1, 2, 2), (0, 0, 1, 1), (1, 1, 1, 1)
"""TensorFlow's "same" padding, for the first convolution, halving blocks, and other blocks."""
LITERT_KINDS = {0: np.dtype("<f4"), 1: np.dtype("<f2")}


def as_onnx(content: bytes) -> bytes:
    """Return the network as an ONNX file.

    It takes `input`, `(1, 3, 128, 128)` RGB in [-1, 1], and returns `OUTPUTS`, `(1, 17 a, n, n)`:
    for the a anchors of each cell, the confidence of a face (a), then its box and key points
    (16 a).

    Args:
        content: Content of the LiteRT file.
    """
    weights, file = dict(litert_constants(content)), OnnxFile((1, 3, INPUT_PX, INPUT_PX))
    x = file.convolved("input", *_of(weights, "conv2d"), strides=(2, 2), pads=FIRST)
    x = file.node("Relu", x)
    for block in range(max(TOLD_AFTER) + 1):
        name, steps = f"depthwise_conv2d_{block}" if block else "depthwise_conv2d", (1, 1)
        kept, padding = x, KEEPING
        if block in HALVING_BLOCKS:
            steps, padding = (2, 2), HALVING
            kept = file.node("MaxPool", x, kernel_shape=(2, 2), strides=(2, 2))
        x = file.convolved(x, *_of(weights, name), strides=steps, pads=padding)
        x = file.convolved(x, *_of(weights, f"conv2d_{block + 1}"))
        x = file.node("Relu", file.node("Add", x, _widened(file, kept, file.channels[x])))
        if px := TOLD_AFTER.get(block):
            told = _of(weights, f"classificator_{px}", f"regressor_{px}")
            file.convolved(x, *told, out=f"cells_{px}")
    return file.content(OUTPUTS)


def _of(weights: dict[str, np.ndarray], *names: str) -> tuple[np.ndarray, np.ndarray]:
    """Return concatenated kernels and biases, in ONNX's layout."""
    kernel = np.concatenate([weights[f"{name}/Kernel"] for name in names])
    order = (3, 0, 1, 2) if names[0].startswith("depthwise") else (0, 3, 1, 2)
    biases = np.concatenate([weights[f"{name}/Bias"] for name in names])
    return kernel.transpose(order), biases


def _widened(file: OnnxFile, x: str, channels: int) -> str:
    """Return a tensor padded with zero channels, by a convolution, which leaves it packed."""
    if file.channels[x] == channels:
        return x
    widening = np.eye(channels, file.channels[x], dtype=np.float32)[..., None, None]
    return file.convolved(x, widening, np.zeros(channels, np.float32))


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
    """A table of a flatbuffer, whose fields are accessed by number."""

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
