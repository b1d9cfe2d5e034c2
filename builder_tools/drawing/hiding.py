"""Makes faces unrecognisable: replaces each by a few patches that blend into one another."""

from __future__ import annotations

import cv2
import numpy as np

from builder_tools.results import Box

PATCHES = 5
"""Patches along each side of the hidden area: too few for eyes, nose and mouth."""
AROUND = 1.4
"""Side of the hidden area, relative to the face's box: hair and chin identify people, too."""


def hide_face(canvas: np.ndarray, face: Box) -> None:
    """Hide a face and its surroundings, in place.

    Only the mean colours of 5 x 5 patches are left of it, however large it was.

    Args:
        canvas: `(H, W, 3)` uint8.
        face: Box of the face; may extend beyond the image.
    """
    box = face.scale(AROUND).clip(canvas.shape[1], canvas.shape[0])
    x1, y1 = int(box.x1), int(box.y1)
    x2, y2 = (int(np.ceil(value)) for value in (box.x2, box.y2))
    region = canvas[y1:y2, x1:x2]
    if region.size:
        patches = cv2.resize(region, (PATCHES, PATCHES), interpolation=cv2.INTER_AREA)
        region[:] = cv2.resize(patches, region.shape[1::-1], interpolation=cv2.INTER_LINEAR)
