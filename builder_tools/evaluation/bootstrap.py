"""The bootstrap behind all intervals: the middle 95 % of a figure over 1,000 samples.

Faces of one person are alike, so where several are, people are drawn with all their faces: drawing
faces would give intervals that are too narrow. One person, or one image, says nothing of others:
there is no interval then.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

RESAMPLES = 1000
DECIMALS = 4
CHUNK = 50
"""Samples that are drawn at once, by rows."""


@dataclass(frozen=True)
class Figure:
    """A measured figure and its 95 % bootstrap interval; NaN where undefined or unknown."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, drawn: np.ndarray, units: int) -> Figure:
        """Return a figure with the middle 95 % of its values over bootstrap samples.

        Args:
            value: Value for all images.
            drawn: `(m,)`, values for the samples; NaN where undefined.
            units: How many images, or people, the value is of; fewer than 2 have no interval.
        """
        if math.isnan(value) or units < 2:
            return cls(float(value), math.nan, math.nan)
        low, high = np.nanpercentile(drawn, (2.5, 97.5))
        return cls(float(value), float(low), float(high))

    @classmethod
    def of_share(
        cls, value: float, drawn: np.ndarray, units: int, parts: Collection[float] = ()
    ) -> Figure:
        """Return a share of images, 0...1, or a mean of the shares of classes; else like `of`.

        Where all or none are right, so they are in every sample, and the middle 95 % has no
        width. Then the interval is the exact one (Clopper and Pearson, 1934, "The use of
        confidence or fiducial limits illustrated in the case of the binomial", Biometrika 26): it
        ends where all would be right in 2.5 % of the cases. For a mean, that is the least mean of
        all shares that the classes may have then.

        Args:
            value: Value for all images.
            drawn: As for `of`.
            units: As for `of`.
            parts: How many of the units each class has; empty if the value is no mean.
        """
        found = cls.of(value, drawn, units)
        if found.low != found.high or found.value not in (0, 1):
            return found
        least = _least_mean(np.array([*parts] or [units], np.float64))
        return cls(1.0, least, 1.0) if found.value else cls(0.0, 0.0, 1 - least)

    @property
    def rounded(self) -> float | None:
        """The value to four decimals, None if undefined."""
        return _rounded(self.value)

    @property
    def interval(self) -> list[float | None]:
        """Both ends to four decimals, None if undefined or unknown."""
        return [_rounded(self.low), _rounded(self.high)]

    def entries(self, name: str) -> dict[str, Any]:
        """Return the JSON values for a card: `name` and `name_95`."""
        return {name: self.rounded, f"{name}_95": self.interval}


def _least_mean(parts: np.ndarray) -> float:
    """Return the least mean of shares p of classes of n faces with a product of all p^n = 0.025.

    There, each p is n times the same factor, or 1.
    """
    parts = np.sort(parts[parts > 0])
    for count in range(len(parts), 0, -1):  # so many of the rarest have a share below 1
        few = parts[:count]
        shares = few * math.exp((math.log(0.025) - (few * np.log(few)).sum()) / few.sum())
        if shares[-1] <= 1:
            break
    return float((shares.sum() + len(parts) - count) / len(parts))


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


def redraw_rows(values: np.ndarray, seed: int) -> np.ndarray:
    """Return the sums of rows over bootstrap samples of rows, `(RESAMPLES, m)` float64.

    Args:
        values: `(n, m)` numbers, one row per image, or one per person, summed over the faces.
        seed: Seed of the draws.
    """
    rng, length = np.random.default_rng(seed), len(values)
    parts = []
    for _ in range(0, RESAMPLES, CHUNK):
        rows = rng.integers(0, length, (CHUNK, length))
        weights = np.stack([np.bincount(row, minlength=length) for row in rows])
        parts.append(weights.astype(np.float64) @ values)
    return np.concatenate(parts)


def group_numbers(groups: Iterable[Hashable], count: int) -> np.ndarray:
    """Return the groups of images as numbers from 0, `(count,)` int.

    Those called "", and missing ones (None, NaN, pandas' NA), stand alone.

    Raises:
        ValueError: If there is not one group for each of `count` images.
    """
    numbers: dict[Hashable, int] = {}
    found = [
        numbers.setdefault((row,) if pd.isna(group) or group == "" else group, len(numbers))
        for row, group in enumerate(groups)
    ]
    if len(found) != count:
        raise ValueError(f"Expected a group for each of {count} images. Received: {len(found)}.")
    return np.array(found, np.int64)


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, DECIMALS)
