"""Read and write ONNX files: only the part of the format (protocol buffers) detectors need."""

from __future__ import annotations

import numpy as np

CHANNELS = 16
"""ONNX Runtime computes this many at a time: layers padded to multiples need no repacking."""
IR_VERSION, OPSET, FLOAT, INT, TEXT, INTS = 8, 13, 1, 2, 3, 7
"""Numeric constants of the format."""


class OnnxFile:
    """An ONNX file built node by node; tensors are referred to by name.

    Args:
        sides: Shape of `input`; each side is a number, or a name if it is free.
    """

    def __init__(self, sides: tuple[int | str, ...]) -> None:
        self.channels = {"input": int(sides[1])}
        self._sides, self._nodes, self._constants = sides, [], []

    def node(self, kind: str, *given: str, out: str = "", **attributes: int | str | tuple) -> str:
        """Add a node; return the name of its output, which has as many channels as its input."""
        out = out or f"{kind}_{len(self._nodes)}"
        joined = given if kind == "Concat" else given[:1]
        self.channels[out] = sum(self.channels[name] for name in joined)
        parts = [_field(1, name) for name in given] + [_field(2, out), _field(4, kind)]
        for name, value in attributes.items():
            if isinstance(value, int):
                stated = _field(3, value) + _field(20, INT)
            elif isinstance(value, str):
                stated = _field(4, value) + _field(20, TEXT)
            else:
                stated = b"".join(_field(8, one) for one in value) + _field(20, INTS)
            parts.append(_field(5, _field(1, name) + stated))
        self._nodes.append(b"".join(parts))
        return out

    def convolved(
        self, x: str, kernel: np.ndarray, bias: np.ndarray, out: str = "", **attributes: tuple
    ) -> str:
        """Add a convolution, whose channels are padded with zeros unless it is an output.

        Args:
            x: Name of its input.
            kernel: `(made, given, h, w)`; given is 1 for a depthwise convolution.
            bias: `(made,)`.
            out: Name of its result, if that is an output of the network.
            **attributes: As named by ONNX.
        """
        of_each, channels = kernel.shape[1] == 1, self.channels[x]
        count = len(kernel) if out else -(-len(kernel) // CHANNELS) * CHANNELS
        filled = np.zeros((count, 1 if of_each else channels, *kernel.shape[2:]), np.float32)
        filled[: len(kernel), : kernel.shape[1]] = kernel
        biases = np.zeros(count, np.float32)
        biases[: len(kernel)] = bias
        given = (x, self.constant(filled), self.constant(biases))
        made = self.node("Conv", *given, out=out, group=channels if of_each else 1, **attributes)
        self.channels[made] = count
        return made

    def constant(self, numbers: np.ndarray) -> str:
        """Add a float32 tensor; return its name."""
        name = f"constant_{len(self._constants)}"
        sides = b"".join(_field(1, side) for side in numbers.shape)
        data = numbers.astype("<f4").tobytes()
        self._constants.append(sides + _field(2, FLOAT) + _field(8, name) + _field(9, data))
        return name

    def content(self, outputs: tuple[str, ...]) -> bytes:
        """Return the file of a network that takes `input` and returns the given tensors."""
        sides = (_field(1 if isinstance(side, int) else 2, side) for side in self._sides)
        shape = b"".join(_field(1, side) for side in sides)
        taken = _field(1, "input") + _field(2, _field(1, _field(1, FLOAT) + _field(2, shape)))
        made = [_field(1, name) + _field(2, _field(1, _field(1, FLOAT))) for name in outputs]
        parts = [_field(1, node) for node in self._nodes] + [_field(2, "network")]
        parts += [_field(5, constant) for constant in self._constants] + [_field(11, taken)]
        graph = b"".join(parts + [_field(12, one) for one in made])
        return _field(1, IR_VERSION) + _field(7, graph) + _field(8, _field(2, OPSET))


def convolutions(content: bytes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the kernels, `(made, given, h, w)`, and biases in an ONNX file, in file order."""
    graph = _fields(_fields(content)[7][0])
    constants = {}
    for tensor in map(_fields, graph[5]):
        if tensor[2] == [FLOAT] and 9 in tensor:
            constants[tensor[8][0]] = np.frombuffer(tensor[9][0], "<f4").reshape(tensor[1])
    given = [node[1] for node in map(_fields, graph[1]) if node[4] == [b"Conv"]]
    return [(constants[kernel], constants[bias]) for _, kernel, bias in given]


def _fields(message: bytes) -> dict[int, list]:
    """Return the values of each field of a protocol buffer message: numbers, or bytes."""
    fields: dict[int, list] = {}
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        if key & 7 == 0:
            value, at = _number(message, at)
        else:
            length, at = (4, at) if key & 7 == 5 else _number(message, at)
            value, at = message[at : at + length], at + length
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _number(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 0x80:
            return value, at


def _field(number: int, value: int | str | bytes) -> bytes:
    """Return an encoded field of a protocol buffer message."""
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
