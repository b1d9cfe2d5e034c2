"""Train, export, evaluate, write the card, draw the figures."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from builder_tools.cards import CARD_FILE, ModelCard, verify_files
from builder_tools.datasets.table import ImageTable
from builder_tools.evaluation import OWN_LABELS, Judgement
from builder_tools.fields import read_json_object
from builder_tools.media import replacing, resize_stack
from builder_tools.release.affect import (
    class_centres,
    labels_record,
    places_of,
    read_label_files,
)
from builder_tools.release.data import load_data
from builder_tools.release.exporting import export_run
from builder_tools.release.finishing import finish_model
from builder_tools.release.run_data import (
    CONFIG_FILE,
    card_beside,
    data_of_run,
    expect_emotions,
    note_data,
)
from builder_tools.release.run_record import data_record, note_origin, run_record
from builder_tools.release.targets import (
    TEMPERATURES,
    Teaching,
    matching_teacher,
    taught_samples,
)
from builder_tools.release.teachers import TEACHING_FILE, teaching_in
from builder_tools.tasks import TASKS


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
    reading: Mapping[str, Any] | None = None,
    **options: Any,
) -> ShippedModel | None:
    """Read a data set, then do what `train_on_table` does.

    What can be refused without the data is refused before they are read.

    Args:
        config: A `TrainingConfig`.
        data: Name in `DATASETS`.
        source: Location of the data set; its default location if None.
        reading: Options of its loader (`load_data`).
        **options: Options of `train_on_table`.

    Raises:
        TypeError: If an option is none of `train_on_table`, or one that it needs is missing.
        ValueError: If the data cannot be read; also as in `train_on_table`.
    """
    inspect.signature(train_on_table).bind(config, None, data=data, **options)
    expect_possible(config, **options)
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
    """Train (or resume), export, evaluate on the test split and write the card.

    The effect of class weights in the loss is removed from the probabilities before export.

    Args:
        config: A `TrainingConfig`.
        table: The data set with splits.
        data: Its name in the card.
        run_folder: Folder for checkpoints, from which an interrupted run is resumed.
        model_folder: Folder for the deployable model.
        teaching: What the targets of the training faces are made of.
        va_labels: Files of valence and arousal (`label-va`) that together label train and valid,
            for the tasks `va` and `both`.
        tensorboard: Write TensorBoard logs to the run folder.
        int8: Deploy 8-bit integers if they keep the accuracy on valid within 0.3 points (and
            valence and arousal, see `finish_model`).
        flip_average: Average faces with their mirror images, both in use and in evaluation.
        train_only: Stop after training and return None: the same call without it, on this or
            another machine, finds the run finished and does the rest.

    Raises:
        ValueError: As in `expect_possible`; also if labels are missing, the run was started with
            other emotions, or a head to be kept has other emotions.
        OSError: As in `expect_possible`.
    """
    from builder_tools.networks.head import divide_by_weights
    from builder_tools.training import train
    from builder_tools.training.losses import class_weights

    expect_possible(
        config,
        run_folder=run_folder,
        model_folder=model_folder,
        teaching=teaching,
        va_labels=va_labels,
    )
    labels = read_label_files(va_labels) if va_labels else None
    weights = Path(config.weights or "")
    if config.keep_head and TASKS[config.task].emotions and not _has_begun(run_folder):
        advice = "Use data of these emotions, or begin with a new head (without --keep-head)."
        expect_emotions(weights, table.emotions.names, advice)
    train_part, valid_part = _training_parts(config, table, teaching, labels)
    taught = _taught(Path(run_folder), teaching)
    Path(run_folder).mkdir(parents=True, exist_ok=True)
    with replacing(Path(run_folder) / TEACHING_FILE) as partial:
        partial.write_text(json.dumps(taught, indent=2), encoding="utf-8")
    if weights.suffix and not _has_begun(run_folder):
        note_origin(run_folder, weights)
    record = data_record(table, data)
    note_data(Path(run_folder), record)
    size_px = train_part.images.shape[1]
    teacher = matching_teacher(table, teaching, size_px=size_px)
    options = {"tensorboard": tensorboard, "teacher": teacher}
    run = train(config, train_part, valid_part, run_folder, **options)
    if train_only:
        return None
    if config.class_weight_power:
        classes, _ = TASKS[config.task].split(train_part.targets)
        divide_by_weights(run.model, class_weights(classes, config.class_weight_power))
    fields: dict[str, Any] = {"flip_average": flip_average}
    if labels is not None:
        record["va_labels"] = labels_record(va_labels)
        places, train_labels = places_of(labels, table, "train"), table.split("train").labels
        centres = class_centres(places, train_labels, table.emotions)
        fields |= {"task": config.task, "centres": centres}
    record |= run_record(run_folder)
    export_run(run.model, model_folder, table, config.stages[-1].size, record, fields)
    card, judgements = finish_model(model_folder, table, int8=int8, labels=labels)
    return ShippedModel(card, judgements, run.history)


def expect_possible(
    config,
    *,
    run_folder: str | Path,
    model_folder: str | Path,
    teaching: Teaching = Teaching(),  # noqa: B008 - frozen
    va_labels: Sequence[str | Path] = (),
    **others: Any,
) -> None:
    """Refuse a training that would fail, as far as can be told before its data are read.

    Args:
        config: A `TrainingConfig`.
        run_folder: As in `train_on_table`, as are the following.
        model_folder: Whether it can be written is tried out.
        teaching: What the targets of the training faces are made of.
        va_labels: Files of valence and arousal.
        **others: The other options of `train_on_table`, with which every training is possible.

    Raises:
        ValueError: If the network cannot be built at the sizes of its stages or from such weights,
            or lacks layers that a stage trains; weights do not match the card beside them; labels
            are given for a network of emotions alone or missing for another; a teacher is unknown,
            or does not suit the task or the features to be cached; or the run was started with
            another configuration or other targets.
        FileNotFoundError: If a file of weights or labels, a teacher or a place for faces does not
            exist.
        FileExistsError: If the model folder holds a model of another run.
        OSError: If the model folder cannot be written.
    """
    from builder_tools.networks import check_network
    from builder_tools.training.checkpoints import RunFolder
    from builder_tools.training.matching import expect_matching

    run_folder, begun = Path(run_folder), _has_begun(run_folder)
    weights = None if begun else config.weights
    check_network(
        config.network,
        [stage.size for stage in config.stages],
        weights,
        learns=[stage.trainable for stage in config.stages],
    )
    card = card_beside(Path(weights)) if weights else None
    if card is not None:
        verify_files(Path(weights).parent, card, [Path(weights).name])
    _expect_labels(config.task, va_labels, teaching)
    if teaching.match:
        expect_matching(config)
    for path in (*va_labels, *teaching.unlabelled):
        if not Path(path).exists():
            raise FileNotFoundError(f"Expected a file or folder. Nothing is at {str(path)!r}.")
    _taught(run_folder, teaching)
    if begun:
        RunFolder(run_folder).begin(config)
    _expect_writable(Path(model_folder), run_folder)


def _training_parts(config, table: ImageTable, teaching: Teaching, labels):
    """Return the samples of train and valid, with targets for the task."""
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


def _has_begun(run_folder: str | Path) -> bool:
    """Return whether a run has a network to go on from, so that it needs no weights to start."""
    return (Path(run_folder) / "last.keras").is_file()


def _taught(run_folder: Path, teaching: Teaching) -> dict[str, Any]:
    """Return the record of what a run's network is taught; refuse what it was not taught so far."""
    taught = json.loads(json.dumps(teaching.to_dict()))
    earlier = teaching_in(run_folder)
    changed = {name for name in {**earlier, **taught} if earlier.get(name) != taught.get(name)}
    changed.discard("taught_by")  # follows from the teachers, whose files have hashes
    if TEMPERATURES not in earlier:
        changed.discard(TEMPERATURES)
    if earlier and changed and _has_begun(run_folder):
        raise ValueError(
            f"Expected the targets that the run in {run_folder} was begun with: "
            f"{ {name: earlier.get(name) for name in sorted(changed)} }. Received: "
            f"{ {name: taught.get(name) for name in sorted(changed)} }. Use those to go on, or "
            "name another folder."
        )
    return taught


def _expect_labels(task: str, va_labels: Sequence[str | Path], teaching: Teaching) -> None:
    """Refuse labels for tasks that do not use them, and tasks without the labels they need."""
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
    if TASKS[task].affect and teaching.unlabelled:
        raise ValueError(
            "Expected unlabelled faces with the task 'emotion' alone: nothing tells of their "
            f"valence and arousal. Received: the task {task!r}. Leave them out."
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
        "confusion": lambda ax: plot_confusion(widest.confusion, list(widest.emotions), ax),
    }
    paths = []
    for what, draw in drawn.items():
        figure = Figure(figsize=(7, 5.5), layout="constrained")
        draw(figure.subplots())
        paths.append(folder / f"{shipped.card.name}_{what}.png")
        figure.savefig(paths[-1], dpi=120)
    return paths


def _expect_writable(folder: Path, run_folder: Path) -> None:
    """Fail before hours of training if the result could not, or must not, be written."""
    if (folder / CARD_FILE).exists() and not _is_model_of(folder, run_folder):
        raise FileExistsError(
            f"Expected a new model folder, or the run its model is of. {folder} holds a model, "
            f"and none of a run in {run_folder}. Try another --name, or remove the model."
        )
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / ".writable") as partial:
        partial.touch()
    (folder / ".writable").unlink()
    if is_new:
        folder.rmdir()  # a training that ends before its export leaves no empty model behind


def _is_model_of(folder: Path, run_folder: Path) -> bool:
    """Return whether a folder holds the model of a run, by what both tell: configuration, data."""
    if not (run_folder / CONFIG_FILE).is_file():
        return False
    training = ModelCard.read(folder).training
    data = data_of_run(run_folder / "last.keras") or {}
    if "data_sha256" in data and data["data_sha256"] != training.get("data_sha256"):
        return False
    told, own = read_json_object(run_folder / CONFIG_FILE), training.get("config", {})
    # The card names the weights without their folder.
    return all(own.get(name) == told.get(name) for name in {*told, *own} - {"weights"})
