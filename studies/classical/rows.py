"""One row of the table: search, fit, save, measure, judge on valid."""

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

from builder_tools.cards import ModelCard, find_model, write_card
from builder_tools.classical.features import make_features
from builder_tools.classical.models import make_pipeline, with_probabilities
from builder_tools.classical.sampling import NO_SAMPLER
from builder_tools.classical.search import few_rows_allowed, search_params
from builder_tools.classical.storage import face_model, needed_files, save_model
from builder_tools.classifier import EmotionClassifier
from builder_tools.decisions import apply_temperature
from builder_tools.evaluation import fit_temperature, paired_gains, restrict
from builder_tools.machine import hardware
from builder_tools.media.partial import replacing
from builder_tools.release.words import card_words
from studies.classical.faces import StudyFaces
from studies.classical.plan import Entry

DEEP_KEY = "deep"
"""Key of the row of the deep model that the others are compared with."""

TIMED_FACES = 24
BATCH_FACES = 256
CERTAINTY = ("nine", "own")
"""Protocols to fit the temperature for; the first one available is used."""


def run_entry(entry: Entry, study: StudyFaces, *, search: bool = True) -> dict[str, Any]:
    """Make a row: parameters are chosen within train, temperatures on valid.

    The model is left in `study.model_folder`, its probabilities on valid in `study.answers_file`.

    Args:
        entry: The row to make.
        study: The data.
        search: Whether to search for parameters; the defaults are used otherwise.

    Returns:
        Column -> value.
    """
    rows = study.training_rows(entry.fraction)
    labels = study.labels("train")[rows]
    describer, learn = make_features(entry.features)
    features = study.some_features(entry.features, rows)
    about = {"learn": learn, "sampler": entry.sampler, "seed": study.seed}
    apart = {"kin": study.kin("train", rows), "n_jobs": study.n_jobs}
    started = time.perf_counter()
    params = {}
    if search:
        params = search_params(entry.model, features, labels, **apart, **about)
    searched = time.perf_counter()
    pipeline = make_pipeline(entry.model, params=params, **about)
    model = with_probabilities(entry.model, pipeline, labels, seed=study.seed, **apart)
    with few_rows_allowed():
        model.fit(features, labels)
    fitted = time.perf_counter()
    found = model.predict_proba(study.features(entry.features, "valid"))
    describer.fit(study.faces["train"][:1])
    counts = np.bincount(labels, minlength=len(study.emotions))
    training = {
        "data_sha256": study.data_sha256,
        "features": entry.features,
        "model": entry.model,
        "sampler": entry.sampler,
        "pictures": {"train": len(rows)},
        "class_counts": dict(zip(study.emotions, counts.tolist(), strict=True)),
        "seed": study.seed,
        "params": params,
    }
    model_columns = keep_model(face_model(describer, model), entry.key, study, found, training)
    return {
        **described(entry.key, study),
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


def deep_row(study: StudyFaces) -> dict[str, Any]:
    """Return the row of the deep model as shipped."""
    folder = find_model(study.deep)
    card = ModelCard.read(folder)
    minutes = card.training.get("budget", {}).get("minutes")
    return {
        **described(DEEP_KEY, study),
        "features": "",
        "model": card.name,
        "sampler": NO_SAMPLER,
        "fraction": 1.0,
        "train_faces": card.training.get("pictures", {}).get("train"),
        "params": "{}",
        "fit_s": None if minutes is None else 60 * minutes,
        **speed(folder, study.faces["valid"]),
        "size_mb": round((folder / card.file).stat().st_size / 1e6, 3),
        "needs_mb": 0.0,
        "temperature": card.temperature,
        **figures(study, study.deep_probabilities("valid")),
    }


def keep_model(
    model: Any, key: str, study: StudyFaces, found: np.ndarray, training: dict
) -> dict[str, Any]:
    """Write the model folder and answers; return the columns of size, speed and figures.

    Args:
        model: Model from faces to probabilities.
        key: Name of its folder.
        study: The data.
        found: Its probabilities on valid, before temperature scaling.
        training: What the card says about the training.
    """
    folder = study.model_folder(key)
    shutil.rmtree(folder, ignore_errors=True)
    card = save_model(
        model,
        folder,
        study.emotions,
        input_size=study.faces["train"].shape[1],
        training=training,
        **card_words(study.table.votes is not None),
    )
    temperature, used = as_used(study, key, found)
    metrics = {"valid": study.metrics(used)}
    write_card(folder, replace(card, temperature=temperature, metrics=metrics))
    return {
        **speed(folder, study.faces["valid"]),
        "size_mb": round((folder / card.file).stat().st_size / 1e6, 3),
        "needs_mb": round(sum(path.stat().st_size for path in needed_files(model)) / 1e6, 3),
        "temperature": temperature,
        **figures(study, used),
    }


def described(key: str, study: StudyFaces) -> dict[str, Any]:
    """Return the columns that say what a row is and when, where and on what data it was made."""
    from builder_tools.training import commit_id

    return {
        "key": key,
        "date": date.today().isoformat(),
        "commit": commit_id(),
        "machine": hardware(),
        "data_sha256": study.data_sha256[:12],
        "seed": study.seed,
    }


def figures(study: StudyFaces, used: np.ndarray) -> dict[str, Any]:
    """Return the columns of figures on valid by protocol, and of paired gains over the deep model.

    Args:
        study: The data.
        used: Probabilities on valid `(n, k)`, after temperature scaling.
    """
    columns: dict[str, Any] = {}
    for prefix, judgement in study.judge(used).items():
        start, found = f"valid_{prefix}", judgement.to_dict()
        columns |= {f"{start}_{name}": found[name] for name in ("n", "accuracy")}
        columns[f"{start}_accuracy_low"], columns[f"{start}_accuracy_high"] = found["accuracy_95"]
        columns |= {f"{start}_{name}": found[name] for name in ("macro_f1", "mean_recall", "ece")}
        clean = found.get("without_duplicates")
        columns[f"{start}_accuracy_without_duplicates"] = clean["accuracy"] if clean else None
        recall = found["per_class_recall"].items()
        columns |= {f"{start}_recall_{emotion}": value for emotion, value in recall}
    deep = study.deep_probabilities("valid")
    for prefix, protocol in study.protocols.items():
        truth, own = study.decided(prefix, used)
        _, other = study.decided(prefix, deep)
        for name, gain in paired_gains(truth, own, other, len(protocol.emotions)).items():
            for end, value in (("", gain.value), ("_low", gain.low), ("_high", gain.high)):
                columns[f"{prefix}_{name}_gain{end}"] = round(value, 4)
    return columns


def as_used(study: StudyFaces, key: str, found: np.ndarray) -> tuple[float, np.ndarray]:
    """Save probabilities on valid; return the temperature and the probabilities scaled with it."""
    path = study.answers_file(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, found.astype(np.float32))
    prefix = next(name for name in CERTAINTY if name in study.protocols)
    own = study.protocols[prefix]
    truth = own.labels(study.parts["valid"].table)
    inside = restrict(found, study.emotions, own.emotions)
    temperature = round(fit_temperature(truth[truth >= 0], inside[truth >= 0]), 4)
    return temperature, apply_temperature(found.astype(np.float32), temperature).astype(np.float32)


def speed(folder: Path, faces: np.ndarray) -> dict[str, float]:
    """Measure a model folder's speed in use, on one thread: one face at a time, and many."""
    classifier = EmotionClassifier(folder)
    rgb = np.repeat(faces[..., None], 3, axis=-1) if faces.ndim == 3 else faces
    alone = [_seconds(classifier, rgb[n : n + 1]) for n in range(min(TIMED_FACES, len(rgb)))]
    many = rgb[:BATCH_FACES]
    return {
        "ms_per_face": round(1000 * statistics.median(alone), 3),
        "ms_per_face_batch": round(1000 * _seconds(classifier, many) / len(many), 3),
    }


def _seconds(classifier: EmotionClassifier, faces: np.ndarray) -> float:
    started = time.perf_counter()
    classifier.predict(faces)
    return time.perf_counter() - started
