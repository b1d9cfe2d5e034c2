"""Evaluation of predictions under every protocol that both the model and the data set allow."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from builder_tools.cards import ModelCard
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import Judgement, judge, protocols_for
from builder_tools.release.predicting import Predicted


def judge_predicted(
    card: ModelCard, predicted: Predicted, *, duplicates: Collection[str] = ()
) -> dict[str, Judgement]:
    """Evaluate predictions under every protocol their classes and the images allow.

    Args:
        card: The card with the temperature and decision to use.
        predicted: Predictions for one split.
        duplicates: Names of images that are also in train, excluded from a second evaluation.

    Returns:
        Protocol name -> judgement.

    Raises:
        ValueError: If the model lacks classes of the data.
    """
    emotions, decision = EmotionSet(card.emotions), card.decision
    probabilities = predicted.readings(card).probabilities
    return {
        protocol.name: judge(
            protocol,
            table,
            probabilities,
            emotions,
            duplicates=duplicates,
            biases=decision if set(protocol.emotions) <= set(decision or ()) else None,
            abstain_below=card.abstain_below,
        )
        for protocol, table in protocols_for(predicted.images, emotions)
    }


def metrics_of(judgements: dict[str, Judgement]) -> dict[str, Any]:
    """Return judgements in the form in which a card stores them under a split's name."""
    return {name: judgement.to_dict() for name, judgement in judgements.items()}
