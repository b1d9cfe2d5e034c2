"""Conversion of faces from any kind of image to `(n, H, W, 3)` uint8 RGB."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from builder_tools.media import read_image
from builder_tools.media.arrays import array_to_rgb, as_array
from builder_tools.media.images import is_one_image

CHANNELS = (1, 3, 4)


def as_faces(faces: Any) -> np.ndarray | list[np.ndarray]:
    """Return faces as `(n, H, W, 3)` uint8 RGB, or as a list of `(H, W, 3)` of any sizes.

    Args:
        faces: One face or several, each anything that `media.read_image` accepts. Arrays may be
            one face `(H, W)`, `(H, W, 1|3|4)`, or several `(n, H, W)`, `(n, H, W, 1|3|4)`.

    Raises:
        ValueError: If a face is not an image; says which one and what it is.
        OSError: If a face cannot be read.
    """
    if is_one_image(faces):
        faces = [faces]
    if not hasattr(faces, "__array__"):
        read = (_face(index, face) for index, face in enumerate(faces))
        # What is no collection, such as a generator, may fill one array again and again.
        return list(read) if isinstance(faces, Collection) else list(map(np.array, read))
    faces = as_array(faces)  # of one size, converted together, so that floats share one range
    if not len(faces):
        return []
    if faces.ndim == 3:
        faces = faces[..., None]
    if faces.ndim != 4 or faces.shape[3] not in CHANNELS or not faces.size:
        raise ValueError(
            "Expected faces as (n, H, W, 3), (n, H, W) or (n, H, W, 1 or 4). "
            f"Received: shape {faces.shape}."
        )
    if faces.dtype == np.uint8 and faces.shape[3] == 3:
        return faces
    count, height, width, channels = faces.shape
    rows, _ = array_to_rgb(faces.reshape(count * height, width, channels))
    return rows.reshape(count, height, width, 3)


def _face(index: int, face: Any) -> np.ndarray:
    is_rgb = isinstance(face, np.ndarray) and face.dtype == np.uint8 and face.shape[2:] == (3,)
    if is_rgb and face.size:
        return face
    try:
        return read_image(face)
    except ValueError as error:
        raise ValueError(f"Face {index}: {error}") from error
