"""Movements of brows, eyes, mouth and cheeks, as seen by MediaPipe's face landmarker."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from builder_tools.assets import ASSETS, asset_path
from builder_tools.classical.face_features import FaceFeatures
from builder_tools.classical.landmarks import FOUND
from builder_tools.geometry import BLENDSHAPES, BUNDLE_FILE, FaceLandmarker
from builder_tools.media import resize_faces
from builder_tools.results import Box, HeadPose


class BlendshapeFeatures(FaceFeatures):
    """52 blendshapes, the head pose (degrees) and how far the mouth is open.

    Needs the `[geometry]` extra. A face that the landmarker does not find gets NaN and `found` = 0:
    `impute` its values in the pipeline, never drop it.

    Args:
        pose: Whether to include yaw, pitch and roll.
    """

    def __init__(self, *, pose: bool = True) -> None:
        self.pose = pose

    def weight_hashes(self) -> tuple[str, ...]:
        """Return the SHA-256 of the landmarker's file."""
        return (ASSETS[BUNDLE_FILE].sha256,)

    def files(self) -> tuple[Path, ...]:
        """Return the landmarker's file."""
        return (asset_path(BUNDLE_FILE),)

    def _describe(self, images: np.ndarray) -> np.ndarray:
        side = max(images.shape[1:3])
        landmarker, whole = _landmarker(), Box(0, 0, side, side)
        found = np.full((len(images), len(self._names())), np.nan, np.float32)
        for row, face in zip(found, resize_faces(images, side), strict=True):
            geometry, _ = landmarker.look(face, whole)
            if geometry is not None:
                pose = geometry.pose_deg if self.pose else ()
                row[:-1] = [*geometry.blendshapes.values(), geometry.mouth_open, *pose]
            row[-1] = geometry is not None
        return found

    def _names(self) -> list[str]:
        pose = [f"{name}_deg" for name in HeadPose._fields] if self.pose else []
        return [*BLENDSHAPES, "mouth_open", *pose, FOUND]


@cache
def _landmarker() -> FaceLandmarker:
    return FaceLandmarker()
