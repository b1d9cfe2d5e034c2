"""MTCNN (Zhang et al., 2016) from the package `mtcnn`, which includes its weights.

It runs on TensorFlow, so it is meant for studies: it takes seconds to start and hundreds of
megabytes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from builder_tools.detectors.base import BaseDetector, enlarge, shrink
from builder_tools.fields import check_whole
from builder_tools.results import Box, Face

KEYPOINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
"""The package's names, as seen in the image: its left eye is the one on the left."""
SMALLEST_SIDE_PX = 12


class MTCNNDetector(BaseDetector):
    """Find faces of many sizes with five key points: eyes, nose, corners of the mouth.

    Args:
        min_score: Faces with a lower score are left out.
        min_size_px: Smallest face, in pixels of the image; larger is faster.
        max_side_px: Larger images are shrunk to this size.

    Raises:
        ImportError: If mtcnn or TensorFlow is not installed; says how to install them.
    """

    crop_scale: ClassVar[float] = 0.93
    crop_shift_y: ClassVar[float] = -0.01

    def __init__(
        self, *, min_score: float = 0.9, min_size_px: float = 20.0, max_side_px: int = 1280
    ) -> None:
        super().__init__(min_score=min_score, min_size_px=min_size_px)
        check_whole(1, max_side_px=max_side_px)
        self.max_side_px = max_side_px
        self._detector = _mtcnn().MTCNN(device="CPU:0")

    def _find(self, image_rgb: np.ndarray) -> list[Face]:
        small, factor = shrink(image_rgb, self.max_side_px)
        if min(small.shape[:2]) < SMALLEST_SIDE_PX:
            return []  # Smaller than the first network's window: the back end would fail.
        smallest = max(self.min_size_px * factor, SMALLEST_SIDE_PX)
        found = self._detector.detect_faces(
            small, min_face_size=smallest, threshold_onet=self.min_score
        )
        return [enlarge(_face(one), factor) for one in found]

    def _leave_to_parent(self) -> None:
        raise RuntimeError(
            "Expected MTCNNDetector in the process that made it: TensorFlow does not survive a "
            "fork. Start processes by multiprocessing.get_context('spawn'), or take another "
            "detector."
        )


def _face(found: dict[str, Any]) -> Face:
    x, y, width, height = (float(value) for value in found["box"])
    keypoints = np.array([found["keypoints"][name] for name in KEYPOINTS], dtype=float)
    box = Box(x, y, x + max(width, 0.0), y + max(height, 0.0))
    return Face(box, float(found["confidence"]), keypoints)


def _mtcnn() -> Any:
    try:
        import mtcnn
    except ImportError as error:
        raise ImportError(
            "The mtcnn face detector needs mtcnn and TensorFlow. "
            "Try: pip install 'builder-tools[mtcnn]'"
        ) from error
    return mtcnn
