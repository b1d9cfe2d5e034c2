"""Valence and arousal in the study: labels as targets, centres of the emotions, metrics.

Nobody has rated the valence and arousal of the study's images. Labels are computed (see
`valence_arousal`); if people voted on emotions, the anchors weighted by their votes are a
reference that does not depend on the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from builder_tools.cards import ModelCard, file_sha256
from builder_tools.datasets.table import ImageTable
from builder_tools.decisions import nearness
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import evaluate_valence_arousal, protocols_for
from builder_tools.evaluation.judgement import format_share
from builder_tools.release.predicting import Predicted
from builder_tools.tasks import TASKS
from builder_tools.valence_arousal import (
    labels_by_name,
    read_labels,
    vote_weighted_anchors,
)

VALENCE_AROUSAL = "valence_arousal"
"""The key of these metrics in a card: split -> `VOTES`, `LABELS`, ..."""

VOTES, LABELS = "against_votes", "against_labels"
DIRECT, NEAREST = "direct", "nearest_centre"
JUDGED_SPLITS = ("valid", "test")
ACCURACY_FIGURES = ("n", "accuracy", "accuracy_95", "macro_f1", "macro_f1_95")


def read_label_files(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Read one or more csv files of labels that together label a data set.

    Raises:
        FileNotFoundError, ValueError: As in `read_labels`; also if an image is in two files.
    """
    rows = pd.concat([read_labels(path) for path in paths], ignore_index=True)
    twice = rows["name"][rows["name"].duplicated()]
    if len(twice):
        raise ValueError(
            f"Expected each image in one csv of {[str(path) for path in paths]}. Received "
            f"{len(twice)} in two, the first is {twice.iloc[0]!r}."
        )
    return rows


def labels_of(card: ModelCard, paths: Sequence[str | Path]) -> pd.DataFrame | None:
    """Return the labels in files to judge a model against; None without files.

    Raises:
        FileNotFoundError, ValueError: As in `read_label_files`; also if the model has no outputs
            for valence and arousal.
    """
    if paths and not TASKS[card.task].affect:
        raise ValueError(
            "Expected --va-labels with a model of valence and arousal. Received: "
            f"{card.name!r}, whose task is {card.task!r}."
        )
    return read_label_files(paths) if paths else None


def labels_record(paths: Sequence[str | Path]) -> dict[str, str]:
    """Return what a card says about its labels: file name -> hash."""
    return {Path(path).name: file_sha256(path) for path in paths}


def places_of(labels: pd.DataFrame, table: ImageTable, split: str) -> np.ndarray:
    """Return the labels of a split for training, `(n, 2)` float32.

    Raises:
        ValueError: If an image has none.
    """
    try:
        return labels_by_name(labels, table.split(split))
    except ValueError as error:
        raise ValueError(
            f"Expected labels of train and valid. In {split}: {error} Try `builder-tools label-va "
            "--split all`, or fit on train with --save, label valid with --labeller, and name "
            "both files."
        ) from None


def class_centres(
    places: np.ndarray, labels: np.ndarray, emotions: EmotionSet
) -> dict[str, list[float]]:
    """Return each emotion's mean valence and arousal, or its anchor if it has no images.

    Args:
        places: `(n, 2)`.
        labels: `(n,)` int.
        emotions: The classes, in label order.

    Raises:
        ValueError: If an emotion has neither images nor an anchor.
    """
    found = {}
    for label, (name, anchor) in enumerate(zip(emotions, emotions.anchors, strict=True)):
        own = places[labels == label]
        centre = own.mean(axis=0, dtype=np.float64) if len(own) else anchor
        if np.isnan(centre).any():
            raise ValueError(
                f"Expected training images of {name!r}, which has no anchor. Received: none."
            )
        found[name] = [round(float(value), 5) for value in centre]
    return found


def judge_affect(
    card: ModelCard, predicted: Predicted, *, labels: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Evaluate the valence and arousal of predictions.

    Args:
        card: Card of a model of any task; one of emotions alone is evaluated by expected anchors.
        predicted: Predictions for one split.
        labels: The labels it was trained on, for metrics against them if they cover the split.

    Returns:
        `against_votes` and `against_labels` (`RegressionEvaluation.to_dict()`, with 95 %
        intervals), if available; and, by protocol, the accuracy of the `nearest_centre` to a
        face's place and, if the model has outputs for emotions, `direct` from these.
    """
    images, readings, emotions = (
        predicted.images,
        predicted.readings(card),
        EmotionSet(card.emotions),
    )
    references = {}
    if images.votes is not None:
        references[VOTES] = vote_weighted_anchors(images.votes)
    if labels is not None and set(images.table["name"]) <= set(labels["name"]):
        references[LABELS] = labels_by_name(labels, images)
    found: dict[str, Any] = {
        name: evaluate_valence_arousal(reference, readings.places, groups=images.persons).to_dict()
        for name, reference in references.items()
    }
    centres = emotions.anchors
    if card.centres is not None:
        centres = np.array([card.centres[name] for name in emotions])
    ways = {}
    if not np.isnan(centres).any():
        ways[NEAREST] = nearness(readings.places, centres)
    if TASKS[card.task].emotions:
        ways[DIRECT] = readings.probabilities
    for protocol, table in protocols_for(images, emotions):
        for way, probabilities in ways.items():
            figures = protocol.apply(table, probabilities, emotions).evaluate().to_dict()
            kept = {name: figures[name] for name in ACCURACY_FIGURES}
            found.setdefault(way, {})[protocol.name] = kept
    return found


def format_affect(found: Mapping[str, Any]) -> str:
    """Return the metrics of one split as text for a terminal."""
    lines = []
    for key, what in ((VOTES, "the votes' anchors"), (LABELS, "its own kind of labels")):
        if key in found:
            lines += [f"valence and arousal against {what}: {found[key]['n']} images"]
            lines += [f"    {name:<28}{value}" for name, value in affect_lines(found[key])]
    for key in (NEAREST, DIRECT):
        for protocol, part in found.get(key, {}).items():
            share = format_share(part["accuracy"], part["accuracy_95"])
            words = f"{key.replace('_', ' ')}, {protocol}"
            lines.append(f"{words:<40}accuracy {share}")
    return "\n".join(lines)


def affect_lines(agreement: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the metrics of a `RegressionEvaluation.to_dict()` as pairs of name and text."""
    lines = []
    for name in agreement:
        if name == "n" or name.endswith("_95"):
            continue
        text = "constant"
        if agreement[name] is not None:
            text = format_share(agreement[name], agreement[f"{name}_95"])
        lines.append((name.replace("_", " "), text))
    return lines
