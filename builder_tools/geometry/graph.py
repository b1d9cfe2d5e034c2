"""Cheaper forms of LiteRT networks: two that are equivalent, and one that nearly is.

The network for landmarks begins with blocks of 8 channels, half of what an AVX-512 register holds:
a pointwise convolution, PReLU, a depthwise convolution and another pointwise one. Using
`prelu(z) = relu(z) - slope * relu(-z)`, the first convolution computes both `z` and `-z` (a ReLU
is free there), the depthwise one processes both, and the slope goes into the weights of the last:
16 channels instead of 8, which take the same time in such a register, and one pass over the image
less. In the network for blendshapes, only one of the 97 rows computed by the last block is used;
and its large layers are multiplied in 8 bits, with one scale per output and per row of their input.
See reports/geometry.md for what each form gains and how close the results stay.

A file is patched in place, as unpacking it completely and packing it again takes 0.2 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

NARROW = 8
"""Most channels that fill at most half of a register of 512 bits."""
LARGE = 1 << 14
"""Fewest weights of a layer to multiply in 8 bits, which excludes the first and last layers."""
ALIGNED = 16
"""Alignment that LiteRT requires for numbers, bytes."""


def filled(content: bytes) -> bytes:
    """Return the network with its narrow PReLUs merged into the surrounding convolutions.

    Args:
        content: A LiteRT network with float32 or float16 weights. Its outputs stay the same up to
            rounding; a network without such blocks is returned unchanged.
    """
    graph = _Graph(content)
    for prelu in graph.of_kind("PRELU"):
        first = graph.maker(prelu.inputs[0])
        depthwise = graph.only_user(prelu.outputs[0], "DEPTHWISE_CONV_2D")
        last = depthwise and graph.only_user(depthwise.outputs[0], "CONV_2D")
        if first is None or first.kind != "CONV_2D" or depthwise is None or last is None:
            continue
        slope = graph.numbers(prelu.inputs[1]).ravel()
        if len(slope) > NARROW or not graph.only_user(prelu.inputs[0], "PRELU"):
            continue
        both, mixed = prelu.inputs[0], depthwise.outputs[0]
        for tensor in first.inputs[1:]:  # weights (out, 1, 1, in), bias (out,)
            numbers = graph.numbers(tensor)
            graph.put_numbers(tensor, np.concatenate([numbers, -numbers]))
        _, kernel, bias = depthwise.inputs  # (1, 3, 3, channels), (channels,)
        graph.put_numbers(kernel, np.concatenate([graph.numbers(kernel)] * 2, axis=-1))
        graph.put_numbers(bias, np.concatenate([graph.numbers(bias), np.zeros(len(slope))]))
        weights = graph.numbers(last.inputs[1])
        graph.put_numbers(last.inputs[1], np.concatenate([weights, -slope * weights], axis=-1))
        graph.put_numbers(last.inputs[2], graph.numbers(last.inputs[2]))
        for tensor in (both, mixed):
            graph.put_channels(tensor, 2 * len(slope))
        graph.end_with_relu(first)
        graph.put_input(depthwise, both)
        graph.drop(prelu)
    return graph.saved()


def cheaper_blendshapes(content: bytes) -> bytes:
    """Return the network for blendshapes without unread rows and with large layers in 8 bits."""
    return in_8_bits(without_unread_rows(content))


def without_unread_rows(content: bytes) -> bytes:
    """Return the network without its last block's computations on unread rows.

    Args:
        content: A LiteRT network. It must have a last block that mixes rows by a convolution over
            their transpose and then treats each row separately, and a slice that reads only the
            first row; its outputs stay the same. Other networks are returned unchanged.
    """
    graph = _Graph(content)
    for cut in graph.of_kind("STRIDED_SLICE"):
        end = graph.maker(cut.inputs[0])
        second = graph.only_user(cut.outputs[0], "STRIDED_SLICE")
        if end is None or end.kind != "ADD" or second is None:
            continue
        begin = graph.maker(end.inputs[1])
        turn = begin and graph.maker(begin.inputs[0])
        mix = turn and graph.maker(turn.inputs[0])
        if [one and one.kind for one in (begin, turn, mix)] == ["ADD", "TRANSPOSE", "CONV_2D"]:
            for tensor in mix.inputs[1:]:  # weights (rows, 1, 1, in), bias (rows,)
                graph.put_numbers(tensor, graph.numbers(tensor)[:1])
            graph.drop(cut)
            graph.put_input(second, begin.inputs[1])
            graph.move_before(second, begin)
            graph.put_input(begin, second.outputs[0], 1)
            graph.put_input(graph.users(second.outputs[0])[0], end.outputs[0])
    return graph.saved()


def in_8_bits(content: bytes) -> bytes:
    """Return the network with the weights of its large convolutions in 8 bits.

    LiteRT then also rounds their inputs, row by row on the fly; their outputs and all other layers
    stay in 32 bits.

    Args:
        content: A LiteRT network with float32 or float16 weights.
    """
    graph = _Graph(content)
    for convolution in graph.of_kind("CONV_2D"):
        weights, bias = convolution.inputs[1:]
        if graph.numbers(weights).size >= LARGE:
            graph.put_8_bits(weights, graph.numbers(weights))
            graph.put_numbers(bias, graph.numbers(bias))
    return graph.saved()


@dataclass(frozen=True)
class _Operator:
    """An operator: its kind, its input and output tensors, and its position in the file's list."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    place: int


class _Graph:
    """A network's file: changes are appended at its end, and its lists point to them.

    Queries are answered from the original file.
    """

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema, self._file = schema, bytearray(content)
        self._model = schema.Model.GetRootAs(content, 0)
        self._graph = self._model.Subgraphs(0)
        names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
        codes = [self._model.OperatorCodes(n) for n in range(self._model.OperatorCodesLength())]
        kinds = [names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())] for code in codes]
        self._operators: list[_Operator] = []
        self._maker: dict[int, _Operator] = {}
        self._users: dict[int, list[_Operator]] = {}
        for place in range(self._graph.OperatorsLength()):
            one = self._graph.Operators(place)
            taken, made = one.InputsAsNumpy().tolist(), one.OutputsAsNumpy().tolist()
            operator = _Operator(kinds[one.OpcodeIndex()], tuple(taken), tuple(made), place)
            self._operators.append(operator)
            self._maker |= dict.fromkeys(operator.outputs, operator)
            for tensor in operator.inputs:
                self._users.setdefault(tensor, []).append(operator)
        self._order = list(range(len(self._operators)))

    def of_kind(self, kind: str) -> list[_Operator]:
        return [operator for operator in self._operators if operator.kind == kind]

    def maker(self, tensor: int) -> _Operator | None:
        return self._maker.get(tensor)

    def users(self, tensor: int) -> list[_Operator]:
        return self._users.get(tensor, [])

    def only_user(self, tensor: int, kind: str) -> _Operator | None:
        """Return the only user of a tensor if there is just one and it is of the given kind."""
        users = self.users(tensor)
        return users[0] if [one.kind for one in users] == [kind] else None

    def numbers(self, tensor: int) -> np.ndarray:
        """Return a constant as float32, even if the file stores it in 16 bits."""
        found = self._graph.Tensors(self._stored(tensor))
        kind = {0: np.float32, 1: np.float16}[found.Type()]
        data = self._model.Buffers(found.Buffer()).DataAsNumpy().tobytes()
        return np.frombuffer(data, kind).reshape(found.ShapeAsNumpy()).astype(np.float32)

    def put_numbers(self, tensor: int, numbers: np.ndarray) -> None:
        """Replace a constant by other numbers in 32 bits."""
        self._put(tensor, numbers.astype("<f4"), self._schema.TensorType.FLOAT32)

    def put_8_bits(self, tensor: int, numbers: np.ndarray) -> None:
        """Replace a constant by numbers in 8 bits, with one scale per output."""
        largest = np.abs(numbers).reshape(len(numbers), -1).max(axis=1)
        scales = np.maximum(largest, np.finfo(np.float32).tiny) / 127
        rounded = np.round(numbers / scales[:, None, None, None]).astype(np.int8)
        steps = self._schema.QuantizationParametersT()
        steps.scale, steps.zeroPoint = scales, np.zeros(len(scales), np.int64)
        self._put(tensor, rounded, self._schema.TensorType.INT8, steps)

    def _put(self, tensor: int, numbers: np.ndarray, kind: int, steps: Any = None) -> None:
        stored = self._stored(tensor)
        if stored != tensor:
            self.drop(self._maker[tensor])  # it would convert 16 bits to 32
        table = self._schema.TensorT.InitFromObj(self._graph.Tensors(stored))
        table.shape, table.type = np.array(numbers.shape, np.int32), kind
        table.quantization = steps
        data = self._schema.BufferT()
        data.data = np.frombuffer(numbers.tobytes(), np.uint8)
        self._point(_list_at(self._model, "buffers"), table.buffer, self._added(data))
        added = self._added(table)
        for place in {tensor, stored}:
            self._point(_list_at(self._graph, "tensors"), place, added)

    def put_channels(self, tensor: int, count: int) -> None:
        """Set the number of channels of a tensor that an operator makes."""
        table = self._schema.TensorT.InitFromObj(self._graph.Tensors(tensor))
        table.shape = np.array([*table.shape[:-1], count], np.int32)
        table.shapeSignature = None
        self._point(_list_at(self._graph, "tensors"), tensor, self._added(table))

    def end_with_relu(self, operator: _Operator) -> None:
        table = self._schema.OperatorT.InitFromObj(self._graph.Operators(operator.place))
        table.builtinOptions.fusedActivationFunction = self._schema.ActivationFunctionType.RELU
        self._point(_list_at(self._graph, "operators"), operator.place, self._added(table))

    def put_input(self, operator: _Operator, tensor: int, number: int = 0) -> None:
        """Make an operator take another tensor as input."""
        start = _list_at(self._graph.Operators(operator.place), "inputs") + 4 * number
        self._file[start : start + 4] = tensor.to_bytes(4, "little")

    def move_before(self, operator: _Operator, other: _Operator) -> None:
        """Make an operator run before another one."""
        self._order.remove(operator.place)
        self._order.insert(self._order.index(other.place), operator.place)

    def drop(self, operator: _Operator) -> None:
        if operator.place in self._order:
            self._order.remove(operator.place)

    def saved(self) -> bytes:
        """Return the file with the remaining operators, in order."""
        start, kept = _list_at(self._graph, "operators"), self._order
        entries = [start + 4 * place for place in kept]
        steps = [int.from_bytes(self._file[entry : entry + 4], "little") for entry in entries]
        tables = [entry + step for entry, step in zip(entries, steps, strict=True)]
        for place, table in enumerate(tables):
            self._point(start, place, table)
        self._file[start - 4 : start] = len(kept).to_bytes(4, "little")
        return bytes(self._file)

    def _stored(self, tensor: int) -> int:
        """Return the tensor that holds the numbers of a constant."""
        maker = self._maker.get(tensor)
        return tensor if maker is None else maker.inputs[0]

    def _added(self, table: Any) -> int:
        """Append a table to the file and return its position."""
        import flatbuffers

        builder = flatbuffers.Builder(0)
        builder.Finish(table.Pack(builder))
        packed = bytes(builder.Output())
        self._file += bytes(-len(self._file) % ALIGNED)
        start = len(self._file)
        self._file += packed
        return start + int.from_bytes(packed[:4], "little")

    def _point(self, start: int, place: int, table: int) -> None:
        """Make an entry of the list that begins at `start` point to a table after it."""
        entry = start + 4 * place
        self._file[entry : entry + 4] = (table - entry).to_bytes(4, "little")


_FIELDS = {"tensors": 4, "inputs": 6, "operators": 10, "buffers": 12}
"""Where the tables of LiteRT's format store these lists, as flatbuffers field offsets."""


def _list_at(table: Any, name: str) -> int:
    """Return where the entries of a table's list begin in the file."""
    return int(table._tab.Vector(table._tab.Offset(_FIELDS[name])))
