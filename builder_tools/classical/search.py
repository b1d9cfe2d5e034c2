"""Successive halving: many settings on few faces, the best third on three times as many."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from builder_tools.classical.models import MODELS, make_pipeline, stratified_folds
from builder_tools.classical.sampling import NO_SAMPLER

CANDIDATES = 9
FOLDS = 3
FACTOR = 3
MOST_FACES = 3000
"""Most faces in the last round; the best setting is then fitted on all faces."""


def search_params(
    model: str,
    features: np.ndarray,
    labels: np.ndarray,
    *,
    learn: Sequence[tuple[str, Any]] = (),
    sampler: str = NO_SAMPLER,
    scoring: str = "accuracy",
    candidates: int = CANDIDATES,
    most_faces: int = MOST_FACES,
    kin: np.ndarray | None = None,
    n_jobs: int | None = -1,
    seed: int = 0,
) -> dict[str, Any]:
    """Find parameters of a model's pipeline by cross-validation within the training faces.

    Args:
        model: Name in `MODELS`.
        features: `(n, d)` of training faces.
        labels: `(n,)`.
        learn: Steps that belong to the features.
        sampler: Name in `SAMPLERS`; it only ever sees the training folds.
        scoring: A scikit-learn scorer.
        candidates: Number of settings in the first round.
        most_faces: Largest number of faces in the last round.
        kin: Groups that the faces come from, which folds do not divide (`stratified_folds`).
        n_jobs: Number of processes.
        seed: Seed of draws and folds.

    Returns:
        Step and parameter -> value, as plain numbers and strings; {} if there is nothing to tune.
    """
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingRandomSearchCV, StratifiedKFold

    space = MODELS[model].space(features.shape[1])
    if not space or candidates < 2:
        return {}
    if kin is None:
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    else:
        folds = stratified_folds(labels, FOLDS, kin=kin, seed=seed)
    last = min(most_faces, len(features))
    rounds = max(1, int(np.log(candidates) / np.log(FACTOR)))
    search = HalvingRandomSearchCV(
        make_pipeline(model, learn=learn, sampler=sampler, seed=seed),
        dict(space),
        n_candidates=candidates,
        factor=FACTOR,
        min_resources=max(last // FACTOR**rounds, 2 * FOLDS),
        max_resources=last,
        cv=folds,
        scoring=scoring,
        refit=False,
        random_state=seed,
        n_jobs=n_jobs,
    )
    with few_rows_allowed():
        search.fit(features, labels)
    return plain(search.best_params_)


@contextmanager
def few_rows_allowed() -> Iterator[None]:
    """Suppress warnings about classes with fewer rows than there are folds."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        warnings.filterwarnings("ignore", message="Number of classes in training fold")
        yield


def plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters without NumPy types and with floats to four digits, ready for JSON."""
    found = {}
    for name, value in sorted(params.items()):
        value = value.item() if isinstance(value, np.generic) else value
        found[name] = float(f"{value:.4g}") if isinstance(value, float) else value
    return found
