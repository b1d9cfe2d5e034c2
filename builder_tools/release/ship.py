"""Train, export, judge, write the card, draw the figures."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from builder_tools.cards import CARD_FILE, ModelCard
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets import DATASETS
from builder_tools.datasets.identity import data_sha256
from builder_tools.datasets.table import SPLITS, ImageTable
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import OWN_LABELS, Judgement
from builder_tools.machine import hardware
from builder_tools.media import replacing, resize_faces, resize_stack
from builder_tools.release.affect import (
    class_centres,
    labels_record,
    places_of,
    read_label_files,
)
from builder_tools.release.finishing import finish_model
from builder_tools.release.targets import (
    Teaching,
    matching_teacher,
    taught_samples,
)
from builder_tools.release.teachers import TEACHING_FILE, reservations
from builder_tools.release.words import card_words
from builder_tools.tasks import EMOTION, TASKS

PARITY_FACES = 1000

_logger = logging.getLogger(__name__)

GREY_INSIDE = (
    "Inside the model: RGB 0...255 to ITU-R BT.601 grey, each face to mean 0 and variance 1."
)
INSIDE = "Inside the model, as its family wants it: it eats RGB 0...255."


@dataclass(frozen=True)
class ShippedModel:
    """A model written to a folder, its judgements by protocol, and the network's history."""

    card: ModelCard
    judgements: dict[str, Judgement]
    history: pd.DataFrame


def load_data(name: str, source: str | Path | None = None, **reading: Any) -> ImageTable:
    """Read a data set by name, split into train, valid and test; its classes are those of train.

    Args:
        name: In `DATASETS`.
        source: Where the data set is; its usual place if None.
        **reading: Options of its loader: `classes`, `columns`, `valid`, `test`.

    Raises:
        ValueError: If the name is not in `DATASETS`, there is nothing to train on, or train lacks
            a class of valid or test.
    """
    if name not in DATASETS:
        raise ValueError(f"Expected one of {list(DATASETS)}. Received: data={name!r}.")
    data = DATASETS[name](source, **reading)
    for split in SPLITS:
        if not len(data.split(split)):
            raise ValueError(
                f"Expected images in train, valid and test. Received: none in {split} of "
                f"{source or name}."
            )
    return _without_unused_classes(data, source or name)


def _without_unused_classes(data: ImageTable, name: str | Path) -> ImageTable:
    """A folder of three emotions is for a network of three."""
    learnt = set(data.split("train").table["emotion"])
    unlearnt = sorted(set(data.table["emotion"]) - learnt)
    if unlearnt or len(learnt) < 2:
        raise ValueError(
            "Expected images of two classes or more, each of them in train. Received in train: "
            f"{sorted(learnt)}, and besides in valid or test: {unlearnt or 'none'}, of {name}."
        )
    if data.votes is not None or len(learnt) == len(data.emotions):
        return data
    known = [emotion for emotion in data.emotions if emotion in learnt]
    _logger.warning("%s shows %d emotions: %s.", name, len(known), ", ".join(known))
    return data.with_emotions(EmotionSet(known))


def train_and_ship(
    config,
    *,
    data: str = "ferplus",
    source: str | Path | None = None,
    reading: Mapping[str, Any] | None = None,
    **options: Any,
) -> ShippedModel:
    """Read a data set, then do what `train_on_table` does.

    Args:
        config: A `TrainingConfig`.
        data: Name in `DATASETS`.
        source: Where the data set is; its usual place if None.
        reading: Options of its loader (`load_data`).
        **options: Of `train_on_table`.

    Raises:
        ValueError: If the data cannot be read, or as there.
    """
    table = load_data(data, source, **(reading or {}))
    return train_on_table(config, table, data=data, **options)


def train_on_table(
    config,
    table: ImageTable,
    *,
    data: str,
    run_folder: str | Path,
    model_folder: str | Path,
    teaching: Teaching = Teaching(),  # noqa: B008 - frozen
    va_labels: Sequence[str | Path] = (),
    tensorboard: bool = False,
    int8: bool = False,
    flip_average: bool = False,
    train_only: bool = False,
) -> ShippedModel | None:
    """Train (or go on), export, judge on the test split and write the card.

    Args:
        config: A `TrainingConfig`.
        table: The data set, split.
        data: What the card calls it.
        run_folder: Checkpoints; a run that was interrupted goes on from there.
        model_folder: Where the deployable model goes.
        teaching: What the targets of the training faces are made of.
        va_labels: Files of valence and arousal (`label-va`) that together label train and valid,
            for the tasks `va` and `both`.
        tensorboard: Write logs for TensorBoard into the run folder.
        int8: Deploy 8-bit integers if they keep the accuracy on valid within 0.3 points (and
            valence and arousal, see `finish_model`).
        flip_average: Average faces with their mirror images in use, and when it is judged.
        train_only: Stop after training and return None: the same call without it, on this or
            another machine, finds the run finished and does the rest.

    Raises:
        ValueError: If labels are missing, or given to a network of emotions; and if the model
            folder cannot be written.
        FileExistsError: If the model folder holds a model of another run.
    """
    from builder_tools.training import train

    _expect_labels(config.task, va_labels, teaching)
    labels = read_label_files(va_labels) if va_labels else None
    _expect_writable(Path(model_folder), Path(run_folder))
    train_part, valid_part = _training_parts(config, table, teaching, labels)
    taught = teaching.to_dict()
    _write_teaching(Path(run_folder), taught)
    size_px = train_part.images.shape[1]
    teacher = matching_teacher(table, teaching, size_px=size_px)
    options = {"tensorboard": tensorboard, "teacher": teacher}
    run = train(config, train_part, valid_part, run_folder, **options)
    if train_only:
        return None
    record = {"data": data, "teaching": taught}
    fields: dict[str, Any] = {"flip_average": flip_average}
    if labels is not None:
        record["va_labels"] = labels_record(va_labels)
        fields |= {"task": config.task, "centres": _centres(labels, table)}
    record |= {**_data_record(table), **_run_record(run)}
    _export(run.model, Path(model_folder), table, config.stages[-1].size, record, fields)
    card, judgements = finish_model(model_folder, table, int8=int8, labels=labels)
    return ShippedModel(card, judgements, run.history)


def _training_parts(config, table: ImageTable, teaching: Teaching, labels):
    """Return the samples of train and valid with the targets of the task."""
    from builder_tools.training import Samples
    from builder_tools.training.samples import table_samples

    size = max(stage.size for stage in config.stages)
    parts = {
        "train": taught_samples(table, teaching, size_px=size),
        "valid": table_samples(table, "valid", size_px=size, soft=teaching.soft),
    }
    if teaching.unlabelled:
        parts["valid"] = Samples(resize_stack(parts["valid"].images, size), parts["valid"].targets)
    if labels is None:
        return tuple(parts.values())
    task = TASKS[config.task]
    return tuple(
        Samples(part.images, task.join(part.targets, places_of(labels, table, split)))
        for split, part in parts.items()
    )


def _centres(labels: pd.DataFrame, table: ImageTable) -> dict[str, list[float]]:
    train = table.split("train")
    return class_centres(places_of(labels, table, "train"), train.labels, table.emotions)


def _write_teaching(run_folder: Path, taught: dict[str, Any]) -> None:
    """Keep beside the run what it is taught, for the cards of those it may teach."""
    run_folder.mkdir(parents=True, exist_ok=True)
    with replacing(run_folder / TEACHING_FILE) as partial:
        partial.write_text(json.dumps(taught, indent=2), encoding="utf-8")


def _expect_labels(task: str, va_labels: Sequence[str | Path], teaching: Teaching) -> None:
    """Refuse labels without a use, and a use without labels."""
    if TASKS[task].affect != bool(va_labels):
        raise ValueError(
            "Expected labels of valence and arousal with the tasks va and both, and only with "
            f"these. Received: task {task!r}, {len(va_labels)} file(s). `builder-tools label-va` "
            "makes them."
        )
    if not TASKS[task].emotions and (teaching.teachers or teaching.original_share):
        raise ValueError(
            "Expected no teachers and no original_share for the task 'va': they teach emotions. "
            "Use the task 'both', or leave them out."
        )


def save_figures(folder: str | Path, shipped: ShippedModel) -> list[Path]:
    """Draw the curves and the confusion matrix of a model into `<folder>/<name>_*.png`."""
    from matplotlib.figure import Figure

    from builder_tools.plots import plot_confusion, plot_training_curves

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    judgements = shipped.judgements
    widest = (judgements.get("ferplus-nine") or judgements[OWN_LABELS]).official
    drawn = {
        "curves": lambda ax: plot_training_curves(shipped.history, ax=ax),
        "confusion": lambda ax: plot_confusion(widest, ax=ax),
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
    data: str = "ferplus",
    source: str | Path | None = None,
    reading: Mapping[str, Any] | None = None,
):
    """Export a `.keras` file into a model folder, checked on test faces of a data set.

    Args:
        network: A network from `(n, size, size, 3)` RGB 0...255 to probabilities.
        folder: Where to.
        size: Side of the deployed input, px.
        suffixes: Files to write; the first is deployed.
        emotions: Class order; that of the data set if None.
        data: Name in `DATASETS`: where the faces for the check come from.
        source: Where that data set is.
        reading: Options of its loader (`load_data`).

    Returns:
        The `Export`: card and parity.
    """
    import keras

    from builder_tools.export import export_model

    table = load_data(data, source, **(reading or {}))
    return export_model(
        keras.models.load_model(network, compile=False),
        folder,
        _parity_faces(table, size),
        load=_one_sided,
        suffixes=suffixes,
        emotions=tuple(emotions or table.emotions),
        training={"network_file": Path(network).name},
        preprocessing=INSIDE,
        **card_words(table.votes is not None),
    )


def _expect_writable(folder: Path, run_folder: Path) -> None:
    """Find out before hours of training that their result could not be written, or must not be."""
    if (folder / CARD_FILE).exists() and not run_folder.exists():
        raise FileExistsError(
            f"Expected a new model folder, or the run its model is of. {folder} holds a model, "
            f"and there is no run in {run_folder}. Try another --name, or remove the model."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / ".writable") as partial:
        partial.touch()
    (folder / ".writable").unlink()


def _data_record(table: ImageTable) -> dict[str, Any]:
    counts = np.bincount(table.split("train").labels, minlength=len(table.emotions))
    return {
        "data_sha256": data_sha256(table),
        "pictures": {split: len(table.split(split)) for split in SPLITS},
        "class_counts": dict(zip(table.emotions, counts.tolist(), strict=True)),
    }


def _run_record(run) -> dict[str, Any]:
    budget = {
        "epochs": len(run.history),
        "minutes": round(float(run.history["seconds"].sum()) / 60, 1),
        "machine": run.config.get("machine", hardware()),
    }
    seed, commit = run.config["seed"], run.config["commit"]
    return {"seed": seed, "commit": commit, "budget": budget, "config": run.config}


def _export(
    model, folder: Path, table: ImageTable, size: int, training: dict, fields: dict
) -> None:
    """Export at the size of the last stage, checked on test faces."""
    from builder_tools.export import export_model

    layers = {layer.name for layer in model.get_layer("backbone").layers}
    export_model(
        model,
        folder,
        _parity_faces(table, size),
        load=_one_sided,
        suffixes=(".onnx", ".keras"),
        emotions=table.emotions.names,
        training=training,
        preprocessing=GREY_INSIDE if "grey" in layers else INSIDE,
        **fields,
        **card_words(
            table.votes is not None,
            fields.get("task", EMOTION.name),
            reservations(training["teaching"]),
        ),
    )


def _one_sided(folder: Path) -> EmotionClassifier:
    """Open a model as its file is, whatever it averages in use."""
    return EmotionClassifier(folder, flip_average=False)


def _parity_faces(table: ImageTable, size: int) -> np.ndarray:
    test = table.split("test")
    stored = size if table.images is None else table.images.shape[1]
    return resize_faces(test.resized(stored)[:PARITY_FACES], size)
