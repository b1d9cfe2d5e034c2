"""Figures from true labels and probabilities, with bootstrap intervals.

The recall of a class is the share of its images that are found; mean recall averages over the
classes that occur, and macro-F1 averages F1 over the classes that occur or are predicted. These
and accuracy follow from the confusion matrix alone, and drawing n images with replacement draws
that matrix from a multinomial distribution. So the bootstrap resamples the matrix, which is
equivalent and takes milliseconds. If it is known who is in each image, it draws people instead,
each with all their images (`bootstrap`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from builder_tools.emotions import EmotionSet
from builder_tools.evaluation.bootstrap import (
    DECIMALS,
    Figure,
    group_numbers,
    redraw,
    redraw_rows,
)
from builder_tools.evaluation.checking import labels_and_probabilities
from builder_tools.evaluation.confusion import mean_figures, ratio, recalls
from builder_tools.fields import check_range

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Evaluation:
    """How well probabilities agree with true labels.

    Args:
        emotions: The classes, in label order.
        n: Number of images evaluated.
        accuracy: Share of images whose most probable emotion is the true one.
        macro_f1: Mean F1 over classes.
        mean_recall: Mean recall over classes that occur.
        per_class_recall: Emotion -> recall.
        support: Emotion -> number of images.
        ece: Expected calibration error, 15 equal bins of the highest probability (Guo et al.,
            2017, "On Calibration of Modern Neural Networks").
        confusion: `(k, k)` int, rows are true labels, columns predictions.
        people: Number of people drawn for the intervals; None if images were drawn.
    """

    emotions: EmotionSet
    n: int
    accuracy: Figure
    macro_f1: Figure
    mean_recall: Figure
    per_class_recall: Mapping[str, Figure]
    support: Mapping[str, int]
    ece: float
    confusion: np.ndarray = field(compare=False, repr=False)
    people: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation as JSON values rounded to four decimals, for model cards."""
        found: dict[str, Any] = {"n": self.n}
        if self.people is not None:
            found["people"] = self.people
        for name in ("accuracy", "macro_f1", "mean_recall"):
            found |= getattr(self, name).entries(name)
        recall = self.per_class_recall
        return found | {
            "ece": round(self.ece, DECIMALS),
            "per_class_recall": {name: f.rounded for name, f in recall.items()},
            "per_class_recall_95": {name: f.interval for name, f in recall.items()},
            "support": dict(self.support),
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    y_true: np.ndarray,
    probabilities: np.ndarray,
    emotions: EmotionSet,
    *,
    groups: Iterable[Hashable] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Evaluate probabilities against true labels.

    Args:
        y_true: `(n,)` int labels into `emotions`, n >= 1.
        probabilities: `(n, k)` in the order of `emotions`; the prediction is the most probable.
        emotions: The k classes.
        groups: Who is in each of the n images ("" or a missing value if unknown, taken for
            somebody else each time); the bootstrap then draws people. None draws images. What only
            one of them tells of has no interval.
        seed: Seed of the bootstrap; the same input and seed give the same figures.

    Raises:
        ValueError: If shapes or lengths do not match, a label is none of the classes, or a row
            holds no probabilities: finite, at least 0, with a sum of 1 to within 0.05.
    """
    k = len(emotions)
    y_true, probabilities = labels_and_probabilities(y_true, probabilities, k)
    cells = y_true * k + probabilities.argmax(axis=1)
    confusion = np.bincount(cells, minlength=k * k).reshape(k, k)
    people, owners = None, confusion.sum(axis=1)
    if groups is None:
        drawn = redraw(confusion, seed)
    else:
        places = group_numbers(groups, len(y_true))
        people = int(places.max()) + 1
        tables = np.bincount(places * k * k + cells, minlength=people * k * k)
        drawn = redraw_rows(tables.reshape(people, k * k), seed).reshape(-1, k, k)
        owners = tables.reshape(people, k, k).any(axis=2).sum(axis=0)
    units = len(y_true) if people is None else people
    means, drawn_means = mean_figures(confusion), mean_figures(drawn)
    parts = owners * (units / owners.sum())  # of units, by class: nobody counts for more than one
    return Evaluation(
        emotions=emotions,
        n=len(y_true),
        **{
            name: Figure.of_share(
                value, drawn_means[name], units, () if name == "accuracy" else parts
            )
            for name, value in means.items()
        },
        per_class_recall={
            name: Figure.of_share(*found)
            for name, *found in zip(
                emotions, recalls(confusion), recalls(drawn).T, owners, strict=True
            )
        },
        support=dict(zip(emotions, confusion.sum(axis=1).tolist(), strict=True)),
        ece=expected_calibration_error(y_true, probabilities),
        confusion=confusion,
        people=people,
    )


def reliability_bins(
    y_true: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare the confidence of predictions with how often they are right.

    Returns:
        Three `(bins,)` arrays over equal bins (low, high] of the highest probability: number of
        images, mean highest probability, share of right predictions (the latter two are NaN in
        empty bins).

    Raises:
        ValueError: As in `evaluate`.
    """
    y_true, probabilities = labels_and_probabilities(y_true, probabilities)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y_true
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, weights=w, minlength=bins) for w in (sure, right))
    mean_sure, share_right = (ratio(total, count) for total in sums)
    return count, mean_sure, share_right


def expected_calibration_error(
    y_true: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS
) -> float:
    """Return the mean gap between confidence and accuracy, 0 (calibrated) ... 1.

    Raises:
        ValueError: As in `evaluate`.
    """
    count, sure, right = reliability_bins(y_true, probabilities, bins)
    return float(np.nansum(count * np.abs(sure - right)) / count.sum())


def balanced_decision(
    shares: np.ndarray | Mapping[Hashable, float], emotions: EmotionSet, *, strength: float = 1.0
) -> dict[str, float]:
    """Return the biases of a decision that treats all classes equally.

    Logit adjustment after training (Menon et al., 2021, "Long-tail learning via logit
    adjustment"): minus `strength` times the log of each class's frequency as assumed by the model,
    shifted so that the most frequent class has 0.

    Args:
        shares: `(k,)` counts or shares of the classes, in training or in the model's predictions;
            or a table of them by class or label, such as pandas' `value_counts()`, in any order.
        emotions: The classes; each must occur.
        strength: 0 leaves the decision unchanged, 1 divides by the shares; not below 0.

    Raises:
        ValueError: If there is not one finite share for each class, a table has another class, a
            class never occurs (names it), or the strength is not a number from 0.
    """
    check_range(0, strength=strength)
    if hasattr(shares, "keys"):
        shares = _in_label_order(list(shares.items()), emotions)
    shares = np.asarray(shares, np.float64)
    if shares.shape != (len(emotions),) or not np.isfinite(shares).all():
        raise ValueError(
            f"Expected a finite share for each of {list(emotions)}. Received: {shares.tolist()}."
        )
    absent = [name for name, share in zip(emotions, shares, strict=True) if not share > 0]
    if absent:
        raise ValueError(f"Expected every class to occur. Received: no {absent}.")
    biases = strength * np.log(shares.max() / shares)
    return {name: float(bias) for name, bias in zip(emotions, biases, strict=True)}


def _in_label_order(given: list[tuple[Hashable, float]], emotions: EmotionSet) -> list[float]:
    """Return the shares of a table by class or label; 0 for those that are not in it."""
    shares = dict(given)
    if twice := [key for key, count in Counter(key for key, _ in given).items() if count > 1]:
        raise ValueError(f"Expected shares of each class once. Received more than once: {twice}.")
    keys = list(emotions) if set(shares) & set(emotions) else list(range(len(emotions)))
    if unknown := [key for key in shares if key not in keys]:
        raise ValueError(f"Expected shares of {list(emotions)}, or by label. Received: {unknown}.")
    return [shares.get(key, 0.0) for key in keys]
