"""The only way images are resized to squares: the same in training and in serving."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def resize_square(image: np.ndarray, size_px: int) -> np.ndarray:
    """Resize an image to a square, ignoring its aspect ratio.

    Shrinking averages the covered pixels (no aliasing); enlarging interpolates linearly.

    Args:
        image: `(H, W)` or `(H, W, 3)` uint8.
        size_px: Side of the square.

    Returns:
        `(size_px, size_px)` or `(size_px, size_px, 3)` uint8; the image itself if it already
        has that size.
    """
    height, width = image.shape[:2]
    if height == width == size_px:
        return image
    method = cv2.INTER_AREA if height * width > size_px * size_px else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), (size_px, size_px), interpolation=method)


def resize_stack(images: np.ndarray | Sequence[np.ndarray], size_px: int) -> np.ndarray:
    """Resize images, `(n, H, W[, 3])` or decoded when sliced, to one array of squares."""
    rows = range(len(images))
    return np.stack([resize_square(images[row : row + 1][0], size_px) for row in rows])


def resize_faces(faces: np.ndarray | Sequence[np.ndarray], size_px: int) -> np.ndarray:
    """Resize faces to a network's input, `(n, size_px, size_px, 3)` uint8 RGB (`resize_square`).

    Args:
        faces: `(n, H, W, 3)`, or faces `(H, W, 3)` of any sizes; grey ones get three channels.
        size_px: Side of the network's input.
    """
    if isinstance(faces, np.ndarray) and faces.shape[1:] == (size_px, size_px, 3):
        return faces
    batch = np.empty((len(faces), size_px, size_px, 3), np.uint8)
    for face, resized in zip(faces, batch, strict=True):
        square = resize_square(face, size_px)
        resized[:] = square if square.ndim == 3 else square[..., None]
    return batch
