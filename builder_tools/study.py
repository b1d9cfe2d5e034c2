"""From a data set to a shipped model: train, export, judge, card, and a row of the log.

Figures are measured with the exported file as users run it, on the untouched pictures of the
split, once, after training has ended.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from builder_tools.cards import ModelCard, write_card
from builder_tools.classifier import EmotionClassifier, resize_faces
from builder_tools.datasets.ferplus import (
    SPLIT_FOLDERS,
    FaceTable,
    data_folder,
    is_face,
    load_ferplus,
    vote_distribution,
)
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.evaluation import (
    PROTOCOLS,
    Judgement,
    apply_decision,
    balanced_decision,
    evaluate,
    judge,
    nine_class_labels,
    restrict,
)
from builder_tools.evaluation.protocols import LEFT_OUT, majority_seven_labels

DATASETS: dict[str, Callable[[str | Path | None], FaceTable]] = {"ferplus": load_ferplus}
"""Data sets a model can be trained and judged on, by name."""

ORIGINAL_LABELS_FILE = "fer2013_labels.csv"
PARITY_FACES = 1000
DECISION_STRENGTHS = (0.25, 0.5, 0.75, 1.0)

CARD_WORDS = {
    "preprocessing": "Inside the model: RGB 0...255 to ITU-R BT.601 grey, each face to mean 0 "
    "and variance 1.",
    "licence": "MIT for the weights; the labels of FER+ are MIT (Microsoft), the pictures of "
    "FER2013 were published for research: check your use.",
    "intended_use": "Telling the apparent expression of faces in pictures, videos and cameras, "
    "for statistics over many faces and for exploration by the people filmed or with their "
    "consent.",
    "limits": "An expression is not a feeling. Not for decisions about people (hiring, policing, "
    "health, credit, education). Trained on small grey web pictures in which contempt, disgust "
    "and fear are 3 % together: these are often missed (see per-class recall). Not checked "
    "for equal quality over age, sex and skin colour: the data says nothing of them.",
}
"""Fields of the card that are the same for every model trained on FER+."""


@dataclass(frozen=True)
class ShippedModel:
    """A model written to a folder, its judgements by protocol, and the network's history."""

    card: ModelCard
    judgements: dict[str, Judgement]
    history: pd.DataFrame


def train_and_ship(
    config,
    *,
    data: str = "ferplus",
    source: str | Path | None = None,
    run_folder: str | Path,
    model_folder: str | Path,
) -> ShippedModel:
    """Trains (or goes on), exports, judges on the test split and writes the card.

    Args:
        config: A `TrainingConfig`.
        data: Name in `DATASETS`.
        source: Where the data set is; its usual place if None.
        run_folder: Checkpoints; a run that was interrupted goes on from there.
        model_folder: Where the deployable model goes.
    """
    from builder_tools.training import train

    faces = _faces_only(_dataset(data)(source))
    run = train(config, _samples(faces, "train"), _samples(faces, "valid"), run_folder)
    record = {"data": data, **_data_record(faces), **_run_record(run)}
    card = _export(run.model, Path(model_folder), faces, config.stages[-1].size, record)
    decision = _fit_decision(EmotionClassifier(model_folder), faces)
    card = dataclasses.replace(card, decision=decision)
    judgements = judge_model(card, model_folder, faces)
    card = dataclasses.replace(card, metrics={"test": metrics_of(judgements)})
    write_card(model_folder, card)
    return ShippedModel(card, judgements, run.history)


def judge_model(
    card: ModelCard, model_folder: str | Path, faces: FaceTable, split: str = "test"
) -> dict[str, Judgement]:
    """Judges a model folder on a split under every protocol its classes and the data allow.

    Args:
        card: The card with the decision to judge.
        model_folder: The deployed model.
        faces: The whole data set: pictures of the split that also stand in train are left out
            of a second figure.
        split: train, valid or test.

    Returns:
        Protocol name -> judgement.
    """
    faces = _faces_only(faces)
    part = with_original_labels(faces.split(split))
    duplicates = faces.names_also_in_train()
    classifier = EmotionClassifier(model_folder)
    probabilities = classifier.predict(as_rgb(part.images))
    return {
        name: judge(
            protocol,
            part.table,
            probabilities,
            classifier.emotions,
            duplicates=duplicates,
            biases=card.decision,
        )
        for name, protocol in PROTOCOLS.items()
        if set(protocol.emotions) <= set(classifier.emotions) and _has_labels(protocol, part)
    }


def metrics_of(judgements: dict[str, Judgement]) -> dict[str, Any]:
    """Gives judgements as a card keeps them under a split's name."""
    return {name: judgement.to_dict() for name, judgement in judgements.items()}


def with_original_labels(faces: FaceTable) -> FaceTable:
    """Adds FER2013's own labels (`emotion`, `ambiguous_labels`).

    Where their file is absent or does not know all of the pictures, faces stay as they are.
    """
    path = data_folder() / ORIGINAL_LABELS_FILE
    if not path.is_file():
        return faces
    labels = pd.read_csv(path).rename(columns={"image": "name"})
    columns = ["name", "emotion", "ambiguous_labels"]
    table = faces.table.merge(labels[columns], on="name", how="left", validate="one_to_one")
    return FaceTable(faces.images, table) if table["emotion"].notna().all() else faces


def as_rgb(images: np.ndarray) -> np.ndarray:
    """Gives grey pictures `(n, H, W)` as `(n, H, W, 3)`."""
    return np.repeat(images[..., None], 3, axis=-1)


def log_experiment(path: str | Path, card: ModelCard, note: str = "") -> None:
    """Adds a row for a judged model to the log of experiments, atomically.

    Earlier rows keep every column they have; new columns come last.
    """
    path = Path(path)
    rows = [*_read_rows(path), _experiment_row(card, note)]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)


def save_figures(folder: str | Path, shipped: ShippedModel) -> list[Path]:
    """Draws the curves and the confusion matrix of a model into `<folder>/<name>_*.png`."""
    from matplotlib.figure import Figure

    from builder_tools.plots import plot_confusion, plot_training_curves

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    nine = shipped.judgements["ferplus-nine"].official
    drawn = {
        "curves": lambda ax: plot_training_curves(shipped.history, ax=ax),
        "confusion": lambda ax: plot_confusion(nine, ax=ax),
    }
    paths = []
    for what, draw in drawn.items():
        figure = Figure(figsize=(7, 5.5), layout="constrained")
        draw(figure.subplots())
        paths.append(folder / f"{shipped.card.name}_{what}.png")
        figure.savefig(paths[-1], dpi=120)
    return paths


def export_network(
    network: str | Path,
    folder: str | Path,
    *,
    size: int,
    suffixes: Sequence[str] = (".onnx",),
    emotions: Sequence[str] | None = None,
    source: str | Path | None = None,
):
    """Exports a `.keras` file into a model folder, checked on FER+ test faces.

    Args:
        network: A network from `(n, size, size, 3)` RGB 0...255 to probabilities.
        folder: Where to.
        size: Side of the deployed input, px.
        suffixes: Files to write; the first is deployed.
        emotions: Class order; the nine emotions if None.
        source: Where FER+ is.

    Returns:
        The `Export`: card and parity.
    """
    import keras

    from builder_tools.export import export_model

    faces = as_rgb(load_ferplus(source).split("test").images[:PARITY_FACES])
    return export_model(
        keras.models.load_model(network),
        folder,
        resize_faces(faces, size),
        load=EmotionClassifier,
        suffixes=suffixes,
        emotions=tuple(emotions or NINE_EMOTIONS),
        training={"network_file": Path(network).name},
        **CARD_WORDS,
    )


def _dataset(name: str):
    if name not in DATASETS:
        raise ValueError(f"Expected one of {list(DATASETS)}. Received: data={name!r}.")
    return DATASETS[name]


def _faces_only(faces: FaceTable) -> FaceTable:
    return faces.rows(is_face(faces.votes))


def _samples(faces: FaceTable, split: str):
    from builder_tools.training import Samples

    part = faces.split(split)
    return Samples(part.images, vote_distribution(part.votes))


def _data_record(faces: FaceTable) -> dict[str, Any]:
    labels = nine_class_labels(faces.split("train").votes)
    counts = np.bincount(labels, minlength=len(NINE_EMOTIONS))
    return {
        "data_sha256": faces.sha256,
        "pictures": {split: len(faces.split(split)) for split in SPLIT_FOLDERS},
        "class_counts": dict(zip(NINE_EMOTIONS, counts.tolist(), strict=True)),
    }


def _run_record(run) -> dict[str, Any]:
    budget = {
        "epochs": len(run.history),
        "minutes": round(float(run.history["seconds"].sum()) / 60, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores",
    }
    seed, commit = run.config["seed"], run.config["commit"]
    return {"seed": seed, "commit": commit, "budget": budget, "config": run.config}


def _export(model, folder: Path, faces: FaceTable, size: int, training: dict) -> ModelCard:
    """Exports at the size of the last stage, checked on test faces."""
    from builder_tools.export import export_model

    test = as_rgb(faces.split("test").images[:PARITY_FACES])
    return export_model(
        model,
        folder,
        resize_faces(test, size),
        load=EmotionClassifier,
        suffixes=(".onnx", ".keras"),
        emotions=NINE_EMOTIONS.names,
        training=training,
        **CARD_WORDS,
    ).card


def _fit_decision(classifier: EmotionClassifier, faces: FaceTable) -> dict[str, float]:
    """Fits the strength of the class-balanced decision: best mean recall (7) on valid."""
    labels = nine_class_labels(faces.split("train").votes)
    valid = faces.split("valid")
    truth = majority_seven_labels(valid.votes)
    kept = truth != LEFT_OUT
    probabilities = classifier.predict(as_rgb(valid.images))
    seven = PROTOCOLS["ferplus-majority-7"].emotions

    def mean_recall(strength: float) -> float:
        biases = balanced_decision(labels, NINE_EMOTIONS, strength=strength)
        found = restrict(apply_decision(probabilities, NINE_EMOTIONS, biases), NINE_EMOTIONS, seven)
        return evaluate(truth[kept], found[kept], seven).mean_recall.value

    best = max(DECISION_STRENGTHS, key=mean_recall)
    biases = balanced_decision(labels, NINE_EMOTIONS, strength=best)
    return {name: round(value, 4) for name, value in biases.items()}


def _has_labels(protocol, part: FaceTable) -> bool:
    return not protocol.name.startswith("fer2013") or "emotion" in part.table


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _experiment_row(card: ModelCard, note: str) -> dict[str, Any]:
    eight, nine = (card.metrics["test"][f"ferplus-{name}"] for name in ("majority-8", "nine"))
    seven = card.metrics["test"]["ferplus-majority-7"]
    training = card.training
    return {
        "date": date.today().isoformat(),
        "model": card.name,
        "network": training["config"]["network"],
        "data": training["data"],
        "data_sha256": training["data_sha256"][:12],
        "seed": training["seed"],
        "commit": training["commit"],
        "epochs": training["budget"]["epochs"],
        "minutes": training["budget"]["minutes"],
        "machine": training["budget"]["machine"],
        "majority_8_accuracy": eight["accuracy"],
        "majority_8_macro_f1": eight["macro_f1"],
        "majority_8_accuracy_without_duplicates": eight.get("without_duplicates", {}).get(
            "accuracy"
        ),
        "nine_class_accuracy": nine["accuracy"],
        "mean_recall_7_balanced": seven.get("balanced_decision", {}).get("mean_recall"),
        "note": note,
    }
