"""The true label of a face, according to each rule of FER+ and FER2013.

The FER+ majority rule (Barsoum et al., 2016, "Training Deep Networks for Facial Expression
Recognition with Crowd-Sourced Label Distribution"), as interpreted to match the published
counts (train 25,045, valid 3,191, test 3,137):

1. A vote count of exactly 1 becomes 0, in all ten columns.
2. The winner is the column with more than half of the remaining votes, counting `unknown` and `NF`
   in that sum.
3. Images without a winner, or won by `unknown` or `NF`, are left out of the majority
   labels. In the nine-class labels, those without a winner or won by `unknown` become
   `uncertain`, and only images won by `NF` are left out (2 in train, none in valid and test).

Label -1 means "left out".
"""

from __future__ import annotations

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


def majority_eight_labels(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Return FER+ majority labels over eight emotions.

    Args:
        votes: `(n, 10)` vote counts in the order of `FERPLUS_VOTE_COLUMNS`, or a table that
            has those columns.

    Returns:
        `(n,)` int labels into `FERPLUS_EIGHT`, -1 = left out.

    Raises:
        ValueError: As `vote_counts`.
    """
    return _labels(_majority_emotions(votes), FERPLUS_EIGHT)


def majority_seven_labels(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Return `majority_eight_labels` with contempt left out; labels into `FER2013_SEVEN`."""
    return _labels(_majority_emotions(votes), FER2013_SEVEN)


def nine_class_labels(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Return `majority_eight_labels` with `uncertain` for unknown and for no majority.

    Returns:
        `(n,)` int labels into `NINE_EMOTIONS`, -1 = not a face, left out.
    """
    winners = _majority_emotions(votes)
    winners[winners == NO_MAJORITY] = FERPLUS_TO_EMOTION["unknown"]
    return _labels(winners, NINE_EMOTIONS)


def agreement(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Return how much people agree: the winner's share of the votes, with single votes dropped.

    Returns:
        `(n,)` float in [0, 1]; 1 if all agree, 0 if no vote remains.
    """
    kept = _kept_votes(votes)
    total = kept.sum(axis=1)
    return np.divide(kept.max(axis=1), total, out=np.zeros(len(kept)), where=total > 0)


def fer2013_seven_labels(table: pd.DataFrame) -> np.ndarray:
    """Return the original FER2013 labels.

    Args:
        table: Columns `emotion` (FER2013's name, such as "angry") and `ambiguous_labels` (not
            empty if identical images were labelled differently).

    Returns:
        `(n,)` int labels into `FER2013_SEVEN`; -1 if the label is ambiguous.

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
    marked = table["ambiguous_labels"].astype(object).fillna("").astype(str).str.strip()
    return np.where(marked.to_numpy() == "", labels, LEFT_OUT)


def _majority_emotions(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Return the winner of each row: an emotion, "NF", or `NO_MAJORITY`."""
    kept = _kept_votes(votes)
    won = 2 * kept.max(axis=1) > kept.sum(axis=1)
    names = np.array([FERPLUS_TO_EMOTION.get(c, c) for c in FERPLUS_VOTE_COLUMNS], dtype=object)
    return np.where(won, names[kept.argmax(axis=1)], NO_MAJORITY)


def vote_counts(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Return FER+'s votes as counts, `(n, 10)` int64 in the order of `FERPLUS_VOTE_COLUMNS`.

    Args:
        votes: `(n, 10)` counts in that order, or a table that has those columns, in any.

    Raises:
        ValueError: If the shape is another, a column is missing, or a count is missing, below 0 or
            no whole number, as with shares of the votes.
    """
    if isinstance(votes, pd.DataFrame):
        _check_columns(votes, FERPLUS_VOTE_COLUMNS)
        votes = votes[list(FERPLUS_VOTE_COLUMNS)].to_numpy()
    given = np.asarray(votes)
    try:
        counts = given.astype(np.float64)
    except (TypeError, ValueError):  # words, or pandas' NA
        counts = np.full(given.shape, np.nan)
    is_right = counts.ndim == 2 and counts.shape[1] == len(FERPLUS_VOTE_COLUMNS)
    if not is_right or not ((counts >= 0) & (counts % 1 == 0)).all():
        raise ValueError(
            f"Expected votes as (n, {len(FERPLUS_VOTE_COLUMNS)}) counts >= 0 in the order "
            f"{list(FERPLUS_VOTE_COLUMNS)}, none missing. Received: shape {given.shape}"
            f"{', with others' if is_right else ''}."
        )
    return counts.astype(np.int64)


def _kept_votes(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Return the votes with single votes dropped, `(n, 10)`."""
    counts = vote_counts(votes)
    return np.where(counts == 1, 0, counts)


def _check_columns(table: pd.DataFrame, wanted: tuple[str, ...]) -> None:
    missing = [column for column in wanted if column not in table]
    if missing:
        raise ValueError(
            f"Expected a table with the columns {list(wanted)}. Received: {list(table)}, "
            f"without {missing}."
        )


def _labels(names: np.ndarray, emotions: EmotionSet) -> np.ndarray:
    """Return each name's index in the set, -1 for names outside it."""
    index = {name: label for label, name in enumerate(emotions)}
    return np.array([index.get(name, LEFT_OUT) for name in names], dtype=np.int64)
