"""From a network's probabilities to the decision: temperature, class biases, doubt.

What is fitted on validation faces stands in the model's card; here it is applied. Both keep
`(n, k)` rows that sum to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

DECISIONS = ("natural", "balanced")
"""`natural`: the most probable class where classes are as frequent as in training. `balanced`:
where all are alike, by the biases of the card."""

LEAST_PROBABILITY = 1e-12
"""Stands for 0 where a logarithm is taken."""


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Gives probabilities sharpened (below 1) or softened (above 1); their order stays.

    Temperature scaling (Guo et al., 2017, arXiv:1706.04599): the same as dividing the logits.

    Returns:
        `(n, k)` float64, rows sum to 1.
    """
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), LEAST_PROBABILITY))
    scaled = np.exp((logits - logits.max(axis=-1, keepdims=True)) / temperature)
    return scaled / scaled.sum(axis=-1, keepdims=True)


def apply_decision(
    probabilities: np.ndarray, emotions: Iterable[str], biases: Mapping[str, float]
) -> np.ndarray:
    """Gives probabilities after adding each class's bias to its log-probability.

    Returns:
        `(n, k)` float64, rows sum to 1.
    """
    factor = np.exp([biases[name] for name in emotions])
    weighted = np.asarray(probabilities, np.float64) * factor
    return weighted / weighted.sum(axis=1, keepdims=True)
