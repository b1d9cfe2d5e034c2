"""Valence, arousal and intensity of a face, whether or not its model predicts them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from builder_tools.emotions import EmotionSet, own_word
from builder_tools.results import FaceEmotion
from builder_tools.tracking.flicker import LONGEST_STEP_S

CALM_EMOTIONS = ("neutral", "uncertain")
"""Emotions that count as showing no emotion."""
FROM_MODEL, FROM_ANCHORS = "model", "anchors"
FIRST_SIGHT_S = 1e-3
"""Weight of the first sighting of somebody, so that a single sighting has a mean, too."""


@dataclass(frozen=True)
class Affect:
    """The affect that a face shows, and its intensity.

    Args:
        valence: In [-1, 1], or None if neither the model nor the emotions' anchors give it.
        arousal: In [-1, 1], or None.
        intensity: In [0, 1].
        source: `model` if the model gives valence and arousal; `anchors` if it gives none, and
            they are the mean of the emotions' places, weighted by probability.
    """

    valence: float | None
    arousal: float | None
    intensity: float
    source: str


def affect_of(face: FaceEmotion) -> Affect:
    """Return the affect of a face.

    If the model gives valence and arousal, intensity is the length of that vector, at most 1.
    If not, it is the probability that the face shows any emotion: 1 - neutral - uncertain; for
    models without these two, the length of the vector from the anchors.
    """
    if face.valence is not None and face.arousal is not None:
        length = min(math.hypot(face.valence, face.arousal), 1.0)
        return Affect(face.valence, face.arousal, length, FROM_MODEL)
    names = tuple(face.probabilities)
    probabilities = np.fromiter(face.probabilities.values(), float, len(names))
    expected = EmotionSet(names).expected_place(probabilities[None])[0].tolist()
    place = None if math.isnan(expected[0]) else tuple(expected)
    calm = [own_word(name) in CALM_EMOTIONS for name in names]
    if any(calm):
        intensity = min(max(1.0 - float(probabilities[calm].sum()), 0.0), 1.0)
    else:
        intensity = min(math.hypot(*place), 1.0) if place else 0.0
    valence, arousal = place or (None, None)
    return Affect(valence, arousal, intensity, FROM_ANCHORS)


def sight_weight(passed_s: float) -> float:
    """Return the weight of a sighting in means, in seconds.

    Args:
        passed_s: Seconds since the previous sighting of the same face; 0 for the first.
    """
    return max(min(passed_s, LONGEST_STEP_S), FIRST_SIGHT_S)


def affect_values(face: FaceEmotion) -> np.ndarray:
    """Return `(4,)` valence, arousal, whether both are known, and intensity, for summing."""
    affect = affect_of(face)
    known = affect.valence is not None
    return np.array([affect.valence or 0.0, affect.arousal or 0.0, known, affect.intensity], float)


def mean_affect(sums: np.ndarray, weight: float) -> tuple[float | None, float | None, float]:
    """Return mean valence, arousal (None if unknown) and intensity.

    Args:
        sums: `(4,)` weighted sums of `affect_values`.
        weight: Sum of the weights.
    """
    valence, arousal, known, intensity = sums.tolist()
    if not known:
        return None, None, intensity / weight
    return valence / known, arousal / known, intensity / weight
