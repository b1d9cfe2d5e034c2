"""OpenCV's Haar cascade (Viola & Jones, 2001): old, no file to fetch, frontal faces only.

Its file is part of the OpenCV 4 wheel. It gives no probability: the score is w / (w + 2), where w
is the cascade's last-stage sum, so 0.5 means a sum of 2, and most true faces score above 0.6.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from builder_tools.detectors.base import BaseDetector, enlarge, shrink
from builder_tools.fields import check_range, check_whole
from builder_tools.results import Box, Face

CASCADE = "haarcascade_frontalface_default.xml"
HALF_SCORE_SUM = 2.0


class HaarDetector(BaseDetector):
    """Find frontal faces with a Haar cascade on the grey image.

    Args:
        min_score: See the module; 0 keeps everything the cascade accepts.
        min_size_px: Smallest face, in pixels of the image; larger is faster.
        max_side_px: Larger images are shrunk to this size.
        scale_factor: Ratio between the sizes searched, above 1; closer to 1 finds more faces but
            is slower.
        min_neighbours: Overlapping hits that make a face; more means fewer false ones.

    Raises:
        FileNotFoundError: If this OpenCV includes no cascade (OpenCV 5 does not).
    """

    crop_scale: ClassVar[float] = 1.01
    crop_shift_y: ClassVar[float] = 0.0

    def __init__(
        self,
        *,
        min_score: float = 0.5,
        min_size_px: float = 24.0,
        max_side_px: int = 1280,
        scale_factor: float = 1.1,
        min_neighbours: int = 5,
    ) -> None:
        super().__init__(min_score=min_score, min_size_px=min_size_px)
        import cv2

        check_whole(1, max_side_px=max_side_px)
        self.max_side_px = max_side_px
        check_whole(0, min_neighbours=min_neighbours)
        check_range(1.001, 10, scale_factor=scale_factor)
        self.scale_factor = scale_factor
        self.min_neighbours = min_neighbours
        self._cascade = cv2.CascadeClassifier(_cascade_path())

    def _find(self, image_rgb: np.ndarray) -> list[Face]:
        import cv2

        small, factor = shrink(image_rgb, self.max_side_px)
        side = max(round(self.min_size_px * factor), 1)
        grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        boxes, _, sums = self._cascade.detectMultiScale3(
            grey,
            scaleFactor=self.scale_factor,
            minNeighbors=self.min_neighbours,
            minSize=(side, side),
            outputRejectLevels=True,
        )
        return [enlarge(_face(*pair), factor) for pair in zip(boxes, sums, strict=True)]


def _face(box: np.ndarray, last_stage_sum: float) -> Face:
    x, y, width, height = (float(value) for value in box)
    positive = max(float(last_stage_sum), 0.0)
    return Face(Box(x, y, x + width, y + height), positive / (positive + HALF_SCORE_SUM))


def _cascade_path() -> str:
    import cv2

    path = Path(cv2.data.haarcascades) / CASCADE
    if not path.is_file():
        raise FileNotFoundError(
            f"OpenCV {cv2.__version__} carries no {CASCADE}. "
            "Try: pip install 'opencv-contrib-python>=4.14,<5'"
        )
    return str(path)
