"""Where a model does better or worse: accuracy on thirds of the images.

Images of equal measure are never divided: their order is that of the files, often by class.
"""

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
        `accuracy`, `accuracy_95`. Measures that hardly vary are left out: those of which equal
        values leave nothing for a third.
    """
    protocol = protocol_of(predicted.images, SLICE_PROTOCOL)
    probabilities = predicted.readings(card).probabilities
    kept = protocol.apply(predicted.images.table, probabilities, EmotionSet(card.emotions))
    measures = measure_images(predicted.images)[kept.mask]
    found = {}
    for measure in SLICED_BY:
        values = measures[measure].to_numpy(np.float64)
        thirds = _thirds(values)
        if not all(map(len, thirds)):
            continue
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


def _thirds(values: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each third, by value; equal values fall where their middle one does."""
    order = np.argsort(values, kind="stable")
    third = np.repeat(
        range(len(SLICES)), [len(rows) for rows in np.array_split(order, len(SLICES))]
    )
    ordered = values[order]
    first = np.searchsorted(ordered, ordered, side="left")
    last = np.searchsorted(ordered, ordered, side="right") - 1
    third = third[(first + last) // 2]
    return [order[third == number] for number in range(len(SLICES))]
