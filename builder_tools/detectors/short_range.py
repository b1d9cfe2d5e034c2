"""BlazeFace's short range (MediaPipe): faces of at least about 8 % of an image, in 1 ms.

ONNX Runtime runs it on the caller's thread. MediaPipe, whose own task finds the same faces (a test
compares them), need not be imported; it takes one and a half times as long and wakes threads of its
own.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import cv2
import numpy as np

from builder_tools.detectors.lending import Sessions
from builder_tools.detectors.short_range_network import INPUT_PX, OUTPUTS, as_onnx
from builder_tools.results import Box, Face

SHORT_RANGE = "face_detection_short_range.tflite"
ANCHORS = {8: 2, 16: 6}
"""Number of anchors per cell, by the cell's size in px."""
NUM_POINTS = 8
"""Points per anchor: centre and size of a box, eyes, nose tip, centre of the mouth, ears."""
SAME_FACE_IOU = 0.3


class ShortRange:
    """The network: an image in, faces out. May be shared by threads.

    Key points: eyes, nose tip, mouth centre, ears.

    Args:
        path: Path of the published file.
        min_score: Faces with a lower score, in [0, 1], are left out.
    """

    def __init__(self, path: Path, min_score: float) -> None:
        self._sessions = _sessions(path)
        least = min(max(min_score, 1e-6), 1 - 1e-6)
        self._least = math.log(least / (1 - least))

    def find(self, image_rgb: np.ndarray) -> list[Face]:
        """Return the faces in an `(H, W, 3)` uint8 RGB image, best score first."""
        height, width = image_rgb.shape[:2]
        side = max(height, width)
        blob = _blob(image_rgb)
        with self._sessions.lent() as session:
            outputs = session.run(OUTPUTS, {"input": blob})
        told = [_cells(output[0], self._least) for output in outputs]
        scores, points = (np.concatenate(part) for part in zip(*told, strict=True))
        middle = np.array([(side - width) / 2, (side - height) / 2])
        merged = _merged(scores, points)
        return [_face(score, each * side - middle, width, height) for score, each in merged]


@functools.cache
def _sessions(path: Path) -> Sessions:
    """Return this process's sessions, which hold no caller's state."""
    return Sessions(as_onnx(path.read_bytes()), one_size=True)


def _blob(image_rgb: np.ndarray) -> np.ndarray:
    """Return `(1, 3, 128, 128)` in [-1, 1]: the image centred in a black square, not averaged."""
    height, width = image_rgb.shape[:2]
    side = max(height, width)
    factor = INPUT_PX / side
    shift_x, shift_y = factor * (side - width) / 2, factor * (side - height) / 2
    to_small = np.array([[factor, 0, shift_x], [0, factor, shift_y], [0, 0, 1]])
    small = cv2.warpPerspective(image_rgb, to_small, (INPUT_PX, INPUT_PX), flags=cv2.INTER_LINEAR)
    blob = np.empty((1, 3, INPUT_PX, INPUT_PX), np.float32)
    np.multiply(small.transpose(2, 0, 1), np.float32(2 / 255), out=blob[0])
    blob -= 1
    return blob


def _cells(output: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Return scores `(n,)` and points `(n, 8, 2)`, as shares of the square, of likely anchors.

    The first two points are the corners of a box.
    """
    count = output.shape[1]
    anchors = ANCHORS[INPUT_PX // count]
    sure, rows, columns = np.nonzero(output[:anchors] >= least)
    logits = output[sure, rows, columns]
    own = output[anchors:].reshape(anchors, 2 * NUM_POINTS, count, count)
    points = own[sure, :, rows, columns].reshape(-1, NUM_POINTS, 2) / INPUT_PX
    half = points[:, 1] / 2
    points[:, 1] = points[:, 0]
    points += np.stack([columns + 0.5, rows + 0.5], axis=1)[:, None] / count
    points[:, :2] += np.stack([-half, half], axis=1)
    return 1 / (1 + np.exp(-logits)), points


def _merged(scores: np.ndarray, points: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Return each face once: the best score, and the score-weighted mean of what overlaps."""
    faces = []
    order = np.argsort(-scores, kind="stable")
    scores, points = scores[order], points[order]
    while len(scores):
        corners, sizes = points[:, :2], points[:, 1] - points[:, 0]
        ends = np.minimum(corners[:, 1], corners[0, 1])
        shared = np.maximum(ends - np.maximum(corners[:, 0], corners[0, 0]), 0).prod(axis=1)
        areas = sizes.prod(axis=1)
        same = shared > SAME_FACE_IOU * (areas + areas[0] - shared)
        same[0] = True  # even if its box has no area
        weights = scores[same]
        mean = np.tensordot(weights / weights.sum(), points[same], 1)
        faces.append((float(scores[0]), mean))
        scores, points = scores[~same], points[~same]
    return faces


def _face(score: float, points: np.ndarray, width: int, height: int) -> Face:
    """Return a face from its points, in px: its box in whole px, starting within the image."""
    limits = (width, height)
    start = [math.trunc(min(max(x, 0), most)) for x, most in zip(points[0], limits, strict=True)]
    sides = [
        math.trunc(min(max(x, 0), most))
        for x, most in zip(points[1] - points[0], limits, strict=True)
    ]
    corners = (*start, start[0] + sides[0], start[1] + sides[1])
    return Face(Box(*map(float, corners)), score, points[2:].astype(float))
