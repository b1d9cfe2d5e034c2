"""Where a model is better and where worse: accuracy on thirds of the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.measures import measure_images
from builder_tools.datasets.table import ImageTable
from builder_tools.evaluation import PROTOCOLS, evaluate, restrict
from builder_tools.evaluation.protocols import LEFT_OUT
from builder_tools.release.judging import predict_table

SLICED_BY = ("brightness", "contrast", "sharpness", "width_px")
SLICES = ("lowest third", "middle third", "highest third")
SLICE_PROTOCOL = "ferplus-majority-8"
"""Which images count where people voted."""


def slice_figures(
    folder: str | Path, data: ImageTable, split: str = "test"
) -> dict[str, list[dict[str, Any]]]:
    """Judge a model on thirds of a split, by what can be measured of the images.

    Args:
        folder: The model folder.
        data: The data set.
        split: train, valid or test.

    Returns:
        Measure -> a row a third: `slice`, `from` and `to` (range of the measure), `n`,
        `accuracy`, `accuracy_95`. Measures that hardly vary are left out.
    """
    part = data.split(split)
    classifier = EmotionClassifier(folder)
    truth, judged = part.labels, part.emotions
    if part.votes is not None:
        judged = PROTOCOLS[SLICE_PROTOCOL].emotions
        truth = PROTOCOLS[SLICE_PROTOCOL].labels(part.table)
    kept = truth != LEFT_OUT
    found = restrict(predict_table(classifier, part), classifier.emotions, judged)[kept]
    measures = measure_images(part)[kept]
    return {
        name: _thirds(measures[name].to_numpy(np.float64), truth[kept], found, judged)
        for name in SLICED_BY
        if measures[name].nunique() >= len(SLICES)
    }


def _thirds(values: np.ndarray, truth: np.ndarray, found: np.ndarray, emotions) -> list[dict]:
    rows = []
    for name, third in zip(
        SLICES, np.array_split(np.argsort(values, kind="stable"), 3), strict=True
    ):
        figure = evaluate(truth[third], found[third], emotions).to_dict()
        rows.append(
            {
                "slice": name,
                "from": round(float(values[third].min()), 1),
                "to": round(float(values[third].max()), 1),
                "n": len(third),
                "accuracy": figure["accuracy"],
                "accuracy_95": figure["accuracy_95"],
            }
        )
    return rows
