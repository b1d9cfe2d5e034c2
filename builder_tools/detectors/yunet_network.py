"""YuNet as an ONNX network, made from the published file on loading.

The published file takes images of 640x640 px, and predicts class, objectness, box and key points
with four heads of 1, 1, 4 and 10 channels, each of which ONNX Runtime pads to 16. Here sides are
free, a single head has 16 channels, and the layers with the largest outputs run 16 channels at a
time, so that each finds its input still in the processor's caches. The results are equal, in nine
tenths of the time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from builder_tools.detectors.onnx_file import CHANNELS, OnnxFile, convolutions

CELLS_PX = (8, 16, 32)
STEM_PX = 4
"""Size of the cells output by the first layers."""
OUTPUTS = tuple(f"cells_{px}" for px in CELLS_PX)
FIRST, SECOND, WIDENING, THIRD, FOURTH, FIFTH = (0,), (1, 2, 3), 4, (5, 6), (7, 8), (9, 10)
"""Units (a pointwise and a depthwise convolution) of the stages, in file order."""
LATERALS, HEADS = {8: 13, 16: 12, 32: 11}, {8: 14, 16: 15, 32: 16}
"""Units by cell size; for heads, the first one (class); box, objectness and points follow it."""
CLASS, BOX, OBJECT, POINTS = 0, 3, 6, 9
KEEPING = (1, 1, 1, 1)

Convolutions = Sequence[tuple[np.ndarray, np.ndarray]]


def as_onnx(content: bytes) -> bytes:
    """Return the network as an ONNX file.

    It takes `input`, `(n, 3, h, w)` BGR in [0, 255] with sides that are multiples of 32 px, and
    returns `OUTPUTS`, `(n, 16, h / px, w / px)`: logits of class and objectness, box, key points.

    Args:
        content: Content of the published file.
    """
    file, given = OnnxFile(("n", 3, "h", "w")), convolutions(content)
    return _rest(file, given, _stem(file, given))


def in_two(content: bytes) -> tuple[bytes, bytes]:
    """Return the same network in two parts: its first layers, and the rest.

    The first returns the other's `input`, `(n, CHANNELS, h / STEM_PX, w / STEM_PX)`. Its result for
    a cell depends on that cell and its neighbours.
    """
    file, given = OnnxFile(("n", 3, "h", "w")), convolutions(content)
    stem = file.content((_stem(file, given),))
    return stem, _rest(OnnxFile(("n", CHANNELS, "h", "w")), given, "input")


def _stem(file: OnnxFile, given: Convolutions) -> str:
    x = file.convolved("input", *given[0], strides=(2, 2), pads=KEEPING)
    return _halved(file, _through(file, given, file.node("Relu", x), FIRST))


def _rest(file: OnnxFile, given: Convolutions, x: str) -> bytes:
    second = _through(file, given, x, SECOND)
    third = _through(file, given, _widened_and_halved(file, given, second), THIRD)
    fourth = _through(file, given, _halved(file, third), FOURTH)
    fifth = _through(file, given, _halved(file, fourth), FIFTH)
    above = ""
    for px, stage in zip(reversed(CELLS_PX), (fifth, fourth, third), strict=True):
        x = file.node("Add", stage, _doubled(file, above)) if above else stage
        above = _through(file, given, x, (LATERALS[px],))
        parts = [HEADS[px] + part for part in (CLASS, OBJECT, BOX, POINTS)]
        pointwise, of_each = (_joined([given[2 * unit + at] for unit in parts]) for at in (1, 2))
        x = file.convolved(above, *pointwise)
        file.convolved(x, *of_each, out=f"cells_{px}", pads=KEEPING)
    return file.content(OUTPUTS)


def _through(file: OnnxFile, given: Convolutions, x: str, units: tuple[int, ...]) -> str:
    for unit in units:
        x = file.convolved(x, *given[2 * unit + 1])
        x = file.node("Relu", file.convolved(x, *given[2 * unit + 2], pads=KEEPING))
    return x


def _widened_and_halved(file: OnnxFile, given: Convolutions, x: str) -> str:
    """Apply a unit to a tensor and halve the result, 16 channels at a time."""
    halved, channels = [], range(0, len(given[2 * WIDENING + 1][0]), CHANNELS)
    for part in (slice(start, start + CHANNELS) for start in channels):
        own = [(kernel[part], bias[part]) for kernel, bias in given[: 2 * WIDENING + 3]]
        halved.append(_halved(file, _through(file, own, x, (WIDENING,))))
    return file.node("Concat", *halved, axis=1)


def _halved(file: OnnxFile, x: str) -> str:
    return file.node("MaxPool", x, kernel_shape=(2, 2), strides=(2, 2))


def _doubled(file: OnnxFile, x: str) -> str:
    """Return a tensor with each cell repeated as 2x2 cells."""
    scales = file.constant(np.array([1, 1, 2, 2], np.float32))
    how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return file.node("Resize", x, "", scales, mode="nearest", **how)


def _joined(parts: Convolutions) -> tuple[np.ndarray, np.ndarray]:
    kernels, biases = zip(*parts, strict=True)
    return np.concatenate(kernels), np.concatenate(biases)
