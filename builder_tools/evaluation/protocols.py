"""Evaluation protocols: which images count, and what their true label is.

The label rules themselves are in `builder_tools.datasets.labels`; label -1 means "left out".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from builder_tools.datasets.labels import (
    LEFT_OUT,
    fer2013_seven_labels,
    majority_eight_labels,
    majority_seven_labels,
    nine_class_labels,
)
from builder_tools.emotions import FER2013_SEVEN, FERPLUS_EIGHT, NINE_EMOTIONS, EmotionSet

__all__ = [
    "LEFT_OUT",
    "PROTOCOLS",
    "Protocol",
    "fer2013_seven_labels",
    "majority_eight_labels",
    "majority_seven_labels",
    "nine_class_labels",
    "restrict",
]


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


def restrict(probabilities: np.ndarray, emotions: EmotionSet, wanted: EmotionSet) -> np.ndarray:
    """Return the probabilities among some of the classes, picked by name.

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
            "FER2013's original labels, images with conflicting twins left out",
        ),
    )
}
