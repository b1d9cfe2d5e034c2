"""From an exported model folder to one that may be shipped: int8, decisions, figures, card."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from builder_tools.card_text import card_markdown
from builder_tools.cards import ModelCard, file_sha256, write_card
from builder_tools.classifier import EmotionClassifier, resize_faces
from builder_tools.datasets.new_folder import new_folder
from builder_tools.datasets.table import PictureTable
from builder_tools.evaluation import PROTOCOLS, Judgement, evaluate, restrict
from builder_tools.evaluation.protocols import LEFT_OUT
from builder_tools.media import replacing
from builder_tools.quantization import CALIBRATION_FACES, quantize_onnx
from builder_tools.study.deciding import fit_decisions
from builder_tools.study.judging import judge_model, metrics_of, predict_table
from builder_tools.study.slices import slice_figures

CARD_PAGE = "README.md"
"""The card as a page, beside `card.json`."""

INT8_LOSS = 0.003
"""Accuracy that 8-bit integers may cost on valid."""

INT8_PROTOCOL = "ferplus-majority-8"
"""By which it is measured, where people voted."""


def finish_model(
    folder: str | Path, table: PictureTable, *, int8: bool = False
) -> tuple[ModelCard, dict[str, Judgement]]:
    """Fits what is fitted on valid, judges on test, writes the card.

    Args:
        folder: A model folder fresh from export; its card holds no decision and no figures yet.
        table: The data set, split.
        int8: Deploy 8-bit integers if that keeps the accuracy on valid within 0.3 points.

    Returns:
        The card as written, and the judgements by protocol.
    """
    folder = Path(folder)
    if int8:
        quantize_in_place(folder, table)
    card = fit_decisions(folder, table)
    return judge_and_write(folder, card, table)


def judge_and_write(
    folder: str | Path, card: ModelCard, table: PictureTable
) -> tuple[ModelCard, dict[str, Judgement]]:
    """Judges a model folder on test and writes figures, card and the card's page."""
    judgements = judge_model(card, folder, table)
    metrics = {"test": metrics_of(judgements), "slices": slice_figures(folder, table)}
    card = replace(card, metrics=metrics)
    write_card(folder, card)
    with replacing(Path(folder) / CARD_PAGE) as partial:
        partial.write_text(card_markdown(card), encoding="utf-8")
    return card, judgements


def quantize_model(
    source: str | Path, out: str | Path, table: PictureTable
) -> tuple[ModelCard, dict[str, Judgement]]:
    """Gives a float32 model folder an int8 twin, with decisions and figures of its own.

    Args:
        source: The model folder to start from.
        out: New folder to write.
        table: The data set it was trained on.

    Raises:
        ValueError: If int8 costs more accuracy than it may, or the model is int8 already;
            nothing is written then.
        FileExistsError: If `out` is not empty.
    """
    source, out = Path(source), Path(out)
    with new_folder(out) as place:
        for path in source.iterdir():
            shutil.copyfile(path, place / path.name)
        write_card(place, replace(ModelCard.read(place), name=out.name))
        if not quantize_in_place(place, table):
            record = ModelCard.read(place).training["int8"]
            raise ValueError(
                f"Expected int8 to cost at most {INT8_LOSS} of the accuracy on valid. "
                f"Received: {record}. Use the float32 model."
            )
        return finish_model(place, table)


def quantize_in_place(folder: Path, table: PictureTable) -> bool:
    """Deploys int8 in a model folder if accuracy on valid holds; says so if it does not.

    The card's `training` tells both accuracies either way.
    """
    card = ModelCard.read(folder)
    if "int8" in card.training:
        raise ValueError(f"Expected a float32 model in {folder}. Received: one that is int8.")
    before = _valid_accuracy(folder, table)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".int8-") as temporary:
        place = Path(temporary)
        faces = _calibration_faces(table, card.input_size)
        quantize_onnx(folder / card.file, place / card.file, faces, card.emotions)
        sha256 = dict(card.sha256) | {card.file: file_sha256(place / card.file)}
        write_card(place, replace(card, sha256=sha256))
        after = _valid_accuracy(place, table)
        record = {
            "calibration_faces": len(faces),
            "valid_accuracy_float32": round(before, 4),
            "valid_accuracy_int8": round(after, 4),
            "deployed": after >= before - INT8_LOSS,
        }
        card = replace(card, training=dict(card.training) | {"int8": record})
        if record["deployed"]:
            os.replace(place / card.file, folder / card.file)
            card = replace(card, sha256=sha256)
    write_card(folder, card)
    if not record["deployed"]:
        print(f"float32 stays deployed, int8 costs too much: {record}", file=sys.stderr)
    return record["deployed"]


def _valid_accuracy(folder: Path, table: PictureTable) -> float:
    valid = table.split("valid")
    classifier = EmotionClassifier(folder)
    found = predict_table(classifier, valid)
    if valid.votes is None:
        return evaluate(valid.labels, found, valid.emotions).accuracy.value
    protocol = PROTOCOLS[INT8_PROTOCOL]
    truth = protocol.labels(valid.table)
    kept = truth != LEFT_OUT
    inside = restrict(found, classifier.emotions, protocol.emotions)
    return evaluate(truth[kept], inside[kept], protocol.emotions).accuracy.value


def _calibration_faces(table: PictureTable, size: int) -> np.ndarray:
    """Gives seeded training faces at the network's size."""
    train = table.split("train")
    rows = np.random.default_rng(0).permutation(len(train))[:CALIBRATION_FACES]
    stored = size if table.images is None else table.images.shape[1]
    return resize_faces(train.pictures(stored)[np.sort(rows)], size)
