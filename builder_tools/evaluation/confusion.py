"""Figures from confusion matrices `(..., k, k)`: rows are true labels, columns are predictions."""

from __future__ import annotations

from numbers import Real

import numpy as np


def label_numbers(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return labels as int64, at least one.

    Raises:
        ValueError: If one is no whole number, or not in 0...num_classes - 1.
    """
    found, expected = np.asarray(labels), f"Expected labels 0...{num_classes - 1}"
    if found.dtype == object and all(isinstance(label, Real) for label in found.flat):
        found = found.astype(float)
    if found.dtype.kind not in "biuf" or not (found == np.rint(found)).all():
        raise ValueError(f"{expected}, whole numbers. Received: {found.ravel()[:5].tolist()}.")
    if found.min() < 0 or found.max() >= num_classes:
        raise ValueError(
            f"{expected}. Received: {found.min()}...{found.max()}. "
            "Leave out the images labelled -1 first."
        )
    return found.astype(np.int64)


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Return the shares of right predictions, `(...,)`."""
    return np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1))


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Return `(..., k)` recalls, NaN for classes that do not occur."""
    return ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-1))


def f1_scores(confusion: np.ndarray) -> np.ndarray:
    """Return `(..., k)` F1 scores, NaN for classes that neither occur nor are predicted."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    return ratio(2 * right, confusion.sum(axis=-1) + confusion.sum(axis=-2))


def mean_figures(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Return `accuracy`, `macro_f1` and `mean_recall`, each `(...,)`."""
    return {
        "accuracy": accuracy(confusion),
        "macro_f1": np.nanmean(f1_scores(confusion), axis=-1),
        "mean_recall": np.nanmean(recalls(confusion), axis=-1),
    }


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return `part / whole`, NaN where `whole` is not above 0."""
    part, whole = np.broadcast_arrays(np.asarray(part), np.asarray(whole))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
