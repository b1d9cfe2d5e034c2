"""Rows of hybrids: the table's best classical models combined with the deep one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from builder_tools.classical.features import JOINED, make_features
from builder_tools.classical.hybrids import (
    FOLDS,
    DeepModel,
    SoftVoting,
    Stacked,
    out_of_fold,
)
from builder_tools.classical.models import (
    make_pipeline,
    stratified_folds,
    with_probabilities,
)
from builder_tools.classical.search import few_rows_allowed
from builder_tools.classical.storage import load_model
from studies.classical.faces import StudyFaces
from studies.classical.rows import described, keep_model

MOST_MEMBERS = 3
"""Largest number of classical members of a hybrid, each with different features."""

DEEP_FEATURES = "network"
HYBRIDS = {"vote": SoftVoting, "stack": Stacked}
OUT_OF_FOLD = "stack_oof"
"""Kind of a stack of classical models alone, learnt from out-of-fold predictions on train."""


def best_classical(rows: Sequence[Mapping[str, Any]], prefix: str) -> list[Mapping[str, Any]]:
    """Return the rows of the best classical models on valid, each with different features.

    Args:
        rows: Rows of the table.
        prefix: Prefix of the protocol's columns: eight, nine, own.

    Returns:
        At most three rows, best first, all fitted to the largest part of the faces in the table.
        Hybrids and models on the network's features are left out.
    """
    own = [
        row
        for row in rows
        if row["features"]
        and row["model"] not in (*HYBRIDS, OUT_OF_FOLD)
        and DEEP_FEATURES not in row["features"].split(JOINED)
    ]
    largest = max((float(row["fraction"]) for row in own), default=1.0)
    own = [row for row in own if float(row["fraction"]) == largest]
    ranked = sorted(own, key=lambda row: -float(row[f"valid_{prefix}_accuracy"]))
    best: dict[str, Mapping[str, Any]] = {}
    for row in ranked:
        best.setdefault(row["features"], row)
    return list(best.values())[:MOST_MEMBERS]


def hybrid_keys(rows: Sequence[Mapping[str, Any]], prefix: str) -> dict[str, tuple]:
    """Return the hybrids possible with the rows: key -> kind, keys of classical members."""
    best = best_classical(rows, prefix)
    if not best:
        return {}
    members, fraction = tuple(row["key"] for row in best), float(best[0]["fraction"])
    end = "" if fraction == 1 else f"-{fraction:g}"
    groups = [members[:1]] + ([members] if len(members) > 1 else [])
    found = {
        f"{kind}-deep+{len(group)}{end}": (kind, group) for group in groups for kind in HYBRIDS
    }
    if len(members) > 1:
        found[f"{OUT_OF_FOLD}-{len(members)}{end}"] = (OUT_OF_FOLD, members)
    return found


def run_hybrid(
    key: str,
    kind: str,
    members: Sequence[str],
    study: StudyFaces,
    rows: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Make the row of a hybrid.

    With a deep member, the weights are found on valid, which no member was fitted to, and the
    figures on valid, including those on the card, are cross-validated. Without one, the weights
    are found on out-of-fold predictions on train.

    Args:
        key: Name of the row.
        kind: vote, stack or stack_oof.
        members: Keys of the classical members' rows.
        study: The data.
        rows: Rows of the table that include the members' (for their parameters).
    """
    started = time.perf_counter()
    fraction = float(next(row["fraction"] for row in rows if row["key"] == members[0]))
    models = [(name, load_model(study.model_folder(name))) for name in members]
    answers = [np.load(study.answers_file(name)).astype(np.float64) for name in members]
    if kind != OUT_OF_FOLD:
        models.append(("deep", DeepModel(model=study.deep).pinned()))
        answers.append(study.deep_probabilities("valid"))
    valid = np.stack(answers)
    hybrid = HYBRIDS.get(kind, Stacked)(models)
    truth = study.labels("valid")
    if kind == OUT_OF_FOLD:
        own = study.training_rows(fraction)
        kin, labels = study.kin("train", own), study.labels("train")[own]
        learnt = _out_of_fold(members, study, rows, own)
        on_valid = hybrid.fit_probabilities(learnt, labels, kin=kin).combine(valid)
    else:
        kin = study.kin("valid")
        on_valid = cross_validated(hybrid, valid, truth, kin=kin, seed=study.seed)
        hybrid.fit_probabilities(valid, truth, kin=kin)
    fitted = time.perf_counter()
    weights = getattr(hybrid, "weights_", None)
    params = {} if weights is None else {"weights": np.round(weights, 4).tolist()}
    training = {"members": [name for name, _ in models], "data_sha256": study.data_sha256}
    columns = keep_model(hybrid, key, study, on_valid, training | params)
    return {
        **described(key, study),
        "features": " & ".join(name for name, _ in models),
        "model": kind,
        "sampler": "none",
        "fraction": fraction,
        "train_faces": len(study.training_rows(fraction)),
        "params": json.dumps(params),
        "fit_s": round(fitted - started, 2),
        **columns,
    }


def cross_validated(
    hybrid: SoftVoting | Stacked,
    probabilities: np.ndarray,
    y: np.ndarray,
    *,
    kin: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Return a hybrid's probabilities `(n, k)`, each from weights found on other faces.

    Args:
        hybrid: Unfitted hybrid; stays unfitted.
        probabilities: Probabilities of its members, `(m, n, k)`.
        y: True labels, `(n,)`.
        kin: Groups that the faces come from, which folds do not divide (`stratified_folds`).
        seed: Seed for the folds.
    """
    found = np.empty(probabilities.shape[1:])
    folds = stratified_folds(y, FOLDS, kin=kin, seed=seed)
    for rest, own in folds.split(y, y) if kin is None else folds:
        fresh = type(hybrid)(hybrid.members).fit_probabilities(
            probabilities[:, rest], y[rest], kin=None if kin is None else kin[rest]
        )
        found[own] = fresh.combine(probabilities[:, own])
    return found


def _out_of_fold(
    members: Sequence[str],
    study: StudyFaces,
    rows: Sequence[Mapping[str, Any]],
    own: np.ndarray,
) -> np.ndarray:
    """Return the members' out-of-fold probabilities on their training faces, rows `own`."""
    by_key = {row["key"]: row for row in rows}
    labels, kin = study.labels("train")[own], study.kin("train", own)
    folds, found = stratified_folds(labels, 3, kin=kin, seed=study.seed), []
    for name in members:
        row = by_key[name]
        _, learn = make_features(row["features"])
        about = {"learn": learn, "sampler": row["sampler"], "seed": study.seed}
        pipeline = make_pipeline(row["model"], params=json.loads(row["params"]), **about)
        features = study.some_features(row["features"], own)
        with few_rows_allowed():
            if kin is None:
                model = with_probabilities(row["model"], pipeline, labels, seed=study.seed)
                found.append(out_of_fold(model, features, labels, folds=folds, n_jobs=study.n_jobs))
                continue
            answers = np.zeros((len(labels), len(np.unique(labels))))
            for rest, held_out in folds:
                # Folds of calibration are those of these very rows.
                calibrated = {"kin": kin[rest], "seed": study.seed, "n_jobs": study.n_jobs}
                model = with_probabilities(row["model"], pipeline, labels[rest], **calibrated)
                model.fit(features[rest], labels[rest])
                known = np.searchsorted(np.unique(labels), model.classes_)
                answers[np.ix_(held_out, known)] = model.predict_proba(features[held_out])
            found.append(answers)
    return np.stack(found)
