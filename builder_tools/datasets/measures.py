"""Measurements of images that do not depend on knowing what they show."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd

from builder_tools.datasets.table import PROGRESS, ImageTable

BATCH = 256
"""Number of images averaged at once."""


def measure_images(table: ImageTable) -> pd.DataFrame:
    """Measure every image at its own size.

    Args:
        table: Images.

    Returns:
        One row per image, in order: `emotion`, `split`, `width_px`, `height_px`, `brightness`
        (mean grey, 0...255), `contrast` (standard deviation of grey) and `sharpness` (variance
        of the Laplacian of grey).

    Raises:
        FileNotFoundError, ValueError: If an image is missing or cannot be read.
    """
    from tqdm import tqdm

    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda row: _measure(table.image(row)), range(len(table)))
        measured = list(tqdm(found, "measured", len(table), **PROGRESS))
    columns = ["width_px", "height_px", "brightness", "contrast", "sharpness"]
    known = table.table[["emotion", "split"]].reset_index(drop=True)
    return known.join(pd.DataFrame(measured, columns=columns))


def mean_images(table: ImageTable, size_px: int) -> dict[str, np.ndarray]:
    """Average the images of each class.

    Args:
        table: Images.
        size_px: Side of the averages; images that are not square are stretched to fit.

    Returns:
        Emotion -> `(size, size, 3)` uint8 RGB, in class order, without classes that have no
        images.
    """
    images, labels = table.resized(size_px), table.labels
    means = {}
    for label, name in enumerate(table.emotions):
        rows = np.flatnonzero(labels == label)
        if len(rows):
            parts = np.split(rows, range(BATCH, len(rows), BATCH))
            total = sum(images[part].sum(axis=0, dtype=np.int64) for part in parts)
            means[name] = np.rint(total / len(rows)).astype(np.uint8)
    return means


def _measure(image: np.ndarray) -> tuple[int, int, float, float, float]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    mean, deviation = cv2.meanStdDev(grey)
    sharpness = cv2.Laplacian(grey, cv2.CV_64F).var()
    return (*image.shape[1::-1], float(mean[0, 0]), float(deviation[0, 0]), float(sharpness))
