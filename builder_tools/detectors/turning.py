"""Faces that lie on their side or upside down, found in rotated copies of the image.

Detectors see few faces turned by more than about 45 degrees, and locate their eyes unreliably. So
an image in which the detector finds no face, or none it is sure of (`sure_score`), is also searched
at 90, 180 and 270 degrees. If there is an unsure face, such as one cut off by the border, a quick
look at that rotation (`detect_large`) must show a face first. The rotation with the surest face
counts. Of 538 photographs and tight crops, none that stands upright is turned, and of those that
stand on their head 96 % are turned back (`reports/detectors.md`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from builder_tools.detectors.base import FaceDetector, enlarge, faces_found, shrink
from builder_tools.results import Box, Face

AUTO = "auto"
TURNS_DEG = (0, 90, 180, 270)
ROTATIONS = (AUTO, *map(str, TURNS_DEG))
"""The values that options take, as strings."""
TURNED_SCORE = 0.85
"""A turned face must be surer than others: three more looks are three more chances to err."""
TURNED_PX = 1920
"""Larger images are shrunk to this size, the largest the default detector examines whole."""
BETTER_BY = 0.02
"""How much surer the best face must be after turning, if there is one without turning."""


def check_rotation(rotate: Any) -> str | int:
    """Return "auto" or whole degrees, from a number or a string.

    Raises:
        ValueError: If it is neither "auto" nor 0, 90, 180 or 270.
    """
    if str(rotate) not in ROTATIONS:
        raise ValueError(f"Expected rotate to be one of {list(ROTATIONS)}. Received: {rotate!r}.")
    return AUTO if rotate == AUTO else int(rotate)


def detect_at_any_turn(detector: FaceDetector, image_rgb: np.ndarray) -> list[Face]:
    """Return the faces in an image, largest first: upright, or those of the surest rotation.

    Args:
        detector: Finds faces; those of at least its `sure_score` are beyond doubt.
        image_rgb: `(H, W, 3)` uint8 RGB.

    Returns:
        Faces in pixels of the image; `turned_deg` says how they are turned.
    """
    upright, sure = faces_found(detector, image_rgb), getattr(detector, "sure_score", None)
    best = max((face.score for face in upright), default=0.0)
    if sure is None or best >= sure:
        return upright
    chosen, least = upright, max(best + BETTER_BY, TURNED_SCORE)
    # A minimum size in pixels refers to the original image.
    counts_px = getattr(detector, "min_size_px", 0) > 0
    small, factor = (image_rgb, 1.0) if counts_px else shrink(image_rgb, TURNED_PX)
    look_large = getattr(detector, "detect_large", None) if upright else None
    for turn_deg in TURNS_DEG[1:]:
        turned_image = turned_back(small, turn_deg)
        if look_large is not None and look_large(turned_image) == []:  # None: no such look
            continue
        found = faces_found(detector, turned_image)
        score = max((face.score for face in found), default=0.0)
        if score >= least:
            turned = [as_turned(face, turn_deg, small.shape) for face in found]
            chosen, least = [enlarge(face, factor) for face in turned], score
    return chosen


def turned_back(image_rgb: np.ndarray, turned_deg: int) -> np.ndarray:
    """Return the upright copy of an image that is turned clockwise by quarter turns."""
    return np.ascontiguousarray(np.rot90(image_rgb, turned_deg // 90))


def as_turned(face: Face, turned_deg: int, shape: tuple[int, ...]) -> Face:
    """Convert a face of the upright copy to pixels of the turned image, which has that shape."""
    corners = np.array(face.box.xyxy, float).reshape(2, 2)
    (x1, y1), (x2, y2) = _to_turned(corners, turned_deg, shape)
    box = Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    points = face.keypoints
    keypoints = None if points is None else _to_turned(points, turned_deg, shape)
    return replace(face, box=box, keypoints=keypoints, turned_deg=turned_deg)


def _to_turned(points: np.ndarray, turned_deg: int, shape: tuple[int, ...]) -> np.ndarray:
    height, width = shape[:2]
    x, y = points[:, 0], points[:, 1]
    turned = {0: (x, y), 90: (width - y, x), 180: (width - x, height - y), 270: (y, height - x)}
    return np.stack(turned[turned_deg], axis=1)
