"""Evaluation protocols: which images count, and what their true label is.

The label rules themselves are in `builder_tools.datasets.labels`; label -1 means "left out".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from builder_tools.datasets.ferplus import with_original_labels
from builder_tools.datasets.labels import (
    LEFT_OUT,
    fer2013_seven_labels,
    majority_eight_labels,
    majority_seven_labels,
    nine_class_labels,
)
from builder_tools.datasets.table import ImageTable, persons_in
from builder_tools.emotions import FER2013_SEVEN, FERPLUS_EIGHT, NINE_EMOTIONS, EmotionSet
from builder_tools.evaluation.metrics import Evaluation, evaluate

__all__ = [
    "LEFT_OUT",
    "OWN_LABELS",
    "PROTOCOLS",
    "Kept",
    "Protocol",
    "fer2013_seven_labels",
    "majority_eight_labels",
    "majority_seven_labels",
    "nine_class_labels",
    "own_labels",
    "protocol_of",
    "protocols_for",
    "restrict",
]


@dataclass(frozen=True)
class Protocol:
    """A way to evaluate a model.

    Args:
        name: Name in cards and on the command line.
        emotions: The classes it distinguishes, in label order.
        labels: Table (or votes) -> `(n,)` int labels into `emotions`, -1 = left out.
        description: One sentence for reports.
    """

    name: str
    emotions: EmotionSet
    labels: Callable[[pd.DataFrame], np.ndarray]
    description: str

    def apply(self, table: pd.DataFrame, probabilities: np.ndarray, emotions: EmotionSet) -> Kept:
        """Return the images that count, with their labels and probabilities.

        Args:
            table: One row per image, with the columns that the labels are read from, and `person`
                if known.
            probabilities: `(len(table), k)` in the order of `emotions`.
            emotions: The model's classes.

        Raises:
            ValueError: If the model lacks one of the protocol's classes.
        """
        labels = self.labels(table)
        mask = labels != LEFT_OUT
        inside = restrict(probabilities[mask], emotions, self.emotions)
        people = persons_in(table)
        known = None if people is None else people[mask]
        return Kept(mask, labels[mask], inside, self.emotions, known)


@dataclass(frozen=True)
class Kept:
    """The images that a protocol keeps.

    Args:
        mask: `(n,)` bool, which of all images these are.
        labels: `(m,)` int labels into `emotions`.
        probabilities: `(m, len(emotions))` among the protocol's classes.
        emotions: The protocol's classes.
        groups: `(m,)` who is in each image; None if nobody is known.
    """

    mask: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    emotions: EmotionSet
    groups: np.ndarray | None = None

    def evaluate(self, rows: np.ndarray | slice = slice(None)) -> Evaluation:
        """Evaluate these images, or some rows of them."""
        people = None if self.groups is None else self.groups[rows]
        return evaluate(self.labels[rows], self.probabilities[rows], self.emotions, groups=people)


def restrict(probabilities: np.ndarray, emotions: EmotionSet, wanted: EmotionSet) -> np.ndarray:
    """Return the probabilities among some of the classes, selected by name.

    Args:
        probabilities: `(n, len(emotions))`.
        emotions: Their class order (that of the model card).
        wanted: The classes to keep, in the order to return them.

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


OWN_LABELS = "own-labels"
"""The protocol of data sets without votes: their own labels, all images."""


def own_labels(emotions: EmotionSet) -> Protocol:
    """Return the protocol of a data set without votes."""
    return Protocol(
        OWN_LABELS,
        emotions,
        lambda table: table["label"].to_numpy(np.int64),
        "the data set's own labels, every image",
    )


def protocol_of(images: ImageTable, name: str) -> Protocol:
    """Return the named protocol if there are votes, else that of the data set's own labels."""
    return own_labels(images.emotions) if images.votes is None else PROTOCOLS[name]


def protocols_for(
    images: ImageTable, emotions: EmotionSet
) -> Iterator[tuple[Protocol, pd.DataFrame]]:
    """Yield the protocols that fit the images and a model's classes, each with its table."""
    if images.votes is None:
        yield own_labels(images.emotions), images.table
        return
    original = with_original_labels(images)
    for name, protocol in PROTOCOLS.items():
        table = original if name.startswith("fer2013") else images.table
        if table is not None and set(protocol.emotions) <= set(emotions):
            yield protocol, table


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
            "FER2013's original labels, images with conflicting twins left out",
        ),
    )
}
