"""The registry of classical models, by name, and the pipeline they are fitted in.

The steps are those of the features that learn (imputation, eigenfaces), `scale`, `reduce` (PCA, if
the model works best with few features), `sample` (SMOTE and its variants: imbalanced-learn's
pipeline calls it only in `fit`, on the training rows) and `model`. Models without probabilities of
their own are calibrated by cross-validation around the whole pipeline, so that calibration never
uses synthetic rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from imblearn.pipeline import Pipeline
from scipy.stats import loguniform, randint
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from builder_tools.classical.kernel import QuietNystroem
from builder_tools.classical.sampling import NO_SAMPLER, SAMPLERS

CALIBRATION_FOLDS = 3
KERNEL_NUMBERS = 1000
"""Number of components of an approximated kernel."""

LEAST_GAMMA, MOST_GAMMA = 0.05, 1.0
"""Range of the kernel's gamma, in units of 1 / number of (standardised) features."""

FOLD_DRAWS = 40
"""Draws of folds until every class is learnt in each, as all people of a rare one may come to one;
the latter half is not stratified, where the same people come together again and again."""

Space = Mapping[str, Any]
Folds = StratifiedKFold | list[tuple[np.ndarray, np.ndarray]]
"""Folds as scikit-learn's `cv`: the rows to learn from and those held out, or what draws them."""


@dataclass(frozen=True)
class ModelSpec:
    """An entry of the registry.

    Args:
        make: Makes the steps after `sample` from a seed; the last step is the classifier.
        description: One line for help and tables.
        space: Function from the number of features to the search space: step and parameter ->
            list or distribution.
        kept_variance: Share of the variance that PCA keeps before the model; None for no PCA.
        calibrate: Whether probabilities come from cross-validated calibration.
    """

    make: Callable[[int], list[tuple[str, Any]]]
    description: str
    space: Callable[[int], Space] = field(default=lambda num_features: {})
    kept_variance: float | None = None
    calibrate: bool = False


def _logistic(seed: int) -> list[tuple[str, Any]]:
    return [("model", LogisticRegression(C=0.01, max_iter=200, random_state=seed))]


def _linear_svm(seed: int) -> list[tuple[str, Any]]:
    return [("model", LinearSVC(C=0.001, dual=False, tol=1e-2, random_state=seed))]


def _kernel_svm(
    kernel: Callable[..., Any], **options: Any
) -> Callable[[int], list[tuple[str, Any]]]:
    def make(seed: int) -> list[tuple[str, Any]]:
        return [("kernel", kernel(n_components=KERNEL_NUMBERS, random_state=seed, **options)),
                ("model", LinearSVC(C=1.0, dual=False, tol=1e-2, random_state=seed))]  # fmt: skip

    return make


def _forest(seed: int) -> list[tuple[str, Any]]:
    forest = RandomForestClassifier(200, min_samples_leaf=3, n_jobs=-1, random_state=seed)
    return [("model", forest)]


def _boosting(seed: int) -> list[tuple[str, Any]]:
    boosting = HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.1, max_leaf_nodes=15, early_stopping=False, random_state=seed
    )
    return [("model", boosting)]


def _neighbours(seed: int) -> list[tuple[str, Any]]:
    # "brute": the tree that few features would give cannot be stored without pickle.
    return [("model", KNeighborsClassifier(15, weights="distance", algorithm="brute", n_jobs=-1))]


def _discriminant(seed: int) -> list[tuple[str, Any]]:
    return [("model", LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))]


def _kernel_space(num_features: int) -> Space:
    low, high = LEAST_GAMMA / num_features, MOST_GAMMA / num_features
    return {"kernel__gamma": loguniform(low, high), "model__C": loguniform(0.03, 10)}


MODELS: dict[str, ModelSpec] = {
    "logistic": ModelSpec(
        _logistic,
        "multinomial logistic regression",
        lambda num_features: {"model__C": loguniform(1e-4, 1)},
    ),
    "linear_svm": ModelSpec(
        _linear_svm,
        "linear support vector machine, sigmoid-calibrated",
        lambda num_features: {"model__C": loguniform(1e-5, 1e-1)},
        calibrate=True,
    ),
    "rbf_svm": ModelSpec(
        _kernel_svm(QuietNystroem),
        "support vector machine with an RBF kernel by Nystroem, sigmoid-calibrated",
        _kernel_space,
        calibrate=True,
    ),
    "fourier_svm": ModelSpec(
        _kernel_svm(RBFSampler, gamma="scale"),
        "support vector machine with an RBF kernel by random Fourier features, sigmoid-calibrated",
        _kernel_space,
        calibrate=True,
    ),
    "forest": ModelSpec(
        _forest,
        "random forest",
        lambda num_features: {
            "model__min_samples_leaf": randint(2, 9),
            "model__max_features": ["sqrt", 0.1],
        },
        kept_variance=0.9,
    ),
    "boosting": ModelSpec(
        _boosting,
        "histogram gradient boosting",
        lambda num_features: {
            "model__learning_rate": loguniform(0.05, 0.3),
            "model__max_leaf_nodes": randint(7, 32),
            "model__l2_regularization": loguniform(1e-3, 10),
        },
        kept_variance=0.9,
    ),
    "neighbours": ModelSpec(
        _neighbours,
        "k nearest neighbours",
        lambda num_features: {"model__n_neighbors": randint(5, 60)},
        kept_variance=0.9,
    ),
    "discriminant": ModelSpec(
        _discriminant, "linear discriminant analysis with shrinkage", kept_variance=0.99
    ),
}
"""Name -> model."""


def make_pipeline(
    model: str,
    *,
    learn: Sequence[tuple[str, Any]] = (),
    sampler: str = NO_SAMPLER,
    params: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Pipeline:
    """Make the pipeline of a model before calibration, as used by a search.

    Args:
        model: Name in `MODELS`.
        learn: Steps that belong to the features (`make_features`).
        sampler: Name in `SAMPLERS`.
        params: Parameters of its steps, as returned by a search.
        seed: Seed of all random steps.

    Raises:
        ValueError: If a name is not in its registry.
    """
    for name, value, known in (("model", model, MODELS), ("sampler", sampler, SAMPLERS)):
        if value not in known:
            raise ValueError(f"Expected one of {sorted(known)}. Received: {name}={value!r}.")
    spec = MODELS[model]
    reduce = PCA(spec.kept_variance, svd_solver="full") if spec.kept_variance else "passthrough"
    steps = [
        *learn,
        ("scale", StandardScaler()),
        ("reduce", reduce),
        ("sample", SAMPLERS[sampler](seed)),
        *spec.make(seed),
    ]
    return Pipeline(steps).set_params(**(params or {}))


def with_probabilities(
    model: str,
    pipeline: Pipeline,
    y: Any,
    *,
    kin: np.ndarray | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
) -> BaseEstimator:
    """Return the pipeline, calibrated by cross-validation if its model needs that.

    Args:
        model: Name in `MODELS`.
        pipeline: A pipeline from `make_pipeline`.
        y: The labels it will be fitted to; there are at most as many folds as the smallest class
            has rows.
        kin: Which rows they come from (`stratified_folds`); the model then fits these rows only.
        seed: Seed of the folds.
        n_jobs: Number of folds to fit in parallel.
    """
    if not MODELS[model].calibrate:
        return pipeline
    folds = stratified_folds(y, CALIBRATION_FOLDS, kin=kin, seed=seed)
    return CalibratedClassifierCV(
        pipeline, method="sigmoid", cv=folds, ensemble=False, n_jobs=n_jobs
    )


def stratified_folds(y: Any, folds: int, *, kin: np.ndarray | None = None, seed: int = 0) -> Folds:
    """Return shuffled folds, at most as many as the smallest class has rows (at least 2).

    Args:
        y: `(n,)` labels.
        folds: Number of folds.
        kin: `(n, m)` groups that each row comes from (`kin_of`); None if each is on its own. Rows
            of the same main group are held out together, and rows made of anything that is held
            out are not learnt from meanwhile.
        seed: Seed of the folds.

    Returns:
        The folds, as scikit-learn's `cv` takes them; with `kin`, the rows to learn from and those
        held out of each.

    Raises:
        ValueError: If a class has only one row; or with `kin` only one group, or only groups that
            are held out together, so that it would not be learnt.
    """
    y = np.asarray(y)
    rows = y if kin is None else np.unique(np.stack([y, kin[:, 0]]), axis=1)[0]
    labels, counts = np.unique(rows, return_counts=True)
    count, rare = min(folds, int(counts.min())), labels[counts.argmin()]
    if count > 1 and kin is None:
        return StratifiedKFold(count, shuffle=True, random_state=seed)
    for number in range(FOLD_DRAWS if count > 1 and kin is not None else 0):
        kind = StratifiedGroupKFold if number < FOLD_DRAWS // 2 else GroupKFold
        drawn = kind(count, shuffle=True, random_state=(seed + number) % 2**32)
        held_out = [own for _, own in drawn.split(y, y, kin[:, 0])]
        learnt = [np.flatnonzero(~np.isin(kin, kin[own, 0]).any(axis=1)) for own in held_out]
        lost = [label for rows in learnt for label in np.setdiff1d(labels, y[rows])]
        if not lost:
            return list(zip(learnt, held_out, strict=True))
        rare = lost[0]
    apart = "" if kin is None else " of different people, not made from each other"
    raise ValueError(
        f"Expected two or more faces of every class{apart}. Received: one of class {rare}. Take "
        "more faces."
    )


def without_samplers(fitted: BaseEstimator) -> ClassifierMixin:
    """Return a fitted model for storage: without steps used only in `fit`, and single-threaded.

    Args:
        fitted: A fitted pipeline from `make_pipeline` or `with_probabilities`.
    """
    if isinstance(fitted, CalibratedClassifierCV):
        for calibrated in fitted.calibrated_classifiers_:
            calibrated.estimator = without_samplers(calibrated.estimator)
        fitted.estimator = fitted.calibrated_classifiers_[0].estimator
        fitted.cv = fitted.n_jobs = None
        return fitted
    from sklearn.pipeline import Pipeline as PlainPipeline

    kept = [
        (name, step)
        for name, step in fitted.steps
        if step not in (None, "passthrough") and not hasattr(step, "fit_resample")
    ]
    for _, step in kept:
        if "n_jobs" in step.get_params():
            step.set_params(n_jobs=None)
    return PlainPipeline(kept)
