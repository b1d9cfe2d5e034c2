"""The one way to take some of many faces: at random, every class with its share."""

from __future__ import annotations

import numpy as np


def stratified_sample(labels: np.ndarray, size: int | None, rng: np.random.Generator) -> np.ndarray:
    """Return sorted rows of a sample in which classes keep their shares; each keeps at least one.

    Shares are kept to the face, largest remainders first. A larger sample by the same generator
    holds (nearly) all of a smaller one.

    Args:
        labels: `(n,)` int, 0 or more.
        size: How many; None or at least n gives all rows.
        rng: Chooses.

    Raises:
        ValueError: If `size` is below the number of classes that occur.
    """
    if size is None or size >= len(labels):
        return np.arange(len(labels))
    sizes = np.bincount(labels)
    if size < (sizes > 0).sum():
        raise ValueError(
            f"Expected at least one image of each of {(sizes > 0).sum()} classes. "
            f"Received: {size} images in all."
        )
    exact = size * sizes / sizes.sum()
    counts = np.where(sizes > 0, np.maximum(np.floor(exact), 1), 0).astype(np.int64)
    while counts.sum() != size:
        step = 1 if counts.sum() < size else -1
        possible = counts < sizes if step > 0 else counts > 1
        counts[np.where(possible, step * (exact - counts), -np.inf).argmax()] += step
    return draw_by_class(labels, counts, rng)


def draw_by_class(labels: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return sorted rows: so many of each class, drawn at random.

    Args:
        labels: `(n,)` int.
        counts: `(k,)` int, of each label; all rows of a class that has no more.
        rng: Chooses; with other counts it draws the same faces first.
    """
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in enumerate(counts)
    ]
    return np.sort(np.concatenate(chosen))
