"""Rectangles in pixels, and cropping images to them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels: x1, y1 inclusive, x2, y2 exclusive.

    Numbers of NumPy and of tensors become Python's, as those of few bits would overflow.

    Raises:
        ValueError: If the rectangle is inverted (x2 < x1 or y2 < y1), or not finite.
    """

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if type(value) is not float and hasattr(value, "item"):
                object.__setattr__(self, name, value.item())
        if not (-inf < self.x1 <= self.x2 < inf and -inf < self.y1 <= self.y2 < inf):
            raise ValueError(f"Expected finite x1 <= x2 and y1 <= y2. Received: {self.xyxy}.")

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        return (self.x1, self.y1, self.x2, self.y2)

    @property
    def width(self) -> float:
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        return ((self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2)

    def square(self) -> Box:
        """Return the square around the same centre with the longer side as its side."""
        (x, y), half = self.centre, max(self.width, self.height) / 2
        return Box(x - half, y - half, x + half, y + half)

    def framed(self, scale: float, shift_y: float, turned_deg: int = 0) -> Box:
        """Return the square around a face to which it is cropped.

        Args:
            scale: Side of the square relative to the longer side of the box.
            shift_y: Shift of its centre, as a share of the box's height; negative is up.
            turned_deg: How far the face, and its up direction, is rotated clockwise: 0, 90, 180 or
                270.
        """
        down_x, down_y = {0: (0, 1), 90: (-1, 0), 180: (0, -1), 270: (1, 0)}[turned_deg]
        shift = shift_y * (self.height if down_y else self.width)
        return self.shift(shift * down_x, shift * down_y).square().scale(scale)

    def scale(self, factor: float) -> Box:
        """Return the box scaled by `factor` around the same centre."""
        (x, y), w, h = self.centre, self.width * factor / 2, self.height * factor / 2
        return Box(x - w, y - h, x + w, y + h)

    def shift(self, dx: float, dy: float) -> Box:
        """Return the box moved by `dx`, `dy` pixels."""
        return Box(self.x1 + dx, self.y1 + dy, self.x2 + dx, self.y2 + dy)

    def clip(self, width: int, height: int) -> Box:
        """Return the part of the box inside an image of the given size (may be empty)."""
        x1, x2 = (min(max(x, 0), width) for x in (self.x1, self.x2))
        y1, y2 = (min(max(y, 0), height) for y in (self.y1, self.y2))
        return Box(x1, y1, x2, y2)

    def round(self) -> Box:
        """Return the box with whole-pixel corners."""
        return Box(*(round(value) for value in self.xyxy))

    def holds(self, point: tuple[float, float]) -> bool:
        """Return whether a point lies in the box or on its edge."""
        return self.x1 <= point[0] <= self.x2 and self.y1 <= point[1] <= self.y2

    def iou(self, other: Box) -> float:
        """Return intersection over union with another box, 0...1 (0 for empty boxes)."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        shared = max(width, 0) * max(height, 0)
        union = self.area + other.area - shared
        return shared / union if union > 0 else 0.0


def crop(image: np.ndarray, box: Box) -> np.ndarray:
    """Crop an image to a box; parts outside repeat the image's edge pixels.

    Args:
        image: `(H, W, 3)` uint8.
        box: The box; its corner and its sides are rounded to whole pixels, at least 1x1.

    Returns:
        `(box height, box width, 3)` uint8, a copy. A box that extends beyond the edge keeps its
        size, so a square box always gives a square face.
    """
    height, width = image.shape[:2]
    x1, y1 = round(box.x1), round(box.y1)
    x2, y2 = x1 + _whole_px(box.width), y1 + _whole_px(box.height)
    if x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height:
        return image[y1:y2, x1:x2].copy()
    top, left = (min(max(start, 0), side - 1) for start, side in ((y1, height), (x1, width)))
    inner = image[top : max(y2, top + 1), left : max(x2, left + 1)]
    above, aside = (min(max(-at, 0), side - 1) for at, side in ((y1, y2 - y1), (x1, x2 - x1)))
    below, beyond = y2 - y1 - inner.shape[0] - above, x2 - x1 - inner.shape[1] - aside
    import cv2  # imported only here; it takes a fifth of the time of np.pad

    return cv2.copyMakeBorder(inner, above, below, aside, beyond, cv2.BORDER_REPLICATE)


def _whole_px(length: float) -> int:
    """Round a side to whole pixels, so that sides equal up to rounding errors stay equal."""
    return max(round(round(length, 3)), 1)
