"""From a trained network to a model folder that agrees with it on test faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.table import ImageTable
from builder_tools.export import Export, export_model
from builder_tools.media import resize_faces
from builder_tools.release.data import load_data
from builder_tools.release.teachers import reservations
from builder_tools.release.words import card_words
from builder_tools.tasks import EMOTION

PARITY_FACES = 1000
GREY_INSIDE = (
    "Inside the model: RGB 0...255 to ITU-R BT.601 grey, each face to mean 0 and variance 1."
)
INSIDE = "Inside the model, as its family wants it: it eats RGB 0...255."


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
) -> Export:
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

    table = load_data(data, source, **(reading or {}))
    return export_model(
        keras.models.load_model(network, compile=False),
        folder,
        parity_faces(table, size),
        load=one_sided,
        suffixes=suffixes,
        emotions=tuple(emotions or table.emotions),
        training={"network_file": Path(network).name},
        preprocessing=INSIDE,
        **card_words(table.votes is not None),
    )


def export_run(
    model, folder: str | Path, table: ImageTable, size: int, training: dict, fields: dict
) -> Export:
    """Export the network of a run at the size of its last stage.

    Args:
        model: A network with a layer `backbone`.
        folder: Where to.
        table: The data it was trained on, for the check and the words of the card.
        size: Side of the deployed input, px.
        training: What the card says of its training.
        fields: Further fields of the card.
    """
    layers = {layer.name for layer in model.get_layer("backbone").layers}
    return export_model(
        model,
        folder,
        parity_faces(table, size),
        load=one_sided,
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


def one_sided(folder: Path) -> EmotionClassifier:
    """Open a model as its file is, whatever it averages in use."""
    return EmotionClassifier(folder, flip_average=False)


def parity_faces(table: ImageTable, size: int) -> np.ndarray:
    """Return test faces to compare on, `(n, size, size, 3)` uint8."""
    return resize_faces(table.split("test").as_stored(size)[:PARITY_FACES], size)
