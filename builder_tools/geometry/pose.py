"""Head pose from landmarks: the rotation that fits an average face to them."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from builder_tools.geometry.bundle import read_bundle
from builder_tools.results import HeadPose

UP_AND_NEAR = np.array([1, -1, -1])
"""From the image's axes (y down, depth away) to those of the average face (y up, z nearer)."""


def head_pose(landmarks_px: np.ndarray) -> HeadPose:
    """Return the yaw, pitch and roll of a face.

    The camera is assumed to be far away, so the image of a face is its shape, rotated and scaled
    (weighted orthogonal Procrustes on the landmarks that expressions hardly move).

    Args:
        landmarks_px: `(478, 3)` or `(468, 3)`, x, y and depth in pixels.
    """
    points, weights, average = _steady_shape()
    seen = landmarks_px[points] * UP_AND_NEAR
    seen -= weights @ seen
    left, _, right = np.linalg.svd((seen.T * weights) @ average)
    turn = left @ right
    if np.linalg.det(turn) < 0:  # a reflection
        left[:, 2] *= -1
        turn = left @ right
    return angles_of(turn)


@cache
def _steady_shape() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the steady landmarks, their weights (sum 1) and their centred average places."""
    bundle = read_bundle()
    weights = bundle.weights / bundle.weights.sum()
    average = bundle.vertices_cm[bundle.steady]
    return bundle.steady, weights, average - weights @ average


def angles_of(rotation: np.ndarray) -> HeadPose:
    """Return the angles of a rotation.

    Args:
        rotation: `(3, 3)`, from the axes of a face (x to its left, y up, z out of it) to those of
            the image (x right, y up, z to the camera): roll after yaw after pitch.
    """
    (x_x, _, _), (y_x, _, _), (z_x, z_y, z_z) = rotation.tolist()
    yaw = math.asin(min(max(-z_x, -1.0), 1.0))
    pitch, roll = -math.atan2(z_y, z_z), -math.atan2(y_x, x_x)
    return HeadPose(math.degrees(yaw), math.degrees(pitch), math.degrees(roll))
