"""What somebody looks like within a shot: the coarse colours of head and clothes.

This is enough to tell a man in a black coat from a woman in a red one a few seconds later in the
same light; nobody can be recognised by it elsewhere, and none of it outlives the run.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from builder_tools.results import Box

LEVELS = 4
"""Number of levels per colour channel."""
SAMPLES = 24
"""Pixels sampled along each side of head and clothes."""

HEAD = (-0.25, -0.45, 1.25, 1.1)
CLOTHES = (-0.4, 1.3, 1.4, 2.5)
"""x1, y1, x2, y2 in sides of the face's box, from its top left corner."""


def looks_of(image: np.ndarray, face: Box) -> np.ndarray:
    """Return how often each colour is seen in head and clothes, `(2, 64)`; rows sum to 1.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        face: A box in it. A row is zero if that part lies outside the image.
    """
    height, width = image.shape[:2]
    colours = np.zeros((2, LEVELS**3), np.float32)
    for row, (x1, y1, x2, y2) in enumerate((HEAD, CLOTHES)):
        part = Box(
            face.x1 + x1 * face.width,
            face.y1 + y1 * face.height,
            face.x1 + x2 * face.width,
            face.y1 + y2 * face.height,
        ).clip(width, height)
        if part.width >= 2 and part.height >= 2:
            columns = np.linspace(part.x1, part.x2 - 1, SAMPLES).astype(int)
            rows = np.linspace(part.y1, part.y2 - 1, SAMPLES).astype(int)
            levels = (image[rows[:, None], columns].astype(np.int32) * LEVELS) >> 8
            codes = (levels[..., 0] * LEVELS + levels[..., 1]) * LEVELS + levels[..., 2]
            colours[row] = np.bincount(codes.ravel(), minlength=LEVELS**3) / codes.size
    return colours


def likeness(some: Iterable[np.ndarray], other: np.ndarray) -> float:
    """Return the largest overlap of colours, 0...1, over the parts both show; 0 if there are none.

    Args:
        some: Results of `looks_of` at several times.
        other: A single result.
    """
    best = 0.0
    for one in some:
        both = one.any(axis=1) & other.any(axis=1)
        if both.any():
            best = max(best, float(np.minimum(one, other)[both].sum(axis=1).mean()))
    return best
