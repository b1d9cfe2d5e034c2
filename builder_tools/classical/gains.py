"""Is one model better than another? Both judged on the same faces, drawn again and again."""

from __future__ import annotations

import numpy as np

from builder_tools.evaluation import Figure

RESAMPLES = 1000
GAINS = ("accuracy", "macro_f1", "mean_recall")


def paired_gains(
    y_true: np.ndarray, found: np.ndarray, base: np.ndarray, num_classes: int, *, seed: int = 0
) -> dict[str, Figure]:
    """Return how much better a model is than another, with 95 % bootstrap intervals.

    A face counts with its truth and both predictions, so drawing n faces with replacement is
    drawing the table of these triples from a multinomial distribution.

    Args:
        y_true: `(n,)` labels, n >= 1.
        found: `(n,)` labels that the model predicts.
        base: `(n,)` labels that the other predicts.
        num_classes: k.
        seed: Of the draws.

    Returns:
        accuracy, macro_f1, mean_recall -> gain; positive where the model is better.

    Raises:
        ValueError: If the lengths differ or there are no faces.
    """
    y_true, found, base = (np.asarray(labels, np.int64) for labels in (y_true, found, base))
    if not len(y_true) or not len(y_true) == len(found) == len(base):
        raise ValueError(
            "Expected as many true labels as predictions of both models, one or more. "
            f"Received: {len(y_true)}, {len(found)} and {len(base)}."
        )
    k = num_classes
    triples = np.bincount((y_true * k + found) * k + base, minlength=k**3)
    shares = triples / len(y_true)
    drawn = np.random.default_rng(seed).multinomial(len(y_true), shares, size=RESAMPLES)
    tables = np.concatenate([triples[None], drawn]).reshape(-1, k, k, k)
    gains = _figures(tables.sum(axis=3)) - _figures(tables.sum(axis=2))
    return {name: _figure(column) for name, column in zip(GAINS, gains.T, strict=True)}


def _figures(confusion: np.ndarray) -> np.ndarray:
    """Return accuracy, macro-F1 and mean recall of confusion matrices, `(m, 3)`."""
    right = np.diagonal(confusion, axis1=1, axis2=2)
    true, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    recall = np.divide(right, true, out=np.full(true.shape, np.nan), where=true > 0)
    both = true + predicted
    f1 = np.divide(2 * right, both, out=np.full(true.shape, np.nan), where=both > 0)
    accuracy = right.sum(axis=1) / true.sum(axis=1)
    return np.column_stack([accuracy, np.nanmean(f1, axis=1), np.nanmean(recall, axis=1)])


def _figure(column: np.ndarray) -> Figure:
    low, high = np.percentile(column[1:], (2.5, 97.5))
    return Figure(float(column[0]), float(low), float(high))
