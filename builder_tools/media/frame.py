"""One image of a video or camera, and the time at which it is shown."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np


@dataclass(frozen=True)
class Frame:
    """An image of a stream.

    Args:
        index: Position among the images that the stream delivered, from 0.
        time_s: When it is shown, in seconds from the first image of the source.
        image: `(H, W, 3)` uint8 RGB.
    """

    index: int
    time_s: float
    image: np.ndarray = field(compare=False, repr=False)


def fitted(image_rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Fit an image into a size, as large as possible, keeping its aspect ratio, padded with black.

    Args:
        image_rgb: `(H, W, 3)` uint8 RGB; returned as it is if it already has that size.
        size: (width, height) in px.
    """
    height, width = image_rgb.shape[:2]
    if (width, height) == size:
        return image_rgb
    scale = min(size[0] / width, size[1] / height)
    own = max(round(width * scale), 1), max(round(height * scale), 1)
    left, top = (size[0] - own[0]) // 2, (size[1] - own[1]) // 2
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    canvas[top : top + own[1], left : left + own[0]] = cv2.resize(
        image_rgb, own, interpolation=cv2.INTER_AREA
    )
    return canvas
