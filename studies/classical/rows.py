"""One row of the table: search, fit, save, measure, judge."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.cards import write_card
from builder_tools.classical.features import make_features
from builder_tools.classical.gains import paired_gains
from builder_tools.classical.models import make_pipeline, with_probabilities
from builder_tools.classical.search import few_rows_allowed, search_params
from builder_tools.classical.storage import face_model, needed_files, save_model
from builder_tools.classifier import EmotionClassifier
from builder_tools.decisions import apply_temperature
from builder_tools.evaluation import Judgement, fit_temperature, restrict
from builder_tools.machine import hardware
from builder_tools.media.partial import replacing
from builder_tools.release.words import card_words
from studies.classical.faces_of_study import StudyFaces
from studies.classical.plan import Entry

TIMED_FACES = 24
BATCH_FACES = 256
CERTAINTY = ("nine", "own")
"""Protocols that the temperature is fitted for, the first there is."""


def run_entry(entry: Entry, study: StudyFaces, *, search: bool = True, seed: int = 0) -> dict:
    """Make a row: everything that is chosen is chosen on train and valid; test is judged once.

    The model is left in `<study.folder>/models/<key>`, its probabilities on valid and test in
    `<study.folder>/predictions/<key>.npz`.

    Args:
        entry: Which.
        study: The data.
        search: Whether to search for parameters; else the defaults.
        seed: Of everything random.

    Returns:
        Column -> value.
    """
    rows = study.training_rows(entry.fraction, seed=seed)
    labels = study.labels("train")[rows]
    describer, learn = make_features(entry.features)
    features = study.some_features(entry.features, rows)
    about = {"learn": learn, "sampler": entry.sampler, "seed": seed}
    started = time.perf_counter()
    params = {}
    if search:
        params = search_params(entry.model, features, labels, n_jobs=study.n_jobs, **about)
    searched = time.perf_counter()
    pipeline = make_pipeline(entry.model, params=params, **about)
    model = with_probabilities(entry.model, pipeline, labels, seed=seed, n_jobs=study.n_jobs)
    with few_rows_allowed():
        model.fit(features, labels)
    fitted = time.perf_counter()
    found = {s: model.predict_proba(study.features(entry.features, s)) for s in ("valid", "test")}
    describer.fit(study.faces["train"][:1])
    training = {**_training(entry, study, len(rows), seed), "params": params}
    model_columns = keep_model(face_model(describer, model), entry.key, study, found, training)
    return {
        **described(entry.key, study, seed),
        "features": entry.features,
        "model": entry.model,
        "sampler": entry.sampler,
        "fraction": entry.fraction,
        "train_faces": len(rows),
        "num_features": features.shape[1],
        "params": json.dumps(params),
        "search_s": round(searched - started, 2),
        "fit_s": round(fitted - searched, 2),
        **model_columns,
    }


def keep_model(
    model: Any, key: str, study: StudyFaces, found: dict[str, np.ndarray], training: dict
) -> dict[str, Any]:
    """Write model folder and predictions; return the columns of size, speed and figures.

    Args:
        model: From faces to probabilities.
        key: Name of its folder.
        study: The data.
        found: Split -> its probabilities there, as they come.
        training: For the card.
    """
    folder = study.folder / "models" / key
    shutil.rmtree(folder, ignore_errors=True)
    size = study.faces["train"].shape[1]
    card = save_model(
        model,
        folder,
        study.emotions,
        input_size=size,
        training=training,
        **card_words(study.table.votes is not None),
    )
    temperature = fitted_temperature(study, found["valid"])
    finished = {split: as_used(each, temperature) for split, each in found.items()}
    judgements = {split: study.judge(split, each) for split, each in finished.items()}
    metrics = {split: study.metrics(split, each) for split, each in finished.items()}
    card = replace(card, temperature=temperature, metrics=metrics)
    write_card(folder, card)
    save_predictions(study, key, found)
    file_mb = (folder / card.file).stat().st_size / 1e6
    return {
        **speed(folder, study.faces["test"]),
        "size_mb": round(file_mb, 3),
        "needs_mb": round(sum(path.stat().st_size for path in needed_files(model)) / 1e6, 3),
        "temperature": temperature,
        **figures(judgements),
        **gains(study, finished["test"]),
    }


def described(key: str, study: StudyFaces, seed: int) -> dict[str, Any]:
    """Return the columns that say what, when, where and on what a row was made."""
    from builder_tools.training import commit_id

    return {
        "key": key,
        "date": date.today().isoformat(),
        "commit": commit_id(),
        "machine": hardware(),
        "data_sha256": study.data_sha256[:12],
        "seed": seed,
    }


def figures(judgements: dict[str, dict[str, Judgement]]) -> dict[str, Any]:
    """Return the columns of figures by split and protocol."""
    columns: dict[str, Any] = {}
    for split, own in judgements.items():
        for prefix, judgement in own.items():
            columns |= _columns(f"{split}_{prefix}", judgement)
    return columns


def gains(study: StudyFaces, probabilities: np.ndarray) -> dict[str, Any]:
    """Return the columns of the gain on the deep model on test, paired."""
    columns = {}
    deep = study.deep_probabilities("test")
    for prefix in study.protocols:
        own = study.decided("test", prefix, probabilities)
        other = study.decided("test", prefix, deep)
        for name, gain in paired_gains(
            own.truth, own.predicted, other.predicted, own.num_classes
        ).items():
            for end, value in (("", gain.value), ("_low", gain.low), ("_high", gain.high)):
                columns[f"{prefix}_{name}_gain{end}"] = round(value, 4)
    return columns


def fitted_temperature(study: StudyFaces, valid: np.ndarray) -> float:
    """Return the temperature that suits a model's probabilities on valid `(n, k)`."""
    prefix = next(name for name in CERTAINTY if name in study.protocols)
    own = study.protocols[prefix]
    truth = own.labels(study.parts["valid"].table)
    inside = restrict(valid, study.emotions, own.emotions)
    return round(fit_temperature(truth[truth >= 0], inside[truth >= 0]), 4)


def as_used(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities as `EmotionClassifier` does, in its precision."""
    return apply_temperature(probabilities.astype(np.float32), temperature).astype(np.float32)


def speed(folder: Path, faces: np.ndarray) -> dict[str, float]:
    """Measure a model folder as it is used, one thread: one face at a time, and many."""
    classifier = EmotionClassifier(folder)
    rgb = np.repeat(faces[..., None], 3, axis=-1) if faces.ndim == 3 else faces
    alone = [_seconds(classifier, rgb[n : n + 1]) for n in range(min(TIMED_FACES, len(rgb)))]
    many = rgb[:BATCH_FACES]
    return {
        "ms_per_face": round(1000 * statistics.median(alone), 3),
        "ms_per_face_batch": round(1000 * _seconds(classifier, many) / len(many), 3),
    }


def save_predictions(study: StudyFaces, key: str, found: dict[str, np.ndarray]) -> None:
    """Keep a model's probabilities by split, before temperature."""
    path = predictions_path(study, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file, **{split: each.astype(np.float32) for split, each in found.items()}
        )


def read_predictions(study: StudyFaces, key: str) -> dict[str, np.ndarray]:
    """Return a model's probabilities by split, before temperature."""
    with np.load(predictions_path(study, key)) as archive:
        return {split: archive[split].astype(np.float64) for split in archive.files}


def predictions_path(study: StudyFaces, key: str) -> Path:
    """Return the file of a model's probabilities."""
    return study.folder / "predictions" / f"{key}.npz"


def _training(entry: Entry, study: StudyFaces, train_faces: int, seed: int) -> dict[str, Any]:
    counts = np.bincount(study.labels("train"), minlength=len(study.emotions))
    return {
        "data_sha256": study.data_sha256,
        "features": entry.features,
        "model": entry.model,
        "sampler": entry.sampler,
        "pictures": {"train": train_faces},
        "class_counts": dict(zip(study.emotions, counts.tolist(), strict=True)),
        "seed": seed,
    }


def _columns(start: str, judgement: Judgement) -> dict[str, Any]:
    found = judgement.to_dict()
    columns = {f"{start}_{name}": found[name] for name in ("n", "accuracy")}
    columns[f"{start}_accuracy_low"], columns[f"{start}_accuracy_high"] = found["accuracy_95"]
    columns |= {f"{start}_{name}": found[name] for name in ("macro_f1", "mean_recall", "ece")}
    clean = found.get("without_duplicates")
    columns[f"{start}_accuracy_without_duplicates"] = clean["accuracy"] if clean else None
    recall = found["per_class_recall"].items()
    return columns | {f"{start}_recall_{emotion}": value for emotion, value in recall}


def _seconds(classifier: EmotionClassifier, faces: np.ndarray) -> float:
    started = time.perf_counter()
    classifier.predict(faces)
    return time.perf_counter() - started
