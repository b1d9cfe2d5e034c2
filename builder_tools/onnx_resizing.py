"""The resizing of `media.resize_square` as nodes of an ONNX graph.

The nodes compute what OpenCV computes for 8-bit images, rounding included, so a network inside a
larger one sees exactly the pixels that it would see on its own.
"""

from __future__ import annotations

import cv2
import numpy as np

COEFFICIENT_BITS = 11
"""OpenCV's linear interpolation of 8-bit images uses weights in units of 1/2048."""


def resizing_nodes(name: str, given: str, from_px: int, to_px: int):
    """Return nodes and their constants that resize square faces.

    Args:
        name: Name of the result; the names of intermediate values begin with it.
        given: Name of the faces `(n, from_px, from_px, 3)`, whole numbers 0...255 as float32.
        from_px: Side of the faces.
        to_px: Side of the result `(n, to_px, to_px, 3)`, of the same kind; not `from_px`.

    Returns:
        The nodes, in order, and the initializers they need.
    """
    graph = _Nodes(name)
    planes = graph.add("Transpose", given, perm=[0, 3, 1, 2])
    if to_px < from_px:
        # The share of each source row in each row of the result, `(to_px, from_px)`.
        square = [np.tile(row[:, None], (1, from_px)) for row in np.eye(from_px, dtype=np.float32)]
        shrunk = [cv2.resize(one, (to_px, to_px), interpolation=cv2.INTER_AREA) for one in square]
        rows = np.stack([one[:, 0] for one in shrunk], axis=1)
        average = graph.add("MatMul", graph.add("MatMul", rows, planes), np.swapaxes(rows, 0, 1))
        if from_px == 2 * to_px:  # here OpenCV rounds halves up, otherwise to even
            resized = graph.add("Floor", graph.add("Add", average, np.float32(0.5)))
        else:
            resized = graph.add("Round", average)
    else:
        before, after = _linear(from_px, to_px)
        # Like OpenCV: along the rows in fixed point, with four bits cut off; down the columns,
        # each of the two products is truncated to whole quarters; then the sum is rounded.
        across = graph.add("MatMul", planes, np.swapaxes((before + after) / 16, 0, 1))
        across = graph.add("Floor", across)
        parts = [
            graph.add("Floor", graph.add("MatMul", part / 2**16, across))
            for part in (before, after)
        ]
        quarters = graph.add("Add", graph.add("Add", *parts), np.float32(2))
        resized = graph.add("Floor", graph.add("Mul", quarters, np.float32(0.25)))
    graph.add("Transpose", resized, out=name, perm=[0, 2, 3, 1])
    return graph.nodes, graph.constants


def _linear(from_px: int, to_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the source rows before and after each row of the result.

    Both are `(to_px, from_px)` float32 in units of 1/2048, with one entry per row.
    """
    one = 2**COEFFICIENT_BITS
    place = (np.arange(to_px) + 0.5) * (from_px / to_px) - 0.5
    row = np.floor(place).astype(int)
    after = np.rint((place - row).astype(np.float32) * one)
    weights = np.zeros((2, to_px, from_px), np.float32)
    weights[0, np.arange(to_px), row.clip(0)] = one - after
    weights[1, np.arange(to_px), (row + 1).clip(None, from_px - 1)] = after
    return weights[0], weights[1]


class _Nodes:
    """Nodes whose names share a prefix, with arrays as constants."""

    def __init__(self, prefix: str) -> None:
        self._prefix, self.nodes, self.constants = prefix, [], []

    def add(self, operation: str, *inputs, out: str | None = None, **attributes) -> str:
        """Add a node and return the name of its output."""
        from onnx import helper, numpy_helper

        names = []
        for value in inputs:
            if not isinstance(value, str):
                array = np.asarray(value, np.float32)
                value = f"{self._prefix}/constant{len(self.constants)}"
                self.constants.append(numpy_helper.from_array(array, value))
            names.append(value)
        out = out or f"{self._prefix}/{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, names, [out], **attributes))
        return out
