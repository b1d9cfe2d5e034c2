"""The evaluation of a model under a protocol, with and without images that are also in train.

Reports are formatted from the dictionaries stored in cards, so a new evaluation and a shipped card
give the same text if they agree.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from builder_tools.decisions import apply_decision
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation.calibration import risk_coverage
from builder_tools.evaluation.metrics import Evaluation
from builder_tools.evaluation.protocols import Protocol

WITHOUT_DUPLICATES = "without_duplicates"
BALANCED = "balanced_decision"
SURE = "sure"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judgement:
    """The evaluation of a model under one protocol.

    Args:
        protocol: The protocol.
        official: Evaluation on all images that the protocol keeps.
        without_duplicates: The same without those named as duplicates; None if none were
            named, or every image is.
        balanced: `official` with the card's class-balanced decision; None if none was given.
        sure: Coverage and accuracy of the predictions that are not doubtful (see `judge`); None
            if no threshold was given, or the protocol has other classes than the model.
    """

    protocol: Protocol
    official: Evaluation
    without_duplicates: Evaluation | None = None
    balanced: Evaluation | None = None
    sure: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the judgement as JSON values, for model cards."""
        found = {"description": self.protocol.description} | self.official.to_dict()
        extra = {WITHOUT_DUPLICATES: self.without_duplicates, BALANCED: self.balanced}
        found |= {key: part.to_dict() for key, part in extra.items() if part is not None}
        if self.sure is not None:
            coverage, accuracy = (None if math.isnan(v) else round(v, 4) for v in self.sure)
            found[SURE] = {"coverage": coverage, "accuracy": accuracy}
        return found


def judge(
    protocol: Protocol,
    table: pd.DataFrame,
    probabilities: np.ndarray,
    emotions: EmotionSet,
    *,
    duplicates: Collection[str] = (),
    biases: Mapping[str, float] | None = None,
    abstain_below: float | None = None,
) -> Judgement:
    """Evaluate a model's probabilities under a protocol.

    Args:
        protocol: Defines which images count and what their labels are.
        table: One row per image, with the columns that the protocol reads and `name`.
        probabilities: `(len(table), k)` in the order of `emotions`.
        emotions: The model's classes (those of its card).
        duplicates: Names of images to leave out of `without_duplicates`.
        biases: The card's class-balanced decision, for `balanced`.
        abstain_below: The card's threshold of doubt, for `sure`; it applies to probabilities over
            all the model's classes, so only protocols with the same classes use it.
    """
    kept = protocol.apply(table, probabilities, emotions)
    fresh = ~table["name"].isin(set(duplicates)).to_numpy()[kept.mask]
    if len(fresh) and not fresh.any():
        logger.warning(
            "%s: all %d images are also in train; the figures tell nothing of other images",
            protocol.name,
            len(fresh),
        )
    balanced = sure = None
    if biases:
        decided = apply_decision(kept.probabilities, kept.emotions, biases)
        balanced = replace(kept, probabilities=decided).evaluate()
    if abstain_below is not None and set(protocol.emotions) == set(emotions):
        sure = risk_coverage(kept.labels, kept.probabilities).at_threshold(abstain_below)
    return Judgement(
        protocol=protocol,
        official=kept.evaluate(),
        without_duplicates=kept.evaluate(fresh) if duplicates and fresh.any() else None,
        balanced=balanced,
        sure=sure,
    )


def format_report(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as text for a terminal.

    Args:
        metrics: Protocol name -> `Judgement.to_dict()`, as in a card's `metrics`.
    """
    parts = []
    for name, found in metrics.items():
        lines = [f"{name}: {found.get('description', '')}".rstrip(": "), *format_figures(found)]
        for key in (WITHOUT_DUPLICATES, BALANCED):
            if key in found:
                lines += [f"  {key.replace('_', ' ')}", *format_figures(found[key])]
        if SURE in found:
            lines += ["  predictions that are not doubtful"]
            lines += [
                f"    {share:<28}{_number(found[SURE][share])}"
                for share in ("coverage", "accuracy")
            ]
        parts.append("\n".join([*lines, "  recall by emotion", *format_recall(found)]))
    return "\n\n".join(parts)


def format_figures(found: Mapping[str, Any]) -> list[str]:
    """Return lines with the number of images, accuracy, macro-F1, mean recall and calibration."""
    lines = [f"    {'images':<28}{found['n']:>7}"]
    if "people" in found:
        who = f"{found['people']} people" if found["people"] > 1 else "one person: none"
        lines.append(f"    intervals over {found['n']} faces of {who}")
    for key in ("accuracy", "macro_f1", "mean_recall"):
        lines.append(
            f"    {key.replace('_', ' '):<28}{format_share(found[key], found[f'{key}_95'])}"
        )
    return [*lines, f"    {'calibration error':<28}{_number(found['ece'])}"]


def format_recall(found: Mapping[str, Any]) -> list[str]:
    """Return one line per class, with its number of images and recall."""
    return [
        f"    {name:<12}{found['support'][name]:>7} images"
        f"{format_share(value, found['per_class_recall_95'][name])}"
        for name, value in found["per_class_recall"].items()
    ]


def format_share(value: float | None, interval: list[float | None]) -> str:
    """Return a figure with its interval."""
    return f"{_number(value)}  [{_number(interval[0])}, {_number(interval[1])}]"


def _number(value: float | None) -> str:
    return f"{'-':>7}" if value is None else f"{value:7.4f}"
