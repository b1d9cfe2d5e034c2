"""Portraits made of scikit-image's astronaut: one person, one camera, several expressions."""

from __future__ import annotations

import cv2
import numpy as np


def with_other_mouth(image: np.ndarray, shift_px: float, *, middle=(0.5, 0.8), size=(0.13, 0.06)):
    """Bend the corners of the mouth (up where positive) and leave everything else as it is.

    Args:
        image: `(H, W, 3)` uint8.
        shift_px: How far, in pixels of the image.
        middle: Of the mouth, in shares of width and height.
        size: Of the mouth, likewise.
    """
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    beside, below = (x / width - middle[0]) / size[0], (y / height - middle[1]) / size[1]
    bend = np.exp(-(beside**2) - below**2) * (beside**2 - 0.3)
    return cv2.remap(image, x, y + np.float32(shift_px * 2 * bend), cv2.INTER_LINEAR)
