"""Labels and probabilities, checked before anything is computed from them."""

from __future__ import annotations

from numbers import Real

import numpy as np

MOST_OFF = 0.05
"""How far the sum of a row of probabilities may be from 1: other people's are often rounded."""
ROUNDING = 1e-6
"""How far one may be below 0: `1 - p` of float32 is -1.2e-7 where p was rounded up."""


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


def labels_and_probabilities(
    y_true: np.ndarray, probabilities: np.ndarray, num_classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels `(n,)` as int64 and probabilities `(n, k)` as float64, n >= 1.

    Args:
        y_true: `(n,)` whole numbers in 0...k - 1.
        probabilities: `(n, k)`, each row with a sum of 1 to within 0.05.
        num_classes: The k expected; None for any.

    Raises:
        ValueError: If shapes or lengths do not match, a label is none of the classes, or a row is
            not finite, below 0 (but for rounding), or has another sum (logits, say).
    """
    y_true, found = np.asarray(y_true), np.asarray(probabilities, np.float64)
    k = found.shape[-1] if num_classes is None and found.ndim == 2 else num_classes
    if y_true.ndim != 1 or not len(y_true) or found.shape != (len(y_true), k):
        raise ValueError(
            f"Expected labels (n,) and probabilities (n, {num_classes or 'k'}) with n >= 1. "
            f"Received: {y_true.shape} and {found.shape}."
        )
    y_true = label_numbers(y_true, k)
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"Expected finite probabilities. Received: {(~finite).sum()} rows that are not."
        )
    wrong = (found < -ROUNDING).any(axis=1) | (np.abs(found.sum(axis=1) - 1) > MOST_OFF)
    if wrong.any():
        raise ValueError(
            "Expected probabilities: at least 0, with a sum of 1 in each row. Received: "
            f"{wrong.sum()} rows that are not, the first {found[wrong.argmax()].tolist()}. "
            "Apply a softmax to logits; divide the shares of some of the classes by their sum."
        )
    return y_true, found
