"""From a network's outputs to a decision: temperature, class biases, doubt, nearest centres.

Everything fitted on validation faces is stored in the model's card; it is applied here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from builder_tools.cards import ModelCard
from builder_tools.emotions import EmotionSet
from builder_tools.results import Readings
from builder_tools.tasks import TASKS

DECISIONS = ("natural", "balanced")
"""`natural`: the most probable class if classes are as frequent as in training. `balanced`: the
same if all classes are equally frequent, using the biases of the card."""

LEAST_PROBABILITY = 1e-12
"""Replaces 0 before a logarithm is taken."""

CENTRE_SPREAD = 0.25
"""Standard deviation around a centre, in valence or arousal, at a temperature of 1."""


def read_outputs(
    card: ModelCard, outputs: np.ndarray, biases: Mapping[str, float] | None = None
) -> Readings:
    """Return the readings that a network's outputs stand for, according to its card.

    Args:
        card: The network's card: classes, task, centres and temperature.
        outputs: `(n, card.num_outputs)`.
        biases: Biases of the decision (`apply_decision`); None for the natural decision.
    """
    emotions = EmotionSet(card.emotions)
    probabilities, places = TASKS[card.task].split(outputs)
    if probabilities is None:
        assert places is not None and card.centres is not None, "the card's task promises both"
        probabilities = nearness(places, np.array([card.centres[name] for name in emotions]))
    if card.temperature != 1:
        probabilities = apply_temperature(probabilities, card.temperature)
    if biases is not None:
        probabilities = apply_decision(probabilities, emotions, biases)
    probabilities = probabilities.astype(np.float32, copy=False)
    if places is None:
        return Readings(probabilities, emotions.expected_place(probabilities))
    return Readings(probabilities, places.astype(np.float64))


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities sharpened (below 1) or softened (above 1), in unchanged order.

    Temperature scaling (Guo et al., 2017, arXiv:1706.04599), equivalent to dividing the logits.

    Returns:
        `(n, k)` float64, rows sum to 1.
    """
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), LEAST_PROBABILITY))
    scaled = np.exp((logits - logits.max(axis=-1, keepdims=True)) / temperature)
    return scaled / scaled.sum(axis=-1, keepdims=True)


def apply_decision(
    probabilities: np.ndarray, emotions: Iterable[str], biases: Mapping[str, float]
) -> np.ndarray:
    """Return probabilities after adding each class's bias to its log-probability.

    Returns:
        `(n, k)` float64, rows sum to 1.
    """
    factor = np.exp([biases[name] for name in emotions])
    weighted = np.asarray(probabilities, np.float64) * factor
    return weighted / weighted.sum(axis=1, keepdims=True)


def nearness(places: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the probability of each centre, given places on the valence-arousal plane.

    All centres are assumed to be equally frequent, and their faces to be normally distributed
    with `CENTRE_SPREAD` in every direction. So the nearest centre is the most probable (the first
    in a tie), and a temperature t corresponds to a spread `sqrt(t)` times as wide.

    Args:
        places: `(n, 2)` valence and arousal.
        centres: `(k, 2)`.

    Returns:
        `(n, k)` float64, rows sum to 1.
    """
    offsets = np.asarray(places, np.float64)[:, None, :] - np.asarray(centres)[None]
    logits = -(offsets**2).sum(axis=-1) / (2 * CENTRE_SPREAD**2)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
