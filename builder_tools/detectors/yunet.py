"""YuNet (Wu, Peng & Yu, 2023): a small network that finds faces from 10 px up, many at once.

ONNX Runtime runs it on one thread, about three times as fast as OpenCV's `FaceDetectorYN`.
Three grids with cells 8, 16 and 32 px wide each predict, for every cell, a face score (the square
root of class score times objectness), its box and five key points.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from builder_tools.assets import asset_path
from builder_tools.detectors.base import BaseDetector, enlarge, shrink
from builder_tools.detectors.lending import Memory, Sessions
from builder_tools.detectors.onnx_file import CHANNELS
from builder_tools.detectors.yunet_network import CELLS_PX, OUTPUTS, STEM_PX, as_onnx, in_two
from builder_tools.fields import check_whole
from builder_tools.results import Box, Face

FILE = "face_detection_yunet_2023mar.onnx"
NMS_IOU = 0.3
WHOLE_PIXELS, STRIP_PX = 500_000, 64
"""The first layers process larger images in strips of this height, as their results for a whole
image exceed the processor's caches. It takes 4 to 8 % less time, and 35 MB less for 1920x1440."""
FAINT_BELOW, MOST_FAINT_CELLS = 0.2, 1000
"""Of the cells below this score, at most this many are kept, the best ones."""


class YuNetDetector(BaseDetector):
    """Find faces of many sizes with five key points: eyes, nose tip, corners of the mouth.

    Args:
        min_score: Faces with a lower score are left out.
        min_size_px: Faces smaller than this are left out.
        max_side_px: Larger images are shrunk to this size; the cost grows with its square.
    """

    crop_scale: ClassVar[float] = 0.94
    crop_shift_y: ClassVar[float] = 0.01
    sure_score: ClassVar[float | None] = 0.88

    def __init__(
        self, *, min_score: float = 0.6, min_size_px: float = 0.0, max_side_px: int = 1024
    ) -> None:
        super().__init__(min_score=min_score, min_size_px=min_size_px)
        check_whole(1, max_side_px=max_side_px)
        self.max_side_px = max_side_px
        self._network = YuNet(asset_path(FILE))

    def _find(self, image_rgb: np.ndarray) -> list[Face]:
        small, factor = shrink(image_rgb, self.max_side_px)
        return [enlarge(face, factor) for face in self._network.find(small, self.min_score)]


class YuNet:
    """The network: an image in, faces in pixels of it out. May be shared by threads.

    Args:
        path: Path of the published file.
    """

    def __init__(self, path: Path) -> None:
        self._content = path.read_bytes()
        self._whole = Sessions(as_onnx(self._content))
        self._memory = Memory()

    @functools.cached_property
    def _in_two(self) -> list[Sessions]:
        return [Sessions(network) for network in in_two(self._content)]

    def find(self, image_rgb: np.ndarray, min_score: float) -> list[Face]:
        """Return the faces in an `(H, W, 3)` uint8 RGB image, best score first, each once."""
        return self.find_each([image_rgb], min_score)[0]

    def find_each(self, images_rgb: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        """Return the faces of each of several images, ideally of similar size, in one run."""
        sides = np.max([image.shape[:2] for image in images_rgb], axis=0)
        height, width = (int(side + -side % CELLS_PX[-1]) for side in sides)
        if len(images_rgb) == 1 and height * width > WHOLE_PIXELS:
            outputs = self._in_strips(images_rgb[0], height, width)
        else:
            outputs = self._in_one(images_rgb, height, width)
        told = zip(outputs, CELLS_PX, strict=True)
        cells = [shown for output, px in told if (shown := _cells(output, px, min_score))]
        if not cells:
            return [[] for _ in images_rgb]
        numbers, *found = (np.concatenate(part) for part in zip(*cells, strict=True))
        return [_faces(*(part[numbers == k] for part in found)) for k in range(len(images_rgb))]

    def _in_one(
        self, images_rgb: Sequence[np.ndarray], height: int, width: int
    ) -> list[np.ndarray]:
        shape = len(images_rgb), 3, height, width
        with self._whole.lent() as session, self._memory.lent(*shape) as blob:
            for part, image_rgb in zip(blob, images_rgb, strict=True):
                _fill(part, image_rgb)
            return session.run(OUTPUTS, {"input": blob})

    def _in_strips(self, image_rgb: np.ndarray, height: int, width: int) -> list[np.ndarray]:
        """Return the same, with the first layers processing the image strip by strip."""
        with self._memory.lent(1, CHANNELS, height // STEM_PX, width // STEM_PX) as given:
            with self._in_two[0].lent() as session:
                for start in range(0, height, STRIP_PX):
                    stop = min(start + STRIP_PX, height)
                    low, high = max(start - STEM_PX, 0), min(stop + STEM_PX, height)
                    with self._memory.lent(1, 3, high - low, width) as blob:
                        _fill(blob[0], image_rgb[low:high])
                        (cells,) = session.run(None, {"input": blob})
                    own = slice((start - low) // STEM_PX, (stop - low) // STEM_PX)
                    given[:, :, start // STEM_PX : stop // STEM_PX] = cells[:, :, own]
            with self._in_two[1].lent() as session:
                return session.run(OUTPUTS, {"input": given})


def _fill(blob: np.ndarray, image_rgb: np.ndarray) -> None:
    """Fill `(3, h, w)` with an image as BGR, padded with black on the right and below."""
    height, width = image_rgb.shape[:2]
    blob[:, height:], blob[..., width:] = 0, 0
    for channel in range(3):
        blob[channel, :height, :width] = image_rgb[..., 2 - channel]


def _cells(output: np.ndarray, px: int, min_score: float) -> tuple[np.ndarray, ...] | None:
    """Return image, score, box (x, y, width, height) and key points of cells with a face."""
    least = min(min_score**2, 1 - 1e-6)
    logit = math.log(least / (1 - least)) - 0.01 if least > 0 else -math.inf
    numbers, rows, columns = np.nonzero((output[:, 0] >= logit) & (output[:, 1] >= logit))
    if not len(numbers):
        return None
    values = output[numbers, :, rows, columns].astype(np.float64)
    scores = np.sqrt((1 / (1 + np.exp(-values[:, :2]))).prod(axis=1))
    corner = np.stack([columns, rows], axis=1)
    size = np.exp(values[:, 4:6]) * px
    corners = (corner + values[:, 2:4]) * px - size / 2
    keypoints = (values[:, 6:].reshape(-1, 5, 2) + corner[:, None]) * px
    sure = scores >= min_score
    return numbers[sure], scores[sure], np.hstack([corners, size])[sure], keypoints[sure]


def _faces(scores: np.ndarray, boxes: np.ndarray, points: np.ndarray) -> list[Face]:
    """Return the faces shown by an image's cells, best score first, each once."""
    faint = np.flatnonzero(scores < FAINT_BELOW)
    if len(faint) > MOST_FAINT_CELLS:  # noise yields thousands
        fainter = faint[scores[faint].argsort()[:-MOST_FAINT_CELLS]]
        scores, boxes, points = (np.delete(x, fainter, axis=0) for x in (scores, boxes, points))
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, NMS_IOU)
    return [_face(boxes[index], float(scores[index]), points[index]) for index in kept]


def _face(box: np.ndarray, score: float, keypoints: np.ndarray) -> Face:
    x, y, width, height = box.tolist()
    return Face(Box(x, y, x + width, y + height), score, keypoints)
