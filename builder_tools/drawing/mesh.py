"""Draws the mesh of a face's landmarks on the face."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from builder_tools.results import FaceGeometry

SUBPIXEL_BITS = 4
"""Makes OpenCV draw with a precision of 1/16 px."""
OPACITY = 0.5
"""The face must stay visible under the mesh."""
OPEN_PX = 200
"""Width of a face, for each pixel of the lines' width, below which the mesh would cover it: lines
are thinner, and if they cannot be, fainter."""


def draw_mesh(
    canvas: np.ndarray, geometry: FaceGeometry, colour: tuple[int, int, int], line: int
) -> None:
    """Draw the edges of the face's surface into an image, thin and semi-transparent.

    Args:
        canvas: `(H, W, 3)` uint8 RGB; changed in place.
        geometry: Geometry of the face.
        colour: RGB.
        line: Width of other lines in the image in px; these are at most half as wide.
    """
    height, width = canvas.shape[:2]
    low, high = geometry.landmarks_px[:, :2].min(axis=0), geometry.landmarks_px[:, :2].max(axis=0)
    x1, y1 = np.clip(low.astype(int) - line, 0, (width, height))
    x2, y2 = np.clip(high.astype(int) + line + 1, 0, (width, height))
    if x1 >= x2 or y1 >= y2:
        return
    part = canvas[y1:y2, x1:x2]
    points = np.rint((geometry.landmarks_px[:, :2] - (x1, y1)) * 2**SUBPIXEL_BITS).astype(np.int32)
    drawn = part.copy()
    across = float(high[0] - low[0])
    thin = max(min(line // 2, int(across / OPEN_PX)), 1)
    opacity = OPACITY * min(across / (thin * OPEN_PX), 1)
    cv2.polylines(drawn, points[_edges()], False, colour, thin, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.addWeighted(drawn, opacity, part, 1 - opacity, 0, part)


@cache
def _edges() -> np.ndarray:
    """Return the landmarks at both ends of each edge, each edge once, `(n, 2)`.

    The module that reads them is imported here, since most drawings have no mesh.
    """
    from builder_tools.geometry import read_bundle

    triangles = read_bundle().triangles
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(edges, axis=1), axis=0)
