"""YuNet (Wu, Peng & Yu, 2023): a small network, run by OpenCV's `FaceDetectorYN`."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from builder_tools.assets import asset_path
from builder_tools.detectors.base import BaseDetector, enlarge, shrink
from builder_tools.results import Box, Face

NMS_IOU = 0.3
TOP_K = 5000

SMALLEST_SIDE_PX = 64
"""On images up to 32 px high OpenCV's network gives, at times, faces out of nothing."""


class YuNetDetector(BaseDetector):
    """Faces of many sizes with five key points: eyes, nose tip, corners of the mouth.

    Args:
        min_score: Faces scored lower are left out.
        min_size_px: Faces smaller than this are left out.
        max_side_px: Larger images are searched at this size; the cost goes with its square.
    """

    crop_scale: ClassVar[float] = 0.94
    crop_shift_y: ClassVar[float] = 0.01

    def __init__(
        self, *, min_score: float = 0.6, min_size_px: float = 0.0, max_side_px: int = 1024
    ) -> None:
        super().__init__(min_score=min_score, min_size_px=min_size_px)
        import cv2

        self.max_side_px = max_side_px
        path = str(asset_path("face_detection_yunet_2023mar.onnx"))
        self._network = cv2.FaceDetectorYN.create(path, "", (1, 1), min_score, NMS_IOU, TOP_K)

    def _find(self, image_rgb: np.ndarray) -> list[Face]:
        import cv2

        small, factor = shrink(image_rgb, self.max_side_px)
        small = _grown(small)
        self._network.setInputSize((small.shape[1], small.shape[0]))
        _, rows = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        return [] if rows is None else [enlarge(_face(row), factor) for row in rows]


def _grown(image: np.ndarray) -> np.ndarray:
    """Return the image with black added right and below, so that no side is too small."""
    import cv2

    below, right = (max(SMALLEST_SIDE_PX - side, 0) for side in image.shape[:2])
    if not (below or right):
        return image
    return cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT)


def _face(row: np.ndarray) -> Face:
    x, y, width, height = (float(value) for value in row[:4])
    box = Box(x, y, x + max(width, 0.0), y + max(height, 0.0))
    return Face(box, float(row[14]), row[4:14].reshape(5, 2).astype(float))
