"""How confident a model may be: temperature, and when to abstain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from builder_tools.decisions import LEAST_PROBABILITY, apply_temperature
from builder_tools.evaluation.checking import labels_and_probabilities

TEMPERATURES = (0.2, 5.0)
"""Range in which the temperature is searched."""

LEAST_IMAGES = 30
"""Accuracy on fewer images is meaningless."""


def fit_temperature(y_true: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the temperature with the lowest cross-entropy (Guo et al., 2017, arXiv:1706.04599).

    Args:
        y_true: `(n,)` int labels, n >= 1.
        probabilities: `(n, k)`, as output by the network.

    Raises:
        ValueError: As in `evaluate`.
    """
    from scipy.optimize import minimize_scalar

    y_true, probabilities = labels_and_probabilities(y_true, probabilities)
    rows = np.arange(len(y_true))

    def cross_entropy(log_temperature: float) -> float:
        found = apply_temperature(probabilities, np.exp(log_temperature))
        return -np.log(np.maximum(found[rows, y_true], LEAST_PROBABILITY)).mean()

    bounds = tuple(np.log(TEMPERATURES))
    return float(np.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x))


@dataclass(frozen=True)
class RiskCoverage:
    """Accuracy of the most confident predictions (El-Yaniv and Wiener, 2010, JMLR 11).

    Args:
        threshold: `(m,)` distinct confidences (highest probabilities), in decreasing order.
        coverage: `(m,)` share of images with at least this confidence, rising to 1.
        accuracy: `(m,)` share of right predictions among them.
        images: Total number of images.
    """

    threshold: np.ndarray
    coverage: np.ndarray
    accuracy: np.ndarray
    images: int

    def at_accuracy(self, wanted: float) -> tuple[float, float] | None:
        """Return the threshold with the largest coverage at an accuracy, and this coverage.

        None if no threshold reaches it on at least 30 images.
        """
        good = (self.accuracy >= wanted) & (self.coverage * self.images >= LEAST_IMAGES)
        if not good.any():
            return None
        place = np.flatnonzero(good)[-1]
        return float(self.threshold[place]), float(self.coverage[place])

    def at_threshold(self, threshold: float) -> tuple[float, float]:
        """Return the coverage and accuracy of the images at or above a threshold (NaN if none)."""
        place = int((self.threshold >= threshold).sum()) - 1
        if place < 0:
            return 0.0, float("nan")
        return float(self.coverage[place]), float(self.accuracy[place])


def risk_coverage(y_true: np.ndarray, probabilities: np.ndarray) -> RiskCoverage:
    """Order images by confidence and count how many of the most confident are right.

    Images with equal confidence are taken together, so every point has its own threshold.

    Args:
        y_true: `(n,)` int labels, n >= 1.
        probabilities: `(n, k)`.

    Raises:
        ValueError: As in `evaluate`.
    """
    y_true, probabilities = labels_and_probabilities(y_true, probabilities)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y_true
    order = np.argsort(-sure, kind="stable")
    last_of_equals = np.append(np.diff(sure[order]) != 0, True)
    count = np.arange(1, len(sure) + 1)[last_of_equals]
    return RiskCoverage(
        threshold=sure[order][last_of_equals],
        coverage=count / len(sure),
        accuracy=np.cumsum(right[order])[last_of_equals] / count,
        images=len(sure),
    )
