"""A model judged under a protocol, beside the same without pictures that stand in train.

Reports are printed from the dictionaries that cards hold, so a fresh evaluation and a shipped
card print the same text when they agree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from builder_tools.decisions import apply_decision
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation.metrics import Evaluation, evaluate
from builder_tools.evaluation.protocols import LEFT_OUT, Protocol, restrict

WITHOUT_DUPLICATES = "without_duplicates"
BALANCED = "balanced_decision"


@dataclass(frozen=True)
class Judgement:
    """A model judged under one protocol.

    Args:
        protocol: Which.
        official: All pictures that the protocol keeps.
        without_duplicates: Without those named as duplicates; None where none were named.
        balanced: `official` with the card's class-balanced decision; None where none was given.
    """

    protocol: Protocol
    official: Evaluation
    without_duplicates: Evaluation | None = None
    balanced: Evaluation | None = None

    def to_dict(self) -> dict[str, Any]:
        """Gives the judgement as JSON values, for model cards."""
        found = {"description": self.protocol.description} | self.official.to_dict()
        extra = {WITHOUT_DUPLICATES: self.without_duplicates, BALANCED: self.balanced}
        return found | {key: part.to_dict() for key, part in extra.items() if part is not None}


def judge(
    protocol: Protocol,
    table: pd.DataFrame,
    probabilities: np.ndarray,
    emotions: EmotionSet,
    *,
    duplicates: Collection[str] = (),
    biases: Mapping[str, float] | None = None,
) -> Judgement:
    """Judges a model's probabilities under a protocol.

    Args:
        protocol: Which pictures count and what their label is.
        table: One row a picture; the columns the protocol reads, and `name`.
        probabilities: `(len(table), k)` in the order of `emotions`.
        emotions: The model's classes (its card's).
        duplicates: Names of pictures to leave out in the second figure.
        biases: The card's class-balanced decision, for the third figure.
    """
    labels = protocol.labels(table)
    kept = labels != LEFT_OUT
    inside = restrict(probabilities, emotions, protocol.emotions)

    def figures(rows: np.ndarray, found: np.ndarray) -> Evaluation:
        return evaluate(labels[rows], found[rows], protocol.emotions)

    fresh = kept & ~table["name"].isin(set(duplicates)).to_numpy()
    return Judgement(
        protocol=protocol,
        official=figures(kept, inside),
        without_duplicates=figures(fresh, inside) if duplicates else None,
        balanced=figures(kept, apply_decision(inside, protocol.emotions, biases))
        if biases
        else None,
    )


def format_report(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Gives the figures as text for a terminal.

    Args:
        metrics: Protocol name -> `Judgement.to_dict()`, as in a card's `metrics`.
    """
    return "\n\n".join(_format_protocol(name, found) for name, found in metrics.items())


def _format_protocol(name: str, found: Mapping[str, Any]) -> str:
    lines = [f"{name}: {found.get('description', '')}".rstrip(": "), *_format_figures(found)]
    for key in (WITHOUT_DUPLICATES, BALANCED):
        if key in found:
            lines += [f"  {key.replace('_', ' ')}", *_format_figures(found[key])]
    return "\n".join([*lines, "  recall by emotion", *_format_recall(found)])


def _format_figures(found: Mapping[str, Any]) -> list[str]:
    lines = [f"    {'pictures':<28}{found['n']:>7}"]
    for key in ("accuracy", "macro_f1", "mean_recall"):
        lines.append(f"    {key.replace('_', ' '):<28}{_share(found[key], found[f'{key}_95'])}")
    return [*lines, f"    {'calibration error':<28}{_number(found['ece'])}"]


def _format_recall(found: Mapping[str, Any]) -> list[str]:
    return [
        f"    {name:<12}{found['support'][name]:>7} pictures"
        f"{_share(value, found['per_class_recall_95'][name])}"
        for name, value in found["per_class_recall"].items()
    ]


def _share(value: float | None, interval: list[float | None]) -> str:
    return f"{_number(value)}  [{_number(interval[0])}, {_number(interval[1])}]"


def _number(value: float | None) -> str:
    return f"{'-':>7}" if value is None else f"{value:7.4f}"
