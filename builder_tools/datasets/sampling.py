"""The one way to sample from many faces: at random, keeping each class's share."""

from __future__ import annotations

import numpy as np


def stratified_sample(labels: np.ndarray, size: int | None, rng: np.random.Generator) -> np.ndarray:
    """Return sorted rows of a sample in which classes keep their shares, with at least one each.

    Shares are exact to within one face, by largest remainders. A larger sample from the same
    generator contains (nearly) all of a smaller one.

    Args:
        labels: `(n,)` int, 0 or more.
        size: Size of the sample; None or at least n returns all rows.
        rng: Draws the rows.

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
    """Return sorted rows: a given number of each class, drawn at random.

    Args:
        labels: `(n,)` int.
        counts: `(k,)` int, for each label; a class with fewer rows contributes all of them.
        rng: Draws the rows; with other counts it draws the same faces first.
    """
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in enumerate(counts)
    ]
    return np.sort(np.concatenate(chosen))
