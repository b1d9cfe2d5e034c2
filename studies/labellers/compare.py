"""Evaluation of a labeller: agreement with the votes, and what it tells beyond the class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from builder_tools.datasets.table import ImageTable
from builder_tools.evaluation import (
    Association,
    Figure,
    RegressionEvaluation,
    concordance_gain,
)
from builder_tools.valence_arousal.anchors import vote_weighted_anchors
from builder_tools.valence_arousal.labeller import ValenceArousalLabeller
from builder_tools.valence_arousal.labellers import LABELLERS, faces_of, make_labeller
from builder_tools.valence_arousal.orientation import clip_to_disc
from studies.labellers.validation import (
    WithinClass,
    judge_labels,
    judge_within_classes,
    manifold_quality,
)

UNSHIFTED, SHIFTED = "no", "yes"
ASSOCIATIONS = ("valence", "arousal", "happy_surprise", "disagreement")


@dataclass(frozen=True)
class Candidate:
    """A labeller to be compared.

    Args:
        name: Name in the table.
        labeller: Name in `LABELLERS`.
        options: Options of the labeller.
    """

    name: str
    labeller: str
    options: dict[str, Any] = field(default_factory=dict)


CANDIDATES = (
    Candidate("class anchor", "anchor"),
    Candidate("PCA", "pca"),
    Candidate("ISOMAP", "isomap"),
    Candidate("ISOMAP, oriented on images", "isomap", {"orient_on": "images"}),
    Candidate("ISOMAP on network", "isomap-network"),
    Candidate("ISOMAP on network, on images", "isomap-network", {"orient_on": "images"}),
    Candidate("UMAP", "umap"),
)


def compare(
    candidate: Candidate,
    train: ImageTable,
    held_out: ImageTable,
    *,
    points: np.ndarray,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """Fit a labeller on train and judge it on other faces, without and with their class.

    Args:
        candidate: What to fit.
        train: Labelled faces.
        held_out: Faces with votes.
        points: Principal components `(n, d)` of the pixels of `held_out`, whose neighbours
            manifolds should keep. Those of a network's features are judged by its neighbours.
        seed: Seed for bootstrap and permutations.

    Yields:
        A row of the table: `labeller`, `class_known`, the figures of `RegressionEvaluation`, and
        value, interval, p-value and number of faces of each association; for the raw manifold
        also `trustworthiness` and `continuity`.
    """
    labeller = make_labeller(candidate.labeller, **candidate.options)
    labeller.fit(faces_of(train), train.labels)
    if not isinstance(labeller, ValenceArousalLabeller):
        yield _row(candidate, SHIFTED, labeller.transform(None, held_out.labels), held_out, seed)
        return
    places = labeller.oriented(faces_of(held_out))
    own = points if labeller.network is None else labeller.points(faces_of(held_out))
    quality = vars(manifold_quality(own, places))
    shares = {"clipped_share": labeller.clipped_share_}
    raw = _row(candidate, UNSHIFTED, clip_to_disc(places), held_out, seed)
    yield raw | quality | shares
    shifted = labeller.transform(faces_of(held_out), held_out.labels)
    gain = _gain_over_anchor(shifted, held_out, seed)
    yield _row(candidate, SHIFTED, shifted, held_out, seed) | _columns("over_anchor", gain)


def _row(
    candidate: Candidate, class_known: str, labels: np.ndarray, table: ImageTable, seed: int
) -> dict[str, Any]:
    row: dict[str, Any] = {"labeller": candidate.name, "class_known": class_known}
    row |= {"description": LABELLERS[candidate.labeller].description}
    row |= _agreement(judge_labels(labels, table.votes, seed=seed))
    return row | _within(judge_within_classes(labels, table, seed=seed))


def _gain_over_anchor(labels: np.ndarray, table: ImageTable, seed: int) -> Figure:
    anchors = make_labeller("anchor").fit_transform(None, table.labels)
    return concordance_gain(vote_weighted_anchors(table.votes), labels, anchors, seed=seed)


def _agreement(found: RegressionEvaluation) -> dict[str, float]:
    row: dict[str, float] = {"n": found.n} | _columns("mean_ccc", found.mean_ccc)
    for axis in ("valence", "arousal"):
        for name, figure in vars(getattr(found, axis)).items():
            row |= _columns(f"{axis}_{name}", figure)
    return row


def _within(found: WithinClass) -> dict[str, float]:
    row: dict[str, float] = {}
    for name in ASSOCIATIONS:
        one: Association = getattr(found, name)
        row |= _columns(f"{name}_rho", one.correlation)
        row |= {f"{name}_p": one.p_value, f"{name}_n": one.n}
    return row


def _columns(name: str, figure: Figure) -> dict[str, float]:
    return {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
