"""Where a model does better or worse: accuracy on thirds of the images."""

from __future__ import annotations

from typing import Any

import numpy as np

from builder_tools.cards import ModelCard
from builder_tools.datasets.measures import measure_images
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import protocol_of
from builder_tools.release.predicting import Predicted

SLICED_BY = ("brightness", "contrast", "sharpness", "width_px")
SLICES = ("lowest third", "middle third", "highest third")
SLICE_PROTOCOL = "ferplus-majority-8"
"""The protocol that selects images, if people voted."""


def slice_figures(card: ModelCard, predicted: Predicted) -> dict[str, list[dict[str, Any]]]:
    """Evaluate predictions on thirds of their images, by measures of the images.

    Args:
        card: The card by which to interpret the outputs.
        predicted: Predictions for one split.

    Returns:
        Measure -> one row per third: `slice`, `from` and `to` (range of the measure), `n`,
        `accuracy`, `accuracy_95`. Measures that hardly vary are left out.
    """
    protocol = protocol_of(predicted.images, SLICE_PROTOCOL)
    probabilities = predicted.readings(card).probabilities
    kept = protocol.apply(predicted.images.table, probabilities, EmotionSet(card.emotions))
    measures = measure_images(predicted.images)[kept.mask]
    found = {}
    for measure in SLICED_BY:
        values = measures[measure].to_numpy(np.float64)
        if len(np.unique(values)) < len(SLICES):
            continue
        thirds = np.array_split(np.argsort(values, kind="stable"), len(SLICES))
        found[measure] = []
        for name, third in zip(SLICES, thirds, strict=True):
            figures = kept.evaluate(third).to_dict()
            found[measure].append(
                {
                    "slice": name,
                    "from": round(float(values[third].min()), 1),
                    "to": round(float(values[third].max()), 1),
                    "n": len(third),
                    "accuracy": figures["accuracy"],
                    "accuracy_95": figures["accuracy_95"],
                }
            )
    return found
