"""Figures for valence and arousal against a reference, with bootstrap intervals.

CCC is Lin's concordance correlation coefficient (Lin, 1989, "A concordance correlation
coefficient to evaluate reproducibility", Biometrics 45): 1 if values agree, less if they differ
in order, spread or level. All figures follow from sums over images, and drawing n images with
replacement weights each one by how often it is drawn, so the bootstrap is a matrix product
(`bootstrap.redraw_rows`).

Rank correlations resample the ranks of all images (images are not ranked again in each sample).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from builder_tools.evaluation.bootstrap import Figure, group_numbers, redraw_rows
from builder_tools.evaluation.confusion import ratio

_Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class AxisAgreement:
    """How well one axis agrees with its reference.

    Args:
        ccc: Concordance correlation, -1...1.
        rmse: Root mean squared difference, >= 0.
        pearson: Pearson's correlation, -1...1; NaN if either side is constant.
    """

    ccc: Figure
    rmse: Figure
    pearson: Figure


@dataclass(frozen=True)
class RegressionEvaluation:
    """How well valence and arousal agree with their reference.

    Args:
        n: Number of images.
        valence: Agreement of the first column.
        arousal: Agreement of the second column.
        mean_ccc: Mean of the CCC of both axes.
    """

    n: int
    valence: AxisAgreement
    arousal: AxisAgreement
    mean_ccc: Figure

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation as JSON values rounded to four decimals, for model cards."""
        found: dict[str, Any] = {"n": self.n} | self.mean_ccc.entries("mean_ccc")
        for axis in ("valence", "arousal"):
            for name in ("ccc", "rmse", "pearson"):
                found |= getattr(getattr(self, axis), name).entries(f"{axis}_{name}")
        return found


@dataclass(frozen=True)
class Association:
    """A correlation, its 95 % bootstrap interval, and how often chance gives as much.

    Args:
        n: Number of images.
        correlation: The correlation with its interval; NaN if either side is constant.
        p_value: Share of permutations whose correlation is at least as far from 0 (two-sided,
            counting the given order as one); NaN if the correlation is.
    """

    n: int
    correlation: Figure
    p_value: float


def concordance(reference: np.ndarray, predicted: np.ndarray) -> float:
    """Return Lin's CCC of two series `(n,)`; NaN if both are constant and equal."""
    return float(_from_sums(_sums(*_checked_pair(reference, predicted), _ones(reference)))["ccc"])


def evaluate_valence_arousal(
    reference: np.ndarray,
    predicted: np.ndarray,
    *,
    groups: Iterable[Hashable] | None = None,
    seed: int = 0,
) -> RegressionEvaluation:
    """Evaluate valence and arousal against a reference.

    Args:
        reference: `(n, 2)` valence and arousal, n >= 2.
        predicted: `(n, 2)`.
        groups: Who is in each image; see `evaluate`.
        seed: Seed of the bootstrap; the same input and seed give the same figures.

    Raises:
        ValueError: If shapes do not match or a value is not finite.
    """
    pairs = _checked_axes(reference, predicted)
    places = np.arange(len(reference))
    if groups is not None:
        places = group_numbers(groups, len(reference))
    units = int(places.max()) + 1
    whole, drawn = _whole(pairs), _drawn(pairs, seed, places)
    axes = [
        AxisAgreement(**{name: Figure.of(found[name], samples[name], units) for name in found})
        for found, samples in zip(whole, drawn, strict=True)
    ]
    mean = Figure.of(_mean_ccc(whole), _mean_ccc(drawn), units)
    return RegressionEvaluation(len(reference), *axes, mean)


def concordance_gain(
    reference: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0
) -> Figure:
    """Return how much better the first agrees with the reference than the second does.

    Both are evaluated on the same bootstrap samples, so that what makes images hard for both
    cancels out: the interval is that of the difference.

    Args:
        reference: `(n, 2)` valence and arousal, n >= 2.
        first: `(n, 2)`.
        second: `(n, 2)`.
        seed: Seed of the bootstrap.

    Returns:
        The mean CCC of the first minus that of the second, -2...2.

    Raises:
        ValueError: If shapes do not match or a value is not finite.
    """
    pairs = _checked_axes(reference, first) + _checked_axes(reference, second)
    whole, drawn = _whole(pairs), _drawn(pairs, seed)
    gain = _mean_ccc(whole[:2]) - _mean_ccc(whole[2:])
    return Figure.of(gain, _mean_ccc(drawn[:2]) - _mean_ccc(drawn[2:]), len(reference))


def rank_correlation(
    first: np.ndarray,
    second: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    permutations: int = 1999,
    seed: int = 0,
) -> Association:
    """Return Spearman's correlation, overall or within groups.

    Args:
        first: `(n,)`.
        second: `(n,)`.
        groups: `(n,)` int. If given, each group's mean rank is first subtracted from both sides
            (the partial rank correlation given the group), and permutations stay within groups.
        permutations: Number of permutations for the p-value.
        seed: Seed of bootstrap and permutations.

    Raises:
        ValueError: If lengths differ or a value is not finite.
    """
    from scipy.stats import rankdata

    first, second = _checked_pair(first, second)
    groups = np.zeros(len(first), np.int64) if groups is None else np.asarray(groups)
    _, place = np.unique(groups, return_inverse=True)
    ranks = []
    for side in (rankdata(first), rankdata(second)):
        means = np.bincount(place, weights=side) / np.bincount(place)
        ranks.append(side - means[place])
    found = float(_from_sums(_sums(*ranks, _ones(first)))["pearson"])
    if np.isnan(found):
        return Association(len(first), Figure(np.nan, np.nan, np.nan), np.nan)
    drawn = _from_sums(next(iter(_drawn_sums([tuple(ranks)], seed))))["pearson"]
    chance = _permuted(ranks, groups, permutations, np.random.default_rng(seed))
    as_far = int((np.abs(chance) >= abs(found) - 1e-12).sum())
    correlation = Figure.of(found, drawn, len(first))
    return Association(len(first), correlation, (as_far + 1) / (permutations + 1))


def _checked_axes(reference: np.ndarray, predicted: np.ndarray) -> list[_Pair]:
    """Return the pairs of reference and prediction for valence and for arousal."""
    reference, predicted = np.asarray(reference, np.float64), np.asarray(predicted, np.float64)
    if reference.ndim != 2 or reference.shape[1:] != (2,) or reference.shape != predicted.shape:
        raise ValueError(
            "Expected reference and prediction (n, 2), valence and arousal. "
            f"Received: {reference.shape} and {predicted.shape}."
        )
    return [_checked_pair(reference[:, axis], predicted[:, axis]) for axis in (0, 1)]


def _checked_pair(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 1 or first.shape != second.shape or len(first) < 2:
        raise ValueError(
            "Expected two series of one length, at least 2. "
            f"Received: {first.shape} and {second.shape}."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("Expected finite values. Received: NaN or infinite ones.")
    return first, second


def _ones(like: np.ndarray) -> np.ndarray:
    return np.ones((1, len(like)))


def _moments(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the terms to sum, `(n, 6)`, centred at the first series' mean for precision."""
    first, second = first - first.mean(), second - first.mean()
    columns = [np.ones_like(first), first, second, first**2, second**2, first * second]
    return np.stack(columns, axis=1)


def _sums(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (weights @ _moments(first, second))[0]


def _whole(pairs: list[_Pair]) -> list[dict[str, np.ndarray]]:
    return [_from_sums(_sums(*pair, _ones(pair[0]))) for pair in pairs]


def _drawn(
    pairs: list[_Pair], seed: int, places: np.ndarray | None = None
) -> list[dict[str, np.ndarray]]:
    return [_from_sums(sums) for sums in _drawn_sums(pairs, seed, places)]


def _mean_ccc(axes: list[dict[str, np.ndarray]]) -> np.ndarray:
    return (axes[0]["ccc"] + axes[1]["ccc"]) / 2


def _drawn_sums(
    pairs: list[_Pair], seed: int, places: np.ndarray | None = None
) -> list[np.ndarray]:
    """Return the sums `(RESAMPLES, 6)` of each pair over the same bootstrap samples.

    Images of one place `(n,)`, numbered from 0, are drawn together.
    """
    moments = np.concatenate([_moments(*pair) for pair in pairs], axis=1)
    if places is not None:
        columns = [np.bincount(places, weights=column) for column in moments.T]
        moments = np.stack(columns, axis=1)
    return np.split(redraw_rows(moments, seed), len(pairs), axis=1)


def _from_sums(sums: np.ndarray) -> dict[str, np.ndarray]:
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    mean_x, mean_y = x / count, y / count
    var_x, var_y = _variance(xx / count, mean_x), _variance(yy / count, mean_y)
    shared = xy / count - mean_x * mean_y
    return {
        "ccc": ratio(2 * shared, var_x + var_y + (mean_x - mean_y) ** 2),
        "rmse": np.sqrt(np.maximum((xx + yy - 2 * xy) / count, 0)),
        "pearson": ratio(shared, np.sqrt(var_x * var_y)),
    }


def _variance(mean_square: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return a variance, with values that are only rounding errors set to 0."""
    found = mean_square - mean**2
    return np.where(found > 1e-12 * np.maximum(mean_square, 1e-300), found, 0.0)


def _permuted(
    ranks: list[np.ndarray], groups: np.ndarray, times: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the correlations after permuting one side within groups, `(times,)`."""
    order = np.argsort(groups, kind="stable")
    first, second = ranks[0][order], ranks[1][order]
    members = np.split(np.arange(len(order)), np.flatnonzero(np.diff(groups[order])) + 1)
    whole = np.sqrt((first**2).sum() * (second**2).sum())
    found = np.empty(times)
    for number in range(times):
        shuffled = np.concatenate([rng.permutation(second[rows]) for rows in members])
        found[number] = first @ shuffled / whole
    return found
