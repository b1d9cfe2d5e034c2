"""The bootstrap behind all intervals: the middle 95 % of a figure over 1,000 samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 1000
DECIMALS = 4


@dataclass(frozen=True)
class Figure:
    """A measured figure and its 95 % bootstrap interval; NaN where undefined."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, drawn: np.ndarray) -> Figure:
        """Return a figure with the middle 95 % of its values over bootstrap samples.

        Args:
            value: Value for all images.
            drawn: `(m,)`, values for the samples; NaN where undefined.
        """
        if math.isnan(value):
            return cls(math.nan, math.nan, math.nan)
        low, high = np.nanpercentile(drawn, (2.5, 97.5))
        return cls(float(value), float(low), float(high))

    @property
    def rounded(self) -> float | None:
        """The value to four decimals, None if undefined."""
        return _rounded(self.value)

    @property
    def interval(self) -> list[float | None]:
        """Both ends to four decimals, None if undefined."""
        return [_rounded(self.low), _rounded(self.high)]

    def entries(self, name: str) -> dict[str, Any]:
        """Return the JSON values for a card: `name` and `name_95`."""
        return {name: self.rounded, f"{name}_95": self.interval}


def redraw(counts: np.ndarray, seed: int) -> np.ndarray:
    """Return bootstrap samples of a table of counts, `(RESAMPLES, *counts.shape)`.

    If n images are drawn with replacement, the counts in the cells follow a multinomial
    distribution, so the table of counts can be drawn instead of the images.

    Args:
        counts: Integers of any shape, with a sum above 0.
        seed: Seed of the draws.
    """
    total = int(counts.sum())
    drawn = np.random.default_rng(seed).multinomial(total, counts.ravel() / total, RESAMPLES)
    return drawn.reshape(RESAMPLES, *counts.shape)


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, DECIMALS)
