"""Where a head is turned, from its landmarks: the rotation that fits an average face to them."""

from __future__ import annotations

import numpy as np

from builder_tools.geometry.bundle import read_bundle
from builder_tools.results import HeadPose

UP_AND_NEAR = np.array([1, -1, -1])
"""From an image's axes (y down, depth away) to those of the average face (y up, z near)."""


def head_pose(landmarks_px: np.ndarray) -> HeadPose:
    """Return yaw, pitch and roll of a face.

    The camera is taken to be far away: the image of a face is its shape, turned and scaled
    (weighted orthogonal Procrustes on the landmarks that expressions hardly move).

    Args:
        landmarks_px: `(478, 3)` or `(468, 3)` x, y, depth in pixels.
    """
    bundle = read_bundle()
    weights = bundle.weights[:, None] / bundle.weights.sum()
    average = bundle.vertices_cm[bundle.steady]
    seen = landmarks_px[bundle.steady] * UP_AND_NEAR
    average = average - (weights * average).sum(axis=0)
    seen = seen - (weights * seen).sum(axis=0)
    left, _, right = np.linalg.svd((weights * seen).T @ average)
    proper = np.diag([1, 1, np.linalg.det(left @ right)])
    return angles_of(left @ proper @ right)


def angles_of(rotation: np.ndarray) -> HeadPose:
    """Return the angles of a rotation.

    Args:
        rotation: `(3, 3)`: from the axes of a face (x to its left, y up, z out of it) to those of
            the image (x right, y up, z to the camera): roll after yaw after pitch.
    """
    yaw = np.arcsin(np.clip(-rotation[2, 0], -1, 1))
    pitch = -np.arctan2(rotation[2, 1], rotation[2, 2])
    roll = -np.arctan2(rotation[1, 0], rotation[0, 0])
    return HeadPose(*np.degrees([yaw, pitch, roll]).tolist())
