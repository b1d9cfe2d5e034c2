"""dlib's HOG and linear-SVM detector (Dalal & Triggs, 2005; King, 2009): frontal, no file needed.

It returns the distance d from its decision plane; the score is the logistic 1 / (1 + exp(-d)), so
the back end's own threshold, 0, corresponds to a score of 0.5.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from builder_tools.detectors.base import BaseDetector, enlarge, shrink
from builder_tools.fields import check_whole
from builder_tools.results import Box, Face

MIN_LOGIT = -8.0


class DlibDetector(BaseDetector):
    """Find frontal faces of at least 80 px (40 px with `upsample=1`) by HOG.

    Args:
        min_score: See the module; below 0.5 finds more faces, including false ones.
        min_size_px: Faces smaller than this are left out.
        max_side_px: Larger images are shrunk to this size.
        upsample: How many times the image is first doubled in size; each makes it four times
            slower.

    Raises:
        ImportError: If dlib is not installed; says how to install it.
    """

    crop_scale: ClassVar[float] = 1.27
    crop_shift_y: ClassVar[float] = -0.09

    def __init__(
        self,
        *,
        min_score: float = 0.5,
        min_size_px: float = 0.0,
        max_side_px: int = 1280,
        upsample: int = 0,
    ) -> None:
        super().__init__(min_score=min_score, min_size_px=min_size_px)
        check_whole(1, max_side_px=max_side_px)
        self.max_side_px = max_side_px
        check_whole(0, 4, upsample=upsample)
        self.upsample = upsample
        self._detector = import_dlib("The dlib face detector").get_frontal_face_detector()

    def _find(self, image_rgb: np.ndarray) -> list[Face]:
        small, factor = shrink(image_rgb, self.max_side_px)
        boxes, distances, _ = self._detector.run(small, self.upsample, _logit(self.min_score))
        pairs = zip(boxes, distances, strict=True)
        return [enlarge(_face(box, distance), factor) for box, distance in pairs]


def _face(box: Any, distance: float) -> Face:
    corners = Box(box.left(), box.top(), box.right() + 1, box.bottom() + 1)
    return Face(corners, 1 / (1 + math.exp(-distance)))


def _logit(score: float) -> float:
    if score <= 0:
        return MIN_LOGIT
    return max(math.log(score / (1 - score)), MIN_LOGIT) if score < 1 else -MIN_LOGIT


def import_dlib(what: str) -> Any:
    """Import dlib.

    Args:
        what: What needs it, as in "The dlib face detector".

    Raises:
        ImportError: If it is not installed; says how to install it.
    """
    try:
        import dlib
    except ImportError as error:
        raise ImportError(f"{what} needs dlib. Try: pip install 'builder-tools[dlib]'") from error
    return dlib
