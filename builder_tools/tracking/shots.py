"""Where a film is cut: two consecutive images that have nothing in common.

The images are compared by a few hundred of their pixels. In a fast pan, each frame still resembles
the last, and when a light is switched on, the pattern stays the same: in both, the shot goes on.
"""

from __future__ import annotations

import numpy as np

COLUMNS, ROWS = 32, 24
LEAST_CHANGE = 20.0
"""Mean change in grey levels from which a cut is possible. In six real films, the largest change
within a shot was 15, and the smallest at a cut 28."""
UNLIKE = 0.4
"""Correlation below which two images have nothing in common: cuts 0...0.21, shots 0.53 and up."""
LIKE = 0.7
"""Correlation from which a shot is one seen before."""


def glance(image: np.ndarray) -> np.ndarray:
    """Return the grey levels of a few pixels, float32, at the same places in images of one size."""
    height, width = image.shape[:2]
    down, across = max(height // ROWS, 1), max(width // COLUMNS, 1)
    return image[down // 2 :: down, across // 2 :: across].astype(np.float32).mean(axis=2)


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Return whether two consecutive glances belong to different shots."""
    if before.shape != after.shape:
        return True
    return float(np.abs(before - after).mean()) > LEAST_CHANGE and alike(before, after) < UNLIKE


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two glances, -1...1; 0 if one is flat or their sizes differ."""
    if one.shape != other.shape:
        return 0.0
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return float((one * other).sum()) / size if size else 0.0
