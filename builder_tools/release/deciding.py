"""What is fitted on validation images after training: temperature, biases, doubt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from builder_tools.cards import ModelCard, write_card
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.table import ImageTable
from builder_tools.decisions import apply_decision, apply_temperature
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import (
    PROTOCOLS,
    balanced_decision,
    evaluate,
    fit_temperature,
    restrict,
    risk_coverage,
)
from builder_tools.evaluation.protocols import LEFT_OUT
from builder_tools.release.judging import predict_table

DECISION_STRENGTHS = (0.25, 0.5, 0.75, 1.0)
DECISION_PROTOCOL = "ferplus-majority-7"
"""What the class-balanced decision is fitted for, where people voted."""

CERTAINTY_PROTOCOL = "ferplus-nine"
"""What temperature and doubt are fitted for, where people voted: the product's task."""

SURE_ACCURACY = 0.95
"""A prediction is doubtful under the certainty above which so many are right."""


def fit_decisions(folder: str | Path, table: ImageTable) -> ModelCard:
    """Fit temperature, class-balanced decision and doubt on valid, and write them to the card.

    Args:
        folder: A model folder; what its card held of the three is replaced.
        table: The data set, with a valid split.

    Returns:
        The card as written. A model of valence and arousal alone has no class-balanced decision:
        the nearest centre treats all emotions alike as it is.
    """
    plain = replace(ModelCard.read(folder), temperature=1.0, decision=None, abstain_below=None)
    write_card(folder, plain)
    valid = table.split("valid")
    classifier = EmotionClassifier(folder)
    raw = predict_table(classifier, valid)
    truth, judged = _labels(valid, CERTAINTY_PROTOCOL)
    kept, inside = truth != LEFT_OUT, restrict(raw, classifier.emotions, judged)
    temperature = round(fit_temperature(truth[kept], inside[kept]), 4)
    probabilities = apply_temperature(raw, temperature)
    inside = restrict(probabilities, classifier.emotions, judged)
    sure = risk_coverage(truth[kept], inside[kept]).at_accuracy(SURE_ACCURACY)
    card = replace(
        plain,
        temperature=temperature,
        decision=None if plain.task == "va" else _fit_balanced(probabilities, table),
        abstain_below=None if sure is None else round(sure[0], 4),
    )
    write_card(folder, card)
    return card


def _fit_balanced(probabilities: np.ndarray, table: ImageTable) -> dict[str, float]:
    """Fit the strength of the class-balanced decision: best mean recall on valid."""
    truth, judged = _labels(table.split("valid"), DECISION_PROTOCOL)
    kept = truth != LEFT_OUT
    labels = table.split("train").labels

    def mean_recall(strength: float) -> float:
        biases = balanced_decision(labels, table.emotions, strength=strength)
        found = apply_decision(probabilities, table.emotions, biases)
        found = restrict(found, table.emotions, judged)
        return evaluate(truth[kept], found[kept], judged).mean_recall.value

    best = max(DECISION_STRENGTHS, key=mean_recall)
    biases = balanced_decision(labels, table.emotions, strength=best)
    return {name: round(value, 4) for name, value in biases.items()}


def _labels(valid: ImageTable, protocol: str) -> tuple[np.ndarray, EmotionSet]:
    """Return the labels to fit to: those of a protocol where people voted, else their own."""
    if valid.votes is None:
        return valid.labels, valid.emotions
    chosen = PROTOCOLS[protocol]
    return chosen.labels(valid.table), chosen.emotions
