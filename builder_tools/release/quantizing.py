"""8-bit integers instead of float32, if they cost too little accuracy to matter."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.cards import ModelCard, file_sha256, write_card
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import concordance, protocol_of
from builder_tools.media import resize_faces
from builder_tools.quantization import CALIBRATION_FACES, quantize_onnx
from builder_tools.release.predicting import Predicted, Predictions, faces_within
from builder_tools.tasks import TASKS

INT8_LOSS = 0.003
"""Accuracy that 8-bit integers may cost on valid."""

INT8_CCC = 0.99
"""Minimum agreement (CCC) of their valence and arousal with those of float32 on valid."""

CALIBRATION_PX = 224
"""Side up to which `CALIBRATION_FACES` are used; of larger ones as many pixels are."""

INT8_PROTOCOL = "ferplus-majority-8"
"""The protocol by which accuracy is measured, if people voted."""


def quantize_where_it_holds(folder: Path, place: Path, found: Predictions) -> Predictions:
    """Write the int8 form of a model, and choose between the two on valid.

    Args:
        folder: Folder of the float32 model.
        place: An empty folder for the int8 form.
        found: Predictions of the float32 model.

    Returns:
        The predictions of the form to deploy; the card's `training` records the measurements.

    Raises:
        ValueError: If the model is already int8.
    """
    card, table = found.card, found.table
    if "int8" in card.training:
        raise ValueError(f"Expected a float32 model in {folder}. Received: one that is int8.")
    faces = calibration_faces(table, card.input_size)
    quantize_onnx(folder / card.file, place / card.file, faces, card.emotions)
    sha256 = dict(card.sha256) | {card.file: file_sha256(place / card.file)}
    write_card(place, replace(card, sha256=sha256))
    twin = Predictions(place, table)
    record = {
        "calibration_faces": len(faces),
        **compare_int8(card, found.split("valid"), twin.split("valid")),
    }
    if not record["deployed"]:
        print(f"float32 stays deployed, int8 costs too much: {record}", file=sys.stderr)
    chosen = twin if record["deployed"] else found
    chosen.card = replace(chosen.card, training=dict(card.training) | {"int8": record})
    return chosen


def compare_int8(card: ModelCard, before: Predicted, after: Predicted) -> dict[str, Any]:
    """Return what int8 costs on valid, and whether it may be `deployed`.

    Args:
        card: Card of the model.
        before: Predictions of float32.
        after: Predictions of int8 for the same images.
    """
    emotions, protocol = EmotionSet(card.emotions), protocol_of(before.images, INT8_PROTOCOL)
    readings = [each.readings(card) for each in (before, after)]
    float32, int8 = (
        protocol.apply(before.images.table, each.probabilities, emotions).evaluate().accuracy.value
        for each in readings
    )
    found: dict[str, Any] = {
        "valid_accuracy_float32": round(float32, 4),
        "valid_accuracy_int8": round(int8, 4),
    }
    holds = int8 >= float32 - INT8_LOSS
    if TASKS[card.task].affect:
        axes = zip(*(each.places.T for each in readings), strict=True)
        agreement = min(concordance(*axis) for axis in axes)
        found["valid_ccc_with_float32"] = round(agreement, 4)
        holds = holds and agreement >= INT8_CCC
    return {**found, "deployed": bool(holds)}


def calibration_faces(table: ImageTable, size_px: int) -> np.ndarray:
    """Return seeded training faces at the network's size, `(n, size_px, size_px, 3)` uint8."""
    train = table.split("train")
    count = faces_within(CALIBRATION_FACES, CALIBRATION_PX, size_px)
    rows = np.random.default_rng(0).permutation(len(train))[:count]
    return resize_faces(train.as_stored(size_px)[np.sort(rows)], size_px)
