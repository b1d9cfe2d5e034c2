"""What a model must be able to do here, and which one is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from builder_tools.classifier import EmotionClassifier
from builder_tools.emotions import EmotionSet
from builder_tools.fields import is_number, is_table


class EmotionModel(Protocol):
    """Anything that gives emotion probabilities for faces.

    Attributes:
        emotions: The classes, in the order of the probabilities.

    One that also has `valence_arousal(probabilities) -> (n, 2)` gives faces their place on the
    plane (NaN for none). One that has `read(faces) -> results.Readings` gives probabilities and
    places at once and is asked that instead.
    """

    emotions: EmotionSet

    def predict(self, faces: Sequence[np.ndarray]) -> np.ndarray:
        """Return `(n, num_classes)` for a list of `(H, W, 3)` uint8 RGB faces."""
        ...


def chosen_model(given: EmotionModel | None, decision: str | None) -> EmotionModel:
    """Return the model that was given, or else the default one, which decides as asked.

    Raises:
        ValueError: If a decision is asked of a model that was given.
    """
    if given is None:
        return EmotionClassifier(decision=decision or "natural")
    if decision is not None:
        raise ValueError(
            f"Expected decision only for the default model. Received: decision={decision!r} and "
            "a model_obj. Give EmotionClassifier(..., decision=...) instead."
        )
    return given


def frequent_emotion(model: EmotionModel) -> str:
    """Return the most frequent class of the training data by the card, else the first class."""
    card = getattr(model, "card", None)
    counts = card.training.get("class_counts") if card else None
    known = {name: counts.get(name) for name in model.emotions} if is_table(counts) else {}
    known = {name: count for name, count in known.items() if is_number(count)}
    return max(known, key=known.get) if known else next(iter(model.emotions))
