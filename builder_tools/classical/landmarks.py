"""Where eyes, brows, nose and mouth are: geometry of dlib's landmarks and MediaPipe's key points.

Points are rotated level (the eyes on a horizontal line), centred between the eyes and divided by
the inter-ocular distance (between the centres of the eyes), so the position, size and tilt of the
face do not matter. A face whose points are not found gets NaN and `found` = 0: `impute` its values
in the pipeline, never drop it.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from builder_tools.assets import ASSETS, asset_path
from builder_tools.classical.face_features import FaceFeatures, positive_option
from builder_tools.detectors.dlib import import_dlib
from builder_tools.detectors.short_range import SHORT_RANGE
from builder_tools.media import resize_faces

EYES = {68: (tuple(range(36, 42)), tuple(range(42, 48))), 5: ((2, 3), (0, 1)), 6: ((0,), (1,))}
"""Number of points -> indices of the eye on the left and of the eye on the right of the image."""

DISTANCES = {
    68: (
        *((37, 41), (38, 40), (43, 47), (44, 46), (36, 39), (42, 45)),  # eyes: height, width
        *((19, 37), (24, 44), (21, 39), (22, 42), (17, 36), (26, 45)),  # brows over eyes
        *((21, 22), (17, 21), (22, 26)),  # brows: gap, width
        *((48, 54), (60, 64), (51, 57), (62, 66), (61, 67), (63, 65)),  # mouth: width, opening
        *((33, 51), (57, 8), (33, 8), (31, 35), (27, 33)),  # nose, lip, chin
        *((48, 36), (54, 45), (48, 31), (54, 35)),  # mouth corners to eyes and nose
    ),
    5: tuple(combinations(range(5), 2)),
    6: tuple(combinations(range(6), 2)),
}
"""Number of points -> pairs whose distance is measured."""

ANGLES = {
    68: (
        *((48, 51, 54), (48, 57, 54), (60, 62, 64), (60, 66, 64)),  # arcs of the lips
        *((17, 19, 21), (22, 24, 26)),  # arcs of the brows
        *((36, 37, 39), (42, 44, 45), (36, 41, 39), (42, 46, 45)),  # lids
        *((31, 33, 35), (48, 33, 54), (21, 27, 22), (4, 8, 12)),
    ),
    5: ((0, 4, 2), (1, 4, 3)),
    6: ((0, 2, 1), (0, 3, 1), (4, 2, 5), (4, 3, 5)),
}
"""Number of points -> triples whose angle at the middle point is measured, in radians."""

FOUND = "found"
SMALLEST_EYE_DISTANCE = 1e-6
_DLIB_LOCK = threading.Lock()
"""dlib's detector keeps internal state, so only one thread may use it at a time."""

Finder = Callable[[np.ndarray], np.ndarray | None]
"""Function from an image to points `(k, 2)` in its pixels, or None."""

KEYPOINT_NAMES = ("eye_left", "eye_right", "nose", "mouth", "ear_left", "ear_right")


def face_geometry(points: np.ndarray) -> np.ndarray:
    """Return the level coordinates, distances and angles of points.

    Args:
        points: `(k, 2)` x, y in pixels; k is 68 or 5 (dlib) or 6 (MediaPipe).

    Returns:
        `(m,)` float64: x, y of every point, then `DISTANCES`, then `ANGLES`; lengths are in
        inter-ocular distances. All NaN if the eyes coincide.
    """
    left, right = (points[list(eye)].mean(axis=0) for eye in EYES[len(points)])
    across = right - left
    length = float(np.hypot(*across))
    if length < SMALLEST_EYE_DISTANCE:
        return np.full(len(geometry_names(len(points))), np.nan)
    cos, sin = across / length
    level = (points - (left + right) / 2) @ np.array([[cos, -sin], [sin, cos]]) / length
    first, second = np.array(DISTANCES[len(points)]).T
    distances = np.hypot(*(level[first] - level[second]).T)
    first, middle, last = np.array(ANGLES[len(points)]).T
    one, other = level[first] - level[middle], level[last] - level[middle]
    lengths = np.hypot(*one.T) * np.hypot(*other.T)
    cosines = (one * other).sum(axis=1) / np.maximum(lengths, SMALLEST_EYE_DISTANCE)
    angles = np.arccos(np.clip(cosines, -1, 1))
    return np.concatenate([level.ravel(), distances, angles])


def geometry_names(num_points: int) -> list[str]:
    """Return the names of the values of `face_geometry`."""
    points = KEYPOINT_NAMES if num_points == len(KEYPOINT_NAMES) else range(num_points)
    names = [f"{axis}_{point}" for point in points for axis in "xy"]
    names += [f"distance_{points[a]}_{points[b]}" for a, b in DISTANCES[num_points]]
    return names + [f"angle_{points[a]}_{points[b]}_{points[c]}" for a, b, c in ANGLES[num_points]]


class _PointFeatures(FaceFeatures):
    """Base class of describers based on points: subclasses implement `_finder`.

    They also set `num_points`, the number of points per face.
    """

    num_points: int

    def _describe(self, images: np.ndarray) -> np.ndarray:
        border = round(self.size_px * self.margin)
        found = np.full((len(images), len(self._names())), np.nan, np.float32)
        find = self._finder()
        for row, face in zip(found, resize_faces(images, self.size_px), strict=True):
            framed = cv2.copyMakeBorder(face, *(border,) * 4, cv2.BORDER_REPLICATE)
            points = find(framed)
            if points is not None:
                row[:-1] = face_geometry(points)
            row[-1] = np.isfinite(row[0])
        return found

    def _names(self) -> list[str]:
        return [*geometry_names(self.num_points), FOUND]

    def _check_options(self) -> None:
        positive_option(size_px=self.size_px)
        if not 0 <= self.margin <= 1:
            raise ValueError(f"Expected margin in [0, 1]. Received: margin={self.margin!r}.")

    @abstractmethod
    def _finder(self) -> Finder:
        """Return a function that finds the points in an RGB image."""


class LandmarkFeatures(_PointFeatures):
    """Geometry of dlib's landmarks (Kazemi and Sullivan, 2014), in faces detected by dlib.

    Needs the `[dlib]` extra and its files (see `builder-tools assets`). A face that dlib's
    detector misses has no landmarks.

    Args:
        num_points: 68 (research only), or 5: corners of the eyes and the nose.
        size_px: Side that faces are resized to before detection; dlib needs at least 80.
        margin: Width of the border that repeats the edges, relative to the side.
        min_distance: Least distance from the detector's decision plane; lower values find more
            faces but also more false ones.
    """

    def __init__(
        self,
        *,
        num_points: int = 68,
        size_px: int = 144,
        margin: float = 0.15,
        min_distance: float = -0.5,
    ) -> None:
        self.num_points = num_points
        self.size_px = size_px
        self.margin = margin
        self.min_distance = min_distance

    def weight_hashes(self) -> tuple[str, ...]:
        """Return the SHA-256 of the landmark file."""
        return (ASSETS[_landmark_file(self.num_points)].sha256,)

    def files(self) -> tuple[Path, ...]:
        """Return the landmark file."""
        return (asset_path(_landmark_file(self.num_points)),)

    def _check_options(self) -> None:
        super()._check_options()
        if self.num_points not in (5, 68):
            raise ValueError(f"Expected num_points of 5 or 68. Received: {self.num_points!r}.")

    def _finder(self) -> Finder:
        detector, predictor = _dlib_detector(), _predictor(self.num_points)

        def find(image: np.ndarray) -> np.ndarray | None:
            with _DLIB_LOCK:
                boxes, distances, _ = detector.run(image, 0, self.min_distance)
            if not boxes:
                return None
            shape = predictor(image, boxes[int(np.argmax(distances))])
            return np.array([(point.x, point.y) for point in shape.parts()], float)

        return find


@cache
def _dlib_detector() -> Any:
    """Open dlib's detector only once, as that takes longer than a hundred faces."""
    return import_dlib("dlib's landmarks").get_frontal_face_detector()


def _landmark_file(num_points: int) -> str:
    return f"shape_predictor_{num_points}_face_landmarks.dat"


@cache
def _predictor(num_points: int) -> Any:
    return import_dlib("dlib's landmarks").shape_predictor(
        str(asset_path(_landmark_file(num_points)))
    )


class KeypointFeatures(_PointFeatures):
    """Geometry of the six key points of MediaPipe's detector: eyes, nose, mouth, ears.

    Args:
        size_px: Side that faces are resized to before detection.
        margin: Width of the border that repeats the edges, relative to the side.
        min_score: Faces with a lower score count as not found.
    """

    num_points = len(KEYPOINT_NAMES)

    def __init__(self, *, size_px: int = 144, margin: float = 0.15, min_score: float = 0.4) -> None:
        self.size_px = size_px
        self.margin = margin
        self.min_score = min_score

    def weight_hashes(self) -> tuple[str, ...]:
        """Return the SHA-256 of the detector's file."""
        return (ASSETS[SHORT_RANGE].sha256,)

    def files(self) -> tuple[Path, ...]:
        """Return the detector's file."""
        return (asset_path(SHORT_RANGE),)

    def _finder(self) -> Finder:
        detector = _mediapipe_detector(self.min_score)

        def find(image: np.ndarray) -> np.ndarray | None:
            faces = detector.detect(image)
            return None if not faces else np.asarray(faces[0].keypoints, float)

        return find


@cache
def _mediapipe_detector(min_score: float) -> Any:
    """Open MediaPipe's detector only once; it is closed when the process ends."""
    from builder_tools.detectors import MediaPipeDetector

    return MediaPipeDetector(range="short", min_score=min_score)
