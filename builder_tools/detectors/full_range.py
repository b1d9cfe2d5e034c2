"""BlazeFace's full range, run by MediaPipe's own task: faces of at least about 3 % of an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.detectors.mediapipe_import import (
    close_at_exit,
    import_mediapipe,
    quiet_stderr,
    without_reports,
)
from builder_tools.results import Box, Face

FULL_RANGE = "face_detection_full_range_sparse.tflite"
TO_SHORT_RANGE = 0.95
"""Scales its boxes, which are a little wider than those of short range, to match them."""
TALKATIVE_RUNS = 5
"""The native library prints a warning in one of its first runs; these are kept quiet."""


class FullRange:
    """The network: an image in, faces out, framed like those of short range.

    Key points: eyes, nose tip, mouth centre, ears.

    Args:
        path: Path of the published file.
        min_score: Faces with a lower score are left out.
    """

    def __init__(self, path: Path, min_score: float) -> None:
        self._mediapipe = import_mediapipe()
        tasks = self._mediapipe.tasks
        options = tasks.vision.FaceDetectorOptions(
            base_options=without_reports(tasks.BaseOptions(model_asset_path=str(path))),
            min_detection_confidence=min_score,
        )
        with quiet_stderr():
            self._task = tasks.vision.FaceDetector.create_from_options(options)
        close_at_exit(self._task)
        self._talkative_runs = TALKATIVE_RUNS

    def find(self, image_rgb: np.ndarray) -> list[Face]:
        """Return the faces in an `(H, W, 3)` uint8 RGB image, best score first."""
        height, width = image_rgb.shape[:2]
        faces = [_face(found, width, height) for found in self._run(image_rgb).detections]
        framed = [replace(face, box=face.box.scale(TO_SHORT_RANGE)) for face in faces]
        return sorted(framed, key=lambda face: face.score, reverse=True)

    def close(self) -> None:
        """Free what the back end holds."""
        with quiet_stderr():
            self._task.close()

    def _run(self, image_rgb: np.ndarray) -> Any:
        image = self._mediapipe.Image(self._mediapipe.ImageFormat.SRGB, image_rgb)
        if self._talkative_runs == 0:
            return self._task.detect(image)
        self._talkative_runs -= 1
        with quiet_stderr():
            return self._task.detect(image)


def _face(found: Any, width: int, height: int) -> Face:
    box = found.bounding_box
    x2, y2 = box.origin_x + box.width, box.origin_y + box.height
    keypoints = np.array([(point.x * width, point.y * height) for point in found.keypoints])
    corners = Box(float(box.origin_x), float(box.origin_y), float(x2), float(y2))
    return Face(corners, float(found.categories[0].score), keypoints)
