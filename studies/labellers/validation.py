"""Evaluation of labels and manifolds: against votes, against distances, and within a class.

Places are points `(n, 2)`, either (valence, arousal) or on a raw plane.
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
"""Number of neighbours that trustworthiness and continuity are computed with."""
CHUNK = 256


@dataclass(frozen=True)
class ManifoldQuality:
    """How well a plane keeps neighbours (Venna & Kaski, 2001, "Neighborhood preservation").

    Args:
        trustworthiness: 0...1; low if points that were not neighbours are close on the plane.
        continuity: 0...1; low if neighbours are torn apart on the plane.
    """

    trustworthiness: float
    continuity: float


@dataclass(frozen=True)
class WithinClass:
    """What labels tell beyond the class, as rank correlations.

    Args:
        valence: Between labelled and reference valence, given the class.
        arousal: Between labelled and reference arousal, given the class.
        happy_surprise: Between arousal and the share of surprise votes, among happy faces.
        disagreement: Between the distance from the class's mean place and the entropy of the
            votes, given the class.
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
        points: `(n, d)`, before. Takes n x n memory: use a sample of a few thousand.
        places: `(n, 2)`, after.
        neighbours: Number of neighbours, below n / 2.
    """
    from sklearn.manifold import trustworthiness

    return ManifoldQuality(
        float(trustworthiness(points, places, n_neighbors=neighbours)),
        float(trustworthiness(places, points, n_neighbors=neighbours)),
    )


def residual_variance(geodesics: np.ndarray, places: np.ndarray, rows: np.ndarray) -> float:
    """Return the share of the variance of geodesic distances that the plane leaves unexplained.

    It is 1 - r^2 of the distances before and after (Tenenbaum et al., 2000): 0 for a perfect map.

    Args:
        geodesics: `(m, n)` distances from the points in `rows` to all points.
        places: `(n, 2)` places of all points.
        rows: `(m,)` indices of points.
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
    """Return what still differs after moving, turning and scaling one plane onto another.

    Returns:
        The remaining fraction of the reference's sum of squares, 0 (same shape) ... 1.
    """
    from scipy.spatial import procrustes

    return float(procrustes(reference, places)[2])


def judge_labels(labels: np.ndarray, votes: np.ndarray, *, seed: int = 0) -> RegressionEvaluation:
    """Judge labels against the vote-weighted anchors.

    Args:
        labels: `(n, 2)` valence and arousal.
        votes: `(n, 10)` FER+ counts.
        seed: Seed for the bootstrap.
    """
    return evaluate_valence_arousal(vote_weighted_anchors(votes), labels, seed=seed)


def judge_within_classes(labels: np.ndarray, table: ImageTable, *, seed: int = 0) -> WithinClass:
    """Judge what labels tell beyond the class, on images with votes.

    The reference varies within a class because votes do, so whatever labels know about a face
    beyond its class shows up as a correlation there. Labels that put a class at one place have
    none (NaN).

    Args:
        labels: `(n, 2)` valence and arousal.
        table: FER+ images.
        seed: Seed for bootstrap and permutations.

    Raises:
        ValueError: If the table has no votes.
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
