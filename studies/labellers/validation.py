"""Judging labels and manifolds: against votes, against distances, and within a class.

Places are (valence, arousal) or raw planes alike, `(n, 2)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from builder_tools.datasets.table import ImageTable
from builder_tools.evaluation import (
    Association,
    RegressionEvaluation,
    evaluate_valence_arousal,
    rank_correlation,
)
from builder_tools.valence_arousal.anchors import (
    vote_entropy,
    vote_shares,
    vote_weighted_anchors,
)

NEAREST = 15
"""Neighbours whose keeping trustworthiness and continuity judge."""
CHUNK = 256


@dataclass(frozen=True)
class ManifoldQuality:
    """How well a plane keeps neighbours (Venna & Kaski, 2001, "Neighborhood preservation").

    Args:
        trustworthiness: 0...1; low where the plane shows neighbours that are none.
        continuity: 0...1; low where the plane tears neighbours apart.
    """

    trustworthiness: float
    continuity: float


@dataclass(frozen=True)
class WithinClass:
    """What labels say beyond the class. All are rank correlations.

    Args:
        valence: Of labelled and reference valence, given the class.
        arousal: Of labelled and reference arousal, given the class.
        happy_surprise: Of arousal and the share of surprise votes among happy faces.
        disagreement: Of the distance from the class's mean place and the entropy of the votes,
            given the class.
    """

    valence: Association
    arousal: Association
    happy_surprise: Association
    disagreement: Association


def manifold_quality(
    points: np.ndarray, places: np.ndarray, *, neighbours: int = NEAREST
) -> ManifoldQuality:
    """Judge a plane by the neighbours it keeps.

    Args:
        points: `(n, d)`, before. Memory is n x n: sample some thousands.
        places: `(n, 2)`, after.
        neighbours: Below n / 2.
    """
    from sklearn.manifold import trustworthiness

    return ManifoldQuality(
        float(trustworthiness(points, places, n_neighbors=neighbours)),
        float(trustworthiness(places, points, n_neighbors=neighbours)),
    )


def residual_variance(geodesics: np.ndarray, places: np.ndarray, rows: np.ndarray) -> float:
    """Return the share of the variance of geodesic distances that the plane leaves unexplained.

    1 - r^2 of the distances before and after (Tenenbaum et al., 2000): 0 is a perfect map.

    Args:
        geodesics: `(m, n)` distances of `rows` to all points.
        places: `(n, 2)` of all points.
        rows: `(m,)` which points.
    """
    sums = np.zeros(6)
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        before = geodesics[part].astype(np.float64).ravel()
        offset = places[rows[part], None, :] - places[None]
        after = np.sqrt((offset**2).sum(axis=2)).ravel()
        sums += [
            len(before), before.sum(), after.sum(),
            before @ before, after @ after, before @ after,
        ]  # fmt: skip
    count, x, y, xx, yy, xy = sums
    shared = xy / count - x * y / count**2
    return float(
        1 - shared**2 / ((xx / count - (x / count) ** 2) * (yy / count - (y / count) ** 2))
    )


def procrustes_distance(places: np.ndarray, reference: np.ndarray) -> float:
    """Return what is left between two planes after moving, turning and scaling one onto the other.

    Returns:
        The share of the reference's sum of squares that remains, 0 (same shape) ... 1.
    """
    from scipy.spatial import procrustes

    return float(procrustes(reference, places)[2])


def judge_labels(labels: np.ndarray, votes: np.ndarray, *, seed: int = 0) -> RegressionEvaluation:
    """Judge labels against the vote-weighted anchors.

    Args:
        labels: `(n, 2)` valence and arousal.
        votes: `(n, 10)` FER+ counts.
        seed: Of the bootstrap.
    """
    return evaluate_valence_arousal(vote_weighted_anchors(votes), labels, seed=seed)


def judge_within_classes(labels: np.ndarray, table: ImageTable, *, seed: int = 0) -> WithinClass:
    """Judge what labels say beyond the class, on images with votes.

    The reference varies within a class, because votes do; so whatever labels know of a face
    beyond its class shows as a correlation there. Labels that are one place a class have none
    (NaN).

    Args:
        labels: `(n, 2)` valence and arousal.
        table: FER+ images.
        seed: Of bootstrap and permutations.

    Raises:
        ValueError: If nobody voted.
    """
    if table.votes is None:
        raise ValueError("Expected images with FER+ votes. Received: none.")
    reference, classes = vote_weighted_anchors(table.votes), table.labels
    happy = classes == table.emotions.label("happy")
    surprise = vote_shares(table.votes)[:, table.emotions.label("surprise")]
    distance = _distance_from_class_mean(labels, classes)
    entropy = vote_entropy(table.votes)
    return WithinClass(
        rank_correlation(labels[:, 0], reference[:, 0], groups=classes, seed=seed),
        rank_correlation(labels[:, 1], reference[:, 1], groups=classes, seed=seed),
        rank_correlation(labels[happy, 1], surprise[happy], seed=seed),
        rank_correlation(distance, entropy, groups=classes, seed=seed),
    )


def _distance_from_class_mean(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    distance = np.empty(len(labels))
    for label in np.unique(classes):
        own = classes == label
        distance[own] = np.linalg.norm(labels[own] - labels[own].mean(axis=0), axis=1)
    return distance.round(12)
