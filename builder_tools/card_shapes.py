"""What a card's `metrics` and `training` may hold at the places that are read.

Cards come from anyone. All these places may be missing, and others may hold anything; but what is
read is of the kind that its readers (pages, lists, comparisons) expect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from builder_tools.fields import (
    EACH,
    check_shape,
    is_flag,
    is_list_of,
    is_nothing_or,
    is_number,
    is_table,
    is_text,
    is_whole_in,
)

AGREEMENT = ("mean_ccc", "valence_ccc", "arousal_ccc", "valence_rmse", "arousal_rmse",
             "valence_pearson", "arousal_pearson")  # fmt: skip
SHARES = ("accuracy", "macro_f1", "mean_recall")

_TEXT = (is_text, "a text")
_COUNT = (is_whole_in(0, 2**63), "a whole number, at least 0")
_NUMBER = (is_number, "a number")
_FIGURE = (is_nothing_or(is_number), "a number, or null")
_INTERVAL = (
    lambda ends: is_list_of(is_nothing_or(is_number))(ends) and len(ends) == 2,
    "two numbers",
)


def _figures(names: Iterable[str]) -> dict[str, Any]:
    return {name: _FIGURE for name in names} | {f"{name}_95": _INTERVAL for name in names}


_EVALUATION = {
    "description": _TEXT,
    "n": _COUNT,
    "ece": _FIGURE,
    **_figures(SHARES),
    "per_class_recall": {EACH: _FIGURE},
    "per_class_recall_95": {EACH: _INTERVAL},
    "support": {EACH: _COUNT},
}
_JUDGEMENT = _EVALUATION | {
    "without_duplicates": _EVALUATION,
    "balanced_decision": _EVALUATION,
    "sure": {"coverage": _FIGURE, "accuracy": _FIGURE},
}
_AFFECT = {
    "against_votes": _figures(AGREEMENT),
    "against_labels": _figures(AGREEMENT),
    "nearest_centre": {EACH: _EVALUATION},
    "direct": {EACH: _EVALUATION},
}
METRICS = {
    **{split: {EACH: _JUDGEMENT} for split in ("train", "valid", "test")},
    "slices": {EACH: [_EVALUATION | {"slice": _TEXT, "from": _NUMBER, "to": _NUMBER}]},
    "valence_arousal": {EACH: _AFFECT},
}

_RUN: dict[str, Any] = {
    "config": (is_table, "a table"),
    "teaching": (is_table, "a table"),
    "budget": {"epochs": _COUNT, "minutes": _NUMBER, "machine": _TEXT},
    "int8": {"deployed": (is_flag, "true or false")},
}
_RUN["begun_from"] = _RUN
_MEMBER = _RUN | {"name": _TEXT, "share": _NUMBER, "input_size": _COUNT}
TRAINING = _RUN | {
    "data": _TEXT,
    "data_sha256": _TEXT,
    "pictures": {EACH: _COUNT},
    "class_counts": {EACH: _NUMBER},
    "va_labels": (is_table, "a table"),
}


def check_contents(where: str, training: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Check what a card says of its model's training and results.

    Raises:
        ValueError: If a place that is read holds something else; names it.
    """
    check_shape(where, "metrics", metrics, METRICS)
    check_shape(where, "training", training, TRAINING)
    members = training.get("members", [])
    if not is_list_of(is_text)(members):  # the names alone, or networks with their records
        check_shape(where, "training.members", members, [_MEMBER])
