"""One trial from FER+ to a row of the log: prepare faces, train, judge on valid.

A trial is a configuration and what is done to the faces. Test is for shipped models: no trial
predicts it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.datasets.ferplus import is_face, load_ferplus, vote_distribution
from builder_tools.datasets.table import ImageTable
from builder_tools.decisions import apply_decision
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.evaluation import (
    PROTOCOLS,
    Protocol,
    balanced_decision,
    nine_class_labels,
)
from builder_tools.headless import headless_network
from builder_tools.machine import hardware
from builder_tools.media.partial import replacing
from builder_tools.networks import PRETRAINED
from builder_tools.training import Samples, TrainingConfig, TrainingRun, train
from builder_tools.valence_arousal.vectors import keras_file
from studies.table import CONFIG, hash_of, what_differs

JUDGED = {"eight": "ferplus-majority-8", "nine": "ferplus-nine"}
"""Prefix of a column -> protocol."""

ANSWERS, ROW = "valid.npy", "row.json"
"""Files that a finished trial leaves in its folder."""

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
"""Strengths of logit adjustment to try; the best on valid is used."""

WATCHED_SHARE = 4
"""A trial on a subset has its curves measured on this many times fewer faces of valid than it is
trained on; it is judged on all of valid."""

EMBEDDING_MODEL = "fast"
"""The model in whose last features the embedding balancer looks for neighbours. It was trained on
the training split alone."""


@dataclass(frozen=True)
class Trial:
    """One run to be made.

    Args:
        study: Name of the study, such as `screening` or `ablations`.
        group: What is varied.
        variant: Its value.
        config: How the network is trained.
        labels: `hard` (the nine-class label) or `soft` (the shares of the votes).
        balancer: Name in `BALANCERS`: raises every class to the size of the largest.
        train_faces: Size of a fixed stratified subset of the training faces; None for all.
        decision: `natural` (the largest probability) or `balanced` (logit adjustment with the
            strength that is best on valid).
        trained_as: Variant of the baseline group whose network is judged; its own if None.
    """

    study: str
    group: str
    variant: str
    config: TrainingConfig
    labels: str = "hard"
    balancer: str = "none"
    train_faces: int | None = None
    decision: str = "natural"
    trained_as: str | None = None

    @property
    def key(self) -> str:
        """Name of the trial in its plan."""
        return f"{self.group}-{self.variant}-s{self.config.seed}"

    @property
    def training_key(self) -> str:
        """Name of the trial whose network is judged."""
        shared = self.trained_as
        return f"{shared}-{shared}-s{self.config.seed}" if shared else self.key

    @property
    def outcome(self) -> dict[str, Any]:
        """Everything that decides the figures of the trial, as JSON values."""
        names = ("group", "variant", "trained_as")
        return {name: value for name, value in what_differs(self).items() if name not in names}


def finished_row(trial: Trial, runs: Path) -> dict[str, Any] | None:
    """Return the row of a trial that was run, here or on another machine; None if it was not.

    A row of the same name with another configuration is not this trial's.
    """
    done = runs / trial.key / ROW
    if not done.is_file():
        return None
    row, wanted = json.loads(done.read_text()), hash_of(trial.outcome)
    # Rows of earlier code do not say what they are of.
    return row if row.get(CONFIG, wanted) == wanted else None


def need_weights(network: str, weights: str | None) -> None:
    """Check that distilled weights, if they are used, exist.

    Raises:
        FileNotFoundError: If they do not; says how to make them.
    """
    if weights not in (None, PRETRAINED) and not Path(weights).is_file():
        raise FileNotFoundError(
            f"Expected distilled weights in {weights}. Received: no such file. "
            f"`python -m studies.pretraining {network}` makes it."
        )


def run_trial(
    trial: Trial, runs: Path, *, source: str | Path | None = None, each_epoch: bool = True
) -> dict[str, Any]:
    """Run or resume a trial, and return its row.

    Args:
        trial: What to run.
        runs: Folder of `<key>/`, which holds checkpoints, the row (`row.json`) and the network's
            `(n, 9)` probabilities on valid (`valid.npy`).
        source: Zip or folder of FER+.
        each_epoch: Whether to write a checkpoint after each epoch (see `train`).
    """
    row = finished_row(trial, runs)
    if row is not None:
        return row
    need_weights(trial.config.network, trial.config.weights)
    folder, faces = runs / trial.key, read_faces(source)
    valid = watched = faces.split("valid")
    if trial.train_faces is not None:
        watched = _subset(valid, min(trial.train_faces // WATCHED_SHARE, len(valid) // 2))
    run = train(
        trial.config,
        training_samples(trial, faces.split("train")),
        Samples(watched.images, vote_distribution(watched.votes)),
        runs / trial.training_key,
        each_epoch=each_epoch,
    )
    found = _predict(run.model, valid.images, trial.config.stages[-1].size)
    if trial.decision == "balanced":
        biases = _best_biases(valid, found, faces.split("train"))
        found = apply_decision(found, NINE_EMOTIONS, biases)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / ANSWERS) as partial, partial.open("wb") as file:
        np.save(file, found.astype(np.float16))
    row = {CONFIG: hash_of(trial.outcome)} | _described(trial, run)
    for prefix, protocol in JUDGED.items():
        figures = figures_on(PROTOCOLS[protocol], valid, found)
        row |= {f"valid_{prefix}_{name}": value for name, value in figures.items()}
    with replacing(folder / ROW) as partial:
        partial.write_text(json.dumps(row, indent=1))
    return row


@functools.cache
def read_faces(source: str | Path | None) -> ImageTable:
    """Return the images of FER+ that people took for faces; read once per process."""
    faces = load_ferplus(source)
    return faces.rows(is_face(faces.votes))


def training_samples(trial: Trial, faces: ImageTable) -> Samples:
    """Return the training faces of a trial: its subset, balanced, with hard or soft targets."""
    faces = faces if trial.train_faces is None else _subset(faces, trial.train_faces)
    labels = nine_class_labels(faces.votes)
    if trial.balancer == "none":
        soft = vote_distribution(faces.votes)
        return Samples(faces.images, soft if trial.labels == "soft" else _one_hot(labels))
    images, labels = _balanced(trial, faces.images, labels)
    return Samples(images, _one_hot(labels))


def _subset(faces: ImageTable, count: int) -> ImageTable:
    """Return a stratified subset, the same for every network and seed."""
    from sklearn.model_selection import train_test_split

    rows, _ = train_test_split(
        np.arange(len(faces)),
        train_size=count,
        stratify=nine_class_labels(faces.votes),
        random_state=0,
    )
    chosen = np.zeros(len(faces), bool)
    chosen[rows] = True
    return faces.rows(chosen)


def _balanced(trial: Trial, images: np.ndarray, labels: np.ndarray):
    from builder_tools.balancing import BALANCERS

    options = {}
    if trial.balancer == "embedding_smote":
        options["embed"] = headless_network(keras_file(EMBEDDING_MODEL)).vectors
    images, labels, _ = BALANCERS[trial.balancer](
        images, labels, count=int(np.bincount(labels).max()), seed=trial.config.seed, **options
    )
    return images, labels


def _described(trial: Trial, run: TrainingRun) -> dict[str, Any]:
    config = trial.config
    of_file = {}
    if config.weights not in (None, PRETRAINED):
        of_file["weights_sha256"] = hashlib.sha256(Path(config.weights).read_bytes()).hexdigest()
    return {
        "date": date.today().isoformat(),
        "study": trial.study,
        "trial": trial.key,
        "group": trial.group,
        "variant": trial.variant,
        "network": config.network,
        "parameters": run.model.count_params(),
        "data": "ferplus",
        "labels": trial.labels,
        "balancer": trial.balancer,
        "train_faces": trial.train_faces or "all",
        "decision": trial.decision,
        "size": config.stages[-1].size,
        "seed": config.seed,
        "learning_rate": config.learning_rate,
        "commit": run.config["commit"],
        "backend": run.config["backend"],
        "precision": config.precision,
        "epochs": len(run.history),
        "minutes": round(float(run.history["seconds"].sum()) / 60, 2),
        "machine": hardware(),
        **of_file,
    }


def _best_biases(valid: ImageTable, found: np.ndarray, train: ImageTable) -> dict[str, float]:
    """Return the biases for the strength with the best mean recall on valid."""
    labels, protocol = nine_class_labels(train.votes), PROTOCOLS[JUDGED["eight"]]
    counts = np.bincount(labels[labels >= 0], minlength=len(NINE_EMOTIONS))

    def mean_recall(biases: dict[str, float]) -> float:
        decided = apply_decision(found, NINE_EMOTIONS, biases)
        return figures_on(protocol, valid, decided)["mean_recall"]

    candidates = [balanced_decision(counts, NINE_EMOTIONS, strength=s) for s in STRENGTHS]
    return max(candidates, key=mean_recall)


def _predict(network, images: np.ndarray, size: int) -> np.ndarray:
    from builder_tools.media import resize_faces

    found = [
        network.predict(resize_faces(images[i : i + 512], size), verbose=0)
        for i in range(0, len(images), 512)
    ]
    return np.concatenate(found)


def figures_on(
    protocol: Protocol, part: ImageTable, found: np.ndarray, emotions: EmotionSet = NINE_EMOTIONS
) -> dict[str, Any]:
    """Return figures under a protocol: accuracy with its interval, macro-F1, recalls.

    Args:
        protocol: One of `PROTOCOLS`.
        part: Faces of FER+.
        found: `(n, k)` probabilities.
        emotions: Their classes.
    """
    judged = protocol.apply(part.table, found, emotions).evaluate().to_dict()
    recall = {f"recall_{name}": value for name, value in judged.pop("per_class_recall").items()}
    wanted = ("accuracy", "accuracy_95", "macro_f1", "mean_recall")
    return {name: judged[name] for name in wanted} | recall


def _one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(len(NINE_EMOTIONS), dtype=np.float32)[labels]
