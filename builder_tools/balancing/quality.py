"""Quality of synthetic images: how close to real ones they are, and how sharp."""

from __future__ import annotations

import numpy as np
import pandas as pd

from builder_tools.balancing.making import ORIGINAL

COPY_RMS = 1.0
"""A synthetic image closer than this to a real one, in grey levels, looks the same."""


def judge_made(
    images: np.ndarray, labels: np.ndarray, balanced: np.ndarray, provenance: pd.DataFrame
) -> pd.DataFrame:
    """Measure the images, synthetic and original, of all classes with synthetic images.

    Distances are root mean squares over the pixels, in grey levels 0...255. "Real" images are all
    originals of the same class; an original's nearest real image is a different one.

    Args:
        images: The originals, `(n, H, W)` or `(n, H, W, 3)` uint8.
        labels: `(n,)`.
        balanced: The balanced images.
        provenance: Provenance of the balanced images.

    Returns:
        One row per image: `row`, `label`, `origin`, `nearest_real` (distance), `nearest_stranger`
        (distance to the nearest real image that is not one of its own parents), `sharpness`
        (`builder_tools.cleaning.looking.sharpness`) and `is_copy` (`nearest_real` below 1).
    """
    from builder_tools.cleaning.looking import sharpness

    made = provenance.loc[provenance["origin"] != ORIGINAL, "label"].unique()
    table = provenance[provenance["label"].isin(made)].reset_index(drop=True)
    nearest = np.empty((len(table), 2))
    for label in made:
        own = np.flatnonzero(table["label"] == label)
        real = np.flatnonzero(labels == label)
        nearest[own] = _nearest(images, real, balanced, table.iloc[own])
    return pd.DataFrame(
        {
            "row": table["row"],
            "label": table["label"],
            "origin": table["origin"],
            "nearest_real": nearest[:, 0],
            "nearest_stranger": nearest[:, 1],
            "sharpness": [sharpness(_rgb(balanced[row])) for row in table["row"]],
            "is_copy": nearest[:, 0] < COPY_RMS,
        }
    )


def _nearest(images, real: np.ndarray, balanced, table: pd.DataFrame) -> np.ndarray:
    """Return the distances `(n, 2)` to the nearest real image and to the nearest stranger."""
    from sklearn.neighbors import NearestNeighbors

    pixels = images[real].reshape(len(real), -1).astype(np.float32)
    index = NearestNeighbors(n_neighbors=min(3, len(real))).fit(pixels)
    found = balanced[table["row"]].reshape(len(table), -1).astype(np.float32)
    distances, places = index.kneighbors(found)
    distances, rows = distances / np.sqrt(pixels.shape[1]), real[places]
    parents = table[["parent", "neighbour"]].to_numpy()
    own = (rows[:, :, None] == parents[:, None, :]).any(axis=2)
    is_itself = (rows == parents[:, :1]) & (table["origin"] == ORIGINAL).to_numpy()[:, None]
    nearest_real = np.where(is_itself, np.inf, distances).min(axis=1)
    return np.stack([nearest_real, np.where(own, np.inf, distances).min(axis=1)], axis=1)


def _rgb(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
