"""What cameras and codecs do to faces: lost resolution, blur, noise, JPEG, bad light.

The changes apply to stored images before the augmentation in the training graph, which has no
JPEG.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Change = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def lose_resolution(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return the image shrunk to a share of its size and enlarged again."""
    height, width = image.shape[:2]
    small = (max(round(width * share), 4), max(round(height * share), 4))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)


def blur(image: np.ndarray, sigma_share: float, rng: np.random.Generator) -> np.ndarray:
    """Return the image blurred by a Gaussian whose standard deviation is a share of its width."""
    return cv2.GaussianBlur(image, (0, 0), max(sigma_share * image.shape[1], 1e-3))


def add_noise(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Return the image with Gaussian noise of a standard deviation, 0...255."""
    noisy = image + rng.normal(0, deviation, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def compress(image: np.ndarray, quality: float, rng: np.random.Generator) -> np.ndarray:
    """Return the image after JPEG compression at a quality, 1...100."""
    written, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
    if not written:
        raise ValueError(f"Expected a uint8 image. Received: {image.dtype} {image.shape}.")
    flag = cv2.IMREAD_GRAYSCALE if image.ndim == 2 else cv2.IMREAD_COLOR
    return cv2.imdecode(data, flag)


def change_gamma(image: np.ndarray, gamma: float, rng: np.random.Generator) -> np.ndarray:
    """Return the image darkened (above 1) or brightened (below 1)."""
    table = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    return cv2.LUT(image, table)


DEGRADATIONS: tuple[tuple[Change, tuple[float, float]], ...] = (
    (lose_resolution, (0.3, 0.9)),
    (blur, (0.01, 0.035)),
    (add_noise, (3.0, 20.0)),
    (compress, (10.0, 60.0)),
    (change_gamma, (0.4, 2.5)),
)
"""The changes applied to faces in training, and the range that their strength is drawn from."""

MOST_CHANGES = 2


def degrade_faces(faces: np.ndarray, rng: np.random.Generator, *, probability: float) -> np.ndarray:
    """Degrade some faces, each by one or two of `DEGRADATIONS`.

    Args:
        faces: `(n, H, W)` or `(n, H, W, 3)` uint8.
        rng: Decides which faces are degraded, how and how much.
        probability: Probability that a face is degraded.

    Returns:
        A copy of the same shape, uint8.
    """
    degraded = faces.copy()
    for row in np.flatnonzero(rng.random(len(faces)) < probability):
        chosen = rng.permutation(len(DEGRADATIONS))[: rng.integers(1, MOST_CHANGES + 1)]
        for number in chosen:
            change, (low, high) = DEGRADATIONS[number]
            degraded[row] = change(degraded[row], rng.uniform(low, high), rng)
    return degraded
