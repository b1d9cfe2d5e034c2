"""Evaluation protocols: which pictures count, and what their true label is.

The FER+ majority rule (Barsoum et al., 2016, "Training Deep Networks for Facial Expression
Recognition with Crowd-Sourced Label Distribution"), in the reading that gives the published
counts (train 25,045, valid 3,191, test 3,137):

1. A vote count of exactly 1 becomes 0, in all ten columns.
2. The winner is the column with more than half of the votes that remain, `unknown` and `NF`
   included in that sum.
3. Pictures without a winner, or won by `unknown` or `NF`, are left out of the majority
   protocols. In the nine-class protocol no winner and `unknown` become `uncertain`, and only
   pictures won by `NF` are left out (2 in train, none in valid and test).

Label -1 means "left out".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from builder_tools.emotions import (
    FER2013_SEVEN,
    FER2013_TO_EMOTION,
    FERPLUS_EIGHT,
    FERPLUS_TO_EMOTION,
    FERPLUS_VOTE_COLUMNS,
    NINE_EMOTIONS,
    EmotionSet,
)

LEFT_OUT = -1
NO_MAJORITY = "no majority"


@dataclass(frozen=True)
class Protocol:
    """A way to judge a model.

    Args:
        name: What it is called in cards and on the command line.
        emotions: The classes it distinguishes, in label order.
        labels: Table (or votes) -> `(n,)` int labels into `emotions`, -1 = left out.
        description: One sentence for reports.
    """

    name: str
    emotions: EmotionSet
    labels: Callable[[pd.DataFrame], np.ndarray]
    description: str


def majority_eight_labels(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Gives FER+ majority labels over eight emotions.

    Args:
        votes: `(n, 10)` vote counts in the order of `FERPLUS_VOTE_COLUMNS`, or a table that
            has those columns.

    Returns:
        `(n,)` int labels into `FERPLUS_EIGHT`, -1 = left out.
    """
    return _labels(_majority_emotions(votes), FERPLUS_EIGHT)


def majority_seven_labels(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """As `majority_eight_labels` with contempt left out; labels into `FER2013_SEVEN`."""
    return _labels(_majority_emotions(votes), FER2013_SEVEN)


def nine_class_labels(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """As `majority_eight_labels` with `uncertain` for unknown and for no majority.

    Returns:
        `(n,)` int labels into `NINE_EMOTIONS`, -1 = not a face, left out.
    """
    winners = _majority_emotions(votes)
    winners[winners == NO_MAJORITY] = FERPLUS_TO_EMOTION["unknown"]
    return _labels(winners, NINE_EMOTIONS)


def fer2013_seven_labels(table: pd.DataFrame) -> np.ndarray:
    """Gives the original FER2013 labels.

    Args:
        table: Columns `emotion` (FER2013's name, such as "angry") and `ambiguous_labels` (not
            empty where identical pictures were labelled differently).

    Returns:
        `(n,)` int labels into `FER2013_SEVEN`; -1 where the label is ambiguous.

    Raises:
        ValueError: If a column is missing or an emotion is not one of FER2013's.
    """
    _check_columns(table, ("emotion", "ambiguous_labels"))
    unknown = sorted(set(table["emotion"]) - set(FER2013_TO_EMOTION), key=str)
    if unknown:
        raise ValueError(
            f"Expected FER2013 labels among {list(FER2013_TO_EMOTION)}. Received: {unknown}."
        )
    labels = _labels(table["emotion"].map(FER2013_TO_EMOTION).to_numpy(), FER2013_SEVEN)
    marked = table["ambiguous_labels"].fillna("").astype(str).str.strip()
    return np.where(marked.to_numpy() == "", labels, LEFT_OUT)


def restrict(probabilities: np.ndarray, emotions: EmotionSet, wanted: EmotionSet) -> np.ndarray:
    """Gives the probabilities among some of the classes, picked by name.

    Args:
        probabilities: `(n, len(emotions))`.
        emotions: Their class order (the model card's).
        wanted: The classes to keep, in the order to give them.

    Returns:
        `(n, len(wanted))` float64, rows sum to 1 (equal shares where all were zero).

    Raises:
        ValueError: If the model lacks one of the wanted classes.
    """
    missing = [name for name in wanted if name not in emotions]
    if missing:
        raise ValueError(
            f"Expected a model with the classes {list(wanted)}. Received: {list(emotions)}, "
            f"without {missing}. Choose a protocol with fewer classes."
        )
    picked = np.asarray(probabilities, np.float64)[:, [emotions.label(name) for name in wanted]]
    total = picked.sum(axis=1, keepdims=True)
    share = np.full_like(picked, 1 / len(wanted))
    return np.divide(picked, total, out=share, where=total > 0)


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "ferplus-majority-8",
            FERPLUS_EIGHT,
            majority_eight_labels,
            "FER+ majority: single votes dropped, more than half of the rest, eight emotions",
        ),
        Protocol(
            "ferplus-nine",
            NINE_EMOTIONS,
            nine_class_labels,
            "FER+ with unknown and no majority as uncertain, nine classes",
        ),
        Protocol(
            "ferplus-majority-7",
            FER2013_SEVEN,
            majority_seven_labels,
            "FER+ majority without contempt, seven emotions",
        ),
        Protocol(
            "fer2013-7",
            FER2013_SEVEN,
            fer2013_seven_labels,
            "FER2013's original labels, pictures with conflicting twins left out",
        ),
    )
}


def _majority_emotions(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Gives the winner of each row: an emotion, "NF", or `NO_MAJORITY`."""
    counts = _vote_counts(votes)
    kept = np.where(counts == 1, 0, counts)
    won = 2 * kept.max(axis=1) > kept.sum(axis=1)
    names = np.array([FERPLUS_TO_EMOTION.get(c, c) for c in FERPLUS_VOTE_COLUMNS], dtype=object)
    return np.where(won, names[kept.argmax(axis=1)], NO_MAJORITY)


def _vote_counts(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Gives the votes as `(n, 10)` whole numbers."""
    if isinstance(votes, pd.DataFrame):
        _check_columns(votes, FERPLUS_VOTE_COLUMNS)
        votes = votes[list(FERPLUS_VOTE_COLUMNS)].to_numpy()
    counts = np.asarray(votes)
    if counts.ndim != 2 or counts.shape[1] != len(FERPLUS_VOTE_COLUMNS) or (counts < 0).any():
        raise ValueError(
            f"Expected votes as (n, {len(FERPLUS_VOTE_COLUMNS)}) counts >= 0 in the order "
            f"{list(FERPLUS_VOTE_COLUMNS)}. Received: shape {counts.shape}."
        )
    return counts


def _check_columns(table: pd.DataFrame, wanted: tuple[str, ...]) -> None:
    missing = [column for column in wanted if column not in table]
    if missing:
        raise ValueError(
            f"Expected a table with the columns {list(wanted)}. Received: {list(table)}, "
            f"without {missing}."
        )


def _labels(names: np.ndarray, emotions: EmotionSet) -> np.ndarray:
    """Gives each name's index in the set, -1 for names outside it."""
    index = {name: label for label, name in enumerate(emotions)}
    return np.array([index.get(name, LEFT_OUT) for name in names], dtype=np.int64)
