"""Thirds of images by their measures: what is equal stays together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")

from builder_tools.cards import ModelCard
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import EmotionSet
from builder_tools.release.predicting import Predicted
from builder_tools.release.slices import slice_figures

SHIPPED = Path(__file__).parents[1] / "saved_models" / "fast"


def slices_by_width(widths: list[int]) -> list[dict] | None:
    """Return the slices by width of images in class folders; only half of the classes are known."""
    card = replace(ModelCard.read(SHIPPED), temperature=1.0)
    emotions, count = EmotionSet(card.emotions), len(widths)
    labels = np.sort(np.arange(count) % len(emotions))  # in the order of their folders
    answers = np.where(labels < len(emotions) / 2, labels, 0)
    rows = {
        "name": [f"{row}.png" for row in range(count)],
        "path": "",
        "index": np.arange(count),
        "label": labels,
        "emotion": [emotions[label] for label in labels],
        "split": "test",
    }
    table = _Wide(pd.DataFrame(rows), emotions, np.zeros((count, 8, 8), np.uint8))
    object.__setattr__(table, "widths", widths)
    probabilities = np.eye(len(emotions), dtype=np.float32)[answers]
    return slice_figures(card, Predicted(table, probabilities)).get("width_px")


class _Wide(ImageTable):
    """A table whose images have given widths."""

    def image(self, row: int) -> np.ndarray:
        return np.zeros((8, self.widths[row], 3), np.uint8)


def test_images_of_one_width_are_not_divided_by_their_folders():
    """All but two have one width: thirds would be thirds of the classes."""
    widths = [48] * 90
    widths[3], widths[60] = 64, 56
    assert slices_by_width(widths) is None


def test_equal_widths_fall_into_one_slice():
    found = slices_by_width([24] * 30 + [48] * 40 + [96] * 20)
    assert [(row["from"], row["to"], row["n"]) for row in found] == [
        (24, 24, 30),
        (48, 48, 40),
        (96, 96, 20),
    ]
    assert [row["slice"] for row in found] == ["lowest third", "middle third", "highest third"]


def test_different_widths_give_thirds():
    found = slices_by_width(list(range(20, 110)))
    assert [(row["from"], row["to"], row["n"]) for row in found] == [
        (20, 49, 30),
        (50, 79, 30),
        (80, 109, 30),
    ]
