"""Classical and deep models combined by soft voting and stacking.

The members' weights are fitted on faces that none of the members was fitted on: the validation
split if there is a deep model (it has seen all of train, so its predictions there prove nothing),
or out-of-fold predictions on train if all members are classical (`out_of_fold`). Never on test.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.utils.validation import check_is_fitted

from builder_tools.cards import ModelCard, file_sha256, find_model
from builder_tools.classical.face_features import check_stack
from builder_tools.classical.models import Folds, stratified_folds
from builder_tools.classifier import EmotionClassifier
from builder_tools.decisions import LEAST_PROBABILITY
from builder_tools.media import resize_faces

FOLDS = 5
STACK_CS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Strengths of the stacking regression that cross-validation chooses from."""

Members = Sequence[tuple[str, Any]]
"""Names and fitted models with `predict_proba(faces)`."""


class DeepModel(ClassifierMixin, BaseEstimator):
    """A shipped network, already trained, as a scikit-learn classifier.

    Args:
        model: Name or folder of the model.
        sha256: SHA-256 of its file; any other file is refused. `pinned()` fills it in.
    """

    def __init__(self, *, model: str = "fast", sha256: str | None = None) -> None:
        self.model = model
        self.sha256 = sha256

    def pinned(self) -> DeepModel:
        """Return a copy that only works with the model's current file."""
        return DeepModel(model=self.model, sha256=_model_sha256(self.model))

    def fit(self, faces: np.ndarray, y: np.ndarray | None = None) -> DeepModel:
        """Do nothing: the network is already trained."""
        return self

    @property
    def classes_(self) -> np.ndarray:
        return np.arange(len(self._classifier().emotions))

    def predict_proba(self, faces: np.ndarray) -> np.ndarray:
        """Return probabilities for `(n, H, W[, 3])` uint8 faces, `(n, k)` float64."""
        check_stack(faces)
        found = self._classifier().predict(resize_faces(faces, faces.shape[1]))
        return np.asarray(found, np.float64)

    def predict(self, faces: np.ndarray) -> np.ndarray:
        """Return the most probable label of each face."""
        return self.predict_proba(faces).argmax(axis=1)

    def files(self) -> tuple[Path, ...]:
        """Return the network's file."""
        folder = find_model(self.model)
        return (folder / ModelCard.read(folder).file,)

    def _classifier(self) -> EmotionClassifier:
        if getattr(self, "_loaded", None) is None:
            found = _model_sha256(self.model)
            if self.sha256 not in (None, found):
                raise ValueError(
                    f"Expected the model {self.model!r} with sha256 {self.sha256}. Received: "
                    f"{found}. It has changed since this hybrid was fitted: fit it again."
                )
            self._loaded = EmotionClassifier(self.model)
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "sha256": self.sha256}

    def __sklearn_is_fitted__(self) -> bool:
        return True


class _Hybrid(ClassifierMixin, BaseEstimator):
    """Several fitted models as one; subclasses define how their probabilities are combined."""

    def __init__(self, members: Members) -> None:
        self.members = members

    def fit(self, faces: np.ndarray, y: np.ndarray) -> _Hybrid:
        """Fit the weights of the members, which do not change, on faces that none was fitted on."""
        return self.fit_probabilities(member_probabilities(self.members, faces), y)

    def predict_proba(self, faces: np.ndarray) -> np.ndarray:
        """Return probabilities for `(n, H, W[, 3])` uint8 faces, `(n, k)` float64."""
        check_is_fitted(self)
        return self.combine(member_probabilities(self.members, faces))

    def predict(self, faces: np.ndarray) -> np.ndarray:
        """Return the most probable label of each face."""
        return self.classes_[self.predict_proba(faces).argmax(axis=1)]


class SoftVoting(_Hybrid):
    """The weighted mean of the members' probabilities.

    Args:
        members: Names and fitted models.

    Attributes:
        weights_: `(m,)`, non-negative, sum 1: the weights with the lowest cross-entropy.
    """

    def fit_probabilities(
        self, probabilities: np.ndarray, y: np.ndarray, *, kin: np.ndarray | None = None
    ) -> SoftVoting:
        """Fit the weights to the members' probabilities `(m, n, k)` and labels `(n,)`, all at once.

        Without folds, it does not matter which groups the rows come from (`kin`).
        """
        self.weights_ = voting_weights(probabilities, y)
        self.classes_ = np.arange(probabilities.shape[2])
        return self

    def combine(self, probabilities: np.ndarray) -> np.ndarray:
        """Return probabilities `(n, k)` from the members' `(m, n, k)`."""
        return np.tensordot(self.weights_, probabilities, axes=1)


class Stacked(_Hybrid):
    """A logistic regression on the logarithms of the members' probabilities.

    Args:
        members: Names and fitted models.

    Attributes:
        regression_: The regression; its strength is chosen by cross-validation.
    """

    def fit_probabilities(
        self, probabilities: np.ndarray, y: np.ndarray, *, kin: np.ndarray | None = None
    ) -> Stacked:
        """Fit the regression to the members' probabilities `(m, n, k)` and labels `(n,)`.

        Its folds do not divide the groups that the rows come from (`stratified_folds`).
        """
        self.regression_ = fit_stack(stack_rows(probabilities), y, kin=kin)
        self.classes_ = np.arange(probabilities.shape[2])
        return self

    def combine(self, probabilities: np.ndarray) -> np.ndarray:
        """Return probabilities `(n, k)` from the members' `(m, n, k)`; 0 for unseen classes."""
        found = np.zeros(probabilities.shape[1:])
        known = self.regression_.classes_
        found[:, known] = self.regression_.predict_proba(stack_rows(probabilities))
        return found


def member_probabilities(members: Members, faces: np.ndarray) -> np.ndarray:
    """Return the probabilities of each member for each face, `(m, n, k)` float64."""
    return np.stack([np.asarray(each.predict_proba(faces), np.float64) for _, each in members])


def voting_weights(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the weights `(m,)` of the mean of probabilities with the lowest cross-entropy.

    Args:
        probabilities: `(m, n, k)`.
        y: `(n,)` labels.
    """
    of_truth = probabilities[:, np.arange(len(y)), y]
    count = len(of_truth)

    def cross_entropy(weights: np.ndarray) -> float:
        return -np.log(np.maximum(weights @ of_truth, LEAST_PROBABILITY)).mean()

    found = minimize(
        cross_entropy,
        np.full(count, 1 / count),
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        method="SLSQP",
    )
    weights = np.clip(found.x, 0, None)
    return weights / weights.sum()


def stack_rows(probabilities: np.ndarray) -> np.ndarray:
    """Return the logarithms of the members' probabilities side by side, `(n, m * k)`."""
    logs = np.log(np.maximum(probabilities, 1e-4))
    return np.concatenate(list(logs), axis=1)


def fit_stack(
    rows: np.ndarray, y: np.ndarray, *, kin: np.ndarray | None = None, seed: int = 0
) -> LogisticRegression:
    """Fit a logistic regression whose strength is chosen by cross-validation."""
    folds = stratified_folds(y, FOLDS, kin=kin, seed=seed)

    def loss(strength: float) -> float:
        regression = _regression(strength)
        found = cross_val_predict(regression, rows, y, cv=folds, method="predict_proba")
        truth = np.searchsorted(np.unique(y), y)
        return -np.log(np.maximum(found[np.arange(len(y)), truth], LEAST_PROBABILITY)).mean()

    return _regression(min(STACK_CS, key=loss)).fit(rows, y)


def _regression(strength: float) -> LogisticRegression:
    # Members are highly correlated: first-order solvers would take thousands of steps.
    return LogisticRegression(C=strength, solver="newton-cholesky")


def out_of_fold(
    model: Any,
    features: np.ndarray,
    y: np.ndarray,
    *,
    folds: Folds | None = None,
    n_jobs: int | None = -1,
) -> np.ndarray:
    """Return the probability of each class for each row, from models that did not see the row.

    Args:
        model: An unfitted model with `predict_proba`; any resampling takes place inside the folds.
        features: `(n, d)`.
        y: `(n,)`.
        folds: The folds (`stratified_folds`), i.e. which rows are left out together.
        n_jobs: Number of processes.

    Returns:
        `(n, k)` float64 in the order of `numpy.unique(y)`.
    """
    folds = stratified_folds(y, FOLDS) if folds is None else folds
    return cross_val_predict(
        clone(model), features, y, cv=folds, method="predict_proba", n_jobs=n_jobs
    )


def _model_sha256(model: str) -> str:
    return file_sha256(*DeepModel(model=model).files())
