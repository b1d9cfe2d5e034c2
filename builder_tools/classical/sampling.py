"""Balancing inside a pipeline: rare classes are filled up only while it is fitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from imblearn.over_sampling import SMOTE, BorderlineSMOTE, RandomOverSampler

NO_SAMPLER = "none"
FILL_SHARE = 0.25
"""Classes with fewer rows than this share of the largest class are filled up to this share."""

NEIGHBOURS = 5


def fill_up(y: np.ndarray) -> dict[Any, int]:
    """Return how many rows each class should have: at least a quarter of the largest class."""
    counts = Counter(y.tolist())
    least = round(FILL_SHARE * max(counts.values()))
    return {label: max(count, least) for label, count in counts.items()}


class FillingSmote(SMOTE):
    """SMOTE that supports small classes, using only as many neighbours as the smallest has.

    If a class has only one row, rows are repeated instead.
    """

    def _fit_resample(self, X, y):
        smallest = min(Counter(y.tolist()).values())
        if smallest < 2:
            repeating = RandomOverSampler(
                sampling_strategy=self.sampling_strategy, random_state=self.random_state
            )
            return repeating.fit_resample(X, y)
        chosen = type(self)(**self.get_params())
        chosen.k_neighbors = min(self.k_neighbors, smallest - 1)
        chosen.sampling_strategy_ = self.sampling_strategy_
        return chosen._resample(X, y)

    def _resample(self, X, y):
        return SMOTE._fit_resample(self, X, y)


class FillingBorderlineSmote(FillingSmote, BorderlineSMOTE):
    """Borderline-SMOTE (Han et al., 2005) that supports small classes."""

    def _resample(self, X, y):
        return BorderlineSMOTE._fit_resample(self, X, y)


SAMPLERS: dict[str, Callable[[int], Any]] = {
    NO_SAMPLER: lambda seed: "passthrough",
    "repeat": lambda seed: RandomOverSampler(sampling_strategy=fill_up, random_state=seed),
    "smote": lambda seed: FillingSmote(
        sampling_strategy=fill_up, k_neighbors=NEIGHBOURS, random_state=seed
    ),
    "borderline_smote": lambda seed: FillingBorderlineSmote(
        sampling_strategy=fill_up, k_neighbors=NEIGHBOURS, random_state=seed
    ),
}
"""Name -> function that makes a step that resamples in `fit` and does nothing in `predict`."""
