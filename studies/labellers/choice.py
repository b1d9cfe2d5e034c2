"""Choice of neighbours, landmarks and pull by their effect on held-out images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from time import process_time

import numpy as np
import pandas as pd

from builder_tools.datasets.sampling import stratified_sample
from builder_tools.datasets.table import ImageTable
from builder_tools.valence_arousal.labeller import ValenceArousalLabeller
from builder_tools.valence_arousal.orientation import clip_to_disc, staged_shift
from builder_tools.valence_arousal.reducers import IsomapReducer
from studies.labellers.validation import (
    judge_labels,
    manifold_quality,
    residual_variance,
)


def scan_manifolds(
    points: np.ndarray,
    labels: np.ndarray,
    held_out: np.ndarray,
    *,
    neighbours: Sequence[int],
    landmarks: Sequence[int],
    seed: int = 0,
) -> pd.DataFrame:
    """Fit ISOMAP with every number of neighbours and landmarks, and judge it on other faces.

    Args:
        points: `(n, d)` points of training faces, from `ValenceArousalLabeller.points`.
        labels: `(n,)` labels, to draw stratified landmarks.
        held_out: `(m, d)` points of unseen faces.
        neighbours: Numbers of neighbours to try.
        landmarks: Numbers of landmarks to try.
        seed: Seed for landmarks and eigenvectors.

    Returns:
        One row per pair: `neighbours`, `landmarks`, `residual_variance` (on the landmarks),
        `trustworthiness`, `continuity` (on held-out faces) and `seconds` (processor time of the
        fit). The figures are NaN where ISOMAP cannot be fitted (disconnected neighbour graph).
    """
    from tqdm import tqdm

    pairs = list(product(landmarks, neighbours))
    rows = []
    for size, number in tqdm(pairs, "manifolds", delay=2, disable=None):
        chosen = stratified_sample(labels, size, np.random.default_rng(seed))
        found = _judge_manifold(points[chosen], held_out, number, seed)
        rows.append({"neighbours": number, "landmarks": size, **found})
    return pd.DataFrame(rows)


def scan_pull(
    labeller: ValenceArousalLabeller, table: ImageTable, strengths: Iterable[float]
) -> pd.DataFrame:
    """Judge labels of held-out faces for every strength of the shift towards the class.

    Args:
        labeller: A fitted labeller.
        table: Images with FER+ votes.
        strengths: Fractions of the way to the anchor, from 0 (class centres moved, faces not drawn
            in) to 1 (the anchor itself).

    Returns:
        One row per strength: `strength`, `mean_ccc`, `valence_rmse`, `arousal_rmse`.
    """
    from builder_tools.valence_arousal.labellers import faces_of

    places, anchors = labeller.oriented(faces_of(table)), table.emotions.anchors
    rows = []
    for strength in strengths:
        shifted = staged_shift(
            places, table.labels, labeller.centres_, anchors, stages=1, pull=strength
        )
        found = judge_labels(clip_to_disc(shifted[-1]), table.votes)
        rows.append({
            "strength": strength,
            "mean_ccc": found.mean_ccc.value,
            "valence_rmse": found.valence.rmse.value,
            "arousal_rmse": found.arousal.rmse.value,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _judge_manifold(
    points: np.ndarray, held_out: np.ndarray, neighbours: int, seed: int
) -> dict[str, float]:
    start, reducer = process_time(), IsomapReducer(neighbours=neighbours, random_state=seed)
    try:
        reducer.fit(points)
    except ValueError:
        return dict.fromkeys(
            ("residual_variance", "trustworthiness", "continuity", "seconds"), np.nan
        )
    seconds = process_time() - start
    rows = np.arange(len(points))
    quality = manifold_quality(held_out, reducer.transform(held_out))
    return {
        "residual_variance": residual_variance(reducer.geodesics_, reducer.embedding_, rows),
        "trustworthiness": quality.trustworthiness,
        "continuity": quality.continuity,
        "seconds": seconds,
    }
