"""Faces made unrecognisable: a few flat patches in place of each, blurred into one another."""

from __future__ import annotations

import cv2
import numpy as np

from builder_tools.results import Box

PATCHES = 5
"""Along each side of what is hidden: too few for eyes, nose and mouth."""
AROUND = 1.4
"""Side of what is hidden, in those of the face's box: hair and chin tell people apart, too."""


def hide_face(canvas: np.ndarray, face: Box) -> None:
    """Replace a face and what is around it, in place.

    Nothing but the mean colours of 5 x 5 patches is left of it, however large it was.

    Args:
        canvas: `(H, W, 3)` uint8.
        face: May reach over the image's edge.
    """
    box = face.scale(AROUND).clip(canvas.shape[1], canvas.shape[0])
    x1, y1 = int(box.x1), int(box.y1)
    x2, y2 = (int(np.ceil(value)) for value in (box.x2, box.y2))
    region = canvas[y1:y2, x1:x2]
    if region.size:
        patches = cv2.resize(region, (PATCHES, PATCHES), interpolation=cv2.INTER_AREA)
        region[:] = cv2.resize(patches, region.shape[1::-1], interpolation=cv2.INTER_LINEAR)
