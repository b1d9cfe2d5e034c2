"""Figures from confusion matrices `(..., k, k)`: rows are true labels, columns are predictions."""

from __future__ import annotations

import numpy as np


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
