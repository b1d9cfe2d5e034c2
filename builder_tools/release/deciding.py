"""What is fitted on validation images after training: temperature, biases, doubt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from builder_tools.cards import ModelCard
from builder_tools.decisions import apply_decision, apply_temperature
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import (
    Protocol,
    balanced_decision,
    fit_temperature,
    protocol_of,
    risk_coverage,
)
from builder_tools.release.predicting import Predicted
from builder_tools.tasks import TASKS

DECISION_STRENGTHS = (0.25, 0.5, 0.75, 1.0)
FITTED_PROTOCOL = "ferplus-nine"
"""The protocol all three are fitted for, if people voted: the product's task."""

SURE_ACCURACY = 0.95
"""A prediction is doubtful below the probability above which this share are right."""


def fit_decisions(card: ModelCard, valid: Predicted) -> ModelCard:
    """Fit temperature, class-balanced decision and threshold of doubt to predictions.

    Args:
        card: The card, in which any of the three are replaced.
        valid: Predictions on validation images.

    Returns:
        The card with all three. A model without outputs for emotions has no class-balanced
        decision, as the nearest centre treats all emotions alike anyway.
    """
    plain = replace(card, temperature=1.0, decision=None, abstain_below=None)
    emotions, table = EmotionSet(card.emotions), valid.images.table
    protocol = protocol_of(valid.images, FITTED_PROTOCOL)
    raw = valid.readings(plain).probabilities
    kept = protocol.apply(table, raw, emotions)
    temperature = round(fit_temperature(kept.labels, kept.probabilities), 4)
    probabilities = apply_temperature(raw, temperature)
    kept = protocol.apply(table, probabilities, emotions)
    sure = risk_coverage(kept.labels, kept.probabilities).at_accuracy(SURE_ACCURACY)
    decision = None
    if TASKS[card.task].emotions:
        decision = _fit_balanced(valid, probabilities, emotions, protocol)
    return replace(
        plain,
        temperature=temperature,
        decision=decision,
        abstain_below=None if sure is None else round(sure[0], 4),
    )


def _fit_balanced(
    valid: Predicted, probabilities: np.ndarray, emotions: EmotionSet, protocol: Protocol
) -> dict[str, float]:
    """Fit the strength of the class-balanced decision: the mildest with about the best mean recall.

    Mean recall depends on a few images of rare classes, so strengths are often tied; the milder
    costs less accuracy. "About the best" means within one standard error of the difference
    (Breiman et al., 1984, Classification and Regression Trees, 3.4.3).

    How frequent each class is to the model follows from its own probabilities: for a model trained
    on people's votes, or taught by others, they differ from the counts of its training labels.
    """
    shares = probabilities.mean(axis=0)
    candidates = [
        balanced_decision(shares, emotions, strength=strength) for strength in DECISION_STRENGTHS
    ]
    hits = []
    for biases in candidates:
        decided = apply_decision(probabilities, emotions, biases)
        kept = protocol.apply(valid.images.table, decided, emotions)
        hits.append(kept.probabilities.argmax(axis=1) == kept.labels)
    chosen = mildest_of_the_best(np.array(hits), kept.labels)
    return {name: round(value, 4) for name, value in candidates[chosen].items()}


def mildest_of_the_best(hits: np.ndarray, labels: np.ndarray) -> int:
    """Return the first decision whose mean recall is within a standard error of the best.

    Args:
        hits: `(c, n)` bool, mildest decision first: whether each decision is right on each image.
        labels: `(n,)` int classes of the images.

    Returns:
        Its row. The standard error is that of the difference between two decisions on the same
        images, with classes sampled separately.
    """
    groups = [hits[:, labels == label].astype(float) for label in np.unique(labels)]
    best = np.argmax(np.mean([group.mean(axis=1) for group in groups], axis=0))
    lost = [group[best] - group for group in groups]
    loss = np.mean([each.mean(axis=1) for each in lost], axis=0)
    variance = np.sum([each.var(axis=1) / each.shape[1] for each in lost], axis=0)
    return int(np.argmax(loss <= np.sqrt(variance) / len(groups)))
