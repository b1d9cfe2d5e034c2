"""The models as rows of a comparison table, from their cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from builder_tools.cards import ModelCard
from builder_tools.web.texts import Words

PROTOCOLS = ("ferplus-majority-8", "ferplus-nine")
"""Protocols of the table: the one that papers use, and the one with doubt as a class."""


@dataclass(frozen=True)
class Figure:
    """A measured share with its 95 % interval; None if it was not measured."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ModelRow:
    """A model as the page shows it.

    Args:
        name: Its name.
        card: Its card.
        accuracy: Accuracy on test by each of the `PROTOCOLS`.
        recall: Mean recall over the classes of the first protocol, by the balanced decision.
        recalls: Recall by emotion in the second protocol, or in the first if there is no second;
            None for emotions without images.
    """

    name: str
    card: ModelCard
    accuracy: tuple[Figure, ...]
    recall: Figure
    recalls: Mapping[str, float | None]


def model_rows(models: Mapping[str, ModelCard], words: Words) -> list[ModelRow]:
    """Return a row per model, in the given order.

    Args:
        models: Cards by name.
        words: Texts of the page's language, in which emotions are named.
    """
    rows = []
    for name, card in models.items():
        test = card.metrics.get("test", {})
        found = [test.get(protocol, {}) for protocol in PROTOCOLS]
        recalls = next((one.get("per_class_recall", {}) for one in reversed(found) if one), {})
        row = ModelRow(
            name=name,
            card=card,
            accuracy=tuple(_figure(one, "accuracy") for one in found),
            recall=_figure(found[0].get("balanced_decision") or {}, "mean_recall"),
            recalls={words.emotion(emotion): value for emotion, value in recalls.items()},
        )
        rows.append(row)
    return rows


def _figure(measured: Mapping, key: str) -> Figure:
    low, high = measured.get(f"{key}_95", (None, None))
    return Figure(measured.get(key), low, high)
