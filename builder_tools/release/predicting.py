"""A model's outputs for the splits of a data set, from which everything else is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from builder_tools.cards import ModelCard
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.table import ImageTable
from builder_tools.decisions import read_outputs
from builder_tools.results import Readings

IMAGES_AT_A_TIME, THEIR_PX = 512, 224
"""Images held at a time, and up to which side; of larger ones as many pixels are."""


@dataclass(frozen=True)
class Predicted:
    """Images and a network's outputs for them, before temperature and decision.

    Args:
        images: The images.
        outputs: `(n, width)`, see `tasks`.
    """

    images: ImageTable
    outputs: np.ndarray

    def readings(self, card: ModelCard) -> Readings:
        """Interpret the outputs according to a card, with its temperature but not its biases."""
        return read_outputs(card, self.outputs)


class Predictions:
    """A model's predictions on a data set: each split is predicted once, on demand.

    Args:
        folder: Folder of the model.
        table: The data set with splits.

    Attributes:
        card: The card with which the model was opened.
    """

    def __init__(self, folder: str | Path, table: ImageTable) -> None:
        self.folder, self.table = Path(folder), table
        self.classifier = EmotionClassifier(folder)
        self.card = self.classifier.card
        self._found: dict[str, Predicted] = {}

    def split(self, name: str) -> Predicted:
        """Return the model's predictions for a split: train, valid or test.

        Raises:
            ValueError: If the split is unknown or empty.
        """
        if name not in self._found:
            images = self.table.split(name)
            if not len(images):
                raise ValueError(
                    f"Expected images to judge on. Received: a {name} split without any."
                )
            self._found[name] = Predicted(images, _outputs(self.classifier, images))
        return self._found[name]


def predict_table(classifier: EmotionClassifier, images: ImageTable) -> np.ndarray:
    """Return the probabilities `(n, k)` of all images in a table, computed in batches."""
    return read_outputs(classifier.card, _outputs(classifier, images)).probabilities


def faces_within(count: int, usual_px: int, size_px: int) -> int:
    """Return how many faces of a side have no more pixels than so many of the usual one."""
    return count if size_px <= usual_px else max(count * usual_px**2 // size_px**2, 1)


def _outputs(classifier: EmotionClassifier, images: ImageTable) -> np.ndarray:
    faces = images.as_stored(classifier.card.input_size)
    at_a_time = faces_within(IMAGES_AT_A_TIME, THEIR_PX, classifier.card.input_size)
    found = [
        classifier.outputs(faces[first : first + at_a_time])
        for first in range(0, len(images), at_a_time)
    ]
    return np.concatenate(found)
