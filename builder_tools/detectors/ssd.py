"""OpenCV's SSD face detector (ResNet-10 base, 300x300, int8), run by OpenCV's own DNN module."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from builder_tools.assets import asset_path
from builder_tools.detectors.base import BaseDetector
from builder_tools.results import Box, Face

INPUT_SIDE_PX = 300
MEAN_RGB = (123.0, 177.0, 104.0)


class SSDDetector(BaseDetector):
    """Find faces with OpenCV's SSD, made for one or a few faces that fill much of the image.

    Args:
        min_score: Faces with a lower score are left out.
        min_size_px: Faces smaller than this are left out.
    """

    crop_scale: ClassVar[float] = 0.94
    crop_shift_y: ClassVar[float] = 0.02

    def __init__(self, *, min_score: float = 0.5, min_size_px: float = 0.0) -> None:
        super().__init__(min_score=min_score, min_size_px=min_size_px)
        import cv2

        weights = asset_path("opencv_face_detector_uint8.pb")
        graph = asset_path("opencv_face_detector.pbtxt")
        self._network = cv2.dnn.readNetFromTensorflow(str(weights), str(graph))

    def _find(self, image_rgb: np.ndarray) -> list[Face]:
        import cv2

        height, width = image_rgb.shape[:2]
        # The network takes BGR, and the mean is given in that order.
        blob = cv2.dnn.blobFromImage(
            image_rgb, 1.0, (INPUT_SIDE_PX, INPUT_SIDE_PX), MEAN_RGB[::-1], swapRB=True
        )
        self._network.setInput(blob)
        rows = self._network.forward()[0, 0]
        found = rows[rows[:, 2] >= self.min_score]
        return [_face(row, width, height) for row in found if row[5] > row[3] and row[6] > row[4]]


def _face(row: np.ndarray, width: int, height: int) -> Face:
    x1, y1, x2, y2 = (float(value) for value in row[3:7])
    return Face(Box(x1 * width, y1 * height, x2 * width, y2 * height), float(row[2]))
