"""Images as files hold them, and how far two lie apart."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """Return an image as a file of one of Pillow's kinds."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def mean_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean difference of the values of two images of one shape, 0...255."""
    assert first.shape == second.shape
    return float(np.abs(first.astype(int) - second).mean())
