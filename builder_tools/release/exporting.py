"""From a trained network to a model folder that agrees with it on test faces."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.cards import MOST_TRAINED_PX, write_card
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.new_folder import check_new_folder
from builder_tools.datasets.table import ImageTable
from builder_tools.export import Export, export_model
from builder_tools.fields import check_whole
from builder_tools.media import resize_faces
from builder_tools.release.data import expect_trained_on, load_data
from builder_tools.release.predicting import Predictions, faces_within
from builder_tools.release.quantizing import quantize_where_it_holds
from builder_tools.release.run_data import (
    data_of_run,
    expect_emotions,
    expect_emotions_alone,
)
from builder_tools.release.run_record import (
    data_record,
    is_run,
    origins_of,
    reservations_of,
    run_record,
)
from builder_tools.release.words import card_words
from builder_tools.tasks import EMOTION

PARITY_FACES, PARITY_PX = 1000, 224
"""Number of faces that are compared, and up to which side; of larger ones as many pixels are."""
GREY_INSIDE = (
    "Inside the model: RGB 0...255 to ITU-R BT.601 grey, each face to mean 0 and variance 1."
)
INSIDE = "Inside the model, as its family wants it: it eats RGB 0...255."


def export_network(
    network: str | Path,
    folder: str | Path,
    *,
    size: int | None = None,
    suffixes: Sequence[str] = (".onnx",),
    emotions: Sequence[str] | None = None,
    data: str = "ferplus",
    source: str | Path | None = None,
    reading: Mapping[str, Any] | None = None,
    int8: bool = False,
) -> Export:
    """Export a `.keras` file to a model folder, checked on test faces of a data set.

    For a network in the folder of its run, the card says how, on what and for which emotions it was
    trained. The effect of class weights in its loss is removed from the probabilities.

    Args:
        network: Path of a network from `(n, size, size, 3)` RGB 0...255 to probabilities.
        folder: Destination folder; new or empty.
        size: Side of the deployed input in px, at most `MOST_TRAINED_PX`; if None, that of the
            network's input, or else the one its run or model was last trained at.
        suffixes: Suffixes of the files to write; the first file is deployed.
        emotions: Class order; that of the run, or else of the data set, if None.
        data: Name in `DATASETS` of the source of faces for the check.
        source: Location of that data set.
        reading: Options of its loader (`load_data`).
        int8: Deploy 8-bit integers if accuracy holds on valid (`quantize_where_it_holds`).

    Returns:
        The `Export`: card and parity.

    Raises:
        FileExistsError: If the folder is not empty.
        ValueError: If the file is not a network, or one of valence and arousal, or has another
            number of emotions, or its run has others; with `int8`, if the data set has others, or
            is not the run's in the same splits; also as in `export_model`.
    """
    from builder_tools.networks import read_network, trained_size_px

    network = Path(network)
    if size is not None:
        check_whole(1, MOST_TRAINED_PX, size=size)
    check_new_folder(folder)
    if int8 and next(iter(suffixes), None) != ".onnx":
        raise ValueError(
            "Expected .onnx as the first file of an int8 export: it is what is made into 8 bits. "
            f"Received: {list(suffixes)}."
        )
    expect_emotions_alone(network)
    model = read_network(network)
    size = size or model.input_shape[1] or trained_size_px(network)
    if size is None:
        raise ValueError(
            f"Expected the size of the faces that {network} was trained at: it takes any, and no "
            "run or card beside it tells. Received: none. Say it with --size."
        )
    table = load_data(data, source, **(reading or {}))
    learnt = data_of_run(network) if is_run(network) else None
    names = _names_of(network, model, emotions, learnt, table)
    if int8 and names != tuple(table.emotions):
        raise ValueError(
            f"Expected data of {list(names)} with int8, whose accuracy on valid is compared. "
            f"Received: {list(table.emotions)}. Use the data it learnt, or leave int8 out."
        )
    training: dict[str, Any] = {"network_file": network.name}
    voted = table.votes is not None
    if is_run(network):
        learnt = learnt or data_record(table, data)
        voted = learnt["data"] == "ferplus"
        training = learnt | run_record(network.parent)
    if int8:
        expect_trained_on(network.parent.name, training, table)
    export = export_model(
        model,
        folder,
        parity_faces(table, size),
        load=one_sided,
        suffixes=suffixes,
        emotions=names,
        training=training,
        preprocessing=_preprocessing(model),
        **card_words(
            voted,
            reservations=reservations_of([training]),
            origins=origins_of([training]),
        ),
    )
    return _quantized(export, Path(folder), table) if int8 else export


def _names_of(
    network: Path, model, emotions: Sequence[str] | None, learnt: Mapping | None, table: ImageTable
) -> tuple[str, ...]:
    """Return the classes of a network: as said, or those that its run learnt, or of the data."""
    names = tuple(emotions or (table.emotions if learnt is None else learnt["class_counts"]))
    if model.output_shape[-1] != len(names):
        raise ValueError(
            f"Expected names for the {model.output_shape[-1]} outputs of {network}. Received: "
            f"{list(names)}. Say them with --emotions in their order, or use the data it learnt."
        )
    if learnt is not None:
        expect_emotions(network, names, "Leave the emotions out.")
    return names


def _quantized(export: Export, folder: Path, table: ImageTable) -> Export:
    """Return an export whose deployed file is of 8-bit integers, if its accuracy holds on valid."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".int8-") as place:
        found = quantize_where_it_holds(folder, Path(place), Predictions(folder, table))
        if found.folder != folder:
            os.replace(found.folder / found.card.file, folder / found.card.file)
    write_card(folder, found.card)
    return replace(export, card=found.card)


def export_run(
    model, folder: str | Path, table: ImageTable, size: int, training: dict, fields: dict
) -> Export:
    """Export the network of a run at the size of its last stage.

    Args:
        model: A network with a layer `backbone`.
        folder: Destination folder.
        table: The data it was trained on, for the check and the text of the card.
        size: Side of the deployed input in px.
        training: What the card says about its training.
        fields: Further fields of the card.
    """
    return export_model(
        model,
        folder,
        parity_faces(table, size),
        load=one_sided,
        suffixes=(".onnx", ".keras"),
        emotions=table.emotions.names,
        training=training,
        preprocessing=_preprocessing(model),
        **fields,
        **card_words(
            table.votes is not None,
            fields.get("task", EMOTION.name),
            reservations=reservations_of([training]),
            origins=origins_of([training]),
        ),
    )


def _preprocessing(model) -> str:
    """Return a description of what a network does with RGB 0...255."""
    named = {layer.name: layer for layer in model.layers}
    inner = named["backbone"].layers if "backbone" in named else model.layers
    return GREY_INSIDE if "grey" in {layer.name for layer in inner} else INSIDE


def one_sided(folder: Path) -> EmotionClassifier:
    """Open a model without averaging mirror images, whatever its card says."""
    return EmotionClassifier(folder, flip_average=False)


def parity_faces(table: ImageTable, size: int) -> np.ndarray:
    """Return test faces for the comparison, `(n, size, size, 3)` uint8."""
    count = faces_within(PARITY_FACES, PARITY_PX, size)
    return resize_faces(table.split("test").as_stored(size)[:count], size)
